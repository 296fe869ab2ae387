//! A lock that one process leaves and another adopts by its token, and a lock that an operator breaks by its token.

use std::time::{Duration, SystemTime};

use linklock::{ErrorKind, State, Token, Wait, Which};

use crate::common::{BOTH, Ground, HOUR, assert_names_holder, long_ago, named, plant};
use crate::puppet::Puppet;
use crate::settings::Settings;

#[test]
fn another_process_refreshes_and_releases_a_lock_by_its_token() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol).lifetime(Duration::from_secs(60));
        let token = settings.lock().acquire().unwrap().leave();
        let [mut one, mut other] = [(); 2].map(|()| Puppet::start(&settings.clone().lifetime(HOUR)));
        one.ask(&format!("adopt {token}")).unwrap();
        one.ask("check").unwrap();
        one.ask("refresh").unwrap();
        let status = settings.lock().inspect().unwrap();
        assert_eq!(status.holder.unwrap().token, token, "{protocol}: it is the same claim");
        let left = status.remaining.unwrap();
        assert!((50..70).contains(&left.as_secs()), "{protocol}: with its own lifetime, not the new owner's: {left:?}");
        one.ask("leave").unwrap();
        other.ask(&format!("adopt {token}")).unwrap();
        other.ask("release").unwrap();
        assert_eq!(ground.names(), [""; 0], "{protocol}");
        let error = one.ask(&format!("adopt {token}")).unwrap_err();
        assert!(error.starts_with("NotHeld"), "{protocol}: a second release fails: {error}");
    }
}

#[test]
fn a_lock_that_was_left_stays_held_and_is_not_kept_alive() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol).lifetime(Duration::from_millis(500)).keep_alive(true);
        let guard = settings.lock().acquire().unwrap();
        let loss = guard.loss();
        guard.leave();
        assert!(!loss.wait(), "{protocol}: a left lock is not lost");
        // Before it was left, it may have been refreshed.
        let expiry = settings.lock().inspect().unwrap().expires_at;
        std::thread::sleep(Duration::from_millis(600));
        let status = settings.lock().inspect().unwrap();
        assert_eq!((status.state, status.expires_at), (State::Expired, expiry), "{protocol}");
    }
}

#[test]
fn an_expired_lock_cannot_be_adopted() {
    for protocol in BOTH {
        let ground = Ground::new();
        let lock = Settings::new(&ground.lock(), protocol).lock();
        let token = plant(protocol, &ground.lock(), long_ago());
        let names = ground.names();
        for attempt in ["at first", "once more"] {
            let error = lock.adopt(&token).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Lost, "{protocol}, {attempt}: {error}");
            assert_eq!(ground.names(), names, "{protocol}, {attempt}: a breaker removes it");
        }
    }
}

#[test]
fn only_the_token_that_holds_the_lock_adopts_it() {
    for protocol in BOTH {
        let ground = Ground::new();
        let lock = Settings::new(&ground.lock(), protocol).lock();
        let past = lock.acquire().unwrap();
        let past_token = past.token().clone();
        let free = lock.adopt(&Token::new(named("lock|host|1|2"))).map(drop);
        past.release().unwrap();
        let held = lock.acquire().unwrap();
        for (token, expected) in [
            (past_token, ErrorKind::NotHeld),
            (Token::new(named("lock|host.example|1|2")), ErrorKind::NotHeld),
            (Token::new(named("lock|host.example|1")), ErrorKind::Invalid),
            (Token::new(named("other|host.example|1|2")), ErrorKind::Invalid),
            (Token::new("lock"), ErrorKind::Invalid),
            (Token::new(""), ErrorKind::Invalid),
        ] {
            let error = lock.adopt(&token).unwrap_err();
            assert_eq!(error.kind(), expected, "{protocol}: {token:?}: {error}");
            assert!(error.to_string().contains(ground.lock().to_str().unwrap()), "{protocol}: {error}");
        }
        assert_eq!(free.unwrap_err().kind(), ErrorKind::NotHeld, "{protocol}: held by another");
        held.check().unwrap();
        held.release().unwrap();
        assert_eq!(
            lock.adopt(&Token::new(named("lock|h|1|2"))).unwrap_err().kind(),
            ErrorKind::NotHeld,
            "{protocol}: free"
        );
    }
}

