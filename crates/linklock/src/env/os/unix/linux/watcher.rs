//! Waking up: for changes of a lock, for the end of its holder, and for a cancellation.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::super::hints;
use super::super::clock;
use super::super::kept::Kept;
use super::super::wakes::{Wakes, Woken, wait_for_one};
use super::event::Event;
use super::mounts;
use super::waiters::{Sleep, Waiters, Watched, runs};
use crate::env::location::Location;
use crate::env::world::{Reach, Watcher};
use crate::time::LocalTime;

/// inotify for locks, a pidfd for each holder: both are shared with the other waiters of this process.
#[derive(Debug)]
pub(crate) struct OsWatcher {
    waiters: &'static Waiters,
    number: u64,
    /// Set while another waiter leads; made when it is first needed.
    own: Option<Arc<Kept>>,
    watched: Watched,
    /// There was no descriptor for `own`.
    is_deaf: bool,
    /// Those whose end is to wake it; without a descriptor once it has.
    processes: Vec<(u32, Option<Arc<Kept>>)>,
    /// Whether other machines can change the file system; `None` until a path is known.
    shared: Option<bool>,
}

/// So often a waiter asks for a cancellation that has no descriptor to wake it.
const CANCEL_EVERY: Duration = Duration::from_secs(1);

impl OsWatcher {
    pub(crate) fn new() -> Self {
        let waiters = Waiters::of_process();
        let number = waiters.join();
        Self { waiters, number, own: None, watched: Watched::Yes, is_deaf: false, processes: Vec::new(), shared: None }
    }

    fn hear_end_of(&mut self, pid: Option<u32>) {
        if let Some(pid) = pid.filter(|pid| self.processes.iter().all(|(known, _)| known != pid)) {
            self.processes.push((pid, self.waiters.process(pid)));
        }
    }

    /// `fall_asleep` of a task, and the first half of `wait`.
    fn begin(&mut self, until: LocalTime, cancel: Option<&Event>) -> Option<Wakes> {
        let event = cancel.map(Event::to_wait_on);
        // Asked after `to_wait_on`: whoever set it before may have set another event.
        if cancel.is_some_and(Event::is_set) {
            return None;
        }
        let hears_cancel = event.is_some_and(|fd| fd.is_some());
        let until = if event.is_some() && !hears_cancel { until.min(clock::now() + CANCEL_EVERY) } else { until };
        let (changes, hints) = match self.waiters.fall_asleep(self.number, &mut self.own) {
            Sleep::Woken => return None,
            Sleep::Leading(changes, hints) => (Some(changes), hints),
            Sleep::Following(changes) => (Some(changes), None),
            Sleep::Deaf => (None, None),
        };
        let was_deaf = std::mem::replace(&mut self.is_deaf, changes.is_none());
        if self.is_deaf && !was_deaf && self.watched == Watched::Yes {
            // The next poll comes sooner then.
            return None;
        }
        self.processes.retain(|(_, fd)| fd.as_ref().is_none_or(|fd| fd.get().is_some()));
        let processes = self.processes.iter().filter_map(|(_, fd)| fd.clone()).collect();
        Some(Wakes { processes, changes, hints, hears_cancel, until })
    }

    /// `wake_up` of a task, and the second half of `wait`. True if there is a reason to look.
    fn end(&mut self, woken: Woken, cancel: Option<&Event>) -> bool {
        if woken.process {
            // Told once; a process that has ended would wake us again and again.
            for (_, fd) in &mut self.processes {
                *fd = fd.take().filter(|fd| runs(fd));
            }
        }
        if let (true, Some(cancel)) = (woken.cancel, cancel) {
            self.heed(cancel);
        }
        let is_over = !woken.is_any() || woken.process || woken.cancel;
        self.waiters.wake_up(self.number, woken.changes, is_over) || is_over
    }

    /// One whose own event was closed by the application may have set this one, which got its number.
    fn heed(&self, cancel: &Event) {
        if !cancel.is_set() {
            cancel.unset();
            // Cancelled just now, and unset by us.
            if cancel.is_set() {
                cancel.set();
            }
        }
    }
}

/// Where this process hears hints that come over the way to the file server of this directory; where that is not known, over the way
/// to the rest of the world.
pub(crate) fn ear(dir: &Path) -> Option<SocketAddr> {
    let ways = [mounts::server(dir), Some(ANYWHERE.into()), Some(ANYWHERE_6.into())];
    let own = ways.into_iter().flatten().find_map(hints::own_address)?;
    Some(SocketAddr::new(own, Waiters::of_process().ear()?))
}

/// Addresses for documentation, RFC 5737 and RFC 3849: nothing is sent there, but the way is that to any other.
const ANYWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const ANYWHERE_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

impl Drop for OsWatcher {
    fn drop(&mut self) {
        self.waiters.leave(self.number);
    }
}

impl Watcher for OsWatcher {
    fn arm(&mut self, at: &Location, pid: Option<u32>) {
        self.watched = self.waiters.watch(self.number, at, false);
        if self.shared.is_none() {
            self.shared = mounts::is_shared(at.dir());
        }
        self.processes.retain(|(known, _)| Some(*known) == pid);
        self.hear_end_of(pid);
    }

    fn also_arm(&mut self, at: &Location, pid: Option<u32>) {
        let watched = self.waiters.watch(self.number, at, true);
        if watched != Watched::Yes {
            self.watched = watched;
        }
        self.hear_end_of(pid);
    }

    fn reach(&self) -> Reach {
        match (self.watched, self.shared.unwrap_or(true)) {
            (Watched::Yes, false) if !self.is_deaf => Reach::All,
            (Watched::Yes, true) if !self.is_deaf => Reach::ThisMachine,
            (Watched::Refused, false) => Reach::NoneLocal,
            // Linux has inotify, but not enough instances, watches or descriptors.
            (_, false) => Reach::Crowded,
            (_, true) => Reach::NoneShared,
        }
    }

    fn listen(&mut self, nonce: u64) {
        self.waiters.listen(self.number, nonce);
    }

    fn sees_end(&self) -> bool {
        matches!(self.processes.as_slice(), [(_, Some(_))])
    }

    fn wait(&mut self, until: LocalTime, cancel: Option<&Event>) {
        while let Some(wakes) = self.begin(until, cancel) {
            let woken = wait_for_one(&wakes, cancel);
            // Else it was woken in order to lead, or as the leader for others.
            if self.end(woken, cancel) {
                return;
            }
        }
    }

    #[cfg(feature = "tokio")]
    fn fall_asleep(&mut self, until: LocalTime, cancel: Option<&Event>) -> Option<Wakes> {
        self.begin(until, cancel)
    }

    #[cfg(feature = "tokio")]
    fn wake_up(&mut self, woken: Woken, cancel: Option<&Event>) -> bool {
        self.end(woken, cancel)
    }
}
