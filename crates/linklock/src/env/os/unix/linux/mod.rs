//! Linux.

mod event;
mod mounts;
mod page;
mod waiters;
mod watcher;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, PROC_SUPER_MAGIC, RenameFlags, Statx, StatxFlags, Timestamps, openat, readlinkat,
    renameat_with, statx, utimensat,
};
use rustix::io::{Errno, retry_on_intr};
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::time::ClockId;

use super::own::generation;
use super::{Kept, OsEnv, fs_read, kind, open_at, reach, read_all, to_pid};
use crate::env::{Attr, Env, FileId, FileKind, Location, Meant};
use crate::time::ServerTime;

use mounts::Reading;

pub(crate) use event::Event;
pub(super) use mounts::{removes_by_name_alone, stamps};
pub(super) use page::wiped_at_fork;
pub(crate) use watcher::OsWatcher;

/// It counts in suspend.
pub(super) const CLOCK: ClockId = ClockId::Boottime;

/// From the system's random source. Not held up by a machine that has only started and gathered little for it yet.
pub(super) fn random() -> Option<u64> {
    let mut bytes = [0; size_of::<u64>()];
    // Older kernels refuse the first flag, and have the second.
    let drawn = [GetRandomFlags::INSECURE, GetRandomFlags::NONBLOCK]
        .into_iter()
        .any(|flag| retry_on_intr(|| getrandom(&mut bytes, flag)).is_ok_and(|len| len == bytes.len()));
    drawn.then(|| u64::from_ne_bytes(bytes))
}