/// What is left of the lock's time may be short against the lifetime that its new owner will give it: with `link`, a refresh has
/// set a shorter one here than the claim names.
#[test]
fn an_adopted_lock_with_keep_alive_is_held_from_the_start() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol).lifetime(HOUR);
        let guard = settings.lock().acquire().unwrap();
        guard.refresh_for(Duration::from_secs(15)).unwrap();
        let token = guard.leave();
        let guard = settings.keep_alive(true).lock().adopt(&token).unwrap();
        assert!(!guard.is_lost(), "{protocol}: of its 15 s next to nothing has passed");
        guard.release().unwrap_or_else(|e| panic!("{protocol}: {e}"));
    }
}

#[test]
fn an_operator_breaks_the_named_claim_and_no_other() {
    for protocol in BOTH {
        let ground = Ground::new();
        let lock = Settings::new(&ground.lock(), protocol).lock();
        let held = lock.acquire().unwrap();
        let error = lock.break_lock(&Which::Claim(Token::new(named("lock|host.example|1|2")))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotHeld, "{protocol}: {error}");
        assert_names_holder(&error, &held);
        let error = lock.break_lock(&Which::Claim(Token::new("lock"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{protocol}: {error}");
        let error = lock.break_lock(&Which::Expired).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{protocol}: {error}");
        assert_names_holder(&error, &held);
        held.check().unwrap();
        let broken = lock.break_lock(&Which::Claim(held.token().clone())).unwrap().unwrap();
        assert_eq!(&broken.holder.unwrap().token, held.token(), "{protocol}");
        assert!(held.check().unwrap_err().is_lost(), "{protocol}");
        assert_eq!(lock.break_lock(&Which::Any).unwrap().map(|s| s.state), None, "{protocol}: it is free");
    }
}

#[test]
fn an_operator_breaks_an_expired_lock_and_as_a_last_resort_any_lock() {
    for protocol in BOTH {
        let ground = Ground::new();
        let lock = Settings::new(&ground.lock(), protocol).grace(Duration::ZERO).lock();
        plant(protocol, &ground.lock(), long_ago());
        let broken = lock.break_lock(&Which::Expired).unwrap().unwrap();
        assert_eq!(broken.state, State::Expired, "{protocol}");
        assert_eq!(ground.names(), [""; 0], "{protocol}");
        plant(protocol, &ground.lock(), SystemTime::now() + HOUR);
        assert!(lock.break_lock(&Which::Expired).unwrap_err().is_timeout(), "{protocol}");
        let broken = lock.break_lock(&Which::Any).unwrap().unwrap();
        assert_eq!(broken.state, State::Held, "{protocol}");
        assert_eq!(ground.names(), [""; 0], "{protocol}");
    }
}

/// A clock was wrong when the lock was acquired, or somebody mistyped the lifetime.
#[test]
fn a_lock_that_expires_in_the_far_future_can_be_inspected_and_broken() {
    for protocol in BOTH {
        let ground = Ground::new();
        let lock = Settings::new(&ground.lock(), protocol).lock();
        plant(protocol, &ground.lock(), SystemTime::now() + 24 * 365 * 100 * HOUR);
        let status = lock.inspect().unwrap();
        assert_eq!(status.state, State::Held, "{protocol}");
        assert!(lock.acquire_with(&Wait::never()).unwrap_err().is_timeout(), "{protocol}");
        lock.break_lock(&Which::Claim(status.holder.unwrap().token)).unwrap().unwrap();
    }
}
