//! Only on Unix. Functions that these tests share.

mod callers;
mod doctor;
mod faults;
mod forged;
mod journal;
#[cfg(target_os = "linux")]
mod linux;
mod listing;
mod losses;
mod private;
mod several;
#[cfg(target_os = "linux")] // Elsewhere nothing is known of processes.
mod sharing;
mod signals;
mod slots;
mod starting;
mod surroundings;
mod table;
mod terminal;
mod words;
#[cfg(target_os = "linux")] // Elsewhere only COMMAND itself is known.
mod work;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Running, Scene, linklock};

/// Keeps a shell busy until a signal comes. Its traps run soon.
const BUSY: &str = "while :; do sleep 0.05; done";

/// `linklock run OPTION... LOCKPATH sh -c SCRIPT`, with a pipe for its output.
fn run(scene: &Scene, options: &[&str], script: &str) -> Command {
    let mut command = linklock(["run"]);
    command.args(options).arg(&scene.lock).args(["sh", "-c", script]).stdout(Stdio::piped());
    command
}

fn send(running: &Running, signal: Signal) {
    let pid = Pid::from_raw(running.pid() as i32).expect("a process");
    kill_process(pid, signal).expect("linklock is there");
}

/// Root ignores permissions, so root runs the program as the user nobody, from a place that this user can reach.
pub(crate) fn as_ordinary_user(command: Command, place: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return command;
    }
    const NOBODY: u32 = 65534;
    let program = place.join("linklock");
    fs::set_permissions(place, fs::Permissions::from_mode(0o755)).expect("root may");
    // Another process copies it: programs that other tests start would inherit our descriptor that is open for writing, and
    // then nobody could execute the copy (ETXTBSY).
    let copied = Command::new("cp").arg(command.get_program()).arg(&program).status();
    assert!(copied.is_ok_and(|status| status.success()), "the program can be copied");
    let mut as_nobody = Command::new(program);
    as_nobody.args(command.get_args()).uid(NOBODY).gid(NOBODY);
    as_nobody
}

/// Whether the process has not ended. A zombie has ended.
fn is_running(pid: &str) -> bool {
    state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// The letter of its state in proc_pid_stat(5).
fn state(pid: &str) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}
