//! The rule that needs no clock but our own: a lock has expired when it was seen unchanged for its own lifetime and the
//! grace.
//!
//! Why it is safe: the request that set the lock's times was carried out before the end of the first look that saw
//! them, and its holder counts its deadline from before it sent that request. So at the end of the first look, the
//! holder has at most the lock's own lifetime left. A later look that begins after that time, and still sees no change,
//! sees a lock that cannot be refreshed any more. Where the client may answer from a cache, the look must be later by as long as
//! that may be old. The rule is for file systems where each client stamps files by its
//! own clock, or where linklock does not know. It is also for the break lock everywhere: other users may have set its
//! times so that no clock ever shows that it has expired.

use std::sync::Mutex;
use std::time::Duration;

use super::seen::SeenLock;
use crate::time::LocalTime;

/// The lock that was seen last, and since when it is known.
#[derive(Debug, Default)]
pub(crate) struct Unchanged(Mutex<Option<(SeenLock, LocalTime)>>);

impl Unchanged {
    /// For how much longer the lock must be seen unchanged, of `needed` in all. It was just seen, by a look that began
    /// at `looked`. The look ended at `now`.
    pub(super) fn time_left(&self, lock: &SeenLock, needed: Duration, looked: LocalTime, now: LocalTime) -> Duration {
        // In a forked child the mutex may stay locked for ever. To forget what was seen only means to wait longer.
        let Ok(mut seen) = self.0.try_lock() else { return needed };
        // A refresh changes the ctime, by more than its rounding. A late request may set both times back, but not the length.
        let has_same_attr = |seen: &SeenLock| {
            (seen.attr.ctime, seen.attr.len) == (lock.attr.ctime, lock.attr.len) && seen.is_same(lock)
        };
        let same = seen.as_ref().filter(|(seen, _)| has_same_attr(seen));
        if let Some((_, since)) = same {
            return needed.saturating_sub(looked.since(*since));
        }
        *seen = Some((lock.clone(), now));
        needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Attr, FileId, FileKind};
    use crate::options::Protocol;
    use crate::time::ServerTime;

    const NEEDED: Duration = Duration::from_secs(60);

    fn seen() -> SeenLock {
        let (mtime, ctime) = (ServerTime::from_parts(2000, 5), ServerTime::from_parts(1000, 5));
        let id = FileId { device: 1, inode: 1 };
        let attr = Attr { id, kind: FileKind::Regular, nlink: 1, len: 1, mtime, ctime, mode: 0o644, owner: 0 };
        SeenLock {
            protocol: Protocol::Dir,
            claim: None,
            is_certain: true,
            attr,
            owner: Some(0),
            about: None,
            readers: 0,
        }
    }

    fn at(secs: u64) -> LocalTime {
        LocalTime::from_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn a_lock_that_stays_as_it_is_is_watched_from_the_end_of_the_first_look_to_the_begin_of_the_last() {
        let unchanged = Unchanged::default();
        assert_eq!(unchanged.time_left(&seen(), NEEDED, at(10), at(11)), NEEDED);
        assert_eq!(unchanged.time_left(&seen(), NEEDED, at(31), at(39)), Duration::from_secs(40));
        assert_eq!(unchanged.time_left(&seen(), NEEDED, at(71), at(79)), Duration::ZERO);
    }

    #[test]
    fn whatever_changes_at_a_lock_restarts_the_watch() {
        let changes: [fn(&mut Attr); 4] = [
            |attr| attr.mtime = attr.mtime + NEEDED,
            |attr| attr.ctime = attr.ctime + NEEDED,
            |attr| attr.len += 1,
            |attr| attr.id.inode += 1,
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let (unchanged, mut changed) = (Unchanged::default(), seen());
            change(&mut changed.attr);
            assert_eq!(unchanged.time_left(&seen(), NEEDED, at(10), at(11)), NEEDED);
            assert_eq!(unchanged.time_left(&changed, NEEDED, at(41), at(42)), NEEDED, "change {n}");
            assert_eq!(unchanged.time_left(&changed, NEEDED, at(72), at(73)), Duration::from_secs(30), "change {n}");
        }
    }
}
