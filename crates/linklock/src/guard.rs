//! The guard of a held lock.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use crate::claim::{Claim, Token};
use crate::error::{Error, Lost};
use crate::inspect::Holder;
use crate::keepalive;
use crate::lease::{Lease, LocalTime, ServerTime};
use crate::printable::Printable;
use crate::protocol::{Place, Stake};

/// A held lock. Dropping it releases it as well as can be; [`release`](Self::release) says whether that went well. A lock
/// whose release failed is not kept alive any more, and is left to its expiry.
///
/// The guard trusts its lock up to a deadline on this machine's suspend-counting clock, and not longer: past it, or once
/// a refresh finds the lock broken, the lock is lost, and stays so. Ask [`is_lost`](Self::is_lost) before each step that
/// must happen under the lock, or wait on [`loss`](Self::loss) in a thread of its own.
///
/// # In a forked child
///
/// A process that was forked while the lock was held has the guard, but not the lock. There the guard counts as lost, and no
/// method waits or touches the lock: those that would ask the file server fail with [`ErrorKind::NotHeld`], and to drop the
/// guard, to [`leave`](Self::leave) the lock or to [`keep it alive`](Self::keep_alive) does nothing. What else the guard
/// tells, such as [`expires_at`](Self::expires_at), is what the parent knew at the fork.
///
/// # While a file system hangs
///
/// Operations on one lock wait for each other: [`check`](Self::check), [`refresh`](Self::refresh),
/// [`refresh_for`](Self::refresh_for), [`release`](Self::release), [`leave`](Self::leave),
/// [`keep_alive`](Self::keep_alive) and dropping the guard wait until a refresh that is under way has returned. All other
/// methods, and those of [`Loss`], need no file system and no refresh to return.
///
/// [`ErrorKind::NotHeld`]: crate::ErrorKind::NotHeld
#[must_use = "a guard that is dropped at once holds no lock"]
pub struct Guard {
    tenure: Arc<Tenure>,
}

impl Guard {
    pub(crate) fn new(place: Arc<Place>, stake: Stake, keep_alive: bool) -> Self {
        let guard = Self {
            tenure: Arc::new(Tenure {
                owner: place.env.generation(),
                claim: stake.claim.clone(),
                fence: stake.fence,
                trusted_until: AtomicU64::new(stake.lease.deadline.as_nanos()),
                shown: Shown::new(&stake.lease),
                lost: OnceLock::new(),
                waiting: Mutex::default(),
                changed: Condvar::new(),
                stake: Mutex::new(Some(stake)),
                kept_alive: AtomicBool::new(false),
                is_over: AtomicBool::new(false),
                place,
            }),
        };
        if keep_alive {
            guard.keep_alive();
        }
        guard
    }

    /// The lock path, absolute.
    pub fn path(&self) -> &Path {
        self.tenure.place.lock_path()
    }

    /// The name of the claim that holds the lock.
    pub fn token(&self) -> &Token {
        &self.tenure.claim.token
    }

    /// A number that grows strictly with every acquisition of the lock path; `None` unless [`Builder::fence`] is set, and
    /// for a lock that was taken over by its token. What the lock protects can refuse whoever comes with a smaller number
    /// than it has seen: a holder that was stopped for longer than its lifetime and goes on without knowing.
    ///
    /// [`Builder::fence`]: crate::Builder::fence
    pub fn fencing_token(&self) -> Option<u64> {
        self.tenure.fence
    }

    /// Who holds the lock, as others see it. `None` once the lock was released, or a release found it lost.
    pub fn holder(&self) -> Option<Holder> {
        let tenure = &self.tenure;
        tenure.shown.lifetime().map(|_| Holder::new(&tenure.claim, tenure.shown.expiry(), None))
    }

    /// The lifetime that the last refresh, or the acquisition, gave the lock. Zero once the lock was released, or a release
    /// found it lost.
    pub fn lifetime(&self) -> Duration {
        self.tenure.shown.lifetime().unwrap_or_default()
    }

