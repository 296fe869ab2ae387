//! The steps of both protocols. Only this module chooses between them.

use std::io;
use std::time::Duration;

use super::clear::clear_unless_may_stay;
use super::io_error::is_gone;
use super::place::Place;
use super::seen::SeenLock;
use super::stake::{Attempt, Break, Stake};
use super::{dir, downgrade, entry, expiry, link};
use crate::claim::Claim;
use crate::env::{Location, Step};
use crate::error::{Error, Lost};
use crate::options::Protocol;
use crate::time::LocalTime;

/// Puts a claim beside the lock path, with a fresh expiry.
pub(crate) fn stage(place: &Place) -> Result<Stake, Error> {
    match place.protocol {
        Protocol::Link => link::stage(place),
        Protocol::Dir => dir::stage(place),
    }
}

/// Tries once to bring the claim to the lock path, with a fresh expiry, and decides by what is on disk.
pub(crate) fn attempt(place: &Place, stake: &mut Stake) -> Result<Attempt, Error> {
    match place.protocol {
        Protocol::Link => link::attempt(place, stake),
        Protocol::Dir => dir::attempt(place, stake, clear_unless_may_stay),
    }
}

/// Whether this claim holds the lock, asked of the server.
pub(crate) fn holds(place: &Place, stake: &Stake) -> io::Result<bool> {
    match place.protocol {
        Protocol::Link => link::holds(place, stake),
        Protocol::Dir => entry::holds(place, stake),
    }
}

/// Releases the lock.
pub(crate) fn release(place: &Place, stake: &Stake) -> Result<(), Error> {
    match place.protocol {
        Protocol::Link => link::release(place, stake),
        Protocol::Dir => dir::release(place, stake, clear_unless_may_stay),
    }
}

/// Removes a claim that does not hold the lock.
pub(crate) fn withdraw(place: &Place, claim: &Claim) {
    match place.protocol {
        Protocol::Link => link::withdraw(place, claim),
        Protocol::Dir => dir::withdraw(place, claim),
    }
}

/// Breaks the lock of the holder that was seen, and no other, by the protocol of that lock.
pub(crate) fn break_lock(place: &Place, seen: &SeenLock) -> Result<Break, Error> {
    match seen.protocol {
        Protocol::Link => link::break_lock(place, seen),
        Protocol::Dir => dir::break_lock(place, seen, clear_unless_may_stay),
    }
}

/// Shares a held `dir` lock with others. From the call on it is held as a reader holds it, whatever the call returns. It counts only
/// if it returns before `limit`. After an error that does not say that the lock is lost, it can be tried again.
pub(crate) fn downgrade(place: &Place, stake: &mut Stake, limit: LocalTime) -> Result<(), Error> {
    downgrade::downgrade(place, stake, limit)
}

/// Moves a held lock's expiry on. That counts only if it returns before `limit`. If the refresh can never succeed
/// again, the error says that the lock is lost. After any other error the lock is not lost.
pub(crate) fn refresh(place: &Place, stake: &mut Stake, lifetime: Duration, limit: LocalTime) -> Result<(), Error> {
    let lost = |why| Err(Error::lost(place.lock_path(), why));
    let limit = limit.min(place.env.now() + expiry::least_counted(place, stake, lifetime));
    // An expired lock may be broken at any moment: a refresh now could come between a breaker's look and its break.
    if place.env.now() >= limit && place.keeps(Step::DeadlineOfRefresh) {
        return lost(Lost::Overdue);
    }
    let deadline = match set_expiry(place, stake, lifetime) {
        Ok(deadline) => deadline,
        Err(e) if is_gone(&e) => return lost(Lost::Broken),
        Err(e) => return Err(Error::io(place.lock_path(), "refresh the lock", e)),
    };
    // The expiry may have been set on a claim that was broken. Ask whether it still holds the lock.
    let before = place.env.now();
    match holds(place, stake) {
        Ok(true) => stake.confirmed = before,
        Ok(false) if place.keeps(Step::CheckAfterRefresh) => return lost(Lost::Broken),
        Ok(false) => {}
        Err(e) => return Err(Error::io(place.lock_path(), "look at the lock", e)),
    }
    // Too late: a breaker may already have judged the lock as expired. So the old deadline stays, and we must not touch
    // the lock path.
    if place.env.now() >= limit && place.keeps(Step::DeadlineOfRefresh) {
        return lost(Lost::Overdue);
    }
    stake.lease.deadline = deadline;
    Ok(())
}

/// Sets a new expiry on the file of a held claim, see [`expiry::set`].
fn set_expiry(place: &Place, stake: &mut Stake, lifetime: Duration) -> io::Result<LocalTime> {
    let (owner, meant) = (stake.owner, stake.meant(place));
    let set_on = |stake: &mut Stake, held: &Location| {
        expiry::show_refresh(place, stake, held, meant)?;
        expiry::set(place, stake, held, meant, lifetime)
    };
    let held = |claim: &Claim| place.held_file(claim).of(owner);
    let (old, new) = (stake.was.as_ref().map(held), held(&stake.claim));
    // While a downgrade is in doubt, the entry has its old name or, from some moment on, the new one.
    match old.map(|old| set_on(stake, &old)) {
        Some(set) if !set.as_ref().is_err_and(is_gone) => set,
        _ => set_on(stake, &new),
    }
}
