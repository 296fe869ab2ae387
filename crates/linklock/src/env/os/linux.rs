//! Linux.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec as Timeout, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Statx, StatxFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT,
};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, PidfdFlags};
use rustix::time::{ClockId, clock_gettime};

use crate::claim::Fingerprint;
use crate::env::{Attr, Env, FileId, FileKind, Liveness, Reach, Watcher};
use crate::lease::{LocalTime, ServerTime};
use crate::wait::Cancel;

/// A file's name from the bytes that a directory or a claim's content has for it.
#[expect(clippy::unnecessary_wraps, reason = "on other platforms not all bytes are a name")]
pub(crate) fn name_from_bytes(bytes: &[u8]) -> Option<OsString> {
    Some(OsString::from_vec(bytes.to_vec()))
}

pub(crate) fn bytes_of(name: &OsStr) -> &[u8] {
    name.as_bytes()
}

/// This machine.
#[derive(Debug)]
pub(crate) struct OsEnv;

impl Env for OsEnv {
    fn now(&self) -> LocalTime {
        let now = clock_gettime(ClockId::Boottime);
        LocalTime::from_nanos(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
    }

    fn wall_clock(&self) -> ServerTime {
        let now = clock_gettime(ClockId::Realtime);
        ServerTime::from_parts(now.tv_sec, now.tv_nsec as u32)
    }

    fn random(&self) -> u64 {
        fastrand::u64(..)
    }

    fn serial(&self) -> u32 {
        static NEXT: OnceLock<AtomicU32> = OnceLock::new();
        NEXT.get_or_init(|| AtomicU32::new(fastrand::u32(..))).fetch_add(1, Ordering::Relaxed)
    }

    fn host_name(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    fn process_id(&self) -> u32 {
        rustix::process::getpid().as_raw_nonzero().get() as u32
    }

    fn fingerprint(&self, pid: u32) -> Option<Fingerprint> {
        // One's own is asked for with every claim. It is kept together with the pid in one word, so that a forked child,
        // whose pid differs, sees that it is not its own, and no lock is needed that a fork could leave locked.
        static OWN: AtomicU64 = AtomicU64::new(0);
        const PRINT_BITS: u32 = 40;
        let own = pid == self.process_id() && pid < 1 << (u64::BITS - PRINT_BITS);
        let kept = OWN.load(Ordering::Relaxed);
        if own && kept >> PRINT_BITS == u64::from(pid) {
            return Fingerprint::from_bits(kept & ((1 << PRINT_BITS) - 1));
        }
        let print = Fingerprint::new(&boot_and_namespaces()?, ProcessStat::read(pid)?.start);
        if own {
            OWN.store(u64::from(pid) << PRINT_BITS | print.to_bits(), Ordering::Relaxed);
        }
        Some(print)
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
        match ProcessStat::read(pid) {
            Some(stat) if stat.ended || here.with_start(stat.start) != fingerprint => Liveness::Dead,
            Some(_) => Liveness::Alive,
            None => Liveness::Unknown,
        }
    }

    fn command(&self, pid: u32) -> Option<String> {
        let name = fs_read(&format!("/proc/{pid}/comm"))?;
        Some(String::from_utf8_lossy(&name).trim_end().to_owned())
    }

    fn user(&self) -> Option<String> {
        let id = rustix::process::geteuid().as_raw().to_string();
        let users = fs_read("/etc/passwd").unwrap_or_default();
        let users = String::from_utf8_lossy(&users);
        // name:password:id:...
        let name = users.lines().find_map(|user| {
            let mut fields = user.split(':');
            fields.next().filter(|_| fields.nth(1) == Some(&id))
        });
        Some(name.unwrap_or(&id).to_owned())
    }

    fn create(
        &self,
        path: &Path,
        content: &[u8],
        mode: u32,
        expiry: &mut dyn FnMut(&Attr) -> ServerTime,
    ) -> io::Result<()> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = retry_on_intr(|| rustix::fs::open(path, flags, Mode::from_raw_mode(mode)))?;
        fill(&file, content, expiry).inspect_err(|_| {
            // The error that is told is the one that stopped us; this one would only follow from it.
            let _ = rustix::fs::unlink(path);
        })
    }

    fn set_expiry(&self, path: &Path, expiry: ServerTime) -> io::Result<Attr> {
        let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ };
        set_times(path, omit, to_timespec(expiry))
    }

    fn touch(&self, path: &Path) -> io::Result<Attr> {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW as _ };
        let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ };
        set_times(path, now, omit)
    }

    fn stat(&self, path: &Path) -> io::Result<Attr> {
        // FORCE_SYNC: an NFS client may otherwise answer from a cache that is up to a minute old.
        stat_path(path, AtFlags::STATX_FORCE_SYNC)
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

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        Ok(names)
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
        Ok(rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::unlink(path)?)
    }

    fn mkdir(&self, path: &Path, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::mkdir(path, Mode::from_raw_mode(mode))?)
    }

    fn chmod(&self, path: &Path, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::chmod(path, Mode::from_raw_mode(mode))?)
    }

    fn rmdir(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::rmdir(path)?)
    }

    fn watcher(&self) -> Box<dyn Watcher> {
        // Without inotify (its instances are limited for each user) a waiter polls.
        let inotify = take_idle().or_else(|| inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok());
        Box::new(OsWatcher { inotify, watches: Vec::new(), process: None, shared: None })
    }
}

