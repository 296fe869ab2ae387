//! Every exit status and its message.

use std::fs;
use std::path::Path;

use crate::support::{Scene, assert_exit, end, here, linklock, stderr, stdout};

#[test]
fn run_exits_with_the_status_of_its_command() {
    for status in [0, 1, 3, 64, 75, 255] {
        let scene = Scene::new();
        assert_exit(&end(scene.work(&[], &[&format!("exit:{status}")])), status);
        scene.assert_free();
    }
}

#[test]
fn an_invalid_command_line_is_64() {
    let scene = Scene::new();
    let none: [&str; 0] = [];
    for command in [
        linklock(none),
        linklock(["brake"]),
        linklock(["status"]),
        scene.linklock("run", none),
        scene.linklock("acquire", ["--lifetime", "5x"]),
        scene.linklock("acquire", ["--lifetime", "0"]),
        scene.linklock("acquire", ["--pid", "all"]),
        scene.linklock("acquire", ["--pid", "4294967295"]),
        scene.linklock("acquire", ["--separator", "j"]),
        scene.linklock("acquire", ["--separator", "||"]),
        scene.linklock("run", ["-n", "-w", "5", "true"]),
        scene.linklock("run", ["-E", "256", "true"]),
        scene.linklock("break", none),
        scene.linklock("break", ["--force", "--expired"]),
        scene.linklock("release", ["no-token-of-this-lock"]),
        linklock(["run", &here("a|b"), "true"]),
        linklock(["completions", "ksh"]),
    ] {
        let what = format!("{command:?}");
        let output = end(command);
        assert_eq!(output.status.code(), Some(64), "{what}: {}", stderr(&output));
        assert!(!output.stderr.is_empty(), "{what} explains itself");
    }
    scene.assert_free();
}

#[test]
fn help_and_version_are_not_errors() {
    for arguments in [&["--help"][..], &["-h"], &["--version"], &["run", "--help"]] {
        let output = end(linklock(arguments));
        assert_exit(&output, 0);
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?} goes to stdout");
    }
}

#[test]
fn a_missing_directory_is_73_and_the_command_is_not_run() {
    let scene = Scene::with_lock(Path::new("missing").join("job.lock"));
    let output = end(scene.work(&[], &["say:it ran"]));
    assert_exit(&output, 73);
    assert_eq!(stdout(&output), "");
    let said = stderr(&output);
    assert!(said.starts_with("linklock: ") && said.contains(scene.lock.to_str().unwrap()), "{said}");
}

#[test]
fn a_file_that_is_not_a_lock_is_74_and_stays_unchanged() {
    let scene = Scene::new();
    fs::write(&scene.lock, "a user's file").unwrap();
    for command in [
        scene.work(&[], &["say:it ran"]),
        scene.linklock("acquire", ["-n"]),
        scene.linklock("wait", ["-n"]),
        scene.linklock("break", ["--force"]),
    ] {
        let output = end(command);
        assert_exit(&output, 74);
        assert_eq!(stdout(&output), "");
    }
    assert_eq!(fs::read_to_string(&scene.lock).unwrap(), "a user's file");
    assert_eq!(scene.names(), ["job.lock"]);
}

#[test]
fn a_lock_that_is_not_acquired_in_time_is_75_or_the_number_that_the_user_chose() {
    let scene = Scene::new();
    scene.acquire_for("none", "60s");
    for options in [&["-n"][..], &["-w", "50ms"], &["-w", "0"]] {
        let command = [options, &["-E", "9"]].concat();
        for (arguments, status) in [(options, 75), (&command, 9)] {
            assert_exit(&end(scene.linklock("acquire", arguments)), status);
            assert_exit(&end(scene.linklock("wait", arguments)), status);
            let output = end(scene.work(arguments, &["say:it ran"]));
            assert_exit(&output, status);
            assert_eq!(stdout(&output), "");
            let message = stderr(&output);
            assert!(message.contains("process ") && message.contains(" holds it"), "{message}");
        }
    }
    assert_eq!(scene.names().len(), 2, "the contenders have left nothing: {:?}", scene.names());
}

#[test]
fn the_conflict_exit_code_is_only_for_conflicts() {
    let scene = Scene::with_lock("missing/job.lock");
    assert_exit(&end(scene.work(&["-n", "-E", "9"], &[])), 73);
}

#[test]
fn a_lock_that_the_token_does_not_hold_is_76() {
    let scene = Scene::new();
    let gone = scene.acquire_for("none", "60s");
    assert_exit(&end(scene.linklock("release", [&gone])), 0);
    for state in ["free", "held by another"] {
        for command in [
            scene.linklock("refresh", [&gone]),
            scene.linklock("release", [&gone]),
            scene.linklock("break", [&"--token".into(), &gone]),
        ] {
            let output = end(command);
            assert_eq!(output.status.code(), Some(76), "{state}: {}", stderr(&output));
        }
        if state == "free" {
            scene.acquire_for("none", "60s");
        }
    }
    assert_eq!(scene.names().len(), 2, "the other lock is unchanged: {:?}", scene.names());
}

#[test]
fn a_command_that_cannot_be_executed_is_126_and_the_lock_is_released() {
    let scene = Scene::new();
    let elsewhere = Scene::with_lock("notes.txt");
    fs::write(&elsewhere.lock, "a user's file").unwrap();
    for command in [elsewhere.lock.as_path(), elsewhere.dir.path()] {
        assert_exit(&end(scene.linklock("run", [command])), 126);
        scene.assert_free();
    }
}

#[test]
fn a_command_that_is_not_found_is_127_and_the_lock_is_released() {
    let scene = Scene::new();
    for command in ["no-such-command-anywhere", "/no/such/command", "/dev/null/command", ""] {
        let output = end(scene.linklock("run", [command]));
        assert_exit(&output, 127);
        assert!(stderr(&output).starts_with("linklock: "), "{}", stderr(&output));
        scene.assert_free();
    }
}
