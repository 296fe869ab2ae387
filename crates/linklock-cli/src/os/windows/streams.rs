//! The standard streams as the caller gave them to linklock.

use windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE;
use windows_sys::Win32::System::Console::{GetStdHandle, STD_OUTPUT_HANDLE};

/// Whether linklock has no standard output. Rust's library then throws all output away.
pub(crate) fn stdout_is_closed() -> bool {
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: it takes a number alone.
    let handle = unsafe { GetStdHandle(STD_OUTPUT_HANDLE) };
    handle.is_null() || handle == INVALID_HANDLE_VALUE
}
