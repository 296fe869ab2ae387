//! Two doctors, on two machines or on two mounts of one directory, that find each other through that directory and measure what
//! each sees of the other.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::report::{Finding, Level, finding, of};
use super::tools::{BEGIN, check_cancelled, names};
use crate::env::os::OsEnv;
use crate::env::{Env, Location, Meant};
use crate::error::Error;
use crate::guard::ReleaseError;
use crate::lock::Lock;
use crate::options::Protocol;
use crate::time::LocalTime;
use crate::wait::{Cancel, Wait};

/// How two doctors meet.
#[derive(Clone, Debug)]
pub struct Meeting {
    /// Of this side, and of the other: both must differ.
    names: [String; 2],
    separator: char,
    patience: Duration,
    contend_for: Duration,
    protocols: Vec<Protocol>,
}

impl Meeting {
    /// Of two hosts, by their names: a minute for the other to come, and 15 s of contention under each protocol.
    pub fn of(this: impl Into<String>, other: impl Into<String>) -> Self {
        Self {
            names: [this.into(), other.into()],
            separator: crate::SEPARATOR,
            patience: Duration::from_secs(60),
            contend_for: Duration::from_secs(15),
            protocols: vec![Protocol::Dir, Protocol::Link],
        }
    }

    /// Within this time at most, instead of a minute.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// For so long under each protocol, instead of 15 s.
    pub fn contend_for(mut self, time: Duration) -> Self {
        self.contend_for = time;
        self
    }

    /// With this separator in names.
    pub fn separator(mut self, separator: char) -> Self {
        self.separator = separator;
        self
    }

    /// With these protocols alone.
    pub fn protocols(mut self, protocols: Vec<Protocol>) -> Self {
        self.protocols = protocols;
        self
    }
}

/// Meets the other doctor, that is started at about the same time with the names turned round, and measures with it: how late each
/// sees what the other does, how far apart the clocks are, and whether both ever hold a lock at once.
///
/// # Errors
/// If the other does not come, or ends before; if the directory cannot be used; cancelled.
pub fn meet(dir: impl AsRef<Path>, meeting: &Meeting, cancel: &Cancel) -> Result<Vec<Finding>, Error> {
    let dir = dir.as_ref();
    let [this, other] = &meeting.names;
    if this == other || this.is_empty() || other.is_empty() || this.contains('/') || other.contains('/') {
        return Err(Error::invalid(format!("names {this:?} and {other:?}: two that differ, without a slash")));
    }
    let hall = Hall::enter(dir, meeting, cancel).map_err(|e| e.of(dir, other))?;
    let findings = hall.measure(meeting).map_err(|e| e.of(dir, other));
    if let Err(e) = &findings {
        let _ = hall.mark(GAVE_UP, &e.to_string());
    }
    hall.leave(meeting.patience.min(Duration::from_secs(10)));
    findings
}

enum Broken {
    Io(io::Error),
    Lock(Error),
    Alone(Duration),
    /// Why the other has.
    GivenUp(String),
}

impl Broken {
    fn of(self, dir: &Path, other: &str) -> Error {
        match self {
            Self::Io(e) => Error::io(dir, "meet the other doctor there", e),
            Self::Lock(e) => e,
            Self::GivenUp(why) => Error::io(
                dir,
                "measure with the other doctor there",
                io::Error::other(format!("{other} gave up: {why}")),
            ),
            Self::Alone(waited) => Error::io(
                dir,
                "meet the other doctor there",
                io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!(
                        "nothing was heard of {other} within {waited:?}: is it the same directory, and did both start?"
                    ),
                ),
            ),
        }
    }
}

