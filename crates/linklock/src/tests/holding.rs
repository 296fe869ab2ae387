//! Faults while a lock is held, refreshed and released.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::faults::{Arena, BOTH, Call, Fate, GRACE, LIFETIME, When, sent_again};
use super::plain::Plain;
use crate::env::Env;
use crate::env::os::OsEnv;
use crate::options::Protocol;
use crate::{ErrorKind, SEPARATOR, Wait, Which};

const MOMENT: Duration = Duration::from_secs(3);

/// Tests with keep-alive run one after the other: one thread refreshes all their locks, and one test makes it hang.
pub(super) static KEEPER: Mutex<()> = Mutex::new(());

#[test]
fn a_refresh_moves_the_deadline_on() {
    for protocol in BOTH {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire().unwrap();
        for _ in 0..4 {
            arena.env.sleep(LIFETIME / 2);
            guard.refresh().unwrap();
            assert!(guard.remaining() > LIFETIME - MOMENT, "{protocol}");
        }
        guard.refresh_for(LIFETIME * 2).unwrap();
        assert_eq!(guard.lifetime(), LIFETIME * 2);
        arena.env.sleep(LIFETIME + GRACE + MOMENT);
        assert!(
            arena.lock(protocol).acquire_with(&Wait::never()).unwrap_err().is_timeout(),
            "{protocol}: others see it too"
        );
        guard.release().unwrap();
    }
}

#[test]
fn a_refresh_after_the_servers_clock_jumped_ahead_lasts_a_full_lifetime() {
    for protocol in BOTH {
        let arena = Arena::new();
        arena.env.server_ahead_s.store(1000, Ordering::SeqCst);
        arena.env.set_back_s.store(1000, Ordering::SeqCst);
        let guard = arena.lock(protocol).acquire().unwrap();
        arena.env.set_back_s.store(0, Ordering::SeqCst);
        guard.refresh().unwrap();
        assert!(
            arena.lock(protocol).acquire_with(&Wait::never()).unwrap_err().is_timeout(),
            "{protocol}: it was broken"
        );
        guard.check().unwrap();
        guard.release().unwrap();
    }
}

#[test]
fn a_slow_refresh_does_not_shorten_later_ones() {
    for protocol in BOTH {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire().unwrap();
        arena.env.once(Call::SetExpiry, When::After, |env, _| {
            env.sleep(2 * MOMENT);
            Fate::GoOn
        });
        guard.refresh().unwrap();
        guard.refresh().unwrap();
        assert!(guard.remaining() > LIFETIME - MOMENT, "{protocol}: {:?}", guard.remaining());
    }
}

#[test]
fn a_lock_is_lost_at_its_deadline_and_not_revived() {
    for protocol in BOTH {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire().unwrap();
        arena.env.sleep(LIFETIME);
        assert!(guard.is_lost() && guard.remaining().is_zero(), "{protocol}");
        assert!(guard.refresh().unwrap_err().is_lost(), "{protocol}");
        assert_eq!(arena.env.calls(Call::SetExpiry).len(), 0, "{protocol}: no request was sent");
        assert!(guard.check().unwrap_err().is_lost(), "{protocol}");
        assert!(guard.loss().wait(), "{protocol}");
    }
}

#[test]
fn a_lock_is_lost_if_its_refresh_returns_after_the_deadline() {
    for when in [When::Before, When::After] {
        for protocol in BOTH {
            let arena = Arena::new();
            let guard = arena.lock(protocol).acquire().unwrap();
            arena.env.sleep(LIFETIME / 2);
            arena.env.once(Call::SetExpiry, when, |env, _| {
                env.sleep(LIFETIME * 3 / 4);
                Fate::GoOn
            });
            assert!(guard.refresh().unwrap_err().is_lost(), "{protocol}, {when:?}");
            assert!(guard.is_lost(), "{protocol}, {when:?}: it stays lost");
            let e = guard.release().unwrap_err();
            assert!(e.error().is_lost(), "{protocol}, {when:?}");
            // The new expiry on disk does not help: after the old one, others may have begun to break the lock.
            let link_stays = arena.names() == ["job.lock"];
            assert!(protocol == Protocol::Dir || link_stays, "{protocol}, {when:?}: {:?}", arena.names());
        }
    }
}

