//! The program, run as its users run it.

mod cleaning;
mod disk;
mod documentation;
mod exit_statuses;
mod losses;
mod running;
mod scripts;
mod status;
mod support;
mod waiting;

// Other systems have nothing that would end COMMAND.
#[cfg(any(target_os = "linux", windows))]
mod deaths;

// Signals, pseudo-terminals, modes, users and sh are a Unix's own.
#[cfg(unix)]
mod unix;

// Job objects and a console's events are Windows' own.
#[cfg(windows)]
mod windows;
