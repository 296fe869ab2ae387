//! The directories beside the lock path that all contenders write to: the counter of fencing tokens, and the queue.

use std::io::{self, ErrorKind};

use super::claims;
use super::place::{Place, WRITE_OTHERS};
use crate::env::{DirMode, Location};

/// So many names are tried for a new directory, should replies be lost.
const TRIES: u32 = 16;

/// The directory of this name, in which something is to be made or removed only if all may write it who may write the lock's
/// directory. Who may rename there can bring another's to this name; one that he may write himself gives him nothing that he has
/// not.
pub(super) fn only_if_open(place: &Place, dir: Location) -> io::Result<Location> {
    let parent = place.dir_as_known()?;
    Ok(dir.written_by(parent.mode & WRITE_OTHERS))
}

/// Makes it, open to whom the lock's own directory is open, with all its permissions at once.
pub(super) fn make(place: &Place, dir: &Location) -> io::Result<()> {
    let mut made = make_once(place, dir);
    for _ in 1..TRIES {
        // A name that nobody could guess: ours, and the reply was lost; or it was replaced by another.
        if !made.as_ref().is_err_and(|e| e.kind() == ErrorKind::AlreadyExists) {
            break;
        }
        made = make_once(place, dir);
    }
    made
}

fn make_once(place: &Place, dir: &Location) -> io::Result<()> {
    let env = place.env.as_ref();
    let mode = env.stat_dir(place.path.dir())?.mode & 0o1777 | 0o700;
    // A name that is used once, as a claim's.
    let staged = place.path.beside(&claims::of_this_process(place).token);
    let moved = env.make_dir(&staged, DirMode::Exactly(mode)).and_then(|_| env.rename(&staged, dir));
    moved.or_else(|e| {
        let _ = env.rmdir(&staged);
        // Somebody else was first, or it was moved and the reply was lost. Whether it is of use, the next call there
        // tells. First the directory's attributes: an NFS client may believe that it is not there.
        let there = env.stat_dir(place.path.dir()).and_then(|_| env.stat(dir));
        // Not empty: it was there, and is gone again.
        if there.is_ok() || e.kind() == ErrorKind::DirectoryNotEmpty { Ok(()) } else { Err(e) }
    })
}
