//! The entry of a `dir` lock that we hold: the one file of ours in the directory at the lock path.

use std::io;

use super::io_error::is_gone;
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
        return Ok(has(was)? || has_new_name(place, stake)?);
    }
    has(&stake.claim)
}

/// Whether the entry has the claim's own name, while a downgrade is in doubt.
pub(super) fn has_new_name(place: &Place, stake: &Stake) -> io::Result<bool> {
    // An NFS client may remember that there was no such name before the rename. Fresh attributes of the directory make it ask.
    place.forget_names()?;
    is_there(stake, place.env.stat(place.location()).and_then(|_| place.env.stat(&own(place, stake))))
}

/// Removes the entry. Returns whether it was there, as far as the answer shows.
pub(super) fn remove(place: &Place, stake: &Stake) -> Result<bool, Error> {
    let before = place.env.now();
    // The old name first: then no request of a downgrade that is still under way finds it.
    for claim in stake.was.iter().chain([&stake.claim]) {
        match place.env.unlink(&named(place, stake, claim)) {
            Ok(()) => return Ok(true),
            // In doubt: an NFS client that asks for the directory's attributes forgets which names were not there.
            Err(e) if is_gone(&e) => drop(stake.was.as_ref().map(|_| place.env.stat(place.location()))),
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => return Ok(false),
            Err(e) => return Err(Error::io(place.lock_path(), "release the lock", e)),
        }
    }
    // A request whose reply was lost is sent again after seconds, and then finds that the first one was carried
    // out.
    Ok(place.env.now().since(before) >= RECENT)
}
