//! Holders that refresh their locks with another lifetime.

use super::{BOTH, assert_caught, assert_holds, runs};
use crate::config::{Config, Faults, Who};
use crate::explore::random;
use crate::options::Protocol;
use crate::worlds::{Protocols, World};

/// Where no request comes once more after a later one of the same process, which is the limit of a longer lifetime.
#[test]
fn other_lifetimes_hold_where_no_request_comes_once_more() {
    let within_the_limit = |protocols| {
        let config = World::named("new-lifetimes").unwrap().config(protocols);
        Config { faults: Faults { late_requests: 0, ..config.faults }, ..config }
    };
    for protocols in Protocols::ALL {
        let config = within_the_limit(protocols);
        assert_holds(&format!("new-lifetimes, {}", protocols.name()), &random(&config, 0, runs() / 10));
    }
    let config = within_the_limit(Protocols::All(Protocol::Dir));
    let config = Config { shared: Who::Half, hosts: vec![0, 1, 0, 1], ..config };
    assert_holds("downgrades, new-lifetimes", &random(&config, 0, runs() / 10));
}

/// The bug: a holder that gives its lock a shorter lifetime trusts the old one until the call returns. The consequence: other
/// contenders see the shorter one expire meanwhile, and there are two holders.
#[test]
fn the_simulation_catches_a_shorter_lifetime_that_counts_only_once_the_call_returns() {
    for protocol in BOTH {
        let config = World::named("new-lifetimes").unwrap().config(Protocols::All(protocol));
        let config = Config { trusts_old_lifetimes: true, ..config };
        assert_caught(&format!("old lifetimes, {protocol}"), 10_000, &random(&config, 0, 10_000));
    }
}

/// The bug: a request from before a longer lifetime comes late, or twice. The consequence: it sets the expiry back by the
/// difference, while the holder trusts the longer lifetime.
#[test]
fn the_simulation_catches_a_late_request_that_takes_a_longer_lifetime_back() {
    for protocol in BOTH {
        let faults = Faults { pauses: 12, cuts: 2, lost_replies: 8, late_requests: 8, ..Faults::NONE };
        let config = World::named("new-lifetimes").unwrap().config(Protocols::All(protocol));
        let config = Config { faults, fence: false, ..config };
        assert_caught(&format!("longer lifetimes, {protocol}"), 20_000, &random(&config, 0, 20_000));
    }
}
