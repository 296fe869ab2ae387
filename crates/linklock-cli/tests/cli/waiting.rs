//! A waiting linklock: its messages, and its claim if it is killed.

use std::process::Stdio;

use crate::processes::{kill, start};
use crate::support::{Scene, assert_exit, end, eventually, outcome, stderr};

#[test]
fn without_a_terminal_no_waiting_line_is_shown() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    for subcommand in ["acquire", "wait"] {
        let output = end(scene.linklock(subcommand, ["-w", "50ms"]));
        assert_exit(&output, 75);
        let said = stderr(&output);
        assert!(said.starts_with("linklock: ") && said.lines().count() == 1, "only the error: {said:?}");
        assert_eq!(stderr(&end(scene.linklock(subcommand, ["-q", "-w", "50ms"]))), "");
    }
}

#[test]
fn the_next_break_removes_the_claim_of_a_killed_contender() {
    let scene = Scene::new();
    let token = scene.acquire_for("none", "1h");
    let mut waiting = start(scene.work(&[], &[]).stderr(Stdio::null()));
    eventually("the waiter's claim", || scene.names().len() == 3);
    kill(&mut waiting);
    outcome(waiting);
    assert_eq!(scene.names().len(), 3, "a killed waiter leaves its claim");
    assert_exit(&end(scene.linklock("break", ["--token", token.to_str().unwrap()])), 0);
    scene.assert_free();
}
