//! Several locks at once, without deadlock.

use std::sync::Arc;
use std::time::Duration;

use crate::env::FileId;
use crate::error::Error;
use crate::guard::{Guard, Loss};
use crate::keepalive;
use crate::lock::Lock;
use crate::printable::Printable;
use crate::wait::Wait;

/// Takes all of these locks, or none, within one time-out.
///
/// They are taken in one order, whatever order they are given in. So of contenders that want some of the same locks, one always goes
/// on: none waits for a lock whose holder waits for one of its own. While it waits for the next, those that it has are kept alive. If
/// one is lost meanwhile, or the time is up, all are released.
///
/// ```
/// use std::time::Duration;
/// use linklock::{Lock, Wait, acquire_all};
///
/// # let dir = tempfile::tempdir().unwrap();
/// let (from, to) = (Lock::new(dir.path().join("from.lock"))?, Lock::new(dir.path().join("to.lock"))?);
/// let held = acquire_all([&to, &from], &Wait::up_to(Duration::from_secs(30)))?;
/// for guard in held.iter() {
///     println!("{} is held", guard.path().display());
/// }
/// held.release()?;
/// # Ok::<_, linklock::Error>(())
/// ```
///
/// # Errors
/// As [`Lock::acquire_with`], of the lock that could not be had; lost, if one was lost before all were had; invalid, if two of them are
/// one and the same lock path.
pub fn acquire_all<'a>(locks: impl IntoIterator<Item = &'a Lock>, wait: &Wait) -> Result<Guards, Error> {
    let locks = in_order(locks)?;
    let mut held = Guards { guards: Vec::with_capacity(locks.len()) };
    let started = locks.first().map(|lock| lock.place().env.now());
    for lock in &locks {
        let waited = started.map_or(Duration::ZERO, |started| lock.place().env.now().since(started));
        held.guards.push(lock.acquire_with(&held.kept_alive_by(wait.after(waited)))?);
    }
    held.settle(&locks)?;
    Ok(held)
}

/// The one order for everybody: by the lock's name; then by the number of its directory, which is the same on all machines that share
/// the file system; then, since the first directories of two file systems may have one number, by the path.
fn in_order<'a>(locks: impl IntoIterator<Item = &'a Lock>) -> Result<Vec<&'a Lock>, Error> {
    let with_dir = |lock: &'a Lock| {
        let place = lock.place();
        // Where there is none, the acquisition tells.
        (place.stat_dir().ok().map(|attr| attr.id), lock)
    };
    let mut all: Vec<_> = locks.into_iter().map(with_dir).collect();
    all.sort_by(|(dir, lock), (other_dir, other)| {
        let key = |dir: &Option<FileId>, lock: &'a Lock| (lock.path().file_name(), dir.map(|id| id.inode), lock.path());
        key(dir, lock).cmp(&key(other_dir, other))
    });
    for (n, (dir, lock)) in all.iter().enumerate() {
        let is_same = |(other_dir, other): &&(Option<FileId>, &Lock)| {
            other_dir == dir && other.path().file_name() == lock.path().file_name()
        };
        if let Some((_, other)) = all[..n].iter().find(is_same) {
            let (one, other) = (Printable::new(other.path()), Printable::new(lock.path()));
            return Err(Error::invalid(format!("{one} and {other} are one lock path; name each lock once")));
        }
    }
    Ok(all.into_iter().map(|(_, lock)| lock).collect())
}

/// Several locks that are held, as [`acquire_all`] took them. Dropping it releases them, in reverse order, as well as can be.
#[derive(Debug)]
#[must_use = "guards that are dropped at once hold no lock"]
pub struct Guards {
    guards: Vec<Guard>,
}

impl Guards {
    /// The guards, in the order in which the locks were taken.
    pub fn iter(&self) -> impl Iterator<Item = &Guard> {
        self.guards.iter()
    }

