//! Locks that are over, and rivals while they are broken.

use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::faults::{Arena, BOTH, Call, Fate, GRACE, LIFETIME, When};
use super::plain::Plain;
use crate::env::Env;
use crate::lock_path::LockPath;
use crate::options::Protocol;
use crate::{ErrorKind, Lock, OnBehalfOf, SEPARATOR, State, Wait, Which};

const MOMENT: Duration = Duration::from_secs(3);

#[test]
fn a_lock_is_broken_after_lifetime_and_grace_and_not_before() {
    for protocol in BOTH {
        let arena = Arena::new();
        arena.rival(protocol).acquire().leave();
        arena.env.sleep(LIFETIME + GRACE - MOMENT);
        let e = arena.lock(protocol).acquire_with(&Wait::never()).unwrap_err();
        assert!(e.is_timeout(), "{protocol}: {e}");
        assert_eq!(arena.lock(protocol).inspect().unwrap().state, State::Expired);
        arena.env.sleep(2 * MOMENT);
        let guard = arena.lock(protocol).acquire_with(&Wait::never()).unwrap();
        assert_eq!(arena.holder(), Some(guard.token().to_string()), "{protocol}");
        guard.release().unwrap();
        assert_eq!(arena.names(), [""; 0], "{protocol}: both names of the broken claim are gone");
    }
}

#[test]
fn a_slow_word_of_the_servers_clock_before_a_break_does_not_shorten_the_lock_that_follows() {
    for protocol in BOTH {
        let arena = Arena::new();
        arena.rival(protocol).acquire().leave();
        arena.env.sleep(LIFETIME + GRACE + MOMENT);
        // Two are slow: the clock may be asked once for each look.
        let mut slow = 2;
        arena.env.on_call(move |env, call, when, _| {
            if (call, when) == (Call::Touch, When::After) && slow > 0 {
                slow -= 1;
                env.sleep(2 * MOMENT);
            }
            Fate::GoOn
        });
        let guard = arena.lock(protocol).acquire_with(&Wait::never()).unwrap();
        assert!(guard.remaining() > LIFETIME - MOMENT, "{protocol}: {:?}", guard.remaining());
    }
}

#[test]
fn a_waiting_contender_breaks_a_lock_that_runs_out_meanwhile() {
    for protocol in BOTH {
        let arena = Arena::new();
        arena.rival(protocol).acquire().leave();
        let guard = arena.lock(protocol).acquire_with(&Wait::up_to(LIFETIME + 2 * GRACE)).unwrap();
        assert_eq!(arena.holder(), Some(guard.token().to_string()), "{protocol}");
    }
}

#[test]
fn a_servers_clock_an_hour_off_breaks_nothing_early_and_nothing_late() {
    for protocol in BOTH {
        let arena = Arena::new();
        arena.env.server_ahead_s.store(3600, Ordering::SeqCst);
        let rival = arena.rival(protocol).acquire();
        assert!(arena.lock(protocol).acquire_with(&Wait::never()).unwrap_err().is_timeout(), "{protocol}: not early");
        let _ = rival.leave();
        arena.env.sleep(LIFETIME + GRACE + MOMENT);
        drop(arena.lock(protocol).acquire_with(&Wait::never()).unwrap_or_else(|e| panic!("{protocol}: not late: {e}")));
    }
}

#[test]
fn the_servers_clock_is_asked_again_before_a_break() {
    let arena = Arena::new();
    let rival = arena.rival(Protocol::Link).acquire();
    // While the contender sleeps through an hour, the server does not count it (or was set back by as much).
    let mut slept = false;
    arena.env.server_ahead_s.store(7200, Ordering::SeqCst);
    arena.env.on_call(move |env, call, when, _| {
        if (call, when) == (Call::Wait, When::Before) && !std::mem::replace(&mut slept, true) {
            env.sleep(Duration::from_secs(3600));
            env.set_back_s.store(3600, Ordering::SeqCst);
        }
        Fate::GoOn
    });
    let claimed = rival.token().to_string();
    let e = arena.lock(Protocol::Link).acquire_with(&Wait::up_to(Duration::from_secs(3601))).unwrap_err();
    assert!(e.is_timeout(), "{e}");
    assert!(!arena.env.calls(Call::Touch).is_empty(), "it did ask");
    assert_eq!(arena.holder(), Some(claimed));
}

