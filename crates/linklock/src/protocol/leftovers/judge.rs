//! Judges whether something beside a lock path may be removed. Changes nothing.

use std::io;
use std::time::Duration;

use super::kinds::{Found, LeftoverKind, LeftoverVerdict};
use crate::claim::Claim;
use crate::env::{Attr, FileKind, Liveness, Location};
use crate::lease::Anchor;
use crate::options::Protocol;
use crate::protocol::bell;
use crate::protocol::clear::{is_surely_ours, may_stay};
use crate::protocol::expiry::GIVEN_UP_AFTER;
use crate::protocol::io_error::{is_gone, is_refused};
use crate::protocol::look::look;
use crate::protocol::place::{BREAK_LIFETIME, CONTENT_LIMIT, Place, SLOW};
use crate::protocol::queue;
use crate::protocol::seen::{Seen, SeenLock, expiry_of_entry};
use crate::time::ServerTime;

/// How long a claim is kept after its expiry. If [`LIFETIMES`] lifetimes are longer, it is kept for these.
///
/// Twice as long as its contender counts on. The rest covers clocks that drift apart.
const DAY: Duration = GIVEN_UP_AFTER.saturating_mul(2);
const LIFETIMES: u32 = 10;

/// How long a claim is kept after its expiry.
fn kept_for(lifetime: Duration) -> Duration {
    DAY.max(lifetime.saturating_mul(LIFETIMES))
}

/// Whether nobody uses a file with this expiry any more. `now` is the earliest that the server's clock can have said
/// before the file was looked at. Where it is not known whose clock stamps files, the file must also be far past by
/// this machine's wall clock.
fn is_far_past(place: &Place, expiry: ServerTime, lifetime: Duration, now: ServerTime) -> bool {
    let until = expiry + kept_for(lifetime);
    now > until && (place.clock_is_known() || place.env.wall_clock() > until)
}

/// Whether a crash left the empty directory at the lock path there: a release removes it sooner, unless it may stay.
pub(crate) fn is_left_at_lock_path(place: &Place, anchor: &Anchor) -> bool {
    if may_stay(place) {
        return false;
    }
    let now = anchor.earliest(place.env.now());
    place.env.stat(place.location()).is_ok_and(|attr| now.since(attr.ctime) > SLOW)
}

/// A leftover, looked at and judged.
pub(super) struct Judged {
    pub(super) kind: LeftoverKind,
    pub(super) body: Body,
    pub(super) expiry: Option<ServerTime>,
    pub(super) verdict: LeftoverVerdict,
}

/// What the name refers to.
pub(super) enum Body {
    File,
    Directory,
    /// With one entry, which has the claim's name.
    DirectoryWithEntry,
    Lock(SeenLock),
    /// A symbolic link that names the claim of its owner.
    Symlink(Claim),
    /// The lock path itself, which is an empty directory.
    FreeLock,
}

/// Looks at what was found, and judges whether it may be removed. `None` if it is gone.
pub(super) fn judge(place: &Place, found: &Found, now: ServerTime) -> Option<Judged> {
    let judged = match (found.kind, &found.claim) {
        (LeftoverKind::BreakClaim, Some(claim)) => judge_claim(&place.of_break_lock(), claim, now),
        (LeftoverKind::Ticket, Some(claim)) => judge_ticket(place, &found.at, claim, now),
        (_, Some(claim)) => judge_claim(place, claim, now),
        (LeftoverKind::BreakLock, None) => judge_break_lock(place, now),
        (LeftoverKind::Bell, None) => judge_bell(place, &found.at, now),
        (LeftoverKind::FreeLock, None) => Ok(judge_lock_path(place)),
        (_, None) => judge_queue(place, &found.at),
    };
    match judged {
        Ok(Some(judged)) => {
            // A claim of the break lock keeps that kind, whatever it contains.
            let kind = if found.kind == LeftoverKind::Claim { judged.kind } else { found.kind };
            Some(Judged { kind, ..judged })
        }
        Ok(None) => None,
        Err(e) if is_gone(&e) => None,
        Err(e) => {
            let why = if is_refused(&e) { "this user may not read it".into() } else { e.to_string() };
            Some(Judged::kept(found.kind, LeftoverVerdict::Unreadable(why)))
        }
    }
}

impl Judged {
    fn kept(kind: LeftoverKind, verdict: LeftoverVerdict) -> Self {
        Self { kind, body: Body::File, expiry: None, verdict }
    }

    fn not_a_claim(what: &str) -> Self {
        Self::kept(LeftoverKind::Claim, LeftoverVerdict::NotAClaim(what.into()))
    }
}

