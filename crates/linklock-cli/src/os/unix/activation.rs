//! Sockets that a service manager has opened for COMMAND, see sd_listen_fds(3).

use std::env;
use std::process::Command;

/// The service manager has started linklock, so LISTEN_PID names linklock, and COMMAND would take the sockets for another
/// process's. COMMAND's pid is known only once it is forked: a shell that then becomes COMMAND sets the variable.
pub(crate) fn hand_over_sockets(command: Command) -> Command {
    let own = std::process::id().to_string();
    if env::var_os("LISTEN_PID").is_none_or(|pid| *pid != *own) || env::var_os("LISTEN_FDS").is_none() {
        return command;
    }
    let mut shell = Command::new("/bin/sh");
    // LISTEN_PIDFDID names linklock too. Newer service managers set it beside LISTEN_PID, and it may be missing.
    shell.args(["-c", "unset LISTEN_PIDFDID; LISTEN_PID=$$; export LISTEN_PID; exec \"$@\"", "linklock"]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}
