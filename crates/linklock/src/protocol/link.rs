//! The `link` protocol: a claim file, hard-linked to the lock path. Compatible on disk with flufl.lock.

use std::io;

use super::claims;
use super::expiry::freshen;
use super::identify;
use super::io_error::{gone_is_ok, is_gone, is_refused, is_unreadable};
use super::look::look;
use super::place::{Place, SLOW};
use super::seen::{Seen, SeenLock};
use super::stake::{Attempt, Break, Stake};
use super::turn::Turn;
use crate::claim::Claim;
use crate::env::{Attr, Location, Step};
use crate::error::{Error, Lost};
use crate::names::bytes_of;
use crate::printable::Printable;
use crate::time::ServerTime;

/// So many claims are made if each takes too long; the last is used all the same.
const CLAIMS_MOST: u32 = 3;

/// So often a turn is tried for: another's takes a few calls.
const TURNS_MOST: u32 = 3;

/// Puts a claim beside the lock path, with a fresh expiry.
pub(super) fn stage(place: &Place) -> Result<Stake, Error> {
    let mut stake = make(place)?;
    // Its expiry was decided on before its content was written. If that took long, an old expiry was sent, and if the request
    // were carried out once more, after a fresh one, a live lock would look expired. Nothing late reaches another claim's file.
    for _ in 1..CLAIMS_MOST {
        if place.env.now().since(stake.confirmed) <= SLOW {
            break;
        }
        withdraw(place, &stake.claim);
        stake = make(place)?;
    }
    Ok(stake)
}

fn make(place: &Place) -> Result<Stake, Error> {
    claims::stage(place, |claim| {
        let at = place.path.beside(&claim.token);
        let content = bytes_of(at.as_path());
        claims::create(place, claim, &at, |expiry| place.env.create(&at, content, place.mode, expiry))
    })
}

/// Tries once to link the claim to the lock path, with a fresh expiry, and decides by what is on disk.
pub(super) fn attempt(place: &Place, stake: &mut Stake) -> Result<Attempt, Error> {
    // A lock that appears with an expiry that has passed would be broken at once, under its new holder.
    if !freshen(place, stake)? {
        return Ok(Attempt::Void);
    }
    let before = place.env.now();
    let linked = place.env.link(&place.path.beside(&stake.claim.token), place.location());
    if !place.keeps(Step::DecideByDisk) {
        return Ok(if linked.is_ok() { Attempt::Won } else { Attempt::Failed });
    }
    // Never by link's word alone: a reply that was lost makes a link that was made look failed, and old clients have
    // told the opposite.
    match decide(place, stake, linked.is_ok()) {
        Ok(Decision::Won) => {
            stake.confirmed = before;
            Ok(Attempt::Won)
        }
        Ok(Decision::TooLate | Decision::Gone) => Ok(Attempt::Void),
        Ok(Decision::Untrue) => Ok(Attempt::Failed),
        Ok(Decision::NotOurs) => not_linked(place, linked),
        Err(e) => {
            // We may hold it without knowing. Before our deadline it can only be ours if it is our file.
            if holds(place, stake).unwrap_or(false) {
                let _ = unlink_lock(place, stake);
            }
            Err(Error::io(place.lock_path(), "see whether the lock was taken", e))
        }
    }
}

/// What an attempt has come to, by what is on disk.
enum Decision {
    Won,
    /// Our claim is linked. But others may already be breaking it: then it was never ours.
    TooLate,
    /// The claim is gone.
    Gone,
    /// This client alone believes that our claim is at the lock path.
    Untrue,
    /// Nothing is at the lock path, or something else.
    NotOurs,
}

/// What is at the lock path after link(2).
enum Found {
    /// Our claim, linked.
    Ours(Attr),
    /// Our file, with one link: the claim's own name is missing, or the server told an untruth.
    WithoutClaim,
    /// Nothing, or something else.
    NotOurs,
}

fn decide(place: &Place, stake: &mut Stake, was_linked: bool) -> io::Result<Decision> {
    match find(place, stake, was_linked)? {
        Found::Ours(attr) => confirm(place, stake, &attr),
        Found::WithoutClaim => restore_claim(place, stake),
        Found::NotOurs => Ok(Decision::NotOurs),
    }
}

