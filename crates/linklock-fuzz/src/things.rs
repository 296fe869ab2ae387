//! What others may have put at and around a lock path: any kind of file, with any bytes, under names that mean something there.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use linklock::Lock;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, mknodat, utimensat};

use crate::ground::Ground;

#[allow(dead_code, reason = "the library's and the program's tests use the rest")]
#[path = "../../linklock/tests/corpus/manifest.rs"]
mod manifest;

use manifest::Case;

/// The lock's name, which the manifests have too.
pub(crate) const LOCK: &str = "job.lock";
/// The names of some of its slots.
pub(crate) const SLOTS: [&str; 2] = ["job.lock.1", "job.lock.2"];

const THINGS_MOST: usize = 16;
/// Another user, if this one is root.
const ANOTHER: u32 = 4711;
/// Beyond what the kernel gives to processes.
const DEAD: u32 = i32::MAX as u32;

/// What the versions of linklock and flufl.lock have left on disk.
static CASES: LazyLock<Vec<Case>> = LazyLock::new(Case::all);

/// This machine's name, and what the nonces of this process begin with.
static OWN: LazyLock<(String, String)> = LazyLock::new(|| {
    let ground = Ground::new();
    let lock = Lock::new(ground.shared().join(LOCK)).expect("a lock");
    let token = lock.acquire().expect("it is free").token().as_os_str().to_string_lossy().into_owned();
    let (_, nonce) = token.rsplit_once('|').expect("a nonce");
    (lock.host().into(), nonce[..16].into())
});

/// Puts things into the lock's directory.
pub(crate) struct Planter<'a, 'b> {
    ground: &'a Ground,
    draw: &'a mut Unstructured<'b>,
    /// Names and paths that were used before.
    names: Vec<OsString>,
    paths: Vec<PathBuf>,
}

impl<'a, 'b> Planter<'a, 'b> {
    pub(crate) fn new(ground: &'a Ground, draw: &'a mut Unstructured<'b>) -> Self {
        Self { ground, draw, names: vec![LOCK.into()], paths: Vec::new() }
    }

    /// Begins with a case of the corpus, if one is drawn, and goes on until the input ends. Returns the names, in their order.
    pub(crate) fn plant(mut self) -> Vec<OsString> {
        if let Some(case) = self.draw.arbitrary::<u8>().ok().and_then(|number| CASES.get(usize::from(number))) {
            case.lay_out(&self.ground.shared());
        }
        for _ in 0..THINGS_MOST {
            // Where the input ends, the last thing is left out.
            if self.draw.is_empty() || self.add().is_err() {
                break;
            }
        }
        self.names
    }

    fn add(&mut self) -> Result<()> {
        let (parent, name) = (self.parent()?, self.name()?);
        // Names that cannot be, and those that are taken, are left out.
        if !name.is_empty() && name != "." && name != ".." && parent.is_dir() {
            let path = parent.join(&name);
            if self.put(&path)?.is_ok() {
                self.names.push(name);
                self.paths.push(path);
            }
        }
        Ok(())
    }

    fn parent(&mut self) -> Result<PathBuf> {
        let shared = self.ground.shared();
        Ok(match self.draw.int_in_range(0..=9)? {
            0..=4 => shared,
            5 => shared.join(LOCK),
            6 => shared.join(LOCK.to_owned() + "|queue"),
            7 => shared.join(LOCK.to_owned() + "|fence"),
            8 => shared.join(LOCK.to_owned() + "|break"),
            _ => self.paths.last().cloned().unwrap_or(shared),
        })
    }

    fn name(&mut self) -> Result<OsString> {
        let beside = |purpose: &str| OsString::from(format!("{LOCK}|{purpose}"));
        Ok(match self.draw.int_in_range(0..=16)? {
            0 => LOCK.into(),
            1 => (*self.draw.choose(&SLOTS)?).into(),
            2 | 3 => self.claim(LOCK)?,
            4 => self.claim(SLOTS[0])?,
            5 => self.claim("job.lock|break")?,
            6 => beside("break"),
            7 => beside("queue"),
            8 => beside("bell"),
            9 => beside("fence"),
            10 => self.ticket()?,
            11 => [self.ticket()?, ".next".into()].into_iter().collect(),
            12 => self.number()?.to_string().into(),
            13 => format!(".nfs{:016x}00000001", self.number()?).into(),
            14 => "notes".into(),
            15 => {
                let bytes = self.bytes(40)?;
                OsString::from_vec(bytes.into_iter().filter(|byte| !b"/\0".contains(byte)).collect())
            }
            _ => self.draw.choose(&self.names)?.clone(),
        })
    }

    fn ticket(&mut self) -> Result<OsString> {
        let mut name = OsString::from(format!("{:020}", self.number()?));
        name.push(self.claim(LOCK)?);
        Ok(name)
    }

