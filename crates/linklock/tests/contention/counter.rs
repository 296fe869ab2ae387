//! The simplest property: counts that are made under the lock are never lost.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;

use crate::common::{BOTH, Ground};
use crate::processes::start;
use crate::settings::{Settings, env_value};

const WORKERS: usize = 8;
// Under Wine a turn among eight processes takes some 60 ms.
const SHARE: u64 = if cfg!(windows) { 25 } else { 100 };

#[test]
fn eight_processes_that_count_under_the_lock_lose_no_count() {
    for protocol in BOTH {
        let ground = Ground::new();
        let counter = ground.dir().join("counter");
        fs::write(&counter, 0_u64.to_ne_bytes()).unwrap();
        let settings = Settings::new(&ground.lock(), protocol);
        let worker = || start(settings.command("count").env("WORKER_COUNTER", &counter));
        let workers: Vec<_> = (0..WORKERS).map(|_| worker()).collect();
        for mut worker in workers {
            assert!(worker.wait().unwrap().success(), "{protocol}: a worker could acquire the lock often enough");
        }
        let counted = u64::from_ne_bytes(fs::read(&counter).unwrap().try_into().unwrap());
        assert_eq!(counted, WORKERS as u64 * SHARE, "{protocol}: counts made under the lock");
        assert_eq!(ground.names(), ["counter"], "{protocol}: released locks leave nothing");
    }
}

/// A worker process: it reads, adds one and writes. Only the lock keeps these three steps together.
pub(crate) fn count() {
    // Written in place: after a truncation ext4 would go to the disk each time.
    let mut counter = File::options().read(true).write(true).open(env_value::<PathBuf>("WORKER_COUNTER")).unwrap();
    let lock = Settings::from_env().lock();
    for _ in 0..SHARE {
        let guard = lock.acquire().unwrap();
        let mut count = [0; 8];
        counter.rewind().unwrap();
        counter.read_exact(&mut count).unwrap();
        std::thread::yield_now();
        let next = u64::from_ne_bytes(count) + 1;
        counter.rewind().unwrap();
        counter.write_all(&next.to_ne_bytes()).unwrap();
        guard.release().unwrap();
    }
}
