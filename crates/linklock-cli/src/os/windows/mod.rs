//! The Windows arm.

pub(crate) mod activation;
pub(crate) mod append;
pub(crate) mod clock;
pub(crate) mod job;
pub(crate) mod process;
pub(crate) mod running;
pub(crate) mod shell;
pub(crate) mod signals;
pub(crate) mod stops;
pub(crate) mod streams;
pub(crate) mod terminal;

use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, FromRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::{FALSE, HANDLE};
use windows_sys::Win32::System::Threading::CreateEventW;

/// The handle for a system call. It is valid as long as its owner.
fn raw(handle: &impl AsHandle) -> HANDLE {
    handle.as_handle().as_raw_handle()
}

/// Takes ownership of a handle that a system call has made, or gives the call's error.
fn owned(handle: HANDLE) -> io::Result<OwnedHandle> {
    if handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    #[expect(unsafe_code, reason = "the compiler cannot check that nobody else owns the handle")]
    // SAFETY: the callers pass a handle that a call has just made for them, so nobody else owns it.
    let owned = unsafe { OwnedHandle::from_raw_handle(handle) };
    Ok(owned)
}

/// Converts the result of a system call.
fn succeeded(result: windows_sys::core::BOOL) -> io::Result<()> {
    if result == FALSE { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// An event that wakes one waiter each time it is set. COMMAND does not inherit the handle.
fn event() -> io::Result<OwnedHandle> {
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: the call allows null for attributes and name.
    owned(unsafe { CreateEventW(std::ptr::null(), FALSE, FALSE, std::ptr::null()) })
}
