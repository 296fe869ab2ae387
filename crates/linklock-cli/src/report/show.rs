//! The report, in words and as JSON.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use linklock::Printable;
use serde::Serialize;

use super::histogram::Histogram;
use super::lines::Lines;
use super::tally::{Of, Tally};
use super::window::Window;
use crate::duration::short;
use crate::journal::line::{VERSION, Who};
use crate::timestamp::rfc3339;

/// The names are part of the program's interface; docs/schema/report.json describes them.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: u32,
    #[serde(flatten)]
    window: Window,
    locks: Vec<Lock>,
    files: Vec<Read>,
    /// Whether some locks, holders or holds count together, as there were too many of them.
    is_limited: bool,
}

#[derive(Debug, Serialize)]
struct Lock {
    lock: String,
    acquired: u64,
    waits: Times,
    holds: Times,
    holds_by_wall_clock: u64,
    holds_of_unknown_length: u64,
    holds_without_end: u64,
    without_end: Vec<WithoutEnd>,
    breaks: Breaks,
    losses: u64,
    timeouts: u64,
    cancelled: u64,
    refused: u64,
    refresh_failures: u64,
    release_failures: u64,
    holders: Vec<Holder>,
}

#[derive(Debug, Serialize)]
struct Times {
    count: u64,
    total_ms: u64,
    p50_ms: Option<u64>,
    p90_ms: Option<u64>,
    p99_ms: Option<u64>,
    max_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Breaks {
    expired: u64,
    abandoned: u64,
    forced: u64,
}

#[derive(Debug, Serialize)]
struct WithoutEnd {
    token: String,
    since: Option<String>,
    #[serde(flatten)]
    who: Who,
}

#[derive(Debug, Serialize)]
struct Holder {
    host: Option<String>,
    user: Option<String>,
    count: u64,
    total_ms: u64,
    max_ms: u64,
}

#[derive(Debug, Serialize)]
struct Read {
    file: String,
    lines: u64,
    unreadable: u64,
    first_unreadable: Option<u64>,
    unknown_events: u64,
    without_time: u64,
    ends_within_a_line: bool,
}

impl Report {
    pub(super) fn new(window: Window, tally: &Tally, files: &[(String, Lines)]) -> Self {
        let locks = tally.locks.iter().map(|(lock, of)| Lock::new(lock, of)).collect();
        let files = files.iter().map(|(file, lines)| Read {
            file: file.clone(),
            lines: lines.read,
            unreadable: lines.unreadable,
            first_unreadable: lines.first_unreadable,
            unknown_events: lines.unknown,
            without_time: lines.without_time,
            ends_within_a_line: lines.is_cut,
        });
        Self { version: VERSION, window, locks, files: files.collect(), is_limited: tally.is_too_much }
    }
}

impl Lock {
    fn new(lock: &str, of: &Of) -> Self {
        let without_end = of.unended_shown.iter().map(|hold| WithoutEnd {
            token: hold.token.clone(),
            since: hold.since.clone(),
            who: hold.who.clone(),
        });
        let mut holders: Vec<_> = of
            .holders
            .iter()
            .map(|(who, held)| Holder {
                host: who.host.clone(),
                user: who.user.clone(),
                count: held.count,
                total_ms: held.total,
                max_ms: held.max,
            })
            .collect();
        holders.sort_by_key(|holder| std::cmp::Reverse(holder.total_ms));
        Self {
            lock: lock.into(),
            acquired: of.acquired,
            waits: Times::new(&of.waits),
            holds: Times::new(&of.holds),
            holds_by_wall_clock: of.by_wall_clock,
            holds_of_unknown_length: of.unknown_holds,
            holds_without_end: of.unended,
            without_end: without_end.collect(),
            breaks: Breaks { expired: of.expired, abandoned: of.abandoned, forced: of.forced },
            losses: of.losses,
            timeouts: of.timeouts,
            cancelled: of.cancelled,
            refused: of.refused,
            refresh_failures: of.refresh_failures,
            release_failures: of.release_failures,
            holders,
        }
    }
}

impl Times {
    fn new(times: &Histogram) -> Self {
        Self {
            count: times.count(),
            total_ms: times.total(),
            p50_ms: times.percentile(50),
            p90_ms: times.percentile(90),
            p99_ms: times.percentile(99),
            max_ms: times.max(),
        }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (word, time) in [("since", self.window.since), ("until", self.window.until)] {
            if let Some(time) = time.and_then(rfc3339) {
                writeln!(f, "{word} {time}")?;
            }
        }
        for lock in &self.locks {
            writeln!(f, "{lock}")?;
        }
        for file in &self.files {
            write!(f, "{file}")?;
        }
        if self.is_limited {
            writeln!(
                f,
                "There are more locks, holders or unended holds than linklock tells apart: some of them count together."
            )?;
        }
        Ok(())
    }
}

impl Display for Lock {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Printable::new(&self.lock))?;
        writeln!(f, "  acquired       {}{}", times(self.acquired), waited(&self.waits))?;
        writeln!(f, "  held           {}", self.holds)?;
        for (what, count) in [
            ("by wall clocks", self.holds_by_wall_clock),
            ("length unknown", self.holds_of_unknown_length),
            ("expired locks broken", self.breaks.expired),
            ("abandoned locks broken", self.breaks.abandoned),
            ("broken by an operator", self.breaks.forced),
            ("lost", self.losses),
            ("not acquired in time", self.timeouts),
            ("waits ended by a signal", self.cancelled),
            ("refused", self.refused),
            ("refreshes failed", self.refresh_failures),
            ("releases failed", self.release_failures),
            ("without an end", self.holds_without_end),
        ] {
            if count > 0 {
                writeln!(f, "  {what}: {count}")?;
            }
        }
        for hold in &self.without_end {
            writeln!(f, "    {hold}")?;
        }
        for holder in &self.holders {
            writeln!(f, "  {holder}")?;
        }
        Ok(())
    }
}

