//! run: what becomes of signals while COMMAND is started, as /proc tells.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::iter;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::starting::run_script;
use super::{is_running, state};
use crate::scripts::status;
use crate::support::{Scene, assert_exit, end, eventually, heed_signals, outcome, stderr, stdout};

/// What a process is told of signals: those that are blocked, ignored and caught.
#[test]
fn the_command_heeds_the_signals_that_linklock_was_to_heed() {
    let scene = Scene::new();
    let told = |mut command: Command| {
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
        #[expect(unsafe_code, reason = "what runs between fork and exec cannot be checked")]
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
    assert_eq!(told(scene.linklock("run", ASK)), told(grep));
}

/// Else a handler of linklock's would take it for one that was sent to linklock, whose memory the child has.
#[test]
fn a_signal_that_comes_before_the_command_is_executed_is_the_commands_own() {
    let scene = Scene::new();
    // It takes a while to look in so many places.
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

/// Has it get USR1 while it stands still; `None` if it had ended by then.
fn interrupt(pid: &str) -> Option<()> {
    let id = Pid::from_raw(pid.parse().ok()?)?;
    kill_process(id, Signal::STOP).ok()?;
    eventually("it stands still", || state(pid) == Some('T') || !is_running(pid));
    is_running(pid).then_some(())?;
    kill_process(id, Signal::USR1).ok()?;
    kill_process(id, Signal::CONT).ok()
}

/// The bug: in the /proc of the pid namespace around its own, the caller's pid was another process's, whose parent was then
/// taken for the shell. The consequence: the lock was refused, or for a process that had nothing to do with it.
#[test]
fn a_lock_is_taken_for_the_caller_where_proc_shows_another_process_with_its_pid() {
    let scene = Scene::new();
    // A subshell, which is not what a lock is taken for, and the namespace's process with the same pid.
    let mut around = Command::new("sh")
        .args(["-c", "exec 3<&0; (read end <&3; true) & echo $!; wait"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pid = String::new();
    BufReader::new(around.stdout.as_mut().unwrap()).read_line(&mut pid).unwrap();
    let script =
        "echo $(($1 - 1)) >/proc/sys/kernel/ns_last_pid || exit 99; sh -c '\"$@\"; true' sh \"$2\" acquire \"$3\"";
    let output = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", pid.trim()])
        .args([env!("CARGO_BIN_EXE_linklock").as_ref(), scene.lock.as_os_str()])
        .output();
    drop(around.stdin.take());
    around.wait().unwrap();
    match output {
        Ok(output) if output.status.success() => {
            assert_eq!(stderr(&output), "");
            assert_eq!(status(&scene)["pid"].to_string(), pid.trim());
        }
        // Who may not make a namespace.
        Ok(output) if matches!(output.status.code(), Some(1 | 99)) => not_run(&stderr(&output)),
        Ok(output) => panic!("{}: {}", output.status, stderr(&output)),
        Err(e) => not_run(&format!("unshare(1): {e}")),
    }
}

/// Says why, past the test harness's capture.
fn not_run(why: &str) {
    let _ = writeln!(io::stderr(), "not run: a pid namespace: {why}");
}
