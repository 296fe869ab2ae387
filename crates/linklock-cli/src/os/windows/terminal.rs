//! What a terminal is like.

use std::os::windows::io::AsHandle;

use windows_sys::Win32::Foundation::{FALSE, HANDLE};
use windows_sys::Win32::System::Console::{
    CONSOLE_SCREEN_BUFFER_INFO, ENABLE_VIRTUAL_TERMINAL_PROCESSING, GetConsoleMode, GetConsoleScreenBufferInfo,
    GetStdHandle, STD_ERROR_HANDLE, STD_OUTPUT_HANDLE, SetConsoleMode,
};

use super::raw;

/// Whether a terminal, such as our output goes to, acts upon escape sequences: a console does once it is told to. What is a
/// terminal and no console, such as mintty, always does.
pub(crate) fn understands_escapes() -> bool {
    [STD_OUTPUT_HANDLE, STD_ERROR_HANDLE].into_iter().all(|which| {
        #[expect(unsafe_code, reason = "a system call")]
        // SAFETY: it takes a number alone. What it gives belongs to this process, and is only lent here.
        let console = unsafe { GetStdHandle(which) };
        mode(console).is_none_or(|mode| {
            let wanted = mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING;
            #[expect(unsafe_code, reason = "a system call")]
            // SAFETY: a handle of which the mode could be asked is a console's.
            let set = || unsafe { SetConsoleMode(console, wanted) } != FALSE;
            mode == wanted || set()
        })
    })
}

/// `None` if it is no console.
fn mode(console: HANDLE) -> Option<u32> {
    let mut mode = 0;
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: the call fails for a handle that is none, and there is room for the answer.
    let known = unsafe { GetConsoleMode(console, &raw mut mode) } != FALSE;
    known.then_some(mode)
}

/// There are no jobs in the background of a console.
pub(crate) fn is_ours(_terminal: impl AsHandle) -> bool {
    true
}

/// How wide it is, if it knows.
pub(crate) fn columns(terminal: impl AsHandle) -> Option<usize> {
    let mut info = CONSOLE_SCREEN_BUFFER_INFO::default();
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: the handle is valid, and there is room for the answer.
    let known = unsafe { GetConsoleScreenBufferInfo(raw(&terminal), &raw mut info) } != FALSE;
    let columns = usize::try_from(i32::from(info.srWindow.Right) - i32::from(info.srWindow.Left) + 1);
    columns.ok().filter(|columns| known && *columns > 0)
}
