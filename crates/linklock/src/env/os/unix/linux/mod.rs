//! Linux.

mod mounts;
mod pid;
mod watcher;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, Statx, StatxFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::time::ClockId;

use super::{OsEnv, fs_read, kind, to_pid};
use crate::env::{Attr, Env, FileId, FileKind};
use crate::lease::ServerTime;

use mounts::Reading;
pub(super) use mounts::removes_by_name_alone;
pub(super) use pid::process_id;
pub(crate) use watcher::Event;
pub(super) use watcher::OsWatcher;

/// It counts in suspend.
pub(super) const CLOCK: ClockId = ClockId::Boottime;

/// The name of a process.
pub(super) fn command(pid: u32) -> Option<String> {
    let name = fs_read(&format!("/proc/{pid}/comm"))?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

pub(super) fn rename_noreplace(from: &Path, to: &Path) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
}

pub(super) fn stat_path(path: &Path) -> io::Result<Attr> {
    stat_with(path, AtFlags::empty())
}

pub(super) fn stat_afresh(path: &Path) -> io::Result<Attr> {
    // FORCE_SYNC: an NFS client may otherwise answer from a cache that is up to a minute old.
    stat_with(path, AtFlags::STATX_FORCE_SYNC)
}

pub(super) fn id_as_known(path: &Path) -> io::Result<FileId> {
    // Without DONT_SYNC an NFS client asks for the attributes of what was just renamed.
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
    Ok(id(&retry_on_intr(|| rustix::fs::statx(CWD, path, flags, StatxFlags::INO))?))
}

pub(super) fn read_without_delegation(path: &Path, device: u64, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
    match mounts::reading(path.parent().unwrap_or(path), device) {
        Reading::AsUsual => OsEnv.read(path, limit),
        Reading::Direct => read_direct(path, limit),
        Reading::NotAtAll => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// With O_DIRECT, an NFS client tells the server that it wants no delegation.
fn read_direct(path: &Path, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::DIRECT;
    let file = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty())).map_err(|e| match e {
        // So a file system says that it cannot.
        Errno::INVAL => io::ErrorKind::Unsupported.into(),
        e => io::Error::from(e),
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

fn stat_with(path: &Path, sync: AtFlags) -> io::Result<Attr> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | sync;
    let stat = retry_on_intr(|| rustix::fs::statx(CWD, path, flags, StatxFlags::BASIC_STATS));
    // A symbolic link to itself among the directories is no directory.
    Ok(to_attr(&stat.map_err(|e| if e == Errno::LOOP { Errno::NOTDIR } else { e })?))
}

pub(super) fn stat_open(file: &OwnedFd) -> io::Result<Attr> {
    Ok(to_attr(&rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?))
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
    }
}

/// The boot, and the namespaces in which a pid and a start time mean what they mean here: a process in another time
/// namespace reads other start times, see time_namespaces(7).
pub(super) fn boot_and_namespaces() -> Option<Vec<u8>> {
    let mut identity = fs_read("/proc/sys/kernel/random/boot_id")?;
    for namespace in ["/proc/self/ns/pid", "/proc/self/ns/time"] {
        // A kernel without time namespaces has no such file, and then every process is in the same one.
        let inode = rustix::fs::stat(namespace).map_or(0, |s| s.st_ino);
        identity.extend(inode.to_le_bytes());
    }
    Some(identity)
}

/// What /proc/PID/stat says, see proc_pid_stat(5).
pub(super) struct ProcessStat {
    pub(super) start: u64,
    /// It has ended and only waits to be reaped. A leader that ended before its other threads is a zombie too, but counts
    /// them, and they may still work under the lock.
    pub(super) ended: bool,
}

impl ProcessStat {
    pub(super) fn read(pid: u32) -> Option<Self> {
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
