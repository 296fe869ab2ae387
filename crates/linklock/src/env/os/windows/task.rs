//! Sleeping for tasks: by the clock alone. What wakes a thread here belongs to the thread, whose end would end it, and a call waits
//! for 64 handles at most.

use std::fs::File;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::watcher::{Event, is_shared};
use super::{OsEnv, files};
use crate::env::{Env, Location, Reach, Watcher};
use crate::time::LocalTime;

/// So often a cancellation is asked for.
const CANCEL_EVERY: Duration = Duration::from_millis(100);

/// Nothing but a poll and a cancellation wakes it.
#[derive(Debug)]
pub(crate) struct TaskWatcher {
    /// Whether other machines can change the file system; `None` until a path is known.
    shared: Option<bool>,
    /// Until when it sleeps, and does not only ask for a cancellation.
    until: LocalTime,
}

/// When it wakes.
#[derive(Debug)]
pub(crate) struct Wakes(LocalTime);

impl Wakes {
    pub(crate) fn until(&self) -> LocalTime {
        self.0
    }
}

/// What has woken it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Woken {
    /// The time, and nothing else.
    Nothing,
}

impl Woken {
    /// Whether anything but the time has.
    pub(crate) fn is_any(self) -> bool {
        match self {
            Self::Nothing => false,
        }
    }
}

impl TaskWatcher {
    pub(super) fn new() -> Self {
        Self { shared: None, until: LocalTime::from_nanos(0) }
    }

    /// For how long to sleep; `None` if there is a reason to look.
    pub(crate) fn fall_asleep(&mut self, until: LocalTime, cancel: Option<&Event>) -> Option<Wakes> {
        self.until = until;
        match cancel {
            Some(cancel) if cancel.is_set() => None,
            Some(_) => Some(Wakes(until.min(OsEnv.now() + CANCEL_EVERY))),
            None => Some(Wakes(until)),
        }
    }

    /// After the sleep. True if there is a reason to look.
    pub(crate) fn wake_up(&mut self, _: Woken, cancel: Option<&Event>) -> bool {
        OsEnv.now() >= self.until || cancel.is_some_and(Event::is_set)
    }
}

impl Watcher for TaskWatcher {
    fn arm(&mut self, at: &Location, _: Option<u32>) {
        if self.shared.is_none() {
            let dir: io::Result<File> = files::open_to_watch(at);
            self.shared = Some(dir.as_ref().map_or(true, is_shared));
        }
    }

    fn reach(&self) -> Reach {
        if self.shared == Some(false) { Reach::NoneLocal } else { Reach::NoneShared }
    }

    fn wait(&mut self, until: LocalTime, cancel: Option<&Event>) {
        let bell = Bell::default();
        while let Some(Wakes(next)) = self.fall_asleep(until, cancel) {
            wait_for_any(Some(&bell), &[], next.since(OsEnv.now()));
            if self.wake_up(Woken::Nothing, cancel) {
                return;
            }
        }
    }

    fn for_task(self: Box<Self>) -> Result<TaskWatcher, Box<dyn Watcher>> {
        Ok(*self)
    }
}

/// What rouses the thread that waits for tasks.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    is_rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self::default())
    }

    pub(crate) fn is_whole(&self) -> bool {
        true
    }

    pub(crate) fn ring(&self) {
        *self.lock() = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for so long at most until the bell is rung. May return for nothing.
pub(crate) fn wait_for_any(bell: Option<&Bell>, asleep: &[(&Wakes, Option<&Event>)], most: Duration) -> Vec<Woken> {
    if let Some(bell) = bell {
        let waited = bell.changed.wait_timeout_while(bell.lock(), most, |is_rung| !*is_rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
    vec![Woken::Nothing; asleep.len()]
}
