//! The protocols on file systems that differ from the measured NFS servers, with and without the steps for them.

use super::{BOTH, assert_caught, assert_holds, runs};
use crate::config::{Config, Faults};
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

/// The bug: a contender judged an expiry by its own machine's wall clock that another machine's had set. The consequence: two
/// holders. The mend: where the clock that stamps files is not known, contenders watch a lock for its lifetime and the grace.
#[test]
fn where_clients_stamp_files_contenders_must_watch_a_lock_for_its_own_lifetime() {
    for protocol in BOTH {
        for world in ["client-stamps", "client-stamps-late"] {
            assert_is_caught(world, protocol, &[Step::WhoseClock], 2_000);
            assert_is_caught(world, protocol, &[Step::OwnLifetime], 2_000);
        }
    }
}

/// The bug: a refresh counted although it changed nothing. The consequence: a contender broke the lock under its holder. The mend:
/// a refresh counts as far as the attributes show it. With `dir`, the longer entry makes the server stamp it.
#[test]
fn where_the_server_ignores_times_link_refuses_and_dir_refreshes_by_the_longer_entry() {
    let link = random(&config("ignored-times", Protocol::Link), 0, 200);
    assert_eq!((&link.violation, link.holds), (&None, 0));
    assert_holds("ignored times, dir", &random(&config("ignored-times", Protocol::Dir), 0, runs() / 10));
    assert_is_caught("ignored-times", Protocol::Link, &[Step::ShownRefresh], 2_000);
    assert_is_caught("ignored-times", Protocol::Dir, &[Step::ShownRefresh, Step::GrowingEntry], 20_000);
}

/// The bug: `link` keeps its expiry in the mtime only, and the server cut it to whole seconds, at the expense of the grace. The
/// mend: the holder trusts its lock for that much less.
#[test]
fn where_mtimes_are_whole_seconds_the_holder_trusts_its_lock_for_less() {
    for protocol in BOTH {
        let summary = random(&config("whole-seconds", protocol), 0, runs() / 10);
        assert_holds(&format!("whole seconds, {protocol}"), &summary);
    }
    assert_is_caught("whole-seconds", Protocol::Link, &[Step::ShownRefresh], 2_000);
}

/// The bug: a reader of the lock file had a delegation of it. The consequence: while the reader's machine was away, the server
/// delayed the holder's and the breaker's requests for longer than the limit of `link` allows, and a holder lost its lock
/// although it refreshed in time. The mend: contenders look at a lock without a delegation.
#[test]
fn a_machine_that_is_away_delays_no_other_unless_it_has_a_delegation() {
    for protocol in BOTH {
        for world in ["delegations-alone", "delegations"] {
            let summary = random(&config(world, protocol), 0, runs() / 10);
            assert_holds(&format!("{world}, {protocol}"), &summary);
            assert_eq!(summary.lost_by_delay, 0, "{world}, {protocol}");
        }
    }
    assert_is_caught("delegations-alone", Protocol::Link, &[Step::NoDelegation], 5_000);
    let with = Config { without: &[Step::NoDelegation], ..config("delegations-alone", Protocol::Dir) };
    assert!(random(&with, 0, 2_000).lost_by_delay > 0, "no refresh was so late that the lock was lost");
}

#[test]
fn the_empty_directory_of_a_free_lock_stays_only_on_nfs_4_and_in_nobodys_way() {
    // NFS 4 or 3; whether the lock's directory is sticky. The check for leftovers knows where it may stay.
    for (one_remove, sticky) in [(true, false), (true, true), (false, false)] {
        for protocols in Protocols::ALL {
            let nfs = World::named("nfs4").unwrap().config(protocols);
            let config = Config { one_remove, sticky, faults: Faults::NONE, ..nfs };
            let what = format!("without faults, {}, NFS 4: {one_remove}, sticky: {sticky}", protocols.name());
            assert_holds(&what, &random(&config, 0, runs() / 20));
        }
    }
}
