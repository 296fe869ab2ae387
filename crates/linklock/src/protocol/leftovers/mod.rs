//! What killed contenders leave beside the lock path: which of it may be removed, and how.
//!
//! A claim's name is used once. So a removal removes this claim or nothing, however late it is carried out. A claim may
//! be removed if nobody uses it any more:
//!
//! - Its process has ended.
//! - Or it is far past its expiry: by a day, or by ten lifetimes if that is longer. Its contender may be alive, on
//!   another machine. But a contender makes another claim if it left this one alone for half a day after the expiry
//!   (see [`GIVEN_UP_AFTER`](super::expiry::GIVEN_UP_AFTER)), and also if it finds this one gone
//!   ([`Attempt::Void`](super::stake::Attempt::Void)). linklock asks for the server's time before it looks at the file,
//!   so a claim that its contender refreshed meanwhile is seen to be fresh.
//!
//! The claim at the lock path is never removed here. Only a contender that judges the lock, or an operator, breaks it.

mod judge;
mod kinds;
mod names;
mod waiting;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

pub(crate) use judge::is_left_at_lock_path;
use judge::{Body, Judged, judge};
use kinds::Found;
pub use kinds::{Leftover, LeftoverKind, LeftoverVerdict};
use names::{Names, claim_named, in_queue, ticket_named};
pub(crate) use waiting::{Beside, beside};

use super::clear::clear;
use super::io_error::{gone_is_ok, is_gone};
use super::look::look;
use super::place::Place;
use super::seen::Seen;
use super::{bell, steps};
use crate::claim::Claim;
use crate::env::{Liveness, Location};
use crate::error::{Error, ErrorKind};
use crate::lease::Anchor;
use crate::printable::Printable;
use crate::time::ServerTime;

/// The most claims that a sweep looks at without knowing whether their process is alive: each takes a request.
const LOOKS_MOST: usize = 64;

/// The most leftovers of any kind that a sweep finds: for each, it asks whether the process is alive.
const SWEPT_MOST: usize = 4096;

/// The most leftovers that are listed. Each takes about a kilobyte.
const LISTED_MOST: usize = 100_000;

/// At this time, nothing is past its expiry.
const NEVER: ServerTime = ServerTime::MIN;

/// Removes from beside the lock path what nobody uses any more, as far as possible. Calls `clock` only if something
/// must be judged by it. Without the server's time, removes only what dead processes left.
pub(crate) fn sweep(place: &Place, clock: impl FnOnce() -> Option<Anchor>) {
    // Whoever breaks a break lock then breaks the lock, and sweeps after that.
    if place.path.is_break_lock {
        return;
    }
    let (mut dead, mut doubtful) = (Vec::new(), Vec::new());
    for found in find(place, SWEPT_MOST).unwrap_or_default() {
        match found.claim.as_ref().map_or(Liveness::Unknown, |claim| place.liveness(claim)) {
            Liveness::Alive => {}
            Liveness::Dead => dead.push(found),
            // The next contender replaces or removes it.
            Liveness::Unknown if found.kind == LeftoverKind::FreeLock => {}
            // A peer does not give up an old claim, and fails if it finds it gone. So that is left to an operator.
            Liveness::Unknown if found.claim.as_ref().is_some_and(is_a_peers) => {}
            Liveness::Unknown => doubtful.push(found),
        }
    }
    let mut now = NEVER;
    if !doubtful.is_empty() {
        now = clock().map_or(NEVER, |anchor| anchor.earliest(place.env.now()));
        // Starts at a random one, so that each is looked at some day.
        let start = place.env.random() % doubtful.len() as u64;
        doubtful.rotate_left(start as usize);
        doubtful.truncate(LOOKS_MOST);
    }
    for found in dead.into_iter().chain(doubtful) {
        let Some(judged) = judge(place, &found, now).filter(|judged| judged.verdict.is_removable()) else {
            continue;
        };
        let removed = remove(place, &found, &judged);
        tracing::debug!(lock = %Printable::new(place.lock_path()), path = %Printable::new(found.at.as_path()), why = %judged.verdict,
            ok = removed.is_ok(), "swept a leftover");
    }
}

/// The leftovers beside the lock path, judged by this machine's wall clock: to ask for the server's time would need a
/// change on disk.
pub(crate) fn list(place: &Place) -> Result<Vec<Leftover>, Error> {
    let now = place.env.wall_clock();
    let found = find(place, LISTED_MOST).map_err(|e| cannot_list(place.path.dir(), e))?;
    let judged = found.into_iter().filter_map(|found| judge(place, &found, now).map(|judged| report(found, judged)));
    Ok(judged.collect())
}

