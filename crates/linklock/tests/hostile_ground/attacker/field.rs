//! The place of an attack: a directory that two users may write, a lock in it, and beside it a vault in which nothing may
//! change.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::common::{Ground, HOUR};
use crate::kernel::{as_user, is_root};

const VICTIM: u32 = 4201;
const ATTACKER: u32 = 4202;
/// The group of both.
const GROUP: u32 = 4200;

/// Who may do what in the lock's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Like /tmp: nobody may remove or rename another user's files.
    Sticky,
    Open,
    /// A project's directory.
    Group,
    /// The sticky bit does not bind the owner of the directory.
    Attackers,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Sticky, Self::Open, Self::Group, Self::Attackers];

    fn mode(self) -> u32 {
        match self {
            Self::Sticky | Self::Attackers => 0o1777,
            Self::Open => 0o777,
            Self::Group => 0o2775,
        }
    }
}

/// Whose process is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    Root,
    User,
    /// Without root there is only one user: the attacker is the victim itself.
    Same,
}

impl Victim {
    pub(crate) fn all() -> &'static [Self] {
        if is_root() { &[Self::Root, Self::User] } else { &[Self::Same] }
    }

    /// `None`: the user who runs the tests.
    pub(crate) fn ids(self) -> Option<(u32, u32)> {
        (self == Self::User).then_some((VICTIM, GROUP))
    }

    pub(crate) fn act<T: Send>(self, act: impl FnOnce() -> T + Send) -> T {
        match self.ids() {
            Some((user, group)) => as_user(user, group, act),
            None => act(),
        }
    }
}

/// Names in the vault. An attacker might want to harm these things.
pub(crate) const SECRET: &str = "secret";
pub(crate) const NUMBERS: &str = "numbers";
pub(crate) const STICKY: &str = "sticky";
pub(crate) const OPEN: &str = "open";
/// The victim's directory inside the lock's directory. The attacker may rename it unless the lock's directory is sticky.
pub(crate) const OWN: &str = "own";

/// Claims of an honest waiter, one for each protocol.
pub(crate) const WAITING_DIR: &str = "lock|elsewhere.example|4712|00000000000000000000000000000001";
pub(crate) const WAITING_FILE: &str = "lock|elsewhere.example|4712|00000000000000000000000000000002";

pub(crate) struct Field {
    ground: Ground,
    pub(crate) kind: Kind,
    pub(crate) victim: Victim,
    root: PathBuf,
}

impl Field {
    pub(crate) fn new(kind: Kind, victim: Victim) -> Self {
        let ground = Ground::new();
        let root = fs::canonicalize(ground.dir()).unwrap();
        let field = Self { ground, kind, victim, root };
        set_mode(field.ground.dir(), 0o755);
        make_dir(&field.dir(), 0o755);
        make_dir(&field.vault(), 0o755);
        if is_root() {
            let (user, group) = victim.ids().unwrap_or((0, 0));
            chown(field.vault(), Some(user), Some(group)).unwrap();
            chown(field.dir(), Some(if kind == Kind::Attackers { ATTACKER } else { 0 }), Some(GROUP)).unwrap();
        }
        // After the change of owner, which clears the set-group-ID bit.
        set_mode(&field.dir(), kind.mode());
        victim.act(|| {
            fill(&field.vault());
            make_treasure(&field.dir().join(OWN), 0o755);
        });
        for dir in [field.vault(), field.dir().join(OWN)] {
            date(&dir);
        }
        field.put_claims();
        field
    }

    fn put_claims(&self) {
        let [dir, file] = [WAITING_DIR, WAITING_FILE].map(|name| self.dir().join(name));
        make_dir(&dir, 0o1755);
        fs::write(dir.join(WAITING_DIR), r#"{"version":1,"lifetime_ms":3600000}"#).unwrap();
        fs::write(&file, file.as_os_str().as_encoded_bytes()).unwrap();
        date(&dir);
        set_times(&file, SystemTime::now() + HOUR);
    }

    /// The lock's directory.
    pub(crate) fn dir(&self) -> PathBuf {
        self.root.join("shared")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.dir().join("lock")
    }

    pub(crate) fn vault(&self) -> PathBuf {
        self.root.join("vault")
    }

    pub(crate) fn as_attacker<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        if self.victim == Victim::Same { act() } else { as_user(ATTACKER, GROUP, act) }
    }

    /// Whether the attacker can do nothing to other users' files there.
    pub(crate) fn is_safe(&self) -> bool {
        self.kind == Kind::Sticky && self.victim != Victim::Same
    }
}

fn fill(vault: &Path) {
    make_file(&vault.join(SECRET), 0o600);
    make_dir(&vault.join("private"), 0o700);
    make_file(&vault.join("private/file"), 0o600);
    make_treasure(&vault.join(NUMBERS), 0o755);
    make_dir(&vault.join(STICKY), 0o1755);
    make_file(&vault.join(STICKY).join(".nfs000000000004a1f00000000b"), 0o600);
    make_dir(&vault.join(OPEN), 0o777);
}

/// The names mean something to a lock: numbers, and a name that an NFS client gives to a removed open file.
fn make_treasure(dir: &Path, mode: u32) {
    make_dir(dir, mode);
    for number in ["1", "2", "4711"] {
        make_dir(&dir.join(number), 0o755);
    }
    make_file(&dir.join(".nfs000000000004a1f00000000b"), 0o600);
    make_file(&dir.join("precious"), 0o600);
}

/// Sets modes that no umask restricts.
pub(crate) fn make_dir(path: &Path, mode: u32) {
    fs::create_dir(path).unwrap();
    set_mode(path, mode);
}

fn make_file(path: &Path, mode: u32) {
    fs::write(path, "precious").unwrap();
    set_mode(path, mode);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Dates all changes to yesterday, so that nothing looks new.
fn date(path: &Path) {
    set_times(path, SystemTime::now() - 24 * HOUR);
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| date(&entry.unwrap().path()));
    }
}

/// The last access is in the far future: reading does not change that, but setting times does.
fn set_times(path: &Path, mtime: SystemTime) {
    const IN_2099: i64 = 4_070_908_800;
    let mtime = mtime.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let [last_access, last_modification] = [IN_2099, mtime as i64].map(|tv_sec| Timespec { tv_sec, tv_nsec: 0 });
    let times = Timestamps { last_access, last_modification };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from).unwrap();
}
