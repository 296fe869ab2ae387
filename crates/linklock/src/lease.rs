//! Deadlines and the file server's clock: pure functions.
//!
//! Three clocks meet in a lock, and each has a type of its own, so that they cannot be mixed up: [`LocalTime`], which a
//! holder trusts; [`ServerTime`], in which expiries are written and compared; and the wall clock of this machine, which
//! decides nothing.

use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime};

use crate::env::Attr;

/// The longest lifetime and the longest grace: ten years.
pub(crate) const LIFETIME_MOST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The part of its lifetime that a holder can spare.
const SPARE: u32 = 8;

/// A lifetime as the name of a claim has room for it: rounded up by a sixteenth at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoundLifetime(u16);

impl RoundLifetime {
    /// How many bits it takes.
    pub(crate) const BITS: u32 = 10;
    const FRACTION_BITS: u32 = 4;
    /// Of [`LIFETIME_MOST`].
    const EXPONENT_MOST: u16 = 34;

    /// Never shorter than `lifetime`, for who counts it must not end before its holder does.
    pub(crate) fn up(lifetime: Duration) -> Self {
        let one = 1 << Self::FRACTION_BITS;
        let ms = lifetime.min(LIFETIME_MOST).as_nanos().div_ceil(1_000_000).max(one) as u64;
        let exponent = ms.ilog2() - Self::FRACTION_BITS;
        // From 16 to 32; 32 carries over into the exponent.
        let significand = ms.div_ceil(1 << exponent);
        Self(((u64::from(exponent) << Self::FRACTION_BITS) + significand - one as u64) as u16)
    }

    pub(crate) fn to_bits(self) -> u16 {
        self.0
    }

    /// From what anybody may have written.
    pub(crate) fn from_bits(bits: u16) -> Self {
        Self(bits & ((1 << Self::BITS) - 1))
    }

    pub(crate) fn get(self) -> Duration {
        let exponent = (self.0 >> Self::FRACTION_BITS).min(Self::EXPONENT_MOST);
        let significand = u64::from(self.0 & ((1 << Self::FRACTION_BITS) - 1)) + (1 << Self::FRACTION_BITS);
        Duration::from_millis(significand << exponent)
    }
}

/// A moment on this machine's clock that is never set and keeps counting in suspend (CLOCK_BOOTTIME on Linux).
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

/// A moment on the file server's clock, in nanoseconds since the Unix epoch. On a local file system the kernel is the
/// server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServerTime(i128);

impl ServerTime {
    /// Before all that a file can have, with room for sums.
    pub(crate) const MIN: Self = Self(i128::MIN / 2);

    /// From what a file's attributes say.
    pub(crate) fn from_parts(secs: i64, nanos: u32) -> Self {
        Self(i128::from(secs) * 1_000_000_000 + i128::from(nanos))
    }

    /// Whole seconds, rounded down, and the nanoseconds beyond them; clamped to what 64 bits of seconds hold.
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

    /// As the standard library's time; the Unix epoch or the far end where it cannot be told.
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

    /// Nanoseconds since the Unix epoch; the nearest that 64 bits hold, which is from 1677 to 2262.
    pub(crate) fn as_nanos(self) -> i64 {
        self.0.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    /// Whole microseconds since the Unix epoch; 0 before it.
    pub(crate) fn as_micros(self) -> u64 {
        u64::try_from(self.0 / 1_000).unwrap_or(0)
    }

    /// How much later it may have been, if this is a ctime. It is rounded down: to the kernel's tick (10 ms at most;
    /// 15.6 ms on Windows), or to as much as two seconds by file systems that store whole ones. A virtual machine that gets
    /// no processor misses ticks; so much the grace has to bear, as it has whatever else a server's clock does.
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

/// What one change told of the server's clock: it said `ctime` at some moment between `before` and `after`.
///
/// Both bounds are used on the safe side: who judges an expiry takes the earliest that the server's clock can say, and how far
/// they are apart comes between a holder's deadline and what it writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchor {
    ctime: ServerTime,
    before: LocalTime,
    after: LocalTime,
}

impl Anchor {
    /// From a change sent after `before`, whose reply, with this ctime, was there at `after`.
    pub(crate) fn new(ctime: ServerTime, before: LocalTime, after: LocalTime) -> Self {
        Self { ctime, before, after }
    }

