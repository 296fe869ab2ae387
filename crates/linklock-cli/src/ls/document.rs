//! The JSON document of `ls`. The names are part of the program's interface: docs/schema/linklock.json.

use std::time::{Duration, SystemTime};

use linklock::{Holder, SafeToBreak, Waiter};
use serde::Serialize;

use super::listing::Listing;
use super::row::Row;
use super::table::safe_to_break;
use crate::console::VERSION;
use crate::status::Line;
use crate::timestamp::rfc3339;

#[derive(Serialize)]
pub(super) struct Document<'a> {
    version: u32,
    time: Option<String>,
    locks: Vec<Entry<'a>>,
    errors: Vec<String>,
}

/// The fields of `status --json`, and more.
#[derive(Serialize)]
struct Entry<'a> {
    #[serde(flatten)]
    line: Option<Line>,
    #[serde(flatten)]
    unreadable: Option<Unreadable<'a>>,
    refreshed_at: Option<String>,
    held_since: Option<String>,
    held_at_least_ms: Option<u64>,
    held_at_most_ms: Option<u64>,
    safe_to_break: Safe,
    waiters: Vec<Waiting<'a>>,
    leftovers: usize,
    slot_of: Option<String>,
    slot: Option<usize>,
    error: Option<String>,
}

/// A lock that could not be looked at.
#[derive(Serialize)]
struct Unreadable<'a> {
    path: String,
    state: &'a str,
}

#[derive(Serialize)]
struct Safe {
    answer: &'static str,
    /// Not before this time.
    at: Option<String>,
    /// Only after it was watched for so long.
    watch_ms: Option<u64>,
    text: String,
}

#[derive(Serialize)]
struct Waiting<'a> {
    host: &'a str,
    pid: Option<u32>,
    token: String,
    shared: bool,
    since: Option<String>,
    position: Option<usize>,
    certain: bool,
}

pub(super) fn document<'a>(listing: &Listing, rows: &[&'a Row]) -> Document<'a> {
    Document {
        version: VERSION,
        time: rfc3339(listing.now),
        locks: rows.iter().map(|row| entry(row, listing.now)).collect(),
        errors: listing.failures.iter().map(ToString::to_string).collect(),
    }
}

fn entry(row: &Row, now: SystemTime) -> Entry<'_> {
    let status = row.status();
    let line = status.ok().and_then(|status| Line::of(&row.found.lock, status, row.process.as_ref()).ok());
    let path = || row.path().to_string_lossy().into_owned();
    let slot = row.found.slot_of.as_ref();
    Entry {
        unreadable: line.is_none().then(|| Unreadable { path: path(), state: row.state() }),
        line,
        refreshed_at: status.ok().and_then(|status| status.refreshed_at).and_then(rfc3339),
        held_since: row.found.held_since.and_then(rfc3339),
        held_at_least_ms: row.age.least.map(ms),
        held_at_most_ms: row.age.most.map(ms),
        safe_to_break: safe(row.safe_to_break(), now),
        waiters: row.waiters().iter().map(waiting).collect(),
        leftovers: row.found.leftovers,
        slot_of: slot.map(|(base, _)| base.to_string_lossy().into_owned()),
        slot: slot.map(|(_, number)| *number),
        error: status.err().map(ToString::to_string),
    }
}

fn safe(safe: SafeToBreak, now: SystemTime) -> Safe {
    let text = safe_to_break(safe, now);
    let (at, watch_ms) = match safe {
        SafeToBreak::NotBefore(until) => (rfc3339(until), None),
        SafeToBreak::AfterWatching(time) => (None, Some(ms(time))),
        _ => (None, None),
    };
    let answer = match safe {
        SafeToBreak::NoLock => "no-lock",
        SafeToBreak::Ended | SafeToBreak::Expired { .. } => "yes",
        SafeToBreak::Alive => "no",
        SafeToBreak::NotBefore(_) => "not-before",
        SafeToBreak::AfterWatching(_) => "after-watching",
        _ => "unknown",
    };
    Safe { answer, at, watch_ms, text }
}

fn waiting(waiter: &Waiter) -> Waiting<'_> {
    let Holder { host, pid, has_process, token, .. } = &waiter.contender;
    Waiting {
        host,
        pid: has_process.then_some(*pid),
        token: token.as_os_str().to_string_lossy().into_owned(),
        shared: waiter.wants_to_share,
        since: waiter.since.and_then(rfc3339),
        position: waiter.position,
        certain: waiter.is_certain,
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
