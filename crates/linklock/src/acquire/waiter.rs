//! Looking at a lock path and pausing, for those who wait there.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::claim::Token;
use crate::env::{FileId, Location, Reach, Watcher};
use crate::error::Error;
use crate::inspect::Holder;
use crate::lease::{LocalTime, ServerTime};
use crate::printable::Printable;
use crate::protocol::queue::Ticket;
use crate::protocol::{Place, Seen, SeenLock, Verdict, stuck};
use crate::wait::{Wait, Waiting, poll_delay};

/// Looks and pauses, and knows when it is enough.
pub(super) struct Waiter<'a> {
    pub(super) place: &'a Place,
    wait: &'a Wait,
    started: LocalTime,
    until: Option<LocalTime>,
    watcher: Option<Box<dyn Watcher>>,
    pub(super) pid: Option<u32>,
    /// The lock that was seen when the wake-ups were armed, and whether it was seen again since, with its holder alive.
    armed: Option<Armed>,
    is_armed: bool,
    /// A moment before the last look.
    pub(super) looked: LocalTime,
    /// Whether times can be compared here; not asked before a lock is in the way.
    clock_is_known: Option<bool>,
    /// For how much longer the lock must be seen unchanged, where they cannot.
    must_watch: Option<Duration>,
    /// What was seen last, and whether it is only known to be still there.
    last: Option<SeenLock>,
    is_remembered: bool,
    told: Option<Token>,
    /// Our place in the queue, if there is one.
    pub(super) ticket: Option<Ticket>,
    /// How many looks in a row have found an empty directory that nothing tells for ours.
    doubts: u32,
    /// Whether it was another's turn to break the lock when we would have.
    pub(super) is_busy: bool,
    /// What was waited for last, since when, and how often it was looked at since.
    alarms: (Option<Armed>, LocalTime, u32),
}

/// Which file, and whose claim, the wake-ups are for.
type Armed = (FileId, Option<Token>);

/// So many looks at one and the same lock in [`ALARMS_WITHIN`] find nothing new before the waiter hears no wake-ups for a while:
/// others may change a file thousands of times in a second. A release, and whoever has the lock next, is something new.
const ALARMS_MOST: u32 = 32;
const ALARMS_WITHIN: Duration = Duration::from_secs(1);

/// For how long it hears none: twice as long each time.
const REST_LEAST: Duration = Duration::from_millis(10);
const REST_MOST: Duration = Duration::from_millis(100);

/// So many looks an empty directory gets before it is somebody else's.
const DOUBTS: u32 = 3;

impl<'a> Waiter<'a> {
    pub(super) fn new(place: &'a Place, wait: &'a Wait) -> Self {
        let started = place.env.now();
        let until = wait.limit.map(|limit| started + limit);
        Self {
            place,
            wait,
            started,
            until,
            watcher: None,
            pid: None,
            armed: None,
            is_armed: false,
            looked: started,
            clock_is_known: None,
            must_watch: None,
            last: None,
            is_remembered: false,
            told: None,
            ticket: None,
            doubts: 0,
            is_busy: false,
            alarms: (None, started, 0),
        }
    }

    pub(super) fn waited(&self) -> Duration {
        self.place.env.now().since(self.started)
    }

    /// Whether it is not to be waited at all.
    pub(super) fn is_single_try(&self) -> bool {
        self.wait.limit == Some(Duration::ZERO)
    }

    pub(super) fn is_late(&self) -> bool {
        self.until.is_some_and(|until| self.place.env.now() >= until)
    }

    pub(super) fn timed_out(&self, holder: Option<Holder>) -> Error {
        if self.last.as_ref().is_some_and(SeenLock::is_hidden) {
            return Error::timeout_of_hidden(self.place.lock_path(), self.waited());
        }
        let error = Error::timeout(self.place.lock_path(), self.waited(), holder, self.must_watch);
        if self.is_busy { error.kept_by(self.place.path.breakers_guard().as_path()) } else { error }
    }

