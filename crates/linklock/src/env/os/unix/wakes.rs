//! What wakes who sleeps, and the one call that sleeps.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec as Timeout, poll};
use rustix::io::Errno;

use super::clock;
use super::kept::Kept;
use super::system::event::Event;
use crate::time::LocalTime;

/// What wakes a watcher that sleeps, beside a cancellation.
#[derive(Debug)]
pub(crate) struct Wakes {
    pub(super) processes: Vec<Arc<Kept>>,
    pub(super) changes: Option<Arc<Kept>>,
    /// The socket for hints, if it wakes the others too.
    pub(super) hints: Option<Arc<Kept>>,
    /// Whether the cancellation has a descriptor.
    pub(super) hears_cancel: bool,
    pub(super) until: LocalTime,
}

/// What has woken it.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(
    not(any(target_os = "linux", feature = "tokio")),
    allow(dead_code, reason = "there a waiter looks again, whatever has woken it")
)]
pub(crate) struct Woken {
    pub(super) process: bool,
    pub(super) changes: bool,
    pub(super) cancel: bool,
}

impl Wakes {
    #[cfg(feature = "tokio")]
    pub(crate) fn until(&self) -> LocalTime {
        self.until
    }

    /// In this order they are found again: first those of which there is one, then the processes.
    fn fds<'a>(&'a self, cancel: Option<&'a Event>) -> Vec<Option<BorrowedFd<'a>>> {
        let [changes, hints] = [&self.changes, &self.hints].map(|kept| kept.as_ref().and_then(|kept| kept.unchecked()));
        let cancel = cancel.filter(|_| self.hears_cancel).and_then(Event::unchecked);
        let processes = self.processes.iter().map(|process| process.unchecked());
        [changes, hints, cancel].into_iter().chain(processes).collect()
    }
}

impl Woken {
    /// Whether anything but the time has.
    #[cfg_attr(
        not(any(target_os = "linux", feature = "tokio")),
        allow(dead_code, reason = "there a waiter looks again, whatever has woken it")
    )]
    pub(crate) fn is_any(self) -> bool {
        self.process || self.changes || self.cancel
    }
}

/// Waits for this one alone.
pub(super) fn wait_for_one(wakes: &Wakes, cancel: Option<&Event>) -> Woken {
    let left = wakes.until.since(clock::now());
    wait(None, &[(wakes, cancel)], left).0.first().copied().unwrap_or_default()
}

/// After a call that failed; it would fail again at once.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Waits for so long at most until one of these is to be woken, or `bell` is set, which is told too. May return for nothing.
pub(super) fn wait(
    bell: Option<BorrowedFd<'_>>,
    asleep: &[(&Wakes, Option<&Event>)],
    most: Duration,
) -> (Vec<Woken>, bool) {
    let all: Vec<_> = asleep.iter().map(|(wakes, cancel)| wakes.fds(*cancel)).collect();
    // Each once: the system refuses more than a process may have descriptors, and many sleepers share theirs.
    let unique: BTreeMap<RawFd, BorrowedFd<'_>> =
        all.iter().flatten().flatten().chain(&bell).map(|fd| (fd.as_raw_fd(), *fd)).collect();
    let mut fds: Vec<_> = unique.values().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    match poll(&mut fds, Some(&timeout(most))) {
        Ok(_) => {}
        Err(Errno::INTR) => return (vec![Woken::default(); asleep.len()], false),
        Err(_) => {
            let _ = poll(&mut [], Some(&timeout(most.min(AFTER_FAILURE))));
            return (vec![Woken::default(); asleep.len()], false);
        }
    }
    let set: BTreeSet<RawFd> =
        unique.keys().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty()).map(|(number, _)| *number).collect();
    let is_set = |fd: Option<BorrowedFd<'_>>| fd.is_some_and(|fd| set.contains(&fd.as_raw_fd()));
    let woken = all.into_iter().map(|fds| {
        let mut set = fds.into_iter().map(is_set);
        let [changes, hints, cancel] = [(); 3].map(|()| set.next().unwrap_or_default());
        Woken { process: set.any(|set| set), changes: changes || hints, cancel }
    });
    (woken.collect(), is_set(bell))
}

fn timeout(time: Duration) -> Timeout {
    Timeout { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos().into() }
}
