//! What all Unix systems share; `system` is what they do not.

mod own;
#[cfg_attr(target_os = "linux", path = "linux/mod.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other.rs")]
mod system;

#[cfg(feature = "tokio")]
mod bell;
mod kept;
mod new_dir;
mod wakes;

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread::LocalKey;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, mkdirat, open, openat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::Pid;
use rustix::time::{ClockId, clock_gettime};

use crate::env::location::Between;
use crate::env::{
    Attr, DirMode, Each, Env, Expiry, FileId, FileKind, Liveness, Location, Meant, NewDir, Stamps, Watcher,
};
use crate::fingerprint::Fingerprint;
use crate::time::{LocalTime, ServerTime};

#[cfg(feature = "tokio")]
pub(super) use bell::{Bell, wait_for_any};
use kept::Kept;
pub(crate) use system::Event;
#[cfg(feature = "tokio")]
pub(crate) use system::OsWatcher as TaskWatcher;
use system::{OsWatcher, TO_REACH, stat_at, stat_open};
#[cfg(feature = "tokio")]
pub(super) use wakes::{Wakes, Woken};

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
        known(&USER, id.into(), || Some(name_of_user(id).unwrap_or_else(|| id.to_string())))
    }

    fn user_id(&self) -> Option<u32> {
        Some(rustix::process::geteuid().as_raw())
    }

    fn name_of_user(&self, id: u32) -> Option<String> {
        thread_local!(static OWNER: Known = const { Known::new(None) });
        known(&OWNER, id.into(), || name_of_user(id))
    }

    fn create(&self, at: &Location, content: &[u8], mode: u32, expiry: &mut Expiry<'_>) -> io::Result<Attr> {
        reach(at, |dir, name| create(dir, name, content, mode, expiry, None))
    }

    fn set_expiry(&self, at: &Location, meant: Meant, expiry: ServerTime) -> io::Result<Attr> {
        set_times(at, meant, to_timespec(expiry), to_timespec(expiry))
    }

    fn touch(&self, at: &Location, meant: Meant) -> io::Result<Attr> {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW as _ };
        let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ };
        set_times(at, meant, now, omit)
    }

    fn stat(&self, at: &Location) -> io::Result<Attr> {
        reach(at, system::stat_afresh)
    }

    fn stat_dir(&self, dir: &Path) -> io::Result<Attr> {
        system::stat_dir(dir)
    }

    fn stat_as_known(&self, at: &Location) -> io::Result<Attr> {
        reach(at, stat_at)
    }

    fn id_as_known(&self, at: &Location) -> io::Result<FileId> {
        reach(at, system::id_as_known)
    }

    fn read(&self, at: &Location, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
        // NONBLOCK: a FIFO of that name shall not keep us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = open_at(at, flags)?;
        let attr = stat_open(&file)?;
        let mut content = Vec::new();
        if attr.kind == FileKind::Regular {
            fs::File::from(file).take(limit as u64).read_to_end(&mut content)?;
        }
        Ok((attr, content))
    }

    fn read_without_delegation(&self, at: &Location, device: u64, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
        system::read_without_delegation(at, device, limit)
    }

    fn list(&self, at: &Location, each: &mut Each<'_>) -> io::Result<()> {
        show_names(open_at(at, TO_LIST | OFlags::NOFOLLOW)?, each)
    }

    fn list_dir(&self, dir: &Path, each: &mut Each<'_>) -> io::Result<()> {
        show_names(retry_on_intr(|| open(dir, TO_LIST, Mode::empty()))?, each)
    }

    fn link(&self, from: &Location, to: &Location) -> io::Result<()> {
        let link = |(dir, name): (BorrowedFd<'_>, &Path), (to_dir, new): (BorrowedFd<'_>, &Path)| {
            rustix::fs::linkat(dir, name, to_dir, new, AtFlags::empty()).map_err(|e| match e {
                // So link(2) says that the file system has no hard links.
                Errno::PERM => io::Error::new(io::ErrorKind::Unsupported, e),
                e => e.into(),
            })
        };
        reach_both(from, to, link)
    }

    fn rename(&self, from: &Location, to: &Location) -> io::Result<()> {
        reach_both(from, to, |(dir, name), (to_dir, new)| Ok(rustix::fs::renameat(dir, name, to_dir, new)?))
    }

    fn rename_noreplace(&self, from: &Location, to: &Location) -> io::Result<()> {
        reach_both(from, to, |(dir, name), (to_dir, new)| Ok(system::rename_noreplace(dir, name, to_dir, new)?))
    }

    fn unlink(&self, at: &Location) -> io::Result<()> {
        reach(at, |dir, name| Ok(unlinkat(dir, name, AtFlags::empty())?))
    }

    fn mkdir(&self, at: &Location, mode: u32) -> io::Result<()> {
        reach(at, |dir, name| Ok(mkdirat(dir, name, to_mode(mode))?))
    }

    fn make_dir(&self, at: &Location, mode: DirMode) -> io::Result<Box<dyn NewDir>> {
        Ok(Box::new(reach(at, |dir, name| new_dir::make(dir, name, mode))?))
    }

    fn rmdir(&self, at: &Location) -> io::Result<()> {
        reach(at, |dir, name| Ok(unlinkat(dir, name, AtFlags::REMOVEDIR)?))
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

    fn is_for_want_of_descriptors(&self, e: &io::Error) -> bool {
        is_for_want_of_descriptors(e)
    }
}

