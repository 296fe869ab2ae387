//! Fencing tokens, and what could make them go back.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::faults::{Arena, BOTH, Call, Fate, GRACE, LIFETIME, When};
use super::plain::{Plain, at};
use crate::env::Env;
use crate::env::os::OsEnv;
use crate::options::Protocol;
use crate::{ErrorKind, Wait, Which};

/// Its name.
const COUNTER: &str = if cfg!(windows) { "job.lock^fence" } else { "job.lock|fence" };

fn counter(arena: &Arena) -> PathBuf {
    arena.dir.path().join(COUNTER)
}

/// The numbers, or whatever else is in the counter.
fn numbers(arena: &Arena) -> Vec<String> {
    let mut names: Vec<_> =
        Plain.list(&counter(arena)).unwrap().into_iter().map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// Takes the lock, gives it back, and says its number.
fn draw(arena: &Arena, protocol: Protocol) -> u64 {
    let guard =
        arena.builder(protocol).fence(true).build_in(arena.env.clone()).unwrap().acquire_with(&Wait::never()).unwrap();
    let number = guard.fencing_token().unwrap();
    guard.release().unwrap();
    number
}

#[test]
fn numbers_grow_from_one_acquisition_to_the_next_whatever_the_protocol() {
    let arena = Arena::new();
    let drawn: Vec<_> = (0..20).map(|n| draw(&arena, BOTH[n % 2])).collect();
    assert!(drawn.is_sorted_by(|a, b| a < b), "{drawn:?}");
    assert_eq!(numbers(&arena), [drawn[19].to_string()], "only the greatest stays");
    assert_eq!(arena.names(), [COUNTER], "only the counter stays");
}

#[test]
fn a_lock_without_fencing_has_no_number_and_no_counter() {
    let arena = Arena::new();
    assert_eq!(arena.lock(Protocol::Dir).acquire_with(&Wait::never()).unwrap().fencing_token(), None);
    assert_eq!(arena.names(), [""; 0]);
}

#[test]
fn a_counter_that_was_cleaned_away_goes_on_above_all_that_it_gave() {
    let arena = Arena::new();
    let before: Vec<_> = (0..5).map(|_| draw(&arena, Protocol::Dir)).collect();
    Plain.rmdir(&counter(&arena).join(before[4].to_string())).unwrap();
    Plain.rmdir(&counter(&arena)).unwrap();
    let after = draw(&arena, Protocol::Dir);
    assert!(before.iter().all(|number| *number < after), "{before:?}, then {after}");
}

#[test]
fn a_number_from_the_future_is_exceeded() {
    let arena = Arena::new();
    draw(&arena, Protocol::Link);
    let far = 2_000_000_000_000_000_u64;
    Plain.mkdir(&counter(&arena).join(far.to_string())).unwrap();
    assert_eq!(draw(&arena, Protocol::Link), far + 1);
    assert_eq!(numbers(&arena), [(far + 1).to_string()]);
}

#[test]
fn names_that_are_no_numbers_of_ours_are_left_alone() {
    let arena = Arena::new();
    draw(&arena, Protocol::Dir);
    let others = ["+9000000000000000000", "09000000000000000000", "9223372036854775808", "README"];
    for name in others {
        Plain.mkdir(&counter(&arena).join(name)).unwrap();
    }
    let number = draw(&arena, Protocol::Dir).to_string();
    assert_eq!(number.len(), 16, "microseconds of this century, and not one more than another's: {number}");
    let mut expected = [&others[..], &[&number]].concat();
    expected.sort_unstable();
    assert_eq!(numbers(&arena), expected);
}

#[test]
fn beyond_the_greatest_number_there_is_none() {
    let arena = Arena::new();
    draw(&arena, Protocol::Dir);
    Plain.mkdir(&counter(&arena).join(i64::MAX.to_string())).unwrap();
    let error = arena.builder(Protocol::Dir).fence(true).build().unwrap().acquire().unwrap_err();
    assert!(error.to_string().contains(&i64::MAX.to_string()), "{error}");
    assert_eq!(arena.names(), [COUNTER], "the lock is free");
}

#[test]
fn a_lock_that_is_broken_before_its_number_was_seen_gets_none() {
    for protocol in BOTH {
        for when in [When::Before, When::After] {
            let arena = Arena::new();
            let first = draw(&arena, protocol);
            let operator = arena.lock(protocol);
            let rival = arena.rival(protocol);
            let theirs = Arc::new(Mutex::new(None));
            let taken = Arc::clone(&theirs);
            // No time passes: what the clocks say does not give it away.
            arena.env.on_call(move |_, call, at, path| {
                if call == Call::MkDir && at == when && is_number(path) && taken.lock().unwrap().is_none() {
                    operator.break_lock(&Which::Any).unwrap();
                    *taken.lock().unwrap() = Some(rival.acquire());
                }
                Fate::GoOn
            });
            let fenced = arena.builder(protocol).fence(true).build_in(arena.env.clone()).unwrap();
            let error = fenced.acquire_with(&Wait::never()).unwrap_err();
            assert!(error.is_timeout(), "{protocol}, {when:?}: {error}");
            let theirs = theirs.lock().unwrap().take().unwrap();
            theirs.check().unwrap_or_else(|e| panic!("{protocol}, {when:?}: the rival's lock was harmed: {e}"));
            theirs.release().unwrap();
            arena.env.on_call(|_, _, _, _| Fate::GoOn);
            assert!(draw(&arena, protocol) > first);
            assert_eq!(arena.names(), [COUNTER], "{protocol}, {when:?}");
        }
    }
}

#[test]
fn a_number_that_comes_after_the_deadline_is_not_given() {
    for protocol in BOTH {
        let arena = Arena::new();
        let first = draw(&arena, protocol);
        let slept = Arc::new(AtomicBool::new(false));
        arena.env.on_call(move |env, call, at, path| {
            if (call, at) == (Call::MkDir, When::After) && is_number(path) && !slept.swap(true, Ordering::Relaxed) {
                env.sleep(LIFETIME);
            }
            Fate::GoOn
        });
        let guard = arena.builder(protocol).fence(true).build_in(arena.env.clone()).unwrap().acquire().unwrap();
        assert!(!guard.is_lost(), "{protocol}: it was acquired anew");
        assert!(guard.fencing_token().unwrap() > first + LIFETIME.as_micros() as u64, "{protocol}");
    }
}

fn is_number(path: &Path) -> bool {
    path.file_name().unwrap().to_str().unwrap().parse::<u64>().is_ok()
}

#[test]
fn a_number_whose_reply_was_lost_is_skipped() {
    let arena = Arena::new();
    let first = draw(&arena, Protocol::Link);
    arena.env.once(Call::MkDir, When::After, |_, _| Fate::Fail(io::ErrorKind::AlreadyExists));
    let second = draw(&arena, Protocol::Link);
    assert!(second > first);
    assert_eq!(numbers(&arena), [second.to_string()], "the one that was skipped is gone");
}

/// The bug, found by the simulation: the reply to the mkdir or the rename that makes the counter was lost. The
/// consequence: an error, though the counter was there. The mend: what is on disk decides.
#[test]
fn a_counter_is_used_even_if_the_reply_to_its_making_was_lost() {
    for (lost, error) in [(Call::MkDir, io::ErrorKind::AlreadyExists), (Call::Rename, io::ErrorKind::NotFound)] {
        let arena = Arena::new();
        // Under link there is no other rename, and no other directory.
        let mut is_lost = false;
        arena.env.on_call(move |_, call, when, path| match (call, when) {
            (_, When::After) if call == lost && !is_number(path) && !is_lost => {
                is_lost = true;
                Fate::Fail(error)
            }
            _ => Fate::GoOn,
        });
        let number = draw(&arena, Protocol::Link);
        assert_eq!(numbers(&arena), [number.to_string()], "{lost:?}");
        assert_eq!(arena.names(), [COUNTER], "{lost:?}");
    }
}

#[test]
fn without_a_number_the_lock_is_given_back() {
    for protocol in BOTH {
        let arena = Arena::new();
        draw(&arena, protocol);
        arena.env.on_call(|_, call, when, path| match (call, when) {
            (Call::MkDir, When::Before) if is_number(path) => Fate::Fail(io::ErrorKind::StorageFull),
            _ => Fate::GoOn,
        });
        let error = arena.builder(protocol).fence(true).build_in(arena.env.clone()).unwrap().acquire().unwrap_err();
        let said = error.to_string();
        assert!(said.contains(COUNTER) && said.contains("number the acquisition"), "{said}");
        assert_eq!(arena.names(), [COUNTER], "{protocol}: the lock is free");
    }
}

#[test]
fn what_is_no_directory_is_not_taken_for_the_counter() {
    let arena = Arena::new();
    Plain.create(&counter(&arena), b"a letter").unwrap();
    let error = arena.builder(Protocol::Dir).fence(true).build().unwrap().acquire().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Io), "{error}");
    assert_eq!(OsEnv.read(&at(&counter(&arena)), 100).unwrap().1, b"a letter");
    assert_eq!(arena.names(), [COUNTER]);
}

