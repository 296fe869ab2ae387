//! run: the work ends with the lock, whatever it is made of.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::terminal::Terminal;
use super::{BUSY, is_running, run, send, state};
use crate::losses::{LIFETIME, break_by_force};
use crate::scripts::status;
use crate::support::{Running, Scene, assert_exit, end, eventually, heed_signals, linklock, outcome, stdout};

/// A step of a script: another process, which the shell waits for, and which only KILL ends.
fn stubborn_step(scene: &Scene) -> String {
    let pid = scene.dir.path().join("step");
    format!("sh -c 'trap \"\" TERM INT HUP; echo $$ >{}; {BUSY}'; echo it went on", pid.display())
}

fn pid_in(scene: &Scene, file: &str) -> String {
    let path = scene.dir.path().join(file);
    let mut pid = String::new();
    eventually("the process has written its pid", || {
        pid = fs::read_to_string(&path).unwrap_or_default().trim().to_owned();
        !pid.is_empty()
    });
    pid
}

/// The bug: only COMMAND got signals. The consequence: after a loss, or a TERM to linklock, the step that a shell had started went
/// on beside the next holder. The mend: on Linux linklock ends all that COMMAND started, before it releases the lock.
#[test]
fn what_the_command_started_ends_before_the_lock_is_free() {
    for signal in [Some(Signal::TERM), Some(Signal::HUP), None] {
        let scene = Scene::new();
        let options = [&LIFETIME[..], &["--kill-after", "100ms"]].concat();
        let script = format!("echo ready; {}", stubborn_step(&scene));
        let running = Running::start(run(&scene, &options, &script));
        let step = pid_in(&scene, "step");
        match signal {
            Some(signal) => send(&running, signal),
            None => break_by_force(&scene),
        }
        let (number, said) = running.end();
        assert!(!is_running(&step), "{signal:?}");
        assert_eq!(said, "", "{signal:?}");
        let expected = signal.map_or(76, |signal| 128 + signal.as_raw());
        assert_eq!(number, Some(expected), "{signal:?}");
        assert_eq!(status(&scene)["state"], "free");
    }
}

/// A shell that waits for its step heeds an INT only once the step has ended.
#[test]
fn an_interrupt_that_somebody_sends_reaches_the_step_of_a_shell_as_a_key_would() {
    for signal in [Signal::INT, Signal::QUIT] {
        let scene = Scene::new();
        let running = Running::start(run(&scene, &[], "echo ready; sleep 60; echo it went on"));
        eventually("the step runs", || running_below(running.pid()).len() == 2);
        send(&running, signal);
        assert_eq!(running.end(), (Some(128 + signal.as_raw()), String::new()));
    }
}

#[test]
fn what_a_command_leaves_in_the_background_stays_unless_linklock_waits_for_it() {
    for wait_all in [false, true] {
        let scene = Scene::new();
        // In another session, and an orphan: its parent ends at once.
        let script = "(setsid sh -c 'echo $$ >step; while [ ! -e go ]; do sleep 0.05; done; exit 9' >/dev/null 2>&1 &) ; echo started; exit 3";
        let mut command = run(&scene, if wait_all { &["--wait-all"] } else { &[] }, script);
        command.current_dir(scene.dir.path());
        let child = command.spawn().unwrap();
        let left = pid_in(&scene, "step");
        if wait_all {
            assert_exit(&end(scene.linklock("run", ["-n", "true"])), 75);
            assert!(is_running(&left));
            fs::write(scene.dir.path().join("go"), "").unwrap();
            assert_exit(&outcome(child), 3);
            assert!(!is_running(&left));
        } else {
            assert_exit(&outcome(child), 3);
            assert!(is_running(&left));
            fs::write(scene.dir.path().join("go"), "").unwrap();
            // Before the directory goes, and `go` with it.
            eventually("it ends", || !is_running(&left));
        }
        assert_eq!(status(&scene)["state"], "free");
    }
}

