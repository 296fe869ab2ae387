//! run: COMMAND, its surroundings, and taking turns.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Running, Scene, assert_exit, end, linklock, outcome, stderr, stdout};

#[test]
fn the_command_knows_the_lock_and_the_token() {
    let scene = Scene::new();
    let mut command = linklock(["run", "job.lock", "sh", "-c", "echo $LINKLOCK_PATH; echo $LINKLOCK_TOKEN; ls"]);
    command.current_dir(scene.dir.path());
    let output = end(command);
    assert_exit(&output, 0);
    let said = stdout(&output);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], scene.dir.path().canonicalize().unwrap().join("job.lock").to_str().unwrap());
    assert!(lines[1].starts_with("job.lock|"), "{said}");
    assert_eq!(lines[2..], ["job.lock", lines[1]], "the lock and the claim that the token names are there");
    scene.assert_free();
}

#[test]
fn the_command_is_given_a_fencing_token_that_grows() {
    let scene = Scene::new();
    let numbers: Vec<u64> = (0..3)
        .map(|n| {
            let protocol = ["link", "dir"][n % 2];
            let output = end(scene.run(&["--fence", "--protocol", protocol], "echo $LINKLOCK_FENCE"));
            assert_exit(&output, 0);
            stdout(&output).trim_end().parse().expect("a number")
        })
        .collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert_eq!(scene.names(), ["job.lock|fence"], "only the counter stays");
}

#[test]
fn a_fencing_token_of_an_outer_lock_is_not_passed_on() {
    let scene = Scene::new();
    let mut command = scene.run(&[], "echo ${LINKLOCK_FENCE-none}");
    command.env("LINKLOCK_FENCE", "4711");
    assert_eq!(stdout(&end(command)), "none\n");
}

#[test]
fn what_follows_the_command_is_the_commands_own() {
    let scene = Scene::new();
    for separator in [&[][..], &["--"]] {
        let arguments = [separator, &["printf", "%s,", "-n", "-w", "--", "--lifetime"]].concat();
        let output = end(scene.linklock("run", arguments));
        assert_exit(&output, 0);
        assert_eq!(stdout(&output), "-n,-w,--,--lifetime,");
    }
}

#[test]
fn the_command_has_the_streams_of_linklock() {
    let scene = Scene::new();
    let mut command = scene.run(&[], "cat; echo error >&2");
    let input = scene.dir.path().join("input");
    fs::write(&input, "input").unwrap();
    command.stdin(Stdio::from(fs::File::open(&input).unwrap()));
    let output = end(command);
    assert_eq!((stdout(&output), stderr(&output)), ("input".into(), "error\n".into()));
}

#[test]
fn nothing_is_said_about_a_run_that_goes_well() {
    let scene = Scene::new();
    let output = end(scene.run(&[], "true"));
    assert_eq!((stdout(&output), stderr(&output)), (String::new(), String::new()));
}

#[test]
fn verbose_tells_what_happens_to_the_lock() {
    let scene = Scene::new();
    for arguments in [["-v", "run"], ["run", "-v"]] {
        let mut command = linklock(arguments);
        command.arg(&scene.lock).arg("true");
        let said = stderr(&end(command));
        assert!(said.contains("acquired") && said.contains("released"), "{said}");
    }
}

#[test]
fn the_lock_outlasts_its_lifetime_while_the_command_runs() {
    let scene = Scene::new();
    let running = Running::start(scene.run(&["-l", "1s"], "echo ready; sleep 2"));
    thread::sleep(Duration::from_millis(1500));
    assert_exit(&end(scene.linklock("acquire", ["-n", "--grace", "0"])), 75);
    assert_eq!(running.end().0, Some(0));
    scene.assert_free();
}

#[test]
fn a_second_run_waits_for_the_first() {
    let scene = Scene::new();
    let first = Running::start(scene.run(&[], "echo ready; sleep 0.3; echo first"));
    let second = end(scene.run(&["-w", "20s"], "test ! -e \"$LINKLOCK_PATH.first\" && echo second"));
    assert_exit(&second, 0);
    // Had the first not ended, its output would not be complete.
    let (status, said) = first.end();
    assert_eq!((status, said.as_str()), (Some(0), "first\n"));
}

#[test]
fn many_runs_on_one_path_never_overlap() {
    let scene = Scene::new();
    // mkdir succeeds for one at a time.
    let script = "mkdir \"$LINKLOCK_PATH.inside\" || exit 99; sleep 0.02; rmdir \"$LINKLOCK_PATH.inside\"";
    let contenders: Vec<_> = (0..12).map(|_| scene.run(&["-w", "25s"], script).spawn().unwrap()).collect();
    for contender in contenders {
        assert_exit(&outcome(contender), 0);
    }
    scene.assert_free();
}

#[test]
fn runs_of_both_protocols_exclude_each_other() {
    let scene = Scene::new();
    for (ours, theirs) in [("link", "dir"), ("dir", "link")] {
        let running = Running::start(scene.run(&["--protocol", ours], "echo ready; exec sleep 60"));
        assert_exit(&end(scene.run(&["-n", "--protocol", theirs], "true")), 75);
        running.signal(Signal::TERM);
        assert_eq!(running.end().0, Some(143));
        assert_exit(&end(scene.run(&["-n", "--protocol", theirs], "true")), 0);
    }
    scene.assert_free();
}

#[test]
fn a_command_may_release_its_lock_and_is_told_that_it_was_lost() {
    let scene = Scene::new();
    let release = format!("{} release \"$LINKLOCK_PATH\" \"$LINKLOCK_TOKEN\"", env!("CARGO_BIN_EXE_linklock"));
    let output = end(scene.run(&[], &release));
    assert_exit(&output, 76);
    assert!(stderr(&output).contains("lost"), "{}", stderr(&output));
    let output = end(scene.run(&[], &format!("{release}; exit 5")));
    assert_exit(&output, 5);
    assert!(stderr(&output).contains("lost"), "{}", stderr(&output));
    scene.assert_free();
}

#[test]
fn ignored_ends_of_children_do_not_hide_the_commands_status() {
    let scene = Scene::new();
    let script = format!("trap '' CHLD; exec {} run \"$1\" sh -c 'exit 7'", env!("CARGO_BIN_EXE_linklock"));
    let output = std::process::Command::new("bash").args(["-c", &script, "bash"]).arg(&scene.lock).output().unwrap();
    assert_exit(&output, 7);
}