#[test]
fn a_live_lock_that_came_between_a_breakers_look_and_its_move_is_put_back() {
    for protocol in BOTH {
        let arena = Arena::new();
        arena.rival(Protocol::Link).acquire().leave();
        arena.env.sleep(LIFETIME + GRACE + MOMENT);
        // A peer that knows no guard breaks the lock and takes it, at the worst moment.
        let (path, rival, kept) = (arena.path(), arena.rival(protocol), Arc::new(Mutex::new(None)));
        let keep = kept.clone();
        let mut done = false;
        arena.env.on_call(move |_, call, when, from| {
            if (call, when) == (Call::Rename, When::Before) && from == path && !std::mem::replace(&mut done, true) {
                Plain.unlink(&path).unwrap();
                *keep.lock().unwrap() = Some(rival.acquire());
            }
            Fate::GoOn
        });
        let e = arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap_err();
        assert!(e.is_timeout(), "{protocol}: {e}");
        let live = kept.lock().unwrap().take().unwrap();
        live.check().unwrap_or_else(|e| panic!("{protocol}: {e}"));
        let expected = ["job.lock", &live.token().to_string()].map(str::to_owned);
        let is_ours = |name: &String| expected.contains(name) || name.contains("rival");
        assert!(arena.names().iter().all(is_ours), "{protocol}: the breaker's own name for it is gone");
        live.release().unwrap();
    }
}

#[test]
fn a_lock_that_was_refreshed_between_a_breakers_look_and_its_move_is_put_back() {
    let arena = Arena::new();
    let token = arena.rival(Protocol::Link).acquire().leave();
    arena.env.sleep(LIFETIME + GRACE + MOMENT);
    let (path, claim) = (arena.path(), arena.dir.path().join(token.as_os_str()));
    arena.env.on_call(move |env, call, when, from| {
        if (call, when) == (Call::Rename, When::Before) && from == path {
            // As flufl.lock does, whose refresh knows no deadline.
            Plain.set_expiry(&claim, env.wall_clock() + LIFETIME).unwrap();
        }
        Fate::GoOn
    });
    let e = arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap_err();
    assert!(e.is_timeout(), "{e}");
    assert_eq!(arena.holder(), Some(token.to_string()));
}

/// The bug, found by the simulation: a breaker that was held up after its move could not put the lock back, since another
/// had taken it. The consequence: its own name for it was left over. The mend: it goes.
#[test]
fn a_lock_that_cannot_be_put_back_is_not_left_over_under_the_breakers_name() {
    let arena = Arena::new();
    let token = arena.rival(Protocol::Link).acquire().leave();
    arena.env.sleep(LIFETIME + GRACE + MOMENT);
    let (path, claim) = (arena.path(), arena.dir.path().join(token.as_os_str()));
    let (rival, kept) = (arena.rival(Protocol::Link), Arc::new(Mutex::new(None)));
    let keep = kept.clone();
    arena.env.on_call(move |env, call, when, from| {
        match (call, when) {
            (Call::Rename, When::Before) if from == path => {
                Plain.set_expiry(&claim, env.wall_clock() + LIFETIME).unwrap();
            }
            (Call::Rename, When::After) if from == path => *keep.lock().unwrap() = Some(rival.acquire()),
            _ => {}
        }
        Fate::GoOn
    });
    let e = arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap_err();
    assert!(e.is_timeout(), "{e}");
    let live = kept.lock().unwrap().take().unwrap();
    let mut expected = ["job.lock".into(), token.to_string(), live.token().to_string()];
    expected.sort();
    assert_eq!(arena.names(), expected);
    live.release().unwrap();
}

