//! A contender for one lock: the loop that waits for it.

use super::pace::{Pace, run};
use super::waiter::Waiter;
use crate::env::{FileId, Reach};
use crate::error::Error;
use crate::holder::Holder;
use crate::options::{Protocol, Wake};
use crate::printable::Printable;
use crate::protocol::clear::make_room;
use crate::protocol::identify::may_break;
use crate::protocol::judge::{Verdict, log_broken};
use crate::protocol::place::{Order, Place};
use crate::protocol::queue::{self, Ticket};
use crate::protocol::seen::{Seen, SeenLock};
use crate::protocol::stake::{Attempt, Break, Stake};
use crate::protocol::{bell, fence, fitness, leftovers, look, steps};
use crate::time::ServerTime;
use crate::wait::{Wait, poll_delay};

/// Takes the lock, however long `wait` lets it try.
pub(crate) fn acquire(place: &Place, wait: &Wait) -> Result<Stake, Error> {
    run(contend(place, wait, Pace::Thread))
}

/// The same, as it is awaited. Dropped before it is ready, it leaves nothing on disk.
pub(crate) async fn contend(place: &Place, wait: &Wait, pace: Pace) -> Result<Stake, Error> {
    let advice = || place.file_system().map(|known| (known.name, known.advice));
    contend_here(place, wait, pace).await.map_err(|e| e.advised(advice))
}

async fn contend_here(place: &Place, wait: &Wait, pace: Pace) -> Result<Stake, Error> {
    let mut stake = steps::stage(place)?;
    let mut contender = Contender::new(&mut stake, Waiter::new(place, wait, pace));
    let acquired = contender.contend().await;
    match acquired {
        Ok(()) => {
            contender.is_staged = false;
            tracing::info!(target: "linklock::acquired", lock = %Printable::new(place.lock_path()),
                claim = %contender.stake.claim.token, fence = contender.stake.fence, waited_ms = contender.waiter.waited().as_millis() as u64, "acquired");
        }
        // In a thread that panics too, where to drop it does not.
        Err(_) => contender.leave(),
    }
    drop(contender);
    acquired.map(|()| stake)
}

/// A contender with more tickets before it looks at the last of them only, and does not list them all, until that one goes: a
/// thousand names that each of a thousand lists keep a file server busy.
const NEAR: u64 = 8;

/// A contender whose time is up goes on only this often, however often the lock is seen free or changes hands.
const LAST_ROUNDS: u32 = 3;

/// So many attempts in a row may fail on a lock that is then seen free before each of them waits a little.
const IN_VAIN_MOST: u32 = 32;

/// Whoever is dropped before it has the lock leaves nothing on disk.
pub(super) struct Contender<'a> {
    pub(super) stake: &'a mut Stake,
    /// Whether the stake is a claim that is yet to be won or withdrawn.
    is_staged: bool,
    /// The generation of the process that contends.
    process: u64,
    pub(super) waiter: Waiter<'a>,
    /// The lock whose holder is told while we are in the queue.
    pub(super) shown: &'a Place,
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

impl<'a> Contender<'a> {
    pub(super) fn new(stake: &'a mut Stake, waiter: Waiter<'a>) -> Self {
        Self {
            stake,
            is_staged: true,
            process: waiter.place.env.generation(),
            shown: waiter.place,
            waiter,
            late: 0,
            in_vain: 0,
            asked: None,
            swept: false,
            is_out_of_order: false,
        }
    }

    /// Takes from the disk what is there of it: the place in the queue, the bell and the claim.
    pub(super) fn leave(&mut self) {
        let place = self.waiter.place;
        if !std::mem::take(&mut self.is_staged) {
            return;
        }
        self.waiter.step_out();
        steps::withdraw(place, &self.stake.claim);
    }

    async fn contend(&mut self) -> Result<(), Error> {
        let place = self.waiter.place;
        fitness::check(place, self.stake)?;
        if self.queues_up() && !queue::is_empty(place)? {
            self.wait_in_queue().await?;
            // Its expiry may be over by now.
            self.stake.fresh = false;
        }
        loop {
            match self.attempt()? {
                Attempt::Won => return Ok(()),
                // Somebody cleans up, or we were paused for longer than the lifetime: begin anew, with a new name.
                Attempt::Void => {
                    steps::withdraw(place, &self.stake.claim);
                    self.give_up_if_late(None)?;
                    *self.stake = steps::stage(place)?;
                }
                Attempt::Failed => {
                    while let Err(e) = self.wait_for_turn().await {
                        self.waiter.bear(e).await?;
                    }
                }
            }
        }
    }