/// The verdict by the process in the claim's name, and by its expiry.
fn verdict(place: &Place, claim: &Claim, expiry: ServerTime, lifetime: Duration, now: ServerTime) -> LeftoverVerdict {
    match place.liveness(claim) {
        Liveness::Dead => LeftoverVerdict::Dead,
        Liveness::Alive => LeftoverVerdict::Alive,
        Liveness::Unknown if is_far_past(place, expiry, lifetime, now) => LeftoverVerdict::FarPast,
        Liveness::Unknown => LeftoverVerdict::Recent { until: (expiry + kept_for(lifetime)).to_system_time() },
    }
}

fn judge_claim(place: &Place, claim: &Claim, now: ServerTime) -> io::Result<Option<Judged>> {
    let at = place.path.beside(&claim.token);
    let attr = place.env.stat(&at)?;
    let mut judged = match attr.kind {
        FileKind::Regular if !place.path.is_break_lock => judge_file(place, claim, &at, &attr, now)?,
        FileKind::Directory => judge_directory(place, claim, &at, &attr, now)?,
        FileKind::Regular => Judged::not_a_claim("an ordinary file"),
        FileKind::Symlink => Judged::not_a_claim("a symbolic link"),
        FileKind::Other => Judged::not_a_claim("a device, socket or pipe"),
    };
    // Last, so that nothing comes between this look and the removal. A claim that is not at the lock path now cannot
    // come there any more: its contender has ended, or does not use this claim any more.
    let may_hold = judged.verdict.is_removable() || attr.nlink > 1 && attr.kind == FileKind::Regular;
    if may_hold && is_at_lock_path(place, claim, &attr) {
        judged.verdict = LeftoverVerdict::Held;
    }
    Ok(Some(judged))
}

/// A claim of `link`. Reads the content only if the claim may be removed: an NFS 4 server gives a reader a delegation,
/// which can delay the claim's contender.
fn judge_file(place: &Place, claim: &Claim, at: &Location, attr: &Attr, now: ServerTime) -> io::Result<Judged> {
    // If nothing has changed since, the mtime is the lifetime after a change.
    let lifetime = claim.lifetime.unwrap_or(place.lifetime).max(attr.mtime.since(attr.ctime));
    let mut verdict = verdict(place, claim, attr.mtime, lifetime, now);
    let mut kind = LeftoverKind::Claim;
    if verdict.is_removable() {
        let read = place.read(at, attr.id.device);
        let (read, content) = match read {
            // Where nothing is opened, a name of ours is enough: nobody else makes such names.
            Err(e) if e.kind() == io::ErrorKind::Unsupported && claim.lifetime.is_some() => {
                return Ok(Judged { kind, body: Body::File, expiry: Some(attr.mtime), verdict });
            }
            read => read?,
        };
        match place.path.parse(&content) {
            _ if read.id != attr.id => return Ok(Judged::not_a_claim("another file by now")),
            Some(named) if named.token == claim.token => {}
            // It has the broken lock's expiry, and a breaker may be handling it just now. So it counts from the move.
            Some(_) => {
                kind = LeftoverKind::BrokenClaim;
                verdict = self::verdict(place, claim, attr.mtime.max(attr.ctime), lifetime, now);
            }
            // A crash or a full disk leaves such content.
            None if content.len() < CONTENT_LIMIT && content.iter().all(|byte| *byte == 0) => {}
            None => return Ok(Judged::not_a_claim("an ordinary file")),
        }
    }
    Ok(Judged { kind, body: Body::File, expiry: Some(attr.mtime), verdict })
}

/// A claim of `dir`, or a directory that was to become one.
fn judge_directory(place: &Place, claim: &Claim, at: &Location, attr: &Attr, now: ServerTime) -> io::Result<Judged> {
    let names = place.names(at, 2, &|_| true)?;
    let (body, attr) = match names.as_slice() {
        [] => (Body::Directory, *attr),
        [name] if name == claim.token.as_os_str() => (Body::DirectoryWithEntry, place.env.stat(&at.inside(name))?),
        _ => return Ok(Judged::not_a_claim("a directory with something else in it")),
    };
    if matches!(body, Body::DirectoryWithEntry) && attr.kind != FileKind::Regular {
        return Ok(Judged::not_a_claim("a directory with something else in it"));
    }
    let lifetime = claim.lifetime.unwrap_or(place.lifetime);
    let expiry = expiry_of_entry(&attr, lifetime);
    let verdict = verdict(place, claim, expiry, lifetime, now);
    Ok(Judged { kind: LeftoverKind::Claim, body, expiry: Some(expiry), verdict })
}

/// Whether this claim is at the lock path, by a fresh look. True if in doubt.
fn is_at_lock_path(place: &Place, claim: &Claim, attr: &Attr) -> bool {
    let there = place.forget_names().and_then(|()| place.env.stat(place.location()));
    match there {
        Err(e) if is_gone(&e) => return false,
        Err(_) => return true,
        Ok(there) if there.id == attr.id => return true,
        Ok(_) => {}
    }
    // Where a file's number depends on the name, the content decides.
    look(place).map_or(true, |seen| matches!(seen, Seen::Lock(lock) if lock.token() == Some(&claim.token)))
}