    /// How much longer the lock can be trusted; zero once it is lost.
    pub fn remaining(&self) -> Duration {
        if self.is_lost() { Duration::ZERO } else { self.tenure.trusted_until().since(self.tenure.place.env.now()) }
    }

    /// When the lifetime ends, by the file server's clock. `None` once the lock was released, or a release found it lost.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.holder().map(|holder| holder.expires_at)
    }

    /// Whether the lock is lost: overdue, or found broken. Costs a look at the clock, and asks no file
    /// system.
    pub fn is_lost(&self) -> bool {
        self.tenure.is_lost()
    }

    /// What tells of the lock's loss, for another thread to poll or to wait on.
    pub fn loss(&self) -> Loss {
        Loss { tenure: Arc::clone(&self.tenure) }
    }

    /// Asks the file server whether the lock is still held.
    ///
    /// # Errors
    /// Lost, if it is not; an I/O error if the server could not be asked.
    pub fn check(&self) -> Result<(), Error> {
        self.tenure.check()
    }

    /// Moves the expiry on by the lifetime, counted from now.
    ///
    /// # Errors
    /// Lost, if the deadline was over before the refresh returned or the lock was broken: a lost lock is not revived. Any
    /// other error leaves the lock as it was, and the refresh may be tried again until the deadline.
    pub fn refresh(&self) -> Result<(), Error> {
        self.tenure.refresh(None)
    }

    /// As [`refresh`](Self::refresh), with a new lifetime, which later refreshes keep. Under the `dir` protocol a shorter one
    /// binds this holder alone: for others the lock lasts as long as it was acquired for.
    ///
    /// # Errors
    /// As `refresh`; and invalid, if no lock may have that lifetime.
    pub fn refresh_for(&self, lifetime: Duration) -> Result<(), Error> {
        crate::lock::check_lifetime(lifetime)?;
        self.tenure.refresh(Some(lifetime))
    }

    /// Keeps the lock alive from now on, as [`Builder::keep_alive`](crate::Builder::keep_alive) does from the beginning.
    pub fn keep_alive(&self) {
        self.tenure.keep_alive();
    }

    /// Releases the lock.
    ///
    /// # Errors
    /// Lost, if the lock was not ours any more: what was done under it may have been done by another too. After an I/O
    /// error the guard that comes back can be released again.
    pub fn release(self) -> Result<(), ReleaseError> {
        match self.tenure.release() {
            Ok(()) => Ok(()),
            Err(error) => Err(ReleaseError { error, guard: self }),
        }
    }

    /// Leaves the lock held, for another process to refresh and release by its token. It is not kept alive any more.
    pub fn leave(self) -> Token {
        self.tenure.end();
        self.tenure.claim.token.clone()
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Guard");
        out.field("path", &self.path())
            .field("token", self.token())
            .field("lost", &self.is_lost())
            .finish_non_exhaustive()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Whoever cares about the outcome calls release(). In a forked child the lock is not ours to release.
        if self.tenure.is_over() || self.tenure.is_foreign() {
            return;
        }
        if let Err(e) = self.tenure.release() {
            // A notice that outlives the guard does not keep the lock alive.
            self.tenure.give_up();
            tracing::warn!(lock = %Printable::new(self.path()), error = %e, "the lock was not released");
        }
    }
}

/// A release that did not go well, with the guard.
///
/// To drop it drops the guard, which tries the release once more. To convert it into an [`Error`] does not.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct ReleaseError {
    /// Why.
    #[source]
    pub error: Error,
    /// The guard, to try again.
    pub guard: Guard,
}

/// Gives the guard up: nothing more is sent to the file system for it, but for a refresh that is under way. The lock, if it is
/// still there, is not kept alive any more and is left to its expiry. Keep the [`ReleaseError`] to try the release again.
impl From<ReleaseError> for Error {
    fn from(e: ReleaseError) -> Self {
        e.guard.tenure.give_up();
        e.error
    }
}