/// The name of a process.
pub(super) fn command(pid: u32) -> Option<String> {
    let proc = Proc::open()?;
    let name = if pid == super::own::process_id() {
        proc.read("self/comm")?
    } else if proc.is_ours() {
        proc.read(&format!("{pid}/comm"))?
    } else {
        return None;
    };
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

pub(super) fn rename_noreplace(
    dir: BorrowedFd<'_>,
    name: &Path,
    to_dir: BorrowedFd<'_>,
    new: &Path,
) -> rustix::io::Result<()> {
    renameat_with(dir, name, to_dir, new, RenameFlags::NOREPLACE)
}

/// To reach what is in a directory that may not be read. An NFS client asks for no more than on the way along a path.
pub(super) const TO_REACH: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

pub(super) fn stat_at(dir: BorrowedFd<'_>, name: &Path) -> io::Result<Attr> {
    stat_with(dir, name, AtFlags::SYMLINK_NOFOLLOW)
}

pub(super) fn stat_afresh(dir: BorrowedFd<'_>, name: &Path) -> io::Result<Attr> {
    // FORCE_SYNC: an NFS client may otherwise answer from a cache that is up to a minute old.
    stat_with(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_FORCE_SYNC)
}

pub(super) fn stat_dir(dir: &Path) -> io::Result<Attr> {
    stat_with(CWD, dir, AtFlags::STATX_FORCE_SYNC)
}

pub(super) fn id_as_known(dir: BorrowedFd<'_>, name: &Path) -> io::Result<FileId> {
    // Without DONT_SYNC an NFS client asks for the attributes of what was just renamed.
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
    Ok(id(&retry_on_intr(|| statx(dir, name, flags, StatxFlags::INO))?))
}

/// By a descriptor that opens nothing, so that the times are set of the file that was looked at.
pub(super) fn set_times(dir: BorrowedFd<'_>, name: &Path, meant: Meant, times: &Timestamps) -> io::Result<Attr> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let by_name = || utimensat(dir, name, times, AtFlags::SYMLINK_NOFOLLOW);
    let file = match retry_on_intr(|| openat(dir, name, flags, Mode::empty())) {
        // A holder must be able to go on.
        Err(Errno::MFILE | Errno::NFILE) if meant.is(&stat_at(dir, name)?) => {
            retry_on_intr(by_name)?;
            return stat_at(dir, name);
        }
        file => file?,
    };
    if !meant.is(&stat_open_as_known(&file)?) {
        return Err(io::ErrorKind::NotFound.into());
    }
    retry_on_intr(|| match utimensat(&file, "", times, AtFlags::EMPTY_PATH) {
        // Kernels before 5.8 take no such flag, but know it by this name.
        Err(Errno::INVAL) => match utimensat(CWD, as_path(file.as_fd()), times, AtFlags::empty()) {
            // There is no /proc: nothing but the name is left.
            Err(Errno::NOENT) => by_name(),
            set => set,
        },
        set => set,
    })?;
    // The reply brought the attributes: the cache has the ctime that the server gave, so it need not be asked again.
    stat_open_as_known(&file)
}

/// A name of what is open, see proc_pid_fd(5).
fn as_path(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

pub(super) fn read_without_delegation(at: &Location, device: u64, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
    match mounts::reading(at.dir(), device) {
        Reading::AsUsual => OsEnv.read(at, limit),
        Reading::Direct => read_direct(at, limit),
        Reading::NotAtAll => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// With O_DIRECT, an NFS client tells the server that it wants no delegation.
fn read_direct(at: &Location, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::DIRECT;
    let file = open_at(at, flags).map_err(|e| match Errno::from_io_error(&e) {
        // So a file system says that it cannot.
        Some(Errno::INVAL) => io::ErrorKind::Unsupported.into(),
        _ => e,
    })?;
    let attr = stat_open(&file)?;
    let len = if attr.kind == FileKind::Regular { attr.len.min(limit as u64) } else { 0 };
    // Up to its length and not to its end, which would be one request more.
    let mut content = vec![0; len as usize];
    let mut filled = 0;
    while filled < content.len() {
        match retry_on_intr(|| rustix::io::read(&file, &mut content[filled..]))? {
            0 => break,
            read => filled += read,
        }
    }
    content.truncate(filled);
    Ok((attr, content))
}

fn stat_with(dir: BorrowedFd<'_>, name: &Path, flags: AtFlags) -> io::Result<Attr> {
    let stat = retry_on_intr(|| statx(dir, name, flags, StatxFlags::BASIC_STATS));
    // A symbolic link to itself among the directories is no directory.
    Ok(to_attr(&stat.map_err(|e| if e == Errno::LOOP { Errno::NOTDIR } else { e })?))
}

pub(super) fn stat_open(file: &OwnedFd) -> io::Result<Attr> {
    Ok(to_attr(&statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?))
}

/// What came with the reply to the last change, where there is one: asks nobody.
pub(super) fn stat_open_as_known(file: &OwnedFd) -> io::Result<Attr> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    Ok(to_attr(&statx(file, "", flags, StatxFlags::BASIC_STATS)?))
}

fn id(stat: &Statx) -> FileId {
    FileId { device: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor), inode: stat.stx_ino }
}

fn to_attr(stat: &Statx) -> Attr {
    Attr {
        id: id(stat),
        kind: kind(stat.stx_mode.into()),
        nlink: stat.stx_nlink.into(),
        len: stat.stx_size,
        mtime: ServerTime::from_parts(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
        ctime: ServerTime::from_parts(stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
        mode: u32::from(stat.stx_mode) & 0o7777,
        owner: stat.stx_uid,
    }
}

/// What is mounted at /proc, opened once: all that is asked of it comes from one and the same file system.
pub(super) struct Proc(OwnedFd);

impl Proc {
    pub(super) fn open() -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        retry_on_intr(|| rustix::fs::open("/proc", flags, Mode::empty())).ok().map(Self)
    }

    /// Whether it shows the pids of our own namespace. It may be another's: nsenter(1) and unshare(1) change the namespace and
    /// leave /proc as it is unless told otherwise. There our pids are other processes.
    pub(super) fn is_ours(&self) -> bool {
        let is_proc = rustix::fs::fstatfs(&self.0).is_ok_and(|fs| fs.f_type == PROC_SUPER_MAGIC);
        let own = rustix::process::getpid().as_raw_nonzero().to_string();
        let named = readlinkat(&self.0, "self", Vec::new()).is_ok_and(|link| link.as_bytes() == own.as_bytes());
        // In the namespace of an ancestor, our pid there may be the same by chance.
        is_proc && named && self.read("self/status").is_some_and(|status| has_one_pid(&status, &own))
    }

    /// The boot, and the namespaces in which a pid and a start time mean what they mean here: a process in another time
    /// namespace reads other start times, see time_namespaces(7).
    pub(super) fn boot_and_namespaces(&self) -> Option<Vec<u8>> {
        let mut identity = self.read("sys/kernel/random/boot_id")?;
        for namespace in ["self/ns/pid", "self/ns/time"] {
            let inode = match rustix::fs::statat(&self.0, namespace, AtFlags::empty()) {
                Ok(stat) => stat.st_ino,
                // A kernel without such namespaces has no such file, and then every process is in the same one.
                Err(Errno::NOENT) => 0,
                // One that may not be known could be any: it must not look the same as another.
                Err(_) => return None,
            };
            identity.extend(inode.to_le_bytes());
        }
        Some(identity)
    }

    pub(super) fn stat(&self, pid: u32) -> Option<ProcessStat> {
        ProcessStat::parse(&self.read(&format!("{pid}/stat"))?)
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let file = retry_on_intr(|| openat(&self.0, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())).ok()?;
        read_all(file.into())
    }
}

/// Whether /proc/PID/status, see proc_pid_status(5), names no pid of the process but `own`. Seen from the namespace of an
/// ancestor, it has one in each namespace from there to its own.
fn has_one_pid(status: &[u8], own: &str) -> bool {
    let field = |name: &str| {
        let mut lines = status.split(|b| *b == b'\n');
        lines.find_map(|line| line.strip_prefix(name.as_bytes())).and_then(|pids| std::str::from_utf8(pids).ok())
    };
    // Kernels before 4.1 tell nothing.
    let pids = field("NStgid:").or_else(|| field("NSpid:"));
    pids.is_some_and(|pids| pids.split_ascii_whitespace().eq([own]))
}

/// What /proc/PID/stat says, see proc_pid_stat(5).
pub(super) struct ProcessStat {
    pub(super) start: u64,
    /// It has ended and only waits to be reaped. A leader that ended before its other threads is a zombie too, but counts
    /// them, and they may still work under the lock.
    pub(super) ended: bool,
}

impl ProcessStat {
    fn parse(text: &[u8]) -> Option<Self> {
        // The command's name, in parentheses, may hold anything: start behind the last one.
        let end = text.iter().rposition(|b| *b == b')')?;
        let fields: Vec<&str> = std::str::from_utf8(&text[end + 1..]).ok()?.split_ascii_whitespace().collect();
        // Counted from field 3, the state.
        let state = *fields.first()?;
        let threads: u64 = fields.get(17)?.parse().ok()?;
        Some(Self { start: fields.get(19)?.parse().ok()?, ended: matches!(state, "Z" | "X") && threads <= 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_with_our_one_pid_is_seen_from_our_own_namespace() {
        let told =
            |field: &str| has_one_pid(format!("Name:\tNStgid: 7\nTgid:\t7\n{field}\nThreads:\t1\n").as_bytes(), "7");
        for ours in ["NStgid:\t7", "NStgid:\t7\nNSpid:\t8", "NSpid:\t7"] {
            assert!(told(ours), "{ours:?}");
        }
        for another in
            ["NStgid:\t7\t1", "NStgid:\t1\t7", "NStgid:\t77", "NStgid:", "Pid:\t7", "NStgid:\t7\t1\nNSpid:\t7"]
        {
            assert!(!told(another), "{another:?}");
        }
    }
}
