//! The Windows arm.

pub(crate) mod job;
pub(crate) mod process;
pub(crate) mod shell;
pub(crate) mod signals;
pub(crate) mod terminal;

use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, FromRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::{FALSE, HANDLE};
use windows_sys::Win32::System::Threading::CreateEventW;

/// What a system call wants; valid for as long as its owner.
fn raw(handle: &impl AsHandle) -> HANDLE {
    handle.as_handle().as_raw_handle()
}

/// Takes what a system call has made, which gives no handle if it failed.
fn owned(handle: HANDLE) -> io::Result<OwnedHandle> {
    if handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    #[expect(unsafe_code, reason = "that nobody else owns a handle cannot be checked")]
    // SAFETY: the callers give what a call has just made for them and nobody else has.
    let owned = unsafe { OwnedHandle::from_raw_handle(handle) };
    Ok(owned)
}

/// Turns the result of a system call into ours.
fn succeeded(result: windows_sys::core::BOOL) -> io::Result<()> {
    if result == FALSE { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// An event that wakes one waiter each time it is set. COMMAND does not inherit it.
fn event() -> io::Result<OwnedHandle> {
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: no attributes and no name are given, which is allowed.
    owned(unsafe { CreateEventW(std::ptr::null(), FALSE, FALSE, std::ptr::null()) })
}
