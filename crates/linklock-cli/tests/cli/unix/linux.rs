//! Only on Linux: signals while COMMAND starts, pid namespaces.

use std::fs;
use std::io::{BufRead, BufReader};
use std::iter;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::starting::run_script;
use super::{is_running, state};
use crate::scripts::status;
use crate::support::{Scene, assert_exit, end, eventually, heed_signals, not_run, outcome, stderr, stdout};

const PROGRAM: &str = env!("CARGO_BIN_EXE_linklock");

/// /proc shows which signals a process blocks, ignores and catches.
#[test]
fn the_command_blocks_and_ignores_the_signals_that_linklocks_caller_did() {
    let scene = Scene::new();
    let signals = |mut command: Command| {
        let prepare = || {
            #[expect(unsafe_code, reason = "no safe wrappers")]
            // SAFETY: no handler is installed, and all bits of a set may be zero.
            unsafe {
                let mut blocked = std::mem::zeroed();
                libc::sigaddset(&raw mut blocked, libc::SIGWINCH);
                libc::sigprocmask(libc::SIG_SETMASK, &raw const blocked, std::ptr::null_mut());
                libc::signal(libc::SIGPIPE, libc::SIG_DFL);
                libc::signal(libc::SIGUSR2, libc::SIG_IGN);
            }
            Ok(())
        };
        #[expect(unsafe_code, reason = "the compiler cannot check what runs between fork and exec")]
        // SAFETY: all of it is async-signal-safe.
        unsafe {
            command.pre_exec(prepare);
        }
        let output = end(command);
        assert_exit(&output, 0);
        stdout(&output)
    };
    const ASK: [&str; 3] = ["grep", "^Sig[BIC]", "/proc/self/status"];
    let mut grep = Command::new(ASK[0]);
    grep.args(&ASK[1..]);
    heed_signals(&mut grep);
    assert_eq!(signals(scene.linklock("run", ASK)), signals(grep));
}

/// The child of a fork has linklock's handlers: they would wake linklock, and COMMAND would not see the signal.
#[test]
fn the_command_gets_a_signal_that_comes_before_it_is_executed() {
    let scene = Scene::new();
    // The search in so many directories takes a while.
    let path = "/m:".repeat(40_000);
    let caught = (0..20).find_map(|_| {
        let linklock = run_script(&scene, &path).stderr(Stdio::piped()).spawn().unwrap();
        let pid = linklock.id().to_string();
        let child = || fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let child = iter::repeat_with(|| (child(), is_running(&pid))).find(|(child, runs)| !child.is_empty() || !runs);
        let stood_still = child.and_then(|(child, _)| interrupt(child.trim()));
        let output = outcome(linklock);
        stood_still.map(|()| output.status.code())
    });
    assert_eq!(caught, Some(Some(138)));
}

/// Stops the process, sends USR1 and continues it; `None` if it had ended by then.
fn interrupt(pid: &str) -> Option<()> {
    let id = Pid::from_raw(pid.parse().ok()?)?;
    kill_process(id, Signal::STOP).ok()?;
    eventually("the process is stopped", || state(pid) == Some('T') || !is_running(pid));
    is_running(pid).then_some(())?;
    kill_process(id, Signal::USR1).ok()?;
    kill_process(id, Signal::CONT).ok()
}

/// The bug: /proc was that of an outer pid namespace, where another process had the caller's pid, and linklock took that
/// process's parent for the shell. The consequence: linklock refused the lock, or an unrelated process held it.
#[test]
fn no_process_holds_the_lock_if_proc_shows_another_process_with_the_callers_pid() {
    let scene = Scene::new();
    // In the outer namespace this pid is a subshell, which never holds a lock; in the inner one it is the caller.
    let mut around = Command::new("sh")
        .args(["-c", "exec 3<&0; (read end <&3; true) & echo $!; wait"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pid = String::new();
    BufReader::new(around.stdout.as_mut().unwrap()).read_line(&mut pid).unwrap();
    let script = "echo $(($1 - 1)) >/proc/sys/kernel/ns_last_pid || exit 99; token=$(\"$2\" acquire \"$3\"; exit)";
    let output = in_pid_namespace(&["sh", "-c", script, "sh", pid.trim(), PROGRAM, scene.lock.to_str().unwrap()]);
    drop(around.stdin.take());
    around.wait().unwrap();
    let Some(output) = output else { return };
    assert!(output.status.success(), "{}: {}", output.status, stderr(&output));
    assert!(stderr(&output).contains("belongs to no process"), "{}", stderr(&output));
    assert_ne!(status(&scene)["pid"].to_string(), pid.trim());
    assert_eq!(status(&scene)["state"], "held");
}

/// The bug: in a pid namespace of its own, linklock's process group has no number there, and /proc, left as it was, shows other
/// processes. The consequence: a panic, and what ran outside was taken for what COMMAND had started: linklock waited for it, and
/// would have sent it TERM and KILL.
#[test]
fn in_a_pid_namespace_whose_proc_shows_others_command_alone_is_known() {
    let scene = Scene::new();
    let lock = scene.lock.to_str().unwrap();
    let waits_all = ["timeout", "30", PROGRAM, "run", "--wait-all", lock, "--", "sh", "-c", "sleep 0.3; exit 7"];
    if let Some(output) = in_pid_namespace(&waits_all) {
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(7), ""));
    }
    // Linklock is the first process of its namespace, as in a container, and gets a signal.
    let ends = "trap 'exit 7' TERM; kill -TERM $PPID; while :; do sleep 0.1; done";
    if let Some(output) = in_pid_namespace(&[PROGRAM, "run", lock, "--", "sh", "-c", ends]) {
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(7), ""));
    }
}

/// Runs it in a new pid namespace with the /proc of the one around. `None`, with the reason past the test harness's capture, where
/// this user may not make one.
fn in_pid_namespace(command: &[&str]) -> Option<Output> {
    let made = Command::new("unshare").args(["--pid", "--fork", "--kill-child"]).args(command).output();
    let why = match made {
        Ok(output) if matches!(output.status.code(), Some(1 | 99)) => stderr(&output),
        Ok(output) => return Some(output),
        Err(e) => format!("unshare(1): {e}"),
    };
    not_run(&format!("a pid namespace: {why}"));
    None
}
