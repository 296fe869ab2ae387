//! The program, run as its users run it.

mod deaths;
mod disk;
mod documentation;
mod exit_statuses;
mod losses;
mod running;
mod scripts;
mod status;
mod support;
mod waiting;

// Signals, pseudo-terminals, modes, users and sh are a Unix's own.
#[cfg(unix)]
mod unix;

// Job objects and a console's events are Windows' own.
#[cfg(windows)]
mod windows;
