//! Everything that asks the operating system itself, and the program's only unsafe code. Each system's arm has the same items.

#[cfg(unix)]
#[path = "unix/mod.rs"]
mod arm;
#[cfg(windows)]
#[path = "windows/mod.rs"]
mod arm;
mod wishes;

pub(crate) use arm::activation::hand_over_sockets;
pub(crate) use arm::append::{has_other_names, is_link, is_no_file, open_to_append};
pub(crate) use arm::clock::uptime;
pub(crate) use arm::process::{Alarm, Process, number_of_end, signal_of_end};
pub(crate) use arm::running::Running;
pub(crate) use arm::shell::{calling_shell, command_line};
pub(crate) use arm::signals::{Signals, die_by, number_of, survive_file_size_limit};
pub(crate) use arm::stops::Stops;
pub(crate) use arm::streams::stdout_is_closed;
pub(crate) use arm::terminal;
pub(crate) use wishes::{Reached, Wishes};