    async fn wait_for_turn(&mut self) -> Result<(), Error> {
        if self.queues_up() {
            self.wait_in_queue().await?;
        }
        self.until_worth_trying().await
    }

    pub(super) fn queues_up(&self) -> bool {
        self.waiter.place.order == Order::Arrival && !self.is_out_of_order && !self.waiter.is_single_try()
    }

    /// Waits until nobody is before us.
    pub(super) async fn wait_in_queue(&mut self) -> Result<(), Error> {
        let place = self.waiter.place;
        if self.waiter.ticket.is_none() {
            self.waiter.ticket = Ticket::draw(place, self.stake, place.env.now())?;
            self.is_out_of_order = self.waiter.ticket.is_none();
        }
        let (mut known, mut holding): (_, Option<SeenLock>) = (None, None);
        loop {
            // Another path than before is to wake us, whatever comes next.
            self.waiter.lookout.disarm();
            let ear = if place.wake == Wake::Udp {
                // Whether other machines' changes wake us is known once a path is.
                self.waiter.lookout.arm(place.location(), None);
                self.waiter.ear()
            } else {
                None
            };
            let Some(ticket) = &mut self.waiter.ticket else { return Ok(()) };
            let ahead = match known.take() {
                Some(ahead) => ahead,
                None => match ticket.ahead(place, &self.stake.anchor)? {
                    Some(ahead) => ahead,
                    None => {
                        self.waiter.is_near = true;
                        return Ok(());
                    }
                },
            };
            self.waiter.is_near = ahead.position == 1;
            ticket.call(place, self.stake, &ahead, ear.as_ref());
            // Before the last look at it, so that no change falls in between.
            self.waiter.lookout.arm(&ahead.ticket, ahead.pid);
            if !ticket.still_waits(place, &ahead, &self.stake.anchor) {
                continue;
            }
            // Only whoever is next, or is told whom it waits for, asks for the lock too; and what is still there is not read again.
            holding = holding.filter(|lock| look::is_still_there(self.shown, lock));
            if holding.is_none()
                && (ahead.position == 1 || self.waiter.reports())
                && let Seen::Lock(lock) = look::look(self.shown)?
            {
                holding = Some(lock);
            }
            if self.waiter.pause(holding.as_ref(), None).await?.is_break() {
                let seen = look::look(self.shown)?;
                let holder = if let Seen::Lock(lock) = &seen { lock.holder() } else { None };
                return Err(self.waiter.timed_out(holder));
            }
            // One that is far behind is as far behind as long as the ticket before its own is there.
            known = Some(ahead).filter(|ahead| ahead.position > NEAR);
        }
    }

    /// Tries once; with the lock goes the place in the queue, and comes the fencing token.
    fn attempt(&mut self) -> Result<Attempt, Error> {
        let place = self.waiter.place;
        let attempt = steps::attempt(place, self.stake)?;
        if attempt != Attempt::Won {
            return Ok(attempt);
        }
        self.waiter.line.left();
        let (had_to, next) = self.waiter.step_out();
        self.stake.next = next;
        if !place.fence {
            // That may have taken too long to trust the lock any more.
            if had_to && place.env.now() >= self.stake.lease.deadline {
                let _ = steps::release(place, self.stake);
                return Ok(Attempt::Void);
            }
            return Ok(Attempt::Won);
        }
        let drawn = fence::draw(place, self.stake);
        if let Ok(Some(number)) = drawn {
            self.stake.fence = Some(number);
            return Ok(Attempt::Won);
        }
        // Lost while it was drawn, or not to be had: give back what may still be ours.
        let _ = steps::release(place, self.stake);
        drawn.map(|_| Attempt::Void)
    }

