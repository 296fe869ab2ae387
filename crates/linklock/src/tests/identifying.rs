//! Locks whose content cannot be read: their holder is identified by the names of their links.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::faults::{Arena, BOTH, Call, Fate, GRACE, LIFETIME, When, numbered_names};
use super::plain::Plain;
use crate::env::Env;
use crate::names::bytes_of;
use crate::options::Protocol;
use crate::protocol::look::look;
use crate::protocol::seen::Seen;
use crate::protocol::stake::Break;
use crate::protocol::steps;
use crate::{ErrorKind, OnBehalfOf, SEPARATOR, State, Wait};

const MOMENT: Duration = Duration::from_secs(3);

/// Opening a file here would leave a delegation behind, as on NFS 4.0.
fn nothing_is_opened(call: Call, when: When) -> Fate {
    if (call, when) == (Call::Read, When::Before) { Fate::Fail(io::ErrorKind::Unsupported) } else { Fate::GoOn }
}

/// The bug: a contender that reads the lock file on NFS 4 gets a delegation. The consequence: once that contender is cut off,
/// the server delays the holder's refresh and release, so the lock is lost, or the release removes a successor's lock. The
/// mend: on NFS 4.0 no file is opened.
#[test]
fn a_lock_is_watched_reported_and_broken_without_opening_a_file() {
    for protocol in BOTH {
        let arena = Arena::new();
        let rival = arena.rival(protocol).acquire();
        arena.env.on_call(|_, call, when, _| nothing_is_opened(call, when));
        let lock = arena.lock(protocol);
        let e = lock.acquire_with(&Wait::up_to(GRACE)).unwrap_err();
        assert!(e.is_timeout(), "{protocol}: {e}");
        assert_eq!(e.holder().map(|holder| &holder.token), Some(rival.token()), "{protocol}: {e}");
        let status = lock.inspect().unwrap();
        assert_eq!((status.state, status.holder.map(|h| h.token)), (State::Held, Some(rival.token().clone())));
        let _ = rival.leave();
        arena.env.sleep(LIFETIME + GRACE + MOMENT);
        let guard = lock.acquire_with(&Wait::never()).unwrap_or_else(|e| panic!("{protocol}: {e}"));
        assert_eq!(arena.holder(), Some(guard.token().to_string()), "{protocol}");
        guard.release().unwrap();
        assert_eq!(arena.names(), [""; 0], "{protocol}: both names of the broken claim are removed");
        assert_eq!(
            arena.env.calls(Call::Open),
            [""; 0].map(std::path::PathBuf::from),
            "{protocol}: nothing was opened"
        );
    }
}

#[test]
fn a_dead_holder_is_identified_by_the_claims_name() {
    for protocol in BOTH {
        let arena = Arena::new();
        leave_a_dead_holders_lock(&arena, protocol);
        arena.env.on_call(|_, call, when, _| nothing_is_opened(call, when));
        arena.lock(protocol).acquire_with(&Wait::never()).unwrap().release().unwrap();
        assert_eq!(arena.names(), [""; 0], "{protocol}");
    }
}

fn leave_a_dead_holders_lock(arena: &Arena, protocol: Protocol) -> crate::Token {
    let mut ended = std::process::Command::new(if cfg!(windows) { "cmd" } else { "cat" })
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let lock = arena.builder(protocol).on_behalf_of(OnBehalfOf::Process(ended.id()));
    let token = lock.build_in(arena.env.clone()).unwrap().acquire().unwrap().leave();
    ended.kill().unwrap();
    ended.wait().unwrap();
    token
}

/// Without this, two holders would be possible: a file server reuses inode numbers, and its client may remember old names.
#[test]
fn a_name_from_a_stale_cache_does_not_identify_the_holder() {
    let arena = Arena::new();
    arena.env.has_one_number.store(true, Ordering::SeqCst);
    let dead = leave_a_dead_holders_lock(&arena, Protocol::Link);
    let remembered = numbered_names(arena.dir.path()).unwrap();
    Plain.unlink(&arena.path()).unwrap();
    Plain.unlink(&arena.dir.path().join(dead.as_os_str())).unwrap();
    // Its file has the inode number of the dead holder's file.
    let rival = arena.rival(Protocol::Link).acquire();
    *arena.env.listing.lock().unwrap() = Some(remembered);
    arena.env.on_call(|_, call, when, _| match (call, when) {
        (Call::Read, When::Before) => Fate::Fail(io::ErrorKind::WouldBlock),
        _ => Fate::GoOn,
    });
    let lock = arena.lock(Protocol::Link);
    let status = lock.inspect().unwrap();
    assert_eq!((status.state, status.holder), (State::Held, None));
    *arena.env.listing.lock().unwrap() = None;
    assert_eq!(lock.inspect().unwrap().holder.map(|holder| holder.token), Some(rival.token().clone()));
    rival.release().unwrap();
}

