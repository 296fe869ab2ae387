//! The lifetime of a lock that is taken over by its token. The bug: a refresh after that gave the lock the lifetime of whoever
//! took it over, 15 s by default. The consequence: the refresh moved the expiry back.

use std::fs;
use std::time::Duration;

use super::faults::{Arena, BOTH, LIFETIME};
use crate::SEPARATOR;
use crate::env::Env;
use crate::env::os::OsEnv;
use crate::names::bytes_of;
use crate::options::Protocol;
use crate::token::Token;

const SHORT: Duration = Duration::from_secs(15);
const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_refresh_after_taking_over_keeps_the_locks_own_lifetime() {
    for protocol in BOTH {
        for others in [SHORT, LONG] {
            let arena = Arena::new();
            let token = arena.lock(protocol).acquire().unwrap().leave();
            let adopting = arena.builder(protocol).lifetime(others).build_in(arena.env.clone()).unwrap();
            let guard = adopting.adopt(&token).unwrap();
            let kept = guard.lifetime();
            assert!(kept >= LIFETIME && kept <= LIFETIME * 17 / 16, "{protocol}: {kept:?}");
            let before = guard.expires_at().unwrap();
            arena.env.sleep(SHORT);
            guard.refresh().unwrap();
            assert!(guard.expires_at().unwrap() >= before + SHORT - Duration::from_secs(1), "{protocol}");
            assert_eq!(guard.lifetime(), kept, "{protocol}");
            guard.release().unwrap();
        }
    }
}

#[test]
fn a_longer_lifetime_that_a_refresh_has_set_is_kept_and_does_not_grow() {
    for protocol in BOTH {
        let arena = Arena::new();
        let lock = arena.lock(protocol);
        let guard = lock.acquire().unwrap();
        guard.refresh_for(LONG).unwrap();
        let token = guard.leave();
        for _ in 0..100 {
            let guard = lock.adopt(&token).unwrap();
            assert_eq!(guard.lifetime(), LONG, "{protocol}");
            guard.refresh().unwrap();
            guard.leave();
        }
        lock.adopt(&token).unwrap().release().unwrap();
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it makes the files of a peer")]
fn the_builders_lifetime_counts_for_a_claim_that_names_none() {
    let arena = Arena::new();
    let lock = arena.lock(Protocol::Link);
    // As flufl.lock makes it.
    let name = format!("job.lock|{}|12|1234567", lock.place().host).replace('|', &SEPARATOR.to_string());
    let claim = arena.dir.path().join(&name);
    fs::write(&claim, bytes_of(&claim)).unwrap();
    let file = fs::File::options().write(true).open(&claim).unwrap();
    file.set_modified((OsEnv.wall_clock() + SHORT).to_system_time()).unwrap();
    fs::hard_link(&claim, arena.path()).unwrap();
    let guard = lock.adopt(&Token::new(&name)).unwrap();
    assert_eq!(guard.lifetime(), LIFETIME);
    guard.refresh().unwrap();
    guard.release().unwrap();
}
