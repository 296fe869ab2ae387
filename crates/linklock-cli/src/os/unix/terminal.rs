//! Properties of a terminal.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::group::own_group;

/// Whether the terminal of our output acts upon escape sequences.
pub(crate) fn understands_escapes() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether linklock may draw on this terminal. In the background the terminal belongs to another job: somebody may be typing
/// there, and the terminal may stop a background job that writes.
pub(crate) fn is_ours(terminal: impl AsFd) -> bool {
    // A terminal that does not control our session has no foreground, and one whose foreground is outside our pid namespace
    // does not say which.
    rustix::termios::tcgetpgrp(terminal).ok().is_none_or(|group| group.as_raw_nonzero().get() == own_group())
}

/// The width of the terminal, if it knows.
pub(crate) fn columns(terminal: impl AsFd) -> Option<usize> {
    let columns = rustix::termios::tcgetwinsize(terminal).ok()?.ws_col;
    (columns > 0).then_some(columns.into())
}

/// Whether the terminal takes more output now. One that the user has halted with Ctrl-S does not.
pub(crate) fn has_room(terminal: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&terminal, PollFlags::OUT)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

/// Whether nobody is at the terminal any more.
pub(crate) fn has_hung_up(terminal: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&terminal, PollFlags::empty())];
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok() && fds[0].revents().intersects(gone)
}