/// The bug: `--kill-after` alone said when KILL comes. The consequence: with a short lifetime and grace COMMAND worked for seconds
/// beside the next holder. The mend: KILL comes before another contender can have the lock.
#[test]
fn kill_comes_before_the_next_holder() {
    let scene = Scene::new();
    let options = ["-l", "1s", "--grace", "500ms", "--kill-after", "1h"];
    let running = Running::start(run(&scene, &options, &format!("trap '' TERM; echo ready; {BUSY}")));
    send(&running, Signal::STOP);
    thread::sleep(Duration::from_millis(1100));
    send(&running, Signal::CONT);
    let (status, _, complaint) = running.end_with_complaints();
    assert_eq!(status, Some(76));
    assert!(complaint.contains("sends KILL in ") && !complaint.contains("sends KILL in 1h"), "{complaint}");
}

/// The bug: the message of a loss was written before TERM was sent. The consequence: where nobody read stderr, COMMAND went on.
#[test]
fn a_full_pipe_at_stderr_holds_up_neither_term_nor_kill() {
    let scene = Scene::new();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let options = [&LIFETIME[..], &["--kill-after", "100ms"]].concat();
    let mut command = run(&scene, &options, &format!("trap 'echo got TERM' TERM; echo ready; {BUSY}"));
    command.stderr(Stdio::from(writer.try_clone().unwrap()));
    let running = Running::start(command);
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    break_by_force(&scene);
    let (number, said) = running.end();
    assert_eq!(number, Some(76));
    assert!(said.starts_with("got TERM\n"), "{said}");
    drop(reader);
}

/// The bug: threads to keep the lock alive were started after COMMAND. The consequence: where there was none to be had, COMMAND ran
/// for 20 ms and was killed.
#[test]
fn a_command_runs_to_its_end_where_processes_and_descriptors_are_scarce() {
    let script = "for step in 1 2 3 4 5 6; do sleep 0.1; done; echo whole";
    let scene = Scene::new();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 9; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_linklock"), "run", "-l", "400ms"]);
    command.arg(&scene.lock).args(["sh", "-c", script]);
    let output = end(command);
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), "whole\n");
    if !rustix::process::geteuid().is_root() {
        // Past the test harness's capture.
        let _ = writeln!(std::io::stderr(), "not run: few processes: only root can be a user who has no other process");
        return;
    }
    // A user whose only processes are these: linklock itself and COMMAND, and no room for a thread.
    let scene = Scene::new();
    let mut command = Command::new("setpriv");
    fs::set_permissions(scene.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let program = scene.dir.path().join("linklock");
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_linklock")).arg(&program).status();
    assert!(copied.unwrap().success());
    command.args(["--reuid=54242", "--regid=54242", "--clear-groups", "prlimit", "--nproc=2"]).arg(&program);
    command.args(["-q", "run", "-l", "400ms"]).arg(&scene.lock);
    command.args(["perl", "-e", "select undef, undef, undef, 0.1 for 1..6; print qq(whole\\n)"]);
    let output = end(command);
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), "whole\n");
}

/// The bug: linklock ended with 130 where Ctrl-C had ended COMMAND. The consequence: a shell's loop around it went on.
#[test]
fn a_key_ends_the_loop_of_a_shell_around_run() {
    let scene = Scene::new();
    let rounds = scene.dir.path().join("rounds");
    let mut command = Command::new("bash");
    let script = "while :; do echo round >>\"$3\"; \"$1\" run \"$2\" sleep 60; done";
    command.args(["-c", script, "bash", env!("CARGO_BIN_EXE_linklock")]).arg(&scene.lock).arg(&rounds);
    // Whoever runs the tests in the background ignores INT.
    heed_signals(&mut command);
    let terminal = Terminal::open();
    terminal.control(&mut command);
    let child = command.spawn().unwrap();
    drop(command);
    eventually("COMMAND works", || status(&scene)["state"] == "held" && running_below(child.id()).len() == 2);
    terminal.press(b"\x03");
    let output = outcome(child);
    assert_eq!(output.status.signal(), Some(2), "{}", output.status);
    assert_eq!(fs::read_to_string(&rounds).unwrap(), "round\n");
    assert_eq!(status(&scene)["state"], "free");
}