#[test]
fn a_lock_that_changes_hands_during_a_look_is_looked_at_again() {
    let arena = Arena::new();
    arena.env.has_one_number.store(true, Ordering::SeqCst);
    let rival = arena.rival(Protocol::Link);
    let mut first = Some(rival.acquire());
    let kept = Arc::new(Mutex::new(None));
    let keep = kept.clone();
    arena.env.on_call(move |env, call, when, _| {
        if (call, when) == (Call::List, When::Before)
            && let Some(first) = first.take()
        {
            first.release().unwrap();
            env.sleep(MOMENT);
            *keep.lock().unwrap() = Some(rival.acquire());
        }
        nothing_is_opened(call, when)
    });
    let status = arena.lock(Protocol::Link).inspect().unwrap();
    let second = kept.lock().unwrap().take().unwrap();
    let expiry = Plain.stat(&arena.path()).unwrap().mtime.to_system_time();
    let seen = status.holder.map(|holder| (holder.token, holder.expires_at));
    assert_eq!(seen, Some((second.token().clone(), expiry)), "holder and expiry belong to one lock");
    second.release().unwrap();
}

/// Without this, two holders would be possible: the moved file cannot be read, and it has the inode number and the expiry of
/// the lock that was seen, but it is another's lock.
#[test]
fn a_breaker_puts_back_an_unreadable_live_lock_that_it_moved_by_mistake() {
    for same_expiry in [false, true] {
        let arena = Arena::new();
        arena.env.has_one_number.store(true, Ordering::SeqCst);
        let dead = arena.rival(Protocol::Link).acquire().leave();
        arena.env.sleep(LIFETIME + GRACE + MOMENT);
        let (path, claim) = (arena.path(), arena.dir.path().join(dead.as_os_str()));
        let (dir, rival, kept) = (arena.dir.path().to_owned(), arena.rival(Protocol::Link), Arc::new(Mutex::new(None)));
        let (keep, mut done) = (kept.clone(), false);
        arena.env.on_call(move |_, call, when, from| {
            if (call, when) == (Call::Rename, When::Before) && from == path && !std::mem::replace(&mut done, true) {
                let expiry = Plain.stat(&path).unwrap().mtime;
                Plain.unlink(&path).unwrap();
                Plain.unlink(&claim).unwrap();
                let live = rival.acquire();
                if same_expiry {
                    Plain.set_expiry(&dir.join(live.token().as_os_str()), expiry).unwrap();
                }
                *keep.lock().unwrap() = Some(live);
            }
            nothing_is_opened(call, when)
        });
        let lock = arena.lock(Protocol::Link);
        let Seen::Lock(seen) = look(lock.place()).unwrap() else { panic!("no lock") };
        assert_eq!(
            steps::break_lock(lock.place(), &seen).unwrap(),
            Break::Changed,
            "with the same expiry: {same_expiry}"
        );
        let live = kept.lock().unwrap().take().unwrap();
        assert_eq!(arena.holder(), Some(live.token().to_string()), "with the same expiry: {same_expiry}");
        assert!(arena.names().contains(&live.token().to_string()));
    }
}

#[test]
fn a_breaker_puts_back_an_unreadable_lock_that_was_refreshed_before_the_move() {
    let arena = Arena::new();
    let token = arena.rival(Protocol::Link).acquire().leave();
    arena.env.sleep(LIFETIME + GRACE + MOMENT);
    let (path, claim) = (arena.path(), arena.dir.path().join(token.as_os_str()));
    arena.env.on_call(move |env, call, when, from| {
        if (call, when) == (Call::Rename, When::Before) && from == path {
            // flufl.lock does this: its refresh has no deadline.
            Plain.set_expiry(&claim, env.wall_clock() + LIFETIME).unwrap();
        }
        nothing_is_opened(call, when)
    });
    let e = arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap_err();
    assert!(e.is_timeout(), "{e}");
    assert_eq!(arena.holder(), Some(token.to_string()));
}

