//! Reaching a name so that nothing on the way to it is followed.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, open, openat};
use rustix::io::{Errno, retry_on_intr};

use super::system::basics::TO_REACH;
use super::system::stat::{stat_afresh, stat_open_as_known};
use crate::env::Location;
use crate::env::location::Between;

/// Acts on a name in a directory. The one in between is opened for this call alone, and nothing is followed to it: a
/// descriptor that were kept would be one to lose, and would hide that the directory has been replaced.
pub(crate) fn reach<T>(at: &Location, mut act: impl FnMut(BorrowedFd<'_>, &Path) -> io::Result<T>) -> io::Result<T> {
    let Some((between, must_be)) = at.between() else { return act(CWD, at.as_path()) };
    match act_inside(between, must_be, at.name(), &mut act) {
        // An NFS client knew another directory by its name, which is gone. Asked for that name's attributes it looks it up again,
        // as it does by itself on the way along a path.
        Err(e) if e.kind() == io::ErrorKind::StaleNetworkFileHandle => {
            stat_afresh(CWD, between)?;
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
