//! What happens to the locks of this process, line by line.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use linklock::{Lock, Lost, Printable};

use super::line::{Broken, Event, Line, Who, Why};
use super::listener::Heard;
use super::writer::Writer;
use crate::console::json;
use crate::os::uptime;

/// Where the lines go, and what they need to know.
#[derive(Debug)]
pub(crate) struct Story {
    pub(super) writer: Writer,
    /// Locked for a moment, never while a file system works.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    who: Who,
    protocol: Option<String>,
    separator: char,
    locks: Vec<Subject>,
    held: Vec<Held>,
    /// When the wait for the next lock began.
    since: Duration,
}

/// A lock that the lines are about. The library has events of break locks too.
#[derive(Debug)]
struct Subject {
    /// As the library's events show it.
    shown: String,
    lock: String,
    slot: Option<u64>,
}

#[derive(Debug)]
struct Held {
    shown: String,
    token: String,
    fence: Option<u64>,
    /// `None` if another process acquired it.
    since: Option<Duration>,
}

/// What a line is about.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) who: Who,
    pub(super) protocol: Option<String>,
    pub(super) separator: char,
}

impl Story {
    pub(super) fn new(writer: Writer) -> Self {
        Self { writer, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic while it was locked leaves what was known before.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The slots are numbered from 1 on.
    pub(super) fn begin<'a>(&self, begin: Begin, locks: impl Iterator<Item = (&'a Lock, Option<u64>)>) {
        let subject = |(lock, slot): (&Lock, _)| Subject {
            shown: Printable::new(lock.path()).to_string(),
            lock: lock.path().to_string_lossy().into_owned(),
            slot,
        };
        let mut known = self.known();
        let Begin { who, protocol, separator } = begin;
        *known =
            Known { who, protocol, separator, locks: locks.map(subject).collect(), held: Vec::new(), since: uptime() };
    }

    /// This process goes on with a lock that another has acquired.
    pub(super) fn adopt(&self, path: &Path, token: String, who: Who) {
        let mut known = self.known();
        known.who = who;
        known.held.push(Held { shown: Printable::new(path).to_string(), token, fence: None, since: None });
    }

    /// The locks that this process holds stay held.
    pub(super) fn leave(&self) {
        self.known().held.clear();
    }

    /// An event of the library.
    pub(super) fn hear(&self, what: &str, heard: &Heard) {
        let mut known = self.known();
        let Some(mut line) = known.line(Event::Unknown, &heard.lock) else { return };
        line.token = heard.claim.clone();
        let line = match what {
            "acquired" => known.acquired(line, heard),
            "broken" => Some(known.broken(line, heard)),
            "refresh" => Some(Line { event: Event::RefreshFailed, error: heard.error.clone(), ..line }),
            "lost" => known.lost(heard.claim.as_deref(), why_lost(&heard.why), heard.error.clone()),
            _ => known.ended(heard.claim.as_deref()).map(|line| Line { event: Event::Released, ..line }),
        };
        drop(known);
        self.write(line);
    }

    /// The guard has found its lock lost.
    pub(super) fn lost(&self, token: &str, why: Option<Lost>, error: Option<String>) {
        let line = self.known().lost(Some(token), why.map(why_of), error);
        self.write(line);
    }

    /// What this process wanted of the lock at this path has failed.
    pub(super) fn failed(&self, event: Event, path: &Path, token: Option<String>, error: Option<String>) {
        let known = self.known();
        let Some(line) = known.line(event, &Printable::new(path).to_string()) else { return };
        // Who has a token did not wait.
        let waited_ms = token.is_none().then(|| ms(uptime().saturating_sub(known.since)));
        drop(known);
        self.write(Some(Line { token, waited_ms, error, ..line }));
    }

    /// The locks that this process still holds were not released: they last until their expiry.
    pub(super) fn end(&self, error: Option<&str>) {
        let mut known = self.known();
        let tokens: Vec<_> = known.held.iter().map(|held| held.token.clone()).collect();
        let lines: Vec<_> = tokens.iter().map(|token| known.ended(Some(token))).collect();
        drop(known);
        for line in lines.into_iter().flatten() {
            self.write(Some(Line { event: Event::ReleaseFailed, error: error.map(Into::into), ..line }));
        }
    }

    fn write(&self, line: Option<Line>) {
        // It has nothing that JSON cannot hold.
        if let Some(text) = line.and_then(|line| json(&line).ok()) {
            self.writer.append(text);
        }
    }
}

impl Known {
    /// A line about the lock that is shown so; `None` if it is not one of ours.
    fn line(&self, event: Event, shown: &str) -> Option<Line> {
        let subject = self.locks.iter().find(|subject| subject.shown == shown)?;
        let line = Line::new(event, subject.lock.clone());
        Some(Line { slot: subject.slot, protocol: self.protocol.clone(), who: self.who.clone(), ..line })
    }

    fn acquired(&mut self, line: Line, heard: &Heard) -> Option<Line> {
        let now = uptime();
        let (shown, token, fence) = (heard.lock.clone(), heard.claim.clone()?, heard.fence);
        self.held.push(Held { shown, token, fence, since: Some(now) });
        let waited_ms = Some(ms(now.saturating_sub(self.since)));
        // Of several locks, the next is waited for from here on.
        self.since = now;
        Some(Line { event: Event::Acquired, fence, waited_ms, ..line })
    }

    fn broken(&self, line: Line, heard: &Heard) -> Line {
        let why = match heard.why.as_str() {
            "its holder has ended" => Why::Abandoned,
            "its lifetime and the grace have passed" => Why::Expired,
            _ => Why::Forced,
        };
        let broken = heard.claim.as_ref().map(|token| {
            // LOCKPATH|HOST|PID|NONCE
            let mut parts = token.rsplit(self.separator).skip(1);
            let (pid, host) = (parts.next().and_then(|pid| pid.parse().ok()), parts.next().map(Into::into));
            Broken { token: token.clone(), host, pid }
        });
        Line { event: Event::Broken, token: None, why: Some(why), broken, ..line }
    }

    fn lost(&mut self, token: Option<&str>, why: Option<Why>, error: Option<String>) -> Option<Line> {
        let line = self.ended(token)?;
        Some(Line { event: Event::Lost, why, error, ..line })
    }

    /// The end of a lock that this process holds. Each has one end: a lost lock may be released, too.
    fn ended(&mut self, token: Option<&str>) -> Option<Line> {
        let n = self.held.iter().position(|held| Some(held.token.as_str()) == token)?;
        let Held { shown, token, fence, since } = self.held.swap_remove(n);
        let held_ms = since.map(|since| ms(uptime().saturating_sub(since)));
        Some(Line { token: Some(token), fence, held_ms, ..self.line(Event::Unknown, &shown)? })
    }
}

/// As the library's event has it.
fn why_lost(text: &str) -> Option<Why> {
    [Lost::Overdue, Lost::Broken].into_iter().find(|why| format!("{why:?}") == text).map(why_of)
}

fn why_of(lost: Lost) -> Why {
    match lost {
        Lost::Overdue => Why::Expired,
        Lost::Broken => Why::Broken,
        _ => Why::Unknown,
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
