//! run: COMMAND when its lock is lost.

use std::fs;

use crate::support::{Running, Scene, assert_exit, end};

/// Short, because only the next refresh detects that the lock was broken.
pub(crate) const LIFETIME: [&str; 2] = ["-l", "600ms"];

pub(crate) fn break_by_force(scene: &Scene) {
    assert_exit(&end(scene.linklock("break", ["--force"])), 0);
}

#[test]
fn a_command_whose_lock_was_broken_is_ended() {
    let scene = Scene::new();
    let running = Running::start(scene.work(&LIFETIME, &["say:ready", "sleep:60000", "say:it went on"]));
    break_by_force(&scene);
    let (status, said, complaint) = running.end_with_complaints();
    assert_eq!((status, said.as_str()), (Some(76), ""));
    assert!(complaint.starts_with("linklock: ") && complaint.contains("the lock is lost"), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "one message: {complaint}");
    scene.assert_free();
}

#[test]
fn the_next_holder_keeps_its_lock() {
    let scene = Scene::new();
    let running = Running::start(scene.work(&LIFETIME, &["say:ready", "sleep:60000"]));
    break_by_force(&scene);
    let successor = scene.acquire_for("none", "1h");
    assert_eq!(running.end().0, Some(76));
    assert_exit(&end(scene.linklock("release", [&successor])), 0);
    scene.assert_free();
}

#[test]
fn a_lock_whose_files_are_removed_is_lost() {
    let scene = Scene::new();
    let running = Running::start(scene.work(&LIFETIME, &["say:ready", "sleep:60000"]));
    for name in scene.names() {
        fs::remove_file(scene.dir.path().join(name)).unwrap();
    }
    assert_eq!(running.end().0, Some(76));
    scene.assert_free();
}
