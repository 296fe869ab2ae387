//! Looks at a lock path: what is there, by whichever protocol. Changes nothing.

pub(super) mod dir;
mod link;

use std::io;

use super::io_error::is_gone;
use super::place::Place;
use super::seen::{Seen, SeenLock};
use crate::env::FileKind;
use crate::error::Error;
use crate::options::Protocol;
use crate::token::Token;

/// The most looks in a row, while the lock path changes between two calls.
const LOOKS_MOST: u32 = 64;

/// Looks at the lock path, and changes nothing.
pub(crate) fn look(place: &Place) -> Result<Seen, Error> {
    look_for(place, None)
}

/// The same; of several readers it shows this one, if it is there.
pub(crate) fn look_for(place: &Place, wanted: Option<&Token>) -> Result<Seen, Error> {
    for _ in 0..LOOKS_MOST {
        let attr = match place.stat_afresh(place.location()) {
            Ok(attr) => attr,
            Err(e) if is_gone(&e) => return Ok(Seen::Free),
            Err(e) => return Err(Error::io(place.lock_path(), "look at the lock", e)),
        };
        let seen = match attr.kind {
            // A break lock is never a `link` lock.
            FileKind::Regular if place.path.is_break_lock => Ok(Some(Seen::NotALock("an ordinary file".into()))),
            FileKind::Regular => link::look(place, attr),
            FileKind::Directory => dir::look(place, attr, wanted),
            FileKind::Symlink => Ok(Some(Seen::NotALock("a symbolic link".into()))),
            FileKind::Other => Ok(Some(Seen::NotALock("a device, socket or pipe".into()))),
        };
        match seen {
            Ok(Some(seen)) => return Ok(seen),
            Ok(None) => {}
            Err(e) if is_gone(&e) || e.kind() == io::ErrorKind::NotADirectory => {}
            // Of what has changed meanwhile it says nothing: gocryptfs reports EIO of a directory that is removed while it is listed.
            Err(e) if place.stat_afresh(place.location()).is_ok_and(|now| now == attr) => {
                return Err(Error::io(place.lock_path(), "read the lock", e));
            }
            Err(_) => {}
        }
    }
    // It was different each time. The caller's next attempt asks the server.
    Ok(Seen::Free)
}

/// Each reader of a shared lock; none if it is not shared by now.
pub(crate) fn readers(place: &Place) -> Result<Vec<SeenLock>, Error> {
    match place.stat_afresh(place.location()).and_then(|attr| dir::readers(place, &attr)) {
        Err(e) if is_gone(&e) || e.kind() == io::ErrorKind::NotADirectory => Ok(Vec::new()),
        // As in a look: of what is gone meanwhile an error says nothing.
        Err(_) if place.stat_afresh(place.location()).is_err_and(|e| is_gone(&e)) => Ok(Vec::new()),
        readers => readers.map_err(|e| Error::io(place.lock_path(), "look at the lock", e)),
    }
}

/// Whether the lock that was seen is still there and unchanged, with one request instead of a look. Every change of a
/// file renews its ctime. Only another file that got the same inode number within one tick of the server's clock could
/// be taken for it. So this is good enough to continue waiting, and nobody acts on it.
pub(crate) fn is_still_there(place: &Place, seen: &SeenLock) -> bool {
    let file = match (seen.protocol, &seen.claim) {
        (Protocol::Link, _) => place.location().clone(),
        (Protocol::Dir, Some(claim)) => place.location().inside(claim.token.as_os_str()),
        (Protocol::Dir, None) => return false,
    };
    place.env.stat(&file).is_ok_and(|attr| attr == seen.attr)
}