/// Linux lets nobody link a file that he does not own, where fs.protected_hardlinks is set.
#[test]
fn who_may_not_link_a_lock_that_he_moved_puts_it_back_and_replaces_no_other() {
    for is_taken in [false, true] {
        let arena = Arena::new();
        let token = arena.rival(Protocol::Link).acquire().leave();
        arena.env.sleep(LIFETIME + GRACE + MOMENT);
        let (path, claim) = (arena.path(), arena.dir.path().join(token.as_os_str()));
        let (rival, kept) = (arena.rival(Protocol::Link), Arc::new(Mutex::new(None)));
        let keep = kept.clone();
        let mut is_moved = false;
        arena.env.on_call(move |env, call, when, at| {
            match (call, when) {
                (Call::Rename, When::Before) if at == path => {
                    Plain.set_expiry(&claim, env.wall_clock() + LIFETIME).unwrap();
                }
                (Call::Rename, When::After) if at == path => {
                    is_moved = true;
                    if is_taken {
                        *keep.lock().unwrap() = Some(rival.acquire());
                    }
                }
                (Call::Link, When::Before) if at == path && is_moved => {
                    return Fate::Fail(io::ErrorKind::PermissionDenied);
                }
                _ => {}
            }
            Fate::GoOn
        });
        let e = arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap_err();
        assert!(e.is_timeout(), "{e}");
        match kept.lock().unwrap().take() {
            Some(live) => live.check().unwrap(),
            None => assert_eq!(arena.holder(), Some(token.to_string()), "it is back"),
        }
    }
}

#[test]
fn breakers_take_turns() {
    let arena = Arena::new();
    let token = arena.rival(Protocol::Link).acquire().leave();
    arena.env.sleep(LIFETIME + GRACE + MOMENT);
    let guard_path = LockPath::new(&arena.path(), SEPARATOR).unwrap().of_break_lock();
    // Its name holds the separator, as nobody's lock path may: another one stands in.
    let place = crate::protocol::place::Place {
        path: guard_path,
        protocol: Protocol::Dir,
        host: "rival".into(),
        ..arena.lock(Protocol::Dir).place().clone()
    };
    let turn = crate::acquire::acquire(&place, &Wait::never()).unwrap();
    let e = arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap_err();
    assert!(e.is_timeout(), "{e}");
    assert_eq!(arena.holder(), Some(token.to_string()), "not broken while it is another's turn");
    crate::protocol::steps::release(&place, &turn).unwrap();
    drop(arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap());
}

