//! What becomes of the protocols on file systems that are no NFS as it was measured: what they bear, and what they do not.

use super::{BOTH, assert_caught, assert_holds, runs};
use crate::config::Config;
use crate::explore::random;
use crate::protocol::Protocol;
use crate::worlds::{Protocols, World};

fn config(world: &str, protocol: Protocol) -> Config {
    World::named(world).unwrap().config(Protocols::All(protocol))
}

fn assert_is_caught(world: &str, protocol: Protocol, runs: u64) {
    assert_caught(&format!("{world}, {protocol}"), runs, &random(&config(world, protocol), 0, runs));
}

/// The bug: expiries are judged by one machine's wall clock that were written by another's. The consequence: two holders.
#[test]
fn where_clients_stamp_files_there_are_two_holders() {
    for protocol in BOTH {
        for world in ["client-stamps", "client-stamps-late"] {
            assert_is_caught(world, protocol, 2_000);
        }
    }
}

/// The bug: what is refreshed looks the same as before. The consequence: it is broken under its holder.
#[test]
fn where_times_are_ignored_there_are_two_holders() {
    for protocol in BOTH {
        assert_is_caught("ignored-times", protocol, 2_000);
    }
}

/// `link` has its expiry in the mtime alone. A grace of more than a second bears the rest of it that is cut off.
#[test]
fn where_mtimes_are_whole_seconds_link_has_two_holders_if_the_grace_is_smaller() {
    assert_is_caught("whole-seconds", Protocol::Link, 2_000);
    let longer = Config { graces: Config::new(Protocol::Link).graces, ..config("whole-seconds", Protocol::Link) };
    assert_holds("whole seconds, link, graces of seconds", &random(&longer, 0, runs() / 50));
    assert_holds("whole seconds, dir", &random(&config("whole-seconds", Protocol::Dir), 0, runs() / 50));
}

/// The bug: who reads the lock file has a delegation of it. The consequence: while its machine is away, the holder's and the
/// breaker's requests are put off, for longer than the limit of `link` allows; and a lock is lost that was refreshed in time.
#[test]
fn a_reader_that_is_away_holds_up_requests_beyond_the_limit_of_link() {
    assert_is_caught("delegations-alone", Protocol::Link, 5_000);
    for world in ["delegations-alone", "delegations"] {
        let summary = random(&config(world, Protocol::Dir), 0, runs() / 10);
        assert_holds(&format!("{world}, dir"), &summary);
        assert!(summary.lost_by_delay > 0, "{world}: no refresh was held up until the lock was lost");
    }
    // Nothing else in that world does it.
    let without = Config { delegations: false, ..config("delegations-alone", Protocol::Link) };
    assert_holds("machines that are cut off, link", &random(&without, 0, runs() / 10));
}
