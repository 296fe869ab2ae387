//! Which clock stamps a changed file, and what a file system makes of the times that a client sets.

use std::time::Duration;

use crate::chance::random;
use crate::time::{LocalTime, ServerTime};

/// How a file system treats the times of a file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// It ignores times that a client sets, and reports success, as FUSE file systems on libfuse 2 do.
    pub(crate) ignores_times: bool,
    /// It cuts an mtime that a client sets to whole seconds, as 9p does.
    pub(crate) whole_second_mtimes: bool,
    /// The ctime of a change is the mtime if that is later, as in CephFS.
    pub(crate) ctime_not_below_mtime: bool,
}

impl Times {
    /// The mtime that a file has after a client set this one.
    pub(crate) fn kept(self, mtime: ServerTime) -> ServerTime {
        if self.whole_second_mtimes { ServerTime::from_parts(mtime.to_parts().0, 0) } else { mtime }
    }

    /// The ctime that a file has after a change.
    pub(crate) fn of_change(self, now: ServerTime, mtime: ServerTime) -> ServerTime {
        if self.ctime_not_below_mtime { now.max(mtime) } else { now }
    }
}

/// Wall clocks begin here or hereabouts.
const EPOCH_SECS: i64 = 1_600_000_000;
/// How far a wall clock may be set back in total.
const MIDDLE: Duration = Duration::from_secs(100_000);
/// How far two wall clocks may be apart at the beginning, and how far one steps.
const APART: [Duration; 4] =
    [Duration::from_millis(700), Duration::from_secs(9), Duration::from_secs(70), Duration::from_secs(5000)];

/// How far a machine's wall clock is ahead at the beginning, where they differ.
pub(crate) fn wall_ahead(they_differ: bool) -> Duration {
    MIDDLE + if they_differ { wall_step() } else { Duration::ZERO }
}

/// How far a wall clock steps.
pub(crate) fn wall_step() -> Duration {
    APART[random(APART.len() as u32) as usize]
}

/// The time of a wall clock on a machine whose own clock shows `now`.
pub(crate) fn wall_clock(ahead: Duration, now: LocalTime) -> ServerTime {
    ServerTime::from_parts(EPOCH_SECS, 0) + ahead + now.since(LocalTime::from_nanos(0))
}
