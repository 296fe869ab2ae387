//! The expiry of our own claim: set it, keep it fresh, and ask for the server's time by it.

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

/// How long after its lifetime a contender may still use a claim that it left unchanged. After that it makes another
/// claim, since others remove one that is far past its expiry. See [`leftovers`](super::leftovers).
pub(super) const GIVEN_UP_AFTER: Duration = Duration::from_secs(12 * 3600);

/// Asks for the server's time by a claim that does not hold the lock.
pub(crate) fn ask_clock_by(place: &Place, stake: &Stake) -> io::Result<Option<Anchor>> {
    let at = place.staged_file(&stake.claim).of(stake.owner);
    ask_clock(place, &at, meant_waiting(place, stake.id, stake.owner), stake.ctime)
}

/// Asks for the server's time, by changing only the ctime of our own file. `None` if the file system cannot tell, or if
/// the ctime stayed at `known`.
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

/// Before a refresh that contenders cannot judge by a clock: makes the entry of a dir lock longer. They count for how long they
/// see the lock unchanged. Where each client stamps files by its own clock, a request that comes late sets an entry's times back
/// to those that they saw before the refresh. But no request that comes late makes the entry shorter.
pub(super) fn show_refresh(place: &Place, stake: &mut Stake, at: &Location, meant: Meant) -> io::Result<()> {
    if !shows_refresh(place) {
        return Ok(());
    }
    let until = place.env.now() + least_counted(place, stake, place.lifetime);
    stake.lease.deadline = stake.lease.deadline.min(until);
    place.env.append(at, meant, b"\n")
}

fn shows_refresh(place: &Place) -> bool {
    place.protocol == Protocol::Dir && !place.clock_is_known() && place.keeps(Step::GrowingEntry)
}

/// For how long, at least, others count a lock once a refresh with this lifetime has begun, whatever becomes of the refresh. A
/// longer entry lasts for the lifetime that it names, however far away the expiry was before.
pub(crate) fn least_counted(place: &Place, stake: &Stake, lifetime: Duration) -> Duration {
    let named = stake.claim.lifetime.unwrap_or(place.lifetime).min(place.lifetime);
    if shows_refresh(place) { lifetime.min(named) } else { lifetime }
}

/// Sets a new expiry on the claim's file, which exists. Returns until when that expiry may be trusted, counted from
/// before the call. Never moves the stake's own deadline on. Until more is known, and if the call fails, the old expiry
/// or the new one may be on disk, so the deadline is the earlier of both.
pub(super) fn set(
    place: &Place,
    stake: &mut Stake,
    at: &Location,
    meant: Meant,
    lifetime: Duration,
) -> io::Result<LocalTime> {
    let known = stake.anchor;
    let deadline = set_by_known_clock(place, stake, at, meant, lifetime)?;
    // What we knew about the server's clock may be old. If that clock has gained since, by drift or by a step, others
    // see our expiry pass too early. Now we know more, so set it again.
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
    let mut attr = place.env.set_expiry(at, meant, lease.expiry)?;
    if place.protocol == Protocol::Dir && attr.ctime == attr.mtime && attr.mtime + ROUNDING >= lease.expiry {
        // The ctime follows the mtime (FAT, some clients of CephFS and SMB). From there on the lock would last for its lifetime once
        // more. It is safe: whichever of the two is on disk, others count at least until the expiry.
        attr = place.env.set_expiry(at, meant, lease.expiry - lifetime_on_disk(place, &stake.claim))?;
    }
    // Even with drift, a slow reply says less than an older, fast one. If the ctime did not change, perhaps nothing
    // did: FUSE file systems have answered like that.
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

/// Until when a lease may be trusted whose expiry was set by a call that began at `before`. It counts only as far as
/// the attributes in the reply show it, since others judge by these. A file system may round the time that it is given,
/// or not keep it at all.
pub(crate) fn shown_deadline(
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
        Protocol::Dir => expiry_of_entry(attr, lifetime_on_disk(place, claim)),
    };
    let missing = lease.expiry.since(shown);
    // If it is later than requested, it only keeps others out for longer. That happens to a dir lock that was acquired
    // for longer.
    if missing > ROUNDING || (place.protocol == Protocol::Link && shown.since(lease.expiry) > ROUNDING) {
        return Err(io::Error::other(TimesNotKept));
    }
    // A contender that cannot compare clocks counts the lifetime that the lock names, from this change on.
    let counted = named.max(attr.mtime.since(attr.ctime));
    Ok((lease.deadline - missing).min(before + counted))
}

/// The lifetime that others count for a dir lock from its last change on, at least: its name says it, and its entry to the
/// millisecond.
fn lifetime_on_disk(place: &Place, claim: &Claim) -> Duration {
    claim.lifetime.map_or(place.lifetime, |named| named.min(place.lifetime))
}

/// Makes the expiry fresh for the next attempt, unless it still is. Returns whether the claim is usable: there, and as
/// we made it.
pub(super) fn freshen(place: &Place, stake: &mut Stake) -> Result<bool, Error> {
    if !stake.fresh && place.keeps(Step::FreshExpiry) {
        let at = place.staged_file(&stake.claim).of(stake.owner);
        let before = place.env.now();
        let meant = meant_waiting(place, stake.id, stake.owner);
        match set(place, stake, &at, meant, place.lifetime) {
            // It is so old that others may be removing it.
            Ok(_) if is_given_up(place, stake) => return Ok(false),
            // The expiry that was sent was old when it arrived. If that request were carried out again after a fresh
            // one, a live lock would look expired. A late request cannot reach another claim's file.
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

/// Whether the contender must not use this claim any more, because others may be removing it: it left the claim
/// unchanged for its lifetime and half a day. Others wait for its lifetime and at least a day. The difference covers
/// clocks that drift apart.
///
/// Ask this after the expiry was made fresh, so that no pause comes between.
fn is_given_up(place: &Place, stake: &Stake) -> bool {
    place.env.now().since(stake.confirmed) > stake.lease.lifetime + GIVEN_UP_AFTER
}

/// Whether a link claim is still as we made it, by the reply to our last change. A second link is a danger: it may have
/// been linked without our knowledge, and moved aside by a breaker that was stopped. Then the number of links would not
/// show whether our next link was made. An empty file is a danger too: a late request may have created the name again
/// after somebody removed it. At the lock path, such a file would be in everybody's way.
fn is_as_made(place: &Place, stake: &Stake, at: &Location) -> bool {
    let (meant, len) = (stake.meant(place), bytes_of(at.as_path()).len() as u64);
    place.env.stat_as_known(at).map_or(true, |attr| attr.nlink == 1 && meant.is(&attr) && attr.len == len)
}
