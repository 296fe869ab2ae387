//! Contenders that take the lock in the order in which they came, and fairness without that.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use linklock::{Builder, ErrorKind, Lock, OnBehalfOf, Protocol, SEPARATOR, Wait};

use crate::common::{BOTH, Ground, LONG};
use crate::puppet::Puppet;
use crate::settings::Settings;

fn queue_of(ground: &Ground) -> PathBuf {
    ground.dir().join(format!("lock{SEPARATOR}queue"))
}

fn queuing(ground: &Ground, protocol: Protocol) -> Builder {
    Lock::builder(ground.lock()).protocol(protocol).queue(true)
}

/// Waits until so many have a ticket.
fn until_queued(ground: &Ground, number: usize) {
    let started = Instant::now();
    while fs::read_dir(queue_of(ground)).map_or(0, Iterator::count) < number {
        assert!(started.elapsed() < LONG, "{number} contenders queue up");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_queue_is_served_in_the_order_of_arrival() {
    for protocol in BOTH {
        let ground = Ground::new();
        let held = queuing(&ground, protocol).build().unwrap().acquire().unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let waiters: Vec<_> = (0..8)
            .map(|number| {
                let (lock, order) = (queuing(&ground, protocol).build().unwrap(), Arc::clone(&order));
                let waiter = thread::spawn(move || {
                    let guard = lock.acquire_with(&Wait::up_to(LONG)).unwrap();
                    order.lock().unwrap().push(number);
                    guard.release().unwrap();
                });
                until_queued(&ground, number + 1);
                waiter
            })
            .collect();
        held.release().unwrap();
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..8).collect::<Vec<_>>(), "{protocol}");
        assert_eq!(ground.names(), [""; 0], "{protocol}: the queue is gone with the last who waited");
    }
}

#[test]
fn a_newcomer_does_not_overtake_the_queue() {
    for protocol in BOTH {
        let ground = Ground::new();
        // One that is next, and does not come: it waits in another machine, as far as can be known here.
        let absent = queuing(&ground, protocol).on_behalf_of(OnBehalfOf::Nobody).build().unwrap();
        let held = absent.acquire().unwrap();
        let cancel = linklock::Cancel::new().unwrap();
        let next = {
            let (lock, cancel) = (absent.clone(), cancel.clone());
            thread::spawn(move || lock.acquire_with(&Wait::forever().cancelled_by(&cancel)).map(drop))
        };
        until_queued(&ground, 1);
        let name = fs::read_dir(queue_of(&ground)).unwrap().next().unwrap().unwrap().file_name();
        cancel.cancel();
        assert_eq!(next.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled, "{protocol}");
        assert!(!queue_of(&ground).exists(), "{protocol}: who gives up leaves the queue");
        fs::create_dir(queue_of(&ground)).unwrap();
        fs::write(queue_of(&ground).join(name), "").unwrap();
        held.release().unwrap();
        let lock = queuing(&ground, protocol).build().unwrap();
        let error = lock.acquire_with(&Wait::up_to(Duration::from_millis(100))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{protocol}: it waits behind the other: {error}");
        lock.acquire_with(&Wait::never()).unwrap().release().unwrap();
    }
}

#[test]
fn the_dead_lose_their_place_in_the_queue() {
    for protocol in BOTH {
        let ground = Ground::new();
        let held = queuing(&ground, protocol).build().unwrap().acquire().unwrap();
        let mut process = Puppet::start(&Settings::new(&ground.lock(), protocol));
        let cancel = linklock::Cancel::new().unwrap();
        let dying = queuing(&ground, protocol).on_behalf_of(OnBehalfOf::Process(process.pid())).build().unwrap();
        let first = {
            let cancel = cancel.clone();
            thread::spawn(move || dying.acquire_with(&Wait::forever().cancelled_by(&cancel)).map(drop))
        };
        until_queued(&ground, 1);
        let lock = queuing(&ground, protocol).build().unwrap();
        let second = thread::spawn(move || lock.acquire_with(&Wait::up_to(LONG)).unwrap().release());
        until_queued(&ground, 2);
        let ticket = fs::read_dir(queue_of(&ground)).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
        process.kill();
        let started = Instant::now();
        while ticket.exists() {
            // Far less than a ticket lasts by itself.
            assert!(started.elapsed() < Duration::from_secs(30), "{protocol}: the next in the queue sees its end");
            thread::sleep(Duration::from_millis(1));
        }
        cancel.cancel();
        assert!(first.join().unwrap().is_err(), "{protocol}");
        held.release().unwrap();
        second.join().unwrap().unwrap();
    }
}

/// Nobody is passed over for ever, with the queue and without.
#[test]
fn one_old_waiter_comes_in_between_many_newcomers() {
    for (protocol, queue) in BOTH.into_iter().flat_map(|protocol| [(protocol, true), (protocol, false)]) {
        let ground = Ground::new();
        let build = || Lock::builder(ground.lock()).protocol(protocol).queue(queue).build().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let turns = Arc::new(AtomicU32::new(0));
        let newcomers: Vec<_> = (0..6)
            .map(|_| {
                let (lock, over, turns) = (build(), Arc::clone(&over), Arc::clone(&turns));
                thread::spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let guard = lock.acquire_with(&Wait::up_to(LONG)).unwrap();
                        turns.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(Duration::from_millis(2));
                        guard.release().unwrap();
                    }
                })
            })
            .collect();
        while turns.load(Ordering::Relaxed) < 20 {
            thread::sleep(Duration::from_millis(1));
        }
        let before = turns.load(Ordering::Relaxed);
        let old = build().acquire_with(&Wait::up_to(LONG));
        let passed = turns.load(Ordering::Relaxed) - before;
        over.store(true, Ordering::Relaxed);
        old.unwrap_or_else(|e| panic!("{protocol}, queue {queue}: {e}")).release().unwrap();
        for newcomer in newcomers {
            newcomer.join().unwrap();
        }
        // Six may have come before it, and one may have held the lock when it came.
        assert!(!queue || passed <= 8, "{protocol}: {passed} turns before it, in a queue");
    }
}