impl From<io::Error> for Broken {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl From<Error> for Broken {
    fn from(e: Error) -> Self {
        Self::Lock(e)
    }
}

impl From<ReleaseError> for Broken {
    fn from(e: ReleaseError) -> Self {
        Self::Lock(e.into())
    }
}

/// The last mark of one that cannot go on.
const GAVE_UP: &str = "gave-up";

/// Where both meet: under names in the directory that begin alike. A mark is a file with a value; each is made once, by one of
/// them. Others may write to the directory too: nothing is followed, and only names with that beginning are removed.
struct Hall {
    env: Arc<dyn Env>,
    dir: PathBuf,
    begin: String,
    this: String,
    other: String,
    patience: Duration,
    leads: bool,
    cancel: Cancel,
}

const LIFETIME: Duration = Duration::from_secs(30);
/// No lock could work with an older cache.
const SEEN_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(5);

impl Hall {
    fn enter(dir: &Path, meeting: &Meeting, cancel: &Cancel) -> Result<Self, Broken> {
        let env: Arc<dyn Env> = Arc::new(OsEnv);
        let [this, other] = meeting.names.clone();
        let leads = this < other;
        let mut hall = Self {
            env,
            dir: dir.to_owned(),
            begin: BEGIN.into(),
            this,
            other,
            patience: meeting.patience,
            leads,
            cancel: cancel.clone(),
        };
        // Others' numbers of an earlier meeting are older than ours, and nobody answers with ours by chance.
        let own = format!("{:016x}", hall.env.unique());
        let (ours, theirs) = (hello(&hall.this, &hall.other), hello(&hall.other, &hall.this));
        let _ = hall.env.unlink(&hall.at(&ours));
        hall.write(&ours, &own)?;
        let until = hall.env.now() + meeting.patience;
        let mut answers = BTreeSet::new();
        let number = loop {
            // It becomes a part of names, and anybody may have written it.
            if let Some(number) = hall.read(&theirs).filter(|number| is_number(number)) {
                let answer = format!("{number}.heard");
                exists_is_ok(hall.write(&answer, &own))?;
                answers.insert(answer);
                if hall.read(&format!("{own}.heard")).as_ref() == Some(&number) {
                    break number;
                }
            }
            let cancelled = check_cancelled(dir, cancel);
            if cancelled.is_err() || hall.env.now() >= until {
                for name in answers.iter().chain([&ours]) {
                    let _ = hall.env.unlink(&hall.at(name));
                }
                cancelled?;
                return Err(Broken::Alone(meeting.patience));
            }
            hall.env.rest(Duration::from_millis(50), Some(cancel.event()));
        };
        let (first, second) = if leads { (own, number) } else { (number, own) };
        hall.begin = format!("{BEGIN}{first}.{second}.");
        Ok(hall)
    }

    fn at(&self, name: &str) -> Location {
        Location::beside(&self.dir, self.name(name).as_ref())
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.begin)
    }

    fn write(&self, name: &str, value: &str) -> io::Result<()> {
        self.env.create(&self.at(name), value.as_bytes(), 0o644, &mut |_| None).map(drop)
    }

    fn read(&self, name: &str) -> Option<String> {
        // Makes a client ask again for a name that was missing.
        let _ = self.env.stat_dir(&self.dir);
        let (_, content) = self.env.read(&self.at(name), 1000).ok()?;
        // Not yet written.
        if content.is_empty() { None } else { Some(String::from_utf8_lossy(&content).into_owned()) }
    }

    fn wait(&self) -> Wait {
        Wait::up_to(self.patience).cancelled_by(&self.cancel)
    }

    fn mark(&self, name: &str, value: &str) -> Result<(), Broken> {
        Ok(self.write(&format!("{}.{name}", self.this), value)?)
    }

    /// Waits for the other's mark.
    fn await_mark(&self, name: &str) -> Result<String, Broken> {
        let name = format!("{}.{name}", self.other);
        let until = self.env.now() + self.patience;
        loop {
            if let Some(value) = self.read(&name) {
                return Ok(value);
            }
            if let Some(why) = self.read(&format!("{}.{GAVE_UP}", self.other)) {
                return Err(Broken::GivenUp(why));
            }
            check_cancelled(&self.dir, &self.cancel)?;
            if self.env.now() >= until {
                return Err(Broken::Alone(self.patience));
            }
            self.env.rest(LOOK_EVERY, Some(self.cancel.event()));
        }
    }

    /// Both are here.
    fn gather(&self, name: &str) -> Result<String, Broken> {
        self.mark(name, "here")?;
        self.await_mark(name)
    }