    /// From the attributes after a change of a file whose mtime lies elsewhere. `None` for a file system that keeps no ctime
    /// and shows the mtime for it (FAT): that says nothing of the server's clock.
    pub(crate) fn of_change(attr: &Attr, before: LocalTime, after: LocalTime) -> Option<Self> {
        (attr.ctime != attr.mtime).then(|| Self::new(attr.ctime, before, after))
    }

    /// What the network took.
    pub(crate) fn width(&self) -> Duration {
        self.after.since(self.before)
    }

    /// The earliest that the server's clock can say at `now`, which may lie before the change as well.
    pub(crate) fn earliest(&self, now: LocalTime) -> ServerTime {
        self.ctime + now.since(self.after) - self.after.since(now)
    }

    /// The latest that the server's clock can say at `now`.
    pub(crate) fn latest(&self, now: LocalTime) -> ServerTime {
        self.ctime + self.ctime.rounding() + now.since(self.before)
    }

    /// How far apart the earliest and the latest are.
    fn doubt(&self) -> Duration {
        self.width() + self.ctime.rounding()
    }

    /// How much later the server's clock may be than an older anchor told; zero if it is not.
    pub(crate) fn ahead_of(&self, older: &Self, now: LocalTime) -> Duration {
        self.latest(now).since(older.latest(now))
    }

    /// When this machine may be sure that the server's clock is past `moment`.
    pub(crate) fn surely_past(&self, moment: ServerTime) -> LocalTime {
        self.after + moment.since(self.ctime)
    }
}

/// The time for which a claim was last good, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    /// The holder trusts its lock up to here and not one moment longer.
    pub(crate) deadline: LocalTime,
    /// What was written to the file: never before `deadline`, as the server's clock tells it.
    pub(crate) expiry: ServerTime,
    /// How long it was made for.
    pub(crate) lifetime: Duration,
}

