//! Threads of one process exclude each other like processes do.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use linklock::{Lock, Wait};

use crate::common::{BOTH, Ground};

const THREADS: usize = 8;
const TIMES: u32 = 12;

/// What only one may do at a time.
#[derive(Default)]
struct Inside {
    inside: AtomicBool,
    times: AtomicU32,
}

impl Inside {
    fn go_in_and_out(&self, lock: &Lock) {
        for _ in 0..TIMES {
            let guard = lock.acquire().unwrap();
            assert!(!self.inside.swap(true, Ordering::Relaxed), "another thread is inside");
            let times = self.times.load(Ordering::Relaxed);
            std::thread::yield_now();
            self.times.store(times + 1, Ordering::Relaxed);
            assert!(self.inside.swap(false, Ordering::Relaxed), "another thread went out");
            guard.release().unwrap();
        }
    }
}

#[test]
fn threads_that_share_one_lock_are_inside_one_at_a_time() {
    for protocol in BOTH {
        let ground = Ground::new();
        let lock = Lock::builder(ground.lock()).protocol(protocol).build().unwrap();
        let inside = Inside::default();
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| inside.go_in_and_out(&lock));
            }
        });
        assert_eq!(inside.times.into_inner(), THREADS as u32 * TIMES, "{protocol}");
        assert_eq!(ground.names(), [""; 0], "{protocol}: nothing is left");
    }
}

#[test]
fn two_locks_on_one_path_in_one_process_exclude_each_other() {
    for protocol in BOTH {
        let ground = Ground::new();
        let [one, other] = [(); 2].map(|()| Lock::builder(ground.lock()).protocol(protocol).build().unwrap());
        let held = one.acquire().unwrap();
        let error = other.acquire_with(&Wait::never()).unwrap_err();
        assert_eq!(error.holder().unwrap().pid, std::process::id(), "{protocol}: {error}");
        held.release().unwrap();

        let inside = Inside::default();
        std::thread::scope(|scope| {
            for lock in [&one, &other] {
                scope.spawn(|| inside.go_in_and_out(lock));
            }
        });
        assert_eq!(inside.times.into_inner(), 2 * TIMES, "{protocol}");
    }
}

#[test]
fn the_two_protocols_exclude_each_other_on_one_path() {
    let ground = Ground::new();
    let [link, dir] = BOTH.map(|protocol| Lock::builder(ground.lock()).protocol(protocol).build().unwrap());
    for (holder, contender) in [(&link, &dir), (&dir, &link)] {
        let held = holder.acquire().unwrap();
        assert!(contender.acquire_with(&Wait::never()).unwrap_err().is_timeout());
        held.check().unwrap();
        held.release().unwrap();
    }
    let inside = Inside::default();
    std::thread::scope(|scope| {
        for lock in [&link, &dir, &link, &dir] {
            scope.spawn(|| inside.go_in_and_out(lock));
        }
    });
    assert_eq!(inside.times.into_inner(), 4 * TIMES);
}

#[test]
fn fencing_tokens_grow_in_the_order_in_which_threads_are_inside() {
    let ground = Ground::new();
    let drawn = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for n in 0..THREADS {
            let lock = Lock::builder(ground.lock()).protocol(BOTH[n % 2]).fence(true).build().unwrap();
            let drawn = &drawn;
            scope.spawn(move || {
                for _ in 0..TIMES {
                    let guard = lock.acquire().unwrap();
                    drawn.lock().unwrap().push(guard.fencing_token().unwrap());
                    guard.release().unwrap();
                }
            });
        }
    });
    let drawn = drawn.into_inner().unwrap();
    assert_eq!(drawn.len(), THREADS * TIMES as usize);
    assert!(drawn.is_sorted_by(|a, b| a < b), "{drawn:?}");
}
