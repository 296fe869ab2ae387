//! Tests of the program as its users run it.

mod cleaning;
mod corpus;
mod disk;
mod documentation;
mod exit_statuses;
mod holding;
mod journal;
mod listing;
mod losses;
#[path = "../../../linklock/tests/common/processes.rs"]
mod processes;
mod running;
mod schema;
mod scripts;
mod status;
mod support;
mod waiting;

// Other systems cannot end COMMAND with linklock.
#[cfg(any(target_os = "linux", windows))]
mod deaths;

// Only Unix has signals, pseudo-terminals, modes, users and sh.
#[cfg(unix)]
mod unix;

// Only Windows has job objects and console events.
#[cfg(windows)]
mod windows;