impl Lease {
    /// The lease that a call gives which sets the expiry and starts at `now`. `mark` tells the expiry from that of another claim:
    /// the server's clock may stand still for some milliseconds, in which a file can go and another one get its inode number.
    pub(crate) fn starting(now: LocalTime, anchor: &Anchor, lifetime: Duration, mark: Duration) -> Self {
        let doubt = anchor.doubt();
        // The holder gives up what is in doubt, so that for others the lock lasts for its lifetime and no longer; where that
        // is more than the holder can spare, they wait longer. Either way `expiry` is that much later than `deadline`.
        let (given_up, added) =
            if doubt <= lifetime / SPARE { (doubt, Duration::ZERO) } else { (Duration::ZERO, doubt) };
        Self { deadline: now + lifetime - given_up, expiry: anchor.earliest(now) + lifetime + added + mark, lifetime }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn anchor() -> Anchor {
        // The reply took 5 s; the server's clock is at 1000.5 s.
        Anchor::new(
            ServerTime::from_parts(1000, 500_000_000),
            LocalTime::from_nanos(10_000 * MS),
            LocalTime::from_nanos(15_000 * MS),
        )
    }

    #[test]
    fn the_servers_clock_is_bounded_from_both_sides() {
        let now = LocalTime::from_nanos(16_000 * MS);
        assert_eq!(anchor().earliest(now), ServerTime::from_parts(1001, 500_000_000));
        assert_eq!(anchor().latest(now), ServerTime::from_parts(1006, 516_000_000));
    }

    #[test]
    fn before_the_change_the_servers_clock_said_less() {
        // 2 s before the reply was there.
        let earlier = LocalTime::from_nanos(13_000 * MS);
        assert_eq!(anchor().earliest(earlier), ServerTime::from_parts(998, 500_000_000));
    }

    #[test]
    fn a_rounded_lifetime_is_never_shorter_and_a_sixteenth_longer_at_most() {
        let mut lifetime = Duration::from_millis(10);
        while lifetime <= LIFETIME_MOST {
            for lifetime in [lifetime, lifetime + Duration::from_nanos(1), lifetime - Duration::from_nanos(1)] {
                let round = RoundLifetime::up(lifetime);
                assert!(u32::from(round.to_bits()) < 1 << RoundLifetime::BITS);
                assert_eq!(RoundLifetime::from_bits(round.to_bits()), round);
                assert!(round.get() >= lifetime, "{lifetime:?}: {:?}", round.get());
                let most = (lifetime * 17 / 16).max(Duration::from_millis(16)) + Duration::from_millis(1);
                assert!(round.get() <= most, "{lifetime:?}: {:?}", round.get());
            }
            lifetime = lifetime * 21 / 20 + Duration::from_millis(1);
        }
        assert!(RoundLifetime::up(LIFETIME_MOST).get() >= LIFETIME_MOST);
        for bits in 0..=u16::MAX {
            assert!(RoundLifetime::from_bits(bits).get() < 2 * LIFETIME_MOST, "whatever somebody wrote");
        }
    }

    #[test]
    fn an_expiry_is_never_over_for_others_before_the_holders_deadline() {
        let set = LocalTime::from_nanos(16_000 * MS);
        for lifetime in [3, 40, 41, 600].map(Duration::from_secs) {
            let lease = Lease::starting(set, &anchor(), lifetime, Duration::ZERO);
            // Somebody else may know the server's clock better than we do.
            let latest = anchor().latest(lease.deadline);
            assert!(
                latest <= lease.expiry,
                "{lifetime:?}: at the deadline it may be {latest:?}, after {:?}",
                lease.expiry
            );
        }
    }

    #[test]
    fn for_others_a_lock_lasts_for_its_lifetime_unless_its_holder_cannot_spare_what_is_in_doubt() {
        let set = LocalTime::from_nanos(16_000 * MS);
        let starting = |secs| Lease::starting(set, &anchor(), Duration::from_secs(secs), Duration::ZERO);
        assert_eq!(starting(600).expiry, anchor().earliest(set) + Duration::from_secs(600));
        assert_eq!(starting(600).deadline, LocalTime::from_nanos((16_000 + 600_000 - 5_016) * MS));
        assert_eq!(starting(3).expiry, anchor().latest(set) + Duration::from_secs(3));
        assert_eq!(starting(3).deadline, LocalTime::from_nanos((16_000 + 3_000) * MS));
    }

    #[test]
    fn a_clock_of_whole_seconds_is_taken_for_a_coarse_one() {
        let at = LocalTime::from_nanos(0);
        let coarse = Anchor::new(ServerTime::from_parts(1000, 0), at, at);
        assert_eq!(coarse.latest(at), ServerTime::from_parts(1002, 0));
    }

    #[test]
    fn times_far_away_saturate() {
        let far = ServerTime::from_parts(i64::MAX, 0) + Duration::MAX;
        assert_eq!(far.to_parts().0, i64::MAX);
        assert_eq!(LocalTime::from_nanos(5) + Duration::MAX, LocalTime::from_nanos(u64::MAX));
        assert_eq!(ServerTime::from_parts(-1, 5).to_parts(), (-1, 5));
        let ends = [ServerTime::MIN, ServerTime::from_parts(i64::MIN, 0), far, ServerTime::from_parts(0, 1)];
        for (one, other) in ends.into_iter().flat_map(|one| ends.map(|other| (one, other))) {
            let moved = [one, one + Duration::MAX, one - LIFETIME_MOST];
            for time in moved {
                assert!(time.since(other) + LIFETIME_MOST < Duration::MAX / 2, "room for sums");
                let (at, _) = (LocalTime::from_nanos(5), (time.as_nanos(), time.as_micros(), time.rounding()));
                let anchor = Anchor::new(time, at, at);
                assert!(anchor.earliest(at) <= anchor.latest(at + Duration::MAX));
                let _ = (anchor.surely_past(other), time.to_system_time(), time.to_parts());
            }
        }
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(7);
        assert_eq!(ServerTime::from(before).to_system_time(), before);
    }
}
