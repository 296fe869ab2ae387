//! Deadlines and the file server's clock: pure functions.

use std::time::Duration;

use crate::env::Attr;
use crate::error::Error;
use crate::lifetime::{LIFETIME_LEAST, LIFETIME_MOST, typed};
use crate::time::{LocalTime, ServerTime};

/// The part of its lifetime that a holder can spare.
const SPARE: u32 = 8;

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

/// Whether a lock may have this lifetime.
pub(crate) fn check_lifetime(lifetime: Duration) -> Result<(), Error> {
    if (LIFETIME_LEAST..=LIFETIME_MOST).contains(&lifetime) {
        return Ok(());
    }
    Err(Error::invalid(format!("lifetime {}: must be from {} to ten years", typed(lifetime), typed(LIFETIME_LEAST))))
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
    fn sums_of_times_far_away_do_not_overflow() {
        let far = ServerTime::from_parts(i64::MAX, 0) + Duration::MAX;
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
    }
}
