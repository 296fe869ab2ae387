//! COMMAND when linklock is killed.

use crate::support::{Running, Scene, assert_exit, end};

#[test]
fn the_command_dies_with_linklock() {
    for protocol in ["link", "dir"] {
        let scene = Scene::new();
        let words = ["say:ready", "sleep:3000", "say:it went on"];
        let mut running = Running::start(scene.work(&["--protocol", protocol], &words));
        running.kill();
        // The pipe is read to its end, so every process that could still write has ended.
        assert_eq!(running.end().1, "");
        // The holder is known to have died, so one try is enough.
        assert_exit(&end(scene.work(&["-n"], &[])), 0);
        scene.assert_free();
    }
}