#[cfg(unix)] // Windows has access lists, which are inherited, in place of modes.
#[test]
fn the_counter_is_open_to_whom_the_directory_is_open() {
    for mode in [0o700, 0o775, 0o1777] {
        let arena = Arena::new();
        Plain.chmod(arena.dir.path(), mode).unwrap();
        draw(&arena, Protocol::Link);
        assert_eq!(Plain.stat(&counter(&arena)).unwrap().mode, mode, "whatever the umask");
    }
}

/// Whoever may rename in the lock's directory can move one to the counter's name that he may not write.
#[cfg(unix)]
#[test]
fn nothing_is_made_in_a_directory_that_fewer_users_may_write_than_the_locks() {
    let arena = Arena::new();
    Plain.chmod(arena.dir.path(), 0o775).unwrap();
    Plain.mkdir(&counter(&arena)).unwrap();
    let smaller = counter(&arena).join("7");
    Plain.mkdir(&smaller).unwrap();
    let error = arena.builder(Protocol::Link).fence(true).build().unwrap().acquire().unwrap_err().to_string();
    assert!(error.contains(COUNTER) && error.contains("fewer users may write it"), "{error}");
    assert_eq!(numbers(&arena), ["7"]);
    Plain.chmod(&counter(&arena), 0o775).unwrap();
    draw(&arena, Protocol::Link);
}

#[test]
fn contenders_that_make_the_counter_at_once_share_one() {
    let arena = Arena::new();
    let rival = arena.builder(Protocol::Dir).host("rival").fence(true).build_in(arena.env.clone()).unwrap();
    let theirs = Arc::new(Mutex::new(None));
    let drawn = Arc::clone(&theirs);
    // The counter is moved to its place, ready for use; before that another breaks the lock, makes a counter and draws.
    arena.env.once(Call::Rename, When::Before, move |env, _| {
        env.sleep(LIFETIME + GRACE * 2);
        let guard = rival.acquire_with(&Wait::never()).unwrap();
        *drawn.lock().unwrap() = guard.fencing_token();
        guard.release().unwrap();
        Fate::GoOn
    });
    let ours = draw(&arena, Protocol::Link);
    assert!(theirs.lock().unwrap().is_some_and(|theirs| theirs < ours));
    assert_eq!(arena.names(), [COUNTER]);
}
