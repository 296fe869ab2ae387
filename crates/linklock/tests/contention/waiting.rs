//! How a contender waits, and what ends its wait.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use linklock::{Cancel, ErrorKind, Guard, Lock, Protocol, Wait};

use crate::common::{BOTH, Ground, HOUR, LONG, assert_names_holder, long_ago, plant};
use crate::settings::Settings;

/// A thread that certainly waits for the lock.
fn start_waiting(lock: Lock, wait: Wait) -> thread::JoinHandle<Result<Guard, linklock::Error>> {
    let (waits, waiting) = mpsc::channel();
    let wait = wait.reporting(move |_| {
        // Only the first report is read.
        let _ = waits.send(());
    });
    let waiter = thread::spawn(move || lock.acquire_with(&wait));
    waiting.recv_timeout(LONG).expect("it waits");
    waiter
}

#[test]
fn a_waiter_gets_the_lock_once_it_is_released() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol);
        let held = settings.lock().acquire().unwrap();
        let waiter = start_waiting(settings.lock(), Wait::up_to(LONG));
        held.release().unwrap();
        waiter.join().unwrap().unwrap().release().unwrap();
    }
}

#[test]
fn a_wait_is_cancelled_from_another_thread() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol);
        let held = settings.lock().acquire().unwrap();
        let cancel = Cancel::new().unwrap();
        let waiter = start_waiting(settings.lock(), Wait::forever().cancelled_by(&cancel));
        cancel.cancel();
        let error = waiter.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{protocol}: {error}");
        assert_names_holder(&error, &held);
        let waited = settings.lock().wait_until_free(&Wait::forever().cancelled_by(&cancel));
        assert_eq!(waited.unwrap_err().kind(), ErrorKind::Cancelled, "{protocol}: it stays so");
        held.release().unwrap();
        assert_eq!(ground.names(), [""; 0], "{protocol}: a waiter that gave up leaves nothing");
    }
}

#[test]
fn a_time_out_names_the_path_and_the_holder() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol);
        let held = settings.clone().host("host.example").lock().acquire().unwrap();
        for wait in [Wait::never(), Wait::up_to(Duration::from_millis(50))] {
            let error = settings.lock().acquire_with(&wait).unwrap_err();
            assert_eq!((error.kind(), error.path()), (ErrorKind::Timeout, Some(&*ground.lock())), "{protocol}");
            assert_names_holder(&error, &held);
            for part in [ground.lock().to_str().unwrap(), "host.example"] {
                assert!(error.to_string().contains(part), "{protocol}: no {part} in: {error}");
            }
        }
        let lock = Lock::builder(ground.lock()).protocol(protocol).build().unwrap();
        assert!(lock.try_acquire().unwrap().is_none(), "{protocol}");
    }
}

#[test]
fn one_attempt_without_waiting_breaks_an_expired_lock() {
    for protocol in BOTH {
        for planted in BOTH {
            let ground = Ground::new();
            plant(planted, &ground.lock(), long_ago());
            let guard = Settings::new(&ground.lock(), protocol)
                .grace(Duration::ZERO)
                .lock()
                .acquire_with(&Wait::never())
                .unwrap();
            guard.check().unwrap();
            guard.release().unwrap();
            assert_eq!(ground.names(), [""; 0], "{protocol}: a broken {planted} lock leaves nothing");
        }
    }
}

#[test]
fn a_lock_within_its_grace_is_not_broken_and_one_beyond_it_is() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol).lifetime(HOUR);
        plant(protocol, &ground.lock(), SystemTime::now() - Duration::from_millis(1));
        let error = settings.clone().grace(HOUR).lock().acquire_with(&Wait::never()).unwrap_err();
        assert!(error.is_timeout(), "{protocol}: {error}");
        settings.grace(Duration::ZERO).lock().acquire_with(&Wait::never()).unwrap().release().unwrap();
    }
}

#[test]
fn a_shorter_lifetime_binds_the_holder_and_with_link_the_others_too() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol).lifetime(HOUR).grace(Duration::ZERO);
        let guard = settings.lock().acquire().unwrap();
        guard.refresh_for(Duration::from_secs(1)).unwrap();
        assert_eq!(guard.lifetime(), Duration::from_secs(1), "{protocol}");
        assert!(guard.loss().wait(), "{protocol}: for the holder");
        match (protocol, settings.lock().acquire_with(&Wait::up_to(Duration::from_secs(2)))) {
            (Protocol::Link, next) => next.unwrap_or_else(|e| panic!("{e}")).release().unwrap(),
            // A dir lock's entry gives a lifetime for good, from its last change, so that no late request can shorten it.
            (_, next) => assert!(next.unwrap_err().is_timeout()),
        }
    }
}