    fn measure(&self, meeting: &Meeting) -> Result<Vec<Finding>, Broken> {
        let mut findings = vec![self.lateness()?, self.clocks()?];
        for protocol in &meeting.protocols {
            findings.extend(self.sight(*protocol, meeting)?);
            findings.push(self.contention(*protocol, meeting)?);
        }
        Ok(findings)
    }

    /// One makes a mark, the other answers as soon as it sees it, and so on.
    fn lateness(&self) -> Result<Finding, Broken> {
        const ROUNDS: usize = 10;
        self.gather("begin")?;
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            let before = self.env.now();
            if self.leads {
                self.mark(&format!("ask{round}"), "?")?;
                self.await_mark(&format!("answer{round}"))?;
                times.push(self.env.now().since(before) / 2);
            } else {
                self.await_mark(&format!("ask{round}"))?;
                self.mark(&format!("answer{round}"), "!")?;
            }
        }
        times.sort();
        let text = match (times.get(ROUNDS / 2), times.last()) {
            (Some(median), Some(most)) => {
                let text = format!("{median:.0?} in the median, {most:.0?} at most");
                self.mark("late", &text)?;
                text
            }
            _ => self.await_mark("late")?,
        };
        Ok(finding("lateness", Level::Note, format!("a new file is seen on the other side after {text}")))
    }

    fn clocks(&self) -> Result<Finding, Broken> {
        let before = self.env.wall_clock();
        let made = self.env.create(&self.at(&format!("{}.clock", self.this)), b"?", 0o644, &mut |_| None)?;
        // How far this machine's clock is behind what its files have.
        let own = i128::from(made.ctime.as_nanos()) - i128::from(before.as_nanos());
        self.mark("offset", &own.to_string())?;
        let theirs = self.await_mark("offset")?.parse().unwrap_or(own);
        let apart = own.saturating_sub(theirs).unsigned_abs();
        let apart = Duration::from_nanos(u64::try_from(apart).unwrap_or(u64::MAX));
        let text = format!("as far as their files tell, the clocks of both sides are {apart:.1?} apart");
        Ok(finding("clocks", Level::Note, text))
    }

    fn lock(&self, name: &str, protocol: Protocol, meeting: &Meeting) -> Result<Lock, Error> {
        let builder = Lock::builder(self.dir.join(self.name(name))).protocol(protocol).separator(meeting.separator);
        // Nobody's end counts but by the clock, as between machines.
        let builder = builder.host(&self.this).recover_dead(false).allow_unsafe_file_system(true);
        builder.lifetime(LIFETIME).build()
    }

    /// How late the second sees a lock of the first that comes, is refreshed and goes.
    fn sight(&self, protocol: Protocol, meeting: &Meeting) -> Result<[Finding; 2], Broken> {
        let lock = self.lock(&format!("seen-{protocol}"), protocol, meeting)?;
        let step = |name: &str| format!("{protocol}-{name}");
        self.gather(&step("sight"))?;
        let seen = if self.leads { self.show(&lock, step)? } else { self.see(&lock, step)? };
        Ok(seen.map(|(level, text)| of(protocol, "sight", level, text)))
    }

    fn show(&self, lock: &Lock, step: impl Fn(&str) -> String) -> Result<[(Level, String); 2], Broken> {
        let guard = lock.acquire_with(&self.wait())?;
        self.mark(&step("held"), "!")?;
        let kept_out = self.await_mark(&step("kept-out"))?;
        // Longer than before: it shows on a file system with whole seconds too.
        guard.refresh_for(2 * LIFETIME)?;
        self.mark(&step("refreshed"), "!")?;
        self.await_mark(&step("saw-refresh"))?;
        guard.release()?;
        self.mark(&step("released"), "!")?;
        let changes = self.await_mark(&step("saw-changes"))?;
        Ok([kept_out, changes].map(|told| heard(&told)))
    }

    fn see(&self, lock: &Lock, step: impl Fn(&str) -> String) -> Result<[(Level, String); 2], Broken> {
        let mark_seen = |name, seen: &(Level, String)| self.mark(&step(name), &told(seen.0, &seen.1));
        self.await_mark(&step("held"))?;
        let kept_out = match lock.acquire_with(&Wait::never()) {
            Err(e) if e.is_timeout() => (Level::Good, "a lock of the other side keeps this one out".to_owned()),
            Err(e) => (Level::Fault, format!("a lock of the other side is not seen as one: {e}")),
            Ok(_) => (Level::Fault, "both sides had the lock at once".to_owned()),
        };
        let expires = || lock.inspect().ok().and_then(|status| status.expires_at);
        let first = expires();
        mark_seen("kept-out", &kept_out)?;
        self.await_mark(&step("refreshed"))?;
        // Without a lock to look at, there is nothing to see.
        let late = if first.is_some() { self.until(|| expires() > first)? } else { None };
        self.mark(&step("saw-refresh"), "!")?;
        let before = self.env.now();
        let released = lock.acquire_with(&self.wait()).and_then(|guard| Ok(guard.release()?));
        self.await_mark(&step("released"))?;
        let changes = match (late, released) {
            (Some(late), Ok(())) => {
                let took = self.env.now().since(before);
                (Level::Note, format!("a refresh is seen after {late:.0?}, and a release after {took:.1?}"))
            }
            (None, Ok(())) => (Level::Fault, "a refresh was not seen".to_owned()),
            (_, Err(e)) => (Level::Fault, format!("a release was not seen: {e}")),
        };
        mark_seen("saw-changes", &changes)?;
        Ok([kept_out, changes])
    }

    /// How long it takes until this is so.
    fn until(&self, is_so: impl Fn() -> bool) -> Result<Option<Duration>, Broken> {
        let began = self.env.now();
        loop {
            if is_so() {
                return Ok(Some(self.env.now().since(began)));
            }
            check_cancelled(&self.dir, &self.cancel)?;
            if self.env.now().since(began) > SEEN_WITHIN {
                return Ok(None);
            }
            self.env.rest(LOOK_EVERY, Some(self.cancel.event()));
        }
    }

    /// Both note in one file when they hold the lock and when they do no longer.
    fn contention(&self, protocol: Protocol, meeting: &Meeting) -> Result<Finding, Broken> {
        let step = |name: &str| format!("{protocol}-{name}");
        let log = step("log");
        if self.leads {
            self.write(&log, "")?;
        }
        let lock = self.lock(&format!("contended-{protocol}"), protocol, meeting)?;
        self.gather(&step("contend"))?;
        let (holds, failed) = self.hold(&lock, &log, meeting.contend_for);
        self.mark(&step("holds"), &format!("{holds} {failed}"))?;
        let theirs = self.await_mark(&step("holds"))?;
        let (their_holds, their_error) = theirs.split_once(' ').unwrap_or((&theirs, ""));
        let all = holds.saturating_add(their_holds.parse().unwrap_or(0));
        // The last note was made under the lock, so under the lock all are seen.
        let noted = lock.acquire_with(&self.wait()).and_then(|guard| {
            let read = self.env.read(&self.at(&log), LOG_LIMIT);
            guard.release()?;
            Ok(read)
        });
        self.gather(&step("noted"))?;
        // Where the other's lock is taken for something else, this is a finding and no end.
        let (notes, unread) = match noted {
            Ok(read) => (read?.1, String::new()),
            Err(e) => (Vec::new(), e.to_string()),
        };
        let shares = format!("{all} holds ({holds} by {} and {their_holds} by {})", self.this, self.other);
        let overlaps = overlaps(&String::from_utf8_lossy(&notes), all);
        let failed = [failed.as_str(), their_error, unread.as_str()].join(" ");
        let level = if overlaps == 0 && failed.trim().is_empty() && all > 0 { Level::Good } else { Level::Fault };
        Ok(of(protocol, "contention", level, format!("{shares}, {overlaps} overlaps {failed}").trim_end()))
    }

    fn hold(&self, lock: &Lock, log: &str, time: Duration) -> (usize, String) {
        let until: LocalTime = self.env.now() + time;
        let mut holds = 0;
        while self.env.now() < until && !self.cancel.is_cancelled() {
            let held = lock.acquire_with(&self.wait()).and_then(|guard| {
                self.note(log, &format!("{}{holds}+\n", self.this))?;
                self.note(log, &format!("{}{holds}-\n", self.this))?;
                holds += 1;
                Ok(guard.release()?)
            });
            if let Err(e) = held {
                return (holds, e.to_string());
            }
        }
        (holds, String::new())
    }

    /// Only to the file that has this name and no other.
    fn note(&self, log: &str, line: &str) -> Result<(), Error> {
        let at = self.at(log);
        let noted = self.env.stat(&at).and_then(|attr| {
            let meant = Meant { id: Some(attr.id), owner: attr.owner, is_alone: true };
            self.env.append(&at, meant, line.as_bytes())
        });
        noted.map_err(|e| Error::io(&self.dir, "note a hold there", e))
    }

    /// The first in order waits for the second, and tidies up.
    fn leave(&self, patience: Duration) {
        let _ = self.mark("leaves", "!");
        // Cancelled or not.
        let until = self.env.now() + patience;
        while self.leads && self.env.now() < until && self.read(&format!("{}.leaves", self.other)).is_none() {
            self.env.rest(LOOK_EVERY, None);
        }
        if !self.leads {
            return;
        }
        let mine = names(|each| self.env.list_dir(&self.dir, each)).unwrap_or_default();
        for name in mine.iter().filter(|name| self.is_of_this_meeting(name)) {
            let at = Location::beside(&self.dir, name.as_ref());
            // On NFS 4 the empty directory of a free lock stays.
            let _ = self.env.unlink(&at).or_else(|_| self.env.rmdir(&at));
        }
    }

    fn is_of_this_meeting(&self, name: &str) -> bool {
        let Some(rest) = name.strip_prefix(BEGIN) else { return false };
        let mut numbers = self.begin.split('.').filter(|part| is_number(part));
        let hellos = [hello(&self.this, &self.other), hello(&self.other, &self.this)];
        name.starts_with(&self.begin)
            || hellos.iter().any(|hello| hello == rest)
            || numbers.any(|number| rest == format!("{number}.heard"))
    }
}