    pub(super) fn check_cancelled(&self, holder: Option<&Holder>) -> Result<(), Error> {
        if self.wait.cancel.as_ref().is_some_and(|c| c.is_cancelled()) {
            return Err(Error::cancelled(self.place.lock_path(), holder.cloned()));
        }
        Ok(())
    }

    /// Wakes on a change there, and on the end of process `pid`.
    pub(super) fn arm(&mut self, at: &Location, pid: Option<u32>) {
        let watcher = self.watcher.get_or_insert_with(|| self.place.env.watcher());
        watcher.arm(at, pid);
    }

    /// What the next look finds is to be armed for again.
    pub(super) fn disarm(&mut self) {
        (self.watcher, self.armed, self.pid, self.is_armed) = (None, None, None, false);
    }

    /// Looks at the lock path, with the wake-ups for what is there armed before the look: no change falls in between.
    pub(super) fn look(&mut self) -> Result<Seen, Error> {
        let watcher = self.watcher.get_or_insert_with(|| self.place.env.watcher());
        loop {
            // What is still there is still armed for; and to ask for a process costs as much as to wake up.
            let is_armed = self.is_armed && watcher.sees_end();
            if !is_armed {
                watcher.arm(self.place.location(), self.pid);
            }
            self.looked = self.place.env.now();
            let remembered = self.last.take().filter(|last| self.place.is_still_there(last));
            self.is_remembered = remembered.is_some();
            let seen = remembered.map_or_else(|| self.place.look(), |last| Ok(Seen::Lock(last)))?;
            if !matches!(seen, Seen::EmptyDirectory { ours: false }) {
                self.doubts = 0;
            }
            let Seen::Lock(lock) = &seen else { return Ok(seen) };
            self.last = Some(lock.clone());
            if is_armed && self.is_remembered {
                return Ok(seen);
            }
            let (pid, armed) = (self.place.holder_pid(lock), Some((lock.attr.id, lock.token().cloned())));
            // Another lock than before may have come after the wake-ups were armed; it can have the number of that one's file.
            self.is_armed = (pid, &armed) == (self.pid, &self.armed);
            if self.is_armed {
                return Ok(seen);
            }
            (self.pid, self.armed) = (pid, armed);
        }
    }

    /// Where no clock can be compared: what is to be thought of the lock that was just seen, and how much longer it must be seen
    /// unchanged.
    pub(super) fn watch(&mut self, lock: &SeenLock) -> Option<(Verdict, Duration)> {
        let place = self.place;
        if lock.is_hidden() {
            return None;
        }
        if *self.clock_is_known.get_or_insert_with(|| place.clock_is_known()) {
            return None;
        }
        let left = place.unchanged.time_left(place, lock, self.looked);
        if self.must_watch.replace(left).is_none() {
            tracing::info!(lock = %Printable::new(place.lock_path()), left_ms = left.as_millis() as u64,
                "clocks cannot be compared on this file system: the lock has expired once it was seen unchanged for its lifetime and the grace");
        }
        let verdict = match place.holder_is_dead(lock) {
            true => Verdict::Dead,
            false if left.is_zero() => Verdict::Over,
            false => Verdict::Live,
        };
        Some((verdict, left))
    }

    /// Makes the next look a whole one, if the last was not. To be asked before anything is done about a lock.
    pub(super) fn must_look_again(&mut self) -> bool {
        self.last = None;
        std::mem::take(&mut self.is_remembered)
    }

    /// Pauses, since an empty directory without our mark may be one that a holder on Windows, which knows no such mark, is
    /// about to remove. One that stays is somebody else's.
    pub(super) fn doubt_directory(&mut self) -> Result<(), Error> {
        self.doubts += 1;
        if self.doubts >= DOUBTS || self.pause(None, None)?.is_break() {
            return Err(Error::not_a_lock(self.place.lock_path(), "an empty directory"));
        }
        Ok(())
    }

