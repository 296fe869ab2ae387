//! Signals: passed on to COMMAND, or the end of a wait.

use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{BUSY, Running, Scene, assert_exit, end, eventually, heed_signals, is_running, outcome, stdout};

const PASSED_ON: [(&str, Signal, i32); 6] = [
    ("TERM", Signal::TERM, 143),
    ("INT", Signal::INT, 130),
    ("HUP", Signal::HUP, 129),
    ("QUIT", Signal::QUIT, 131),
    ("USR1", Signal::USR1, 138),
    ("USR2", Signal::USR2, 140),
];

#[test]
fn a_signal_is_passed_on_to_the_command() {
    for (name, signal, _) in PASSED_ON {
        let scene = Scene::new();
        let script = format!("trap 'echo got {name}; exit 7' {name}; echo ready; {BUSY}");
        let running = Running::start(scene.run(&[], &script));
        running.signal(signal);
        assert_eq!(running.end(), (Some(7), format!("got {name}\n")));
        scene.assert_free();
    }
}

#[test]
fn a_command_that_a_signal_kills_is_told_as_such() {
    let scene = Scene::new();
    let running = Running::start(scene.run(&[], "echo ready; exec sleep 60"));
    running.signal(Signal::TERM);
    assert_eq!(running.end().0, Some(143));
    scene.assert_free();
}

#[test]
fn a_signal_ends_the_wait_and_leaves_no_claim() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    for (_, signal, status) in PASSED_ON {
        let waiting = scene.run(&["-w", "20s"], "echo it ran").spawn().unwrap();
        eventually("a claim of the one that waits", || scene.names().len() == 3);
        kill_process(Pid::from_child(&waiting), signal).unwrap();
        let output = outcome(waiting);
        assert_exit(&output, status);
        assert_eq!(stdout(&output), "");
        assert_eq!(scene.names().len(), 2, "only the holder's are left: {:?}", scene.names());
    }
}

#[test]
fn what_the_caller_ignores_stays_ignored() {
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

#[test]
fn the_command_dies_with_linklock() {
    let scene = Scene::new();
    let mut running = Running::start(scene.run(&[], "echo ready; echo $$; exec sleep 60"));
    let command = running.line();
    assert!(is_running(&command));
    running.signal(Signal::KILL);
    eventually("the end of COMMAND", || !is_running(&command));
    assert_eq!(running.end().0, None, "linklock was killed");
    // Known to be dead: one try is enough.
    assert_exit(&end(scene.run(&["-n"], "true")), 0);
    scene.assert_free();
}

#[test]
fn a_killed_contender_leaves_a_claim_that_the_next_break_sweeps_away() {
    let scene = Scene::new();
    let token = scene.acquire_for("none", "1h");
    let waiting = scene.run(&[], "true").stderr(Stdio::null()).spawn().unwrap();
    eventually("a claim of the one that waits", || scene.names().len() == 3);
    kill_process(Pid::from_child(&waiting), Signal::KILL).unwrap();
    outcome(waiting);
    assert_eq!(scene.names().len(), 3, "SIGKILL leaves the claim");
    assert_exit(&end(scene.linklock("break", ["--token", token.to_str().unwrap()])), 0);
    scene.assert_free();
}
