//! Unix systems other than Linux: what is compiled and not run here, so it keeps to what all of them have. Processes are
//! not known, so a lock is broken once it has expired; and a waiter polls.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, Timestamps, openat};
use rustix::io::{Errno, retry_on_intr};
use rustix::time::ClockId;

use super::own::Own;
#[cfg(feature = "tokio")]
use super::wakes::Woken;
use super::wakes::{Wakes, wait_for_one};
use super::{Kept, OsEnv, kind};
use crate::env::{Attr, Env, FileId, Location, Meant, Reach, Stamps, Watcher};
use crate::time::{LocalTime, ServerTime};

/// Of macOS and FreeBSD, the one that is never set and nearest to one that counts in suspend.
pub(super) const CLOCK: ClockId = ClockId::Monotonic;

/// Without a word from the system, no process is known.
pub(super) enum Proc {}

impl Proc {
    pub(super) fn open() -> Option<Self> {
        None
    }

    pub(super) fn is_ours(&self) -> bool {
        match *self {}
    }

    pub(super) fn boot_and_namespaces(&self) -> Option<Vec<u8>> {
        match *self {}
    }

    pub(super) fn stat(&self, _: u32) -> Option<ProcessStat> {
        match *self {}
    }
}

pub(super) struct ProcessStat {
    pub(super) start: u64,
    pub(super) ended: bool,
}

/// Not all of them have such memory.
pub(super) fn wiped_at_fork() -> Option<&'static Own> {
    None
}

/// From the system's random source.
#[expect(clippy::disallowed_methods, reason = "this is the place for it")]
pub(super) fn random() -> Option<u64> {
    let mut bytes = [0; size_of::<u64>()];
    fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes)).ok()?;
    Some(u64::from_ne_bytes(bytes))
}

pub(super) fn command(_: u32) -> Option<String> {
    None
}

/// Not known: the careful answer.
pub(super) fn removes_by_name_alone(_: &Path) -> bool {
    true
}

/// The version of an NFS mount is not known here, so every file is read as usual.
pub(super) fn read_without_delegation(at: &Location, _: u64, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
    OsEnv.read(at, limit)
}

pub(super) fn rename_noreplace(
    dir: BorrowedFd<'_>,
    name: &Path,
    to_dir: BorrowedFd<'_>,
    new: &Path,
) -> rustix::io::Result<()> {
    #[cfg(target_vendor = "apple")]
    return rustix::fs::renameat_with(dir, name, to_dir, new, rustix::fs::RenameFlags::NOREPLACE);
    #[cfg(not(target_vendor = "apple"))]
    {
        let _ = (dir, name, to_dir, new);
        Err(Errno::INVAL)
    }
}

/// To reach what is in a directory.
pub(super) const TO_REACH: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

pub(super) fn stat_at(dir: BorrowedFd<'_>, name: &Path) -> io::Result<Attr> {
    stat_with(dir, name, AtFlags::SYMLINK_NOFOLLOW)
}

pub(super) fn stat_dir(dir: &Path) -> io::Result<Attr> {
    // To open it makes an NFS client ask the server for its attributes.
    match retry_on_intr(|| rustix::fs::open(dir, TO_REACH - OFlags::NOFOLLOW, Mode::empty())) {
        Ok(dir) => stat_open(&dir),
        Err(_) => stat_with(CWD, dir, AtFlags::empty()),
    }
}

fn stat_with(dir: BorrowedFd<'_>, name: &Path, flags: AtFlags) -> io::Result<Attr> {
    let stat = retry_on_intr(|| rustix::fs::statat(dir, name, flags));
    // A symbolic link to itself among the directories is no directory.
    Ok(to_attr(&stat.map_err(|e| if e == Errno::LOOP { Errno::NOTDIR } else { e })?))
}

pub(super) fn id_as_known(dir: BorrowedFd<'_>, name: &Path) -> io::Result<FileId> {
    Ok(stat_at(dir, name)?.id)
}

pub(super) fn stat_afresh(dir: BorrowedFd<'_>, name: &Path) -> io::Result<Attr> {
    // To open a file makes an NFS client ask the server for its attributes. What may not be opened is taken as known.
    match retry_on_intr(|| openat(dir, name, TO_LOOK, Mode::empty())) {
        Ok(file) => stat_open(&file),
        Err(_) => stat_at(dir, name),
    }
}

const TO_LOOK: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// By a descriptor, so that the times are set of the file that was looked at.
pub(super) fn set_times(dir: BorrowedFd<'_>, name: &Path, meant: Meant, times: &Timestamps) -> io::Result<Attr> {
    let file = retry_on_intr(|| openat(dir, name, TO_LOOK, Mode::empty()))?;
    if !meant.is(&stat_open(&file)?) {
        return Err(io::ErrorKind::NotFound.into());
    }
    retry_on_intr(|| rustix::fs::futimens(&file, times))?;
    stat_open(&file)
}

pub(super) fn stat_open(file: &OwnedFd) -> io::Result<Attr> {
    Ok(to_attr(&rustix::fs::fstat(file)?))
}

