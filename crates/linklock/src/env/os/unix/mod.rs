//! What all Unix systems share; `system` is what they do not.

mod own;
#[cfg_attr(target_os = "linux", path = "linux/mod.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other.rs")]
mod system;

mod kept;

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::thread::LocalKey;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::Pid;
use rustix::time::{ClockId, clock_gettime};

use crate::claim::Fingerprint;
use crate::env::{Attr, Env, FileId, FileKind, Liveness, Stamps, Watcher};
use crate::lease::{LocalTime, ServerTime};

use kept::Kept;
pub(crate) use system::Event;
use system::{OsWatcher, stat_open, stat_path};

/// A file's name from the bytes that a directory or a claim's content has for it.
#[expect(clippy::unnecessary_wraps, reason = "on other platforms not all bytes are a name")]
pub(crate) fn name_from_bytes(bytes: &[u8]) -> Option<OsString> {
    Some(OsString::from_vec(bytes.to_vec()))
}

pub(crate) fn bytes_of(name: &OsStr) -> &[u8] {
    name.as_bytes()
}

/// Whether these are one name to the file system.
pub(crate) fn is_same_name(one: &[u8], other: &[u8]) -> bool {
    one == other
}

/// What is wrong with a path, as it was given, that no file can have.
pub(crate) fn flaw_of(path: &Path) -> Option<String> {
    bytes_of(path.as_os_str()).contains(&0).then(|| "holds a NUL byte".into())
}

/// What a name of a file cannot hold.
pub(crate) const NOT_IN_NAMES: &[char] = &['/', '\0'];

/// This machine.
#[derive(Debug)]
pub(crate) struct OsEnv;

impl Env for OsEnv {
    fn now(&self) -> LocalTime {
        let now = clock_gettime(system::CLOCK);
        LocalTime::from_nanos(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
    }

    fn wall_clock(&self) -> ServerTime {
        let now = clock_gettime(ClockId::Realtime);
        ServerTime::from_parts(now.tv_sec, now.tv_nsec as u32)
    }

    fn random(&self) -> u64 {
        fastrand::u64(..)
    }

    fn unique(&self) -> u64 {
        own::unique()
    }

    fn host_name(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    fn process_id(&self) -> u32 {
        own::process_id()
    }

    fn generation(&self) -> u64 {
        own::generation()
    }

    fn fingerprint(&self, pid: u32) -> Option<Fingerprint> {
        let read = || {
            let proc = system::Proc::open().filter(system::Proc::is_ours)?;
            Some(Fingerprint::new(&proc.boot_and_namespaces()?, proc.stat(pid)?.start))
        };
        // One's own is asked for with every claim.
        if pid == self.process_id() { own::fingerprint(read) } else { read() }
    }

    fn liveness(&self, pid: u32, fingerprint: Fingerprint) -> Liveness {
        let Some(here) = self.fingerprint(self.process_id()) else { return Liveness::Unknown };
        let Some(id) = to_pid(pid) else { return Liveness::Unknown };
        // Another boot, container or machine: its pids mean nothing here.
        if !here.comparable(fingerprint) {
            return Liveness::Unknown;
        }
        // The kernel itself is asked first: /proc may be mounted to hide other users' processes.
        match rustix::process::test_kill_process(id) {
            Err(Errno::SRCH) => return Liveness::Dead,
            Ok(()) | Err(Errno::PERM) => {}
            Err(_) => return Liveness::Unknown,
        }
        let Some(proc) = system::Proc::open() else { return Liveness::Unknown };
        match proc.stat(pid) {
            Some(stat) if stat.ended || here.with_start(stat.start) != fingerprint => {
                // Another may have been mounted since our own fingerprint was taken, where the pid is another process.
                if proc.is_ours() { Liveness::Dead } else { Liveness::Unknown }
            }
            Some(_) => Liveness::Alive,
            None => Liveness::Unknown,
        }
    }

    fn may_exist(&self, pid: u32) -> bool {
        to_pid(pid).is_some_and(|id| rustix::process::test_kill_process(id) != Err(Errno::SRCH))
    }

    fn command(&self, pid: u32) -> Option<String> {
        thread_local!(static OWN: Known = const { Known::new(None) });
        let read = || system::command(pid);
        if pid == self.process_id() { known(&OWN, self.generation(), read) } else { read() }
    }

    fn user(&self) -> Option<String> {
        thread_local!(static USER: Known = const { Known::new(None) });
        let id = rustix::process::geteuid().as_raw();
        known(&USER, id.into(), || Some(name_of_user(&id.to_string())))
    }

    fn create(
        &self,
        path: &Path,
        content: &[u8],
        mode: u32,
        expiry: &mut dyn FnMut(&Attr) -> Option<ServerTime>,
    ) -> io::Result<Attr> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = retry_on_intr(|| rustix::fs::open(path, flags, to_mode(mode)))?;
        fill(file, content, expiry).inspect_err(|_| {
            // The error that is told is the one that stopped us; this one would only follow from it.
            let _ = rustix::fs::unlink(path);
        })
    }

    fn set_expiry(&self, path: &Path, expiry: ServerTime) -> io::Result<Attr> {
        set_times(path, to_timespec(expiry), to_timespec(expiry))
    }

    fn touch(&self, path: &Path) -> io::Result<Attr> {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW as _ };
        let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ };
        set_times(path, now, omit)
    }

    fn stat(&self, path: &Path) -> io::Result<Attr> {
        system::stat_afresh(path)
    }

    fn stat_as_known(&self, path: &Path) -> io::Result<Attr> {
        stat_path(path)
    }

    fn id_as_known(&self, path: &Path) -> io::Result<FileId> {
        system::id_as_known(path)
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
        // NONBLOCK: a FIFO of that name shall not keep us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?;
        let attr = stat_open(&file)?;
        let mut content = Vec::new();
        if attr.kind == FileKind::Regular {
            fs::File::from(file).take(limit as u64).read_to_end(&mut content)?;
        }
        Ok((attr, content))
    }

    fn read_without_delegation(&self, path: &Path, device: u64, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
        system::read_without_delegation(path, device, limit)
    }

    fn list(&self, path: &Path, each: &mut dyn FnMut(&OsStr, u64) -> ControlFlow<()>) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?;
        for entry in rustix::fs::Dir::new(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." && each(OsStr::from_bytes(name), entry.ino()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty()).map_err(|e| match e {
            // So link(2) says that the file system has no hard links.
            Errno::PERM => io::Error::new(io::ErrorKind::Unsupported, e),
            e => e.into(),
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(rustix::fs::rename(from, to)?)
    }

    fn rename_noreplace(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(system::rename_noreplace(from, to)?)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::unlink(path)?)
    }

    fn mkdir(&self, path: &Path, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::mkdir(path, to_mode(mode))?)
    }

    fn chmod(&self, path: &Path, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::chmod(path, to_mode(mode))?)
    }

    fn rmdir(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::rmdir(path)?)
    }

    fn removes_by_name_alone(&self, dir: &Path) -> bool {
        system::removes_by_name_alone(dir)
    }

    fn stamps(&self, dir: &Path) -> Stamps {
        system::stamps(dir)
    }

    fn watcher(&self) -> Box<dyn Watcher> {
        Box::new(OsWatcher::new())
    }
}

