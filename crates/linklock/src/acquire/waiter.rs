//! Pausing, and knowing when it is enough.

use std::ops::ControlFlow;
use std::time::Duration;

use super::line::Line;
use super::lookout::Lookout;
use super::pace::Pace;
use crate::env::Reach;
use crate::error::Error;
use crate::hint::Ear;
use crate::holder::Holder;
use crate::options::Wake;
use crate::printable::Printable;
use crate::protocol::bell::Bell;
use crate::protocol::judge::Judge;
use crate::protocol::place::{Order, Place};
use crate::protocol::queue::Ticket;
use crate::protocol::seen::{Seen, SeenLock, Sighted, stuck};
use crate::protocol::stake::Stake;
use crate::time::{LocalTime, ServerTime};
use crate::token::Token;
use crate::wait::{Wait, Waiting, hurried, poll_delay};

/// Looks and pauses for a contender, and knows when it is enough.
pub(super) struct Waiter<'a> {
    pub(super) place: &'a Place,
    wait: &'a Wait,
    pub(super) started: LocalTime,
    until: Option<LocalTime>,
    pub(super) lookout: Lookout<'a>,
    pub(super) judge: Judge<'a>,
    /// Whose claim was reported last.
    reported: Option<Token>,
    /// Our place in the queue, if there is one.
    pub(super) ticket: Option<Ticket>,
    /// The bell, once it was looked for.
    bell: Option<Bell>,
    /// Where we listen for hints, once that was asked.
    ear: Option<Option<Ear>>,
    /// Whether nobody, or only one, is before us in the queue.
    pub(super) is_near: bool,
    pub(super) line: Line,
    /// Since when something is at the lock path that does not look like a lock.
    doubted_since: Option<LocalTime>,
    /// Whether it was another's turn to break the lock when we would have.
    pub(super) is_busy: bool,
    /// The lock that was seen last, and since when.
    held: Option<(Sighted, LocalTime)>,
    wake_ups: WakeUps,
}

/// An empty directory that stays for so long is somebody else's: the steps of a release take milliseconds.
const DOUBT: Duration = Duration::from_secs(2);

const REPORT_EVERY: Duration = Duration::from_secs(1);

impl<'a> Waiter<'a> {
    pub(super) fn new(place: &'a Place, wait: &'a Wait, pace: Pace) -> Self {
        let started = place.env.now();
        Self {
            place,
            wait,
            started,
            until: wait.limit.map(|limit| started + limit),
            lookout: Lookout::new(place, pace),
            judge: Judge::new(place),
            reported: None,
            ticket: None,
            bell: None,
            ear: None,
            is_near: false,
            held: None,
            line: Line::default(),
            doubted_since: None,
            is_busy: false,
            wake_ups: WakeUps { lock: None, since: started, looks: 0 },
        }
    }

    pub(super) fn waited(&self) -> Duration {
        self.place.env.now().since(self.started)
    }

    /// Whether there is to be no wait at all.
    pub(super) fn is_single_try(&self) -> bool {
        self.wait.is_single_try()
    }

    /// Whether somebody is told whom we wait for.
    pub(super) fn reports(&self) -> bool {
        self.wait.report.is_some()
    }

    pub(super) fn is_late(&self) -> bool {
        self.until.is_some_and(|until| self.place.env.now() >= until)
    }

    pub(super) fn timed_out(&self, holder: Option<Holder>) -> Error {
        if self.lookout.sees_hidden() {
            return Error::timeout_of_hidden(self.place.lock_path(), self.waited());
        }
        let error = Error::timeout(self.place.lock_path(), self.waited(), holder, self.judge.must_watch);
        if self.is_busy { error.kept_by(self.place.path.of_break_lock().as_path()) } else { error }
    }

    pub(super) fn check_cancelled(&self, holder: Option<&Holder>) -> Result<(), Error> {
        if self.wait.cancel.as_ref().is_some_and(|c| c.is_cancelled()) {
            return Err(Error::cancelled(self.place.lock_path(), holder.cloned()));
        }
        Ok(())
    }

    /// Looks at the lock path, with the wake-ups for what is there armed before the look; or with those that are armed, if
    /// somebody is before us.
    pub(super) fn look(&mut self, is_behind: bool) -> Result<Seen, Error> {
        let seen = if is_behind { self.lookout.look_aside()? } else { self.lookout.look()? };
        if !matches!(seen, Seen::EmptyDirectory { ours: false } | Seen::NotALock(_)) {
            self.doubted_since = None;
        }
        Ok(seen)
    }

