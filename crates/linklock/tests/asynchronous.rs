//! Many tasks that wait for one lock, and the threads that they need. A process of its own, since its threads are counted.
#![cfg(feature = "tokio")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test says by a panic what went wrong, and stands outside of what the library asks of the world"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use linklock::{Lock, Protocol, Wait};
use tokio::runtime::Builder;

/// A safety net.
const LONG: Duration = Duration::from_secs(120);

const WAITERS: usize = 200;

/// What the runtime has, with its pool.
const POOL: usize = 4;

/// The names of this process's threads.
#[cfg(target_os = "linux")]
fn threads() -> Vec<String> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok()).collect()
}

#[cfg(not(target_os = "linux"))]
fn threads() -> Vec<String> {
    Vec::new()
}

fn turns(protocol: Protocol, queue: bool) {
    let runtime = Builder::new_current_thread().enable_time().max_blocking_threads(POOL).build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let lock = Lock::builder(dir.path().join("lock")).protocol(protocol).queue(queue).build().unwrap();
    let held = lock.acquire().unwrap();
    let (turns, is_held) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    runtime.block_on(async {
        let (waits, mut waiting) = tokio::sync::mpsc::unbounded_channel();
        let tasks: Vec<_> = (0..WAITERS)
            .map(|number| {
                let (lock, turns, is_held, waits) = (lock.clone(), turns.clone(), is_held.clone(), waits.clone());
                let wait = Wait::forever().reporting(move |_| {
                    let _ = waits.send(number);
                });
                tokio::spawn(async move {
                    let guard = lock.acquire_async(&wait).await.unwrap();
                    assert!(!is_held.swap(true, Ordering::SeqCst), "one at a time");
                    tokio::task::yield_now().await;
                    turns.fetch_add(1, Ordering::SeqCst);
                    is_held.store(false, Ordering::SeqCst);
                    guard.release_async().await.unwrap();
                })
            })
            .collect();
        let mut all = BTreeSet::new();
        while all.len() < WAITERS {
            all.insert(tokio::time::timeout(LONG, waiting.recv()).await.expect("all wait").unwrap());
        }
        let threads = threads();
        // The test harness's, the pool's, the one that waits for all.
        assert!(threads.len() <= POOL + 4, "{threads:?}");
        held.release_async().await.unwrap();
        for task in tasks {
            tokio::time::timeout(LONG, task).await.expect("each gets its turn").unwrap();
        }
    });
    assert_eq!(turns.load(Ordering::SeqCst), WAITERS);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn many_tasks_take_turns_and_have_few_threads_which_end() {
    for protocol in [Protocol::Link, Protocol::Dir] {
        for queue in [false, true] {
            turns(protocol, queue);
        }
    }
    // The pool's threads end with their runtimes; the one that waits for tasks when none sleeps any more.
    let ended = (0..1000).any(|_| {
        let waits = threads().iter().any(|name| name.starts_with("linklock-wait"));
        if waits {
            std::thread::sleep(Duration::from_millis(10));
        }
        !waits
    });
    assert!(ended, "{:?}", threads());
}