/// Whether this process or the system has too many open files.
pub(crate) fn is_for_want_of_descriptors(e: &io::Error) -> bool {
    matches!(Errno::from_io_error(e), Some(Errno::MFILE | Errno::NFILE))
}

/// What a thread has read of a number, so that it is not read for every claim. Of a thread, since a lock could be left locked
/// by a fork.
type Known = RefCell<Option<(u64, String)>>;

fn known(slot: &'static LocalKey<Known>, of: u64, read: impl FnOnce() -> Option<String>) -> Option<String> {
    // A thread that is ending has none any more.
    let kept = slot.try_with(|slot| slot.borrow().clone()).ok().flatten();
    if let Some((_, text)) = kept.filter(|(number, _)| *number == of) {
        return Some(text);
    }
    let text = read()?;
    let _ = slot.try_with(|slot| slot.replace(Some((of, text.clone()))));
    Some(text)
}

/// A number that has no name stands for itself.
fn name_of_user(id: &str) -> String {
    let users = fs_read("/etc/passwd").unwrap_or_default();
    let users = String::from_utf8_lossy(&users);
    // name:password:id:...
    let name = users.lines().find_map(|user| {
        let mut fields = user.split(':');
        fields.next().filter(|_| fields.nth(1) == Some(id))
    });
    name.unwrap_or(id).to_owned()
}

fn fill(file: OwnedFd, content: &[u8], expiry: &mut dyn FnMut(&Attr) -> Option<ServerTime>) -> io::Result<Attr> {
    let mut attr = stat_open(&file)?;
    let expiry = expiry(&attr);
    let mut rest = content;
    while !rest.is_empty() {
        let written = retry_on_intr(|| rustix::io::write(&file, rest))?;
        rest = &rest[written..];
    }
    if let Some(expiry) = expiry {
        // After the write, which would set the mtime to now.
        let times = Timestamps { last_access: to_timespec(expiry), last_modification: to_timespec(expiry) };
        retry_on_intr(|| rustix::fs::futimens(&file, &times))?;
        attr = system::stat_open_as_known(&file)?;
    }
    close(file)?;
    Ok(attr)
}

/// NFS writes when a file is closed, and tells then that there was no room.
fn close(file: OwnedFd) -> io::Result<()> {
    #[expect(unsafe_code, reason = "to close a file and learn how that went has no safe function")]
    // SAFETY: the descriptor was ours alone, and nobody has it any more.
    unsafe {
        Ok(rustix::io::try_close(file.into_raw_fd())?)
    }
}

fn set_times(path: &Path, access: Timespec, modification: Timespec) -> io::Result<Attr> {
    let times = Timestamps { last_access: access, last_modification: modification };
    retry_on_intr(|| rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW))?;
    // The reply brought the attributes: the cache has the ctime that the server gave, so it need not be asked again.
    stat_path(path)
}

/// How wide a mode is differs between systems.
fn to_mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits as _)
}

fn kind(mode: u32) -> FileKind {
    match FileType::from_raw_mode(mode as _) {
        FileType::RegularFile => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        _ => FileKind::Other,
    }
}

fn to_timespec(time: ServerTime) -> Timespec {
    let (secs, nanos) = time.to_parts();
    Timespec { tv_sec: secs, tv_nsec: nanos.into() }
}

fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

#[expect(clippy::disallowed_methods, reason = "this is the place for it")]
fn fs_read(path: &str) -> Option<Vec<u8>> {
    fs::File::open(path).ok().and_then(read_all)
}

fn read_all(file: fs::File) -> Option<Vec<u8>> {
    // Room for all that /proc has to say at once, and no question for a size, which its files do not have.
    let mut content = Vec::with_capacity(4096);
    file.take(u64::MAX).read_to_end(&mut content).ok()?;
    Some(content)
}
