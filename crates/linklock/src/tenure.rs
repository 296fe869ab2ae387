//! A held lock, as its guard, its notices of loss and the keep-alive thread share it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

#[cfg(feature = "tokio")]
use tokio::sync::Notify;

use crate::claim::Claim;
use crate::error::{Error, Lost};
use crate::lease::Lease;
use crate::printable::Printable;
use crate::protocol::expiry::least_counted;
use crate::protocol::place::Place;
use crate::protocol::stake::Stake;
use crate::protocol::steps;
use crate::sync::{AtomicBool, AtomicI64, AtomicU64, Condvar, Mutex, MutexGuard};
use crate::time::{LocalTime, ServerTime};

/// A lock that is kept alive is given up this part of its lifetime before the deadline: one over this number.
const NOTICE: u32 = 6;

/// What a guard, its notices and the keep-alive thread share.
#[derive(Debug)]
pub(crate) struct Tenure {
    pub(crate) place: Arc<Place>,
    /// The generation of the process that acquired it. A forked child has the guard too, but not the lock.
    pub(crate) owner: u64,
    /// The claim that acquired the lock.
    acquired: Claim,
    /// The claim that holds it from the begin of a downgrade on.
    downgraded: OnceLock<Claim>,
    pub(crate) fence: Option<u64>,
    trusted_until: AtomicU64,
    shown: Shown,
    /// Why the lock was lost. Set once, and whoever sees the deadline pass sets it: a loss that was told stays one, even if
    /// a refresh that was in time is only now made known.
    lost: OnceLock<Lost>,
    /// How many wait for `changed`, which tells of a loss, of a refresh and of the end. Never locked for long; but a forked
    /// child may find it locked for ever.
    waiting: Mutex<u32>,
    changed: Condvar,
    /// The same for tasks.
    #[cfg(feature = "tokio")]
    changed_for_tasks: Notify,
    /// `None` once the lock was released or left. Locked during each operation on the lock, so for as long as a file system
    /// hangs; a forked child may find it locked for ever.
    stake: Mutex<Option<Stake>>,
    kept_alive: AtomicBool,
    /// Whether the lock was released, left or given up.
    has_ended: AtomicBool,
}

/// What is told of the stake's lease to those who may not wait for an operation on the lock.
#[derive(Debug)]
struct Shown {
    /// In nanoseconds; 0 once there is no stake any more.
    lifetime: AtomicU64,
    /// In nanoseconds since the Unix epoch.
    expiry: AtomicI64,
    /// As [`LocalTime`].
    deadline: AtomicU64,
}

impl Shown {
    fn new(lease: &Lease) -> Self {
        let shown = Self { lifetime: AtomicU64::new(0), expiry: AtomicI64::new(0), deadline: AtomicU64::new(0) };
        shown.set(lease);
        shown
    }

    fn set(&self, lease: &Lease) {
        self.expiry.store(lease.expiry.as_nanos(), Ordering::Relaxed);
        self.deadline.store(lease.deadline.as_nanos(), Ordering::Relaxed);
        // No lifetime is longer than ten years.
        self.lifetime.store(lease.lifetime.as_nanos() as u64, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.lifetime.store(0, Ordering::Relaxed);
    }

    fn lifetime(&self) -> Option<Duration> {
        let nanos = self.lifetime.load(Ordering::Relaxed);
        (nanos != 0).then(|| Duration::from_nanos(nanos))
    }

    fn deadline(&self) -> LocalTime {
        LocalTime::from_nanos(self.deadline.load(Ordering::Relaxed))
    }

    fn expiry(&self) -> ServerTime {
        ServerTime::from_nanos(self.expiry.load(Ordering::Relaxed))
    }
}

impl Tenure {
    pub(crate) fn new(place: Arc<Place>, stake: Stake) -> Self {
        Self {
            owner: place.env.generation(),
            acquired: stake.claim.clone(),
            downgraded: OnceLock::new(),
            fence: stake.fence,
            trusted_until: AtomicU64::new(stake.lease.deadline.as_nanos()),
            shown: Shown::new(&stake.lease),
            lost: OnceLock::new(),
            waiting: Mutex::default(),
            changed: Condvar::new(),
            #[cfg(feature = "tokio")]
            changed_for_tasks: Notify::new(),
            stake: Mutex::new(Some(stake)),
            kept_alive: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            place,
        }
    }