/// A thread may stop between its last look at the clock and the moment in which it makes the refresh known.
#[test]
fn a_refresh_does_not_count_if_another_thread_has_seen_the_deadline_pass() {
    for protocol in BOTH {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire().unwrap();
        let loss = guard.loss();
        arena.env.once(Call::SetExpiry, When::After, move |env, _| {
            assert!(env.later(LIFETIME, || loss.is_lost()));
            Fate::GoOn
        });
        assert!(guard.refresh().unwrap_err().is_lost(), "{protocol}");
        assert!(guard.is_lost(), "{protocol}");
    }
}

#[test]
fn a_refresh_that_fails_may_be_tried_again() {
    for protocol in BOTH {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire().unwrap();
        arena.env.once(Call::SetExpiry, When::After, |_, _| Fate::Fail(io::ErrorKind::TimedOut));
        let e = guard.refresh().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Io, "{protocol}: {e}");
        assert!(!guard.is_lost(), "{protocol}");
        guard.refresh().unwrap();
        guard.release().unwrap();
    }
}

#[test]
fn a_shorter_lifetime_counts_even_if_the_reply_was_lost() {
    for protocol in BOTH {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire().unwrap();
        arena.env.once(Call::SetExpiry, When::After, |_, _| Fate::Fail(io::ErrorKind::TimedOut));
        guard.refresh_for(MOMENT).unwrap_err();
        assert!(guard.remaining() <= MOMENT, "{protocol}: the shorter expiry is on disk");
    }
}

#[test]
fn a_refresh_of_a_broken_lock_reports_it_lost() {
    for protocol in BOTH {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire().unwrap();
        arena.lock(protocol).break_lock(&Which::Any).unwrap();
        let rival = arena.rival(protocol).acquire();
        let expiry = rival.expires_at();
        assert!(guard.refresh().unwrap_err().is_lost(), "{protocol}");
        assert!(guard.is_lost(), "{protocol}");
        assert!(guard.release().unwrap_err().error().is_lost(), "{protocol}");
        assert_eq!(rival.expires_at(), expiry);
        rival.check().unwrap_or_else(|e| panic!("{protocol}: the successor was touched: {e}"));
    }
}

#[test]
fn a_lock_that_was_only_moved_away_is_lost_at_the_next_refresh() {
    let arena = Arena::new();
    let guard = arena.lock(Protocol::Link).acquire().unwrap();
    Plain.rename(&arena.path(), &arena.dir.path().join("aside")).unwrap();
    assert!(guard.refresh().unwrap_err().is_lost(), "the claim's file alone does not hold the lock");
}

#[test]
fn a_lock_whose_claim_file_was_removed_is_lost() {
    let arena = Arena::new();
    let guard = arena.lock(Protocol::Link).acquire().unwrap();
    Plain.unlink(&arena.dir.path().join(guard.token().as_os_str())).unwrap();
    // The lock could not be refreshed. And a stale cache of an NFS client shows a broken lock in the same way.
    assert!(guard.check().unwrap_err().is_lost());
}

#[test]
fn a_dir_lock_whose_expiry_a_late_request_set_back_has_not_expired() {
    let arena = Arena::new();
    let guard = arena.lock(Protocol::Dir).acquire().unwrap();
    arena.env.sleep(LIFETIME / 2);
    guard.refresh().unwrap();
    arena.env.sleep(LIFETIME / 2);
    // A copy of the request that set the first expiry, or of the write before it, arrives late.
    let long_ago = OsEnv.wall_clock();
    Plain.set_expiry(&arena.path().join(guard.token().as_os_str()), long_ago).unwrap();
    arena.env.sleep(GRACE + MOMENT);
    assert!(arena.lock(Protocol::Dir).acquire_with(&Wait::never()).unwrap_err().is_timeout());
    guard.check().unwrap();
}

#[test]
fn after_its_deadline_a_holder_does_not_touch_the_lock_path() {
    let arena = Arena::new();
    let guard = arena.lock(Protocol::Link).acquire().unwrap();
    arena.env.sleep(LIFETIME);
    assert!(guard.release().unwrap_err().error().is_lost());
    assert_eq!(arena.names(), ["job.lock"], "only the claim's file is removed, not the shared name");
}