    /// The guard of this lock, if it is one of them.
    pub fn of(&self, lock: &Lock) -> Option<&Guard> {
        self.guards.iter().find(|guard| guard.path() == lock.path())
    }

    /// The guard of a lock that is lost, if one is. Then the work that needs all of them must end.
    pub fn lost(&self) -> Option<&Guard> {
        self.guards.iter().find(|guard| guard.is_lost())
    }

    /// Notices of the locks' losses, one for each.
    pub fn losses(&self) -> Vec<Loss> {
        self.guards.iter().map(Guard::loss).collect()
    }

    /// How much longer all can be trusted; zero once one is lost.
    pub fn remaining(&self) -> Duration {
        self.guards.iter().map(Guard::remaining).min().unwrap_or_default()
    }

    /// How long until another contender may take one of them at the earliest, as [`Guard::until_takeover`] has it.
    pub fn until_takeover(&self) -> Duration {
        self.guards.iter().map(Guard::until_takeover).min().unwrap_or_default()
    }

    /// The shortest of their lifetimes.
    pub fn lifetime(&self) -> Duration {
        self.guards.iter().map(Guard::lifetime).min().unwrap_or_default()
    }

    /// Asks the file server whether all are still held.
    ///
    /// # Errors
    /// As [`Guard::check`], of the first that fails.
    pub fn check(&self) -> Result<(), Error> {
        self.guards.iter().try_for_each(Guard::check)
    }

    /// Refreshes all.
    ///
    /// # Errors
    /// As [`Guard::refresh`], of the first that fails.
    pub fn refresh(&self) -> Result<(), Error> {
        self.guards.iter().try_for_each(Guard::refresh)
    }

    /// Keeps all alive from now on.
    ///
    /// # Errors
    /// As [`Guard::keep_alive`].
    pub fn keep_alive(&self) -> Result<(), Error> {
        self.guards.iter().try_for_each(Guard::keep_alive)
    }

    /// Releases all, in reverse order, also after an error.
    ///
    /// # Errors
    /// As [`Guard::release`], of the first that fails. A lock whose release failed is left to its expiry.
    pub fn release(mut self) -> Result<(), Error> {
        let mut released = Ok(());
        while let Some(guard) = self.guards.pop() {
            released = released.and(guard.release().map_err(Error::from));
        }
        released
    }

    /// The guards, each by itself.
    pub fn into_guards(mut self) -> Vec<Guard> {
        std::mem::take(&mut self.guards)
    }

    /// A wait that keeps those alive which are held, from its first pause on: the wait may be longer than their lifetimes.
    fn kept_alive_by(&self, wait: Wait) -> Wait {
        let tenures: Vec<_> = self.guards.iter().map(|guard| Arc::clone(&guard.tenure)).collect();
        if tenures.is_empty() {
            return wait;
        }
        wait.first_reporting(move || {
            for tenure in &tenures {
                if let Err(e) = keepalive::begin(tenure) {
                    tracing::warn!(lock = %Printable::new(tenure.place.lock_path()), error = %e,
                        "no thread to keep a lock alive while another is waited for");
                }
            }
        })
    }

    /// Stops keeping those alive that are not to be, and gives these their whole lifetime.
    fn settle(&self, locks: &[&Lock]) -> Result<(), Error> {
        for (guard, lock) in self.guards.iter().zip(locks) {
            if !lock.is_kept_alive() && guard.tenure.is_kept_alive() {
                guard.tenure.stop_keeping();
                guard.refresh()?;
            }
        }
        match self.lost() {
            // It says why it is lost.
            Some(guard) => guard.check(),
            None => Ok(()),
        }
    }
}

impl From<Guard> for Guards {
    fn from(guard: Guard) -> Self {
        Self { guards: vec![guard] }
    }
}

impl Drop for Guards {
    fn drop(&mut self) {
        while self.guards.pop().is_some() {}
    }
}