    /// Pauses, since an empty directory without our mark may be one that a holder on Windows, which knows no such mark, is
    /// about to remove. One that stays is somebody else's.
    pub(super) async fn doubt_directory(&mut self) -> Result<(), Error> {
        if let Some(until) = self.in_doubt_until(DOUBT)
            && self.pause(None, Some(until)).await?.is_continue()
        {
            return Ok(());
        }
        Err(Error::not_a_lock(self.place.lock_path(), "an empty directory"))
    }

    /// Pauses, since this machine may believe for a while what it knows of the names there, although the lock has come or gone.
    /// What is still no lock then is none.
    pub(super) async fn doubt(&mut self, what: &str) -> Result<(), Error> {
        let Some(until) = self.in_doubt_until(self.place.cached_for()) else {
            return Err(Error::not_a_lock(self.place.lock_path(), what));
        };
        if self.pause(None, Some(until)).await?.is_break() { Err(self.timed_out(None)) } else { Ok(()) }
    }

    /// Until when what is seen may be doubted: for so long since it was first. `None` once that has passed.
    fn in_doubt_until(&mut self, most: Duration) -> Option<LocalTime> {
        let now = self.place.env.now();
        let until = *self.doubted_since.get_or_insert(now) + most;
        (now < until).then_some(until)
    }

    /// Pauses, since another user, who alone may, is about to remove the directory. One that stays is an error.
    pub(super) async fn wait_for_removal(&mut self, since: ServerTime) -> Result<(), Error> {
        let env = self.place.env.as_ref();
        if let Some(what) = stuck(env, since) {
            return Err(Error::not_a_lock(self.place.lock_path(), what));
        }
        let soon = env.now() + poll_delay(env, Reach::ThisMachine);
        if self.pause(None, Some(soon)).await?.is_break() { Err(self.timed_out(None)) } else { Ok(()) }
    }

    /// Pauses after an error that says nothing of the lock: there was no descriptor to look with. Many waiters of one process may
    /// need more than it may have. Or a client that answers from a cache met a file that had gone. Any other error ends the wait.
    pub(super) async fn bear(&mut self, error: Error) -> Result<(), Error> {
        let env = self.place.env.as_ref();
        let is_for_want = error.io_error().is_some_and(|e| env.is_for_want_of_descriptors(e));
        if !(is_for_want || error.is_input_output() && self.in_doubt_until(self.place.cached_for()).is_some()) {
            return Err(error);
        }
        // What is there is not known, so nothing that happens to it need wake us.
        let soon = env.now() + poll_delay(env, Reach::NoneShared);
        if self.pause(None, Some(soon)).await?.is_break() { Err(error) } else { Ok(()) }
    }

    /// Pauses until a change, the next poll, or `expires`. Breaks if the time was up before. All that a contender ever awaits is
    /// this; so it is here that one in a task may be dropped.
    pub(super) async fn pause(
        &mut self,
        lock: Option<&SeenLock>,
        expires: Option<LocalTime>,
    ) -> Result<ControlFlow<()>, Error> {
        let env = self.place.env.as_ref();
        let holder = lock.and_then(SeenLock::holder);
        self.check_cancelled(holder.as_ref())?;
        if self.is_late() {
            return Ok(ControlFlow::Break(()));
        }
        if let Some(ticket) = &mut self.ticket {
            let refreshed = ticket.refresh(self.place);
            if self.place.order == Order::Arrival {
                refreshed?;
            }
        }
        self.report(holder.as_ref());
        let cancel = self.wait.cancel.as_ref();
        if let Some(rest) = self.wake_ups.rest_needed(lock, env.now()) {
            self.lookout.rest(env.now() + rest, cancel).await;
            return Ok(ControlFlow::Continue(()));
        }
        let often = self.wait.report_every.filter(|_| self.waited() >= REPORT_EVERY).unwrap_or(REPORT_EVERY);
        let now = env.now();
        let (reach, usual) = (self.lookout.watcher().reach(), self.poll_delay(lock, now));
        let in_line = self.line.pause_most(self.place, reach, self.ticket.is_some());
        let poll = now + in_line.into_iter().fold(usual, Duration::min);
        let report = self.wait.report.as_ref().map(|_| now + often);
        let expires = expires.filter(|expires| *expires > now);
        let next = [self.until, expires, report].into_iter().flatten().fold(poll, LocalTime::min);
        self.lookout.sleep(next, cancel).await;
        Ok(ControlFlow::Continue(()))
    }