/// Notice of a lock's loss. Clones are one and the same.
#[derive(Clone, Debug)]
pub struct Loss {
    tenure: Arc<Tenure>,
}

impl Loss {
    /// Whether the lock is lost. As cheap as [`Guard::is_lost`]; false once the lock was released in time.
    pub fn is_lost(&self) -> bool {
        self.tenure.is_lost()
    }

    /// Waits until the lock is lost (true), or released, left or given up (false).
    ///
    /// The notice of a lock that is kept alive comes a sixth of the lifetime before its deadline, so that there is time to
    /// stop. It needs no refresh to return: one that hangs in a file system does not hold it up. In a forked child it returns
    /// at once.
    pub fn wait(&self) -> bool {
        self.tenure.wait_for_loss(None).unwrap_or(false)
    }

    /// As a thread between two waits has it.
    #[cfg(all(test, unix))]
    pub(crate) fn lock_notices(&self) -> impl Sized {
        self.tenure.lock_waiting()
    }

    /// As [`wait`](Self::wait), for so long at most; `None` if the lock was then still held.
    pub fn wait_timeout(&self, limit: Duration) -> Option<bool> {
        self.tenure.wait_for_loss(Some(self.tenure.place.env.now() + limit))
    }
}

/// A lock that is kept alive is given up this part of its lifetime before the deadline: one over this number.
const NOTICE: u32 = 6;

/// What a guard, its notices and the keep-alive thread share.
#[derive(Debug)]
pub(crate) struct Tenure {
    pub(crate) place: Arc<Place>,
    /// The generation of the process that acquired it. A forked child has the guard too, but not the lock.
    pub(crate) owner: u64,
    claim: Claim,
    fence: Option<u64>,
    trusted_until: AtomicU64,
    shown: Shown,
    /// Why the lock was lost. Set once, and whoever sees the deadline pass sets it: a loss that was told stays one, even if
    /// a refresh that was in time is only now made known.
    lost: OnceLock<Lost>,
    /// How many wait for `changed`, which tells of a loss, of a refresh and of the end. Never locked for long; but a forked
    /// child may find it locked for ever.
    waiting: Mutex<u32>,
    changed: Condvar,
    /// `None` once the lock was released or left. Locked during each operation on the lock, so for as long as a file system
    /// hangs; a forked child may find it locked for ever.
    stake: Mutex<Option<Stake>>,
    kept_alive: AtomicBool,
    /// Whether the lock was released, left or given up.
    is_over: AtomicBool,
}

/// What is told of the stake's lease to those who may not wait for an operation on the lock.
#[derive(Debug)]
struct Shown {
    /// In nanoseconds; 0 once there is no stake any more.
    lifetime: AtomicU64,
    /// In nanoseconds since the Unix epoch.
    expiry: AtomicI64,
}

impl Shown {
    fn new(lease: &Lease) -> Self {
        let shown = Self { lifetime: AtomicU64::new(0), expiry: AtomicI64::new(0) };
        shown.set(lease);
        shown
    }

    fn set(&self, lease: &Lease) {
        self.expiry.store(lease.expiry.as_nanos(), Ordering::Relaxed);
        // No lifetime is longer than ten years.
        self.lifetime.store(lease.lifetime.as_nanos() as u64, Ordering::Relaxed);
    }

    fn end(&self) {
        self.lifetime.store(0, Ordering::Relaxed);
    }

    fn lifetime(&self) -> Option<Duration> {
        let nanos = self.lifetime.load(Ordering::Relaxed);
        (nanos != 0).then(|| Duration::from_nanos(nanos))
    }

    fn expiry(&self) -> ServerTime {
        ServerTime::from_nanos(self.expiry.load(Ordering::Relaxed))
    }
}

