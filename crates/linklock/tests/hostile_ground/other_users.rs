//! Locks of users who do not trust each other. Only root can be several users.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::time::Duration;

use linklock::{ErrorKind, Lock, Protocol, Wait, Which};

use crate::common::{BOTH, Ground, HOUR, assert_names_holder, long_ago, plant, say};
use crate::kernel::{NOBODY, as_nobody, is_root};
use crate::snapshot;

/// A directory that all may write to.
fn shared(mode: u32) -> Ground {
    let ground = Ground::new();
    fs::set_permissions(ground.dir(), fs::Permissions::from_mode(mode)).unwrap();
    ground
}

fn root_is_here(what: &str) -> bool {
    if !is_root() {
        say(&format!("not run: {what}: only root can be several users"));
    }
    is_root()
}

fn lock_at(ground: &Ground, protocol: Protocol) -> Lock {
    Lock::builder(ground.lock()).protocol(protocol).grace(Duration::ZERO).build().unwrap()
}

/// A lock of this user that is over.
fn left_overdue(ground: &Ground, protocol: Protocol, mode: u32) {
    let builder = Lock::builder(ground.lock()).protocol(protocol).mode(mode).lifetime(Duration::from_millis(10));
    builder.build().unwrap().acquire().unwrap().leave();
    // More than the lifetime and a tick or two of the clock.
    std::thread::sleep(Duration::from_millis(50));
}

#[test]
fn in_a_sticky_directory_nobody_breaks_anothers_lock_if_run_by_root() {
    if !root_is_here("a sticky directory") {
        return;
    }
    for protocol in BOTH {
        let ground = shared(0o1777);
        left_overdue(&ground, protocol, 0o644);
        let before = snapshot::of(ground.dir());
        let lock = lock_at(&ground, protocol);
        let errors = as_nobody(|| {
            [
                lock.acquire_with(&Wait::never()).map(drop).unwrap_err(),
                lock.break_lock(&Which::Expired).map(drop).unwrap_err(),
                lock.break_lock(&Which::Any).map(drop).unwrap_err(),
            ]
        });
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::CannotBreak, "{protocol}: {error}");
            assert_eq!(error.holder().unwrap().pid, std::process::id(), "{protocol}: names whose it is: {error}");
            assert!(error.to_string().contains(ground.lock().to_str().unwrap()), "{protocol}: {error}");
        }
        assert_eq!(snapshot::of(ground.dir()), before, "{protocol}");
    }
}

#[test]
fn in_a_sticky_directory_owner_and_root_break_a_lock_if_run_by_root() {
    if !root_is_here("a sticky directory") {
        return;
    }
    for protocol in BOTH {
        let ground = shared(0o1777);
        as_nobody(|| left_overdue(&ground, protocol, 0o644));
        as_nobody(|| lock_at(&ground, protocol).acquire_with(&Wait::never()).unwrap().release().unwrap());
        as_nobody(|| left_overdue(&ground, protocol, 0o644));
        lock_at(&ground, protocol).acquire_with(&Wait::never()).unwrap().release().unwrap();
        assert_eq!(ground.names(), [""; 0], "{protocol}");
    }
}

#[test]
fn in_a_shared_directory_users_take_turns_if_run_by_root() {
    if !root_is_here("a shared directory") {
        return;
    }
    for protocol in BOTH {
        for mode in [0o777, 0o1777] {
            let ground = shared(mode);
            let lock = lock_at(&ground, protocol);
            let held = lock.acquire().unwrap();
            let error = as_nobody(|| lock.acquire_with(&Wait::never()).map(drop).unwrap_err());
            assert_names_holder(&error, &held);
            held.release().unwrap();
            as_nobody(|| lock.acquire_with(&Wait::never()).unwrap().release().unwrap());
            let held = as_nobody(|| lock.acquire_with(&Wait::never()).unwrap());
            assert!(lock.acquire_with(&Wait::never()).unwrap_err().is_timeout(), "{protocol}");
            as_nobody(|| held.release().unwrap());
            assert_eq!(ground.names(), [""; 0], "{protocol}");
        }
    }
}

#[test]
fn in_a_shared_directory_without_sticky_bit_anybody_breaks_a_link_lock_if_run_by_root() {
    if !root_is_here("a shared directory") {
        return;
    }
    let ground = shared(0o777);
    left_overdue(&ground, Protocol::Link, 0o644);
    as_nobody(|| lock_at(&ground, Protocol::Link).acquire_with(&Wait::never()).unwrap().release().unwrap());
    assert_eq!(ground.names(), [""; 0]);
}

