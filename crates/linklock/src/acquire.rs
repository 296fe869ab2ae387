//! The only loop that waits for a lock.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::claim::Token;
use crate::env::{FileId, Location, Reach, Step, Watcher};
use crate::error::Error;
use crate::inspect::Holder;
use crate::lease::{LocalTime, ServerTime};
use crate::printable::Printable;
use crate::protocol::queue::{self, Ticket};
use crate::protocol::{
    Attempt, Break, Place, Protocol, Seen, SeenLock, Stake, Verdict, fence, is_gone, leftovers, stuck,
};
use crate::wait::{Wait, Waiting, poll_delay};

/// Takes the lock, however long `wait` lets it try.
pub(crate) fn acquire(place: &Place, wait: &Wait) -> Result<Stake, Error> {
    let mut contender = Contender {
        stake: place.protocol.steps().stage(place)?,
        waiter: Waiter::new(place, wait),
        late: 0,
        in_vain: 0,
        asked: None,
        swept: false,
        is_out_of_order: false,
    };
    let acquired = contender.contend();
    match acquired {
        Ok(()) => {
            tracing::info!(lock = %Printable::new(place.lock_path()), claim = %contender.stake.claim.token,
                waited_ms = contender.waiter.waited().as_millis() as u64, "acquired");
            Ok(contender.stake)
        }
        Err(e) => {
            if let Some(ticket) = contender.waiter.ticket.take() {
                ticket.leave(place);
            }
            place.protocol.steps().withdraw(place, &contender.stake.claim);
            Err(e)
        }
    }
}

/// Waits until the next contender could have the lock at once, and takes nothing. Judged as [`inspect`] judges.
///
/// [`inspect`]: crate::inspect::inspect
pub(crate) fn wait_until_free(place: &Place, wait: &Wait) -> Result<(), Error> {
    let mut waiter = Waiter::new(place, wait);
    loop {
        let seen = match waiter.look() {
            Ok(seen) => seen,
            Err(e) => {
                waiter.bear(e)?;
                continue;
            }
        };
        let server_now = place.env.wall_clock();
        let lock = match &seen {
            Seen::Free | Seen::EmptyDirectory { ours: true } => return Ok(()),
            Seen::EmptyDirectory { ours: false } => {
                waiter.doubt_directory()?;
                continue;
            }
            Seen::Stuck { since, .. } => {
                waiter.wait_for_removal(*since)?;
                continue;
            }
            Seen::NotALock(what) => return Err(Error::not_a_lock(place.lock_path(), what.clone())),
            Seen::Lock(lock) => lock,
        };
        let (verdict, over_in) = match waiter.watch(lock) {
            Some((verdict, over_in)) => (verdict, over_in),
            None => {
                let expired_at = lock.expiry(place.lifetime) + place.grace;
                (place.judge(lock, server_now), expired_at.since(server_now))
            }
        };
        if verdict != Verdict::Live && lock.is_certain {
            if waiter.must_look_again() {
                continue;
            }
            return Ok(());
        }
        if waiter.pause(Some(lock), Some(place.env.now() + over_in))?.is_break() {
            return Err(waiter.timed_out(lock.holder()));
        }
    }
}

/// A contender whose time is up goes on only this often, however often the lock is seen free or changes hands.
const LAST_ROUNDS: u32 = 3;

/// So many attempts in a row may fail on a lock that is then seen free before each of them waits a little.
const IN_VAIN_MOST: u32 = 32;

struct Contender<'a> {
    stake: Stake,
    waiter: Waiter<'a>,
    /// How often the contender went on although its time was up.
    late: u32,
    /// How many attempts in a row failed although the lock was then seen free.
    in_vain: u32,
    /// The lock that had no second link, and for which an attempt asked the server whether it is there at all.
    asked: Option<(FileId, ServerTime)>,
    /// Whether what a crash left at the lock path was cleared, and what is beside it swept: once is enough.
    swept: bool,
    /// There can be no queue here, or not for this user.
    is_out_of_order: bool,
}

