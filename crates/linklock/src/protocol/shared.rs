//! The directories beside the lock path that all contenders write to: the counter of fencing tokens, and the queue.

use std::io::{self, ErrorKind};

use super::claims;
use super::io_error::is_gone;
use super::place::{Place, WRITE_OTHERS};
use crate::env::{DirMode, Location};

/// The most names that are tried for a new directory, if replies are lost.
const TRIES: u32 = 16;

/// The directory at this location, with a condition: something is created or removed in it only if everybody may write
/// to it who may write to the lock's directory. Whoever may rename in the lock's directory can move another user's
/// directory to this name. With the condition, they can write to that directory anyway, so they gain nothing.
pub(super) fn only_if_open(place: &Place, dir: Location) -> io::Result<Location> {
    let parent = place.dir_as_known()?;
    Ok(dir.written_by(parent.mode & WRITE_OTHERS))
}

/// Creates the directory, as open to others as the lock's own directory, with all its permissions from the start.
pub(super) fn make(place: &Place, dir: &Location) -> io::Result<()> {
    let mut made = make_once(place, dir);
    for _ in 1..TRIES {
        // Nobody could guess the name. So it is ours and the reply was lost, or another directory has replaced it.
        if !made.as_ref().is_err_and(|e| e.kind() == ErrorKind::AlreadyExists) {
            break;
        }
        made = make_once(place, dir);
    }
    made
}

fn make_once(place: &Place, dir: &Location) -> io::Result<()> {
    let env = place.env.as_ref();
    let mode = place.stat_dir()?.mode & 0o1777 | 0o700;
    // A name that is used once, like a claim's.
    let staged = place.path.beside(&claims::of_this_process(place).token);
    let moved = env.make_dir(&staged, DirMode::Exactly(mode)).and_then(|_| env.rename(&staged, dir));
    moved.or_else(|e| {
        let _ = env.rmdir(&staged);
        // Somebody else was first, or ours was moved and the reply was lost. The next call there shows whether it is
        // usable. Asks for the parent's attributes first: an NFS client may believe that the directory does not exist.
        match place.stat_dir().and_then(|_| env.stat(dir)) {
            Ok(_) => Ok(()),
            // Not empty: the directory existed, and is gone again.
            Err(_) if e.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
            // The first answer may only be that of a repeated request.
            Err(unseen) if !is_gone(&unseen) && e.kind() == ErrorKind::NotFound => Err(unseen),
            Err(_) => Err(e),
        }
    })
}
