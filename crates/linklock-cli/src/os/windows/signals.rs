//! What the console tells its processes: Ctrl-C, Ctrl-Break, and that it closes. These stand for signals here: they end a
//! wait. Passed on they need not be, since COMMAND shares our console, which tells it too.

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

/// From here on events that would have ended linklock are kept for it to act upon. Where Ctrl-C is ignored, as in a process
/// group of its own, nobody is told of it, and COMMAND inherits that.
pub(crate) struct Signals {
    inbox: &'static Inbox,
}

/// The system calls the handler without telling it on whose behalf.
static INBOX: OnceLock<Inbox> = OnceLock::new();

impl Signals {
    pub(crate) fn catch() -> io::Result<Self> {
        let fresh = Inbox { come: AtomicU32::new(0), cancel: Cancel::new()?, wake: event()? };
        let inbox = INBOX.get_or_init(|| fresh);
        #[expect(unsafe_code, reason = "a system call")]
        // SAFETY: the handler has the type that is asked for and stays for as long as the program. It runs in a thread of
        // its own, so it may do what threads may.
        let caught = unsafe { SetConsoleCtrlHandler(Some(heed), TRUE) };
        if caught == FALSE { Err(io::Error::last_os_error()) } else { Ok(Self { inbox }) }
    }

    /// Cancelled by the first event.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.inbox.cancel
    }

    /// An event that has come, if one has.
    pub(crate) fn any(&self) -> Option<i32> {
        let come = self.inbox.come.load(Ordering::Acquire);
        (come != 0).then(|| come.trailing_zeros() as i32)
    }
}

impl AsHandle for Signals {
    /// Signalled when an event has come, until somebody has waited for that.
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.inbox.wake.as_handle()
    }
}

/// The exit status of a process that Ctrl-C, or another event of the console, has ended.
pub(crate) fn number_of(_event: i32) -> u32 {
    STATUS_CONTROL_C_EXIT as u32
}

/// Where the handler leaves what has come: one bit for each event.
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
    // SAFETY: the handle is the inbox's own, which is never dropped.
    unsafe {
        SetEvent(raw(&inbox.wake));
    }
    if matches!(event, CTRL_C_EVENT | CTRL_BREAK_EVENT) {
        return TRUE;
    }
    // The console closes, or the user or the system goes: once this returns the process is ended. Until then, which is some
    // seconds, it can see COMMAND end and release the lock.
    loop {
        thread::park();
    }
}