/// A ticket. If its contender still waits, it draws another for the same place. Whatever is wrong with a ticket costs a
/// contender at most its place.
fn judge_ticket(place: &Place, at: &Location, claim: &Claim, now: ServerTime) -> io::Result<Option<Judged>> {
    let attr = place.env.stat(at)?;
    if attr.kind != FileKind::Regular || attr.len > 0 {
        return Ok(Some(Judged::not_a_claim("something else")));
    }
    let expiry = attr.ctime + attr.ctime.rounding() + queue::LIFETIME;
    let verdict = verdict(place, claim, expiry, queue::LIFETIME, now);
    Ok(Some(Judged { kind: LeftoverKind::Ticket, body: Body::File, expiry: Some(expiry), verdict }))
}

/// A bell. Whatever is wrong with one costs its owner the time until its next poll.
fn judge_bell(place: &Place, at: &Location, now: ServerTime) -> io::Result<Option<Judged>> {
    let attr = place.env.stat(at)?;
    if attr.kind != FileKind::Symlink {
        return Ok(Some(Judged::not_a_claim("something else")));
    }
    let Some(claim) = bell::claim(place, &place.env.read_symlink(at)?) else {
        return Ok(Some(Judged::not_a_claim("a symbolic link")));
    };
    let expiry = attr.ctime + attr.ctime.rounding() + bell::LIFETIME;
    let verdict = verdict(place, &claim, expiry, bell::LIFETIME, now);
    Ok(Some(Judged { kind: LeftoverKind::Bell, body: Body::Symlink(claim), expiry: Some(expiry), verdict }))
}

/// The queue, if it is empty. Removing it is safe: a contender that queues up creates it again.
fn judge_queue(place: &Place, at: &Location) -> io::Result<Option<Judged>> {
    if place.env.stat(at)?.kind != FileKind::Directory {
        return Ok(Some(Judged::not_a_claim("something else")));
    }
    let is_empty = place.names(at, 1, &|_| true)?.is_empty();
    let empty =
        || Judged { kind: LeftoverKind::Queue, body: Body::Directory, expiry: None, verdict: LeftoverVerdict::Empty };
    Ok(is_empty.then(empty))
}

/// The empty directory of a free lock. Only one that is certainly a lock's: whoever cleans a directory of locks may name
/// that one, and it may be empty.
fn judge_lock_path(place: &Place) -> Option<Judged> {
    place.env.stat(place.location()).ok().filter(|attr| is_surely_ours(attr.mode))?;
    let is_free = matches!(look(place), Ok(Seen::EmptyDirectory { ours: true }));
    let verdict = LeftoverVerdict::Empty;
    is_free.then_some(Judged { kind: LeftoverKind::FreeLock, body: Body::FreeLock, expiry: None, verdict })
}

/// The break lock. It may be removed when any breaker may break it: see `dir`.
fn judge_break_lock(place: &Place, now: ServerTime) -> io::Result<Option<Judged>> {
    let break_lock = place.of_break_lock();
    let kind = LeftoverKind::BreakLock;
    let lock = match look(&break_lock).map_err(io::Error::other)? {
        Seen::Free => return Ok(None),
        Seen::NotALock(what) => return Ok(Some(Judged::not_a_claim(&what))),
        // It belongs to nobody: a held one is not empty, and then the removal fails.
        Seen::EmptyDirectory { .. } | Seen::Stuck { .. } => {
            let verdict = LeftoverVerdict::Empty;
            return Ok(Some(Judged { kind, body: Body::Directory, expiry: None, verdict }));
        }
        Seen::Lock(lock) if lock.is_hidden() => {
            let why = "this user may not read it".into();
            return Ok(Some(Judged::kept(kind, LeftoverVerdict::Unreadable(why))));
        }
        Seen::Lock(lock) => lock,
    };
    let Some(claim) = lock.claim.as_ref().filter(|_| lock.protocol == Protocol::Dir) else {
        return Ok(Some(Judged::not_a_claim("an ordinary file")));
    };
    // No break lock has an mtime so far ahead: somebody else has set it.
    let is_set = lock.attr.mtime > now.max(lock.attr.ctime) + BREAK_LIFETIME + DAY;
    let attr = if is_set { Attr { mtime: lock.attr.ctime, ..lock.attr } } else { lock.attr };
    let lifetime = lock.about.as_ref().map_or(BREAK_LIFETIME, |about| about.lifetime);
    let expiry = expiry_of_entry(&attr, lifetime);
    let verdict = verdict(&break_lock, claim, expiry, lifetime, now);
    Ok(Some(Judged { kind, body: Body::Lock(lock), expiry: Some(expiry), verdict }))
}