    pub(crate) fn claim(&self) -> &Claim {
        self.downgraded.get().unwrap_or(&self.acquired)
    }

    /// Whether the lock is to be kept alive from now on; false too if it is already.
    pub(crate) fn begin_keeping(&self) -> bool {
        if self.is_foreign() || self.kept_alive.swap(true, Ordering::AcqRel) {
            return false;
        }
        let stake = self.lock_stake();
        stake.as_ref().inspect(|stake| self.trust(&stake.lease)).is_some()
    }

    pub(crate) fn is_kept_alive(&self) -> bool {
        self.kept_alive.load(Ordering::Acquire)
    }

    /// It is not kept alive any more, or there is nobody to do so.
    pub(crate) fn stop_keeping(&self) {
        self.kept_alive.store(false, Ordering::Release);
        if let Some(stake) = self.lock_stake().as_ref() {
            self.trust(&stake.lease);
        }
    }

    pub(crate) fn until_takeover(&self) -> Duration {
        (self.shown.deadline() + self.place.grace).since(self.place.env.now())
    }

    pub(crate) fn lifetime(&self) -> Option<Duration> {
        self.shown.lifetime()
    }

    pub(crate) fn expiry(&self) -> ServerTime {
        self.shown.expiry()
    }

    /// Trusts the lock up to the lease's deadline, less the notice that an owner gets whose lock is kept alive.
    fn trust(&self, lease: &Lease) {
        let mut until = lease.deadline;
        if self.kept_alive.load(Ordering::Acquire) {
            // A lock that was taken over has less left than its lifetime.
            until = until - lease.deadline.since(self.place.env.now()).min(lease.lifetime) / NOTICE;
        }
        self.trust_until(until);
    }

    fn lock_stake(&self) -> MutexGuard<'_, Option<Stake>> {
        // A panic while it was locked leaves what was known before: still true.
        self.stake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn trusted_until(&self) -> LocalTime {
        LocalTime::from_nanos(self.trusted_until.load(Ordering::Acquire))
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.get().is_some() || self.is_foreign() || self.is_overdue()
    }

    fn is_overdue(&self) -> bool {
        let overdue = self.place.env.now() >= self.trusted_until() && !self.has_ended();
        if overdue {
            // Lost for another reason already: just as well.
            let _ = self.lost.set(Lost::Overdue);
        }
        overdue
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    pub(crate) fn lock_waiting(&self) -> MutexGuard<'_, u32> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_foreign(&self) -> bool {
        self.place.env.generation() != self.owner
    }

