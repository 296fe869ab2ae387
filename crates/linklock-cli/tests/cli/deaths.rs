//! What is left of a linklock that is killed.

use std::process::Stdio;

use crate::support::{Running, Scene, assert_exit, end, eventually, outcome};

// Other systems have nothing that would end COMMAND.
#[cfg(any(target_os = "linux", windows))]
#[test]
fn the_command_dies_with_linklock() {
    for protocol in ["link", "dir"] {
        let scene = Scene::new();
        let words = ["say:ready", "sleep:3000", "say:it went on"];
        let mut running = Running::start(scene.work(&["--protocol", protocol], &words));
        running.kill();
        // Read to its end: whoever could still say something has ended.
        assert_eq!(running.end().1, "");
        // Known to be dead: one try is enough.
        assert_exit(&end(scene.work(&["-n"], &[])), 0);
        scene.assert_free();
    }
}

#[test]
fn a_killed_contender_leaves_a_claim_that_the_next_break_sweeps_away() {
    let scene = Scene::new();
    let token = scene.acquire_for("none", "1h");
    let mut waiting = scene.work(&[], &[]).stderr(Stdio::null()).spawn().unwrap();
    eventually("a claim of the one that waits", || scene.names().len() == 3);
    waiting.kill().unwrap();
    outcome(waiting);
    assert_eq!(scene.names().len(), 3, "whoever is killed leaves the claim");
    assert_exit(&end(scene.linklock("break", ["--token", token.to_str().unwrap()])), 0);
    scene.assert_free();
}