#[test]
fn a_pause_between_the_last_check_and_the_deadline_does_not_let_a_release_through() {
    let arena = Arena::new();
    let guard = arena.lock(Protocol::Link).acquire().unwrap();
    arena.env.once(Call::Stat, When::After, |env, _| {
        env.sleep(LIFETIME);
        Fate::GoOn
    });
    assert!(guard.release().unwrap_err().error().is_lost());
    assert_eq!(arena.names(), ["job.lock"]);
}

#[test]
fn a_release_leaves_the_successors_lock_alone() {
    for protocol in BOTH {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire().unwrap();
        arena.lock(protocol).break_lock(&Which::Any).unwrap();
        let rival = arena.rival(protocol).acquire();
        assert!(guard.release().unwrap_err().error().is_lost(), "{protocol}");
        rival.check().unwrap();
    }
}

#[test]
fn a_release_removes_no_dir_lock_that_appears_just_before_the_removal() {
    let arena = Arena::new();
    let guard = arena.lock(Protocol::Link).acquire().unwrap();
    let (rival, theirs) = (arena.rival(Protocol::Dir), Arc::new(Mutex::new(None)));
    let taken = theirs.clone();
    arena.env.once(Call::Unlink, When::Before, move |_, lock| {
        Plain.unlink(lock).unwrap();
        *taken.lock().unwrap() = Some(rival.acquire());
        Fate::GoOn
    });
    assert!(guard.release().unwrap_err().error().is_lost());
    assert_eq!(arena.names(), ["job.lock"], "our claim is removed, their lock stays");
    theirs.lock().unwrap().take().unwrap().check().unwrap();
}

#[test]
fn a_successor_with_the_same_inode_number_is_not_taken_for_our_lock() {
    let arena = Arena::new();
    let guard = arena.lock(Protocol::Link).acquire().unwrap();
    // A cleaner removes the claim, and an operator the lock. Here the same file comes back as another's lock.
    let (claim, lock) = (arena.dir.path().join(guard.token().as_os_str()), arena.path());
    let other = arena.dir.path().join(["job.lock", "rival", "1", "5"].join(&SEPARATOR.to_string()));
    Plain.rename(&claim, &other).unwrap();
    write(&lock, other.to_str().unwrap());
    assert!(guard.check().unwrap_err().is_lost());
    assert!(guard.release().unwrap_err().error().is_lost());
    assert!(Plain.stat(&lock).is_ok(), "the other's lock stays");
}

#[expect(clippy::disallowed_methods, reason = "it acts for a rival")]
fn write(path: &std::path::Path, content: &str) {
    std::fs::write(path, content).unwrap();
}

#[test]
fn a_lock_whose_times_were_touched_by_hand_is_still_ours() {
    let arena = Arena::new();
    let guard = arena.lock(Protocol::Link).acquire().unwrap();
    Plain.set_expiry(&arena.path(), OsEnv.wall_clock() + LIFETIME * 5).unwrap();
    guard.check().unwrap();
    guard.release().unwrap();
    assert_eq!(arena.names(), [""; 0]);
}

#[test]
fn a_release_counts_even_if_its_reply_is_lost() {
    for protocol in BOTH {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire().unwrap();
        arena.env.once(Call::Unlink, When::After, |env, _| sent_again(env, io::ErrorKind::NotFound));
        guard.release().unwrap();
        assert_eq!(arena.names(), [""; 0], "{protocol}");
    }
}

#[test]
fn a_dir_release_looks_again_if_a_stale_cache_says_not_found() {
    for held in [Duration::ZERO, MOMENT] {
        let arena = Arena::new();
        let guard = arena.lock(Protocol::Dir).acquire().unwrap();
        arena.env.sleep(held);
        // A client that trusts its stale cache does not even ask the server.
        arena.env.once(Call::Unlink, When::Before, |_, _| Fate::Fail(io::ErrorKind::NotFound));
        guard.release().unwrap();
        assert_eq!(arena.names(), [""; 0], "{held:?}");
    }
}

#[test]
fn a_release_right_after_the_acquisition_sends_no_second_query() {
    for protocol in BOTH {
        let arena = Arena::new();
        let asked_at_release = |held: Duration| {
            let guard = arena.lock(protocol).acquire().unwrap();
            arena.env.sleep(held);
            let before = arena.env.asked.load(Ordering::SeqCst);
            guard.release().unwrap();
            arena.env.asked.load(Ordering::SeqCst) - before
        };
        assert_eq!(asked_at_release(MOMENT), 1, "{protocol}");
        // On a busy machine a cycle may take longer than that.
        assert!((0..20).any(|_| asked_at_release(Duration::ZERO) == 0), "{protocol}");
    }
}

