//! The table for people. All of it is printable: others may have written names, hosts and commands.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use linklock::{Printable, SafeToBreak, Waiter};

use super::age::whole;
use super::row::{Row, left, name_of};
use crate::console::printable;
use crate::duration::short;
use crate::timestamp::rfc3339;

pub(super) const COLUMNS: usize = 10;

pub(super) const HEAD: [&str; COLUMNS] =
    ["LOCK", "STATE", "HOLDER", "COMMAND", "USER", "HELD", "EXPIRES", "PROTOCOL", "WAITING", "SAFE TO BREAK"];

/// A command line may be long; JSON has all of it.
const COMMAND_MOST: usize = 30;

/// So many waiters of a lock are named. JSON has all.
const NAMED_MOST: usize = 8;

/// The table, its lines cut to so many columns.
pub(super) fn table(rows: &[&Row], now: SystemTime, columns: Option<usize>) -> String {
    if rows.is_empty() {
        return "no locks\n".into();
    }
    let cells: Vec<_> = rows.iter().map(|row| cells(row, now)).collect();
    let head = HEAD.map(str::to_owned);
    let width = |column: usize| {
        let all = cells.iter().chain([&head]).map(|cells| cells[column].chars().count());
        all.max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..COLUMNS).map(width).collect();
    let mut text = String::new();
    let mut line = |line: &str| {
        let most = columns.unwrap_or(usize::MAX);
        text.extend(line.trim_end().chars().take(most));
        text.push('\n');
    };
    let padded = |cells: &[String; COLUMNS]| {
        let pad = |(cell, width): (&String, &usize)| format!("{cell:<width$}  ");
        cells.iter().zip(&widths).map(pad).collect::<String>()
    };
    line(&padded(&head));
    let mut leftovers = 0;
    for (row, cells) in rows.iter().zip(&cells) {
        line(&padded(cells));
        below(row, now).iter().for_each(|text| line(&printable(text)));
        leftovers += row.found.leftovers;
    }
    if leftovers > 0 {
        line(&format!("{leftovers} leftovers of ended contenders; linklock clean lists and removes them"));
    }
    text
}

pub(super) fn cells(row: &Row, now: SystemTime) -> [String; COLUMNS] {
    let status = row.status().ok();
    let slot = if row.found.slot_of.is_some() { "  " } else { "" };
    let holder = match (row.holder(), row.readers()) {
        (Some(holder), 0) => name_of(holder),
        (Some(holder), 1) => format!("{} (shared)", name_of(holder)),
        (Some(holder), readers) => format!("{} and {} more (shared)", name_of(holder), readers - 1),
        (None, _) if status.is_some_and(|status| status.protocol.is_some()) => "not readable".into(),
        (None, _) => String::new(),
    };
    let expires = status.and_then(|status| status.expires_at).map(|at| match left(at, now) {
        Some(left) => format!("in {}", short(whole(left))),
        None => format!("{} ago", short(whole(now.duration_since(at).unwrap_or_default()))),
    });
    let command: String = row.command().unwrap_or_default().chars().take(COMMAND_MOST).collect();
    let waiting = match row.waiters().len() {
        0 => String::new(),
        waiting => waiting.to_string(),
    };
    let cells = [
        format!("{slot}{}", Printable::new(row.path())),
        row.state().to_owned(),
        holder,
        command,
        // Who forges a lock writes any user into it, but not any owner.
        row.owner().or_else(|| row.user()).unwrap_or_default(),
        row.age.in_words(),
        expires.unwrap_or_default(),
        status.and_then(|status| status.protocol).map(|protocol| protocol.to_string()).unwrap_or_default(),
        waiting,
        safe_to_break(row.safe_to_break(), now),
    ];
    cells.map(|cell| printable(&cell))
}

/// What does not fit into the row: why the lock cannot be looked at, and who waits.
fn below(row: &Row, now: SystemTime) -> Vec<String> {
    let mut lines: Vec<_> = row.status().err().map(|e| format!("    {e}")).into_iter().collect();
    let what = row.status().ok().and_then(|status| status.what.as_deref());
    lines.extend(what.map(|what| format!("    {what}")));
    let named = row.waiters().iter().take(NAMED_MOST);
    lines.extend(named.map(|waiter| format!("    {}", waits(waiter, now))));
    if let Some(more) = row.waiters().len().checked_sub(NAMED_MOST + 1) {
        lines.push(format!("    and {} more", more + 1));
    }
    lines
}

pub(super) fn waits(waiter: &Waiter, now: SystemTime) -> String {
    let mut text = if waiter.is_certain { "waits: " } else { "may wait, or has ended: " }.to_owned();
    text += &name_of(&waiter.contender);
    // Writing to a String cannot fail.
    if let Some(position) = waiter.position {
        let _ = write!(text, ", number {position} in the queue");
    }
    if let Some(since) = waiter.since {
        let _ = write!(text, ", for {}", short(whole(now.duration_since(since).unwrap_or_default())));
    }
    if waiter.wants_to_share {
        text += ", to share it";
    }
    text
}

/// In words, with the time.
pub(super) fn safe_to_break(safe: SafeToBreak, now: SystemTime) -> String {
    match safe {
        SafeToBreak::NoLock => "-".into(),
        SafeToBreak::NotBefore(until) => {
            let rest = left(until, now).map(|left| format!(" (in {})", short(whole(left)))).unwrap_or_default();
            format!("not before {}{rest}", clock(until))
        }
        SafeToBreak::AfterWatching(time) => format!("only if unchanged for {}", short(whole(time))),
        safe => safe.to_string(),
    }
}

/// The time of the day in UTC; with the date, if it is more than a day away.
fn clock(time: SystemTime) -> String {
    let Some(text) = rfc3339(time) else { return "the year 10000".into() };
    let is_near = time.duration_since(SystemTime::now()).is_ok_and(|left| left < Duration::from_secs(86_400));
    // Without the milliseconds.
    match text.split_once('T') {
        Some((_, clock)) if is_near => format!("{}Z", &clock[..8]),
        _ => text,
    }
}
