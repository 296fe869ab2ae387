//! What a waiter knows of the line in which it waits.

use std::time::Duration;

use crate::env::Reach;
use crate::protocol::place::{Order, Place};
use crate::protocol::queue::Ahead;
use crate::protocol::seen::{SeenLock, Sighted};

/// Its place there, and what it goes by to take one.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Who is before us. `None`: nobody, or we are not in the line.
    pub(super) ahead: Option<Ahead>,
    /// The lock that was waited for last.
    last: Option<Last>,
    /// How often the lock changed hands while we waited, counted by [`SAME_PROCESS`] and [`ENOUGH`].
    passed: u32,
    /// Whether the lock was free at the last look, and somebody is before us.
    pub(super) was_free: bool,
    /// There can be no line here, or not for this user.
    pub(super) is_barred: bool,
}

#[derive(Debug)]
struct Last {
    lock: Sighted,
    /// The host and the pid of its holder.
    process: Option<(String, u32)>,
}

/// The lock came from one holder to the next, while we waited: there are other waiters. One process that takes the lock again
/// and again says less.
const ENOUGH: u32 = 4;
const SAME_PROCESS: u32 = 1;

impl Line {
    /// The longest pause before the next look at the lock path. Whoever is first hears of a release from the kernel. If it does
    /// not act, the next ones notice, one second later for each place: they were told their place when they last looked, and may
    /// be nearer to the front by now. Where the kernel tells nothing, all must look more often, and who is first most of all.
    pub(super) fn pause_most(&self, place: &Place, reach: Reach, has_ticket: bool) -> Option<Duration> {
        if place.order != Order::Any || !has_ticket {
            return None;
        }
        let position = self.ahead.as_ref().map_or(0, |ahead| ahead.position);
        let often_ms = match reach {
            Reach::All if position == 0 => return None,
            Reach::All => 1000 * position,
            _ => 100 * (position + 1),
        };
        // Jittered, as all polls are.
        Some(Duration::from_millis(often_ms * 3 / 4 + place.env.random() % (often_ms / 2)))
    }

    /// Whether somebody is before us.
    pub(super) fn is_behind(&self) -> bool {
        self.ahead.is_some()
    }

    pub(super) fn left(&mut self) {
        (self.ahead, self.was_free) = (None, false);
    }

    /// Whether we have not waited for any lock so far.
    pub(super) fn is_new(&self) -> bool {
        self.last.is_none()
    }

    /// Notes for which lock we wait. Whether others were faster than we since the last one.
    pub(super) fn note(&mut self, lock: &SeenLock) -> bool {
        let process = lock.claim.as_ref().map(|claim| (claim.host.clone(), claim.pid));
        let this = Last { lock: lock.sighted(), process };
        if let Some(last) = &self.last
            && last.lock != this.lock
        {
            self.passed += if last.process == this.process { SAME_PROCESS } else { ENOUGH };
        }
        self.last = Some(this);
        self.passed >= ENOUGH
    }
}
