//! What a terminal is like.

use std::os::fd::AsFd;

/// Whether a terminal, such as our output goes to, acts upon escape sequences.
pub(crate) fn understands_escapes() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether what we write to this terminal gets into nobody's way. In the background it is another's: somebody may be typing,
/// and it could stop us for writing.
pub(crate) fn is_ours(terminal: impl AsFd) -> bool {
    // One that does not control our session has no foreground.
    rustix::termios::tcgetpgrp(terminal).ok().is_none_or(|group| group == rustix::process::getpgrp())
}

/// How wide it is, if it knows.
pub(crate) fn columns(terminal: impl AsFd) -> Option<usize> {
    let columns = rustix::termios::tcgetwinsize(terminal).ok()?.ws_col;
    (columns > 0).then_some(columns.into())
}
