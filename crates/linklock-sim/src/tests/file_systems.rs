//! What becomes of the protocols on file systems that are no NFS as it was measured, and without the steps that are for them.

use super::{BOTH, assert_caught, assert_holds, runs};
use crate::config::Config;
use crate::env::Step;
use crate::explore::random;
use crate::options::Protocol;
use crate::worlds::{Protocols, World};

fn config(world: &str, protocol: Protocol) -> Config {
    World::named(world).unwrap().config(Protocols::All(protocol))
}

fn assert_is_caught(world: &str, protocol: Protocol, without: &'static [Step], runs: u64) {
    let config = Config { without, ..config(world, protocol) };
    assert_caught(&format!("{world}, {protocol}, without {without:?}"), runs, &random(&config, 0, runs));
}

/// The bug: expiries were judged by one machine's wall clock that were written by another's. The consequence: two holders. The
/// mend: where it is not known whose clock stamps files, a lock is watched for its own lifetime and the grace.
#[test]
fn where_clients_stamp_files_a_lock_that_is_not_watched_for_its_own_lifetime_is_broken_under_its_holder() {
    for protocol in BOTH {
        for world in ["client-stamps", "client-stamps-late"] {
            assert_is_caught(world, protocol, &[Step::WhoseClock], 2_000);
            assert_is_caught(world, protocol, &[Step::OwnLifetime], 2_000);
        }
    }
}

/// The bug: a refresh counted that changed nothing. The consequence: the lock was broken under its holder. The mend: it counts
/// as far as the attributes show it.
#[test]
fn where_times_are_ignored_link_is_refused_and_dir_is_trusted_for_one_lifetime() {
    let link = random(&config("ignored-times", Protocol::Link), 0, 200);
    assert_eq!((&link.violation, link.holds), (&None, 0));
    assert_holds("ignored times, dir", &random(&config("ignored-times", Protocol::Dir), 0, runs() / 10));
    for protocol in BOTH {
        assert_is_caught("ignored-times", protocol, &[Step::ShownRefresh], 2_000);
    }
}

/// The bug: `link` has its expiry in the mtime alone, and what was cut off came from the grace. The mend: the holder gives it up.
#[test]
fn where_mtimes_are_whole_seconds_the_holder_gives_up_what_is_cut_off() {
    for protocol in BOTH {
        let summary = random(&config("whole-seconds", protocol), 0, runs() / 10);
        assert_holds(&format!("whole seconds, {protocol}"), &summary);
    }
    assert_is_caught("whole-seconds", Protocol::Link, &[Step::ShownRefresh], 2_000);
}

/// The bug: who read the lock file had a delegation of it. The consequence: while its machine was away, the holder's and the
/// breaker's requests were put off, for longer than the limit of `link` allows; and a lock was lost that was refreshed in time.
/// The mend: who looks at a lock has none.
#[test]
fn a_machine_that_is_away_holds_up_nobody_unless_it_has_a_delegation() {
    for protocol in BOTH {
        for world in ["delegations-alone", "delegations"] {
            let summary = random(&config(world, protocol), 0, runs() / 10);
            assert_holds(&format!("{world}, {protocol}"), &summary);
            assert_eq!(summary.lost_by_delay, 0, "{world}, {protocol}");
        }
    }
    assert_is_caught("delegations-alone", Protocol::Link, &[Step::NoDelegation], 5_000);
    let with = Config { without: &[Step::NoDelegation], ..config("delegations-alone", Protocol::Dir) };
    assert!(random(&with, 0, 2_000).lost_by_delay > 0, "no refresh was held up until the lock was lost");
}
