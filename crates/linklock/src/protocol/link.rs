//! The `link` protocol: a claim file is hard-linked to the lock path. Compatible on disk with flufl.lock.

use std::io;

use super::bell;
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
use crate::options::Protocol;
use crate::printable::Printable;
use crate::time::ServerTime;

/// The most claims that are made if each takes too long. The last one is used anyway.
const CLAIMS_MOST: u32 = 3;

/// The most attempts at a turn. Another breaker's turn takes only a few calls.
const TURNS_MOST: u32 = 3;

/// Puts a claim beside the lock path, with a fresh expiry.
pub(super) fn stage(place: &Place) -> Result<Stake, Error> {
    let mut stake = make(place)?;
    // The expiry was computed before the content was written. If that took long, an old expiry was sent. If that
    // request were carried out again after a fresh one, a live lock would look expired. A late request cannot reach
    // another claim's file.
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
    // A lock that appears with an expiry in the past would be broken immediately, under its new holder.
    if !freshen(place, stake)? {
        return Ok(Attempt::Void);
    }
    let before = place.env.now();
    let linked = place.env.link(&place.path.beside(&stake.claim.token), place.location());
    if !place.keeps(Step::DecideByDisk) {
        return Ok(if linked.is_ok() { Attempt::Won } else { Attempt::Failed });
    }
    // Never trusts the answer of link alone. If the reply is lost, a successful link looks like a failure, and old
    // clients have reported the opposite.
    match decide(place, stake, linked.is_ok()) {
        Ok(Decision::Won) => {
            stake.confirmed = before;
            Ok(Attempt::Won)
        }
        Ok(Decision::TooLate | Decision::Gone) => Ok(Attempt::Void),
        Ok(Decision::Untrue) => Ok(Attempt::Failed),
        Ok(Decision::NotOurs) => not_linked(place, linked),
        Err(e) => {
            // We may hold the lock without knowing. Before our deadline, our file at the lock path is certainly our
            // lock.
            if holds(place, stake).unwrap_or(false) {
                let _ = unlink_lock(place, stake);
            }
            Err(Error::io(place.lock_path(), "see whether the lock was taken", e))
        }
    }
}

/// The result of an attempt, by what is on disk.
enum Decision {
    Won,
    /// Our claim is linked, but too late: others may already be breaking it. So we never held the lock.
    TooLate,
    /// The claim is gone.
    Gone,
    /// Only this client believes that our claim is at the lock path.
    Untrue,
    /// Nothing, or something else, is at the lock path.
    NotOurs,
}

/// What is at the lock path after link(2).
enum Found {
    /// Our claim, linked.
    Ours(Attr),
    /// Our file, with one link. Either the claim's own name is missing, or the server's answer was wrong.
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
    // A link that was made brought the attributes with its reply. Otherwise they may be old, and the server is asked.
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
        // Out of space, without an error so far. Nobody could see whose lock it is.
        let _ = unlink_lock(place, stake);
        return Err(io::ErrorKind::StorageFull.into());
    }
    // Too late after a pause or a slow reply.
    let is_late = place.env.now() >= stake.lease.deadline && place.keeps(Step::DeadlineOnceWon);
    Ok(if is_late { Decision::TooLate } else { Decision::Won })
}

/// Either somebody removed the claim's own name meanwhile, and without it the lock cannot be refreshed. Or the server's
/// answer was wrong, as Lustre's has been, and only this client believes that our file is at the lock path. Then
/// another holder's lock may be there, which we must not remove. Linking the lock path to our claim's name tells which,
/// and touches no other file.
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

/// The result of an attempt that did not bring our claim to the lock path, by the answer of link(2).
fn not_linked(place: &Place, linked: io::Result<()>) -> Result<Attempt, Error> {
    // The answer was success, but the claim is not at the lock path. So a link of it is somewhere else. With a second
    // link that is not the lock, the claim would look like a holder's at the next attempt. Another claim has none.
    let Err(e) = linked else { return Ok(Attempt::Void) };
    match e.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::StaleNetworkFileHandle | io::ErrorKind::Interrupted => {
            Ok(Attempt::Failed)
        }
        io::ErrorKind::NotFound => Ok(Attempt::Void),
        _ => Err(link_failed(place, e)),
    }
}

