//! Whose clock stamps files, which of the set times a file system keeps, and how long a look stays valid.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::faults::{Arena, BOTH, Call, Fate, GRACE, LIFETIME, When};
use super::plain::Plain;
use crate::env::Env;
use crate::lock_path::LockPath;
use crate::options::Protocol;
use crate::protocol::judge::Judge;
use crate::protocol::look::look;
use crate::protocol::place::Place;
use crate::protocol::seen::Seen;
use crate::protocol::steps;
use crate::{ErrorKind, SEPARATOR, State, Wait, Which};

const MOMENT: Duration = Duration::from_secs(3);

fn on_unknown_clocks() -> Arena {
    let arena = Arena::new();
    arena.env.stamps_are_not_known.store(true, Ordering::SeqCst);
    arena
}

/// The bug: a contender was stopped between choosing its expiry and writing its claim, and then concluded that the file system
/// does not keep times. The consequence: it treated any lock as expired after its own lifetime and grace, however long that
/// lock's lifetime was. The mend: it concludes so only if a time that it set reads back differently.
#[test]
fn a_contender_that_is_stopped_while_it_creates_its_claim_breaks_no_lock_early() {
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

/// The bug: a contender judged a lock by the time after the look. The consequence: a contender that was stopped after the look
/// removed a live dir lock, which its holder had refreshed in between. The mend: the time before the look counts.
#[test]
fn a_contender_that_is_stopped_after_its_look_does_not_break_a_refreshed_lock() {
    for protocol in BOTH {
        let arena = Arena::new();
        let held = arena.rival(protocol).acquire();
        let token = held.token().to_string();
        let refreshed = std::sync::Arc::new(held);
        let refresher = refreshed.clone();
        // A look that finds a refreshed lock is complete, and no second look follows.
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
fn without_a_common_clock_a_lock_is_broken_after_a_watch_of_its_own_lifetime_and_the_grace() {
    for protocol in BOTH {
        for lifetime in [LIFETIME / 2, LIFETIME, LIFETIME * 6] {
            let arena = on_unknown_clocks();
            let rival = arena.builder(protocol).lifetime(lifetime).host("rival").build_in(arena.env.clone()).unwrap();
            let _ = rival.acquire_with(&Wait::never()).unwrap().leave();
            // By its mtime the lock is old.
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
fn a_contender_knows_when_a_lock_may_have_expired() {
    for protocol in BOTH {
        let arena = Arena::new();
        let _held = arena.rival(protocol).acquire();
        let (lock, looked) = (arena.lock(protocol), arena.env.now());
        let Seen::Lock(seen) = look(lock.place()).unwrap() else { panic!("{protocol}: it is held") };
        let mut stake = steps::stage(lock.place()).unwrap();
        let judged = Judge::new(lock.place()).judge(&mut stake, &seen, looked, false).unwrap().unwrap();
        let due = looked + LIFETIME + GRACE;
        assert!(judged.expires >= due - MOMENT && judged.expires <= due + MOMENT, "{protocol}: {judged:?}, {due:?}");
    }
}

#[test]
fn without_a_common_clock_a_waiter_knows_when_the_watch_may_be_over() {
    for protocol in BOTH {
        let arena = on_unknown_clocks();
        let _held = arena.rival(protocol).acquire();
        let (lock, looked) = (arena.lock(protocol), arena.env.now());
        let Seen::Lock(seen) = look(lock.place()).unwrap() else { panic!("{protocol}: it is held") };
        let judged = Judge::new(lock.place()).watch(&seen, looked).unwrap();
        assert!(judged.expires >= looked + LIFETIME + GRACE, "{protocol}: {judged:?}");
    }
}

#[test]
fn without_a_common_clock_each_refresh_restarts_the_watch() {
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
fn without_a_common_clock_a_longer_lifetime_that_was_set_later_counts() {
    for protocol in BOTH {
        let arena = on_unknown_clocks();
        let held = arena.rival(protocol).acquire();
        held.refresh_for(LIFETIME * 10).unwrap();
        // The holder may trust it as long as others treat it as held, and no longer.
        assert!(held.remaining() > LIFETIME * 9, "{protocol}: {:?}", held.remaining());
        let started = arena.env.now();
        drop(arena.lock(protocol).acquire_with(&Wait::up_to(LIFETIME * 11)).unwrap());
        assert!(held.is_lost(), "{protocol}: others broke it before its deadline");
        assert!(arena.env.now().since(started) >= LIFETIME * 9 + GRACE, "{protocol}");
    }
}

/// Where no clock is compared, contenders see by the entry's length that there was a refresh.
#[test]
fn without_a_common_clock_each_refresh_of_a_dir_lock_makes_its_entry_longer() {
    for (arena, is_longer) in [(on_unknown_clocks(), true), (Arena::new(), false)] {
        let held = arena.rival(Protocol::Dir).acquire();
        let length = || Plain.stat(&arena.path().join(held.token().as_os_str())).unwrap().len;
        for _ in 0..3 {
            let before = length();
            held.refresh().unwrap();
            assert_eq!(length() - before, u64::from(is_longer));
        }
        let holder = arena.lock(Protocol::Dir).inspect().unwrap().holder.unwrap();
        assert_eq!(holder.about.unwrap().lifetime, LIFETIME, "its content is read as before");
        held.release().unwrap();
    }
}

/// Once the entry is longer, others count the lifetime that it names.
#[test]
fn without_a_common_clock_a_refresh_that_fails_half_way_is_trusted_for_the_lifetime_that_the_lock_names() {
    for call in [Call::Append, Call::SetExpiry] {
        let arena = on_unknown_clocks();
        let held = arena.rival(Protocol::Dir).acquire();
        held.refresh_for(LIFETIME * 10).unwrap();
        let when = if call == Call::Append { When::After } else { When::Before };
        arena.env.once(call, when, |_, _| Fate::Fail(io::ErrorKind::TimedOut));
        held.refresh_for(LIFETIME * 10).unwrap_err();
        assert!(held.remaining() <= LIFETIME, "{call:?}: {:?}", held.remaining());
        held.check().unwrap();
        held.refresh().unwrap();
        held.release().unwrap();
    }
}

#[test]
fn without_a_common_clock_a_refresh_that_hangs_is_trusted_for_the_lifetime_that_the_lock_names() {
    let arena = on_unknown_clocks();
    let guard = arena.rival(Protocol::Dir).acquire();
    guard.refresh_for(LIFETIME * 10).unwrap();
    let loss = guard.loss();
    arena.env.once(Call::Append, When::After, move |env, _| {
        assert!(!loss.is_lost());
        env.sleep(LIFETIME);
        assert!(loss.is_lost(), "others may have broken it");
        Fate::GoOn
    });
    assert!(guard.refresh_for(LIFETIME * 10).unwrap_err().is_lost());
}

/// CephFS and SMB do this. The difference between ctime and mtime then proves nothing, so only the claim's name gives the
/// lifetime.
#[test]
fn a_longer_lifetime_is_not_trusted_if_no_ctime_is_before_its_mtime() {
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

/// The bug: a refresh of a dir lock lasted twice as long where no ctime is before its mtime.
#[test]
fn a_refresh_lasts_once_if_no_ctime_is_before_its_mtime() {
    let arena = Arena::new();
    arena.env.ctime_is_not_before_mtime.store(true, Ordering::SeqCst);
    let held = arena.rival(Protocol::Dir).acquire();
    held.refresh().unwrap();
    let left = arena.lock(Protocol::Dir).inspect().unwrap().remaining.unwrap();
    assert!(left <= LIFETIME + MOMENT && left >= held.remaining(), "{left:?}");
    held.leave();
    let started = arena.env.now();
    arena.lock(Protocol::Dir).acquire_with(&Wait::up_to(LIFETIME * 4)).unwrap().release().unwrap();
    let waited = arena.env.now().since(started);
    assert!(waited >= LIFETIME + GRACE - MOMENT && waited <= LIFETIME + GRACE + MOMENT, "{waited:?}");
}

#[test]
fn without_a_common_clock_a_dead_breakers_turn_still_ends() {
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
fn without_a_common_clock_the_error_tells_the_operator_so() {
    let arena = on_unknown_clocks();
    let token = arena.rival(Protocol::Link).acquire().leave();
    let lock = arena.lock(Protocol::Link);
    let errors = [lock.adopt(&token).unwrap_err(), lock.break_lock(&Which::Expired).unwrap_err()];
    for e in errors {
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
        assert!(e.to_string().contains("clocks of two machines cannot be compared"), "{e}");
    }
    // Only the machine that stamped the file has that clock.
    let there = arena.builder(Protocol::Link).host("rival").build_in(arena.env.clone()).unwrap();
    let _ = there.adopt(&token).unwrap().leave();
    lock.break_lock(&Which::Claim(token)).unwrap();
}

#[test]
fn a_refresh_that_the_file_system_only_reports_does_not_count() {
    for protocol in BOTH {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire_with(&Wait::never()).unwrap();
        arena.env.only_says_that_it_sets_times.store(true, Ordering::SeqCst);
        let mut left = LIFETIME;
        for time in [1, 1, 30].map(Duration::from_secs) {
            arena.env.sleep(time);
            let refreshed = guard.refresh();
            // With a lifetime of a second or two, the missing time could be due to rounding.
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
fn where_times_are_not_kept_a_link_lock_is_refused_and_a_dir_lock_works() {
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

/// The bug: a file system that cuts the mtime to whole seconds (9p) shortened the grace by up to a second. The mend: a holder
/// trusts only the expiry that the file system shows.
#[test]
fn a_holder_trusts_its_lock_only_until_the_shown_expiry() {
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

/// The bug (found by the simulation): while a refresh with a shorter lifetime was under way, the holder still trusted the longer
/// one. The consequence: the server carried the request out but its reply took long, and others broke the lock before the
/// holder's deadline. The mend: the shorter lifetime counts from before the request is sent.
#[test]
fn a_shorter_lifetime_binds_the_holder_before_its_request_is_sent() {
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