    /// Whoever is likely to be the next holder looks more often where other machines' releases wake nobody.
    fn poll_delay(&mut self, lock: Option<&SeenLock>, now: LocalTime) -> Duration {
        let env = self.place.env.as_ref();
        let reach = self.lookout.watcher().reach();
        let usual = poll_delay(env, reach);
        let Some(this) = lock.map(SeenLock::sighted) else { return usual };
        let since = match &self.held {
            Some((held, since)) if *held == this => *since,
            _ => now,
        };
        self.held = Some((this, since));
        let is_next = self.is_near || self.bell.as_ref().is_some_and(Bell::is_ours);
        if is_next && reach.is_shared() { hurried(env, now.since(since), usual) } else { usual }
    }

    /// Where we listen for hints: found out once, and only on a file system where other machines' releases wake nobody.
    pub(super) fn ear(&mut self) -> Option<Ear> {
        if self.place.wake != Wake::Udp || !self.lookout.watcher().reach().is_shared() {
            return None;
        }
        *self.ear.get_or_insert_with(|| {
            let env = self.place.env.as_ref();
            let ear = Ear::new(env.ear(self.place.path.dir())?, env.unique());
            self.lookout.listen(ear.nonce);
            Some(ear)
        })
    }

    /// Sees to the bell, by which one of those who wait for this lock is to be the next. True if it was hung just now: the lock may
    /// have been released right before. Where the kernel reports every change there is none. In a queue the first ticket says who is
    /// next; there a bell only tells where that contender listens. And everywhere it keeps newcomers from a lock that others share, while
    /// somebody waits who wants it for himself.
    pub(super) fn tends_bell(&mut self, stake: &Stake, lock: &SeenLock) -> bool {
        if self.is_single_try() || self.is_late() {
            return false;
        }
        let wakes =
            self.lookout.watcher().reach().is_shared() && (self.ticket.is_none() || self.place.wake == Wake::Udp);
        if !wakes && lock.readers == 0 {
            return false;
        }
        let ear = self.ear();
        self.bell.get_or_insert_with(|| Bell::new(ear)).tend(self.place, stake, lock)
    }

    /// Gives up the place in the queue and the bell. Returns whether there was either, and where the next in the queue listens.
    pub(super) fn step_out(&mut self) -> (bool, Option<Ear>) {
        let rang = self.bell.take().is_some_and(|mut bell| bell.take_down(self.place));
        match self.ticket.take() {
            Some(ticket) => (true, ticket.leave(self.place)),
            None => (rang, None),
        }
    }

    fn report(&mut self, holder: Option<&Holder>) {
        if let Some(report) = &self.wait.report {
            report(&Waiting {
                path: self.place.lock_path(),
                holder,
                waited: self.waited(),
                must_watch: self.judge.must_watch,
            });
        }
        if let Some(holder) = holder.filter(|h| self.reported.as_ref() != Some(&h.token)) {
            tracing::info!(lock = %Printable::new(self.place.lock_path()), %holder, claim = %holder.token, "waiting");
            self.reported = Some(holder.token.clone());
        }
    }
}

/// How often a waiter was woken for one and the same lock.
struct WakeUps {
    lock: Option<Sighted>,
    since: LocalTime,
    looks: u32,
}

/// So many looks at one and the same lock in [`WAKE_UPS_WITHIN`] find nothing new before the waiter hears no wake-ups for a while:
/// others may change a file thousands of times in a second. A release, and whoever has the lock next, is something new.
const WAKE_UPS_MOST: u32 = 32;
const WAKE_UPS_WITHIN: Duration = Duration::from_secs(1);

/// For how long it hears none: twice as long each time.
const REST_LEAST: Duration = Duration::from_millis(10);
const REST_MOST: Duration = Duration::from_millis(100);

impl WakeUps {
    /// For how long no wake-ups are to be heard before the next look, if others make too many.
    fn rest_needed(&mut self, lock: Option<&SeenLock>, now: LocalTime) -> Option<Duration> {
        let this = lock.map(SeenLock::sighted);
        if self.lock != this || now.since(self.since) > WAKE_UPS_WITHIN {
            *self = Self { lock: this, since: now, looks: 0 };
            return None;
        }
        self.looks += 1;
        let rests = self.looks.checked_sub(WAKE_UPS_MOST)?;
        Some((REST_LEAST * 2_u32.pow(rests.min(4))).min(REST_MOST))
    }
}
