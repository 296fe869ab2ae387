//! The guard of a held lock.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::{Error, Lost};
use crate::holder::Holder;
use crate::keepalive;
use crate::lease::check_lifetime;
use crate::printable::Printable;
use crate::protocol::place::Place;
use crate::protocol::stake::Stake;
use crate::tenure::Tenure;
use crate::token::Token;

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
/// [`refresh_for`](Self::refresh_for), [`downgrade`](Self::downgrade), [`release`](Self::release), [`leave`](Self::leave),
/// [`keep_alive`](Self::keep_alive) and dropping the guard wait until a refresh that is under way has returned. All other
/// methods, and those of [`Loss`], need no file system and no refresh to return.
///
/// [`ErrorKind::NotHeld`]: crate::ErrorKind::NotHeld
#[must_use = "a guard that is dropped at once holds no lock"]
pub struct Guard {
    pub(crate) tenure: Arc<Tenure>,
}

impl Guard {
    /// If the lock cannot be kept alive although it is to be, it is released.
    pub(crate) fn new(place: Arc<Place>, stake: Stake, keep_alive: bool) -> Result<Self, Error> {
        let guard = Self { tenure: Arc::new(Tenure::new(place, stake)) };
        if keep_alive {
            guard.keep_alive()?;
        }
        Ok(guard)
    }

    /// The lock path, absolute.
    pub fn path(&self) -> &Path {
        self.tenure.place.lock_path()
    }

    /// Whether another machine or a process answers for the lock's file system, as on NFS or with FUSE: then a call may take as long as
    /// that gives no answer. Also true where it is not known, as of a lock that was [adopted](crate::Lock::adopt). Asks nobody.
    pub fn has_file_server(&self) -> bool {
        self.tenure.place.checked.has_server()
    }

    /// The name of the claim that holds the lock. A [`downgrade`](Self::downgrade) changes it.
    pub fn token(&self) -> &Token {
        &self.tenure.claim().token
    }

    /// A number that grows strictly with every acquisition of the lock path; `None` unless [`Builder::fence`] is set, and
    /// for a lock that was taken over by its token. What the lock protects can refuse whoever comes with a smaller number
    /// than it has seen: a holder that was stopped for longer than its lifetime and goes on without knowing.
    ///
    /// A [`downgrade`](Self::downgrade) keeps it.
    ///
    /// [`Builder::fence`]: crate::Builder::fence
    pub fn fencing_token(&self) -> Option<u64> {
        self.tenure.fence
    }

    /// Who holds the lock, as others see it. `None` once the lock was released, or a release found it lost.
    pub fn holder(&self) -> Option<Holder> {
        let tenure = &self.tenure;
        tenure.lifetime().map(|_| tenure.claim().holder(tenure.expiry(), None))
    }

    /// The lifetime that the last refresh, or the acquisition, gave the lock. Zero once the lock was released, or a release
    /// found it lost.
    pub fn lifetime(&self) -> Duration {
        self.tenure.lifetime().unwrap_or_default()
    }

    /// How much longer the lock can be trusted; zero once it is lost.
    pub fn remaining(&self) -> Duration {
        if self.is_lost() { Duration::ZERO } else { self.tenure.trusted_until().since(self.tenure.place.env.now()) }
    }