/// The bug, found by the simulation: a breaker took its turn on behalf of whom it took the lock for. The consequence: once that
/// process had ended, the turn was a dead holder's, and others took it while the breaker was at it. The mend: a turn is taken
/// for the breaker itself.
#[cfg(target_os = "linux")] // Elsewhere no process is known.
#[test]
fn a_breaker_takes_its_turn_for_itself() {
    let arena = Arena::new();
    arena.rival(Protocol::Link).acquire().leave();
    arena.env.sleep(LIFETIME + GRACE + MOMENT);
    let mut script = Command::new("sleep").arg("100").spawn().unwrap();
    let whom = OnBehalfOf::Process(script.id());
    let lock = arena.builder(Protocol::Link).on_behalf_of(whom).build_in(arena.env.clone()).unwrap();
    arena.env.once(Call::Touch, When::After, move |_, _| {
        script.kill().unwrap();
        script.wait().unwrap();
        Fate::GoOn
    });
    // There is nobody to take the lock for any more, but the one that had expired is broken.
    assert_eq!(lock.acquire_with(&Wait::never()).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(arena.names(), [""; 0]);
}

/// The bug, found by the simulation: a lock that was held for a script was released just when the script had ended. The
/// consequence: another broke it before its deadline and took it, and the release removed that lock. The mend: such a lock is
/// released in turn with those who may break it.
#[cfg(target_os = "linux")] // Elsewhere no process is known.
#[test]
fn a_release_for_another_process_removes_no_lock_of_who_broke_it_when_that_ended() {
    for protocol in BOTH {
        let arena = Arena::new();
        let mut script = Command::new("sleep").arg("100").spawn().unwrap();
        let whom = OnBehalfOf::Process(script.id());
        let held = arena
            .builder(protocol)
            .on_behalf_of(whom)
            .build_in(arena.env.clone())
            .unwrap()
            .acquire_with(&Wait::never())
            .unwrap();
        arena.env.sleep(MOMENT);
        let (other, taken) = (arena.lock(Protocol::Link), Arc::new(Mutex::new(None)));
        let take = taken.clone();
        // Of what the release does, the first removal is that of the lock.
        arena.env.once(Call::Unlink, When::Before, move |_, _| {
            script.kill().unwrap();
            script.wait().unwrap();
            *take.lock().unwrap() = other.acquire_with(&Wait::never()).ok();
            Fate::GoOn
        });
        let released = held.release();
        if let Some(successor) = taken.lock().unwrap().take() {
            assert!(released.is_err_and(|e| e.error().is_lost()), "{protocol}: it had been broken");
            successor.check().unwrap();
        }
    }
}

/// Such a release touches nothing but its own claim while others are at the lock path, or have died there.
#[cfg(target_os = "linux")] // Elsewhere no process is known.
#[test]
fn a_release_for_another_process_lets_the_lock_expire_while_it_is_anothers_turn() {
    let arena = Arena::new();
    let mut script = Command::new("sleep").arg("100").spawn().unwrap();
    let whom = OnBehalfOf::Process(script.id());
    let held = arena
        .builder(Protocol::Link)
        .on_behalf_of(whom)
        .build_in(arena.env.clone())
        .unwrap()
        .acquire_with(&Wait::never())
        .unwrap();
    let place = crate::protocol::place::Place {
        path: LockPath::new(&arena.path(), SEPARATOR).unwrap().of_break_lock(),
        protocol: Protocol::Dir,
        host: "rival".into(),
        ..arena.lock(Protocol::Dir).place().clone()
    };
    let turn = crate::acquire::acquire(&place, &Wait::never()).unwrap();
    held.release().unwrap();
    assert!(!arena.env.calls(Call::Unlink).contains(&arena.path()), "the shared name is not ours to remove now");
    crate::protocol::steps::release(&place, &turn).unwrap();
    // On another machine too, which knows nothing of the process.
    arena.rival(Protocol::Link).acquire().release().unwrap();
    assert_eq!(arena.names(), [""; 0]);
    script.kill().unwrap();
    script.wait().unwrap();
}

/// The bug, found on real NFS 4: the lock path was an empty directory, left by one who found that it was another's turn to
/// clear it, and "exists" was taken for "held". The consequence: a lock that nobody could take. The mend: it is renamed onto.
#[cfg(unix)] // It takes a rename that replaces an empty directory.
#[test]
fn a_dir_lock_is_taken_where_an_empty_directory_of_ours_cannot_be_cleared() {
    let arena = Arena::new();
    arena.env.removes_by_name_alone.store(true, Ordering::SeqCst);
    let place = crate::protocol::place::Place {
        path: LockPath::new(&arena.path(), SEPARATOR).unwrap().of_break_lock(),
        protocol: Protocol::Dir,
        host: "rival".into(),
        ..arena.lock(Protocol::Dir).place().clone()
    };
    let turn = crate::acquire::acquire(&place, &Wait::never()).unwrap();
    Plain.mkdir(&arena.path()).unwrap();
    Plain.chmod(&arena.path(), 0o1755).unwrap();
    arena.lock(Protocol::Dir).acquire_with(&Wait::never()).unwrap().release().unwrap();
    assert!(arena.names().contains(&"job.lock".to_owned()), "it is another's turn to clear it");
    crate::protocol::steps::release(&place, &turn).unwrap();
    arena.lock(Protocol::Dir).acquire_with(&Wait::never()).unwrap().release().unwrap();
    assert_eq!(arena.names(), [""; 0]);
}

#[test]
fn a_breaker_looks_again_once_it_is_its_turn() {
    let arena = Arena::new();
    arena.rival(Protocol::Link).acquire().leave();
    arena.env.sleep(LIFETIME + GRACE + MOMENT);
    let (path, rival, kept) = (arena.path(), arena.rival(Protocol::Link), Arc::new(Mutex::new(None)));
    let keep = kept.clone();
    // The rename that takes the guard: whoever had the turn before has broken the lock, and somebody took it.
    arena.env.once(Call::Rename, When::After, move |_, _| {
        Plain.unlink(&path).unwrap();
        *keep.lock().unwrap() = Some(rival.acquire());
        Fate::GoOn
    });
    let e = arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap_err();
    assert!(e.is_timeout(), "{e}");
    kept.lock().unwrap().take().unwrap().release().unwrap();
    let moved: Vec<_> = arena.env.calls(Call::Rename).into_iter().filter(|from| *from == arena.path()).collect();
    assert!(moved.is_empty(), "a live lock is not even moved: {moved:?}");
}

#[test]
fn a_breaker_whose_turn_is_over_does_not_move_the_lock() {
    let arena = Arena::new();
    let token = arena.rival(Protocol::Link).acquire().leave();
    arena.env.sleep(LIFETIME + GRACE + MOMENT);
    let guard = LockPath::new(&arena.path(), SEPARATOR).unwrap().of_break_lock().as_path().to_owned();
    let path = arena.path();
    arena.env.on_call(move |env, call, when, at| {
        // Paused after it looked again, for longer than its guard lasts.
        if (call, when) == (Call::Stat, When::Before) && at == path && Plain.stat(&guard).is_ok() {
            env.sleep(LIFETIME);
        }
        Fate::GoOn
    });
    let _ = arena.lock(Protocol::Link).acquire_with(&Wait::never());
    assert_eq!(arena.holder(), Some(token.to_string()));
}

#[test]
fn a_breaker_that_lost_its_turn_does_not_move_the_lock() {
    let arena = Arena::new();
    let token = arena.rival(Protocol::Link).acquire().leave();
    arena.env.sleep(LIFETIME + GRACE + MOMENT);
    let guard = LockPath::new(&arena.path(), SEPARATOR).unwrap().of_break_lock().as_path().to_owned();
    let path = arena.path();
    arena.env.on_call(move |_, call, when, at| {
        if (call, when) == (Call::Stat, When::Before) && at == path {
            for entry in Plain.list(&guard).unwrap_or_default() {
                Plain.unlink(&guard.join(entry)).unwrap();
            }
        }
        Fate::GoOn
    });
    assert!(arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap_err().is_timeout());
    assert_eq!(arena.holder(), Some(token.to_string()));
}

#[cfg(unix)] // Windows has access lists, which are inherited, in place of modes.
#[test]
fn the_guard_can_be_removed_by_whoever_may_remove_files_in_its_directory() {
    for (directory, expected) in [(0o755, 0), (0o777, 0o022), (0o1777, 0)] {
        let arena = Arena::new();
        Plain.chmod(arena.dir.path(), directory).unwrap();
        arena.rival(Protocol::Link).acquire().leave();
        arena.env.sleep(LIFETIME + GRACE + MOMENT);
        let modes = Arc::new(Mutex::new(Vec::new()));
        let seen = modes.clone();
        arena.env.on_call(move |_, call, when, from| {
            if (call, when) == (Call::Rename, When::Before)
                && from.to_string_lossy().contains(&format!("{SEPARATOR}break{SEPARATOR}"))
            {
                seen.lock().unwrap().push(Plain.stat(from).unwrap().mode & 0o022);
            }
            Fate::GoOn
        });
        drop(arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap());
        assert_eq!(*modes.lock().unwrap(), [expected], "in a directory of mode {directory:o}");
    }
}

#[test]
fn the_end_of_a_process_is_not_seen_from_another_machine() {
    for protocol in BOTH {
        let arena = Arena::new();
        let ended = other_process();
        let lock = arena.builder(protocol).host("rival").on_behalf_of(OnBehalfOf::Process(ended.id()));
        lock.build_in(arena.env.clone()).unwrap().acquire().unwrap().leave();
        end(ended);
        assert!(arena.lock(protocol).acquire_with(&Wait::never()).unwrap_err().is_timeout(), "{protocol}");
    }
}

#[test]
fn a_lock_whose_process_has_ended_is_broken_at_once_unless_that_is_switched_off() {
    for protocol in BOTH {
        let arena = Arena::new();
        let ended = other_process();
        let lock = arena.builder(protocol).on_behalf_of(OnBehalfOf::Process(ended.id()));
        lock.build_in(arena.env.clone()).unwrap().acquire().unwrap().leave();
        assert!(arena.lock(protocol).acquire_with(&Wait::never()).unwrap_err().is_timeout(), "{protocol}: it lives");
        end(ended);
        let patient = arena.builder(protocol).recover_dead(false).build_in(arena.env.clone()).unwrap();
        assert!(patient.acquire_with(&Wait::never()).unwrap_err().is_timeout(), "{protocol}: switched off");
        assert_eq!(arena.lock(protocol).inspect().unwrap().state, State::Abandoned, "{protocol}");
        arena.lock(protocol).acquire_with(&Wait::never()).unwrap().release().unwrap();
        assert_eq!(arena.names(), [""; 0], "{protocol}");
    }
}

/// One that waits until it is killed.
pub(super) fn other_process() -> Child {
    let mut command = if cfg!(windows) { Command::new("cmd") } else { Command::new("cat") };
    // Otherwise it would begin to talk to the terminal.
    command.args(if cfg!(windows) { &["/c", "pause"][..] } else { &[] });
    command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

pub(super) fn end(mut process: Child) {
    process.kill().unwrap();
    process.wait().unwrap();
}

#[test]
fn no_lock_is_taken_for_a_process_that_is_not_there() {
    let arena = Arena::new();
    let ended = other_process();
    let pid = ended.id();
    end(ended);
    let lock = Lock::builder(arena.path()).on_behalf_of(OnBehalfOf::Process(pid)).build().unwrap();
    assert_eq!(lock.acquire().unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(arena.names(), [""; 0]);
}

#[test]
fn a_lock_that_may_not_be_removed_is_an_error_that_names_the_holder() {
    for protocol in BOTH {
        let arena = Arena::new();
        arena.rival(protocol).acquire().leave();
        arena.env.sleep(LIFETIME + GRACE + MOMENT);
        let path = arena.path();
        arena.env.on_call(move |_, call, when, at| match (call, when) {
            (Call::Rename | Call::Unlink, When::Before) if at.starts_with(&path) => {
                Fate::Fail(io::ErrorKind::PermissionDenied)
            }
            _ => Fate::GoOn,
        });
        let e = arena.lock(protocol).acquire_with(&Wait::never()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::CannotBreak, "{protocol}: {e}");
        assert!(e.to_string().contains("on rival"), "{e}");
    }
}

#[test]
fn an_operator_breaks_the_claim_that_is_named_and_no_other() {
    for protocol in BOTH {
        let arena = Arena::new();
        let first = arena.rival(protocol).acquire();
        let (old, lock) = (first.token().clone(), arena.lock(protocol));
        first.release().unwrap();
        let second = arena.rival(protocol).acquire();
        assert_eq!(lock.break_lock(&Which::Claim(old)).unwrap_err().kind(), ErrorKind::NotHeld);
        assert!(lock.break_lock(&Which::Expired).unwrap_err().is_timeout(), "it is not over");
        second.check().unwrap();
        let broken = lock.break_lock(&Which::Claim(second.token().clone())).unwrap().unwrap();
        assert_eq!(broken.holder.unwrap().token, *second.token());
        assert!(second.check().unwrap_err().is_lost(), "{protocol}");
        assert!(lock.break_lock(&Which::Any).unwrap().is_none(), "{protocol}: it is free");
    }
}

#[test]
fn an_operator_may_break_what_is_over_or_whatever_is_there() {
    for protocol in BOTH {
        let arena = Arena::new();
        let lock = arena.lock(protocol);
        arena.rival(protocol).acquire().leave();
        lock.break_lock(&Which::Any).unwrap().unwrap();
        arena.rival(protocol).acquire().leave();
        arena.env.sleep(LIFETIME + GRACE + MOMENT);
        lock.break_lock(&Which::Expired).unwrap().unwrap();
        assert_eq!(arena.names(), [""; 0], "{protocol}");
    }
}