/// Whether this process or the system has too many open files.
fn is_for_want_of_descriptors(e: &io::Error) -> bool {
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

fn name_of_user(id: u32) -> Option<String> {
    let id = id.to_string();
    let users = fs_read("/etc/passwd").unwrap_or_default();
    let users = String::from_utf8_lossy(&users);
    // name:password:id:...
    let name = users.lines().find_map(|user| {
        let mut fields = user.split(':');
        fields.next().filter(|_| fields.nth(1) == Some(&id))
    });
    name.map(str::to_owned)
}

/// Acts on a name in a directory. The one in between is opened for this call alone, and nothing is followed to it: a
/// descriptor that were kept would be one to lose, and would hide that the directory has been replaced.
fn reach<T>(at: &Location, mut act: impl FnMut(BorrowedFd<'_>, &Path) -> io::Result<T>) -> io::Result<T> {
    let Some((between, must_be)) = at.between() else { return act(CWD, at.as_path()) };
    match act_inside(between, must_be, at.name(), &mut act) {
        // An NFS client knew another directory by its name, which is gone. Asked for that name's attributes it looks it up again,
        // as it does by itself on the way along a path.
        Err(e) if e.kind() == io::ErrorKind::StaleNetworkFileHandle => {
            system::stat_afresh(CWD, between)?;
            act_inside(between, must_be, at.name(), act)
        }
        // A holder must be able to go on. What is said to be its own has a name that it has used once, here: what stands elsewhere
        // under that name is put there for it.
        Err(e) if must_be.owner.is_some() && is_for_want_of_descriptors(&e) => act(CWD, at.as_path()),
        done => done,
    }
}

fn act_inside<T>(
    between: &Path,
    must_be: Between,
    name: &OsStr,
    mut act: impl FnMut(BorrowedFd<'_>, &Path) -> io::Result<T>,
) -> io::Result<T> {
    let dir = retry_on_intr(|| open(between, TO_REACH, Mode::empty())).map_err(|e| match e {
        // So systems say that it is a symbolic link.
        Errno::LOOP | Errno::MLINK => Errno::NOTDIR,
        e => e,
    })?;
    // Of the very directory that is acted in.
    must_be.check(|| system::stat_open_as_known(&dir))?;
    act(dir.as_fd(), Path::new(name))
}

fn reach_both<T>(
    from: &Location,
    to: &Location,
    mut act: impl FnMut((BorrowedFd<'_>, &Path), (BorrowedFd<'_>, &Path)) -> io::Result<T>,
) -> io::Result<T> {
    reach(from, |dir, name| reach(to, |to_dir, new| act((dir, name), (to_dir, new))))
}

fn open_at(at: &Location, flags: OFlags) -> io::Result<OwnedFd> {
    reach(at, |dir, name| Ok(retry_on_intr(|| openat(dir, name, flags, Mode::empty()))?))
}

const TO_LIST: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn show_names(dir: OwnedFd, each: &mut Each<'_>) -> io::Result<()> {
    for entry in rustix::fs::Dir::new(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." && each(OsStr::from_bytes(name), entry.ino()).is_break() {
            break;
        }
    }
    Ok(())
}

/// `owner`: whose the directory is. A file of ours in another's directory is removed again: that one has taken the place of the
/// directory that was meant.
fn create(
    dir: BorrowedFd<'_>,
    name: &Path,
    content: &[u8],
    mode: u32,
    expiry: &mut Expiry<'_>,
    owner: Option<u32>,
) -> io::Result<Attr> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = retry_on_intr(|| openat(dir, name, flags, to_mode(mode)))?;
    fill(file, content, expiry, owner).inspect_err(|_| {
        // The error that is told is the one that stopped us; this one would only follow from it.
        let _ = unlinkat(dir, name, AtFlags::empty());
    })
}

fn fill(file: OwnedFd, content: &[u8], expiry: &mut Expiry<'_>, owner: Option<u32>) -> io::Result<Attr> {
    let mut attr = stat_open(&file)?;
    if owner.is_some_and(|owner| owner != attr.owner) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
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

fn set_times(at: &Location, meant: Meant, access: Timespec, modification: Timespec) -> io::Result<Attr> {
    let times = Timestamps { last_access: access, last_modification: modification };
    reach(at, |dir, name| system::set_times(dir, name, meant, &times))
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
