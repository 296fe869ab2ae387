//! Sockets that a service manager has opened for COMMAND, which Windows does not know.

use std::process::Command;

pub(crate) fn hand_over_sockets(command: Command) -> Command {
    command
}
