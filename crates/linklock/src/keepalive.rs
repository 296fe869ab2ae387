//! One background thread that refreshes all guards of the process that are kept alive.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use crate::env::PerProcess;
use crate::error::ErrorKind;
use crate::printable::Printable;
use crate::sync::{Builder, Condvar, Mutex, MutexGuard};
use crate::tenure::{Tenure, sleep};
use crate::time::LocalTime;

/// Keeps a lock alive from now on, if it is not kept already: refreshes it at a third of its lifetime until it is released, left, lost
/// or not to be kept any more. Fails where no thread can be had; then it lasts as long as before.
pub(crate) fn begin(tenure: &Arc<Tenure>) -> io::Result<()> {
    if !tenure.begin_keeping() {
        return Ok(());
    }
    keep(tenure).inspect_err(|_| tenure.stop_keeping())
}

fn keep(tenure: &Arc<Tenure>) -> io::Result<()> {
    let keeper = Keeper::of_process(tenure.owner);
    let at = next_refresh(tenure);
    let mut kept = keeper.lock();
    if !kept.running {
        Builder::new().name("linklock-keep".into()).spawn(|| keeper.run_through_panics())?;
        kept.running = true;
    }
    let is_first = kept.due.peek().is_none_or(|Reverse(first)| at < first.at);
    kept.push(at, tenure);
    drop(kept);
    if is_first {
        keeper.changed.notify_one();
    }
    Ok(())
}

fn next_refresh(tenure: &Tenure) -> LocalTime {
    let now = tenure.place.env.now();
    // Trusted for five sixths of the lifetime: two fifths of that are a third of the whole.
    now + tenure.trusted_until().since(now) * 2 / 5
}

/// A refresh that failed for a reason that may pass is tried again, this often before the loss is certain.
const RETRIES: u32 = 8;

/// So long the thread pauses before it begins again.
const AFTER_PANIC: Duration = Duration::from_millis(10);

/// Each process has a keeper of its own.
struct Keeper {
    kept: Mutex<Kept>,
    changed: Condvar,
}

#[derive(Default)]
struct Kept {
    running: bool,
    due: BinaryHeap<Reverse<Due>>,
    /// How many were found alive at the last clearing.
    alive: usize,
}

impl Kept {
    fn push(&mut self, at: LocalTime, tenure: &Arc<Tenure>) {
        // Guards that are gone stay in the heap until they are due: clear it when they may be the most of it.
        if self.due.len() > 2 * self.alive + 64 {
            self.due.retain(|Reverse(due)| due.tenure.strong_count() > 0);
            self.alive = self.due.len();
        }
        self.due.push(Reverse(Due { at, tenure: Arc::downgrade(tenure) }));
    }
}

impl Keeper {
    fn of_process(process: u64) -> &'static Self {
        static KEEPERS: PerProcess<Keeper> = PerProcess::new();
        KEEPERS.get(process, || Self { kept: Mutex::default(), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins again after a panic, which would end the refreshes of all locks of the process.
    fn run_through_panics(&self) {
        while through_panic(|| self.run()).is_none() {
            drop(sleep(&self.changed, self.lock(), AFTER_PANIC));
        }
    }

    /// Ends when there is nothing left to keep; the next guard starts it again.
    fn run(&self) {
        let mut kept = self.lock();
        while let Some(Reverse(first)) = kept.due.peek() {
            let Some(tenure) = first.tenure.upgrade() else {
                kept.due.pop();
                continue;
            };
            let left = first.at.since(tenure.place.env.now());
            if !left.is_zero() {
                // Not held while we sleep: the guard may be dropped meanwhile.
                drop(tenure);
                kept = sleep(&self.changed, kept, left);
                continue;
            }
            kept.due.pop();
            // Not locked while the file system works: new guards must not wait for it.
            drop(kept);
            let next = refresh(&tenure);
            kept = self.lock();
            if let Some(at) = next {
                kept.push(at, &tenure);
            }
        }
        kept.running = false;
    }
}

/// When to refresh next; `None` if there is nothing more to do.
fn refresh(tenure: &Tenure) -> Option<LocalTime> {
    if !tenure.is_kept_alive() {
        return None;
    }
    let again = || {
        let now = tenure.place.env.now();
        Some(now + tenure.trusted_until().since(now) / RETRIES + Duration::from_millis(1))
    };
    let refreshed = through_panic(|| match tenure.refresh(None) {
        Ok(()) => Some(next_refresh(tenure)),
        Err(e) if e.kind() == ErrorKind::Io || e.kind() == ErrorKind::Permission => {
            tracing::warn!(target: "linklock::refresh", lock = %Printable::new(tenure.place.lock_path()), claim = %tenure.claim().token,
                error = %e, "a refresh failed; trying again");
            again()
        }
        Err(_) => None,
    });
    // No lock is given up for a panic, such as one of whoever writes the log. Once it is lost, the next try says so.
    refreshed.unwrap_or_else(again)
}

/// What `act` gives; `None` if it panicked, which the panic hook has told.
fn through_panic<T>(act: impl FnOnce() -> T) -> Option<T> {
    // What a panic leaves behind a mutex is still true, as whoever locks it says.
    match panic::catch_unwind(AssertUnwindSafe(act)) {
        Ok(done) => Some(done),
        Err(cause) => {
            // To drop what a program has panicked with could panic again.
            mem::forget(cause);
            None
        }
    }
}

struct Due {
    at: LocalTime,
    tenure: Weak<Tenure>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}
