//! Reaches a name so that nothing on the way to it is followed.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, retry_on_intr};

use super::system::basics::TO_REACH;
use super::system::stat::{stat_afresh, stat_open_as_known};
use crate::env::location::Between;
use crate::env::location::Location;

/// Acts on a name in a directory. The directory in between is opened for this call only, and nothing on the way to it
/// is followed. A descriptor that stayed open could be closed by others, and would hide that the directory was
/// replaced.
pub(crate) fn reach<T>(at: &Location, mut act: impl FnMut(BorrowedFd<'_>, &Path) -> io::Result<T>) -> io::Result<T> {
    let way = open_way(at)?;
    let (dir, path) = match &way {
        None => (CWD, at.between().map_or(at.as_path(), |(between, _)| between)),
        Some(dir) => {
            let name = at.between().and_then(|(between, _)| between.file_name()).unwrap_or_else(|| at.name());
            (dir.as_fd(), Path::new(name))
        }
    };
    let Some((_, must_be)) = at.between() else { return act(dir, path) };
    match act_inside(dir, path, must_be, at.name(), &mut act) {
        // The NFS client knew another directory by that name, which is gone. When it is asked for the name's
        // attributes, it looks the name up again, as it does itself when it follows a path.
        Err(e) if e.kind() == io::ErrorKind::StaleNetworkFileHandle => {
            stat_afresh(dir, path)?;
            act_inside(dir, path, must_be, at.name(), act)
        }
        // A holder must be able to continue, so this follows the path. Only this process has used the name, and only here:
        // elsewhere it exists only if somebody put it there on purpose.
        Err(e) if must_be.owner.is_some() && way.is_none() && is_for_want_of_descriptors(&e) => act(CWD, at.as_path()),
        done => done,
    }
}

/// The lock's directory, if it was found.
fn open_way(at: &Location) -> io::Result<Option<OwnedFd>> {
    let Some((named, found)) = at.way() else { return Ok(None) };
    let mut dir = open_dir(CWD, named, TO_REACH.difference(OFlags::NOFOLLOW))?;
    for name in found {
        dir = open_dir(dir.as_fd(), Path::new(name), TO_REACH)?;
    }
    Ok(Some(dir))
}

fn open_dir(dir: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let opened = retry_on_intr(|| openat(dir, path, flags, Mode::empty()));
    Ok(opened.map_err(|e| match e {
        // Some systems report a symbolic link with these errors.
        Errno::LOOP | Errno::MLINK => Errno::NOTDIR,
        e => e,
    })?)
}

fn act_inside<T>(
    dir: BorrowedFd<'_>,
    between: &Path,
    must_be: Between,
    name: &OsStr,
    mut act: impl FnMut(BorrowedFd<'_>, &Path) -> io::Result<T>,
) -> io::Result<T> {
    let dir = open_dir(dir, between, TO_REACH)?;
    // Checks the very directory in which it then acts.
    must_be.check(|| stat_open_as_known(&dir))?;
    act(dir.as_fd(), Path::new(name))
}

pub(crate) fn reach_both<T>(
    from: &Location,
    to: &Location,
    mut act: impl FnMut((BorrowedFd<'_>, &Path), (BorrowedFd<'_>, &Path)) -> io::Result<T>,
) -> io::Result<T> {
    reach(from, |dir, name| reach(to, |to_dir, new| act((dir, name), (to_dir, new))))
}

pub(crate) fn open_at(at: &Location, flags: OFlags) -> io::Result<OwnedFd> {
    reach(at, |dir, name| Ok(retry_on_intr(|| openat(dir, name, flags, Mode::empty()))?))
}

/// Whether this process or the system has too many open files.
pub(crate) fn is_for_want_of_descriptors(e: &io::Error) -> bool {
    matches!(Errno::from_io_error(e), Some(Errno::MFILE | Errno::NFILE))
}
