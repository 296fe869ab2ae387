//! Whose clock stamps files, what is kept of the times that they are given, and what a look is worth later.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::faults::{Arena, BOTH, Call, Fate, GRACE, LIFETIME, When};
use super::plain::Plain;
use crate::env::Env;
use crate::lock_path::LockPath;
use crate::options::Protocol;
use crate::protocol::place::Place;
use crate::{ErrorKind, SEPARATOR, State, Wait, Which};

const MOMENT: Duration = Duration::from_secs(3);

fn on_unknown_clocks() -> Arena {
    let arena = Arena::new();
    arena.env.stamps_are_not_known.store(true, Ordering::SeqCst);
    arena
}

/// The bug: a contender that was held up between deciding on its expiry and writing its claim took the times of the file system
/// for unreliable. The consequence: from then on any lock counted as expired after the contender's own lifetime and grace,
/// however long the lock was made for. The mend: only a time that was set and read back differently says so.
#[test]
fn a_contender_that_is_held_up_while_it_makes_its_claim_breaks_no_lock_early() {
    for protocol in BOTH {
        let arena = Arena::new();
        let held = arena.builder(protocol).lifetime(LIFETIME * 60).host("rival").build_in(arena.env.clone()).unwrap();
        let held = held.acquire_with(&Wait::never()).unwrap();
        arena.env.once(Call::Fill, When::Before, |env, _| {
            env.sleep(MOMENT);
            Fate::GoOn
        });
        let e = arena.lock(protocol).acquire_with(&Wait::up_to(LIFETIME * 5)).unwrap_err();
        assert!(e.is_timeout(), "{protocol}: {e}");
        held.release().unwrap();
    }
}

/// The bug: a lock was judged by what the clock said after the look. The consequence: a contender that was stopped between the
/// two removed a live dir lock, which its holder had refreshed meanwhile. The mend: it is judged as of the look.
#[test]
fn a_contender_that_is_stopped_after_its_look_breaks_no_lock_that_was_refreshed_since() {
    for protocol in BOTH {
        let arena = Arena::new();
        let held = arena.rival(protocol).acquire();
        let token = held.token().to_string();
        let refreshed = std::sync::Arc::new(held);
        let refresher = refreshed.clone();
        // A look that finds a refreshed lock is a whole one, and no other follows it.
        let (mut has_waited, mut was_stopped) = (false, false);
        arena.env.on_call(move |env, call, when, _| {
            match (call, when) {
                (Call::Wait, When::After) if !std::mem::replace(&mut has_waited, true) => refresher.refresh().unwrap(),
                (Call::Read, When::After) if has_waited && !std::mem::replace(&mut was_stopped, true) => {
                    env.sleep(LIFETIME / 2);
                    refresher.refresh().unwrap();
                    env.sleep(LIFETIME / 2 + GRACE + MOMENT);
                }
                _ => {}
            }
            Fate::GoOn
        });
        let e = arena.lock(protocol).acquire_with(&Wait::up_to(LIFETIME)).unwrap_err();
        assert!(e.is_timeout(), "{protocol}: {e}");
        refreshed.check().unwrap();
        assert_eq!(arena.holder(), Some(token), "{protocol}");
    }
}

#[test]
fn where_clocks_cannot_be_compared_a_lock_is_broken_once_it_was_seen_unchanged_for_its_own_lifetime_and_the_grace() {
    for protocol in BOTH {
        for lifetime in [LIFETIME / 2, LIFETIME, LIFETIME * 6] {
            let arena = on_unknown_clocks();
            let rival = arena.builder(protocol).lifetime(lifetime).host("rival").build_in(arena.env.clone()).unwrap();
            let _ = rival.acquire_with(&Wait::never()).unwrap().leave();
            // However old it looks.
            arena.env.sleep(LIFETIME * 100);
            let e = arena.lock(protocol).acquire_with(&Wait::never()).unwrap_err();
            assert!(e.is_timeout(), "{protocol}, {lifetime:?}: {e}");
            let status = arena.lock(protocol).inspect().unwrap();
            assert_eq!((status.state, status.available), (State::Expired, false));
            let started = arena.env.now();
            drop(arena.lock(protocol).acquire_with(&Wait::up_to(lifetime * 2 + GRACE)).unwrap());
            let waited = arena.env.now().since(started);
            assert!(waited >= lifetime + GRACE, "{protocol}, {lifetime:?}: after {waited:?}");
        }
    }
}

#[test]
fn where_clocks_cannot_be_compared_every_refresh_starts_the_watch_anew() {
    for protocol in BOTH {
        let arena = on_unknown_clocks();
        let held = arena.rival(protocol).acquire();
        let refresher = std::sync::Arc::new(held);
        let held = refresher.clone();
        let mut last = arena.env.now();
        arena.env.on_call(move |env, call, when, _| {
            if (call, when) == (Call::Wait, When::After) && env.now().since(last) > LIFETIME / 3 {
                last = env.now();
                refresher.refresh().unwrap();
            }
            Fate::GoOn
        });
        let e = arena.lock(protocol).acquire_with(&Wait::up_to(LIFETIME * 5)).unwrap_err();
        assert!(e.is_timeout(), "{protocol}: {e}");
        held.check().unwrap();
    }
}

#[test]
fn where_clocks_cannot_be_compared_a_longer_lifetime_that_was_set_later_counts() {
    for protocol in BOTH {
        let arena = on_unknown_clocks();
        let held = arena.rival(protocol).acquire();
        held.refresh_for(LIFETIME * 10).unwrap();
        // As long as others count, its holder may trust it, and no longer.
        assert!(held.remaining() > LIFETIME * 9, "{protocol}: {:?}", held.remaining());
        let started = arena.env.now();
        drop(arena.lock(protocol).acquire_with(&Wait::up_to(LIFETIME * 11)).unwrap());
        assert!(held.is_lost(), "{protocol}: broken before its deadline");
        assert!(arena.env.now().since(started) >= LIFETIME * 9 + GRACE, "{protocol}");
    }
}