impl Tenure {
    fn keep_alive(self: &Arc<Self>) {
        if self.is_foreign() || self.kept_alive.swap(true, Ordering::AcqRel) {
            return;
        }
        let stake = self.lock_stake();
        if let Some(stake) = stake.as_ref() {
            self.trust(&stake.lease);
            keepalive::keep(self);
        }
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

    fn is_lost(&self) -> bool {
        self.lost.get().is_some() || self.is_foreign() || self.is_overdue()
    }

    fn is_overdue(&self) -> bool {
        let overdue = self.place.env.now() >= self.trusted_until() && !self.is_over();
        if overdue {
            // Lost for another reason already: just as well.
            let _ = self.lost.set(Lost::Overdue);
        }
        overdue
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn lock_waiting(&self) -> MutexGuard<'_, u32> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_foreign(&self) -> bool {
        self.place.env.generation() != self.owner
    }

    fn check_owner(&self) -> Result<(), Error> {
        if self.is_foreign() {
            return Err(Error::not_held(
                self.place.lock_path(),
                "this process, but by the one that it was forked from",
                None,
            ));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        self.check_owner()?;
        let stake = self.lock_stake();
        let Some(stake) = stake.as_ref() else { return Err(self.released()) };
        if self.is_lost() {
            return Err(Error::lost(self.place.lock_path(), self.why_lost()));
        }
        match self.place.protocol.steps().holds(&self.place, stake) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.lose(Error::lost(self.place.lock_path(), Lost::Broken))),
            Err(e) => Err(Error::io(self.place.lock_path(), "look at the lock", e)),
        }
    }

    /// Refreshes, with the lifetime that the lock has or a new one.
    pub(crate) fn refresh(&self, lifetime: Option<Duration>) -> Result<(), Error> {
        self.check_owner()?;
        let mut stake = self.lock_stake();
        let Some(stake) = stake.as_mut().filter(|_| !self.is_over()) else { return Err(self.released()) };
        if self.is_lost() {
            return Err(self.lose(Error::lost(self.place.lock_path(), self.why_lost())));
        }
        let lifetime = lifetime.unwrap_or(stake.lease.lifetime);
        if lifetime < stake.lease.lifetime {
            // From the moment that the request is carried out, which may be long before its reply, others count the shorter one.
            self.trust_until(self.trusted_until().min(self.place.env.now() + lifetime));
        }
        let refreshed = self.place.refresh(stake, lifetime, self.trusted_until());
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
            tracing::error!(lock = %Printable::new(self.place.lock_path()), claim = %self.claim.token, error = %e, "the lock is lost");
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
    }

    fn release(&self) -> Result<(), Error> {
        self.check_owner()?;
        let mut stake = self.lock_stake();
        let Some(held) = stake.as_ref() else { return Ok(()) };
        let released = self.place.protocol.steps().release(&self.place, held);
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
        tracing::debug!(lock = %Printable::new(self.place.lock_path()), claim = %self.claim.token, "released");
        Ok(())
    }

    /// No more refreshes, no more notices, once an operation that is under way has returned.
    fn end(&self) {
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
    fn give_up(&self) {
        self.is_over.store(true, Ordering::Release);
        // In a forked child nobody waits, and the mutex may be locked for ever.
        if !self.is_foreign() {
            self.wake();
        }
    }

    fn released(&self) -> Error {
        Error::not_held(self.place.lock_path(), "this guard, which has released it", None)
    }

    fn wait_for_loss(&self, limit: Option<LocalTime>) -> Option<bool> {
        // Before the mutex, which a forked child may find locked for ever.
        if self.is_foreign() {
            return Some(true);
        }
        let mut waiting = self.lock_waiting();
        loop {
            let now = self.place.env.now();
            if self.lost.get().is_some() || self.is_overdue() {
                return Some(true);
            } else if self.is_over() {
                return Some(false);
            } else if limit.is_some_and(|limit| now >= limit) {
                return None;
            }
            let next = limit.map_or(self.trusted_until(), |limit| limit.min(self.trusted_until()));
            *waiting += 1;
            waiting = keepalive::sleep(&self.changed, waiting, next.since(now));
            *waiting -= 1;
        }
    }
}