pub(super) fn stat_open_as_known(file: &OwnedFd) -> io::Result<Attr> {
    stat_open(file)
}

/// What only this machine changes has its clock alone. Of what others change too, it is not known.
pub(super) fn stamps(dir: &Path) -> Stamps {
    if is_shared(dir) == Some(false) { Stamps::Server } else { Stamps::NotKnown }
}

#[allow(clippy::unnecessary_cast, reason = "these fields' types differ between systems")]
fn to_attr(stat: &Stat) -> Attr {
    Attr {
        id: FileId { device: stat.st_dev as u64, inode: stat.st_ino as u64 },
        kind: kind(stat.st_mode as u32),
        nlink: stat.st_nlink as u64,
        len: stat.st_size as u64,
        mtime: ServerTime::from_parts(stat.st_mtime as i64, stat.st_mtime_nsec as u32),
        ctime: ServerTime::from_parts(stat.st_ctime as i64, stat.st_ctime_nsec as u32),
        mode: stat.st_mode as u32 & 0o7777,
        owner: stat.st_uid,
    }
}

/// Whether other machines change it too; `None` if that cannot be known.
fn is_shared(dir: &Path) -> Option<bool> {
    #[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
    {
        const MNT_LOCAL: u64 = 0x1000;
        let stat = rustix::fs::statfs(dir).ok()?;
        #[allow(clippy::unnecessary_cast, reason = "the field's width differs between systems")]
        Some(stat.f_flags as u64 & MNT_LOCAL == 0)
    }
    #[cfg(not(any(target_vendor = "apple", target_os = "freebsd")))]
    {
        let _ = dir;
        None
    }
}

/// So often a waiter asks for a cancellation that has no descriptor to wake it.
const CANCEL_EVERY: Duration = Duration::from_secs(1);

/// Nothing but a poll and a cancellation wakes it.
#[derive(Debug)]
pub(crate) struct OsWatcher {
    /// Whether other machines can change the file system; `None` until a path is known.
    shared: Option<bool>,
}

impl OsWatcher {
    pub(super) fn new() -> Self {
        Self { shared: None }
    }

    /// What to sleep with, and for how long; `None` if there is a reason to look.
    pub(crate) fn fall_asleep(&mut self, until: LocalTime, cancel: Option<&Event>) -> Option<Wakes> {
        let event = cancel.map(Event::to_wait_on);
        if cancel.is_some_and(Event::is_set) {
            return None;
        }
        let hears_cancel = event.is_some_and(|fd| fd.is_some());
        let until = if event.is_some() && !hears_cancel { until.min(OsEnv.now() + CANCEL_EVERY) } else { until };
        Some(Wakes { process: None, changes: None, hears_cancel, until })
    }

    /// After the sleep, which nothing interrupts that is no reason to look.
    #[cfg(feature = "tokio")]
    pub(crate) fn wake_up(&mut self, _: Woken, _: Option<&Event>) -> bool {
        true
    }
}

impl Watcher for OsWatcher {
    fn arm(&mut self, at: &Location, _: Option<u32>) {
        if self.shared.is_none() {
            self.shared = is_shared(at.dir());
        }
    }

    fn reach(&self) -> Reach {
        if self.shared == Some(false) { Reach::NoneLocal } else { Reach::NoneShared }
    }

    fn wait(&mut self, until: LocalTime, cancel: Option<&Event>) {
        if let Some(wakes) = self.fall_asleep(until, cancel) {
            wait_for_one(&wakes, cancel);
        }
    }

    #[cfg(feature = "tokio")]
    fn for_task(self: Box<Self>) -> Result<Self, Box<dyn Watcher>> {
        Ok(*self)
    }
}

/// Once set, it stays set and wakes whoever waits on it.
#[derive(Debug)]
pub(crate) struct Event {
    read: Kept,
    write: Kept,
    is_set: AtomicBool,
}

impl Event {
    pub(crate) fn new() -> io::Result<Self> {
        // A pipe's number is its own, so it needs no mark.
        let (read, write) = io::pipe()?;
        let keep = |fd: OwnedFd| Kept::new(fd, OFlags::empty());
        Ok(Self { read: keep(read.into())?, write: keep(write.into())?, is_set: AtomicBool::new(false) })
    }

    /// A signal handler may call it.
    pub(crate) fn set(&self) {
        // One byte, which nobody reads: a pipe that is full would keep us.
        if !self.is_set.swap(true, Ordering::SeqCst)
            && let Some(fd) = self.write.get()
        {
            let _ = rustix::io::write(fd, &[1]);
        }
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::SeqCst)
    }

    /// To poll it again, once it was given to wait on.
    pub(super) fn unchecked(&self) -> Option<BorrowedFd<'_>> {
        self.read.unchecked()
    }

    /// `None` in a forked child, and where the application has closed it.
    fn to_wait_on(&self) -> Option<BorrowedFd<'_>> {
        self.read.get()
    }
}
