//! Deadlines and the file server's clock: pure functions.

use std::time::Duration;

use crate::env::Attr;
use crate::error::Error;
use crate::lifetime::{LIFETIME_LEAST, LIFETIME_MOST, typed};
use crate::time::{LocalTime, ServerTime};

/// A holder can spare one part in this many of its lifetime.
const SPARE: u32 = 8;

/// What one change showed of the server's clock: it said `ctime` at some time between `before` and `after`.
///
/// Both bounds are used on the safe side. Whoever judges an expiry takes the earliest that the server's clock can say.
/// A holder puts the distance between both bounds between its deadline and the expiry that it writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchor {
    ctime: ServerTime,
    before: LocalTime,
    after: LocalTime,
}

impl Anchor {
    /// From a change that was sent after `before`, and whose reply, with this ctime, arrived at `after`.
    pub(crate) fn new(ctime: ServerTime, before: LocalTime, after: LocalTime) -> Self {
        Self { ctime, before, after }
    }

    /// From the attributes after a change of a file whose mtime is at another time. `None` if the ctime equals the
    /// mtime: a file system without a ctime (FAT) shows the mtime for it, which says nothing of the server's clock.
    pub(crate) fn of_change(attr: &Attr, before: LocalTime, after: LocalTime) -> Option<Self> {
        (attr.ctime != attr.mtime).then(|| Self::new(attr.ctime, before, after))
    }

    /// How long the request and its reply took.
    pub(crate) fn width(&self) -> Duration {
        self.after.since(self.before)
    }

    /// The earliest that the server's clock can say at `now`, which may be before the change.
    pub(crate) fn earliest(&self, now: LocalTime) -> ServerTime {
        self.ctime + now.since(self.after) - self.after.since(now)
    }

    /// The latest that the server's clock can say at `now`.
    pub(crate) fn latest(&self, now: LocalTime) -> ServerTime {
        self.ctime + self.ctime.rounding() + now.since(self.before)
    }

    /// The distance between the earliest and the latest.
    fn doubt(&self) -> Duration {
        self.width() + self.ctime.rounding()
    }

    /// How much later the server's clock may be than an older anchor said; zero if it is not later.
    pub(crate) fn ahead_of(&self, older: &Self, now: LocalTime) -> Duration {
        self.latest(now).since(older.latest(now))
    }

    /// The local time from which the server's clock is certainly past `moment`.
    pub(crate) fn surely_past(&self, moment: ServerTime) -> LocalTime {
        self.after + moment.since(self.ctime)
    }
}

/// The lease of a claim, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    /// The holder trusts its lock until here, and no longer.
    pub(crate) deadline: LocalTime,
    /// The expiry in the file. On the server's clock, it is never before `deadline`.
    pub(crate) expiry: ServerTime,
    /// The lifetime that the lease was made for.
    pub(crate) lifetime: Duration,
}

impl Lease {
    /// The lease from a call that sets the expiry and starts at `now`. `mark` makes the expiry differ from that of
    /// another claim: the server's clock may stand still for some milliseconds, in which one file can go and another
    /// get its inode number.
    pub(crate) fn starting(now: LocalTime, anchor: &Anchor, lifetime: Duration, mark: Duration) -> Self {
        let doubt = anchor.doubt();
        // The holder gives up the doubt, so that for others the lock lasts for its lifetime and no longer. If the doubt
        // is more than the holder can spare, others wait longer instead. Either way `expiry` is later than `deadline`
        // by the doubt.
        let (given_up, added) =
            if doubt <= lifetime / SPARE { (doubt, Duration::ZERO) } else { (Duration::ZERO, doubt) };
        Self { deadline: now + lifetime - given_up, expiry: anchor.earliest(now) + lifetime + added + mark, lifetime }
    }
}

