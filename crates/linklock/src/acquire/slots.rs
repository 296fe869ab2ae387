//! Waiting for any of several lock paths: the slots of a limit.
//!
//! Each slot is a lock of its own, and is acquired by a contender for that lock alone, which does not wait. So all that holds of one
//! lock holds of a slot, and nothing here decides who holds one. What is here waits: at a lock path that all of them share, where the
//! queue, the line and the bell are, and which nobody ever holds.

use super::contender::{Contender, contend};
use super::pace::{Pace, run};
use super::waiter::Waiter;
use crate::env::{FileId, Reach};
use crate::error::Error;
use crate::holder::Holder;
use crate::options::Protocol;
use crate::protocol::judge::{Judge, Verdict, holder_is_dead, holder_pid};
use crate::protocol::look::{is_still_there, look};
use crate::protocol::place::{Order, Place};
use crate::protocol::seen::{Seen, SeenLock};
use crate::protocol::stake::Stake;
use crate::protocol::{leftovers, queue, steps};
use crate::time::{LocalTime, ServerTime};
use crate::wait::{Wait, poll_delay};

/// So many attempts in a row may fail at one slot before it rests.
const IN_VAIN_MOST: u32 = 3;

/// The places of a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group<'a> {
    /// Where they wait who find no slot.
    pub(crate) base: &'a Place,
    pub(crate) slots: &'a [&'a Place],
}

/// Takes one of these locks, and tells which, however long `wait` lets it try.
pub(crate) fn acquire_any(group: Group<'_>, wait: &Wait) -> Result<(usize, Stake), Error> {
    run(contend_for_any(group, wait, Pace::Thread))
}

/// The same, as it is awaited. Dropped before it is ready, it leaves nothing on disk.
pub(crate) async fn contend_for_any(group: Group<'_>, wait: &Wait, pace: Pace) -> Result<(usize, Stake), Error> {
    let base = group.base;
    let advice = || base.file_system().map(|known| (known.name, known.advice));
    let started = base.env.now();
    loop {
        let rest = wait.after(base.env.now().since(started));
        let won = contend_here(group, &rest, pace).await;
        if let Some(won) = won.map_err(|e| e.advised(advice).of_slots(group.slots.len()))? {
            return Ok(won);
        }
    }
}

/// `None`: a slot was won and could not be trusted any more.
async fn contend_here(group: Group<'_>, wait: &Wait, pace: Pace) -> Result<Option<(usize, Stake)>, Error> {
    let Group { base, slots } = group;
    // A choice of its own, so that contenders do not all begin with the same one.
    let first = (base.env.random() % slots.len() as u64) as usize;
    let order = (0..slots.len()).map(move |n| (first + n) % slots.len());
    if base.order == Order::Any || wait.is_single_try() || is_queue_empty(base)? {
        // One that is free costs as much as a lock by itself.
        for (tried, slot) in order.clone().enumerate() {
            if (tried == 0 || is_not_there(slots[slot]))
                && let Some(stake) = attempt(slots[slot], pace).await?
            {
                return Ok(Some((slot, stake)));
            }
        }
    }
    let waiter = Waiter::new(base, wait, pace);
    let mut stake = steps::stage(base)?;
    let mut contender = Contender::new(&mut stake, waiter);
    contender.shown = slots[first];
    let seen = slots.iter().copied().map(Slot::new).collect();
    let mut search =
        Search { contender, slots: seen, pace, latest: first, is_armed: false, is_any_over: false, dir: None };
    let won = search.search(order).await;
    let (_, next) = search.contender.waiter.step_out();
    search.contender.leave();
    let (slot, mut stake) = won?;
    stake.next = next;
    if search.is_any_over {
        // Who has died there may have died here too.
        leftovers::sweep(base, || Some(stake.anchor));
    }
    // That may have taken too long to trust the lock any more.
    if base.env.now() >= stake.lease.deadline {
        let _ = steps::release(slots[slot], &stake);
        return Ok(None);
    }
    Ok(Some((slot, stake)))
}

/// Whether nobody is in the queue, asked of the server: no claim was made yet whose creation would have told.
fn is_queue_empty(base: &Place) -> Result<bool, Error> {
    base.forget_names().map_err(|e| Error::io(base.lock_path(), "look for a queue", e))?;
    queue::is_empty(base)
}

/// A quick look, which may be wrong: then it is found by the search.
fn is_not_there(slot: &Place) -> bool {
    slot.env.stat(slot.location()).is_err()
}

/// One full try for one slot. `None`: somebody else holds it.
async fn attempt(slot: &Place, pace: Pace) -> Result<Option<Stake>, Error> {
    match contend(slot, &Wait::never(), pace).await {
        Ok(stake) => Ok(Some(stake)),
        Err(e) if e.is_timeout() => Ok(None),
        Err(e) => Err(e),
    }
}