#[test]
fn a_release_after_the_lock_was_moved_away_leaves_the_successors_lock_alone() {
    let arena = Arena::new();
    let guard = arena.lock(Protocol::Link).acquire().unwrap();
    Plain.rename(&arena.path(), &arena.dir.path().join("aside")).unwrap();
    let rival = arena.rival(Protocol::Link).acquire();
    assert!(guard.release().unwrap_err().error().is_lost());
    rival.check().unwrap();
}

/// NFS 4 has one request that removes both files and empty directories.
#[test]
fn a_dir_release_removes_no_link_lock_where_one_request_removes_files_and_directories() {
    let arena = Arena::on_nfs_4_in_a_sticky_directory();
    let guard = arena.lock(Protocol::Dir).acquire().unwrap();
    let (path, rival, theirs) = (arena.path(), arena.rival(Protocol::Link), Arc::new(Mutex::new(None)));
    let taken = theirs.clone();
    // The lock path is an empty directory now, just before its removal.
    arena.env.on_call(move |_, call, when, removed| {
        if (call, when) == (Call::RmDir, When::Before) && removed == path {
            *taken.lock().unwrap() = rival.try_acquire();
        }
        Fate::GoOn
    });
    guard.release().unwrap();
    if let Some(theirs) = theirs.lock().unwrap().take() {
        theirs.check().unwrap();
    }
    assert_eq!(arena.names(), [""; 0]);
}

#[test]
fn a_late_clearing_of_the_lock_path_removes_no_new_lock_or_directory() {
    let paused = [(Call::Unlink, Duration::ZERO), (Call::Stat, LIFETIME)];
    // On Windows nothing distinguishes our directories from a user's own.
    let is_lock = if cfg!(unix) { &[true, false][..] } else { &[true] };
    for ((call, pause), is_lock) in paused.into_iter().flat_map(|at| is_lock.iter().map(move |is| (at, *is))) {
        let arena = Arena::on_nfs_4_in_a_sticky_directory();
        let guard = arena.lock(Protocol::Dir).acquire().unwrap();
        let (path, rival, theirs) = (arena.path(), arena.rival(Protocol::Link), Arc::new(Mutex::new(None)));
        let taken = theirs.clone();
        // Right after the release; or after the look at the break lock, with a pause longer than a turn.
        arena.env.on_call(move |env, c, when, at| {
            if (c, when) == (call, When::After) && at.starts_with(&path) && Plain.rmdir(&path).is_ok() {
                env.sleep(pause);
                if is_lock {
                    *taken.lock().unwrap() = rival.try_acquire();
                } else {
                    Plain.mkdir(&path).unwrap();
                }
            }
            Fate::GoOn
        });
        let _ = guard.release();
        if is_lock {
            theirs.lock().unwrap().take().unwrap().check().unwrap();
        } else {
            Plain.rmdir(&arena.path()).unwrap();
        }
    }
}

#[test]
fn a_release_that_fails_gives_the_guard_back() {
    for protocol in BOTH {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire().unwrap();
        arena.env.once(Call::Unlink, When::Before, |_, _| Fate::Fail(io::ErrorKind::TimedOut));
        let failed = guard.release().unwrap_err();
        assert_eq!(failed.error().kind(), ErrorKind::Io, "{protocol}: {failed}");
        let (_, guard) = failed.into_parts();
        assert!(!guard.is_lost());
        guard.release().unwrap();
        assert_eq!(arena.names(), [""; 0], "{protocol}");
    }
}

