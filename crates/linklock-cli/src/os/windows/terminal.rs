//! Properties of a terminal.

use std::os::windows::io::AsHandle;

use windows_sys::Win32::Foundation::{FALSE, HANDLE};
use windows_sys::Win32::System::Console::{
    CONSOLE_SCREEN_BUFFER_INFO, ENABLE_VIRTUAL_TERMINAL_PROCESSING, GetConsoleMode, GetConsoleScreenBufferInfo,
    GetStdHandle, STD_ERROR_HANDLE, STD_OUTPUT_HANDLE, SetConsoleMode,
};

use super::raw;

/// Whether the terminal of our output acts upon escape sequences. A console does so after this call enables it. A terminal that
/// is not a console, such as mintty, always does.
pub(crate) fn understands_escapes() -> bool {
    [STD_OUTPUT_HANDLE, STD_ERROR_HANDLE].into_iter().all(|which| {
        #[expect(unsafe_code, reason = "a system call")]
        // SAFETY: it takes a number alone. The handle belongs to this process, and this function only borrows it.
        let console = unsafe { GetStdHandle(which) };
        mode(console).is_none_or(|mode| {
            let wanted = mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING;
            #[expect(unsafe_code, reason = "a system call")]
            // SAFETY: `mode` has succeeded, so this is a console's handle.
            let set = || unsafe { SetConsoleMode(console, wanted) } != FALSE;
            mode == wanted || set()
        })
    })
}

/// `None` if the handle is not a console's.
fn mode(console: HANDLE) -> Option<u32> {
    let mut mode = 0;
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: the call fails for an invalid handle, and `mode` has room for the answer.
    let known = unsafe { GetConsoleMode(console, &raw mut mode) } != FALSE;
    known.then_some(mode)
}

/// A console has no background jobs.
pub(crate) fn is_ours(_terminal: impl AsHandle) -> bool {
    true
}

/// The width of the terminal, if it knows.
pub(crate) fn columns(terminal: impl AsHandle) -> Option<usize> {
    let mut info = CONSOLE_SCREEN_BUFFER_INFO::default();
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: the handle is valid, and `info` has room for the answer.
    let known = unsafe { GetConsoleScreenBufferInfo(raw(&terminal), &raw mut info) } != FALSE;
    let columns = usize::try_from(i32::from(info.srWindow.Right) - i32::from(info.srWindow.Left) + 1);
    columns.ok().filter(|columns| known && *columns > 0)
}

/// Whether the terminal takes more output now. That is not known here.
pub(crate) fn has_room(_terminal: impl AsHandle) -> bool {
    true
}

/// Whether nobody is at the terminal any more. Windows ends the process then.
pub(crate) fn has_hung_up(_terminal: impl AsHandle) -> bool {
    false
}