impl Contender<'_> {
    fn contend(&mut self) -> Result<(), Error> {
        let place = self.waiter.place;
        let steps = place.protocol.steps();
        if self.queues_up() && !queue::is_empty(place)? {
            self.wait_in_queue()?;
            // Its expiry may be over by now.
            self.stake.fresh = false;
        }
        loop {
            match self.attempt()? {
                Attempt::Won => return Ok(()),
                // Somebody cleans up, or we were paused for longer than the lifetime: begin anew, with a new name.
                Attempt::Void => {
                    steps.withdraw(place, &self.stake.claim);
                    self.give_up_if_late(None)?;
                    self.stake = steps.stage(place)?;
                }
                Attempt::Lost => {
                    while let Err(e) = self.wait_for_turn() {
                        self.waiter.bear(e)?;
                    }
                }
            }
        }
    }

    fn wait_for_turn(&mut self) -> Result<(), Error> {
        if self.queues_up() {
            self.wait_in_queue()?;
        }
        self.until_worth_trying()
    }

    fn queues_up(&self) -> bool {
        self.waiter.place.queue && !self.is_out_of_order && !self.waiter.is_single_try()
    }

    /// Waits until nobody is before us.
    fn wait_in_queue(&mut self) -> Result<(), Error> {
        let place = self.waiter.place;
        if self.waiter.ticket.is_none() {
            self.waiter.ticket = Ticket::draw(place, &self.stake)?;
            self.is_out_of_order = self.waiter.ticket.is_none();
        }
        loop {
            // Another path than before is to wake us, whatever comes next.
            self.waiter.disarm();
            let Some(ticket) = &mut self.waiter.ticket else { return Ok(()) };
            let Some(ahead) = ticket.ahead(place, &self.stake.anchor)? else { return Ok(()) };
            // Before the last look at it, so that no change falls in between.
            self.waiter.arm(&ahead.ticket, ahead.pid);
            if place.env.stat(&ahead.ticket).is_err() {
                continue;
            }
            // For those who are told whom they wait for.
            let seen = place.look()?;
            let lock = if let Seen::Lock(lock) = &seen { Some(lock) } else { None };
            if self.waiter.pause(lock, None)?.is_break() {
                let holder = lock.and_then(SeenLock::holder);
                return Err(self.waiter.timed_out(holder));
            }
        }
    }

    /// Tries once; with the lock goes the place in the queue, and comes the fencing token.
    fn attempt(&mut self) -> Result<Attempt, Error> {
        let place = self.waiter.place;
        let steps = place.protocol.steps();
        let attempt = steps.attempt(place, &mut self.stake)?;
        if attempt != Attempt::Won {
            return Ok(attempt);
        }
        let queued = self.waiter.ticket.take().map(|ticket| ticket.leave(place)).is_some();
        if !place.fence {
            // To leave may have taken too long to trust the lock any more.
            if queued && place.env.now() >= self.stake.lease.deadline {
                let _ = steps.release(place, &self.stake);
                return Ok(Attempt::Void);
            }
            return Ok(Attempt::Won);
        }
        let drawn = fence::draw(place, &self.stake);
        if let Ok(Some(number)) = drawn {
            self.stake.fence = Some(number);
            return Ok(Attempt::Won);
        }
        // Lost while it was drawn, or not to be had: give back what may still be ours.
        let _ = steps.release(place, &self.stake);
        drawn.map(|_| Attempt::Void)
    }

    /// Waits until another attempt may succeed. Makes no change on disk while the lock is held.
    fn until_worth_trying(&mut self) -> Result<(), Error> {
        let place = self.waiter.place;
        loop {
            let lock = match self.waiter.look()? {
                Seen::Free => return self.seen_free(),
                Seen::Stuck { owner, since } if owner != self.stake.owner => {
                    self.waiter.wait_for_removal(since)?;
                    continue;
                }
                Seen::EmptyDirectory { ours: true } | Seen::Stuck { .. } => {
                    let is_left = !self.swept && leftovers::is_left_at_lock_path(place, &self.stake.anchor);
                    place.clear();
                    if is_left {
                        self.swept = true;
                        place.sweep(|| Some(self.stake.anchor));
                    }
                    return self.seen_free();
                }
                Seen::EmptyDirectory { ours: false } => {
                    self.waiter.doubt_directory()?;
                    continue;
                }
                Seen::NotALock(what) => return Err(Error::not_a_lock(place.lock_path(), what)),
                Seen::Lock(lock) => lock,
            };
            self.in_vain = 0;
            // A lock with one link is being released, or lost its claim, or this client's cache does not know yet that it
            // is gone. An attempt asks the server; once is enough.
            if place.protocol == Protocol::Link && lock.protocol == Protocol::Link && lock.attr.nlink < 2 {
                let this = Some((lock.attr.id, lock.attr.mtime));
                if self.asked != this {
                    self.asked = this;
                    return self.give_up_if_late(lock.holder());
                }
            }
            // Without a claim the server's clock cannot be asked; an attempt makes another.
            let Some((verdict, over)) = self.judge(&lock)? else { return self.give_up_if_late(lock.holder()) };
            self.waiter.is_busy = false;
            if verdict != Verdict::Live {
                if self.waiter.must_look_again() {
                    continue;
                }
                match self.break_lock(&lock, verdict)? {
                    Break::Done => return Ok(()),
                    Break::Changed => {
                        self.give_up_if_late(lock.holder())?;
                        continue;
                    }
                    // Its breaker will wake us, or the next poll.
                    Break::Busy => self.waiter.is_busy = true,
                }
            }
            let over = (verdict == Verdict::Live).then_some(over);
            if self.waiter.pause(Some(&lock), over)?.is_break() {
                return Err(self.waiter.timed_out(lock.holder()));
            }
        }
    }

    /// Others may be faster every time, which is as it should be; but a file system that goes on saying both "exists" and
    /// "not there" shall not keep a processor busy.
    fn seen_free(&mut self) -> Result<(), Error> {
        self.in_vain += 1;
        if self.in_vain > IN_VAIN_MOST {
            // Not for long at first: nothing is there that could wake us.
            let env = &self.waiter.place.env;
            let reach = if self.in_vain > 2 * IN_VAIN_MOST { Reach::NoneShared } else { Reach::NoneLocal };
            let soon = env.now() + poll_delay(env.as_ref(), reach);
            if self.waiter.pause(None, Some(soon))?.is_break() {
                return Err(self.waiter.timed_out(None));
            }
        }
        self.give_up_if_late(None)
    }

    /// What is to be thought of the lock that was just seen, and when it may have expired; `None` if our claim was cleaned away.
    fn judge(&mut self, lock: &SeenLock) -> Result<Option<(Verdict, LocalTime)>, Error> {
        let place = self.waiter.place;
        let env = place.env.as_ref();
        if let Some((verdict, left)) = self.waiter.watch(lock) {
            return Ok(Some((verdict, env.now() + left)));
        }
        // By what the clock said when we looked. A lock that had expired then cannot be refreshed any more, however long we are
        // held up before we act on it; of one that has expired since, its holder may have moved the expiry on.
        let looked = self.waiter.looked;
        let looked = || if env.leaves_out(Step::JudgeByLook) { env.now() } else { looked };
        let expired_at = lock.expiry(place.lifetime) + place.grace;
        let server_then = self.stake.anchor.earliest(looked());
        // The look that found it has just seen its holder alive, and its end would wake us.
        let lives = self.waiter.pid.is_some();
        let verdict = if lives { place.judge_living(lock, server_then) } else { place.judge(lock, server_then) };
        if verdict == Verdict::Live && place.path.is_guard && !lock.is_hidden() {
            // Whatever its times say, it is over once it was seen unchanged for as long as any break lock lasts.
            let left = place.unchanged.time_left(place, lock, self.waiter.looked);
            let verdict = if left.is_zero() { Verdict::Over } else { Verdict::Live };
            return Ok(Some((verdict, self.stake.anchor.surely_past(expired_at).min(env.now() + left))));
        }
        if verdict != Verdict::Over || env.leaves_out(Step::AskClock) {
            return Ok(Some((verdict, self.stake.anchor.surely_past(expired_at))));
        }
        // What we know of the server's clock may be old by now: ask it before we act on it.
        match place.ask_clock_by(&self.stake) {
            Ok(anchor) => self.stake.anchor = anchor.unwrap_or(self.stake.anchor),
            Err(e) if is_gone(&e) => return Ok(None),
            Err(e) => return Err(Error::io(place.lock_path(), "ask for the server's time", e)),
        }
        let verdict = place.judge(lock, self.stake.anchor.earliest(looked()));
        Ok(Some((verdict, self.stake.anchor.surely_past(expired_at))))
    }

    fn break_lock(&self, lock: &SeenLock, verdict: Verdict) -> Result<Break, Error> {
        let place = self.waiter.place;
        if !place.may_break(lock)? {
            return Ok(Break::Busy);
        }
        let why = if verdict == Verdict::Dead { "its holder has ended" } else { "its lifetime and the grace are over" };
        let broken = place.break_lock(lock)?;
        if broken == Break::Done {
            let holder = lock.holder().map(|holder| holder.to_string());
            let claim = lock.token().map(Token::to_string);
            tracing::warn!(lock = %Printable::new(place.lock_path()), holder, claim, why, "broke the lock");
            place.sweep(|| Some(self.stake.anchor));
        }
        Ok(broken)
    }

    /// Ends the wait if its time is up and going on did not help.
    fn give_up_if_late(&mut self, holder: Option<Holder>) -> Result<(), Error> {
        self.waiter.check_cancelled(holder.as_ref())?;
        self.late += u32::from(self.waiter.is_late());
        if self.late >= LAST_ROUNDS {
            return Err(self.waiter.timed_out(holder));
        }
        Ok(())
    }
}

