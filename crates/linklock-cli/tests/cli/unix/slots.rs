//! run --slots and acquire --slots: so many holders at a time, and no more.

use std::fs;
use std::thread;
use std::time::Duration;

use super::run;
use crate::support::{Running, Scene, assert_exit, end, linklock, outcome, stderr, stdout};

const HOLDS: &str = "echo ready; cat >/dev/null";

#[test]
fn so_many_run_at_a_time_and_each_knows_its_slot() {
    let scene = Scene::new();
    for protocol in ["link", "dir"] {
        let slots = ["--slots", "2", "--protocol", protocol];
        let held = [Running::start(run(&scene, &slots, HOLDS)), Running::start(run(&scene, &slots, HOLDS))];
        let output = end(run(&scene, &[&slots[..], &["--nonblock"]].concat(), "echo never"));
        assert_exit(&output, 75);
        assert!(stderr(&output).contains("all 2 slots are held, one of them by process "), "{}", stderr(&output));
        let [one, other] = held;
        one.let_end();
        let output = end(run(&scene, &slots, "echo \"$LINKLOCK_SLOT $LINKLOCK_PATH\""));
        let shown = stdout(&output);
        let (slot, path) = shown.trim_end().split_once(' ').expect("two words");
        assert_eq!(path, format!("{}.{slot}", scene.lock.display()));
        assert!(["1", "2"].contains(&slot), "{shown}");
        other.let_end();
        scene.assert_free();
    }
}

#[test]
fn who_has_no_slot_does_not_see_an_outer_one() {
    let scene = Scene::new();
    let mut inner = run(&scene, &[], "echo \"slot ${LINKLOCK_SLOT-none}\"");
    inner.env("LINKLOCK_SLOT", "7");
    assert_eq!(stdout(&end(inner)), "slot none\n");
}

#[test]
fn a_script_has_a_slot_by_its_token() {
    let scene = Scene::new();
    let acquire = || end(scene.linklock("acquire", ["--slots", "2", "--fence", "--pid", "none", "--nonblock"]));
    let lines = |output| stdout(&output).lines().map(str::to_owned).collect::<Vec<_>>();
    let held: Vec<_> = (0..2).map(|_| lines(acquire())).collect();
    assert_exit(&acquire(), 75);
    let shown = stdout(&end(scene.linklock("status", ["--slots", "3"])));
    let states: Vec<_> = shown.lines().map(|line| line.split(' ').nth(1).unwrap_or_default()).collect();
    assert_eq!(states, ["held", "held", "free"], "{shown}");
    for words in held {
        let [token, _fence, slot] = words.as_slice() else { panic!("{words:?}") };
        let path = format!("{}.{slot}", scene.lock.display());
        for subcommand in ["refresh", "release"] {
            assert_exit(&end(linklock([subcommand, &path, token])), 0);
        }
    }
    assert_eq!(lines(acquire()).len(), 3);
}

#[test]
fn what_cannot_have_slots_is_a_usage_error() {
    let scene = Scene::new();
    for options in [&["--slots", "0"][..], &["--slots", "257"], &["--slots", "x"], &["--slots", "2", "--shared"]] {
        assert_exit(&end(run(&scene, options, "true")), 64);
    }
    assert_exit(&end(run(&scene, &["--slots", "2", "--and", "/tmp/other"], "true")), 64);
    scene.assert_free();
}

/// More processes than slots, some of which are killed: never do two have one slot, and none is stuck.
#[test]
fn killed_holders_and_waiters_leave_their_slots_to_others() {
    const PROCESSES: usize = 24;
    let scene = Scene::new();
    let start = |n: usize, script: &str| {
        let queue: &[&str] = if n.is_multiple_of(3) { &["--queue"] } else { &[] };
        let protocol = ["link", "dir"][n % 2];
        // The time-out is for a test that fails.
        let options = [&["--slots", "3", "--protocol", protocol, "--timeout", "30s"], queue].concat();
        run(&scene, &options, script).current_dir(scene.dir.path()).spawn().expect("linklock starts")
    };
    let (mut others, mut victims) = (Vec::new(), Vec::new());
    for n in 0..PROCESSES {
        match n % 4 {
            0 => victims.push(start(n, "exec sleep 60")),
            _ => others.push(start(n, "mkdir held.$LINKLOCK_SLOT && sleep 0.02 && rmdir held.$LINKLOCK_SLOT")),
        }
    }
    thread::sleep(Duration::from_millis(300));
    for victim in &mut victims {
        victim.kill().expect("it is ours");
        victim.wait().expect("it ends");
    }
    for other in others {
        let output = outcome(other);
        assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    }
    for name in fs::read_dir(scene.dir.path()).expect("it is there").flatten().map(|entry| entry.file_name()) {
        assert!(!name.to_string_lossy().starts_with("held."), "{name:?}");
    }
}
