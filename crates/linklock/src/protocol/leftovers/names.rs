//! What the names are that contenders use beside a lock path.

use std::ffi::{OsStr, OsString};

use super::kinds::{Found, LeftoverKind};
use crate::claim::Claim;
use crate::env::Location;
use crate::lock_path::LockPath;
use crate::names::bytes_of;
use crate::protocol::place::Place;
use crate::protocol::queue;

/// The names that contenders of one lock use in its directory.
pub(super) struct Names<'a> {
    place: &'a Place,
    queue: Location,
    bell: Location,
    break_lock: LockPath,
}

impl<'a> Names<'a> {
    pub(super) fn of(place: &'a Place) -> Self {
        let (queue, bell, break_lock) = (place.path.queue(), place.path.bell(), place.path.of_break_lock());
        Self { place, queue, bell, break_lock }
    }

    /// What this name is, if contenders of the lock use it.
    pub(super) fn found(&self, name: &OsStr) -> Option<Found> {
        let Self { place, queue, bell, break_lock } = self;
        let at = place.path.at(name);
        let (kind, claim) = if let Some(claim) = claim_named(&place.path, name) {
            (LeftoverKind::Claim, Some(claim))
        } else if let Some(claim) = claim_named(break_lock, name) {
            (LeftoverKind::BreakClaim, Some(claim))
        } else if at == *break_lock.location() {
            (LeftoverKind::BreakLock, None)
        } else if at == *queue {
            (LeftoverKind::Queue, None)
        } else if at == *bell {
            (LeftoverKind::Bell, None)
        } else if at == *place.location() {
            (LeftoverKind::FreeLock, None)
        } else {
            return None;
        };
        Some(Found { at, kind, claim })
    }
}

/// The tickets of the queue, and the links beside them: at most `limit`.
pub(super) fn in_queue(place: &Place, limit: usize) -> Vec<Found> {
    let queue = place.path.queue();
    let named = |name: &OsStr| match ticket_named(place, name) {
        Some(claim) => Some((LeftoverKind::Ticket, claim)),
        None => Some((LeftoverKind::Bell, ticket_named(place, &queue::ticket_of_next(name)?)?)),
    };
    let names = place.names(&queue, limit, &|name| named(name).is_some()).unwrap_or_default();
    let found = |name: &OsString| {
        let (kind, claim) = named(name)?;
        // What a link says tells whose it is; its name, whose ticket it is beside.
        let claim = Some(claim).filter(|_| kind == LeftoverKind::Ticket);
        Some(Found { at: queue.inside(name), kind, claim })
    };
    names.iter().filter_map(found).collect()
}

/// The claim whose name is exactly this one.
pub(super) fn claim_named(path: &LockPath, name: &OsStr) -> Option<Claim> {
    path.parse(bytes_of(name)).filter(|claim| claim.token.as_os_str() == name)
}

pub(super) fn ticket_named(place: &Place, name: &OsStr) -> Option<Claim> {
    let claim = queue::claim(place, name)?;
    bytes_of(name).ends_with(bytes_of(claim.token.as_os_str())).then_some(claim)
}
