//! What others may set, such as numbers, counts and times, costs a bounded share of time and memory, and blocks nobody for longer
//! than a lock may.

use std::sync::atomic::Ordering;

use super::faults::{Arena, BOTH};
use crate::State;
use crate::env::Env;
use crate::env::os::OsEnv;

/// How many names of directories `act` was shown.
fn shown<T>(arena: &Arena, act: impl FnOnce() -> T) -> (T, u64) {
    let before = arena.env.shown.load(Ordering::SeqCst);
    let done = act();
    (done, arena.env.shown.load(Ordering::SeqCst) - before)
}

/// The bug: each look of each waiter listed the whole directory at the lock path.
#[test]
fn a_look_at_a_directory_reads_no_more_names_than_tell_that_it_is_no_lock() {
    for (mode, name, most) in [(0o755, "", 2), (0o1755, "", 2), (0o1755, ".nfs", 1001)] {
        let arena = Arena::new();
        OsEnv.mkdir(&arena.path(), 0o755).unwrap();
        for number in 0..1200 {
            OsEnv.create(&arena.path().join(format!("{name}{number}")), b"", 0o644, &mut |_| None).unwrap();
        }
        OsEnv.chmod(&arena.path(), mode).unwrap();
        for protocol in BOTH {
            let (status, shown) = shown(&arena, || arena.lock(protocol).inspect().unwrap());
            assert_eq!(status.state, State::NotALock, "{protocol}, {mode:o}, {name}");
            assert!(shown <= most, "{protocol}, {mode:o}, {name}: {shown}");
        }
    }
}
