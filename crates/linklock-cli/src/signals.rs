//! Signals: they end a wait, and are passed on to COMMAND.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use linklock::Cancel;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal};

use crate::os;

const CAUGHT: [i32; 6] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

/// From here on signals that would have ended linklock are kept for it to act upon, but for those that were ignored: the
/// user does not want them to have an effect, and COMMAND inherits that.
pub(crate) struct Signals {
    inbox: Arc<Inbox>,
    wake: OwnedFd,
}

impl Signals {
    pub(crate) fn catch() -> io::Result<Self> {
        let (wake, waker) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let inbox =
            Arc::new(Inbox { sent: AtomicU64::new(0), typed: AtomicU64::new(0), cancel: Cancel::new()?, waker });
        for signal in CAUGHT.into_iter().filter(|signal| !os::is_ignored(*signal)) {
            os::catch(signal, Arc::clone(&inbox))?;
        }
        Ok(Self { inbox, wake })
    }

    /// Cancelled by the first signal.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.inbox.cancel
    }

    /// A signal that has come, if one has.
    pub(crate) fn any(&self) -> Option<i32> {
        let come = self.inbox.sent.load(Ordering::Acquire) | self.inbox.typed.load(Ordering::Acquire);
        CAUGHT.into_iter().find(|signal| come & bit(*signal) != 0)
    }

    /// Passes on to COMMAND what has come since the last call.
    ///
    /// What was typed is not passed on: the kernel itself sends it to all of the terminal's foreground process group, and
    /// COMMAND, which is in ours, would get it twice. Only before COMMAND was `started` could it get nothing.
    pub(crate) fn pass_on(&self, command: Pid, started: bool) {
        let mut drained = [0; 64];
        while rustix::io::read(&self.wake, &mut drained).is_ok_and(|n| n > 0) {}
        let sent = self.inbox.sent.swap(0, Ordering::AcqRel);
        let typed = self.inbox.typed.swap(0, Ordering::AcqRel);
        let come = if started { sent } else { sent | typed };
        for signal in CAUGHT.into_iter().filter(|signal| come & bit(*signal) != 0) {
            send(command, Signal::from_named_raw(signal));
        }
    }
}

impl AsFd for Signals {
    /// Readable when a signal has come.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// Where a signal handler leaves what has come: one bit for each signal.
pub(crate) struct Inbox {
    sent: AtomicU64,
    /// By a key of the terminal.
    typed: AtomicU64,
    cancel: Cancel,
    waker: OwnedFd,
}

impl Inbox {
    /// May be called from a signal handler: it stores atomics and makes system calls, and neither locks nor allocates.
    pub(crate) fn put(&self, signal: i32, by_kernel: bool) {
        // A hang-up is of the kernel too, but may reach the leader of a session alone.
        let typed = by_kernel && matches!(signal, libc::SIGINT | libc::SIGQUIT);
        let inbox = if typed { &self.typed } else { &self.sent };
        inbox.fetch_or(bit(signal), Ordering::AcqRel);
        self.cancel.cancel();
        // Fails only when the pipe is full: then its reader is woken anyway.
        let _ = rustix::io::write(&self.waker, &[0]);
    }
}

fn bit(signal: i32) -> u64 {
    1 << signal
}

/// Sends a signal to a child that was not waited for yet: so the pid is still its own.
pub(crate) fn send(child: Pid, signal: Option<Signal>) {
    if let Some(signal) = signal {
        // It may have ended meanwhile, or have changed its user: then there is nothing that we could do.
        let _ = rustix::process::kill_process(child, signal);
    }
}
