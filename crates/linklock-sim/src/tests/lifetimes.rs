//! Holders that refresh their locks with another lifetime.

use super::{BOTH, assert_caught};
use crate::config::{Config, Faults};
use crate::explore::random;
use crate::worlds::{Protocols, World};

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