/// The bug: Ctrl-Z stopped linklock, and not a COMMAND in another process group. The consequence: COMMAND worked on while the lock
/// expired. The mend: linklock stops all that COMMAND is made of, then itself, and continues it only with the lock.
#[test]
fn a_command_in_its_own_process_group_stops_with_linklock_and_goes_on_only_with_the_lock() {
    for expires in [false, true] {
        let scene = Scene::new();
        // Long enough to be kept alive on a machine that is busy.
        let lifetime = if expires { "3s" } else { "1h" };
        let script = "timeout 60 sh -c 'echo $$ >step; while [ ! -e go ]; do sleep 0.05; done; echo went on >>log'";
        let mut command = linklock(["run", "-l", lifetime, "--kill-after", "100ms"]);
        command.arg(&scene.lock).args(["sh", "-c", script]).current_dir(scene.dir.path());
        let terminal = Terminal::open();
        terminal.control(&mut command);
        let child = command.spawn().unwrap();
        drop(command);
        let step = pid_in(&scene, "step");
        terminal.press(b"\x1a");
        let own = child.id().to_string();
        eventually("linklock has stopped", || state(&own) == Some('T'));
        assert_eq!(state(&step), Some('T'), "before linklock");
        if expires {
            thread::sleep(Duration::from_millis(3100));
        }
        fs::write(scene.dir.path().join("go"), "").unwrap();
        kill_process(Pid::from_child(&child), Signal::CONT).unwrap();
        assert_exit(&outcome(child), if expires { 76 } else { 0 });
        assert!(!is_running(&step));
        assert_eq!(scene.dir.path().join("log").exists(), !expires);
    }
}

/// The bug: clearing the waiting line blocked on a terminal that the user had halted. The consequence: the lock that had been acquired
/// expired, another had it, and with Ctrl-Q COMMAND began beside it.
#[test]
fn a_halted_terminal_does_not_keep_the_command_from_starting() {
    let scene = Scene::new();
    let token = scene.acquire_for("none", "1h");
    let log = scene.dir.path().join("log");
    let terminal = Terminal::open();
    let mut command = run(&scene, &[], "echo ran >log");
    command.current_dir(scene.dir.path());
    terminal.control(&mut command);
    let child = command.spawn().unwrap();
    drop(command);
    eventually("the waiting line", || terminal.shows().contains("waiting for process"));
    terminal.press(b"\x13");
    thread::sleep(Duration::from_millis(1200));
    assert_exit(&end(scene.linklock("release", [&token])), 0);
    eventually("COMMAND has run", || log.exists());
    terminal.press(b"\x11");
    assert_exit(&outcome(child), 0);
}

#[test]
fn orphans_of_the_command_do_not_stay_as_zombies() {
    let scene = Scene::new();
    let script = "for orphan in 1 2 3 4 5; do (sh -c 'exit 1' &); done; echo ready; read line";
    let mut command = run(&scene, &[], script);
    command.stdin(Stdio::piped());
    let mut running = command.spawn().unwrap();
    let zombies = || {
        let below = fs::read_to_string(format!("/proc/{0}/task/{0}/children", running.id())).unwrap_or_default();
        below.split_whitespace().filter(|pid| state(pid) == Some('Z')).count()
    };
    eventually("COMMAND waits", || status(&scene)["state"] == "held");
    thread::sleep(Duration::from_millis(300));
    eventually("no zombie is left", || zombies() == 0);
    drop(running.stdin.take());
    let output = outcome(running);
    assert_exit(&output, 1);
}

/// The processes below this one.
fn running_below(pid: u32) -> Vec<String> {
    let children = |pid: &str| {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut all = children(&pid.to_string());
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        all.extend(children(pid));
        next += 1;
    }
    all
}
