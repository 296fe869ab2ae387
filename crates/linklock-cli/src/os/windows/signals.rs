//! Console events: Ctrl-C, Ctrl-Break, and the closing of the console. They end a wait, as signals do on Unix. linklock need
//! not pass them on, because COMMAND shares the console and gets them too.

use std::io;
use std::os::windows::io::{AsHandle, BorrowedHandle, OwnedHandle};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use linklock::Cancel;
use windows_sys::Win32::Foundation::{FALSE, STATUS_CONTROL_C_EXIT, TRUE};
use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler};
use windows_sys::Win32::System::Threading::SetEvent;
use windows_sys::core::BOOL;

use super::{event, raw};

/// From here on linklock keeps events that would have ended it, to act upon them. If Ctrl-C is ignored, as in a new process
/// group, the handler does not see it, and COMMAND inherits that.
pub(crate) struct Signals {
    inbox: &'static Inbox,
}

/// The handler has no argument to find this by.
static INBOX: OnceLock<Inbox> = OnceLock::new();

impl Signals {
    pub(crate) fn catch() -> io::Result<Self> {
        let fresh = Inbox { come: AtomicU32::new(0), cancel: Cancel::new()?, wake: event()? };
        let inbox = INBOX.get_or_init(|| fresh);
        #[expect(unsafe_code, reason = "a system call")]
        // SAFETY: the handler has the right type and exists as long as the program. It runs in a thread of its own, so it may
        // do whatever threads may.
        let caught = unsafe { SetConsoleCtrlHandler(Some(heed), TRUE) };
        if caught == FALSE { Err(io::Error::last_os_error()) } else { Ok(Self { inbox }) }
    }

    /// The first event cancels this.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.inbox.cancel
    }

    /// No signal ends COMMAND here.
    pub(crate) fn concern_us(&self, _signal: i32) -> bool {
        false
    }

    /// Whether an event has come: each of them asks linklock to end.
    pub(crate) fn asked_to_end(&self) -> bool {
        self.any().is_some()
    }

    /// An event that has come, if any.
    pub(crate) fn any(&self) -> Option<i32> {
        let come = self.inbox.come.load(Ordering::Acquire);
        (come != 0).then(|| come.trailing_zeros() as i32)
    }
}

impl AsHandle for Signals {
    /// Signalled when an event has come, until one wait returns.
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.inbox.wake.as_handle()
    }
}

/// Here no process ends by a signal; the exit status says how it ended.
pub(crate) fn die_by(_event: i32) {}

/// No such limit exists here.
pub(crate) fn survive_file_size_limit() {}

/// The exit status of a process that Ctrl-C or another console event has ended.
pub(crate) fn number_of(_event: i32) -> u32 {
    STATUS_CONTROL_C_EXIT as u32
}

/// Where the handler leaves events: one bit for each.
struct Inbox {
    come: AtomicU32,
    cancel: Cancel,
    wake: OwnedHandle,
}

extern "system" fn heed(event: u32) -> BOOL {
    let Some(inbox) = INBOX.get() else { return FALSE };
    inbox.come.fetch_or(1 << event, Ordering::AcqRel);
    inbox.cancel.cancel();
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: the inbox owns the handle and is never dropped.
    unsafe {
        SetEvent(raw(&inbox.wake));
    }
    if matches!(event, CTRL_C_EVENT | CTRL_BREAK_EVENT) {
        return TRUE;
    }
    // The console closes, the user logs off or the system shuts down. Windows ends the process when this returns, or after a
    // few seconds. Until then linklock can wait for COMMAND and release the lock.
    loop {
        thread::park();
    }
}