fn fill(file: &OwnedFd, content: &[u8], expiry: &mut dyn FnMut(&Attr) -> ServerTime) -> io::Result<()> {
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ };
    let expiry = expiry(&stat_open(file)?);
    let mut rest = content;
    while !rest.is_empty() {
        let written = retry_on_intr(|| rustix::io::write(file, rest))?;
        rest = &rest[written..];
    }
    // After the write, which would set the mtime to now.
    let times = Timestamps { last_access: omit, last_modification: to_timespec(expiry) };
    Ok(retry_on_intr(|| rustix::fs::futimens(file, &times))?)
}

fn set_times(path: &Path, access: Timespec, modification: Timespec) -> io::Result<Attr> {
    let times = Timestamps { last_access: access, last_modification: modification };
    retry_on_intr(|| rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW))?;
    // The reply brought the attributes: the cache has the ctime that the server gave, so it need not be asked again.
    stat_path(path, AtFlags::empty())
}

fn stat_path(path: &Path, sync: AtFlags) -> io::Result<Attr> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | sync;
    let stat = retry_on_intr(|| rustix::fs::statx(CWD, path, flags, StatxFlags::BASIC_STATS));
    // A symbolic link to itself among the directories is no directory.
    Ok(to_attr(&stat.map_err(|e| if e == Errno::LOOP { Errno::NOTDIR } else { e })?))
}

fn stat_open(file: &OwnedFd) -> io::Result<Attr> {
    Ok(to_attr(&rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?))
}

