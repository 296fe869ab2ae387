//! Waking up: for changes of a lock, for the end of its holder, and for a cancellation.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec as Timeout, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use rustix::process::PidfdFlags;

use super::{OsEnv, mounts, to_pid};
use crate::env::{Env, Reach, Watcher};
use crate::lease::LocalTime;
use crate::wait::Cancel;

/// inotify for the lock, a pidfd for its holder.
#[derive(Debug)]
pub(in super::super) struct OsWatcher {
    inotify: Option<OwnedFd>,
    watch: Option<i32>,
    process: Option<(u32, Option<OwnedFd>)>,
    /// Whether other machines can change the file system; `None` until a path is known.
    shared: Option<bool>,
}

thread_local! {
    /// The inotify instance that this thread waited with last, and the process that made it. To close one makes the kernel
    /// wait for all readers of its list of marks, 5 to 20 ms, and that just when the lock was had.
    static IDLE: Cell<Option<(u32, OwnedFd)>> = const { Cell::new(None) };
}

fn take_idle() -> Option<OwnedFd> {
    // A forked child has it too, but what one of them reads the other would miss.
    let (process, inotify) = IDLE.try_with(Cell::take).ok()??;
    (process == OsEnv.process_id()).then(|| {
        drain(&inotify);
        inotify
    })
}

fn drain(inotify: &OwnedFd) {
    let mut events = [0; 4096];
    while rustix::io::read(inotify, &mut events).is_ok_and(|n| n > 0) {}
}

fn remove(inotify: &OwnedFd, watch: i32) {
    // One whose file is gone is gone already.
    let _ = inotify::remove_watch(inotify, watch);
}

impl OsWatcher {
    pub(in super::super) fn new() -> Self {
        // Without inotify (its instances are limited for each user) a waiter polls.
        let inotify = take_idle().or_else(|| inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok());
        Self { inotify, watch: None, process: None, shared: None }
    }
}

impl Drop for OsWatcher {
    fn drop(&mut self) {
        let Some(inotify) = self.inotify.take() else { return };
        if let Some(watch) = self.watch {
            remove(&inotify, watch);
        }
        // A thread that is ending has no place for it any more: then it is closed.
        let _ = IDLE.try_with(|idle| idle.set(Some((OsEnv.process_id(), inotify))));
    }
}

impl Watcher for OsWatcher {
    fn arm(&mut self, path: &Path, pid: Option<u32>) {
        if let Some(inotify) = &self.inotify {
            // On the file itself, not on the directory, where every other contender's claim would wake us. A link
            // removed or a new mtime is ATTRIB; below a directory, an entry's are meant too.
            let events = WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF | WatchFlags::DELETE;
            match inotify::add_watch(inotify, path, events | WatchFlags::DONT_FOLLOW) {
                Ok(watch) => {
                    // One at a time, however many holders a long wait sees.
                    if let Some(last) = self.watch.replace(watch).filter(|last| *last != watch) {
                        remove(inotify, last);
                    }
                }
                // Nothing there: whoever looks next will see that it is free.
                Err(Errno::NOENT) => {}
                Err(_) => self.inotify = None,
            }
        }
        if self.shared.is_none() {
            self.shared = mounts::is_shared(path.parent().unwrap_or(path));
        }
        if self.process.as_ref().map(|p| p.0) != pid {
            self.process = pid.map(|pid| {
                let fd = to_pid(pid).and_then(|p| rustix::process::pidfd_open(p, PidfdFlags::empty()).ok());
                (pid, fd)
            });
        }
    }

    fn reach(&self) -> Reach {
        match (self.inotify.is_some(), self.shared.unwrap_or(true)) {
            (true, false) => Reach::All,
            (true, true) => Reach::ThisMachine,
            // Linux has inotify, but no more instances for a user than 128 by default.
            (false, false) => Reach::Crowded,
            (false, true) => Reach::NoneShared,
        }
    }

    fn sees_end(&self) -> bool {
        matches!(self.process, Some((_, Some(_))))
    }

    fn wait(&mut self, until: LocalTime, cancel: Option<&Cancel>) {
        let process = self.process.as_ref().and_then(|(_, fd)| fd.as_ref());
        let cancel = cancel.map(|c| c.event().0.as_fd());
        // The process first, so that it is found again.
        let fds = [process.map(AsFd::as_fd), self.inotify.as_ref().map(AsFd::as_fd), cancel];
        let mut fds: Vec<PollFd<'_>> =
            fds.into_iter().flatten().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let left = until.since(OsEnv.now());
        let timeout = Timeout { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() };
        // Interrupted or failed: a wake-up for nothing.
        let _ = poll(&mut fds, Some(&timeout));
        let ended = process.is_some() && fds.first().is_some_and(|fd| !fd.revents().is_empty());
        drop(fds);
        if let (true, Some((_, fd))) = (ended, &mut self.process) {
            // Told once; a process that has ended would wake us again and again.
            *fd = None;
        }
        if let Some(inotify) = &self.inotify {
            drain(inotify);
        }
    }
}

/// Once set, it stays set and wakes whoever waits on it.
#[derive(Debug)]
pub(crate) struct Event(OwnedFd);

impl Event {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    pub(crate) fn set(&self) {
        // Fails only when its count is full: then it is set.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}
