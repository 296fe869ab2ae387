//! What the library's threads share and wait with, here: shuttle decides which of them runs next, and a wait with a time-out ends
//! when simulated time passes.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::{Arc, LockResult, Weak};
use std::time::Duration;

pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use shuttle::sync::{Condvar as Bell, WaitTimeoutResult};
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
use shuttle::thread;

std::thread_local! {
    /// Those of this run: shuttle runs all threads of a run in one of the system.
    static BELLS: RefCell<Vec<Weak<Bell>>> = const { RefCell::new(Vec::new()) };
    /// How many threads that the library has started have not ended.
    static THREADS: Cell<u32> = const { Cell::new(0) };
}

#[derive(Debug)]
pub(crate) struct Condvar(Arc<Bell>);

impl Condvar {
    pub(crate) fn new() -> Self {
        let bell = Arc::new(Bell::new());
        BELLS.with_borrow_mut(|bells| bells.push(Arc::downgrade(&bell)));
        Self(bell)
    }

    /// Until it is notified, or time passes: whoever waits looks at the clock.
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        time: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        self.0.wait_timeout(guard, time)
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Starts threads that are waited for by [`end`].
#[derive(Debug)]
pub(crate) struct Builder(thread::Builder);

impl Builder {
    pub(crate) fn new() -> Self {
        Self(thread::Builder::new())
    }

    pub(crate) fn name(self, name: String) -> Self {
        Self(self.0.name(name))
    }

    pub(crate) fn spawn(self, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        THREADS.set(THREADS.get() + 1);
        let counted = move || {
            run();
            THREADS.set(THREADS.get() - 1);
        };
        self.0.spawn(counted).map(drop)
    }
}

/// To be called before a run.
pub(crate) fn begin() {
    BELLS.take();
    THREADS.set(0);
}

/// Waits until the library's threads have ended, which have nothing left to do.
pub(crate) fn end() {
    while THREADS.get() > 0 {
        time_passes();
        thread::yield_now();
    }
}

/// Ends all waits with a time-out, for their threads to look at the clock.
pub(crate) fn time_passes() {
    let bells: Vec<_> = BELLS.with_borrow(|bells| bells.iter().filter_map(Weak::upgrade).collect());
    bells.iter().for_each(|bell| bell.notify_all());
}