fn to_attr(stat: &Statx) -> Attr {
    Attr {
        id: FileId { device: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor), inode: stat.stx_ino },
        kind: match FileType::from_raw_mode(stat.stx_mode.into()) {
            FileType::RegularFile => FileKind::Regular,
            FileType::Directory => FileKind::Directory,
            FileType::Symlink => FileKind::Symlink,
            _ => FileKind::Other,
        },
        nlink: stat.stx_nlink.into(),
        len: stat.stx_size,
        mtime: ServerTime::from_parts(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
        ctime: ServerTime::from_parts(stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
        mode: u32::from(stat.stx_mode) & 0o7777,
    }
}

fn to_timespec(time: ServerTime) -> Timespec {
    let (secs, nanos) = time.to_parts();
    Timespec { tv_sec: secs, tv_nsec: nanos.into() }
}

fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// The boot, and the namespaces in which a pid and a start time mean what they mean here: a process in another time
/// namespace reads other start times, see time_namespaces(7).
fn boot_and_namespaces() -> Option<Vec<u8>> {
    let mut identity = fs_read("/proc/sys/kernel/random/boot_id")?;
    for namespace in ["/proc/self/ns/pid", "/proc/self/ns/time"] {
        // A kernel without time namespaces has no such file, and then every process is in the same one.
        let inode = rustix::fs::stat(namespace).map_or(0, |s| s.st_ino);
        identity.extend(inode.to_le_bytes());
    }
    Some(identity)
}

/// What /proc/PID/stat says, see proc_pid_stat(5).
struct ProcessStat {
    start: u64,
    /// It has ended and only waits to be reaped. A leader that ended before its other threads is a zombie too, but counts
    /// them, and they may still work under the lock.
    ended: bool,
}

impl ProcessStat {
    fn read(pid: u32) -> Option<Self> {
        let text = fs_read(&format!("/proc/{pid}/stat"))?;
        // The command's name, in parentheses, may hold anything: start behind the last one.
        let end = text.iter().rposition(|b| *b == b')')?;
        let fields: Vec<&str> = std::str::from_utf8(&text[end + 1..]).ok()?.split_ascii_whitespace().collect();
        // Counted from field 3, the state.
        let state = *fields.first()?;
        let threads: u64 = fields.get(17)?.parse().ok()?;
        Some(Self { start: fields.get(19)?.parse().ok()?, ended: matches!(state, "Z" | "X") && threads <= 1 })
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the place for it")]
fn fs_read(path: &str) -> Option<Vec<u8>> {
    fs::read(path).ok()
}

/// inotify for the lock, a pidfd for its holder.
#[derive(Debug)]
struct OsWatcher {
    inotify: Option<OwnedFd>,
    watches: Vec<i32>,
    process: Option<(u32, Option<OwnedFd>)>,
    /// Whether other machines can change the file system; `None` until a path is known.
    shared: Option<bool>,
}

thread_local! {
    /// The inotify instance that this thread waited with last, and the process that made it. To close one makes the kernel
    /// wait for all readers of its list of marks, 5 to 20 ms, and that just when the lock was had.
    static IDLE: Cell<Option<(u32, OwnedFd)>> = const { Cell::new(None) };
}

fn take_idle() -> Option<OwnedFd> {
    // A forked child has it too, but what one of them reads the other would miss.
    let (process, inotify) = IDLE.try_with(Cell::take).ok()??;
    (process == OsEnv.process_id()).then(|| {
        drain(&inotify);
        inotify
    })
}

fn drain(inotify: &OwnedFd) {
    let mut events = [0; 4096];
    while rustix::io::read(inotify, &mut events).is_ok_and(|n| n > 0) {}
}

impl Drop for OsWatcher {
    fn drop(&mut self) {
        let Some(inotify) = self.inotify.take() else { return };
        for watch in &self.watches {
            // One whose file is gone is gone already.
            let _ = inotify::remove_watch(&inotify, *watch);
        }
        // A thread that is ending has no place for it any more: then it is closed.
        let _ = IDLE.try_with(|idle| idle.set(Some((OsEnv.process_id(), inotify))));
    }
}

impl Watcher for OsWatcher {
    fn arm(&mut self, path: &Path, pid: Option<u32>) {
        if let Some(inotify) = &self.inotify {
            // On the file itself, not on the directory, where every other contender's claim would wake us. A link
            // removed or a new mtime is ATTRIB; below a directory, an entry's are meant too.
            let events = WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF | WatchFlags::DELETE;
            match inotify::add_watch(inotify, path, events | WatchFlags::DONT_FOLLOW) {
                // Nothing there: whoever looks next will see that it is free.
                Err(Errno::NOENT) => {}
                Ok(watch) if self.watches.contains(&watch) => {}
                Ok(watch) => self.watches.push(watch),
                Err(_) => self.inotify = None,
            }
        }
        if self.shared.is_none() {
            self.shared = rustix::fs::statfs(path.parent().unwrap_or(path)).ok().map(|s| is_shared(s.f_type as u64));
        }
        if self.process.as_ref().map(|p| p.0) != pid {
            self.process = pid.map(|pid| {
                let fd = to_pid(pid).and_then(|p| rustix::process::pidfd_open(p, PidfdFlags::empty()).ok());
                (pid, fd)
            });
        }
    }

    fn reach(&self) -> Reach {
        match (self.inotify.is_some(), self.shared.unwrap_or(true)) {
            (true, false) => Reach::All,
            (true, true) => Reach::ThisMachine,
            (false, false) => Reach::NoneLocal,
            (false, true) => Reach::NoneShared,
        }
    }

    fn wait(&mut self, until: LocalTime, cancel: Option<&Cancel>) {
        let process = self.process.as_ref().and_then(|(_, fd)| fd.as_ref());
        let cancel = cancel.map(|c| c.event().0.as_fd());
        // The process first, so that it is found again.
        let fds = [process.map(AsFd::as_fd), self.inotify.as_ref().map(AsFd::as_fd), cancel];
        let mut fds: Vec<PollFd<'_>> =
            fds.into_iter().flatten().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let left = until.since(OsEnv.now());
        let timeout = Timeout { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() };
        // Interrupted or failed: a wake-up for nothing.
        let _ = poll(&mut fds, Some(&timeout));
        let ended = process.is_some() && fds.first().is_some_and(|fd| !fd.revents().is_empty());
        drop(fds);
        if let (true, Some((_, fd))) = (ended, &mut self.process) {
            // Told once; a process that has ended would wake us again and again.
            *fd = None;
        }
        if let Some(inotify) = &self.inotify {
            drain(inotify);
        }
    }
}

/// File systems that other machines change too, by the magic numbers of statfs(2) and of their own sources. One that is
/// not named here counts as this machine's own; the only consequence is how a waiter without inotify polls.
fn is_shared(magic: u64) -> bool {
    const NFS: u64 = 0x6969;
    const SMB: [u64; 3] = [0x517b, 0xff53_4d42, 0xfe53_4d42];
    const CEPH: u64 = 0x00c3_6400;
    const AFS: u64 = 0x5346_414f;
    const LUSTRE: u64 = 0x0bd0_0bd0;
    const GPFS: u64 = 0x4750_4653;
    const BEEGFS: u64 = 0x1983_0326;
    const FUSE: u64 = 0x6573_5546;
    const V9FS: u64 = 0x0102_1997;
    const OCFS2: u64 = 0x7461_636f;
    const GFS2: u64 = 0x0116_1970;
    let magic = magic & 0xffff_ffff;
    SMB.contains(&magic) || [NFS, CEPH, AFS, LUSTRE, GPFS, BEEGFS, FUSE, V9FS, OCFS2, GFS2].contains(&magic)
}

/// Once set, it stays set and wakes whoever waits on it.
#[derive(Debug)]
pub(crate) struct Event(OwnedFd);

impl Event {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    pub(crate) fn set(&self) {
        // Fails only when its count is full: then it is set.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}