#[test]
fn an_error_while_the_holder_is_identified_is_reported() {
    let arena = Arena::new();
    let _held = arena.rival(Protocol::Link).acquire();
    let (path, mut is_listed, mut has_failed) = (arena.path(), false, false);
    arena.env.on_call(move |_, call, when, at| {
        is_listed |= call == Call::List;
        if is_listed && (call, when) == (Call::Stat, When::Before) && at == path && !has_failed {
            has_failed = true;
            return Fate::Fail(io::ErrorKind::TimedOut);
        }
        nothing_is_opened(call, when)
    });
    let e = arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Io, "{e}");
}

/// The bug: a breaker removed the claim that the lock's content named. The consequence: a user who can write the directory
/// could have any waiter's claim or any lock removed. The mend: a breaker removes a name only if it leads to the moved file.
#[test]
fn a_breaker_does_not_remove_another_claim_that_the_lock_names() {
    let arena = Arena::new();
    let victim = arena.dir.path().join(format!("job.lock{SEPARATOR}h{SEPARATOR}1{SEPARATOR}2"));
    let other = arena.dir.path().join("other");
    for file in [&victim, &other] {
        Plain.create(file, bytes_of(&victim)).unwrap();
    }
    Plain.link(&other, &arena.path()).unwrap();
    arena.env.sleep(GRACE + MOMENT);
    arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap().release().unwrap();
    let left = format!("job.lock{SEPARATOR}h{SEPARATOR}1{SEPARATOR}2");
    assert_eq!(arena.names(), [left, "other".into()]);
}

/// A breaker that died while it put a lock back leaves a third link. The holder is then unknown, but the lock is still a lock.
#[test]
fn a_lock_with_two_claims_names_is_broken_only_after_it_has_expired() {
    let arena = Arena::new();
    arena.rival(Protocol::Link).acquire().leave();
    let left = arena.dir.path().join(format!("job.lock{SEPARATOR}h{SEPARATOR}1{SEPARATOR}2"));
    Plain.link(&arena.path(), &left).unwrap();
    arena.env.on_call(|_, call, when, _| match (call, when) {
        (Call::Read, When::Before) => Fate::Fail(io::ErrorKind::PermissionDenied),
        _ => Fate::GoOn,
    });
    let e = arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap_err();
    assert!(e.is_timeout() && e.holder().is_none(), "{e}");
    arena.env.sleep(LIFETIME + GRACE + MOMENT);
    arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap().release().unwrap();
    assert_eq!(arena.names(), [""; 0]);
}

/// A holder identifies its own lock without reading it, even where the file system rounds the expiry.
#[test]
fn a_holder_that_cannot_read_its_lock_identifies_it_by_its_claims_name() {
    for broken in [false, true] {
        let arena = Arena::new();
        arena.env.has_one_number.store(true, Ordering::SeqCst);
        let lock = arena.lock(Protocol::Link);
        let guard = lock.acquire().unwrap();
        let claim = arena.dir.path().join(guard.token().as_os_str());
        let rounded = Plain.stat(&claim).unwrap().mtime + Duration::from_millis(1);
        Plain.set_expiry(&claim, rounded).unwrap();
        if broken {
            Plain.unlink(&arena.path()).unwrap();
            Plain.unlink(&claim).unwrap();
            let _ = arena.rival(Protocol::Link).acquire().leave();
        }
        arena.env.on_call(|_, call, when, _| match (call, when) {
            (Call::Read, When::Before) => Fate::Fail(io::ErrorKind::WouldBlock),
            _ => Fate::GoOn,
        });
        match guard.check() {
            Ok(()) => assert!(!broken),
            Err(e) => assert!(broken && e.kind() == ErrorKind::Lost, "{e}"),
        }
    }
}

/// Inode numbers in a directory may differ from those in the attributes, as on Windows and on some overlay file systems.
#[test]
fn a_holder_is_identified_even_if_inode_numbers_in_the_directory_are_wrong() {
    let arena = Arena::new();
    let rival = arena.rival(Protocol::Link).acquire();
    let waiting = arena.dir.path().join(format!("job.lock{SEPARATOR}h{SEPARATOR}1{SEPARATOR}2"));
    Plain.create(&waiting, b"").unwrap();
    let listing = numbered_names(arena.dir.path()).unwrap().into_iter().map(|(name, _)| (name, 0)).collect();
    *arena.env.listing.lock().unwrap() = Some(listing);
    arena.env.on_call(|_, call, when, _| match (call, when) {
        (Call::Read, When::Before) => Fate::Fail(io::ErrorKind::PermissionDenied),
        _ => Fate::GoOn,
    });
    let e = arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap_err();
    assert_eq!(e.holder().map(|holder| &holder.token), Some(rival.token()), "{e}");
    rival.release().unwrap();
}
