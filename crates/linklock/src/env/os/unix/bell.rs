//! What rouses the thread that waits for tasks.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::{read, write};

use super::kept::Kept;
use super::system::event::Event;
use super::wakes::{self, Wakes, Woken};

/// A pipe, which every Unix system has.
#[derive(Debug)]
pub(crate) struct Bell {
    read: Kept,
    write: Kept,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let (read, write) = io::pipe()?;
        let keep = |fd: OwnedFd| Kept::new(fd, OFlags::NONBLOCK);
        Ok(Self { read: keep(read.into())?, write: keep(write.into())? })
    }

    /// Whether it still rings. The application may have closed it.
    pub(crate) fn is_whole(&self) -> bool {
        self.read.get().is_some() && self.write.get().is_some()
    }

    pub(crate) fn ring(&self) {
        if let Some(fd) = self.write.get() {
            // A pipe that is full rings.
            let _ = write(fd, &[1]);
        }
    }

    fn hush(&self) {
        if let Some(fd) = self.read.get() {
            while read(fd, &mut [0; 64]).is_ok_and(|len| len == 64) {}
        }
    }

    fn to_poll(&self) -> Option<BorrowedFd<'_>> {
        self.read.unchecked()
    }
}

/// Waits for so long at most until one of these is to be woken, or the bell is rung. May return for nothing.
pub(crate) fn wait_for_any(bell: Option<&Bell>, asleep: &[(&Wakes, Option<&Event>)], most: Duration) -> Vec<Woken> {
    let (woken, is_rung) = wakes::wait(bell.and_then(Bell::to_poll), asleep, most);
    if let Some(bell) = bell.filter(|_| is_rung) {
        bell.hush();
    }
    woken
}
