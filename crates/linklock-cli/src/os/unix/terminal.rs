//! Properties of a terminal.

use std::os::fd::AsFd;

/// Whether the terminal of our output acts upon escape sequences.
pub(crate) fn understands_escapes() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether linklock may draw on this terminal. In the background the terminal belongs to another job: somebody may be typing
/// there, and the terminal may stop a background job that writes.
pub(crate) fn is_ours(terminal: impl AsFd) -> bool {
    // A terminal that does not control our session has no foreground.
    rustix::termios::tcgetpgrp(terminal).ok().is_none_or(|group| group == rustix::process::getpgrp())
}

/// The width of the terminal, if it knows.
pub(crate) fn columns(terminal: impl AsFd) -> Option<usize> {
    let columns = rustix::termios::tcgetwinsize(terminal).ok()?.ws_col;
    (columns > 0).then_some(columns.into())
}
