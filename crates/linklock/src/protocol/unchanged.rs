//! The rule that needs no clock but our own: a lock has expired once it was seen unchanged for its own lifetime and the grace.
//!
//! Why it is safe: whatever set the lock's times was carried out before the first look that saw them ended, and its holder
//! counts its deadline from before it sent that. So at the first look, the holder has no more than the lock's own lifetime to
//! go; and a look that begins when that time has passed, and still sees no change, sees a lock that cannot be refreshed any more.
//! It is for file systems where every client stamps files by a clock of its own, and where it is not known; and for the break lock
//! everywhere, whose times others may have set so that no clock ever shows it to have expired.

use std::sync::Mutex;
use std::time::Duration;

use super::seen::SeenLock;
use crate::time::LocalTime;

/// The lock that was seen last, and since when it is known.
#[derive(Debug, Default)]
pub(crate) struct Unchanged(Mutex<Option<(SeenLock, LocalTime)>>);

impl Unchanged {
    /// For how much longer the lock must be seen unchanged, which `needed` is in all. A look that began at `looked` has just seen
    /// it; now it is `now`.
    pub(super) fn time_left(&self, lock: &SeenLock, needed: Duration, looked: LocalTime, now: LocalTime) -> Duration {
        // In a forked child it may be locked for ever. Not to remember is to wait for longer.
        let Ok(mut seen) = self.0.try_lock() else { return needed };
        // A refresh changes at least the ctime, by more than it is rounded.
        let same = seen.as_ref().filter(|(seen, _)| seen.is_same(lock) && seen.attr.ctime == lock.attr.ctime);
        if let Some((_, since)) = same {
            return needed.saturating_sub(looked.since(*since));
        }
        *seen = Some((lock.clone(), now));
        needed
    }
}
