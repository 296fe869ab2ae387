//! A lock with several slots: at most so many holders at a time.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use crate::acquire::{self, Group};
use crate::error::Error;
use crate::guard::Guard;
use crate::lock::Lock;
use crate::lock_path;
use crate::protocol::place::Place;
use crate::wait::Wait;

/// The most slots that a lock can have. Whoever waits looks at all of them.
pub const SLOTS_MOST: usize = lock_path::SLOTS_MOST;

/// A lock that so many contenders hold at a time, on all machines together: licence seats, graphics cards, downloads.
///
/// Slot n is the lock `LOCKPATH.n`, from n = 1 on, which can be inspected, broken and cleaned as any lock. A contender takes the first
/// that is free or may be broken, beginning at random, and otherwise waits for all of them. It waits at `LOCKPATH`, which nobody holds:
/// with [`Builder::queue`] those who wait get the slots in the order in which they came.
///
/// All contenders should name the same number. If they do not, nothing worse happens than this: of those who know fewer slots no more
/// than these hold one, and those who know more have the others to themselves. A contender that names no number wants `LOCKPATH`
/// itself, and has nothing to do with the slots.
///
/// ```
/// # use linklock::Lock;
/// # let dir = tempfile::tempdir().unwrap();
/// let slots = Lock::new(dir.path().join("licence"))?.slots(2)?;
/// let (one, other) = (slots.acquire()?, slots.acquire()?);
/// assert_eq!(one.number() + other.number(), 3);
/// assert!(slots.try_acquire()?.is_none(), "both are held");
/// one.release()?;
/// assert!(slots.try_acquire()?.is_some());
/// # Ok::<_, linklock::Error>(())
/// ```
///
/// [`Builder::queue`]: crate::Builder::queue
#[derive(Clone, Debug)]
pub struct Slots {
    base: Lock,
    slots: Arc<[Lock]>,
}

impl Lock {
    /// The same lock, with so many slots; see [`Slots`].
    ///
    /// # Errors
    /// Invalid, if there are to be none or more than [`SLOTS_MOST`]; if the name of a slot would be too long; and for a lock that is to
    /// be shared, which has room for any number of holders.
    pub fn slots(&self, number: usize) -> Result<Slots, Error> {
        if !(1..=SLOTS_MOST).contains(&number) {
            return Err(Error::invalid(format!("{number} slots: a lock has from 1 to {SLOTS_MOST}")));
        }
        if self.place().shared {
            return Err(Error::invalid("slots: a shared lock has room for any number of holders; do not share it"));
        }
        let slots: Result<_, Error> = (1..=number).map(|n| self.slot(n)).collect();
        Ok(Slots { base: self.clone(), slots: slots? })
    }
}

impl Slots {
    /// The slots, each a lock by itself; the first is number 1.
    pub fn locks(&self) -> &[Lock] {
        &self.slots
    }

    /// The lock path that the slots share, absolute.
    pub fn path(&self) -> &Path {
        self.base.path()
    }

    /// Takes a slot, and waits for one for ever.
    ///
    /// # Errors
    /// As [`Lock::acquire`], of the slot that is in the way.
    pub fn acquire(&self) -> Result<Slot, Error> {
        self.acquire_with(&Wait::forever())
    }

    /// Takes a slot if one can be acquired now, and gives `None` if all are held.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub fn try_acquire(&self) -> Result<Option<Slot>, Error> {
        match self.acquire_with(&Wait::never()) {
            Ok(slot) => Ok(Some(slot)),
            Err(e) if e.is_timeout() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Takes a slot, and waits for one as long as `wait` says. Reports name the holder that was seen last.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire); timeout and cancelled, with the holder of one of the slots.
    pub fn acquire_with(&self, wait: &Wait) -> Result<Slot, Error> {
        self.base.check_private()?;
        let places: Vec<&Place> = self.slots.iter().map(Lock::place).collect();
        let (n, stake) = acquire::acquire_any(Group { base: self.base.place(), slots: &places }, wait)?;
        Ok(Slot { number: n + 1, guard: self.slots[n].hold(stake)? })
    }

    /// As `acquire_with`, in steps: between two, the future pends.
    #[cfg(feature = "tokio")]
    pub(crate) async fn acquire_in_task(self, wait: Wait) -> Result<Slot, Error> {
        self.base.check_private()?;
        let places: Vec<&Place> = self.slots.iter().map(Lock::place).collect();
        let group = Group { base: self.base.place(), slots: &places };
        let (n, stake) = acquire::contend_for_any(group, &wait, acquire::Pace::Task).await?;
        Ok(Slot { number: n + 1, guard: self.slots[n].hold(stake)? })
    }
}

/// A slot that is held: its number, and the guard of its lock.
#[derive(Debug)]
#[must_use = "a slot that is dropped at once is not held"]
pub struct Slot {
    number: usize,
    guard: Guard,
}

impl Slot {
    /// Which one it is, from 1 on: no other holder has the same number at the same time.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Releases the slot.
    ///
    /// # Errors
    /// As [`Guard::release`].
    pub fn release(self) -> Result<(), Error> {
        self.guard.release().map_err(Error::from)
    }

    /// The guard alone.
    pub fn into_guard(self) -> Guard {
        self.guard
    }
}

impl Deref for Slot {
    type Target = Guard;

    fn deref(&self) -> &Guard {
        &self.guard
    }
}
