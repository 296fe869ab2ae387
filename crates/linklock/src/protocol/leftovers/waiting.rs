//! Who waits for a lock, as the names beside it tell. Changes nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::{Duration, SystemTime};

use super::judge::{Body, Judged, judge};
use super::kinds::{Found, LeftoverKind, LeftoverVerdict};
use super::names::{Names, in_queue};
use crate::claim::Claim;
use crate::lock_path::TICKET_DIGITS;
use crate::names::bytes_of;
use crate::protocol::place::Place;
use crate::time::ServerTime;

/// The most tickets that are looked at for one lock: each takes a request.
const TICKETS_MOST: usize = 1000;

/// A contender that does not hold the lock.
#[derive(Clone, Debug)]
pub(crate) struct Waits {
    pub(crate) claim: Claim,
    /// When the lifetime of the claim ends, or of the ticket or the bell where only these were found.
    pub(crate) expiry: ServerTime,
    /// When it drew its ticket, by the file server's clock.
    pub(crate) since: Option<SystemTime>,
    /// Its place among the tickets, from 1 on.
    pub(crate) position: Option<usize>,
    /// Whether its process lives, or it has given a sign within the lifetime of what it has here.
    pub(crate) is_certain: bool,
}

/// What stands beside a lock.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// In the order of their tickets; those without one come last.
    pub(crate) waiters: Vec<Waits>,
    /// How many of the names a clean would remove.
    pub(crate) removable: usize,
}

/// Looks at what has these names in the lock's directory, by this machine's wall clock. `holds`: whether a claim holds the lock.
pub(crate) fn beside(place: &Place, names: &[(OsString, u64)], holds: &dyn Fn(&Claim) -> bool) -> Beside {
    let (now, by_names) = (place.env.wall_clock(), Names::of(place));
    let mut found: Vec<_> = names.iter().filter_map(|(name, _)| by_names.found(name)).collect();
    if found.iter().any(|found| found.kind == LeftoverKind::Queue) {
        found.extend(in_queue(place, TICKETS_MOST));
    }
    found.retain(|found| !found.claim.as_ref().is_some_and(holds));
    let (mut waiters, mut removable) = (BTreeMap::new(), 0);
    // The time in a ticket's name comes first, so the names are in the order of the tickets.
    let mut tickets = Vec::new();
    for found in &found {
        let Some(judged) = judge(place, found, now) else { continue };
        removable += usize::from(judged.verdict.is_removable());
        let Some(waits) = waits(found, judged, now).filter(|waits| !holds(&waits.claim)) else { continue };
        let token = waits.claim.token.as_os_str().to_owned();
        if found.kind == LeftoverKind::Ticket {
            tickets.push((found.at.as_path().to_owned(), token.clone()));
        }
        let known = waiters.entry(token).or_insert_with(|| Waits { since: None, is_certain: false, ..waits.clone() });
        known.is_certain |= waits.is_certain;
        known.since = known.since.or(waits.since);
    }
    tickets.sort();
    for (n, (_, token)) in tickets.iter().enumerate() {
        if let Some(waiter) = waiters.get_mut(token) {
            waiter.position.get_or_insert(n + 1);
        }
    }
    let mut waiters: Vec<_> = waiters.into_values().collect();
    waiters.sort_by_key(|waits| waits.position.unwrap_or(usize::MAX));
    Beside { waiters, removable }
}

/// The contender that this is of, unless it has ended or is none.
fn waits(found: &Found, judged: Judged, now: ServerTime) -> Option<Waits> {
    let within = if let Body::Symlink(claim) = judged.body { Some(claim) } else { None };
    // A breaker's claim is not one of a waiter: it takes its turn, and goes.
    let is_sign = matches!(judged.kind, LeftoverKind::Claim | LeftoverKind::Ticket | LeftoverKind::Bell);
    let claim = found.claim.clone().or(within).filter(|_| is_sign)?;
    let expiry = judged.expiry?;
    let is_certain = match judged.verdict {
        LeftoverVerdict::Alive => true,
        LeftoverVerdict::Recent { .. } => expiry > now,
        _ => return None,
    };
    let since = if found.kind == LeftoverKind::Ticket { drawn(found) } else { None };
    Some(Waits { claim, expiry, since, position: None, is_certain })
}

/// The time in a ticket's name.
fn drawn(ticket: &Found) -> Option<SystemTime> {
    let name = bytes_of(ticket.at.as_path().file_name()?);
    let micros = std::str::from_utf8(name.get(..TICKET_DIGITS)?).ok()?.parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros))
}