/// What a contender knows of a slot.
struct Slot<'a> {
    place: &'a Place,
    judge: Judge<'a>,
    /// The lock that was seen there, if it was live.
    held: Option<SeenLock>,
    /// When it expires, if nothing changes.
    expires: LocalTime,
    /// How many attempts in a row failed although they might have succeeded.
    in_vain: u32,
    /// Until when there is no other attempt, after too many of them.
    rests_until: Option<LocalTime>,
    /// The lock that had no second link, for which an attempt asked the server whether it is there at all.
    asked: Option<(FileId, ServerTime)>,
}

/// What a survey has found.
enum Survey {
    /// An attempt at this slot may succeed.
    Worth(usize),
    /// All are held, and as they were when the wake-ups were armed.
    Held,
    /// All are held, some of them by others than before.
    Changed,
}

/// How a round has ended.
enum Round {
    Won(usize, Box<Stake>),
    /// An attempt failed although it might have succeeded.
    InVain,
    /// After a pause.
    Again,
}

struct Search<'a> {
    /// Where all wait, with a claim that is never tried: by it the server's clock is asked, and its name is on the ticket.
    contender: Contender<'a>,
    slots: Vec<Slot<'a>>,
    pace: Pace,
    /// The slot whose lock was seen last for the first time.
    latest: usize,
    /// Whether the wake-ups are armed for the locks that were seen.
    is_armed: bool,
    /// Whether a lock was seen whose holder has gone, or may have.
    is_any_over: bool,
    /// The ctime of the directory at the last survey, if every later change of a name there shows in it.
    dir: Option<ServerTime>,
}

impl<'a> Slot<'a> {
    fn new(place: &'a Place) -> Self {
        let (judge, expires) = (Judge::new(place), LocalTime::from_nanos(0));
        Self { place, judge, held: None, expires, in_vain: 0, rests_until: None, asked: None }
    }

    /// Whether it is not worth a look. `is_quiet`: no name has come to the directory since, or gone from it.
    fn is_as_seen(&self, is_quiet: bool) -> bool {
        let now = self.place.env.now();
        if let Some(until) = self.rests_until {
            return now < until;
        }
        let Some(lock) = &self.held else { return false };
        now < self.expires
            && !holder_is_dead(self.place, lock)
            && (is_quiet && shows_in_dir(self.place, lock) || is_still_there(self.place, lock))
    }
}

