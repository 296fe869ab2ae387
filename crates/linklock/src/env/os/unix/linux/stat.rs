//! Attributes, by statx(2), and setting times.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Statx, StatxFlags, Timestamps, openat, statx, utimensat};
use rustix::io::{Errno, retry_on_intr};

use super::super::convert::kind;
use super::basics::as_path;
use crate::env::attr::{Attr, FileId, Meant};
use crate::time::ServerTime;

pub(crate) fn stat_at(dir: BorrowedFd<'_>, name: &Path) -> io::Result<Attr> {
    stat_with(dir, name, AtFlags::SYMLINK_NOFOLLOW)
}

pub(crate) fn stat_afresh(dir: BorrowedFd<'_>, name: &Path) -> io::Result<Attr> {
    // FORCE_SYNC: an NFS client may otherwise answer from a cache that is up to a minute old.
    stat_with(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_FORCE_SYNC)
}

pub(crate) fn stat_dir(dir: &Path) -> io::Result<Attr> {
    stat_with(CWD, dir, AtFlags::STATX_FORCE_SYNC)
}

pub(crate) fn id_as_known(dir: BorrowedFd<'_>, name: &Path) -> io::Result<FileId> {
    Ok(id(&statx_as_known(dir, name, StatxFlags::INO)?))
}

pub(crate) fn mode_as_known(dir: BorrowedFd<'_>, name: &Path) -> io::Result<u32> {
    Ok(mode(&statx_as_known(dir, name, StatxFlags::MODE)?))
}

fn statx_as_known(dir: BorrowedFd<'_>, name: &Path, what: StatxFlags) -> io::Result<Statx> {
    // Without DONT_SYNC, an NFS client asks for the attributes of a file that was just renamed, or in which something was.
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
    Ok(retry_on_intr(|| statx(dir, name, flags, what))?)
}

pub(crate) fn stat_open(file: &OwnedFd) -> io::Result<Attr> {
    Ok(to_attr(&statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?))
}

/// From the cache, which has what came with the reply to the last change. Sends no request.
pub(crate) fn stat_open_as_known(file: &OwnedFd) -> io::Result<Attr> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    Ok(to_attr(&statx(file, "", flags, StatxFlags::BASIC_STATS)?))
}

fn stat_with(dir: BorrowedFd<'_>, name: &Path, flags: AtFlags) -> io::Result<Attr> {
    let stat = retry_on_intr(|| statx(dir, name, flags, StatxFlags::BASIC_STATS));
    // A symbolic link to itself on the way is reported as "not a directory".
    Ok(to_attr(&stat.map_err(|e| if e == Errno::LOOP { Errno::NOTDIR } else { e })?))
}

fn id(stat: &Statx) -> FileId {
    FileId { device: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor), inode: stat.stx_ino }
}

fn mode(stat: &Statx) -> u32 {
    u32::from(stat.stx_mode) & 0o7777
}

fn to_attr(stat: &Statx) -> Attr {
    Attr {
        id: id(stat),
        kind: kind(stat.stx_mode.into()),
        nlink: stat.stx_nlink.into(),
        len: stat.stx_size,
        mtime: ServerTime::from_parts(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
        ctime: ServerTime::from_parts(stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
        mode: mode(stat),
        owner: stat.stx_uid,
    }
}

/// By a descriptor that opens nothing, so that the times of the very file that was checked are set.
pub(crate) fn set_times(dir: BorrowedFd<'_>, name: &Path, meant: Meant, times: &Timestamps) -> io::Result<Attr> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let by_name = || utimensat(dir, name, times, AtFlags::SYMLINK_NOFOLLOW);
    let file = match retry_on_intr(|| openat(dir, name, flags, Mode::empty())) {
        // A holder must be able to continue.
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
        // Kernels before 5.8 do not take this flag, but accept this name.
        Err(Errno::INVAL) => match utimensat(CWD, as_path(file.as_fd()), times, AtFlags::empty()) {
            // Without /proc, only the name is left.
            Err(Errno::NOENT) => by_name(),
            set => set,
        },
        set => set,
    })?;
    // The reply brought the attributes. So the cache has the server's ctime, and no request is needed.
    stat_open_as_known(&file)
}
