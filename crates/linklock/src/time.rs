//! Two clocks, each with a type of its own, so that they cannot be mixed up. A holder trusts its lock by [`LocalTime`].
//! Expiries are written and compared in [`ServerTime`]. This machine's wall clock decides nothing.

use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime};

/// A time on this machine's clock that is never set and counts in suspend (CLOCK_BOOTTIME on Linux).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LocalTime(u64);

impl LocalTime {
    /// From nanoseconds since the clock's own zero.
    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's own zero.
    pub(crate) const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for LocalTime {
    type Output = Self;
    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(time)))
    }
}

impl Sub<Duration> for LocalTime {
    type Output = Self;
    fn sub(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_nanos(time)))
    }
}

fn saturating_nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A time on the file server's clock, in nanoseconds since the Unix epoch. On a local file system, the kernel is the
/// server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServerTime(i128);

impl ServerTime {
    /// Earlier than any time of a file, with room for sums.
    pub(crate) const MIN: Self = Self(i128::MIN / 2);

    /// From the parts in a file's attributes.
    pub(crate) fn from_parts(secs: i64, nanos: u32) -> Self {
        Self(i128::from(secs) * 1_000_000_000 + i128::from(nanos))
    }

    /// Whole seconds, rounded down, and the nanoseconds beyond them. Clamped to 64 bits of seconds.
    pub(crate) fn to_parts(self) -> (i64, u32) {
        let secs = self.0.div_euclid(1_000_000_000);
        let nanos = self.0.rem_euclid(1_000_000_000);
        match i64::try_from(secs) {
            Ok(secs) => (secs, nanos as u32),
            Err(_) if secs < 0 => (i64::MIN, 0),
            Err(_) => (i64::MAX, 0),
        }
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let nanos = (self.0 - earlier.0).clamp(0, i128::from(u64::MAX));
        Duration::from_nanos(nanos as u64)
    }

    /// At most 584 years from the Unix epoch. The Unix epoch itself if the system cannot represent the time.
    pub(crate) fn to_system_time(self) -> SystemTime {
        let distance = Duration::from_nanos(u64::try_from(self.0.unsigned_abs()).unwrap_or(u64::MAX));
        let time = if self.0 < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(distance)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(distance)
        };
        time.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// From nanoseconds since the Unix epoch.
    pub(crate) fn from_nanos(nanos: i64) -> Self {
        Self(nanos.into())
    }

    /// Nanoseconds since the Unix epoch, clamped to 64 bits (from 1677 to 2262).
    pub(crate) fn as_nanos(self) -> i64 {
        self.0.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    /// Whole microseconds since the Unix epoch; 0 before it.
    pub(crate) fn as_micros(self) -> u64 {
        u64::try_from(self.0 / 1_000).unwrap_or(0)
    }

    /// How much later the change may have been, if this is a ctime. Kernels round it down to their tick (at most 10 ms;
    /// 15.6 ms on Windows), and file systems that store whole seconds by up to two seconds. A virtual machine that gets
    /// no processor misses ticks. The grace must cover that, as it covers any other fault of a server's clock.
    pub(crate) fn rounding(self) -> Duration {
        if self.0 % 1_000_000_000 == 0 { Duration::from_secs(2) } else { Duration::from_millis(16) }
    }
}

impl Add<Duration> for ServerTime {
    type Output = Self;
    fn add(self, time: Duration) -> Self {
        Self(self.0 + i128::from(saturating_nanos(time)))
    }
}

impl Sub<Duration> for ServerTime {
    type Output = Self;
    fn sub(self, time: Duration) -> Self {
        Self(self.0 - i128::from(saturating_nanos(time)))
    }
}

impl From<SystemTime> for ServerTime {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Self(after.as_nanos() as i128),
            Err(before) => Self(-(before.duration().as_nanos() as i128)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_far_away_saturate() {
        let far = ServerTime::from_parts(i64::MAX, 0) + Duration::MAX;
        assert_eq!(far.to_parts().0, i64::MAX);
        assert_eq!(LocalTime::from_nanos(5) + Duration::MAX, LocalTime::from_nanos(u64::MAX));
        assert_eq!(ServerTime::from_parts(-1, 5).to_parts(), (-1, 5));
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(7);
        assert_eq!(ServerTime::from(before).to_system_time(), before);
    }
}
