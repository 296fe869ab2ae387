//! Errors of the file system where flufl.lock's own tests put them: what is reported, and what is left behind.

use std::io::ErrorKind as E;
use std::path::Path;

use super::faults::{Arena, BOTH, Call, Fate, GRACE, LIFETIME, When, sent_again};
use super::plain::Plain;
use crate::options::Protocol;
use crate::{ErrorKind, State, Wait};

#[test]
fn a_failed_look_at_a_held_lock_is_reported_and_the_lock_stays_held() {
    for protocol in BOTH {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire().unwrap();
        for ask in [|g: &crate::Guard| g.check(), |g: &crate::Guard| g.refresh()] {
            arena.env.once(Call::Stat, When::Before, |_, _| Fate::Fail(E::Other));
            assert_eq!(ask(&guard).unwrap_err().kind(), ErrorKind::Io, "{protocol}");
            ask(&guard).unwrap_or_else(|e| panic!("{protocol}: the second call succeeds: {e}"));
        }
        guard.release().unwrap();
    }
}

/// The bug: gocryptfs reports EIO of a directory that is removed while it is listed. The consequence: a contender gave up. The mend: it
/// looks again, unless what it looked at is still there, unchanged.
#[test]
fn a_look_that_fails_is_an_error_only_if_what_it_was_of_is_still_there() {
    let arena = Arena::new();
    let lock = arena.lock(Protocol::Dir);
    let _rival = arena.rival(Protocol::Dir).acquire();
    arena.env.once(Call::List, When::Before, |_, _| Fate::Fail(E::Other));
    assert_eq!(lock.inspect().unwrap_err().kind(), ErrorKind::Io);
    arena.env.once(Call::List, When::Before, |_, dir| {
        Plain.rename(dir, &dir.with_extension("away")).unwrap();
        Fate::Fail(E::Other)
    });
    assert_eq!(lock.inspect().unwrap().state, State::Free);
}

#[test]
fn a_refused_refresh_is_reported_and_the_lock_is_not_lost() {
    for protocol in BOTH {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire().unwrap();
        arena.env.once(Call::SetExpiry, When::Before, |_, _| Fate::Fail(E::PermissionDenied));
        assert_eq!(guard.refresh().unwrap_err().kind(), ErrorKind::Permission, "{protocol}");
        assert!(!guard.is_lost(), "{protocol}");
    }
}

#[test]
fn a_failed_attempt_is_reported_and_leaves_nothing() {
    let arena = Arena::new();
    arena.env.once(Call::Link, When::Before, |_, _| Fate::Fail(E::Other));
    assert_eq!(arena.lock(Protocol::Link).acquire().unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(arena.names(), [""; 0]);
}

#[test]
fn an_attempt_is_repeated_if_its_claim_was_not_found() {
    let arena = Arena::new();
    let mut errors = vec![E::StaleNetworkFileHandle, E::NotFound];
    arena.env.on_call(move |_, call, when, _| match (call, when) {
        (Call::Link, When::Before) => errors.pop().map_or(Fate::GoOn, Fate::Fail),
        _ => Fate::GoOn,
    });
    arena.lock(Protocol::Link).acquire().unwrap().release().unwrap();
    assert_eq!(arena.env.calls(Call::Link).len(), 3, "two attempts fail, and the third succeeds");
    assert_eq!(arena.names(), [""; 0]);
}

#[test]
fn a_lock_with_a_third_link_is_held() {
    let arena = Arena::new();
    let rival = arena.rival(Protocol::Link).acquire();
    let third = arena.dir.path().join("third");
    Plain.link(&arena.path(), &third).unwrap();
    assert!(arena.lock(Protocol::Link).acquire_with(&Wait::up_to(GRACE)).unwrap_err().is_timeout());
    rival.check().unwrap();
    rival.release().unwrap();
    arena.lock(Protocol::Link).acquire().unwrap().release().unwrap();
    assert_eq!(arena.names(), ["third"]);
}

#[test]
fn a_failed_look_during_a_wait_is_reported_and_leaves_no_claim() {
    for protocol in BOTH {
        let arena = Arena::new();
        let _rival = arena.rival(protocol).acquire();
        let before = arena.names();
        let mut has_waited = false;
        arena.env.on_call(move |_, call, when, _| {
            has_waited |= call == Call::Wait;
            if has_waited && (call, when) == (Call::Stat, When::Before) { Fate::Fail(E::Other) } else { Fate::GoOn }
        });
        let e = arena.lock(protocol).acquire_with(&Wait::up_to(LIFETIME / 2)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Io, "{protocol}: {e}");
        assert_eq!(arena.names(), before, "{protocol}");
    }
}

#[test]
fn a_release_that_meets_a_stale_handle_counts() {
    for protocol in BOTH {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire().unwrap();
        arena.env.once(Call::Unlink, When::After, |env, _| sent_again(env, E::StaleNetworkFileHandle));
        guard.release().unwrap();
        assert_eq!(arena.names(), [""; 0], "{protocol}");
    }
}

#[test]
fn a_claim_file_that_cannot_be_removed_does_not_keep_the_lock_held() {
    let arena = Arena::new();
    let guard = arena.lock(Protocol::Link).acquire().unwrap();
    let claim = refuse_to_unlink_claim(&arena, guard.token());
    guard.release().unwrap();
    assert_eq!(arena.names(), [claim], "the lock itself is free");
}

#[test]
fn a_broken_claim_that_cannot_be_removed_does_not_delay_its_breaker() {
    let arena = Arena::new();
    let token = arena.rival(Protocol::Link).acquire().leave();
    arena.env.sleep(LIFETIME + GRACE * 2);
    let claim = refuse_to_unlink_claim(&arena, &token);
    arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap().release().unwrap();
    assert_eq!(arena.names(), [claim]);
}

fn refuse_to_unlink_claim(arena: &Arena, token: &crate::Token) -> String {
    let claim = token.to_string();
    let refused = claim.clone();
    arena.env.on_call(move |_, call, when, path| {
        let is_claim = path.file_name() == Path::new(&refused).file_name();
        if (call, when) == (Call::Unlink, When::Before) && is_claim { Fate::Fail(E::Other) } else { Fate::GoOn }
    });
    claim
}