/// Checks the bounds of a lifetime.
pub(crate) fn check_lifetime(lifetime: Duration) -> Result<(), Error> {
    if (LIFETIME_LEAST..=LIFETIME_MOST).contains(&lifetime) {
        return Ok(());
    }
    Err(Error::invalid(format!("lifetime {}: must be from {} to ten years", typed(lifetime), typed(LIFETIME_LEAST))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{FileId, FileKind};

    const MS: u64 = 1_000_000;

    fn anchor() -> Anchor {
        // The reply took 5 s. The server's clock was at 1000.5 s.
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
        // 2 s before the reply arrived.
        let earlier = LocalTime::from_nanos(13_000 * MS);
        assert_eq!(anchor().earliest(earlier), ServerTime::from_parts(998, 500_000_000));
    }

    #[test]
    fn an_expiry_is_never_over_for_others_before_the_holders_deadline() {
        let set = LocalTime::from_nanos(16_000 * MS);
        for lifetime in [3, 40, 41, 600].map(Duration::from_secs) {
            let lease = Lease::starting(set, &anchor(), lifetime, Duration::ZERO);
            // Another contender may know the server's clock better.
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
    fn a_mark_makes_the_expiry_later_and_the_deadline_no_later() {
        let (set, lifetime, mark) =
            (LocalTime::from_nanos(16_000 * MS), Duration::from_secs(600), Duration::from_millis(7));
        let (plain, marked) = (
            Lease::starting(set, &anchor(), lifetime, Duration::ZERO),
            Lease::starting(set, &anchor(), lifetime, mark),
        );
        assert_eq!(marked.expiry, plain.expiry + mark);
        assert_eq!((marked.deadline, marked.lifetime), (plain.deadline, lifetime));
    }

    #[test]
    fn a_ctime_says_what_the_servers_clock_said_unless_it_equals_the_mtime() {
        let (before, after) = (LocalTime::from_nanos(10_000 * MS), LocalTime::from_nanos(15_000 * MS));
        let (early, late) = (ServerTime::from_parts(900, 0), ServerTime::from_parts(1000, 500_000_000));
        let of = |mtime, ctime| Anchor::of_change(&attr(mtime, ctime), before, after);
        let anchor = of(early, late).expect("the mtime was set, the ctime was not");
        assert_eq!((anchor.earliest(after), anchor.width()), (late, Duration::from_secs(5)));
        assert!(of(late, late).is_none());
    }

    #[test]
    fn a_moment_is_surely_past_once_the_earliest_that_the_clock_can_say_has_reached_it() {
        for secs in [1001, 1060] {
            let moment = ServerTime::from_parts(secs, 500_000_000);
            let past = anchor().surely_past(moment);
            assert_eq!(past, LocalTime::from_nanos((15_000 + 1000 * (secs as u64 - 1000)) * MS));
            assert_eq!(anchor().earliest(past), moment);
        }
    }

    #[test]
    fn a_clock_that_was_set_forward_is_ahead_of_what_it_said_before() {
        let now = LocalTime::from_nanos(20_000 * MS);
        let (before, after) = (LocalTime::from_nanos(18_000 * MS), LocalTime::from_nanos(19_000 * MS));
        let newer = |secs| Anchor::new(ServerTime::from_parts(secs, 500_000_000), before, after);
        // It is 1010.5 s at most by the older one, and 1013.5 s by the newer one, apart from the rounding.
        assert_eq!(newer(1011).ahead_of(&anchor(), now), Duration::from_secs(3));
        assert_eq!(newer(1003).ahead_of(&anchor(), now), Duration::ZERO);
    }

    #[test]
    fn only_lifetimes_within_the_bounds_are_accepted() {
        for lifetime in [LIFETIME_LEAST, Duration::from_secs(60), LIFETIME_MOST] {
            check_lifetime(lifetime).unwrap();
        }
        for lifetime in
            [Duration::ZERO, LIFETIME_LEAST - Duration::from_nanos(1), LIFETIME_MOST + Duration::from_nanos(1)]
        {
            check_lifetime(lifetime).unwrap_err();
        }
    }

    fn attr(mtime: ServerTime, ctime: ServerTime) -> Attr {
        let id = FileId { device: 1, inode: 1 };
        Attr { id, kind: FileKind::Regular, nlink: 1, len: 1, mtime, ctime, mode: 0o644, owner: 0 }
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
