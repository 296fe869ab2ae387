//! run --shared and acquire --shared: readers side by side.

use std::fs;
use std::thread;
use std::time::Duration;

use super::run;
use crate::scripts::status;
use crate::support::{Running, Scene, assert_exit, end, linklock, outcome, stderr, stdout};

const READS: &str = "echo ready; cat >/dev/null";

#[test]
fn readers_run_side_by_side_and_a_writer_waits_for_all() {
    let scene = Scene::new();
    let readers: Vec<_> = (0..3).map(|_| Running::start(run(&scene, &["-s"], READS))).collect();
    let shown = status(&scene);
    assert_eq!(shown["state"], "held");
    assert_eq!(shown["protocol"], "dir");
    assert_eq!(shown["readers"].as_array().map(Vec::len), Some(3), "{shown}");
    let words = stdout(&end(scene.linklock("status", [""; 0])));
    assert!(words.contains("held by 3 that share it: process "), "{words}");
    for protocol in ["link", "dir"] {
        assert_exit(&end(run(&scene, &["--nonblock", "--protocol", protocol], "echo never")), 75);
    }
    for reader in readers {
        reader.let_end();
    }
    scene.assert_free();
    let writer = Running::start(run(&scene, &["--protocol", "dir"], READS));
    assert_exit(&end(run(&scene, &["--shared", "--nonblock"], "echo never")), 75);
    writer.let_end();
    scene.assert_free();
}

#[test]
fn a_script_shares_the_lock_by_its_token() {
    let scene = Scene::new();
    let acquire = || {
        let output = end(scene.linklock("acquire", ["--shared", "--pid", "none"]));
        assert_exit(&output, 0);
        stdout(&output).trim_end().to_owned()
    };
    let (one, other) = (acquire(), acquire());
    assert_ne!(one, other);
    for token in [&one, &other] {
        assert_exit(&end(scene.linklock("refresh", [token])), 0);
    }
    assert_exit(&end(scene.linklock("release", [&one])), 0);
    assert_exit(&end(scene.linklock("release", [&one])), 76);
    assert_exit(&end(scene.linklock("release", [&other])), 0);
    scene.assert_free();
}

#[test]
fn the_entries_of_killed_readers_are_in_nobodys_way() {
    let scene = Scene::new();
    let mut readers: Vec<_> = (0..3).map(|_| Running::start(run(&scene, &["-s"], READS))).collect();
    for reader in &mut readers {
        reader.kill();
    }
    drop(readers);
    let mut writer = linklock(["run", "--protocol", "dir", "--timeout", "20s"]);
    writer.arg(&scene.lock).args(["true"]);
    let output = end(writer);
    assert!(output.status.success(), "{}", stderr(&output));
    scene.assert_free();
}

/// Readers and writers in random order, some of which are killed: no reader sees a half of what a writer writes.
#[test]
fn no_reader_sees_what_a_writer_has_half_written() {
    const PROCESSES: usize = 40;
    let scene = Scene::new();
    for half in ["one", "other"] {
        fs::write(scene.dir.path().join(half), "0\n").expect("it can be written");
    }
    let mut random = fastrand::Rng::with_seed(11);
    let mut start = |is_writer: bool, script: &str| {
        // The time-out is for a test that fails.
        let sharing: &[&str] = if is_writer { &["--protocol", ["link", "dir"][random.usize(0..2)]] } else { &["-s"] };
        let options = [sharing, &["--lifetime", "10s", "--grace", "10ms", "--timeout", "20s"]].concat();
        run(&scene, &options, script).current_dir(scene.dir.path()).spawn().expect("linklock starts")
    };
    let (mut others, mut victims) = (Vec::new(), Vec::new());
    for n in 0..PROCESSES {
        match n % 8 {
            0 => victims.push(start(n % 16 == 0, "exec sleep 60")),
            1 | 5 => others.push(start(true, &format!("echo {n} >one; sleep 0.01; echo {n} >other"))),
            _ => others.push(start(false, "cmp one other && sleep 0.01 && cmp one other")),
        }
    }
    thread::sleep(Duration::from_millis(200));
    for victim in &mut victims {
        victim.kill().expect("it is ours");
        victim.wait().expect("it ends");
    }
    for other in others {
        let output = outcome(other);
        assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    }
}
