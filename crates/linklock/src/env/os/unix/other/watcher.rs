//! Waking up: by a poll and a cancellation.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec as Timeout, poll};

use super::super::clock;
use super::event::Event;
use super::mounts::is_shared;
use crate::env::{Location, Reach, Watcher};
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
        let event = cancel.map(Event::to_wait_on);
        let now = clock::now();
        let until = if event.is_some_and(|fd| fd.is_none()) { until.min(now + CANCEL_EVERY) } else { until };
        let mut fds: Vec<PollFd<'_>> =
            event.flatten().into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let left = until.since(now);
        let timeout = Timeout { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() };
        // Interrupted or failed: a wake-up for nothing.
        let _ = poll(&mut fds, Some(&timeout));
    }
}
