//! acquire, refresh, release, break and wait in scripts.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Scene, assert_exit, end, ended_process, here, outcome, stderr, stdout};

/// The one line of `status --json`.
pub(crate) fn status(scene: &Scene) -> Value {
    let output = end(scene.linklock("status", ["--json"]));
    assert_exit(&output, 0);
    serde_json::from_slice(&output.stdout).expect("a JSON object")
}

#[test]
fn a_token_goes_from_acquire_to_status_to_refresh_to_release() {
    let scene = Scene::new();
    let token = scene.acquire_for("none", "20s");
    let before = status(&scene);
    assert_eq!(before["token"], token.to_str().unwrap());
    assert!(before["expires_in_ms"].as_i64().unwrap() < 21_000, "{before}");

    assert_exit(&end(scene.linklock("refresh", [token.to_str().unwrap(), "--lifetime", "5m"])), 0);
    let after = status(&scene);
    assert_eq!(after["token"], before["token"], "a refresh does not change the holder");
    assert!(after["expires_in_ms"].as_i64().unwrap() > 290_000, "{after}");
    // Without the option a refresh keeps the lifetime.
    assert_exit(&end(scene.linklock("refresh", [&token])), 0);
    assert!(status(&scene)["expires_in_ms"].as_i64().unwrap() > 290_000, "{}", status(&scene));

    assert_exit(&end(scene.linklock("release", [&token])), 0);
    scene.assert_free();
}

#[test]
fn acquire_prints_the_fencing_token_in_a_second_line() {
    let scene = Scene::new();
    let numbers = [(); 2].map(|()| {
        let output = end(scene.linklock("acquire", ["--fence", "--pid", "none"]));
        assert_exit(&output, 0);
        let said = stdout(&output);
        let [token, number] = said.lines().collect::<Vec<_>>()[..] else { panic!("two lines: {said}") };
        assert_exit(&end(scene.linklock("release", [token])), 0);
        number.parse::<u64>().expect("a number")
    });
    assert!(numbers[0] < numbers[1], "{numbers:?}");
    assert_eq!(scene.names(), [here("job.lock|fence").as_str()], "only the counter stays");
}

#[test]
fn refresh_and_release_need_only_the_token_for_either_protocol() {
    let scene = Scene::new();
    let output = end(scene.linklock("acquire", ["--protocol", "dir", "--pid", "none"]));
    assert_exit(&output, 0);
    assert!(scene.lock.is_dir(), "a dir lock is a directory");
    let token = stdout(&output);
    assert_exit(&end(scene.linklock("refresh", [token.trim_end()])), 0);
    assert_exit(&end(scene.linklock("release", [token.trim_end()])), 0);
    scene.assert_free();
}

#[test]
fn an_expired_lock_cannot_be_refreshed() {
    let scene = Scene::new();
    let token = scene.acquire_for("none", "20ms");
    thread::sleep(Duration::from_millis(50));
    assert_exit(&end(scene.linklock("refresh", [&token])), 76);
    assert_exit(&end(scene.linklock("release", [&token])), 76);
    assert_eq!(status(&scene)["state"], "expired");
}

#[test]
fn a_contender_takes_the_lock_of_an_ended_script_at_once() {
    let scene = Scene::new();
    ended_process(|pid| {
        scene.acquire_for(pid, "1h");
        assert_exit(&end(scene.linklock("acquire", ["-n"])), 75);
    });
    // One try without waiting succeeds only because the holder has died.
    assert_exit(&end(scene.work(&["-n"], &[])), 0);
    scene.assert_free();
}

#[test]
fn no_recover_dead_waits_for_the_expiry_of_an_ended_scripts_lock() {
    let scene = Scene::new();
    ended_process(|pid| drop(scene.acquire_for(pid, "1h")));
    assert_exit(&end(scene.linklock("acquire", ["-n", "--no-recover-dead"])), 75);
    assert_exit(&end(scene.linklock("break", ["--expired", "--no-recover-dead"])), 75);
    assert_exit(&end(scene.linklock("wait", ["-n", "--no-recover-dead"])), 75);
    assert_exit(&end(scene.linklock("wait", ["-n"])), 0);
}

#[test]
fn a_lock_for_nobody_outlives_every_process() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    assert_exit(&end(scene.linklock("acquire", ["-n"])), 75);
    assert_eq!(status(&scene)["state"], "held");
}

#[test]
fn break_token_breaks_the_lock_that_the_token_holds() {
    let scene = Scene::new();
    let token = scene.acquire_for("none", "1h");
    let output = end(scene.linklock("break", ["--token", token.to_str().unwrap()]));
    assert_exit(&output, 0);
    assert!(
        stdout(&output).contains("broken; it was held by no known process (acquired by process"),
        "{}",
        stdout(&output)
    );
    scene.assert_free();
    assert_exit(&end(scene.linklock("release", [&token])), 76);
}

#[test]
fn break_expired_breaks_only_an_expired_lock() {
    let scene = Scene::new();
    assert!(stdout(&end(scene.linklock("break", ["--expired"]))).contains("was free"));
    let token = scene.acquire_for("none", "1h");
    let output = end(scene.linklock("break", ["--expired"]));
    assert_exit(&output, 75);
    assert!(stderr(&output).contains("have not passed"), "{}", stderr(&output));
    assert_exit(&end(scene.linklock("release", [&token])), 0);

    scene.acquire_for("none", "10ms");
    thread::sleep(Duration::from_millis(50));
    assert_exit(&end(scene.linklock("break", ["--expired"])), 75);
    assert_exit(&end(scene.linklock("break", ["--expired", "--grace", "10ms"])), 0);
    scene.assert_free();
}

#[test]
fn break_force_breaks_a_live_lock_and_accepts_a_free_one() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    let output = end(scene.linklock("break", ["--force", "-q"]));
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), "", "-q is silent");
    scene.assert_free();
    assert_exit(&end(scene.linklock("break", ["--force"])), 0);
}

#[test]
fn wait_returns_when_the_lock_is_released_and_acquires_nothing() {
    let scene = Scene::new();
    assert_exit(&end(scene.linklock("wait", ["-n"])), 0);
    let token = scene.acquire_for("none", "1h");
    let mut waiting = scene.linklock("wait", ["-w", "20s"]).stdout(Stdio::piped()).spawn().unwrap();
    thread::sleep(Duration::from_millis(100));
    assert_eq!(waiting.try_wait().unwrap(), None, "it waits while the lock is held");
    assert_eq!(scene.names().len(), 2, "it changes nothing in the directory: {:?}", scene.names());
    assert_exit(&end(scene.linklock("release", [&token])), 0);
    assert_exit(&outcome(waiting), 0);
    scene.assert_free();
}

#[test]
fn acquire_refuses_the_pid_of_no_process() {
    let scene = Scene::new();
    let mut ended = String::new();
    ended_process(|pid| ended.push_str(pid));
    assert_exit(&end(scene.linklock("acquire", ["--pid", &ended])), 64);
    scene.assert_free();
}