/// The notes of a few hundred thousand holds.
const LOG_LIMIT: usize = 16 << 20;

/// How many of the holds are not noted, begin and end, without another in between.
fn overlaps(notes: &str, holds: usize) -> usize {
    let lines: Vec<_> = notes.lines().collect();
    let is_alone = |pair: &&[&str]| match pair {
        [begin, end] => begin.strip_suffix('+').is_some_and(|hold| Some(hold) == end.strip_suffix('-')),
        _ => false,
    };
    holds.max(lines.len().div_ceil(2)) - lines.chunks(2).filter(is_alone).count()
}

fn hello(from: &str, to: &str) -> String {
    format!("hello.{from}+{to}")
}

/// Of a side: as `unique` is written.
fn is_number(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn exists_is_ok(made: io::Result<()>) -> io::Result<()> {
    made.or_else(|e| if e.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(e) })
}

fn told(level: Level, text: &str) -> String {
    format!("{level:?} {text}")
}

fn heard(told: &str) -> (Level, String) {
    let (level, text) = told.split_once(' ').unwrap_or(("Fault", told));
    let known = [Level::Good, Level::Note, Level::Warning];
    (known.into_iter().find(|known| format!("{known:?}") == level).unwrap_or(Level::Fault), text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_that_overlap_or_whose_notes_are_lost_are_counted() {
        assert_eq!(overlaps("a0+\na0-\nb0+\nb0-\n", 2), 0);
        assert_eq!(overlaps("a0+\nb0+\na0-\nb0-\n", 2), 2, "within each other");
        assert_eq!(overlaps("a0+\na0-\nb0+\n", 2), 1, "a note is lost");
        assert_eq!(overlaps("a0+\na0-\n", 2), 1, "both notes are lost");
        assert_eq!(overlaps("", 0), 0);
    }
}
