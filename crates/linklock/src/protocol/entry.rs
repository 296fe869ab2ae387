//! The entry of a `dir` lock that we hold: the one file of ours in the directory at the lock path.

use std::io;

use super::io_error::{gone_is_ok, is_gone};
use super::place::Place;
use super::stake::{RECENT, Stake};
use crate::claim::Claim;
use crate::env::{Attr, Location};
use crate::error::Error;

/// Requires a directory of ours: in another user's, that name proves nothing.
pub(super) fn own(place: &Place, stake: &Stake) -> Location {
    named(place, stake, &stake.claim)
}

/// Where the entry is if it has this claim's name.
pub(super) fn named(place: &Place, stake: &Stake, claim: &Claim) -> Location {
    place.held_file(claim).of(stake.owner)
}

/// Whether our entry is there, by the answer to a request for it.
pub(super) fn is_there(stake: &Stake, entry: io::Result<Attr>) -> io::Result<bool> {
    match entry {
        Ok(attr) => Ok(attr.owner == stake.owner),
        Err(e) if is_gone(&e) || e.kind() == io::ErrorKind::NotADirectory => Ok(false),
        Err(e) => Err(e),
    }
}

/// Whether this claim holds the lock, asked of the server.
pub(super) fn holds(place: &Place, stake: &Stake) -> io::Result<bool> {
    let has = |claim: &Claim| is_there(stake, place.stat_afresh(&named(place, stake, claim)));
    // The old name first: a request of a downgrade that is still under way can only take it away and bring the new one.
    if let Some(was) = &stake.was {
        forget(place)?;
        return Ok(has(was)? || has(&stake.claim)?);
    }
    has(&stake.claim)
}

/// Makes an NFS client ask for the lock path and for the names in it. It may remember from before that there was no such name, or
/// another lock.
pub(super) fn forget(place: &Place) -> io::Result<()> {
    place.forget_names()?;
    gone_is_ok(place.env.stat(place.location()).map(drop))
}

/// Removes the entry. Returns whether it was there, as far as the answer shows.
pub(super) fn remove(place: &Place, stake: &Stake) -> Result<bool, Error> {
    if stake.was.is_some() {
        let _ = forget(place);
    }
    let before = place.env.now();
    // The old name first: then no request of a downgrade that is still under way finds it.
    for claim in stake.was.iter().chain([&stake.claim]) {
        match place.env.unlink(&named(place, stake, claim)) {
            Ok(()) => return Ok(true),
            Err(e) if is_gone(&e) => {}
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => return Ok(false),
            Err(e) => return Err(Error::io(place.lock_path(), "release the lock", e)),
        }
    }
    // A request whose reply was lost is sent again after seconds, and then finds that the first one was carried
    // out.
    Ok(place.env.now().since(before) >= RECENT)
}