#[test]
fn a_loss_is_reported_even_while_a_refresh_hangs() {
    let _alone = KEEPER.lock().unwrap_or_else(PoisonError::into_inner);
    let arena = Arena::new();
    let (hang, until_end) = mpsc::channel::<()>();
    let until_end = Mutex::new(until_end);
    let (hanging, is_hanging) = mpsc::channel();
    arena.env.on_call(move |_, call, when, _| {
        if (call, when) == (Call::SetExpiry, When::Before) {
            hanging.send(()).unwrap();
            let _ = until_end.lock().unwrap().recv();
        }
        Fate::GoOn
    });
    let lifetime = Duration::from_millis(600);
    let lock = arena.builder(Protocol::Link).lifetime(lifetime).keep_alive(true).build_in(arena.env.clone()).unwrap();
    let guard = lock.acquire().unwrap();
    is_hanging.recv().unwrap();
    let deadline = OsEnv.now() + lifetime;
    assert!(guard.loss().wait(), "lost, not released");
    assert!(OsEnv.now() < deadline && guard.is_lost());
    drop(hang);
    assert!(guard.refresh().unwrap_err().is_lost(), "the refresh that came back late does not revive it");
}

#[test]
fn keep_alive_survives_temporary_errors() {
    let _alone = KEEPER.lock().unwrap_or_else(PoisonError::into_inner);
    let arena = Arena::new();
    let tries = Arc::new(Mutex::new(0));
    let counted = tries.clone();
    arena.env.on_call(move |_, call, when, _| {
        if (call, when) != (Call::SetExpiry, When::Before) {
            return Fate::GoOn;
        }
        let mut tries = counted.lock().unwrap();
        *tries += 1;
        // Two of three refreshes fail.
        if *tries % 3 == 0 { Fate::GoOn } else { Fate::Fail(io::ErrorKind::TimedOut) }
    });
    let lifetime = Duration::from_millis(900);
    let lock = arena.builder(Protocol::Link).lifetime(lifetime).keep_alive(true).build_in(arena.env.clone()).unwrap();
    let guard = lock.acquire().unwrap();
    assert_eq!(guard.loss().wait_timeout(3 * lifetime), None, "still held after three lifetimes");
    assert!(*tries.lock().unwrap() >= 6, "some refreshes failed");
    guard.release().unwrap();
}

#[test]
fn a_lock_that_cannot_be_refreshed_is_given_up_before_its_deadline() {
    let _alone = KEEPER.lock().unwrap_or_else(PoisonError::into_inner);
    let arena = Arena::new();
    arena.env.on_call(|_, call, when, _| match (call, when) {
        (Call::SetExpiry, When::Before) => Fate::Fail(io::ErrorKind::TimedOut),
        _ => Fate::GoOn,
    });
    let lifetime = Duration::from_millis(600);
    let lock = arena.builder(Protocol::Link).lifetime(lifetime).keep_alive(true).build_in(arena.env.clone()).unwrap();
    let before = OsEnv.now();
    let guard = lock.acquire().unwrap();
    assert!(guard.loss().wait());
    assert!(OsEnv.now().since(before) < lifetime, "the holder has time left to stop");
    guard.release().unwrap();
    assert_eq!(arena.names(), [""; 0], "and to release the lock in order");
}

#[test]
fn a_guard_that_is_dropped_releases_its_lock() {
    for protocol in BOTH {
        let arena = Arena::new();
        drop(arena.lock(protocol).acquire().unwrap());
        assert_eq!(arena.names(), [""; 0], "{protocol}");
    }
}

#[test]
fn a_lock_whose_guard_was_left_is_adopted_by_its_token() {
    for protocol in BOTH {
        let arena = Arena::new();
        let lock = arena.lock(protocol);
        let token = lock.acquire().unwrap().leave();
        arena.env.sleep(LIFETIME / 2);
        let guard = lock.adopt(&token).unwrap();
        assert!(guard.remaining() <= LIFETIME / 2, "{protocol}: adoption does not extend the lifetime");
        guard.refresh().unwrap();
        let token = guard.leave();
        arena.env.sleep(LIFETIME - MOMENT * 2);
        lock.adopt(&token).unwrap().release().unwrap();
        assert_eq!(arena.names(), [""; 0], "{protocol}");
        assert_eq!(lock.adopt(&token).unwrap_err().kind(), ErrorKind::NotHeld, "{protocol}");
    }
}

#[test]
fn an_expired_lock_cannot_be_adopted() {
    for protocol in BOTH {
        let arena = Arena::new();
        let lock = arena.lock(protocol);
        let token = lock.acquire().unwrap().leave();
        arena.env.sleep(LIFETIME);
        assert!(lock.adopt(&token).unwrap_err().is_lost(), "{protocol}");
    }
}