    fn claim(&mut self, lock: &str) -> Result<OsString> {
        let (own_host, own_nonce) = &*OWN;
        let host = match self.draw.int_in_range(0..=2)? {
            0 => own_host.as_bytes().to_vec(),
            1 => b"there.example".to_vec(),
            _ => self.bytes(8)?.into_iter().filter(|byte| !b"/\0".contains(byte)).collect(),
        };
        let pid = match self.draw.int_in_range(0..=2)? {
            0 => std::process::id(),
            1 => DEAD,
            _ => self.number()? as u32,
        };
        let unique = self.number()?;
        let nonce = match self.draw.int_in_range(0..=4)? {
            0 => format!("{own_nonce}{unique:016x}"),
            1 => format!("{own_nonce}{unique:016x}s"),
            // Of nobody.
            2 => format!("{:016x}{unique:016x}", self.draw.arbitrary::<u16>()?),
            3 => format!("{:016x}{unique:016x}", self.number()?),
            // As flufl.lock has it.
            _ => unique.to_string(),
        };
        let mut name = OsString::from(format!("{lock}|"));
        name.push(OsStr::from_bytes(&host));
        name.push(format!("|{pid}|{nonce}"));
        Ok(name)
    }

    /// Mostly a small one: then an input needs fewer bytes.
    fn number(&mut self) -> Result<u64> {
        match self.draw.arbitrary::<u8>()? {
            u8::MAX => self.draw.arbitrary(),
            small => Ok(small.into()),
        }
    }

    fn bytes(&mut self, most: usize) -> Result<Vec<u8>> {
        let len = self.draw.int_in_range(0..=most)?.min(self.draw.len());
        self.draw.bytes(len).map(<[u8]>::to_vec)
    }

    fn content(&mut self) -> Result<Vec<u8>> {
        let shared = self.ground.shared();
        Ok(match self.draw.int_in_range(0..=7)? {
            0 => Vec::new(),
            1 => self.bytes(100)?,
            2 => vec![0; self.draw.int_in_range(1..=9000)?],
            3 | 4 => shared.join(self.name()?).into_os_string().into_vec(),
            5 => Path::new("/elsewhere").join(self.name()?).into_os_string().into_vec(),
            6 => {
                let lifetime = self.number()?;
                let text = serde_json::to_string(&String::from_utf8_lossy(&self.bytes(20)?)).unwrap_or_default();
                format!(r#"{{"version":1,"lifetime_ms":{lifetime},"command":{text},"user":{text},"since_unix_ms":1}}"#)
                    .into()
            }
            _ => b"x".repeat(self.draw.int_in_range(1..=9000)?),
        })
    }

    /// Puts something there. Fails if the name cannot be or is taken.
    fn put(&mut self, path: &Path) -> Result<io::Result<()>> {
        let made = match self.draw.int_in_range(0..=8)? {
            0..=2 => {
                let content = self.content()?;
                File::create_new(path).and_then(|mut file| io::Write::write_all(&mut file, &content))
            }
            3 | 4 => fs::create_dir(path),
            5 => symlink(self.link()?, path),
            6 => mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).map_err(Into::into),
            // The name of a socket is shorter than that of a file.
            7 => UnixListener::bind(path).map(drop),
            _ => {
                let secret = self.ground.secret();
                let target = if self.draw.arbitrary()? { self.paths.last().unwrap_or(&secret) } else { &secret };
                // The file has what it has.
                return Ok(fs::hard_link(target, path));
            }
        };
        if made.is_err() {
            return Ok(made);
        }
        self.dress(path)?;
        Ok(Ok(()))
    }

    fn link(&mut self) -> Result<OsString> {
        Ok(match self.draw.int_in_range(0..=4)? {
            0 => self.name()?,
            1 => self.ground.secret().into(),
            2 => self.ground.treasure().into(),
            3 => {
                let mut bell = self.claim(LOCK)?;
                bell.push(OsStr::from_bytes(&[b"/", &*self.bytes(40)?].concat()));
                OsString::from_vec(bell.into_vec().into_iter().filter(|byte| *byte != 0).collect())
            }
            _ => ".".into(),
        })
    }

    /// Gives it an owner, a mode and times.
    fn dress(&mut self, path: &Path) -> Result<()> {
        if self.draw.ratio(1, 8)? && rustix::process::geteuid().is_root() {
            let _ = lchown(path, Some(ANOTHER), Some(ANOTHER));
        }
        let data = fs::symlink_metadata(path).expect("it was made");
        if !data.is_symlink() {
            let modes = [0o644, 0o755, 0o1755, 0o600, 0o1777, 0o777, 0o4755, 0o2775, 0];
            let mode = *self.draw.choose(&modes)?;
            // So that all can be looked at and removed, whoever runs it.
            let least = if data.is_dir() { 0o700 } else { 0o400 };
            fs::set_permissions(path, Permissions::from_mode(mode | least)).expect("its mode");
        }
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
        let mtime = match self.draw.int_in_range(0..=6)? {
            0 => now + 3600,
            1 => now - 3600,
            2 => now - 30 * 24 * 3600,
            3 => now + 200 * 365 * 24 * 3600,
            4 => self.number()? as i64,
            _ => return Ok(()),
        };
        let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
        // Not every file system has every time.
        let _ =
            utimensat(CWD, path, &Timestamps { last_access: time, last_modification: time }, AtFlags::SYMLINK_NOFOLLOW);
        Ok(())
    }
}
