//! Several locks at once: one order for everybody, all or none, and none lost while another is waited for.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use super::faults::BOTH;
use super::plain::Plain;
use crate::{ErrorKind, Lock, Protocol, Wait, acquire_all};

fn lock(dir: &tempfile::TempDir, name: &str, protocol: Protocol, lifetime_ms: u64) -> Lock {
    let builder = Lock::builder(dir.path().join(name)).protocol(protocol);
    builder.lifetime(Duration::from_millis(lifetime_ms)).build().unwrap()
}

fn names(dir: &tempfile::TempDir) -> usize {
    Plain.list(dir.path()).unwrap().len()
}

#[test]
fn they_are_taken_in_one_order_and_released_in_reverse() {
    for protocol in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| lock(&dir, name, protocol, 60_000));
        for order in [[&a, &b, &c], [&c, &a, &b], [&b, &c, &a]] {
            let held = acquire_all(order, &Wait::never()).unwrap();
            let taken: Vec<_> = held.iter().map(|guard| guard.path().to_owned()).collect();
            assert_eq!(taken, [&a, &b, &c].map(|lock| lock.path().to_owned()));
            assert_eq!(held.of(&b).unwrap().path(), b.path());
            assert!(held.lost().is_none());
            held.release().unwrap();
        }
        assert_eq!(names(&dir), 0, "{protocol}");
    }
}

#[test]
fn all_are_had_or_none() {
    for protocol in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| lock(&dir, name, protocol, 60_000));
        let other = b.acquire().unwrap();
        for wait in [Wait::never(), Wait::up_to(Duration::from_millis(50))] {
            let error = acquire_all([&c, &b, &a], &wait).unwrap_err();
            assert!(error.is_timeout(), "{error}");
            assert!(
                error.to_string().starts_with(&format!("{}: not acquired", crate::Printable::new(b.path()))),
                "{error}"
            );
        }
        for free in [&a, &c] {
            free.try_acquire().unwrap().expect("it is free").release().unwrap();
        }
        other.release().unwrap();
        assert_eq!(names(&dir), 0, "{protocol}");
    }
}

#[test]
fn one_lock_path_cannot_be_named_twice_whatever_leads_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let a = lock(&dir, "a", Protocol::Link, 60_000);
    let again = Lock::new(dir.path().join("../").join(dir.path().file_name().unwrap()).join("a")).unwrap();
    for twice in [[&a, &a], [&a, &again]] {
        let error = acquire_all(twice, &Wait::forever()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let namesake = lock(&elsewhere, "a", Protocol::Link, 60_000);
    acquire_all([&a, &namesake], &Wait::never()).unwrap().release().unwrap();
    assert_eq!(names(&dir), 0);
}

/// The wait is longer than the lifetime of what is held already.
#[test]
fn what_is_held_is_kept_alive_while_another_is_waited_for_and_not_after() {
    for protocol in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| lock(&dir, name, protocol, 900));
        let longer = lock(&dir, "b", protocol, 60_000).acquire().unwrap();
        let (has, had) = channel();
        let waiter = thread::spawn(move || {
            let held = acquire_all([&a, &b], &Wait::forever());
            has.send(()).unwrap();
            held
        });
        assert!(had.recv_timeout(Duration::from_secs(2)).is_err(), "it waits");
        longer.release().unwrap();
        let held = waiter.join().unwrap().unwrap();
        assert_eq!(held.iter().filter(|guard| guard.is_lost()).count(), 0);
        // Nobody keeps it any more.
        let losses = held.losses();
        assert!(losses.iter().all(|loss| loss.wait()));
        assert!(held.lost().is_some() && held.remaining().is_zero());
    }
}