fn find(place: &Place, stake: &Stake, was_linked: bool) -> io::Result<Found> {
    // The reply to a link that was made has brought the attributes; a link that was not made here is no news to them, and
    // the server is asked.
    let known = if was_linked { place.env.stat_as_known(place.location()).ok() } else { None };
    let known = known.filter(|attr| stake.meant(place).is(attr) && attr.nlink > 1);
    let attr = match known.map_or_else(|| place.env.stat(place.location()), Ok) {
        Ok(attr) => attr,
        Err(e) if is_gone(&e) => return Ok(Found::NotOurs),
        Err(e) => return Err(e),
    };
    if is_ours(place, stake, &attr)? {
        return Ok(Found::Ours(attr));
    }
    let is_without_claim = attr.id == stake.id && attr.nlink < 2 && was_linked;
    Ok(if is_without_claim { Found::WithoutClaim } else { Found::NotOurs })
}

fn confirm(place: &Place, stake: &mut Stake, attr: &Attr) -> io::Result<Decision> {
    stake.ctime = attr.ctime;
    if attr.len != bytes_of(place.path.beside(&stake.claim.token).as_path()).len() as u64 {
        // Out of space, and no error so far: nobody could tell whose lock it is.
        let _ = unlink_lock(place, stake);
        return Err(io::ErrorKind::StorageFull.into());
    }
    // After a pause or a slow reply.
    let is_late = place.env.now() >= stake.lease.deadline && place.keeps(Step::DeadlineOnceWon);
    Ok(if is_late { Decision::TooLate } else { Decision::Won })
}

/// Either the claim's own name was removed meanwhile, without which the lock cannot be refreshed. Or the server told an
/// untruth, as Lustre has done, and only this client believes that our file is under the lock path: then that may be
/// another's lock, and is not to be removed. To link our file to its old name tells, and touches no other.
fn restore_claim(place: &Place, stake: &mut Stake) -> io::Result<Decision> {
    match place.env.link(place.location(), &place.path.beside(&stake.claim.token)) {
        Ok(()) => match find(place, stake, false)? {
            Found::Ours(attr) => confirm(place, stake, &attr),
            Found::WithoutClaim | Found::NotOurs => Ok(Decision::NotOurs),
        },
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(Decision::Untrue),
        Err(e) if is_gone(&e) => Ok(Decision::Gone),
        Err(e) => Err(e),
    }
}

/// What to think of an attempt that has not brought our claim to the lock path, by what link(2) answered.
fn not_linked(place: &Place, linked: io::Result<()>) -> Result<Attempt, Error> {
    // It was linked, the answer was, and is not at the lock path: where that link is now, nobody knows. With a second link that is
    // not the lock, the claim would look like a holder's at the next attempt. Another claim has none.
    let Err(e) = linked else { return Ok(Attempt::Void) };
    match e.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::StaleNetworkFileHandle | io::ErrorKind::Interrupted => {
            Ok(Attempt::Failed)
        }
        io::ErrorKind::NotFound => Ok(Attempt::Void),
        io::ErrorKind::Unsupported | io::ErrorKind::TooManyLinks => Err(Error::no_hard_links(place.lock_path(), e)),
        _ => Err(Error::io(place.lock_path(), "link the claim to the lock path", e)),
    }
}

/// Whether these are the attributes of our claim, linked. The number of a file that is gone may be used again, so it
/// is not enough. With the very mtime that we set, which has the claim's own mark, it is; where the file system rounds that,
/// the content tells, for no name is used twice. What cannot be read is known by our own name, for the same reason.
fn is_ours(place: &Place, stake: &Stake, attr: &Attr) -> io::Result<bool> {
    // Another user's file may have got the number of ours, and all times that its owner likes.
    if !stake.meant(place).is(attr) || attr.nlink < 2 {
        return Ok(false);
    }
    if attr.mtime == stake.lease.expiry {
        return Ok(true);
    }
    match place.read(place.location(), attr.id.device) {
        Ok((read, content)) => {
            let claim = place.path.parse(&content);
            Ok(read.id == stake.id && claim.is_some_and(|claim| claim.token == stake.claim.token))
        }
        Err(e) if is_gone(&e) => Ok(false),
        Err(e) if is_unreadable(&e) => identify::is_link(place, &stake.claim, attr),
        Err(e) => Err(e),
    }
}