#[test]
fn a_link_lock_that_may_not_be_read_is_waited_for_and_broken_once_it_is_over_if_run_by_root() {
    if !root_is_here("a lock that may not be read") {
        return;
    }
    let ground = shared(0o777);
    let builder = Lock::builder(ground.lock()).lifetime(HOUR).mode(0o600);
    let held = builder.build().unwrap().acquire().unwrap();
    let lock = lock_at(&ground, Protocol::Link);
    let error = as_nobody(|| lock.acquire_with(&Wait::never()).map(drop).unwrap_err());
    assert!(error.is_timeout(), "{error}");
    assert_names_holder(&error, &held);
    held.release().unwrap();
    left_overdue(&ground, Protocol::Link, 0o600);
    as_nobody(|| lock.acquire_with(&Wait::never()).unwrap().release().unwrap());
    assert_eq!(ground.names(), [""; 0]);
}

#[test]
fn a_dir_lock_that_may_not_be_listed_is_waited_for_if_run_by_root() {
    if !root_is_here("a lock that may not be listed") {
        return;
    }
    for lifetime in [HOUR, Duration::from_millis(10)] {
        let ground = shared(0o777);
        let builder = Lock::builder(ground.lock()).protocol(Protocol::Dir).lifetime(lifetime);
        builder.mode(0o600).build().unwrap().acquire().unwrap().leave();
        let before = snapshot::of(ground.dir());
        let lock = lock_at(&ground, Protocol::Dir);
        let error = as_nobody(|| lock.acquire_with(&Wait::never()).map(drop).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(error.to_string().contains(ground.lock().to_str().unwrap()), "{error}");
        assert_eq!(snapshot::of(ground.dir()), before);
    }
}

/// A file of another user that a lock file's name is given to, say by a program that wants it removed.
#[test]
fn an_unreadable_ordinary_file_is_left_alone_if_run_by_root() {
    if !root_is_here("an unreadable file") {
        return;
    }
    for protocol in BOTH {
        for links in [1, 2] {
            let ground = shared(0o777);
            fs::write(ground.lock(), "secret").unwrap();
            fs::set_permissions(ground.lock(), fs::Permissions::from_mode(0o600)).unwrap();
            if links == 2 {
                fs::hard_link(ground.lock(), ground.dir().join("other")).unwrap();
            }
            let before = snapshot::of(ground.dir());
            let lock = lock_at(&ground, protocol);
            let errors = as_nobody(|| {
                [
                    lock.acquire_with(&Wait::never()).map(drop).unwrap_err(),
                    lock.break_lock(&Which::Any).map(drop).unwrap_err(),
                ]
            });
            for error in errors {
                assert!(
                    matches!(error.kind(), ErrorKind::Permission | ErrorKind::CannotBreak | ErrorKind::Timeout),
                    "{protocol}: {error}"
                );
            }
            assert_eq!(snapshot::of(ground.dir()), before, "{protocol}: {links} links");
        }
    }
}

#[test]
fn a_lock_in_a_directory_of_ones_own_is_had_without_any_rights_if_run_by_root() {
    if !root_is_here("an unprivileged user") {
        return;
    }
    for protocol in BOTH {
        let ground = Ground::new();
        chown(ground.dir(), Some(NOBODY), Some(NOBODY)).unwrap();
        as_nobody(|| {
            let guard = lock_at(&ground, protocol).acquire().unwrap();
            guard.refresh().unwrap();
            guard.check().unwrap();
            guard.release().unwrap();
        });
        assert_eq!(ground.names(), [""; 0], "{protocol}");
    }
}

/// The bug: the crash of one user's breaker keeps all others, who may break locks here, from breaking any for ever.
#[test]
fn a_breakers_guard_that_another_user_left_is_got_rid_of_like_a_lock_if_run_by_root() {
    if !root_is_here("another user's breaker") {
        return;
    }
    let ground = shared(0o777);
    left_overdue(&ground, Protocol::Link, 0o644);
    // As a breaker that was killed at it leaves it.
    let guard = ground.dir().join("lock|break");
    plant(Protocol::Dir, &guard, long_ago());
    std::fs::set_permissions(guard, std::fs::Permissions::from_mode(0o777)).unwrap();
    as_nobody(|| lock_at(&ground, Protocol::Link).acquire_with(&Wait::never()).unwrap().release().unwrap());
}
