//! run: the search for COMMAND, and its environment.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Scene, assert_exit, end, forget_colors, stdout};

/// Makes a file with a name that no other program has. Another process makes it: programs that other tests start would inherit
/// our descriptor that is open for writing, and then nobody could execute the script (ETXTBSY).
fn script(dir: &Path, text: &str, mode: &str) {
    let written = dir.with_extension("text");
    fs::write(&written, text).expect("a file");
    let installed = Command::new("install").args(["-D", "-m", mode]).arg(&written).arg(dir.join("a-script")).status();
    assert!(installed.is_ok_and(|status| status.success()), "the script can be installed");
    fs::remove_file(written).expect("the file is ours");
}

pub(super) fn run_script(scene: &Scene, path: &str) -> Command {
    let mut command = scene.linklock("run", ["a-script", "one", "two  words"]);
    command.current_dir(scene.dir.path()).env("PATH", path);
    command
}

#[test]
fn the_command_is_the_first_executable_file_in_the_path() {
    let scene = Scene::new();
    let elsewhere = Scene::new();
    let dir = |name: &str| elsewhere.dir.path().join(name);
    script(&dir("text"), "a user's file", "644");
    script(&dir("first"), "#!/bin/sh\necho first", "755");
    script(&dir("second"), "#!/bin/sh\necho second", "755");
    let path = |names: &[&str]| names.iter().map(|name| dir(name).display().to_string()).collect::<Vec<_>>().join(":");

    let found = end(run_script(&scene, &path(&["missing", "text/a-script", "text", "first", "second"])));
    assert_eq!(stdout(&found), "first\n");
    assert_exit(&end(run_script(&scene, &path(&["text", "missing"]))), 126);
    assert_exit(&end(run_script(&scene, &path(&["missing"]))), 127);
}

#[test]
fn an_empty_part_of_the_path_is_the_current_directory() {
    let scene = Scene::new();
    script(scene.dir.path(), "#!/bin/sh\necho here", "755");
    assert_eq!(stdout(&end(run_script(&scene, "/missing:"))), "here\n");
}

#[test]
fn sh_runs_a_script_without_an_interpreter_line() {
    let scene = Scene::new();
    let elsewhere = Scene::new();
    script(elsewhere.dir.path(), "echo \"$0 has $# words: $2\"; exit 7", "755");
    let directory = elsewhere.dir.path().display();
    let output = end(run_script(&scene, &format!("/missing:{directory}")));
    assert_exit(&output, 7);
    assert_eq!(stdout(&output), format!("{directory}/a-script has 2 words: two  words\n"));
}

#[test]
fn the_command_has_the_environment_of_linklock() {
    let scene = Scene::new();
    let sorted = |mut command: Command| {
        command.env("OF_THE_CALLER", "1=2\n3").env("LINKLOCK_PATH", "of an outer lock");
        let said = stdout(&end(command));
        let mut variables: Vec<_> = said.split_terminator('\0').map(str::to_owned).collect();
        variables.sort();
        variables
    };
    let mut expected = sorted(env());
    let mut given = sorted(scene.linklock("run", ["env", "-0"]));
    let of_the_lock = |variable: &String| variable.starts_with("LINKLOCK_");
    assert_eq!(given.extract_if(.., |variable| of_the_lock(variable)).count(), 2, "a path and a token");
    expected.retain(|variable| !of_the_lock(variable));
    assert_eq!(given, expected);
}

fn env() -> Command {
    let mut command = Command::new("env");
    command.arg("-0");
    forget_colors(&mut command);
    command
}
