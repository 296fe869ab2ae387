//! Waking up: by a poll and a cancellation.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::super::clock;
#[cfg(feature = "tokio")]
use super::super::wakes::Woken;
use super::super::wakes::{Wakes, wait_for_one};
use super::event::Event;
use super::mounts::is_shared;
use crate::env::location::Location;
use crate::env::world::{Reach, Watcher};
use crate::time::LocalTime;

/// So often a waiter asks for a cancellation that has no descriptor to wake it.
const CANCEL_EVERY: Duration = Duration::from_secs(1);

/// Nothing but a poll and a cancellation wakes it.
#[derive(Debug)]
pub(crate) struct OsWatcher {
    /// Whether other machines can change the file system; `None` until a path is known.
    shared: Option<bool>,
}

impl OsWatcher {
    pub(crate) fn new() -> Self {
        Self { shared: None }
    }
}

/// Nothing here listens, so a waiter polls.
pub(crate) fn ear(_: &Path) -> Option<SocketAddr> {
    None
}

impl Watcher for OsWatcher {
    fn arm(&mut self, at: &Location, _: Option<u32>) {
        if self.shared.is_none() {
            self.shared = is_shared(at.dir());
        }
    }

    fn reach(&self) -> Reach {
        if self.shared == Some(false) { Reach::NoneLocal } else { Reach::NoneShared }
    }

    fn wait(&mut self, until: LocalTime, cancel: Option<&Event>) {
        if let Some(wakes) = begin(until, cancel) {
            wait_for_one(&wakes, cancel);
        }
    }

    #[cfg(feature = "tokio")]
    fn fall_asleep(&mut self, until: LocalTime, cancel: Option<&Event>) -> Option<Wakes> {
        begin(until, cancel)
    }

    /// Nothing wakes it that is no reason to look.
    #[cfg(feature = "tokio")]
    fn wake_up(&mut self, _: Woken, _: Option<&Event>) -> bool {
        true
    }
}

fn begin(until: LocalTime, cancel: Option<&Event>) -> Option<Wakes> {
    let event = cancel.map(Event::to_wait_on);
    if cancel.is_some_and(Event::is_set) {
        return None;
    }
    let hears_cancel = event.is_some_and(|fd| fd.is_some());
    let until = if event.is_some() && !hears_cancel { until.min(clock::now() + CANCEL_EVERY) } else { until };
    Some(Wakes { processes: Vec::new(), changes: None, hints: None, hears_cancel, until })
}