/// Whether our claim is at the lock path, which has these attributes.
fn is_at_lock_path(place: &Place, stake: &Stake, attr: io::Result<Attr>) -> io::Result<bool> {
    match attr {
        Ok(attr) => is_ours(place, stake, &attr),
        Err(e) if is_gone(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Whether the lock is this claim's, asked of the server.
pub(super) fn holds(place: &Place, stake: &Stake) -> io::Result<bool> {
    is_at_lock_path(place, stake, place.stat_afresh(place.location()))
}

/// Gives the lock back.
pub(super) fn release(place: &Place, stake: &Stake) -> Result<(), Error> {
    // What was confirmed just now need not be asked again: then what this machine knows will do, and it knows what was done on it.
    // A lock that is taken away by force from another machine is missed in that moment, as it is right after any look.
    let ours = if stake.is_just_confirmed(place) {
        is_at_lock_path(place, stake, place.env.stat_as_known(place.location()))
    } else {
        holds(place, stake)
    };
    let ours = ours.map_err(|e| Error::io(place.lock_path(), "look at the lock", e))?;
    let released = if ours || !place.keeps(Step::CheckBeforeRelease) {
        unlink_lock(place, stake)
    } else {
        Err(Error::lost(place.lock_path(), Lost::Broken))
    };
    // The claim goes last: as long as it stands, no other file can have its inode's number.
    if released.as_ref().map_or_else(Error::is_lost, |()| true) {
        withdraw(place, &stake.claim);
    }
    released
}

/// Removes the lock path, which was just seen to be ours.
fn unlink_lock(place: &Place, stake: &Stake) -> Result<(), Error> {
    // Held for another process, the lock may be broken before our deadline: once that process has ended.
    let is_anothers = stake.claim.fingerprint.is_some() && stake.claim.pid != place.env.process_id();
    if is_anothers && place.keeps(Step::ReleaseInTurn) {
        return unlink_in_turn(place, stake);
    }
    unlink_shared_name(place, stake)
}

/// While it is our turn nobody breaks the lock, so the name stays what it is seen to be.
fn unlink_in_turn(place: &Place, stake: &Stake) -> Result<(), Error> {
    let Some(turn) = (0..TURNS_MOST).find_map(|_| Turn::take(place).transpose()).transpose()? else {
        return expire(place, stake);
    };
    let ours = place.forget_names().and_then(|()| holds(place, stake));
    let unlinked = match ours {
        Ok(true) if turn.is_ours() => unlink_shared_name(place, stake),
        Ok(true) => Err(Error::io(place.lock_path(), "release the lock", io::ErrorKind::TimedOut.into())),
        Ok(false) => Err(Error::lost(place.lock_path(), Lost::Broken)),
        Err(e) => Err(Error::io(place.lock_path(), "look at the lock", e)),
    };
    turn.end();
    unlinked
}

/// Releases the lock without touching the shared name, for whoever breaks another's turn may take long: by its own name our
/// claim, and no other file, is made to have expired long ago. Whoever wants the lock then breaks it at once.
fn expire(place: &Place, stake: &Stake) -> Result<(), Error> {
    let claim = place.path.beside(&stake.claim.token);
    match place.env.set_expiry(&claim, stake.meant(place), ServerTime::from_parts(1, 0)) {
        Ok(_) => Ok(()),
        Err(e) if is_gone(&e) => Err(Error::lost(place.lock_path(), Lost::Broken)),
        Err(e) => Err(Error::io(place.lock_path(), "release the lock", e)),
    }
}

fn unlink_shared_name(place: &Place, stake: &Stake) -> Result<(), Error> {
    // The name is shared and unlink is unconditional. Before our deadline nobody else may have put a lock there;
    // after it, the name is not ours to touch.
    if place.env.now() >= stake.lease.deadline && place.keeps(Step::DeadlineBeforeRelease) {
        return Err(Error::lost(place.lock_path(), Lost::Overdue));
    }
    match place.env.unlink(place.location()) {
        Ok(()) => Ok(()),
        // The request was carried out, its reply lost, and the request sent again.
        Err(e) if is_gone(&e) => Ok(()),
        // Something else may have come there since the look, such as a `dir` lock.
        Err(e) => match holds(place, stake) {
            Ok(false) => Err(Error::lost(place.lock_path(), Lost::Broken)),
            _ => Err(Error::io(place.lock_path(), "release the lock", e)),
        },
    }
}

/// Removes a claim that does not hold the lock.
pub(super) fn withdraw(place: &Place, claim: &Claim) {
    if let Err(e) = gone_is_ok(place.env.unlink(&place.path.beside(&claim.token))) {
        tracing::warn!(lock = %Printable::new(place.lock_path()), claim = %claim.token, error = %e, "a claim file is left over");
    }
}

/// Takes the lock from the holder that was seen, and from no other.
pub(super) fn break_lock(place: &Place, seen: &SeenLock) -> Result<Break, Error> {
    // Removing the shared name is unconditional, so breakers take turns: a second one that judged the same lock
    // would remove the successor's. The break lock is a dir lock, which has no such trouble itself.
    if !place.keeps(Step::BreakersGuard) {
        return break_in_turn(place, seen, None);
    }
    let Some(turn) = Turn::take(place)? else { return Ok(Break::Busy) };
    let broken = break_in_turn(place, seen, Some(&turn));
    turn.end();
    broken
}

fn break_in_turn(place: &Place, seen: &SeenLock, turn: Option<&Turn>) -> Result<Break, Error> {
    let env = place.env.as_ref();
    // Look again: whoever had the turn before us may have broken it. By fresh names: one that is still believed in would show
    // the broken claim, under a name that is its successor's by now.
    place.forget_names().map_err(|e| Error::io(place.lock_path(), "look at the directory", e))?;
    match look(place)? {
        Seen::Lock(again) if again.is_same(seen) => {}
        _ if !place.keeps(Step::LookAgain) => {}
        _ => return Ok(Break::Changed),
    }
    // A fresh name: rename onto another link of the same file would do nothing and say that all is well.
    let token = claims::of_this_process(place).token;
    let aside = place.path.beside(&token);
    if !turn.is_none_or(Turn::is_ours) {
        return Ok(Break::Changed);
    }
    match env.rename(place.location(), &aside) {
        Ok(()) => {}
        Err(e) if is_gone(&e) => return Ok(Break::Changed),
        Err(e) => return Err(place.break_failed(seen, e)),
    }
    // A peer that knows no guard may have come between: what was moved decides, not what was seen.
    let Some(moved) = identify::is_aside(place, seen, &aside) else {
        put_back(place, &aside);
        return Ok(Break::Changed);
    };
    // The claim's own name first: without it the holder's next refresh fails, and no late link can bring it back. A content
    // may name another's claim: only what is a name of the very file that was moved is removed.
    let claims = match &seen.claim {
        Some(claim) => {
            identify::is_link(place, claim, &moved).map(|is| if is { vec![claim.clone()] } else { Vec::new() })
        }
        None => identify::links(place, token.as_os_str(), &moved),
    };
    let claims = claims.unwrap_or_else(|e| {
        tracing::warn!(lock = %Printable::new(place.lock_path()), error = %e, "a broken claim may be left over");
        Vec::new()
    });
    for path in claims.iter().map(|claim| place.path.beside(&claim.token)).chain([aside]) {
        if let Err(e) = gone_is_ok(env.unlink(&path)) {
            tracing::warn!(lock = %Printable::new(place.lock_path()), file = %Printable::new(path.as_path()), error = %e, "a broken claim is left over");
        }
    }
    Ok(Break::Done)
}

/// Undoes the move of a lock that was not to be broken. It must never replace a lock that was taken meanwhile.
fn put_back(place: &Place, aside: &Location) {
    let env = place.env.as_ref();
    let put = env.link(aside, place.location()).and_then(|()| gone_is_ok(env.unlink(aside)));
    // Linux lets nobody link a file that he does not own (fs.protected_hardlinks), and no system a directory, such as a dir lock
    // that has come meanwhile.
    let put = put.or_else(|e| {
        let is_unlinkable = is_refused(&e) || e.kind() == io::ErrorKind::Unsupported;
        if is_unlinkable { env.rename_noreplace(aside, place.location()) } else { Err(e) }
    });
    if let Err(e) = put {
        if e.kind() == io::ErrorKind::AlreadyExists {
            // Another has the lock by now: the name aside is of no use to anybody.
            let _ = env.unlink(aside);
        }
        tracing::error!(lock = %Printable::new(place.lock_path()), aside = %Printable::new(aside.as_path()), error = %e,
            "a live lock was moved by a breaker and could not be put back: its holder has lost it");
    }
}
