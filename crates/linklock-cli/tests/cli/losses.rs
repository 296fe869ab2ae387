//! run: what becomes of COMMAND when its lock is lost.

use std::fs;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{BUSY, Running, Scene, assert_exit, end, is_running};

/// Short enough to learn soon that the lock was broken, which the next refresh finds.
const LIFETIME: [&str; 2] = ["-l", "600ms"];

fn heeds_term() -> String {
    format!("trap 'echo got TERM; exit 0' TERM; echo ready; {BUSY}")
}

fn break_by_force(scene: &Scene) {
    assert_exit(&end(scene.linklock("break", ["--force"])), 0);
}

#[test]
fn a_command_whose_lock_was_broken_gets_term() {
    let scene = Scene::new();
    let running = Running::start(scene.run(&LIFETIME, &heeds_term()));
    break_by_force(&scene);
    let (status, said, complaint) = running.end_with_complaints();
    assert_eq!((status, said.as_str()), (Some(76), "got TERM\n"), "success under a lost lock is none");
    assert!(complaint.starts_with("linklock: ") && complaint.contains("the lock is lost"), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "said once: {complaint}");
    scene.assert_free();
}

#[test]
fn a_command_that_ignores_term_is_killed() {
    let scene = Scene::new();
    let options = [&LIFETIME[..], &["--kill-after", "200ms"]].concat();
    let script = "trap '' TERM; echo ready; echo $$; exec sleep 60";
    let mut running = Running::start(scene.run(&options, script));
    let command = running.line();
    break_by_force(&scene);
    assert_eq!(running.end().0, Some(76));
    assert!(!is_running(&command), "COMMAND is gone before linklock is");
    scene.assert_free();
}

#[test]
fn a_command_that_is_stopped_gets_its_term_all_the_same() {
    let scene = Scene::new();
    let script = "trap 'echo got TERM; exit 0' TERM; echo ready; kill -STOP $$; sleep 0.1";
    let running = Running::start(scene.run(&LIFETIME, script));
    break_by_force(&scene);
    assert_eq!(running.end(), (Some(76), "got TERM\n".into()));
}

#[test]
fn the_successor_is_unharmed() {
    let scene = Scene::new();
    let running = Running::start(scene.run(&LIFETIME, "echo ready; exec sleep 60"));
    break_by_force(&scene);
    let successor = scene.acquire_for("none", "1h");
    assert_eq!(running.end().0, Some(76));
    assert_exit(&end(scene.linklock("release", [&successor])), 0);
    scene.assert_free();
}

#[test]
fn a_linklock_that_was_stopped_for_too_long_finds_its_lock_lost() {
    let scene = Scene::new();
    let running = Running::start(scene.run(&["-l", "300ms"], &heeds_term()));
    running.signal(Signal::STOP);
    thread::sleep(Duration::from_millis(400));
    running.signal(Signal::CONT);
    assert_eq!(running.end(), (Some(76), "got TERM\n".into()));
}

#[test]
fn a_lock_whose_files_are_removed_is_lost() {
    let scene = Scene::new();
    let running = Running::start(scene.run(&LIFETIME, "echo ready; exec sleep 60"));
    for name in scene.names() {
        fs::remove_file(scene.dir.path().join(name)).unwrap();
    }
    assert_eq!(running.end().0, Some(76));
    scene.assert_free();
}
