//! Lock files on which a program holds a lease, as file servers do: Samba for its oplocks, nfsd for its delegations.
#![expect(unsafe_code, reason = "fcntl(2)'s leases have no safe wrapper")]

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use linklock::{ErrorKind, Lock, Protocol, State, Wait, Which};

use crate::common::{BOTH, Ground, LONG, assert_names_holder, long_ago, plant};
use crate::snapshot;

/// The value in fcntl.h.
const F_SETSIG: libc::c_int = 10;

/// A lease: an open(2) of the file blocks until the lease is given up, or fails with EWOULDBLOCK if it must not block.
fn lease(path: &Path) -> File {
    let file = File::options().read(true).write(true).open(path).unwrap();
    for (command, value) in [(F_SETSIG, libc::SIGURG), (libc::F_SETLEASE, libc::F_WRLCK)] {
        // A child that another test has forked, and that has not executed its program yet, may have the file open.
        let mut tries = 100;
        // SAFETY: both calls take an integer. The first one chooses a signal that is ignored by default.
        while unsafe { libc::fcntl(file.as_raw_fd(), command, value) } != 0 {
            let e = io::Error::last_os_error();
            tries -= 1;
            assert!(tries > 0 && e.kind() == io::ErrorKind::WouldBlock, "{}: {e}", path.display());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    file
}

fn lock_at(ground: &Ground, protocol: Protocol) -> Lock {
    Lock::builder(ground.lock()).protocol(protocol).grace(Duration::ZERO).build().unwrap()
}

/// The bug: opening the lock file failed with EWOULDBLOCK. The consequence: acquire and status failed, and did not wait. The
/// mend: a name identifies the holder.
#[test]
fn a_lock_under_a_lease_is_waited_for_and_released() {
    for protocol in BOTH {
        let ground = Ground::new();
        let lock = lock_at(&ground, protocol);
        let held = lock.acquire().unwrap();
        let file = match protocol {
            Protocol::Dir => ground.lock().join(held.token().as_os_str()),
            _ => ground.lock(),
        };
        let _lease = lease(&file);
        let error = lock.acquire_with(&Wait::up_to(Duration::from_millis(50))).unwrap_err();
        assert!(error.is_timeout(), "{protocol}: {error}");
        assert_names_holder(&error, &held);
        let status = lock.inspect().unwrap();
        assert_eq!(
            (status.state, status.holder.map(|h| h.token)),
            (State::Held, Some(held.token().clone())),
            "{protocol}"
        );
        held.refresh().unwrap();
        held.check().unwrap();
        held.release().unwrap();
        assert_eq!(ground.names(), [""; 0], "{protocol}");
    }
}

#[test]
fn an_expired_link_lock_is_broken_under_any_lease() {
    let ground = Ground::new();
    plant(Protocol::Link, &ground.lock(), long_ago());
    let _lease = lease(&ground.lock());
    lock_at(&ground, Protocol::Link).acquire_with(&Wait::never()).unwrap().release().unwrap();
    assert_eq!(ground.names(), [""; 0]);
}

/// It may be a lock that lost its claim, or any other file.
#[test]
fn a_file_under_a_lease_without_a_claims_name_is_waited_for_and_left_alone() {
    for protocol in BOTH {
        let ground = Ground::new();
        fs::write(ground.lock(), "precious").unwrap();
        std::thread::sleep(Duration::from_millis(40));
        // The snapshot reads the file, which would wait for the lease.
        let before = snapshot::of(ground.dir());
        let lease = lease(&ground.lock());
        let lock = lock_at(&ground, protocol);
        for error in [
            lock.acquire_with(&Wait::up_to(Duration::from_millis(50))).map(drop).unwrap_err(),
            lock.break_lock(&Which::Expired).map(drop).unwrap_err(),
            lock.break_lock(&Which::Any).map(drop).unwrap_err(),
        ] {
            assert!(error.is_timeout(), "{protocol}: {error}");
        }
        drop(lease);
        assert_eq!(snapshot::of(ground.dir()), before, "{protocol}");
        let error = lock.acquire_with(&Wait::up_to(LONG)).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotALock, "{protocol}: {error}");
    }
}

/// Each operation that opened the file was an error for everybody, even for the holder.
#[test]
fn all_operations_work_under_any_lease() {
    for protocol in BOTH {
        let ground = Ground::new();
        let lock = lock_at(&ground, protocol);
        let file = |token: &linklock::Token| match protocol {
            Protocol::Dir => ground.lock().join(token.as_os_str()),
            _ => ground.lock(),
        };
        let token = lock.acquire().unwrap().leave();
        let first = lease(&file(&token));
        assert_eq!(lock.leftovers().unwrap().len(), usize::from(protocol == Protocol::Link), "{protocol}: its claim");
        let adopted = lock.adopt(&token).unwrap();
        adopted.refresh().unwrap();
        adopted.check().unwrap();
        adopted.release().unwrap();
        drop(first);
        for which in [Which::Expired, Which::Any] {
            let brief = Lock::builder(ground.lock()).protocol(protocol).lifetime(Duration::from_millis(10));
            let brief = brief.grace(Duration::ZERO).build().unwrap();
            let token = brief.acquire().unwrap().leave();
            std::thread::sleep(Duration::from_millis(50));
            let _lease = lease(&file(&token));
            brief.wait_until_free(&Wait::up_to(LONG)).unwrap();
            assert_eq!(brief.break_lock(&which).unwrap().unwrap().state, State::Expired, "{protocol}");
        }
        let token = lock.acquire().unwrap().leave();
        let _lease = lease(&file(&token));
        lock.break_lock(&Which::Claim(token)).unwrap().unwrap();
        assert_eq!(ground.names(), [""; 0], "{protocol}");
    }
}

/// Without its claim the lock has no name that identifies its holder.
#[test]
fn the_error_for_a_lock_without_its_claim_says_so_under_any_lease() {
    let ground = Ground::new();
    let lock = lock_at(&ground, Protocol::Link);
    let held = lock.acquire().unwrap();
    fs::remove_file(ground.dir().join(held.token().as_os_str())).unwrap();
    let _lease = lease(&ground.lock());
    assert_eq!(lock.inspect().unwrap().state, State::Held);
    assert!(lock.acquire_with(&Wait::up_to(Duration::from_millis(50))).unwrap_err().is_timeout());
    let token = held.token().clone();
    for error in [held.refresh().unwrap_err(), held.check().unwrap_err(), held.release().unwrap_err().into()] {
        assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
    }
    assert_eq!(lock.adopt(&token).unwrap_err().kind(), ErrorKind::NotHeld);
}
