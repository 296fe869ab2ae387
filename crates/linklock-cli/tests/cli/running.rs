//! run: COMMAND, its surroundings, and exclusion.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::processes::start;
use crate::support::{Running, Scene, assert_exit, end, here, linklock, outcome, stderr, stdout, worker};

#[test]
fn the_command_knows_the_lock_and_the_token() {
    let scene = Scene::new();
    let mut command = linklock(["run", "job.lock"]);
    command.arg(worker()).args(["tell:LINKLOCK_PATH", "tell:LINKLOCK_TOKEN", "list"]);
    command.current_dir(scene.dir.path());
    let output = end(command);
    assert_exit(&output, 0);
    let said = stdout(&output);
    let lines: Vec<_> = said.lines().collect();
    // On Windows the canonical form is not the form that programs use.
    let directory = if cfg!(windows) { scene.dir.path().into() } else { scene.dir.path().canonicalize().unwrap() };
    assert_eq!(lines[0], directory.join("job.lock").to_str().unwrap());
    assert!(lines[1].starts_with(&here("job.lock|")), "{said}");
    assert_eq!(lines[2..], ["job.lock", lines[1]], "the lock and the claim of the token exist");
    scene.assert_free();
}

#[test]
fn the_command_gets_a_fencing_token_that_grows() {
    let scene = Scene::new();
    let numbers: Vec<u64> = (0..3)
        .map(|n| {
            let protocol = ["link", "dir"][n % 2];
            let output = end(scene.work(&["--fence", "--protocol", protocol], &["tell:LINKLOCK_FENCE"]));
            assert_exit(&output, 0);
            stdout(&output).trim_end().parse().expect("a number")
        })
        .collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert_eq!(scene.names(), [here("job.lock|fence").as_str()], "only the counter stays");
}

#[test]
fn a_contender_joins_the_queue_behind_the_others() {
    let scene = Scene::new();
    // The ticket of a contender on another machine.
    let queue = scene.dir.path().join(here("job.lock|queue"));
    fs::create_dir(&queue).unwrap();
    fs::write(queue.join(format!("{:020}{}", 1, here("job.lock|elsewhere|1|1"))), "").unwrap();
    let queued = end(scene.work(&["--queue", "--timeout", "100ms"], &[]));
    assert_exit(&queued, 75);
    assert_exit(&end(scene.work(&["--timeout", "100ms"], &[])), 0);
}

#[test]
fn the_command_does_not_get_the_fencing_token_of_an_outer_lock() {
    let scene = Scene::new();
    let mut command = scene.work(&[], &["tell:LINKLOCK_FENCE"]);
    command.env("LINKLOCK_FENCE", "4711");
    assert_eq!(stdout(&end(command)), "none\n");
}

#[test]
fn options_after_the_command_belong_to_the_command() {
    let scene = Scene::new();
    for separator in [&[][..], &["--"]] {
        let mut command = scene.linklock("run", separator);
        command.arg(worker()).args(["words", "-n", "-w", "--", "--lifetime"]);
        let output = end(command);
        assert_exit(&output, 0);
        assert_eq!(stdout(&output), "-n,-w,--,--lifetime\n");
    }
}

#[test]
fn the_command_has_the_streams_of_linklock() {
    let scene = Scene::new();
    let mut command = scene.work(&[], &["repeat", "complain:error"]);
    let input = scene.dir.path().join("input");
    fs::write(&input, "input").unwrap();
    command.stdin(Stdio::from(fs::File::open(&input).unwrap()));
    let output = end(command);
    assert_eq!((stdout(&output), stderr(&output)), ("input".into(), "error\n".into()));
}

#[test]
fn a_successful_run_prints_nothing() {
    let scene = Scene::new();
    let output = end(scene.work(&[], &[]));
    assert_eq!((stdout(&output), stderr(&output)), (String::new(), String::new()));
}

#[test]
fn verbose_prints_what_happens_to_the_lock() {
    let scene = Scene::new();
    for arguments in [["-v", "run"], ["run", "-v"]] {
        let mut command = linklock(arguments);
        command.arg(&scene.lock).arg(worker());
        let said = stderr(&end(command));
        assert!(said.contains("acquired") && said.contains("released"), "{said}");
    }
}

#[test]
fn the_lock_outlasts_its_lifetime_while_the_command_runs() {
    let scene = Scene::new();
    let running = Running::start(scene.work(&["-l", "1s"], &["say:ready", "sleep:2000"]));
    thread::sleep(Duration::from_millis(1500));
    assert_exit(&end(scene.linklock("acquire", ["-n", "--grace", "0"])), 75);
    assert_eq!(running.end().0, Some(0));
    scene.assert_free();
}

#[test]
fn a_second_run_waits_for_the_first() {
    let scene = Scene::new();
    let first = Running::start(scene.work(&[], &["say:ready", "sleep:300", "say:first"]));
    let second = end(scene.work(&["-w", "20s"], &["say:second"]));
    assert_exit(&second, 0);
    // If the first had not ended, its output would not be complete.
    let (status, said) = first.end();
    assert_eq!((status, said.as_str()), (Some(0), "first\n"));
}

#[test]
fn many_runs_on_one_path_never_overlap() {
    let scene = Scene::new();
    // Only one process at a time can make this directory.
    let words = ["mkdir:.inside", "sleep:20", "rmdir:.inside"];
    let contenders: Vec<_> = (0..12).map(|_| start(&mut scene.work(&["-w", "25s"], &words))).collect();
    for contender in contenders {
        assert_exit(&outcome(contender), 0);
    }
    scene.assert_free();
}

#[test]
fn runs_of_both_protocols_exclude_each_other() {
    let scene = Scene::new();
    for (ours, theirs) in [("link", "dir"), ("dir", "link")] {
        let running = Running::start(scene.work(&["--protocol", ours], &["say:ready", "repeat"]));
        assert_exit(&end(scene.work(&["-n", "--protocol", theirs], &[])), 75);
        running.let_end();
        assert_exit(&end(scene.work(&["-n", "--protocol", theirs], &[])), 0);
    }
    scene.assert_free();
}

#[test]
fn a_run_whose_command_releases_the_lock_reports_that_it_was_lost() {
    let scene = Scene::new();
    let program = env!("CARGO_BIN_EXE_linklock");
    let release = ["run:4", program, "release", "env:LINKLOCK_PATH", "env:LINKLOCK_TOKEN"];
    for (ending, status) in [(&[][..], 76), (&["exit:5"], 5)] {
        let output = end(scene.work(&[], &[&release, ending].concat()));
        assert_exit(&output, status);
        assert_eq!(stdout(&output), "ended with 0\n", "the lock is released");
        assert!(stderr(&output).contains("lost"), "{}", stderr(&output));
    }
    scene.assert_free();
}
