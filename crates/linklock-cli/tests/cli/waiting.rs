//! What is said while linklock waits.

use crate::support::{Scene, assert_exit, end, stderr};

#[test]
fn without_a_terminal_no_waiting_line_is_shown() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    for subcommand in ["acquire", "wait"] {
        let output = end(scene.linklock(subcommand, ["-w", "50ms"]));
        assert_exit(&output, 75);
        let said = stderr(&output);
        assert!(said.starts_with("linklock: ") && said.lines().count() == 1, "the error alone: {said:?}");
        assert_eq!(stderr(&end(scene.linklock(subcommand, ["-q", "-w", "50ms"]))), "");
    }
}
