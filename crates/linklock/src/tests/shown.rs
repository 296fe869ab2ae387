//! Which expiry a holder trusts, by the times that its file shows.

use std::time::Duration;

use crate::env::{Attr, FileId, FileKind};
use crate::lease::Lease;
use crate::protocol::expiry::shown_deadline;
use crate::protocol::place::ROUNDING;
use crate::time::{LocalTime, ServerTime};
use crate::{Lock, Protocol};

const LIFETIME: Duration = Duration::from_secs(60);
const NANO: Duration = Duration::from_nanos(1);

/// The deadline, in the reply to a request that was sent `sent_s` before the lease's deadline, if the file shows these times.
fn shown(protocol: Protocol, sent_s: u64, mtime: ServerTime, ctime: ServerTime) -> Option<LocalTime> {
    let lock = Lock::builder("/job.lock").protocol(protocol).lifetime(LIFETIME).build().unwrap();
    let place = lock.place();
    let claim = place.path.new_claim(7, "h", 1, None, LIFETIME, false);
    let id = FileId { device: 1, inode: 1 };
    let attr = Attr { id, kind: FileKind::Regular, nlink: 1, len: 1, mtime, ctime, mode: 0o644, owner: 0 };
    let lease = Lease { deadline: deadline(), expiry: expiry(), lifetime: LIFETIME };
    shown_deadline(place, &claim, &lease, deadline() - Duration::from_secs(sent_s), &attr).ok()
}

fn deadline() -> LocalTime {
    LocalTime::from_nanos(1_000_000_000_000)
}

fn expiry() -> ServerTime {
    ServerTime::from_parts(1060, 500_000_000)
}

#[test]
fn a_file_system_may_round_an_expiry_and_what_it_takes_away_is_not_trusted() {
    for protocol in [Protocol::Link, Protocol::Dir] {
        let shown = |mtime| shown(protocol, 60, mtime, expiry() - 2 * LIFETIME);
        assert_eq!(shown(expiry()), Some(deadline()), "{protocol}");
        assert_eq!(shown(expiry() - ROUNDING), Some(deadline() - ROUNDING), "{protocol}");
        assert_eq!(shown(expiry() - ROUNDING - NANO), None, "{protocol}");
        assert_eq!(shown(expiry() + ROUNDING), Some(deadline()), "{protocol}");
    }
}

#[test]
fn an_expiry_that_is_shown_much_later_was_not_kept_except_in_a_dir_lock_which_was_acquired_for_longer() {
    let late = expiry() + ROUNDING + NANO;
    assert_eq!(shown(Protocol::Link, 60, late, late - LIFETIME), None);
    assert_eq!(shown(Protocol::Dir, 60, late, late - LIFETIME), Some(deadline()));
}

#[test]
fn a_longer_lifetime_counts_only_as_far_as_the_times_show_it() {
    for protocol in [Protocol::Link, Protocol::Dir] {
        let shown = |lasts_s| shown(protocol, 600, expiry(), expiry() - Duration::from_secs(lasts_s));
        assert_eq!(shown(600), Some(deadline()), "{protocol}");
        assert_eq!(shown(590), Some(deadline() - Duration::from_secs(10)), "{protocol}");
    }
}
