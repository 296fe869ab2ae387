//! Signals: linklock passes them on to COMMAND, or they end a wait.

use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{BUSY, run, send};
use crate::support::{Running, Scene, assert_exit, end, eventually, heed_signals, outcome, stdout};

const PASSED_ON: [(&str, Signal, i32); 6] = [
    ("TERM", Signal::TERM, 143),
    ("INT", Signal::INT, 130),
    ("HUP", Signal::HUP, 129),
    ("QUIT", Signal::QUIT, 131),
    ("USR1", Signal::USR1, 138),
    ("USR2", Signal::USR2, 140),
];

#[test]
fn linklock_passes_a_signal_on_to_the_command() {
    for (name, signal, _) in PASSED_ON {
        let scene = Scene::new();
        let script = format!("trap 'echo got {name}; exit 7' {name}; echo ready; {BUSY}");
        let running = Running::start(run(&scene, &[], &script));
        send(&running, signal);
        assert_eq!(running.end(), (Some(7), format!("got {name}\n")));
        scene.assert_free();
    }
}

#[test]
fn run_reports_a_signal_that_it_passed_on_and_that_killed_the_command() {
    let scene = Scene::new();
    let running = Running::start(run(&scene, &[], "echo ready; exec sleep 60"));
    send(&running, Signal::TERM);
    assert_eq!(running.end().0, Some(143));
    scene.assert_free();
}

#[test]
fn a_signal_ends_the_wait_and_leaves_no_claim() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    for (_, signal, status) in PASSED_ON {
        let waiting = run(&scene, &["-w", "20s"], "echo it ran").spawn().unwrap();
        eventually("the waiter's claim", || scene.names().len() == 3);
        kill_process(Pid::from_child(&waiting), signal).unwrap();
        let output = outcome(waiting);
        assert_exit(&output, status);
        assert_eq!(stdout(&output), "");
        assert_eq!(scene.names().len(), 2, "only the files of the holder are left: {:?}", scene.names());
    }
}

#[test]
fn a_signal_that_the_caller_ignores_stays_ignored() {
    let scene = Scene::new();
    let inner = "kill -HUP $PPID; kill -HUP $$; echo survived";
    let script = format!("trap '' HUP; exec {} run \"$1\" sh -c '{inner}'", env!("CARGO_BIN_EXE_linklock"));
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]).arg(&scene.lock);
    heed_signals(&mut command);
    let output = end(command);
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), "survived\n");
}

/// The bug: Rust's runtime ignores SIGPIPE, so the caller's choice was not known, and COMMAND always got the default. The
/// consequence: a COMMAND whose caller ignores SIGPIPE was killed by it under linklock.
#[test]
fn the_command_ignores_sigpipe_exactly_if_the_caller_does() {
    for (trap, status, said) in [("trap '' PIPE; ", 0, "survived\n"), ("", 141, "")] {
        let scene = Scene::new();
        let program = env!("CARGO_BIN_EXE_linklock");
        let script = format!("{trap}exec {program} run \"$1\" sh -c 'kill -PIPE $$; echo survived'");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).arg(&scene.lock);
        let output = end(command);
        assert_exit(&output, status);
        assert_eq!(stdout(&output), said);
    }
}

#[test]
fn run_reports_the_signal_that_killed_its_command() {
    let scene = Scene::new();
    for (name, status) in [("KILL", 137), ("TERM", 143), ("SEGV", 139)] {
        assert_exit(&end(run(&scene, &[], &format!("kill -{name} $$"))), status);
        scene.assert_free();
    }
}

#[test]
fn an_ignored_sigchld_does_not_hide_the_status_of_the_command() {
    let scene = Scene::new();
    let script = format!("trap '' CHLD; exec {} run \"$1\" sh -c 'exit 7'", env!("CARGO_BIN_EXE_linklock"));
    let output = std::process::Command::new("bash").args(["-c", &script, "bash"]).arg(&scene.lock).output().unwrap();
    assert_exit(&output, 7);
}

#[test]
fn a_signal_ends_the_wait_of_acquire_and_leaves_no_claim() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    let waiting = scene.linklock("acquire", ["-w", "20s"]).stdout(Stdio::piped()).spawn().unwrap();
    eventually("the waiter's claim", || scene.names().len() == 3);
    kill_process(Pid::from_child(&waiting), Signal::INT).unwrap();
    let output = outcome(waiting);
    assert_exit(&output, 130);
    assert_eq!(stdout(&output), "");
    assert_eq!(scene.names().len(), 2, "{:?}", scene.names());
}