    fn check_owner(&self) -> Result<(), Error> {
        if self.is_foreign() {
            return Err(Error::not_held(
                self.place.lock_path(),
                "this process: the process that it was forked from holds it",
                None,
            ));
        }
        Ok(())
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.check_owner()?;
        let stake = self.lock_stake();
        let Some(stake) = stake.as_ref() else { return Err(self.released()) };
        if self.is_lost() {
            return Err(Error::lost(self.place.lock_path(), self.why_lost()));
        }
        let holds = || match steps::holds(&self.place, stake) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::lost(self.place.lock_path(), Lost::Broken)),
            Err(e) => Err(Error::io(self.place.lock_path(), "look at the lock", e)),
        };
        self.surely(holds).map_err(|e| if e.is_lost() { self.lose(e) } else { e })
    }

    /// Refreshes, with the lifetime that the lock has or a new one.
    pub(crate) fn refresh(&self, lifetime: Option<Duration>) -> Result<(), Error> {
        self.check_owner()?;
        let mut stake = self.lock_stake();
        let Some(stake) = stake.as_mut().filter(|_| !self.has_ended()) else { return Err(self.released()) };
        if self.is_lost() {
            return Err(self.lose(Error::lost(self.place.lock_path(), self.why_lost())));
        }
        let lifetime = lifetime.unwrap_or(stake.lease.lifetime);
        let counted = least_counted(&self.place, stake, lifetime);
        if counted < stake.lease.lifetime {
            // From the moment that the request is carried out, which may be long before its reply, others count the shorter one.
            self.trust_until(self.trusted_until().min(self.place.env.now() + counted));
        }
        let refreshed = self.surely(|| steps::refresh(&self.place, stake, lifetime, self.trusted_until()));
        self.shown.set(&stake.lease);
        match refreshed {
            Ok(()) if self.lost.get().is_some() => return Err(Error::lost(self.place.lock_path(), self.why_lost())),
            Ok(()) => self.trust(&stake.lease),
            // Nothing is trusted for longer than what may be on disk now.
            Err(e) if !e.is_lost() => {
                self.trust_until(self.trusted_until().min(stake.lease.deadline));
                return Err(e);
            }
            Err(e) => return Err(self.lose(e)),
        }
        Ok(())
    }

    /// Shares the lock with others.
    pub(crate) fn downgrade(&self) -> Result<(), Error> {
        self.check_owner()?;
        if let Some(why) = self.place.why_never_shared() {
            return Err(Error::invalid(format!("downgrade: {why}")));
        }
        let mut stake = self.lock_stake();
        let Some(stake) = stake.as_mut().filter(|_| !self.has_ended()) else { return Err(self.released()) };
        if self.is_lost() {
            return Err(self.lose(Error::lost(self.place.lock_path(), self.why_lost())));
        }
        let downgraded = self.surely(|| steps::downgrade(&self.place, stake, self.trusted_until()));
        // Also after an error: the request may still be carried out. So nobody gets the old token to adopt.
        if stake.claim.token != self.acquired.token {
            let _ = self.downgraded.set(stake.claim.clone());
        }
        match downgraded {
            Ok(()) if self.lost.get().is_some() => Err(Error::lost(self.place.lock_path(), self.why_lost())),
            Ok(()) => {
                tracing::debug!(lock = %Printable::new(self.place.lock_path()), claim = %self.claim().token, "shared with others");
                Ok(())
            }
            Err(e) if e.is_lost() => Err(self.lose(e)),
            Err(e) => Err(e),
        }
    }

    /// Asks again if the lock seems broken, and this machine may only not know yet where the names there are. Once, and not beyond
    /// what the lock is trusted for.
    fn surely(&self, mut ask: impl FnMut() -> Result<(), Error>) -> Result<(), Error> {
        let answer = ask();
        let is_doubtful = |e: &Error| (e.is_lost() && e.why_lost() == Lost::Broken) || e.is_input_output();
        if !answer.as_ref().is_err_and(is_doubtful) {
            return answer;
        }
        let (env, cached) = (self.place.env.as_ref(), self.place.cached_for());
        if cached.is_zero() || env.now() + cached >= self.trusted_until() {
            return answer;
        }
        env.rest(cached, None);
        ask()
    }

    /// Why the lock is lost. `None` if it is not, and in a forked child, where only the guard is.
    pub(crate) fn loss(&self) -> Option<Lost> {
        // Sees to it that a deadline that has passed is taken note of.
        if self.is_lost() { self.lost.get().copied() } else { None }
    }

    fn why_lost(&self) -> Lost {
        self.lost.get().copied().unwrap_or(Lost::Overdue)
    }

    fn trust_until(&self, until: LocalTime) {
        self.trusted_until.store(until.as_nanos(), Ordering::Release);
        self.wake();
    }

    /// Makes the loss known.
    fn lose(&self, e: Error) -> Error {
        if self.lost.set(e.why_lost()).is_ok() {
            // A log that panics must not keep the notice back.
            self.wake();
            tracing::error!(target: "linklock::lost", lock = %Printable::new(self.place.lock_path()), claim = %self.claim().token,
                why = ?e.why_lost(), error = %e, "the lock is lost");
        }
        e
    }

    fn wake(&self) {
        // Under the mutex, so that nobody who has just looked misses it.
        let waiting = *self.lock_waiting();
        // To wake nobody would be a system call all the same.
        if waiting > 0 {
            self.changed.notify_all();
        }
        #[cfg(feature = "tokio")]
        self.changed_for_tasks.notify_waiters();
    }

    pub(crate) fn release(&self) -> Result<(), Error> {
        self.check_owner()?;
        let mut stake = self.lock_stake();
        let Some(held) = stake.as_ref() else { return Ok(()) };
        let released = self.surely(|| steps::release(&self.place, held));
        if let Err(e) = released {
            if e.is_lost() {
                self.forget(&mut stake);
                return Err(self.lose(e));
            }
            return Err(e);
        }
        self.forget(&mut stake);
        drop(stake);
        self.give_up();
        tracing::debug!(target: "linklock::released", lock = %Printable::new(self.place.lock_path()), claim = %self.claim().token, "released");
        Ok(())
    }

    /// No more refreshes, no more notices, once an operation that is under way has returned.
    pub(crate) fn end(&self) {
        if self.is_foreign() {
            return;
        }
        self.forget(&mut self.lock_stake());
        self.give_up();
    }

    fn forget(&self, stake: &mut Option<Stake>) {
        *stake = None;
        self.shown.end();
    }

    /// No more refreshes, no more notices. Waits for nothing.
    pub(crate) fn give_up(&self) {
        self.has_ended.store(true, Ordering::Release);
        // In a forked child nobody waits, and the mutex may be locked for ever.
        if !self.is_foreign() {
            self.wake();
        }
    }

    fn released(&self) -> Error {
        Error::not_held(self.place.lock_path(), "this guard: it was released", None)
    }

    pub(crate) fn wait_for_loss(&self, limit: Option<LocalTime>) -> Option<bool> {
        // Before the mutex, which a forked child may find locked for ever.
        if self.is_foreign() {
            return Some(true);
        }
        let mut waiting = self.lock_waiting();
        loop {
            let now = self.place.env.now();
            if let Some(is_lost) = self.outcome() {
                return Some(is_lost);
            } else if limit.is_some_and(|limit| now >= limit) {
                return None;
            }
            let next = limit.map_or(self.trusted_until(), |limit| limit.min(self.trusted_until()));
            *waiting += 1;
            waiting = sleep(&self.changed, waiting, next.since(now));
            *waiting -= 1;
        }
    }

    /// As [`wait_for_loss`](Self::wait_for_loss) without a limit, for a task. Asks no file system, and waits for no lock.
    #[cfg(feature = "tokio")]
    pub(crate) async fn await_loss(&self) -> bool {
        if self.is_foreign() {
            return true;
        }
        loop {
            // Before the look: from now on it hears of every change.
            let changed = self.changed_for_tasks.notified();
            if let Some(is_lost) = self.outcome() {
                return is_lost;
            }
            let left = self.trusted_until().since(self.place.env.now());
            // At its end or before, look again.
            let _ = tokio::time::timeout(left.min(SLICE), changed).await;
        }
    }

    /// Whether the lock was lost, or ended before; `None` while it is held.
    pub(crate) fn outcome(&self) -> Option<bool> {
        // Looked at first: a loss that was noticed before the end is seen then.
        let had_ended = self.has_ended();
        if self.lost.get().is_some() || self.is_overdue() {
            return Some(true);
        }
        had_ended.then_some(false)
    }
}

/// No wait is longer: the clocks that waits are timed by stand still while the machine is suspended, and deadlines do not.
const SLICE: Duration = Duration::from_secs(1);

/// As `Condvar::wait_timeout`, but no longer than a second at once.
pub(crate) fn sleep<'a, T>(changed: &Condvar, guard: MutexGuard<'a, T>, time: Duration) -> MutexGuard<'a, T> {
    changed.wait_timeout(guard, time.min(SLICE)).unwrap_or_else(PoisonError::into_inner).0
}
