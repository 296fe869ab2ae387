//! Expired locks, and rivals while a lock is broken.

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
        assert_eq!(arena.names(), [""; 0], "{protocol}: both names of the broken claim are removed");
    }
}

#[test]
fn a_slow_reply_of_the_servers_clock_before_a_break_does_not_shorten_the_next_lock() {
    for protocol in BOTH {
        let arena = Arena::new();
        arena.rival(protocol).acquire().leave();
        arena.env.sleep(LIFETIME + GRACE + MOMENT);
        // Two calls are slow, since each look may ask for the clock once.
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
fn a_waiter_breaks_a_lock_that_expires_during_the_wait() {
    for protocol in BOTH {
        let arena = Arena::new();
        arena.rival(protocol).acquire().leave();
        let guard = arena.lock(protocol).acquire_with(&Wait::up_to(LIFETIME + 2 * GRACE)).unwrap();
        assert_eq!(arena.holder(), Some(guard.token().to_string()), "{protocol}");
    }
}

#[test]
fn a_servers_clock_that_is_an_hour_wrong_breaks_no_lock_early_or_late() {
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
    // The contender sleeps for an hour that the server does not count, or the server's clock is set back by an hour.
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
    assert!(!arena.env.calls(Call::Touch).is_empty(), "it asked for the server's clock");
    assert_eq!(arena.holder(), Some(claimed));
}

#[test]
fn a_breaker_puts_back_a_live_lock_that_it_moved_by_mistake() {
    for protocol in BOTH {
        let arena = Arena::new();
        arena.rival(Protocol::Link).acquire().leave();
        arena.env.sleep(LIFETIME + GRACE + MOMENT);
        // A peer that knows no break lock breaks this lock and acquires it, at the worst moment.
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
        assert!(arena.names().iter().all(is_ours), "{protocol}: the breaker's own name for it is removed");
        live.release().unwrap();
    }
}

#[test]
fn a_breaker_puts_back_a_lock_that_was_refreshed_before_the_move() {
    let arena = Arena::new();
    let token = arena.rival(Protocol::Link).acquire().leave();
    arena.env.sleep(LIFETIME + GRACE + MOMENT);
    let (path, claim) = (arena.path(), arena.dir.path().join(token.as_os_str()));
    arena.env.on_call(move |env, call, when, from| {
        if (call, when) == (Call::Rename, When::Before) && from == path {
            // flufl.lock does this: its refresh has no deadline.
            Plain.set_expiry(&claim, env.wall_clock() + LIFETIME).unwrap();
        }
        Fate::GoOn
    });
    let e = arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap_err();
    assert!(e.is_timeout(), "{e}");
    assert_eq!(arena.holder(), Some(token.to_string()));
}

/// The bug (found by the simulation): a breaker was stopped after it had moved the lock, and then could not put it back,
/// since another contender had acquired it. The consequence: the breaker's own name for the lock stayed. The mend: the
/// breaker removes that name.
#[test]
fn a_lock_that_cannot_be_put_back_does_not_stay_under_the_breakers_name() {
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

/// With fs.protected_hardlinks, Linux lets a user link only his own files.
#[test]
fn a_breaker_that_may_not_link_the_moved_lock_puts_it_back_and_replaces_no_other() {
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
    let break_lock = LockPath::new(&arena.path(), SEPARATOR).unwrap().of_break_lock();
    // A user's lock path may not contain the separator, so the place is put together by hand.
    let place = crate::protocol::place::Place {
        path: break_lock,
        protocol: Protocol::Dir,
        host: "rival".into(),
        ..arena.lock(Protocol::Dir).place().clone()
    };
    let turn = crate::acquire::acquire(&place, &Wait::never()).unwrap();
    let e = arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap_err();
    assert!(e.is_timeout(), "{e}");
    assert_eq!(arena.holder(), Some(token.to_string()), "nobody breaks it during another's turn");
    crate::protocol::steps::release(&place, &turn).unwrap();
    drop(arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap());
}

/// The bug (found by the simulation): a breaker took its turn on behalf of the process that the lock was for. The
/// consequence: once that process had ended, the break lock looked abandoned, and others took it during the break. The mend:
/// a breaker takes its turn for itself.
#[cfg(target_os = "linux")] // Elsewhere the state of a process is not known.
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
    // The process that needs the lock has ended, but the expired lock is still broken.
    assert_eq!(lock.acquire_with(&Wait::never()).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(arena.names(), [""; 0]);
}

/// The bug (found by the simulation): the holder released a lock for a script just when the script had ended. The
/// consequence: another contender broke the lock before its deadline and acquired it, and the release removed that new lock.
/// The mend: such a release takes its turn among the breakers.
#[cfg(target_os = "linux")] // Elsewhere the state of a process is not known.
#[test]
fn a_release_for_a_process_that_has_ended_removes_no_breakers_lock() {
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
        // The first removal of a release is that of the lock.
        arena.env.once(Call::Unlink, When::Before, move |_, _| {
            script.kill().unwrap();
            script.wait().unwrap();
            *take.lock().unwrap() = other.acquire_with(&Wait::never()).ok();
            Fate::GoOn
        });
        let released = held.release();
        if let Some(successor) = taken.lock().unwrap().take() {
            assert!(released.is_err_and(|e| e.error().is_lost()), "{protocol}: it was broken before");
            successor.check().unwrap();
        }
    }
}

/// Such a release removes its own claim alone while a breaker has its turn, or has died in it.
#[cfg(target_os = "linux")] // Elsewhere the state of a process is not known.
#[test]
fn a_release_for_another_process_lets_the_lock_expire_during_a_breakers_turn() {
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
    assert!(!arena.env.calls(Call::Unlink).contains(&arena.path()), "we may not remove the shared name now");
    crate::protocol::steps::release(&place, &turn).unwrap();
    // A contender on another machine acquires it too, and knows nothing of the process.
    arena.rival(Protocol::Link).acquire().release().unwrap();
    assert_eq!(arena.names(), [""; 0]);
    script.kill().unwrap();
    script.wait().unwrap();
}

/// The bug (found on real NFS 4): a contender that could not take its turn left an empty directory at the lock path, and
/// "exists" was read as "held". The consequence: nobody could acquire the lock. The mend: the claim is renamed onto it.
#[cfg(unix)] // Only here a rename replaces an empty directory.
#[test]
fn a_dir_lock_is_acquired_over_an_empty_directory_that_cannot_be_cleared() {
    let arena = Arena::on_nfs_4_in_a_sticky_directory();
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
    assert!(arena.names().contains(&"job.lock".to_owned()), "another has the turn to clear it");
    crate::protocol::steps::release(&place, &turn).unwrap();
    arena.lock(Protocol::Dir).acquire_with(&Wait::never()).unwrap().release().unwrap();
    assert_eq!(arena.names(), [""; 0]);
}

#[test]
fn a_breaker_looks_again_when_its_turn_comes() {
    let arena = Arena::new();
    arena.rival(Protocol::Link).acquire().leave();
    arena.env.sleep(LIFETIME + GRACE + MOMENT);
    let (path, rival, kept) = (arena.path(), arena.rival(Protocol::Link), Arc::new(Mutex::new(None)));
    let keep = kept.clone();
    // This rename takes the break lock. The breaker before us has broken the lock, and the rival has acquired it.
    arena.env.once(Call::Rename, When::After, move |_, _| {
        Plain.unlink(&path).unwrap();
        *keep.lock().unwrap() = Some(rival.acquire());
        Fate::GoOn
    });
    let e = arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap_err();
    assert!(e.is_timeout(), "{e}");
    kept.lock().unwrap().take().unwrap().release().unwrap();
    let moved: Vec<_> = arena.env.calls(Call::Rename).into_iter().filter(|from| *from == arena.path()).collect();
    assert!(moved.is_empty(), "a live lock is never moved: {moved:?}");
}

#[test]
fn a_breaker_whose_turn_has_expired_does_not_move_the_lock() {
    let arena = Arena::new();
    let token = arena.rival(Protocol::Link).acquire().leave();
    arena.env.sleep(LIFETIME + GRACE + MOMENT);
    let break_lock = LockPath::new(&arena.path(), SEPARATOR).unwrap().of_break_lock().as_path().to_owned();
    let path = arena.path();
    arena.env.on_call(move |env, call, when, at| {
        // A pause after the second look, for longer than the break lock lasts.
        if (call, when) == (Call::Stat, When::Before) && at == path && Plain.stat(&break_lock).is_ok() {
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
    let break_lock = LockPath::new(&arena.path(), SEPARATOR).unwrap().of_break_lock().as_path().to_owned();
    let path = arena.path();
    arena.env.on_call(move |_, call, when, at| {
        if (call, when) == (Call::Stat, When::Before) && at == path {
            for entry in Plain.list(&break_lock).unwrap_or_default() {
                Plain.unlink(&break_lock.join(entry)).unwrap();
            }
        }
        Fate::GoOn
    });
    assert!(arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap_err().is_timeout());
    assert_eq!(arena.holder(), Some(token.to_string()));
}

#[cfg(unix)] // Windows has inherited access lists in place of modes.
#[test]
fn all_who_may_remove_files_in_the_directory_may_remove_the_break_lock() {
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
fn another_machine_does_not_see_that_a_process_has_ended() {
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
fn an_abandoned_lock_is_broken_at_once_unless_that_is_switched_off() {
    for protocol in BOTH {
        let arena = Arena::new();
        let ended = other_process();
        let lock = arena.builder(protocol).on_behalf_of(OnBehalfOf::Process(ended.id()));
        lock.build_in(arena.env.clone()).unwrap().acquire().unwrap().leave();
        assert!(
            arena.lock(protocol).acquire_with(&Wait::never()).unwrap_err().is_timeout(),
            "{protocol}: its process lives"
        );
        end(ended);
        let patient = arena.builder(protocol).recover_dead(false).build_in(arena.env.clone()).unwrap();
        assert!(patient.acquire_with(&Wait::never()).unwrap_err().is_timeout(), "{protocol}: switched off");
        assert_eq!(arena.lock(protocol).inspect().unwrap().state, State::Abandoned, "{protocol}");
        arena.lock(protocol).acquire_with(&Wait::never()).unwrap().release().unwrap();
        assert_eq!(arena.names(), [""; 0], "{protocol}");
    }
}

/// A process that waits until it is killed.
pub(super) fn other_process() -> Child {
    let mut command = if cfg!(windows) { Command::new("cmd") } else { Command::new("cat") };
    // Without a pipe it would read from the terminal.
    command.args(if cfg!(windows) { &["/c", "pause"][..] } else { &[] });
    command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

pub(super) fn end(mut process: Child) {
    process.kill().unwrap();
    process.wait().unwrap();
}

#[test]
fn no_lock_is_acquired_for_a_process_that_does_not_exist() {
    let arena = Arena::new();
    let ended = other_process();
    let pid = ended.id();
    end(ended);
    let lock = Lock::builder(arena.path()).on_behalf_of(OnBehalfOf::Process(pid)).build().unwrap();
    assert_eq!(lock.acquire().unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(arena.names(), [""; 0]);
}

#[test]
fn the_error_for_a_lock_that_may_not_be_removed_names_its_holder() {
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
fn an_operator_breaks_the_named_claim_and_no_other() {
    for protocol in BOTH {
        let arena = Arena::new();
        let first = arena.rival(protocol).acquire();
        let (old, lock) = (first.token().clone(), arena.lock(protocol));
        first.release().unwrap();
        let second = arena.rival(protocol).acquire();
        assert_eq!(lock.break_lock(&Which::Claim(old)).unwrap_err().kind(), ErrorKind::NotHeld);
        assert!(lock.break_lock(&Which::Expired).unwrap_err().is_timeout(), "it has not expired");
        second.check().unwrap();
        let broken = lock.break_lock(&Which::Claim(second.token().clone())).unwrap().unwrap();
        assert_eq!(broken.holder.unwrap().token, *second.token());
        assert!(second.check().unwrap_err().is_lost(), "{protocol}");
        assert!(lock.break_lock(&Which::Any).unwrap().is_none(), "{protocol}: it is free");
    }
}

#[test]
fn an_operator_may_break_an_expired_lock_or_any_lock() {
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
