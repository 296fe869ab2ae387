//! run: the signals that COMMAND gets when its lock is lost.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::{BUSY, is_running, run, send};
use crate::losses::{LIFETIME, break_by_force};
use crate::support::{Running, Scene};

fn heeds_term() -> String {
    format!("trap 'echo got TERM; exit 0' TERM; echo ready; {BUSY}")
}

#[test]
fn a_command_whose_lock_was_broken_gets_term() {
    let scene = Scene::new();
    let running = Running::start(run(&scene, &LIFETIME, &heeds_term()));
    break_by_force(&scene);
    let (status, said, complaint) = running.end_with_complaints();
    assert_eq!((status, said.as_str()), (Some(76), "got TERM\n"), "work under a lost lock is not a success");
    assert!(complaint.starts_with("linklock: ") && complaint.contains("the lock is lost"), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "one message: {complaint}");
    scene.assert_free();
}

#[test]
fn a_command_that_ignores_term_is_killed() {
    let scene = Scene::new();
    let options = [&LIFETIME[..], &["--kill-after", "200ms"]].concat();
    let script = "trap '' TERM; echo ready; echo $$; exec sleep 60";
    let mut running = Running::start(run(&scene, &options, script));
    let command = running.line();
    break_by_force(&scene);
    assert_eq!(running.end().0, Some(76));
    assert!(!is_running(&command), "COMMAND ends before linklock");
    scene.assert_free();
}

#[test]
fn a_stopped_command_gets_term_and_continues() {
    let scene = Scene::new();
    let script = "trap 'echo got TERM; exit 0' TERM; echo ready; kill -STOP $$; sleep 0.1";
    let running = Running::start(run(&scene, &LIFETIME, script));
    break_by_force(&scene);
    assert_eq!(running.end(), (Some(76), "got TERM\n".into()));
}

#[test]
fn a_linklock_that_was_stopped_for_too_long_has_lost_its_lock() {
    let scene = Scene::new();
    let running = Running::start(run(&scene, &["-l", "300ms"], &heeds_term()));
    send(&running, Signal::STOP);
    thread::sleep(Duration::from_millis(400));
    send(&running, Signal::CONT);
    assert_eq!(running.end(), (Some(76), "got TERM\n".into()));
}
