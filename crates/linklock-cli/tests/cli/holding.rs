//! run --hold. Without it, two hosts whose clocks differ by a little both run a nightly job that is shorter than that.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::losses::{LIFETIME, break_by_force};
use crate::support::{Running, Scene, assert_exit, end, outcome, stderr, stdout};

#[test]
fn of_two_contenders_that_start_a_second_apart_one_runs_a_short_job() {
    for (hold, runs) in [(&[][..], 2), (&["--hold", "3s"], 1)] {
        let scene = Scene::new();
        let options = [&["-n", "-q"], hold].concat();
        let first = scene.work(&options, &["say:ran"]).spawn().unwrap();
        thread::sleep(Duration::from_secs(1));
        let second = scene.work(&options, &["say:ran"]).spawn().unwrap();
        let outputs = [outcome(first), outcome(second)];
        let ran: String = outputs.iter().map(stdout).collect();
        assert_eq!(ran.lines().count(), runs, "{hold:?}");
        assert_eq!(outputs[1].status.code(), Some(if runs == 1 { 75 } else { 0 }));
        scene.assert_free();
    }
}

#[test]
fn the_hold_counts_from_the_start_and_keeps_the_commands_status() {
    let scene = Scene::new();
    let begin = Instant::now();
    assert_exit(&end(scene.work(&["--hold", "800ms"], &["sleep:500", "exit:7"])), 7);
    assert!(begin.elapsed() >= Duration::from_millis(800));
    assert_exit(&end(scene.work(&["--hold", "1ms"], &["sleep:100"])), 0);
    // Nothing ran, so there is nothing to hold.
    assert_exit(&end(scene.linklock("run", ["--hold", "20s", "no-such-command-anywhere"])), 127);
    scene.assert_free();
}

#[test]
fn the_lock_is_kept_alive_while_it_is_held() {
    let scene = Scene::new();
    let holding = scene.work(&["--hold", "2s", "-l", "500ms"], &["say:ran"]).spawn().unwrap();
    thread::sleep(Duration::from_millis(1500));
    assert_exit(&end(scene.work(&["-n", "--grace", "0"], &[])), 75);
    assert_exit(&outcome(holding), 0);
    scene.assert_free();
}

#[test]
fn a_lock_that_is_lost_during_the_hold_is_76_at_once() {
    let scene = Scene::new();
    let options = [&["--hold", "20s"], &LIFETIME[..]].concat();
    let running = Running::start(scene.work(&options, &["say:ready"]));
    // COMMAND has nothing more to do, so by then it has ended.
    thread::sleep(Duration::from_millis(200));
    break_by_force(&scene);
    let (status, _, complaints) = running.end_with_complaints();
    assert_eq!(status, Some(76));
    assert!(complaints.contains("the lock is lost; COMMAND had ended"), "{complaints}");
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_hold_and_releases_the_lock() {
    use rustix::process::{Pid, Signal, kill_process};
    // USR1 does not ask to end. The third is for a COMMAND that ends by it.
    for (signals, during, status) in
        [(&[Signal::TERM][..], false, 7), (&[Signal::USR1, Signal::INT], false, 7), (&[Signal::TERM], true, 143)]
    {
        let scene = Scene::new();
        let words = if during { &["say:ready", "sleep:20000"][..] } else { &["say:ready", "exit:7"] };
        let begin = Instant::now();
        let running = Running::start(scene.work(&["--hold", "20s"], words));
        thread::sleep(Duration::from_millis(300));
        for signal in signals {
            kill_process(Pid::from_raw(running.pid() as i32).unwrap(), *signal).unwrap();
            thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(running.end().0, Some(status), "{signals:?}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{signals:?}: {:?}", begin.elapsed());
        scene.assert_free();
    }
}

/// A wait in a log: its beginning and its end, if it lasts for more than a second.
#[test]
fn without_a_terminal_a_wait_is_logged_at_its_beginning_and_its_end() {
    let scene = Scene::new();
    let token = scene.acquire_for("none", "1h");
    let waiter = |options: &[&str]| scene.work(options, &[]).stderr(Stdio::piped()).spawn().unwrap();
    let [loud, quiet] = [&[][..], &["-q"]].map(waiter);
    thread::sleep(Duration::from_millis(2500));
    assert_exit(&end(scene.linklock("release", [&token])), 0);
    let said = stderr(&outcome(loud));
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].starts_with("linklock: waiting for process ") && lines[0].contains(" for 1s: "), "{said}");
    assert!(lines[1].starts_with("linklock: the wait ended after 2s: "), "{said}");
    assert_eq!(stderr(&outcome(quiet)), "");
}
