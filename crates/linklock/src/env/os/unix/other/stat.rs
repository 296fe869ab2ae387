//! Attributes, and setting times.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, Timestamps, openat};
use rustix::io::{Errno, retry_on_intr};

use super::super::convert::kind;
use super::basics::TO_REACH;
use crate::env::attr::{Attr, FileId, Meant};
use crate::time::ServerTime;

pub(crate) fn stat_at(dir: BorrowedFd<'_>, name: &Path) -> io::Result<Attr> {
    stat_with(dir, name, AtFlags::SYMLINK_NOFOLLOW)
}

pub(crate) fn stat_dir(dir: &Path) -> io::Result<Attr> {
    // Opening it makes an NFS client ask the server for its attributes.
    match retry_on_intr(|| rustix::fs::open(dir, TO_REACH - OFlags::NOFOLLOW, Mode::empty())) {
        Ok(dir) => stat_open(&dir),
        Err(_) => stat_with(CWD, dir, AtFlags::empty()),
    }
}

fn stat_with(dir: BorrowedFd<'_>, name: &Path, flags: AtFlags) -> io::Result<Attr> {
    let stat = retry_on_intr(|| rustix::fs::statat(dir, name, flags));
    // A symbolic link to itself on the way is reported as "not a directory".
    Ok(to_attr(&stat.map_err(|e| if e == Errno::LOOP { Errno::NOTDIR } else { e })?))
}

pub(crate) fn id_as_known(dir: BorrowedFd<'_>, name: &Path) -> io::Result<FileId> {
    Ok(stat_at(dir, name)?.id)
}

pub(crate) fn mode_as_known(dir: BorrowedFd<'_>, name: &Path) -> io::Result<u32> {
    Ok(stat_at(dir, name)?.mode)
}

pub(crate) fn stat_afresh(dir: BorrowedFd<'_>, name: &Path) -> io::Result<Attr> {
    // Opening a file makes an NFS client ask the server for its attributes. If it cannot be opened, the cache must do.
    match retry_on_intr(|| openat(dir, name, TO_LOOK, Mode::empty())) {
        Ok(file) => stat_open(&file),
        Err(_) => stat_at(dir, name),
    }
}

const TO_LOOK: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// By a descriptor, so that the times of the very file that was checked are set.
pub(crate) fn set_times(dir: BorrowedFd<'_>, name: &Path, meant: Meant, times: &Timestamps) -> io::Result<Attr> {
    let file = retry_on_intr(|| openat(dir, name, TO_LOOK, Mode::empty()))?;
    if !meant.is(&stat_open(&file)?) {
        return Err(io::ErrorKind::NotFound.into());
    }
    retry_on_intr(|| rustix::fs::futimens(&file, times))?;
    stat_open(&file)
}

pub(crate) fn stat_open(file: &OwnedFd) -> io::Result<Attr> {
    Ok(to_attr(&rustix::fs::fstat(file)?))
}

pub(crate) fn stat_open_as_known(file: &OwnedFd) -> io::Result<Attr> {
    stat_open(file)
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