/// As CephFS and SMB do: then the difference between the two tells nothing, and only the claim's name tells the lifetime.
#[test]
fn where_no_ctime_lies_before_its_mtime_a_longer_lifetime_is_not_trusted() {
    for protocol in BOTH {
        let arena = on_unknown_clocks();
        arena.env.ctime_is_not_before_mtime.store(true, Ordering::SeqCst);
        let held = arena.rival(protocol).acquire();
        held.refresh_for(LIFETIME * 10).unwrap();
        assert!(held.remaining() <= LIFETIME * 17 / 16, "{protocol}: {:?}", held.remaining());
        let started = arena.env.now();
        drop(arena.lock(protocol).acquire_with(&Wait::up_to(LIFETIME * 2)).unwrap());
        assert!(held.is_lost() && arena.env.now().since(started) >= LIFETIME + GRACE, "{protocol}");
    }
}

#[test]
fn where_clocks_cannot_be_compared_a_dead_breakers_turn_comes_to_an_end() {
    let arena = on_unknown_clocks();
    arena.rival(Protocol::Link).acquire().leave();
    let lock = arena.lock(Protocol::Dir);
    let place = Place {
        path: LockPath::new(&arena.path(), SEPARATOR).unwrap().of_break_lock(),
        host: "rival".into(),
        ..lock.place().clone()
    };
    crate::acquire::acquire(&place, &Wait::never()).unwrap();
    arena.lock(Protocol::Link).acquire_with(&Wait::up_to(LIFETIME * 4)).unwrap().release().unwrap();
}

#[test]
fn where_clocks_cannot_be_compared_an_operator_is_told_so() {
    let arena = on_unknown_clocks();
    let token = arena.rival(Protocol::Link).acquire().leave();
    let lock = arena.lock(Protocol::Link);
    let told = [lock.adopt(&token).unwrap_err(), lock.break_lock(&Which::Expired).unwrap_err()];
    for e in told {
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
        assert!(e.to_string().contains("clocks of two machines cannot be compared"), "{e}");
    }
    // Its own machine has the clock that stamped it.
    let there = arena.builder(Protocol::Link).host("rival").build_in(arena.env.clone()).unwrap();
    let _ = there.adopt(&token).unwrap().leave();
    lock.break_lock(&Which::Claim(token)).unwrap();
}

#[test]
fn a_refresh_that_the_file_system_only_pretends_to_make_does_not_count() {
    for protocol in BOTH {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire_with(&Wait::never()).unwrap();
        arena.env.only_says_that_it_sets_times.store(true, Ordering::SeqCst);
        let mut left = LIFETIME;
        for time in [1, 1, 30].map(Duration::from_secs) {
            arena.env.sleep(time);
            let refreshed = guard.refresh();
            // Of a second or two, too little is missing to tell it from a time that was rounded.
            if time > MOMENT {
                let e = refreshed.unwrap_err();
                assert_eq!(e.kind(), ErrorKind::Unsupported, "{protocol}: {e}");
            }
            left -= time;
            assert!(guard.remaining() <= left, "{protocol}: {:?}", guard.remaining());
        }
        arena.env.sleep(left);
        assert!(guard.is_lost(), "{protocol}");
    }
}

#[test]
fn a_link_lock_is_refused_where_times_are_not_kept_and_a_dir_lock_needs_none() {
    let arena = Arena::new();
    arena.env.ignores_times.store(true, Ordering::SeqCst);
    let e = arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
    assert_eq!(arena.names(), [""; 0]);
    let guard = arena.lock(Protocol::Dir).acquire_with(&Wait::never()).unwrap();
    arena.env.sleep(LIFETIME / 2);
    guard.refresh().unwrap();
    arena.env.sleep(LIFETIME - MOMENT);
    assert!(!guard.is_lost());
    assert!(arena.rival(Protocol::Dir).try_acquire().is_none());
}

/// The bug: a file system that cuts the mtime to whole seconds (9p) took up to one from the grace. The mend: a holder gives up
/// what is not shown.
#[test]
fn a_holder_trusts_its_lock_no_longer_than_its_cut_expiry_shows() {
    for _ in 0..8 {
        let arena = Arena::new();
        arena.env.cuts_times.store(true, Ordering::SeqCst);
        let guard = arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap();
        for refreshes in 0..3 {
            let (shown, left) = (Plain.stat(&arena.path()).unwrap().mtime, guard.remaining());
            assert!(shown.since(arena.env.wall_clock()) + Duration::from_millis(1) > left, "{refreshes}: {left:?}");
            arena.env.sleep(Duration::from_millis(330));
            guard.refresh().unwrap();
        }
    }
}

/// The bug, found by the simulation: while a refresh with a shorter lifetime was under way, its holder trusted the old one. The
/// consequence: the request was carried out, its reply took long, and others broke the lock under its holder. The mend: the
/// shorter one counts from before the request is sent.
#[test]
fn a_shorter_lifetime_binds_its_holder_while_it_is_being_set() {
    for protocol in BOTH {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire_with(&Wait::never()).unwrap();
        let (loss, short) = (guard.loss(), LIFETIME / 6);
        arena.env.once(Call::SetExpiry, When::After, move |env, _| {
            env.sleep(short);
            assert!(loss.is_lost(), "{protocol}: others may have broken it");
            Fate::GoOn
        });
        assert!(guard.refresh_for(short).unwrap_err().is_lost(), "{protocol}");
    }
}