fn times(count: u64) -> String {
    if count == 1 { "once".into() } else { format!("{count} times") }
}

fn span(ms: u64) -> String {
    short(Duration::from_millis(ms))
}

fn waited(waits: &Times) -> String {
    waits.percentiles().map_or_else(String::new, |waited| format!(", waited {waited}"))
}

impl Times {
    fn percentiles(&self) -> Option<String> {
        let [p50, p90, p99, max] = [self.p50_ms?, self.p90_ms?, self.p99_ms?, self.max_ms?].map(span);
        Some(format!("p50 {p50}, p90 {p90}, p99 {p99}, max {max}"))
    }
}

impl Display for Times {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&times(self.count))?;
        match self.percentiles() {
            Some(percentiles) => write!(f, ", {} in all: {percentiles}", span(self.total_ms)),
            None => Ok(()),
        }
    }
}

impl Display for WithoutEnd {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let word = |text: &Option<String>| Printable::word(text.as_deref().unwrap_or("unknown")).to_string();
        let process = self.who.pid.map_or_else(|| "no process".into(), |pid| format!("process {pid}"));
        let (host, user, command) = (word(&self.who.host), word(&self.who.user), word(&self.who.command));
        let since = word(&self.since);
        write!(f, "since {since}: {process} on {host}, user {user}, command {command}: {}", Printable::new(&self.token))
    }
}

impl Display for Holder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let word = |text: &Option<String>| Printable::word(text.as_deref().unwrap_or("unknown")).to_string();
        let (user, host) = (word(&self.user), word(&self.host));
        let (held, all, most) = (times(self.count), span(self.total_ms), span(self.max_ms));
        write!(f, "held by {user} on {host}: {held}, {all} in all, max {most}")
    }
}

impl Display for Read {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let file = Printable::new(&self.file);
        if let Some(first) = self.first_unreadable {
            writeln!(f, "{file}: {} lines cannot be read; the first is line {first}", self.unreadable)?;
        }
        if self.unknown_events > 0 {
            writeln!(f, "{file}: {} lines are of events that this linklock does not know", self.unknown_events)?;
        }
        if self.without_time > 0 {
            writeln!(f, "{file}: {} lines say no time, and do not count", self.without_time)?;
        }
        if self.ends_within_a_line {
            writeln!(f, "{file}: the last line is incomplete, as after a crash")?;
        }
        Ok(())
    }
}