impl Search<'_> {
    async fn search(&mut self, order: impl Iterator<Item = usize> + Clone) -> Result<(usize, Stake), Error> {
        loop {
            while self.contender.queues_up()
                && let Err(e) = self.contender.wait_in_queue().await
            {
                self.contender.waiter.bear(e).await?;
            }
            // What was armed is for a ticket now.
            self.is_armed = false;
            loop {
                match self.round(order.clone()).await {
                    Ok(Round::Won(slot, stake)) => return Ok((slot, *stake)),
                    Ok(Round::InVain) => break,
                    Ok(Round::Again) => {}
                    Err(e) => self.contender.waiter.bear(e).await?,
                }
            }
        }
    }

    /// Looks at all slots, tries one that may be had, and pauses if there is none.
    async fn round(&mut self, order: impl Iterator<Item = usize> + Clone) -> Result<Round, Error> {
        let is_behind = self.contender.waiter.is_behind(&self.contender.stake.anchor);
        loop {
            // Before the looks, so that no change is missed; not for who waits for the ticket before its own.
            if is_behind {
                self.is_armed = false;
            } else if !self.is_armed || !self.contender.waiter.lookout.is_armed() {
                self.arm();
            }
            match self.survey(order.clone())? {
                Survey::Worth(slot) => return self.try_for(slot).await,
                Survey::Changed if !is_behind => {
                    self.is_armed = false;
                    self.contender.give_up_if_late(self.holder())?;
                }
                Survey::Changed | Survey::Held => break,
            }
        }
        let Contender { waiter, stake, .. } = &mut self.contender;
        waiter.saw_lock();
        let latest = self.slots[self.latest].held.clone();
        if let Some(lock) = &latest
            && (waiter.tends_bell(stake, lock) || waiter.joins_line(lock, stake))
        {
            return Ok(Round::Again);
        }
        // Those behind another look now and then anyway.
        let next = self.slots.iter().map(|slot| slot.rests_until.unwrap_or(slot.expires)).min();
        let next = next.filter(|_| !waiter.line.is_behind());
        if waiter.pause(latest.as_ref(), next).await?.is_break() {
            return Err(waiter.timed_out(latest.and_then(|lock| lock.holder())));
        }
        Ok(Round::Again)
    }

    /// Wakes on what happens to any slot as it was seen last.
    fn arm(&mut self) {
        let lookout = &mut self.contender.waiter.lookout;
        for (n, slot) in self.slots.iter().enumerate() {
            let pid = slot.held.as_ref().and_then(|lock| holder_pid(slot.place, lock));
            if n == 0 {
                lookout.arm(slot.place.location(), pid);
            } else {
                lookout.also_arm(slot.place.location(), pid);
            }
        }
        self.is_armed = true;
    }

    async fn try_for(&mut self, n: usize) -> Result<Round, Error> {
        if self.contender.waiter.leaves_it_to_next(&self.contender.stake.anchor).await? {
            return Ok(Round::Again);
        }
        if let Some(stake) = attempt(self.slots[n].place, self.pace).await? {
            return Ok(Round::Won(n, Box::new(stake)));
        }
        // Others were faster; or it is another's turn to break the lock, or something is there that no attempt changes.
        let (env, slot) = (self.contender.waiter.place.env.as_ref(), &mut self.slots[n]);
        slot.in_vain += 1;
        if slot.in_vain >= IN_VAIN_MOST {
            slot.rests_until = Some(env.now() + poll_delay(env, Reach::NoneLocal));
        }
        self.contender.give_up_if_late(self.holder())?;
        Ok(Round::InVain)
    }

    fn survey(&mut self, order: impl Iterator<Item = usize>) -> Result<Survey, Error> {
        let is_quiet = self.is_dir_unchanged();
        let mut has_changed = false;
        for n in order {
            if self.slots[n].is_as_seen(is_quiet) {
                continue;
            }
            let slot = &mut self.slots[n];
            slot.rests_until = None;
            let looked = slot.place.env.now();
            let before = slot.held.take();
            let Seen::Lock(lock) = look(slot.place)? else { return Ok(Survey::Worth(n)) };
            if !self.is_live(n, &lock, looked)? {
                return Ok(Survey::Worth(n));
            }
            if before.is_none_or(|before| before.sighted() != lock.sighted()) {
                (has_changed, self.latest) = (true, n);
            }
            (self.slots[n].held, self.slots[n].in_vain) = (Some(lock), 0);
        }
        Ok(if has_changed { Survey::Changed } else { Survey::Held })
    }

    /// Whether the lock that was just seen at a slot has not expired.
    fn is_live(&mut self, n: usize, lock: &SeenLock, looked: LocalTime) -> Result<bool, Error> {
        let (stake, slot) = (&mut *self.contender.stake, &mut self.slots[n]);
        // One with one link is being released, or this client's cache does not know yet that it is gone. An attempt asks the server.
        let this = Some((lock.attr.id, lock.attr.mtime));
        if lock.protocol == Protocol::Link && lock.attr.nlink < 2 && slot.asked != this {
            slot.asked = this;
            return Ok(false);
        }
        let mut judged = slot.judge.judge(stake, lock, looked, false)?;
        if judged.is_none() {
            // Somebody has removed our claim, by which the server's clock is asked.
            let base = self.contender.waiter.place;
            steps::withdraw(base, &stake.claim);
            *stake = steps::stage(base)?;
            judged = slot.judge.judge(stake, lock, looked, false)?;
        }
        slot.expires = judged.map_or(looked, |judged| judged.expires);
        let is_live = judged.is_none_or(|judged| judged.verdict == Verdict::Live);
        self.is_any_over |= !is_live;
        Ok(is_live)
    }

    /// Whether no name has come to the directory, or gone from it, since the last survey: one request then tells of all slots.
    fn is_dir_unchanged(&mut self) -> bool {
        let base = self.contender.waiter.place;
        if !self.contender.waiter.lookout.watcher().reach().is_shared() || !base.clock_is_known() {
            return false;
        }
        let Ok(attr) = base.stat_dir() else { return false };
        // A later change within the same tick of the server's clock would leave the ctime as it is.
        let is_over = self.contender.stake.anchor.earliest(base.env.now()) > attr.ctime + attr.ctime.rounding();
        std::mem::replace(&mut self.dir, is_over.then_some(attr.ctime)) == Some(attr.ctime)
    }

    /// The holder that was seen last for the first time.
    fn holder(&self) -> Option<Holder> {
        self.slots[self.latest].held.as_ref().and_then(SeenLock::holder)
    }
}

/// Whether the release of this lock changes the directory: not where an empty directory may stay at the lock path.
fn shows_in_dir(place: &Place, lock: &SeenLock) -> bool {
    lock.protocol == Protocol::Link || !place.env.removes_by_name_alone(place.path.dir())
}
