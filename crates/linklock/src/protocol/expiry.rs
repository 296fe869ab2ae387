//! The expiry of a claim of one's own: it is set, made fresh, and the server's clock is asked by it.

use std::io;
use std::time::Duration;

use super::io_error::is_gone;
use super::place::{Place, ROUNDING, SLOW};
use super::seen::expiry_of_entry;
use super::stake::{Stake, meant_waiting};
use crate::claim::Claim;
use crate::env::{Attr, Location, Meant, Step};
use crate::error::{Error, TimesNotKept};
use crate::lease::{Anchor, Lease};
use crate::names::bytes_of;
use crate::options::Protocol;
use crate::time::{LocalTime, ServerTime};

/// An owner makes another claim if it left this one alone for its lifetime and so long: others remove a claim that is far past
/// its expiry, see [`leftovers`](super::leftovers).
pub(super) const GIVEN_UP_AFTER: Duration = Duration::from_secs(12 * 3600);

/// Asks the server's clock by a claim that waits.
pub(crate) fn ask_clock_by(place: &Place, stake: &Stake) -> io::Result<Option<Anchor>> {
    let at = place.staged_file(&stake.claim).of(stake.owner);
    ask_clock(place, &at, meant_waiting(place, stake.id, stake.owner), stake.ctime)
}

/// Learns what the server's clock says, by a change of a file of ours that changes nothing else; `None` where the file
/// system cannot tell, or has left the ctime at the one that is known.
pub(super) fn ask_clock(place: &Place, at: &Location, meant: Meant, known: ServerTime) -> io::Result<Option<Anchor>> {
    let ask = || {
        let before = place.env.now();
        let attr = place.env.touch(at, meant)?;
        let anchor = Anchor::of_change(&attr, before, place.env.now());
        Ok::<_, io::Error>(anchor.filter(|_| attr.ctime != known))
    };
    let mut anchor = ask()?;
    for _ in 0..3 {
        if anchor.is_none_or(|anchor| anchor.width() <= SLOW) {
            break;
        }
        anchor = ask()?;
    }
    Ok(anchor)
}

/// Sets a new expiry on the claim's file, which is there, and says until when it may be trusted, counted from before the call. The
/// stake's own deadline does not grow: until more is known, and if the call fails, the old expiry or the new one may be
/// on disk, so it is the earlier of both.
pub(super) fn set(
    place: &Place,
    stake: &mut Stake,
    at: &Location,
    meant: Meant,
    lifetime: Duration,
) -> io::Result<LocalTime> {
    let known = stake.anchor;
    let deadline = set_by_known_clock(place, stake, at, meant, lifetime)?;
    // What was known of the server's clock may be old. If it has gone ahead since, by drifting or by a step, what was
    // written ends too early for others; now more is known.
    if stake.anchor.ahead_of(&known, place.env.now()) > SLOW {
        return set_by_known_clock(place, stake, at, meant, lifetime);
    }
    Ok(deadline)
}

fn set_by_known_clock(
    place: &Place,
    stake: &mut Stake,
    at: &Location,
    meant: Meant,
    lifetime: Duration,
) -> io::Result<LocalTime> {
    let before = place.env.now();
    let lease = Lease::starting(before, &stake.anchor, lifetime, stake.claim.mark());
    stake.lease.deadline = stake.lease.deadline.min(lease.deadline);
    let attr = place.env.set_expiry(at, meant, lease.expiry)?;
    // A slow reply tells less than what is known from a fast one, for all that clocks drift. A change that left the ctime as it
    // was may be none: FUSE file systems have answered so.
    if let Some(anchor) = Anchor::of_change(&attr, before, place.env.now())
        && anchor.width() <= SLOW.max(stake.anchor.width())
        && attr.ctime != stake.ctime
    {
        stake.anchor = anchor;
    }
    stake.ctime = attr.ctime;
    let deadline = shown_deadline(place, &stake.claim, &lease, before, &attr)?;
    stake.lease = Lease { deadline: stake.lease.deadline.min(deadline), ..lease };
    Ok(deadline)
}

/// Until when a lease may be trusted whose expiry was set by a call that began at `before`: as far as the attributes show it
/// that came back, for by these others judge. A file system may round the time that it is given, or not take it at all.
pub(super) fn shown_deadline(
    place: &Place,
    claim: &Claim,
    lease: &Lease,
    before: LocalTime,
    attr: &Attr,
) -> io::Result<LocalTime> {
    if !place.keeps(Step::ShownRefresh) {
        return Ok(lease.deadline);
    }
    let named = claim.lifetime.unwrap_or(place.lifetime);
    let shown = match place.protocol {
        Protocol::Link => attr.mtime,
        Protocol::Dir => expiry_of_entry(attr, place.lifetime.min(named)),
    };
    let missing = lease.expiry.since(shown);
    // Later than asked for, it keeps others out for nothing. A dir lock that was acquired for longer does so.
    if missing > ROUNDING || (place.protocol == Protocol::Link && shown.since(lease.expiry) > ROUNDING) {
        return Err(io::Error::other(TimesNotKept));
    }
    // Who knows no clock to compare it with counts the lifetime that the lock names, from this change on.
    let counted = named.max(attr.mtime.since(attr.ctime));
    Ok((lease.deadline - missing).min(before + counted))
}

/// Makes the expiry fresh for the next attempt, unless it still is. Says whether the claim is of use: there, and as we made it.
pub(super) fn freshen(place: &Place, stake: &mut Stake) -> Result<bool, Error> {
    if !stake.fresh && place.keeps(Step::FreshExpiry) {
        let at = place.staged_file(&stake.claim).of(stake.owner);
        let before = place.env.now();
        let meant = meant_waiting(place, stake.id, stake.owner);
        match set(place, stake, &at, meant, place.lifetime) {
            // So old that others may be removing it.
            Ok(_) if is_given_up(place, stake) => return Ok(false),
            // The expiry that was sent was old by then. If that request were carried out once more, after a fresh one, a
            // live lock would look expired. Nothing late reaches another claim's file.
            Ok(_) if place.protocol == Protocol::Link && place.env.now().since(before) > SLOW => return Ok(false),
            Ok(_) if place.protocol == Protocol::Link && !is_as_made(place, stake, &at) => return Ok(false),
            Ok(deadline) => (stake.lease.deadline, stake.confirmed) = (deadline, before),
            Err(e) if is_gone(&e) => return Ok(false),
            Err(e) => return Err(Error::io(place.lock_path(), "set the expiry of a claim", e)),
        }
    }
    stake.fresh = false;
    Ok(true)
}

/// Whether an owner must not use this claim any more and makes another: others may be removing it. It has been left alone for
/// its lifetime and half a day; others wait for its lifetime and a day at least, so clocks may run apart by the rest.
///
/// To be asked after the expiry was made fresh, so that no pause comes between.
fn is_given_up(place: &Place, stake: &Stake) -> bool {
    place.env.now().since(stake.confirmed) > stake.lease.lifetime + GIVEN_UP_AFTER
}

/// Whether a link claim that waits is what was made, by the reply to the last change of it. With another link, the count of links
/// would not tell whether the next link is made: it was linked before, without our knowing, and a breaker that moved it was
/// stopped. And a request that comes late may have made its name again after somebody removed it: linked, that empty file would
/// be in everybody's way.
fn is_as_made(place: &Place, stake: &Stake, at: &Location) -> bool {
    let (meant, len) = (stake.meant(place), bytes_of(at.as_path()).len() as u64);
    place.env.stat_as_known(at).map_or(true, |attr| attr.nlink == 1 && meant.is(&attr) && attr.len == len)
}