    /// How long until another contender may take the lock at the earliest, if it is not refreshed: the deadline and a grace as long as
    /// this lock's must pass. Work must have ended by then, whatever it is made of. A lock that was broken by force may be another's
    /// sooner.
    pub fn until_takeover(&self) -> Duration {
        self.tenure.until_takeover()
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

    /// Why the lock is lost; `None` if it is not. As cheap as [`is_lost`](Self::is_lost). In a forked child, which never held it, it
    /// is `None` too.
    pub fn why_lost(&self) -> Option<Lost> {
        self.tenure.loss()
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
        check_lifetime(lifetime)?;
        self.tenure.refresh(Some(lifetime))
    }

    /// Keeps the lock alive from now on, as [`Builder::keep_alive`](crate::Builder::keep_alive) does from the beginning.
    ///
    /// # Errors
    /// An I/O error if the system has no more threads. The lock then lasts as long as before.
    pub fn keep_alive(&self) -> Result<(), Error> {
        keepalive::begin(&self.tenure)
            .map_err(|e| Error::io(self.path(), "start the thread that keeps the lock alive", e))
    }

    /// Shares the lock with others, without a moment in which it is free: a holder that has written lets others read, and reads on.
    /// From the call on it must not write: readers may join before the call returns. Those who wait as readers join; a writer
    /// waits until all readers have gone, and while one waits, newcomers wait too. See [`Lock::shared`](crate::Lock::shared).
    ///
    /// The lock is the same: its lifetime, [`keep_alive`](Self::keep_alive), what [`loss`](Self::loss) tells and the
    /// [`fencing_token`](Self::fencing_token) stay. Its [`token`](Self::token) is a new one, and the old one holds nothing any more. The
    /// resource cannot tell by the fencing token what was written after a downgrade from what was written before. A lock that is
    /// shared already stays as it is.
    ///
    /// There is no way back. Two readers that both waited to have the lock alone would wait for each other for ever. So release it,
    /// acquire the lock, and look again at what you read.
    ///
    /// ```
    /// # use linklock::{Lock, Protocol};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("cache.lock");
    /// # if cfg!(windows) { return Ok(()) }
    /// let lock = Lock::builder(path).protocol(Protocol::Dir).build()?;
    /// let writer = lock.acquire()?;
    /// assert!(lock.shared()?.try_acquire()?.is_none());
    /// // ... it writes, and then:
    /// let reader = writer.downgrade()?;
    /// assert!(lock.shared()?.try_acquire()?.is_some(), "others may read");
    /// assert!(lock.try_acquire()?.is_none(), "nobody may write");
    /// reader.release()?;
    /// # Ok::<_, linklock::Error>(())
    /// ```
    ///
    /// # Errors
    /// Invalid, under [`Protocol::Link`](crate::Protocol::Link), where a lock has one holder, and on Windows: it is held as before.
    /// Lost, if the lock was broken, or if the answer came after the deadline.
    ///
    /// After any other error the guard that comes back still holds the lock, but only as a reader does: the request may yet be carried
    /// out, at any time. So it has the new token. This may be tried again, and the guard can be refreshed and released.
    pub fn downgrade(self) -> Result<Self, DowngradeError> {
        match self.tenure.downgrade() {
            Ok(()) => Ok(self),
            Err(error) => Err(DowngradeError { error, guard: self }),
        }
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
        self.tenure.claim().token.clone()
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
        if self.tenure.has_ended() || self.tenure.is_foreign() {
            return;
        }
        if let Err(e) = self.tenure.release() {
            // A notice that outlives the guard does not keep the lock alive.
            self.tenure.give_up();
            tracing::warn!(lock = %Printable::new(self.path()), error = %e, "the lock was not released");
        }
    }
}

/// A release that failed, with the guard. It prints as its [`error`](Self::error) does.
///
/// To drop it drops the guard, which tries the release once more. To convert it into an [`Error`] does not.
///
/// ```
/// # use linklock::Lock;
/// # let dir = tempfile::tempdir().unwrap();
/// # let lock = Lock::new(dir.path().join("job.lock")).unwrap();
/// let mut guard = lock.acquire()?;
/// for _ in 0..3 {
///     match guard.release() {
///         Ok(()) => break,
///         Err(e) if e.error().is_lost() => return Err(e.into()),
///         Err(e) => guard = e.into_parts().1, // And again.
///     }
/// #   guard = lock.acquire()?;
/// }
/// # Ok::<_, linklock::Error>(())
/// ```
#[derive(Debug)]
pub struct ReleaseError {
    error: Error,
    guard: Guard,
}

impl ReleaseError {
    /// Why it failed.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The guard, which was not released.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Why it failed, and the guard, to try again.
    pub fn into_parts(self) -> (Error, Guard) {
        (self.error, self.guard)
    }
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for ReleaseError {}

/// Gives the guard up: nothing more is sent to the file system for it, but for a refresh that is under way. The lock, if it is
/// still there, is not kept alive any more and is left to its expiry. Keep the [`ReleaseError`] to try the release again.
impl From<ReleaseError> for Error {
    fn from(e: ReleaseError) -> Self {
        e.guard.tenure.give_up();
        e.error
    }
}

/// A [downgrade](Guard::downgrade) that failed, with the guard. It prints as its [`error`](Self::error) does.
///
/// To drop it, or to convert it into an [`Error`], drops the guard, which releases the lock.
///
/// ```
/// # use linklock::{Lock, Protocol};
/// # let dir = tempfile::tempdir().unwrap();
/// let lock = Lock::builder(dir.path().join("job.lock")).protocol(Protocol::Link).build()?;
/// let failed = lock.acquire()?.downgrade().unwrap_err();
/// assert_eq!(failed.error().kind(), linklock::ErrorKind::Invalid);
/// // It is held as before.
/// failed.into_parts().1.release()?;
/// # Ok::<_, linklock::Error>(())
/// ```
#[derive(Debug)]
pub struct DowngradeError {
    error: Error,
    guard: Guard,
}

impl DowngradeError {
    /// Why it failed.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The guard, see [`Guard::downgrade`].
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Why it failed, and the guard.
    pub fn into_parts(self) -> (Error, Guard) {
        (self.error, self.guard)
    }
}

impl fmt::Display for DowngradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for DowngradeError {}

/// Drops the guard, which releases the lock.
impl From<DowngradeError> for Error {
    fn from(e: DowngradeError) -> Self {
        e.error
    }
}

/// Notice of a lock's loss. Clones are one and the same.
#[derive(Clone, Debug)]
pub struct Loss {
    pub(crate) tenure: Arc<Tenure>,
}

impl Loss {
    /// Whether the lock is lost. As cheap as [`Guard::is_lost`]; false once the lock was released in time.
    pub fn is_lost(&self) -> bool {
        self.tenure.is_lost()
    }

    /// How much longer the lock can be trusted, as [`Guard::remaining`]; zero once it is lost, released, left or given up.
    pub fn remaining(&self) -> Duration {
        let tenure = &self.tenure;
        if tenure.is_lost() || tenure.has_ended() {
            return Duration::ZERO;
        }
        tenure.trusted_until().since(tenure.place.env.now())
    }

    /// Whether this process was forked from the one that acquired the lock, and so does not hold it: see [`Guard`].
    pub fn is_inherited(&self) -> bool {
        self.tenure.is_foreign()
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
