//! What wakes a thread.

use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::sync::atomic::{AtomicBool, Ordering};

use windows_sys::Win32::System::Threading::{CreateEventW, SetEvent};

use super::handles::owned;

/// Once set, it stays set and wakes whoever waits on it.
#[derive(Debug)]
pub(crate) struct Event {
    is_set: AtomicBool,
    pub(super) handle: OwnedHandle,
}

impl Event {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no attributes and no name; to be unset by hand, and not set. The handle is ours alone.
        #[expect(unsafe_code, reason = "no safe form of this call exists")]
        let event = unsafe { owned(CreateEventW(std::ptr::null(), 1, 0, std::ptr::null())) };
        event.map(|handle| Self { is_set: AtomicBool::new(false), handle })
    }

    pub(crate) fn set(&self) {
        self.is_set.store(true, Ordering::SeqCst);
        // SAFETY: the handle is an event's, and open. Nothing can go wrong then.
        #[expect(unsafe_code, reason = "no safe form of this call exists")]
        unsafe {
            SetEvent(self.handle.as_raw_handle());
        }
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::SeqCst)
    }
}