/// The error of link(2), if it says that no link can be made.
pub(super) fn link_failed(place: &Place, e: io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::Unsupported | io::ErrorKind::TooManyLinks => no_hard_links(place, e),
        _ => Error::io(place.lock_path(), "link the claim to the lock path", e),
    }
}

pub(super) fn no_hard_links(place: &Place, cause: io::Error) -> Error {
    Error::no_hard_links(place.lock_path(), cause, place.instead_of(Protocol::Link))
}

/// Whether these are the attributes of our claim, linked. The inode number is not enough: it is reused after a file is
/// gone. The number together with the exact mtime that we set is enough, since the mtime has the claim's own mark. If
/// the file system rounds the mtime, the content decides, since no name is used twice. If the content cannot be read,
/// our claim's own name decides, for the same reason.
fn is_ours(place: &Place, stake: &Stake, attr: &Attr) -> io::Result<bool> {
    // Another user's file may have got our file's number, with any times that its owner likes.
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

/// Whether this claim holds the lock, asked of the server.
pub(super) fn holds(place: &Place, stake: &Stake) -> io::Result<bool> {
    is_at_lock_path(place, stake, place.stat_afresh(place.location()))
}

/// Releases the lock.
pub(super) fn release(place: &Place, stake: &Stake) -> Result<(), Error> {
    // If the claim was confirmed just now, the cache is enough: it knows what this machine did at the lock path. If an
    // operator on another machine breaks the lock in that moment, we miss it, as we would right after any look.
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
    if released.is_ok() {
        bell::ring(place, stake);
    }
    // The claim goes last: while it exists, no other file can get its inode number.
    if released.as_ref().map_or_else(Error::is_lost, |()| true) {
        withdraw(place, &stake.claim);
    }
    released
}

/// Removes the lock path, which was just seen to be ours.
fn unlink_lock(place: &Place, stake: &Stake) -> Result<(), Error> {
    // A lock that is held for another process may be broken before our deadline: after that process has ended.
    let is_anothers = stake.claim.fingerprint.is_some() && stake.claim.pid != place.env.process_id();
    if is_anothers && place.keeps(Step::ReleaseInTurn) {
        return unlink_in_turn(place, stake);
    }
    unlink_shared_name(place, stake)
}

/// In our turn nobody breaks the lock, so the name stays what it was seen to be.
fn unlink_in_turn(place: &Place, stake: &Stake) -> Result<(), Error> {
    let Some(turn) = (0..TURNS_MOST).find_map(|_| Turn::take(place).transpose()).transpose()? else {
        return expire(place, stake);
    };
    place.outwait_cache();
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

/// Releases the lock without touching the shared name, because another breaker's turn may last long. Sets our claim's
/// expiry to long ago, by its own name, which reaches no other file. The next contender then breaks the lock
/// immediately.
fn expire(place: &Place, stake: &Stake) -> Result<(), Error> {
    let claim = place.path.beside(&stake.claim.token);
    match place.env.set_expiry(&claim, stake.meant(place), ServerTime::from_parts(1, 0)) {
        Ok(_) => Ok(()),
        Err(e) if is_gone(&e) => Err(Error::lost(place.lock_path(), Lost::Broken)),
        Err(e) => Err(Error::io(place.lock_path(), "release the lock", e)),
    }
}

fn unlink_shared_name(place: &Place, stake: &Stake) -> Result<(), Error> {
    // The name is shared, and unlink is unconditional. Before our deadline, nobody else may have put a lock there.
    // After it, we must not touch the name.
    if place.env.now() >= stake.lease.deadline && place.keeps(Step::DeadlineBeforeRelease) {
        return Err(Error::lost(place.lock_path(), Lost::Overdue));
    }
    match place.env.unlink(place.location()) {
        Ok(()) => Ok(()),
        // The request was carried out, its reply was lost, and it was sent again.
        Err(e) if is_gone(&e) => Ok(()),
        // Something else, such as a `dir` lock, may have come there since the look.
        Err(e) => match holds(place, stake) {
            Ok(false) => Err(Error::lost(place.lock_path(), Lost::Broken)),
            _ => Err(Error::io(place.lock_path(), "release the lock", e)),
        },
    }
}

/// Removes a claim that does not hold the lock.
pub(super) fn withdraw(place: &Place, claim: &Claim) {
    if let Err(e) = gone_is_ok(place.env.unlink(&place.path.beside(&claim.token))) {
        tracing::warn!(lock = %Printable::new(place.lock_path()), claim = %claim.token, error = %e, "could not remove a claim");
    }
}

/// Breaks the lock of the holder that was seen, and no other.
pub(super) fn break_lock(place: &Place, seen: &SeenLock) -> Result<Break, Error> {
    // Removing the shared name is unconditional, so breakers take turns. Without turns, a second breaker that judged
    // the same lock would remove the next holder's. The break lock is a dir lock, which does not have this problem.
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
    place.outwait_cache();
    // Look again: the breaker before us may have broken the lock. Forget cached names first: an old one would show the
    // broken claim, at a name where the next holder's lock is by now.
    place.forget_names().map_err(|e| Error::io(place.lock_path(), "look at the directory", e))?;
    match look(place)? {
        Seen::Lock(again) if again.is_same(seen) => {}
        _ if !place.keeps(Step::LookAgain) => {}
        _ => return Ok(Break::Changed),
    }
    // A new name: a rename onto another link of the same file would do nothing and report success.
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
    // A peer that ignores the break lock may have come between. So what was moved decides, not what was seen.
    let Some(moved) = identify::is_aside(place, seen, &aside) else {
        put_back(place, &aside);
        return Ok(Break::Changed);
    };
    // The claim's own name first: without it the holder's next refresh fails, and no late link can bring the lock back.
    // Content may name another's claim, so only a name of the very file that was moved is removed.
    let claims = match &seen.claim {
        Some(claim) => {
            identify::is_link(place, claim, &moved).map(|is| if is { vec![claim.clone()] } else { Vec::new() })
        }
        None => identify::links(place, token.as_os_str(), &moved),
    };
    let claims = claims.unwrap_or_else(|e| {
        tracing::warn!(lock = %Printable::new(place.lock_path()), error = %e, "could not find the names of a broken claim");
        Vec::new()
    });
    for path in claims.iter().map(|claim| place.path.beside(&claim.token)).chain([aside]) {
        if let Err(e) = gone_is_ok(env.unlink(&path)) {
            tracing::warn!(lock = %Printable::new(place.lock_path()), file = %Printable::new(path.as_path()), error = %e, "could not remove a broken claim");
        }
    }
    Ok(Break::Done)
}

/// Undoes the move of a lock that must not be broken. Must never replace a lock that was acquired meanwhile.
fn put_back(place: &Place, aside: &Location) {
    let env = place.env.as_ref();
    let put = env.link(aside, place.location()).and_then(|()| gone_is_ok(env.unlink(aside)));
    // On Linux, users cannot link a file that they do not own (fs.protected_hardlinks). No system links a directory,
    // such as a dir lock that came meanwhile.
    let put = put.or_else(|e| {
        let is_unlinkable = is_refused(&e) || e.kind() == io::ErrorKind::Unsupported;
        if is_unlinkable { env.rename_noreplace(aside, place.location()) } else { Err(e) }
    });
    if let Err(e) = put {
        if e.kind() == io::ErrorKind::AlreadyExists {
            // Another contender holds the lock by now, so nobody needs the name aside.
            let _ = env.unlink(aside);
        }
        tracing::error!(lock = %Printable::new(place.lock_path()), aside = %Printable::new(aside.as_path()), error = %e,
            "a breaker moved a live lock and could not put it back: its holder has lost it");
    }
}