/// Looks and pauses, and knows when it is enough.
struct Waiter<'a> {
    place: &'a Place,
    wait: &'a Wait,
    started: LocalTime,
    until: Option<LocalTime>,
    watcher: Option<Box<dyn Watcher>>,
    pid: Option<u32>,
    /// The lock that was seen when the wake-ups were armed, and whether it was seen again since, with its holder alive.
    armed: Option<Armed>,
    is_armed: bool,
    /// A moment before the last look.
    looked: LocalTime,
    /// Whether times can be compared here; not asked before a lock is in the way.
    clock_is_known: Option<bool>,
    /// For how much longer the lock must be seen unchanged, where they cannot.
    must_watch: Option<Duration>,
    /// What was seen last, and whether it is only known to be still there.
    last: Option<SeenLock>,
    is_remembered: bool,
    told: Option<Token>,
    /// Our place in the queue, if there is one.
    ticket: Option<Ticket>,
    /// How many looks in a row have found an empty directory that nothing tells for ours.
    doubts: u32,
    /// Whether it was another's turn to break the lock when we would have.
    is_busy: bool,
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
    fn new(place: &'a Place, wait: &'a Wait) -> Self {
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

    fn waited(&self) -> Duration {
        self.place.env.now().since(self.started)
    }

    /// Whether it is not to be waited at all.
    fn is_single_try(&self) -> bool {
        self.wait.limit == Some(Duration::ZERO)
    }

    fn is_late(&self) -> bool {
        self.until.is_some_and(|until| self.place.env.now() >= until)
    }

    fn timed_out(&self, holder: Option<Holder>) -> Error {
        if self.last.as_ref().is_some_and(SeenLock::is_hidden) {
            return Error::timeout_of_hidden(self.place.lock_path(), self.waited());
        }
        let error = Error::timeout(self.place.lock_path(), self.waited(), holder, self.must_watch);
        if self.is_busy { error.kept_by(self.place.path.breakers_guard().as_path()) } else { error }
    }

    fn check_cancelled(&self, holder: Option<&Holder>) -> Result<(), Error> {
        if self.wait.cancel.as_ref().is_some_and(|c| c.is_cancelled()) {
            return Err(Error::cancelled(self.place.lock_path(), holder.cloned()));
        }
        Ok(())
    }

    /// Wakes on a change there, and on the end of process `pid`.
    fn arm(&mut self, at: &Location, pid: Option<u32>) {
        let watcher = self.watcher.get_or_insert_with(|| self.place.env.watcher());
        watcher.arm(at, pid);
    }

    /// What the next look finds is to be armed for again.
    fn disarm(&mut self) {
        (self.watcher, self.armed, self.pid, self.is_armed) = (None, None, None, false);
    }

    /// Looks at the lock path, with the wake-ups for what is there armed before the look: no change falls in between.
    fn look(&mut self) -> Result<Seen, Error> {
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
    fn watch(&mut self, lock: &SeenLock) -> Option<(Verdict, Duration)> {
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
    fn must_look_again(&mut self) -> bool {
        self.last = None;
        std::mem::take(&mut self.is_remembered)
    }

    /// Pauses, since an empty directory without our mark may be one that a holder on Windows, which knows no such mark, is
    /// about to remove. One that stays is somebody else's.
    fn doubt_directory(&mut self) -> Result<(), Error> {
        self.doubts += 1;
        if self.doubts >= DOUBTS || self.pause(None, None)?.is_break() {
            return Err(Error::not_a_lock(self.place.lock_path(), "an empty directory"));
        }
        Ok(())
    }

    /// Pauses, since another user, who alone may, is about to remove the directory. One that stays is an error.
    fn wait_for_removal(&mut self, since: ServerTime) -> Result<(), Error> {
        let env = self.place.env.as_ref();
        if let Some(what) = stuck(env, since) {
            return Err(Error::not_a_lock(self.place.lock_path(), what));
        }
        let soon = env.now() + poll_delay(env, Reach::ThisMachine);
        if self.pause(None, Some(soon))?.is_break() { Err(self.timed_out(None)) } else { Ok(()) }
    }

    /// Pauses after an error that says nothing of the lock: there was no descriptor to look with. Many waiters of one process may
    /// need more than it may have. Any other error ends the wait.
    fn bear(&mut self, error: Error) -> Result<(), Error> {
        if !error.is_for_want_of_descriptors() {
            return Err(error);
        }
        // What is there is not known, so nothing that happens to it need wake us.
        let env = self.place.env.as_ref();
        let soon = env.now() + poll_delay(env, Reach::NoneShared);
        if self.pause(None, Some(soon))?.is_break() { Err(error) } else { Ok(()) }
    }

    /// Pauses until a change, the next poll, or `over`. Breaks if the time was up before.
    fn pause(&mut self, lock: Option<&SeenLock>, over: Option<LocalTime>) -> Result<ControlFlow<()>, Error> {
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
