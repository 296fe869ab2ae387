//! What a regular file at a lock path is.

use std::io;

use crate::env::{Attr, FileKind};
use crate::options::Protocol;
use crate::protocol::identify::{self, LinkedClaim, is_blank};
use crate::protocol::io_error::is_refused;
use crate::protocol::place::{CONTENT_LIMIT, Place};
use crate::protocol::seen::{Seen, SeenLock};

/// What the regular file at the lock path is. `None` if it changed during the look.
pub(super) fn look(place: &Place, attr: Attr) -> io::Result<Option<Seen>> {
    let lock = |claim, is_certain, attr| {
        let protocol = Protocol::Link;
        Ok(Some(Seen::Lock(SeenLock {
            protocol,
            claim,
            is_certain,
            attr,
            owner: Some(attr.owner),
            about: None,
            readers: 0,
        })))
    };
    let read = match place.read(place.location(), attr.id.device) {
        Err(e) if e.kind() == io::ErrorKind::Unsupported => match identify::linked_claim(place, &attr)? {
            LinkedClaim::Changed => return Ok(None),
            LinkedClaim::One(claim) => return lock(Some(claim), true, attr),
            // Nothing else says whose it is. The holder lost its claim's name, and so can neither refresh nor release
            // this lock any more. So a delegation does not delay that holder.
            LinkedClaim::NoClaim | LinkedClaim::Several => place.env.read(place.location(), CONTENT_LIMIT),
        },
        read => read,
    };
    let is_legible = read.is_ok();
    let attr = match read {
        Ok((attr, _)) if attr.kind != FileKind::Regular => return Ok(None),
        Ok((attr, content)) => match place.path.parse(&content) {
            Some(claim) => return lock(Some(claim), true, attr),
            // A power failure empties files. flufl.lock empties its claim for a moment if lock() is called again while
            // it is held.
            None if is_blank(&content) && attr.nlink > 1 => attr,
            None => return Ok(Some(Seen::NotALock("an ordinary file".into()))),
        },
        // Another user's file. A second link makes it likely that it is a lock.
        Err(e) if is_refused(&e) && attr.nlink > 1 => attr,
        // Another process has a lease on the file, and gives it up in time. Until then nobody can read the file.
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => attr,
        Err(e) => return Err(e),
    };
    match identify::linked_claim(place, &attr)? {
        LinkedClaim::Changed => Ok(None),
        LinkedClaim::One(claim) => lock(Some(claim), true, attr),
        LinkedClaim::Several => lock(None, true, attr),
        LinkedClaim::NoClaim if is_legible && attr.len > 0 => Ok(Some(Seen::NotALock("an ordinary file".into()))),
        // An mtime that is later than the last change is an expiry.
        LinkedClaim::NoClaim => lock(None, attr.len == 0 && attr.mtime > attr.ctime, attr),
    }
}