/// Removes those of these leftovers that may be removed, and still may by the server's clock. Returns what became of
/// each; leaves out what is gone by now.
pub(crate) fn clean(
    place: &Place,
    which: Vec<Leftover>,
    ask: impl FnOnce() -> Result<Anchor, Error>,
) -> Result<Vec<Leftover>, Error> {
    let found = find(place, LISTED_MOST).map_err(|e| cannot_list(place.path.dir(), e))?;
    let mut found: HashMap<_, _> = found.into_iter().map(|found| (found.at.as_path().to_owned(), found)).collect();
    let (mut now, mut unknown) = (NEVER, None);
    if which.iter().any(|leftover| matches!(leftover.verdict, LeftoverVerdict::FarPast)) {
        match ask() {
            Ok(anchor) => now = anchor.earliest(place.env.now()),
            Err(e) => unknown = Some(e),
        }
    }
    let mut done = Vec::new();
    for leftover in which {
        if !leftover.verdict.is_removable() {
            done.push(leftover);
            continue;
        }
        let Some(found) = found.remove(&leftover.path) else { continue };
        let Some(mut judged) = judge(place, &found, now) else { continue };
        if judged.verdict.is_removable() {
            judged.verdict = match remove(place, &found, &judged) {
                Ok(()) => LeftoverVerdict::Removed,
                Err(e) => LeftoverVerdict::Failed(Error::io(found.at.as_path(), "remove the leftover", e)),
            };
        } else if let (LeftoverVerdict::Recent { .. }, Some(why)) = (&judged.verdict, &unknown) {
            let why = match why.kind() {
                // Whoever may not create a claim there may not remove one.
                ErrorKind::Permission => io::ErrorKind::PermissionDenied.into(),
                _ => io::Error::other(format!("the file server's clock cannot be asked: {why}")),
            };
            judged.verdict = LeftoverVerdict::Failed(Error::io(found.at.as_path(), "remove the leftover", why));
        }
        done.push(report(found, judged));
    }
    Ok(done)
}

/// Whether this name shows that there is, or was, a lock at the lock path.
pub(crate) fn names_lock(place: &Place, name: &OsStr) -> bool {
    let break_lock = place.path.of_break_lock();
    if claim_named(&place.path, name).or_else(|| claim_named(&break_lock, name)).is_some() {
        return true;
    }
    // These names alone are not enough: they may be a user's.
    let holds = |dir: &Location, is_ours: &dyn Fn(&OsStr) -> bool| {
        dir.as_path().file_name() == Some(name) && place.names(dir, 1, is_ours).is_ok_and(|names| !names.is_empty())
    };
    let is_bell = || {
        let says = place.env.read_symlink(&place.path.bell());
        says.is_ok_and(|text| bell::claim(place, &text).is_some())
    };
    place.path.bell().as_path().file_name() == Some(name) && is_bell()
        || holds(&place.path.queue(), &|name| ticket_named(place, name).is_some())
        || holds(break_lock.location(), &|name| claim_named(&break_lock, name).is_some())
}

pub(crate) fn cannot_list(dir: &Path, e: io::Error) -> Error {
    // Other errors advise to make the directory. Here, nothing would be gained by that.
    let e = if is_gone(&e) { io::Error::other("there is no such directory") } else { e };
    Error::io(dir, "list the directory", e)
}

/// Lists the directory once, and that of the queue if there is one. Finds at most `limit`, since others may have put
/// any number of such names there.
fn find(place: &Place, limit: usize) -> io::Result<Vec<Found>> {
    let (names, mut all) = (Names::of(place), Vec::new());
    place.list_dir(&mut |name, _| {
        all.extend(names.found(name));
        if all.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    if all.iter().any(|found| found.kind == LeftoverKind::Queue) {
        all.extend(in_queue(place, limit));
    }
    if all.len() >= limit {
        tracing::warn!(directory = %Printable::new(place.path.dir()), found = all.len(),
            "too many names of claims, so linklock does not look at all of them; remove those that are not of your contenders");
    }
    all.sort_by(|one, other| one.at.as_path().cmp(other.at.as_path()));
    Ok(all)
}

/// Whether flufl.lock made this claim: its names have no lifetime.
fn is_a_peers(claim: &Claim) -> bool {
    claim.lifetime.is_none()
}

/// Removes what was just judged. Only removes by names that are used once, or empty directories.
fn remove(place: &Place, found: &Found, judged: &Judged) -> io::Result<()> {
    let env = place.env.as_ref();
    match (&judged.body, &found.claim) {
        (Body::File | Body::Symlink(_), _) => gone_is_ok(env.unlink(&found.at))?,
        // Removes the entry by its own name. Anything else that came there meanwhile stays, and then so does the
        // directory.
        (Body::DirectoryWithEntry, Some(claim)) => {
            gone_is_ok(env.unlink(&found.at.inside(claim.token.as_os_str())))?;
            gone_is_ok(env.rmdir(&found.at))?;
        }
        (Body::Directory | Body::DirectoryWithEntry, _) => gone_is_ok(env.rmdir(&found.at))?,
        (Body::FreeLock, _) => remove_free_lock(place)?,
        // Removes the entry that was seen, or nothing. An entry that has changed is not ours to remove.
        (Body::Lock(lock), _) => steps::break_lock(&place.of_break_lock(), lock).map(drop).map_err(io::Error::other)?,
    }
    if matches!(found.kind, LeftoverKind::Ticket | LeftoverKind::Bell) {
        // As the last contender that leaves does. Fails if it is not empty: others wait.
        let _ = env.rmdir(&place.path.queue());
    }
    Ok(())
}

/// Clears the lock path as a contender does.
fn remove_free_lock(place: &Place) -> io::Result<()> {
    clear(place);
    match look(place) {
        Ok(Seen::EmptyDirectory { .. }) => Err(io::Error::other("another contender has its turn there; try again")),
        _ => Ok(()),
    }
}

fn report(found: Found, judged: Judged) -> Leftover {
    let within = match judged.body {
        Body::Lock(lock) => lock.claim,
        Body::Symlink(claim) => Some(claim),
        Body::File | Body::Directory | Body::DirectoryWithEntry | Body::FreeLock => None,
    };
    let claim = found.claim.or(within);
    Leftover {
        path: found.at.as_path().to_owned(),
        kind: judged.kind,
        host: claim.as_ref().map(|claim| claim.host.clone()),
        pid: claim.map(|claim| claim.pid),
        expires_at: judged.expiry.map(ServerTime::to_system_time),
        verdict: judged.verdict,
    }
}
