//! What only a Unix has, and what its tests share.

#[cfg(target_os = "linux")]
mod linux;
mod losses;
mod signals;
mod starting;
mod surroundings;
mod terminal;

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Running, Scene, linklock};

/// What a shell does until a signal ends it; its traps run soon.
const BUSY: &str = "while :; do sleep 0.05; done";

/// `linklock run OPTION... LOCKPATH sh -c SCRIPT`, with a pipe for what it says.
fn run(scene: &Scene, options: &[&str], script: &str) -> Command {
    let mut command = linklock(["run"]);
    command.args(options).arg(&scene.lock).args(["sh", "-c", script]).stdout(Stdio::piped());
    command
}

fn send(running: &Running, signal: Signal) {
    let pid = Pid::from_raw(running.pid() as i32).expect("a process");
    kill_process(pid, signal).expect("linklock is there");
}

/// Whether the process has not ended; one that only waits to be reaped has.
fn is_running(pid: &str) -> bool {
    state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// The letter for it in proc_pid_stat(5).
fn state(pid: &str) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}