    /// Pauses, since another user, who alone may, is about to remove the directory. One that stays is an error.
    pub(super) fn wait_for_removal(&mut self, since: ServerTime) -> Result<(), Error> {
        let env = self.place.env.as_ref();
        if let Some(what) = stuck(env, since) {
            return Err(Error::not_a_lock(self.place.lock_path(), what));
        }
        let soon = env.now() + poll_delay(env, Reach::ThisMachine);
        if self.pause(None, Some(soon))?.is_break() { Err(self.timed_out(None)) } else { Ok(()) }
    }

    /// Pauses after an error that says nothing of the lock: there was no descriptor to look with. Many waiters of one process may
    /// need more than it may have. Any other error ends the wait.
    pub(super) fn bear(&mut self, error: Error) -> Result<(), Error> {
        if !error.is_for_want_of_descriptors() {
            return Err(error);
        }
        // What is there is not known, so nothing that happens to it need wake us.
        let env = self.place.env.as_ref();
        let soon = env.now() + poll_delay(env, Reach::NoneShared);
        if self.pause(None, Some(soon))?.is_break() { Err(error) } else { Ok(()) }
    }

    /// Pauses until a change, the next poll, or `over`. Breaks if the time was up before.
    pub(super) fn pause(&mut self, lock: Option<&SeenLock>, over: Option<LocalTime>) -> Result<ControlFlow<()>, Error> {
        let env = self.place.env.as_ref();
        let holder = lock.and_then(SeenLock::holder);
        self.check_cancelled(holder.as_ref())?;
        if self.is_late() {
            return Ok(ControlFlow::Break(()));
        }
        if let Some(ticket) = &mut self.ticket {
            ticket.refresh(self.place)?;
        }
        self.tell(holder.as_ref());
        if let Some(rest) = self.rest_needed(lock) {
            self.disarm();
            let until = env.now() + rest;
            let mut deaf = env.watcher();
            while env.now() < until && self.check_cancelled(None).is_ok() {
                deaf.wait(until, self.wait.cancel.as_ref());
            }
            return Ok(ControlFlow::Continue(()));
        }
        let watcher = self.watcher.get_or_insert_with(|| env.watcher());
        let now = env.now();
        let poll = now + poll_delay(env, watcher.reach());
        let report = self.wait.report.as_ref().map(|_| now + REPORT_EVERY);
        let next =
            [self.until, over.filter(|over| *over > now), report].into_iter().flatten().fold(poll, LocalTime::min);
        watcher.wait(next, self.wait.cancel.as_ref());
        Ok(ControlFlow::Continue(()))
    }

    /// For how long the wake-ups are not to be heard before the next look, if others make too many.
    fn rest_needed(&mut self, lock: Option<&SeenLock>) -> Option<Duration> {
        let now = self.place.env.now();
        let this = lock.map(|lock| (lock.attr.id, lock.token().cloned()));
        let (last, since, looks) = &mut self.alarms;
        if *last != this || now.since(*since) > ALARMS_WITHIN {
            self.alarms = (this, now, 0);
            return None;
        }
        *looks += 1;
        let rests = looks.checked_sub(ALARMS_MOST)?;
        Some((REST_LEAST * 2_u32.pow(rests.min(4))).min(REST_MOST))
    }

    fn tell(&mut self, holder: Option<&Holder>) {
        if let Some(report) = &self.wait.report {
            report(&Waiting { holder, waited: self.waited(), must_watch: self.must_watch });
        }
        if let Some(holder) = holder.filter(|h| self.told.as_ref() != Some(&h.token)) {
            tracing::info!(lock = %Printable::new(self.place.lock_path()), %holder, claim = %holder.token, "waiting");
            self.told = Some(holder.token.clone());
        }
    }
}

const REPORT_EVERY: Duration = Duration::from_secs(1);
