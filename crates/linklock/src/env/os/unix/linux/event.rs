//! What wakes a thread, also from a signal handler.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::OFlags;
use rustix::io::{Errno, read, write};

use super::super::kept::Kept;

/// Nobody else has an eventfd that appends.
const MARK: OFlags = OFlags::APPEND.union(OFlags::NONBLOCK);

pub(super) fn new_eventfd() -> io::Result<Kept> {
    Kept::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?, MARK)
}

/// Whether it is set now.
pub(super) fn set(event: &Kept) -> bool {
    // A full count is refused: then it is set.
    event.get().is_some_and(|fd| matches!(write(fd, &1_u64.to_ne_bytes()), Ok(_) | Err(Errno::AGAIN)))
}

pub(super) fn unset(event: &Kept) {
    if let Some(fd) = event.get() {
        // Refused where it is not set.
        let _ = read(fd, &mut [0; 8]);
    }
}

/// Once set, it stays set and wakes whoever waits on it.
#[derive(Debug)]
pub(crate) struct Event {
    is_set: AtomicBool,
    /// Never null. One that was replaced is never freed: a signal handler may be looking at it.
    current: AtomicPtr<Kept>,
}

impl Event {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { is_set: AtomicBool::new(false), current: AtomicPtr::new(Box::into_raw(Box::new(new_eventfd()?))) })
    }

    /// A signal handler may call it.
    pub(crate) fn set(&self) {
        // In one order with the descriptor, which a waiter may be replacing: see `to_wait_on`.
        self.is_set.store(true, Ordering::SeqCst);
        set(self.current());
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::SeqCst)
    }

    /// Empties the descriptor, which somebody has set whose own had this number before. The event stays what it is.
    pub(super) fn unset(&self) {
        unset(self.current());
    }

    /// To wait on. In a forked child, and where the application has closed it, it is another one than before: whoever set
    /// that one has woken nobody. `None` where no descriptor can be had.
    pub(super) fn to_wait_on(&self) -> Option<BorrowedFd<'_>> {
        let current = self.current();
        if let Some(fd) = current.get() {
            return Some(fd);
        }
        let new = Box::into_raw(Box::new(new_eventfd().ok()?));
        let old = ptr::from_ref(current).cast_mut();
        if self.current.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            #[expect(unsafe_code, reason = "it was not published, and is to be freed")]
            // SAFETY: it came from a box just now, and nobody else has seen it.
            drop(unsafe { Box::from_raw(new) });
        }
        self.current().get()
    }

    /// To poll it again, once it was given to wait on.
    pub(crate) fn unchecked(&self) -> Option<BorrowedFd<'_>> {
        self.current().unchecked()
    }

    fn current(&self) -> &Kept {
        #[expect(unsafe_code, reason = "a signal handler can take no lock")]
        // SAFETY: whatever was stored there came from a box, and is not freed before `self` is dropped, which cannot be while it is
        // borrowed.
        unsafe {
            &*self.current.load(Ordering::SeqCst)
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "see `current`")]
        // SAFETY: it came from a box, and nobody can be looking at it: `self` is borrowed by this function alone.
        drop(unsafe { Box::from_raw(*self.current.get_mut()) });
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::sync::Arc;

    use super::*;

    fn wakes(event: &Event) -> bool {
        event.to_wait_on().is_some_and(|fd| read(fd, &mut [0; 8]).is_ok())
    }

    #[test]
    fn a_forked_child_waits_on_an_event_of_its_own_and_sets_no_other() {
        let event = Arc::new(Event::new().unwrap());
        let inherited = Arc::clone(&event);
        let mut command = Command::new("true");
        let in_child = move || {
            inherited.set();
            let was_set = wakes(&inherited);
            inherited.set();
            if !was_set && wakes(&inherited) { Ok(()) } else { Err(io::ErrorKind::Other.into()) }
        };
        #[expect(unsafe_code, reason = "what runs between fork and exec cannot be checked")]
        // SAFETY: of what other threads may have locked at the fork, the child touches the allocator alone, and the C library
        // sees to it that a forked child can use that.
        unsafe {
            command.pre_exec(in_child);
        }
        assert!(command.status().unwrap().success());
        assert!(!wakes(&event), "the parent's");
        event.set();
        assert!(wakes(&event));
    }
}
