//! What needs the operating system itself: the only unsafe code of the program. Every system's arm has the same items.

#[cfg(unix)]
#[path = "unix/mod.rs"]
mod arm;
#[cfg(windows)]
#[path = "windows/mod.rs"]
mod arm;

pub(crate) use arm::process::{Alarm, Process, number_of_end};
pub(crate) use arm::shell::{calling_shell, command_line};
pub(crate) use arm::signals::{Signals, number_of};
pub(crate) use arm::terminal;
