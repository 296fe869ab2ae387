//! What wakes a thread, also from a signal handler.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::OFlags;

use super::super::kept::Kept;

/// Once set, it stays set and wakes whoever waits on it.
#[derive(Debug)]
pub(crate) struct Event {
    read: Kept,
    write: Kept,
    is_set: AtomicBool,
}

impl Event {
    pub(crate) fn new() -> io::Result<Self> {
        // A pipe's number is its own, so it needs no mark.
        let (read, write) = io::pipe()?;
        let keep = |fd: OwnedFd| Kept::new(fd, OFlags::empty());
        Ok(Self { read: keep(read.into())?, write: keep(write.into())?, is_set: AtomicBool::new(false) })
    }

    /// A signal handler may call it.
    pub(crate) fn set(&self) {
        // One byte, which nobody reads: a pipe that is full would keep us.
        if !self.is_set.swap(true, Ordering::SeqCst)
            && let Some(fd) = self.write.get()
        {
            let _ = rustix::io::write(fd, &[1]);
        }
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::SeqCst)
    }

    /// To poll it again, once it was given to wait on.
    pub(crate) fn unchecked(&self) -> Option<BorrowedFd<'_>> {
        self.read.unchecked()
    }

    /// `None` in a forked child, and where the application has closed it.
    pub(crate) fn to_wait_on(&self) -> Option<BorrowedFd<'_>> {
        self.read.get()
    }
}