    /// Waits until another attempt may succeed. Makes no change on disk while the lock is held.
    async fn until_worth_trying(&mut self) -> Result<(), Error> {
        let place = self.waiter.place;
        loop {
            let is_behind = self.waiter.is_behind(&self.stake.anchor);
            let lock = match self.waiter.look(is_behind)? {
                Seen::Free => {
                    if self.waiter.leaves_it_to_next(&self.stake.anchor).await? {
                        continue;
                    }
                    return self.seen_free().await;
                }
                Seen::Stuck { owner, since } if owner != self.stake.owner => {
                    self.waiter.wait_for_removal(since).await?;
                    continue;
                }
                Seen::EmptyDirectory { ours: true } | Seen::Stuck { .. } => {
                    let is_left = !self.swept && leftovers::is_left_at_lock_path(place, &self.stake.anchor);
                    make_room(place);
                    if is_left {
                        self.swept = true;
                        leftovers::sweep(place, || Some(self.stake.anchor));
                    }
                    return self.seen_free().await;
                }
                Seen::EmptyDirectory { ours: false } => {
                    self.waiter.doubt_directory().await?;
                    continue;
                }
                Seen::NotALock(what) => {
                    self.waiter.doubt(&what).await?;
                    continue;
                }
                Seen::Lock(lock) => lock,
            };
            if self.may_join(&lock) {
                return self.seen_free().await;
            }
            self.in_vain = 0;
            self.waiter.saw_lock();
            // A lock with one link is being released, or lost its claim, or this client's cache does not know yet that it
            // is gone. An attempt asks the server; once is enough.
            if place.protocol == Protocol::Link && lock.protocol == Protocol::Link && lock.attr.nlink < 2 {
                let this = Some((lock.attr.id, lock.attr.mtime));
                if self.asked != this {
                    self.asked = this;
                    return self.give_up_if_late(lock.holder());
                }
            }
            let (looked, lives) = (self.waiter.lookout.looked, self.waiter.lookout.sees_holder());
            let judged = self.waiter.judge.judge(self.stake, &lock, looked, lives)?;
            // Without a claim the server's clock cannot be asked; an attempt makes another.
            let Some(judged) = judged else { return self.give_up_if_late(lock.holder()) };
            self.waiter.is_busy = false;
            if judged.verdict != Verdict::Live {
                if self.waiter.lookout.must_look_again() {
                    continue;
                }
                match self.break_lock(&lock, judged.verdict)? {
                    Break::Done => return Ok(()),
                    Break::Changed => {
                        self.give_up_if_late(lock.holder())?;
                        continue;
                    }
                    // Its breaker will wake us, or the next poll.
                    Break::Busy => self.waiter.is_busy = true,
                }
            }
            if judged.verdict == Verdict::Live && self.waiter.tends_bell(self.stake, &lock) {
                continue;
            }
            if self.waiter.joins_line(&lock, self.stake) && !self.waiter.is_behind(&self.stake.anchor) {
                continue;
            }
            // Those behind another look now and then anyway.
            let is_awaited = judged.verdict == Verdict::Live && !self.waiter.line.is_behind();
            let expires = is_awaited.then_some(judged.expires);
            if self.waiter.pause(Some(&lock), expires).await?.is_break() {
                return Err(self.waiter.timed_out(lock.holder()));
            }
        }
    }

    /// Whether an attempt may share the lock with those that have it.
    fn may_join(&self, lock: &SeenLock) -> bool {
        let is_shared = self.stake.claim.is_shared && lock.readers > 0 && lock.owner == Some(self.stake.owner);
        is_shared && !bell::writer_waits(self.waiter.place, self.stake)
    }

    /// Others may be faster every time, which is as it should be; but a file system that goes on saying both "exists" and
    /// "not there" shall not keep a processor busy.
    async fn seen_free(&mut self) -> Result<(), Error> {
        self.in_vain += 1;
        if self.in_vain > IN_VAIN_MOST {
            // Not for long at first: nothing is there that could wake us.
            let env = &self.waiter.place.env;
            let reach = if self.in_vain > 2 * IN_VAIN_MOST { Reach::NoneShared } else { Reach::NoneLocal };
            let soon = env.now() + poll_delay(env.as_ref(), reach);
            if self.waiter.pause(None, Some(soon)).await?.is_break() {
                return Err(self.waiter.timed_out(None));
            }
        }
        self.give_up_if_late(None)
    }

    fn break_lock(&self, lock: &SeenLock, verdict: Verdict) -> Result<Break, Error> {
        let place = self.waiter.place;
        if !may_break(place, lock)? {
            return Ok(Break::Busy);
        }
        let broken = steps::break_lock(place, lock)?;
        if broken == Break::Done {
            log_broken(place, lock, verdict.why());
            leftovers::sweep(place, || Some(self.stake.anchor));
        }
        Ok(broken)
    }

    /// Ends the wait if its time is up and going on did not help.
    pub(super) fn give_up_if_late(&mut self, holder: Option<Holder>) -> Result<(), Error> {
        self.waiter.check_cancelled(holder.as_ref())?;
        self.late += u32::from(self.waiter.is_late());
        if self.late >= LAST_ROUNDS {
            return Err(self.waiter.timed_out(holder));
        }
        Ok(())
    }
}

impl Drop for Contender<'_> {
    fn drop(&mut self) {
        // After a panic it is not known what is done and what is not. A forked child has no part in what is its parent's.
        if !std::thread::panicking() && self.waiter.place.env.generation() == self.process {
            self.leave();
        }
    }
}