/// The bug (in flufl.lock): a contender links a claim that expired during its long wait. The consequence: the lock is broken
/// at once. The mend: a new expiry before every link.
#[test]
fn a_waiter_that_waits_longer_than_its_lifetime_gets_a_lock_that_lasts() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol);
        let held = settings.clone().lifetime(HOUR).lock().acquire().unwrap();
        let lifetime = Duration::from_secs(1);
        // If its claim had expired when it came to the lock path, it would stay there for an hour.
        let waiter = start_waiting(settings.lifetime(lifetime).grace(HOUR).lock(), Wait::up_to(LONG));
        thread::sleep(lifetime + lifetime / 10);
        held.release().unwrap();
        let guard = waiter.join().unwrap().unwrap_or_else(|e| panic!("{protocol}: {e}"));
        assert!(!guard.is_lost(), "{protocol}");
        guard.release().unwrap_or_else(|e| panic!("{protocol}: {e}"));
    }
}

/// The bug (in flufl.lock): a release after the deadline removes a successor's lock. The mend: it leaves the lock path alone.
#[test]
fn a_link_holder_that_overstayed_leaves_the_lock_path_alone() {
    let ground = Ground::new();
    let guard =
        Settings::new(&ground.lock(), Protocol::Link).lifetime(Duration::from_millis(50)).lock().acquire().unwrap();
    assert!(guard.loss().wait());
    assert!(guard.release().unwrap_err().error().is_lost());
    assert_eq!(ground.names(), ["lock"], "its claim is removed; a breaker removes the lock");
}

#[test]
fn a_holder_that_was_broken_does_not_release_its_successor() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol).grace(Duration::ZERO);
        let late = settings.clone().lifetime(Duration::from_millis(50)).lock().acquire().unwrap();
        let next = settings.lifetime(HOUR).lock().acquire_with(&Wait::up_to(LONG)).unwrap();
        assert!(late.is_lost(), "{protocol}");
        assert!(late.check().unwrap_err().is_lost(), "{protocol}");
        drop(late);
        next.check().unwrap_or_else(|e| panic!("{protocol}: {e}"));
        next.release().unwrap();
        assert_eq!(ground.names(), [""; 0], "{protocol}");
    }
}

#[test]
fn a_waiter_whose_claim_was_removed_creates_another_and_gets_the_lock() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol);
        let held = settings.lock().acquire().unwrap();
        let waiter = start_waiting(settings.lock(), Wait::up_to(LONG));
        let waiting: Vec<PathBuf> = ground
            .names()
            .iter()
            .filter(|name| *name != "lock" && *name != &held.token().to_string())
            .map(|name| ground.dir().join(name))
            .collect();
        let [claim] = &waiting[..] else { panic!("{protocol}: {waiting:?}") };
        if protocol == Protocol::Dir { fs::remove_dir_all(claim) } else { fs::remove_file(claim) }.unwrap();
        held.release().unwrap();
        waiter.join().unwrap().unwrap_or_else(|e| panic!("{protocol}: {e}")).release().unwrap();
        assert_eq!(ground.names(), [""; 0], "{protocol}");
    }
}

#[test]
fn a_wait_until_the_lock_is_free_does_not_acquire_it() {
    for protocol in BOTH {
        let ground = Ground::new();
        let lock = Settings::new(&ground.lock(), protocol).lock();
        let held = lock.acquire().unwrap();
        let names = ground.names();
        let error = lock.wait_until_free(&Wait::never()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{protocol}: {error}");
        assert_names_holder(&error, &held);
        assert_eq!(ground.names(), names, "{protocol}: it creates no claim");
        let waiter = thread::spawn({
            let lock = lock.clone();
            move || lock.wait_until_free(&Wait::up_to(LONG))
        });
        held.release().unwrap();
        waiter.join().unwrap().unwrap();
        assert_eq!(ground.names(), [""; 0], "{protocol}");
    }
}
