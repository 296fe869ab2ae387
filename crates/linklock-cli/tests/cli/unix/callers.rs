//! The process that a lock of `acquire` belongs to. The bug: it was linklock's parent, also if that was timeout(1) or sudo(8),
//! which end right after linklock. The consequence: the next contender took the lock while the script worked.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{Scene, assert_exit, end, eventually, heed_signals, linklock, not_run, stderr, stdout};

/// A shell with a script that acquires the lock in one of these ways, and then works until its input ends.
struct Script(Child);

impl Script {
    /// In the script, `linklock` is the program and `$L` the lock path.
    fn start(scene: &Scene, shell: &[&str], acquire: &str) -> Self {
        let script = format!("{acquire}\necho \"ready $token\"\nread end");
        let file = scene.dir.path().join("script");
        std::fs::write(&file, script).expect("a file can be written");
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).arg(&file);
        let mut child = with_linklock(command, scene).stderr(Stdio::inherit()).spawn().expect("the shell starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("it can be read");
        assert!(line.starts_with("ready job.lock|"), "{acquire}: {line:?}");
        Self(child)
    }

    fn kill(mut self) {
        self.0.kill().expect("the child is ours");
        self.0.wait().expect("the child is ours");
    }
}

fn with_linklock(mut command: Command, scene: &Scene) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_linklock")).parent().expect("a directory");
    let path = format!("{}:{}", program.display(), std::env::var("PATH").expect("a PATH"));
    command.env("PATH", path).env("L", &scene.lock).env("DIR", scene.dir.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    heed_signals(&mut command);
    command
}

fn is_there(program: &str) -> bool {
    let mut look = Command::new("sh");
    look.args(["-c", "command -v \"$1\"", "sh", program]);
    end(look).status.success()
}

#[cfg(target_os = "linux")] // Elsewhere no shell is known.
#[track_caller]
fn assert_belongs_to_the_script(shell: &[&str], acquire: &str) {
    let scene = Scene::new();
    let script = Script::start(&scene, shell, acquire);
    let contender = || end(scene.linklock("acquire", ["-n", "--pid", "none"]));
    let refused = contender();
    assert_eq!(refused.status.code(), Some(75), "{shell:?} {acquire}: a second holder while the script works");
    script.kill();
    let next = contender();
    assert_eq!(next.status.code(), Some(0), "{shell:?} {acquire}: the script is dead: {}", stderr(&next));
}

#[cfg(target_os = "linux")]
#[test]
fn the_lock_belongs_to_the_script_that_reads_the_token_whatever_runs_linklock() {
    let locker = "printf 'linklock acquire -l 10m \"$L\"' >\"$DIR/locker\"; token=$(sh \"$DIR/locker\")";
    let handing_on =
        "echo 't=$(linklock acquire -l 10m \"$L\"); echo \"$t\"' >\"$DIR/locker\"; token=$(sh \"$DIR/locker\")";
    for (tool, acquire) in [
        ("sh", "token=$(linklock acquire -l 10m \"$L\")"),
        ("sh", "token=$(linklock acquire -l 10m \"$L\" || exit)"),
        ("cat", "token=$(linklock acquire -l 10m \"$L\" | cat)"),
        ("sh", "take() { linklock acquire -l 10m \"$L\"; }; token=$(take)"),
        ("sh", "token=$( (linklock acquire -l 10m \"$L\"; exit) )"),
        ("timeout", "token=$(timeout 30 linklock acquire -l 10m \"$L\")"),
        ("timeout", "token=$(timeout --foreground 30 nice linklock acquire -l 10m \"$L\")"),
        ("env", "token=$(env X=1 linklock acquire -l 10m \"$L\")"),
        ("nice", "token=$(nice -n 5 linklock acquire -l 10m \"$L\")"),
        ("setsid", "token=$(setsid -w linklock acquire -l 10m \"$L\")"),
        ("stdbuf", "token=$(stdbuf -o0 linklock acquire -l 10m \"$L\")"),
        ("flock", "token=$(flock \"$DIR/other\" linklock acquire -l 10m \"$L\")"),
        ("xargs", "token=$(echo \"$L\" | xargs linklock acquire -l 10m)"),
        ("sudo", "token=$(sudo -n \"$(command -v linklock)\" acquire -l 10m \"$L\")"),
        ("sh", "token=$(sh -c 'linklock acquire -l 10m \"$L\"; true')"),
        ("sh", locker),
        ("sh", handing_on),
        ("sh", "take() { local t; t=$(linklock acquire -l 10m \"$L\") || exit; echo \"$t\"; }; token=$(take)"),
    ] {
        if is_there(tool) {
            assert_belongs_to_the_script(&["sh"], acquire);
        } else {
            not_run(&format!("{tool}(1): {acquire}"));
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_script_may_be_in_any_usual_shell() {
    for shell in [&["dash"][..], &["bash"], &["busybox", "sh"], &["zsh"], &["mksh"], &["yash"]] {
        if is_there(shell[0]) {
            assert_belongs_to_the_script(shell, "token=$(linklock acquire -l 10m \"$L\")");
        } else {
            not_run(&format!("{}(1)", shell[0]));
        }
    }
    // ksh93 reads it from a file, so the lock belongs to no process: it is not recovered, but it is not lost either.
    if is_there("ksh93") {
        let scene = Scene::new();
        let script = Script::start(&scene, &["ksh93"], "token=$(linklock acquire -l 10m \"$L\")");
        script.kill();
        assert_exit(&end(scene.linklock("acquire", ["-n"])), 75);
    } else {
        not_run("ksh93(1)");
    }
    // The shell of one command is the script, if it reads the token.
    let command = ["bash", "-c", "token=$(timeout 30 linklock acquire -l 10m \"$L\"); . \"$0\""];
    assert_belongs_to_the_script(&command, "");
}

/// A script may end before its subshell in the background, which has the token.
#[cfg(target_os = "linux")]
#[test]
fn the_lock_belongs_to_a_subshell_that_goes_on_after_the_script() {
    let scene = Scene::new();
    // A subshell in the background has no standard input of its own.
    let words = "exec 3<&0; (token=$(linklock acquire -l 10m \"$L\"); echo \"$token\"; read end <&3) & exit 3";
    let mut command = Command::new("sh");
    command.args(["-c", words]);
    let mut script = with_linklock(command, &scene).spawn().unwrap();
    let keyboard = script.stdin.take();
    let mut line = String::new();
    BufReader::new(script.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("job.lock|"), "{line}");
    assert_eq!(script.wait().unwrap().code(), Some(3), "the script has ended");
    let contender = || end(scene.linklock("acquire", ["-n", "--pid", "none"])).status.code();
    assert_eq!(contender(), Some(75), "the subshell works");
    drop(keyboard);
    eventually("the end of the subshell", || contender() == Some(0));
}

/// These callers end right after linklock, or may.
#[test]
fn where_no_shell_reads_the_token_the_lock_belongs_to_no_process_and_a_note_reports_it() {
    for call in [
        &["sh", "-c", "linklock acquire -l 10m \"$L\" >\"$DIR/token\"; true"][..],
        &["bash", "-c", "linklock acquire -l 10m \"$L\"; true"],
        &["sh", "-c", "linklock acquire -l 10m \"$L\" | { read token; echo \"$token\"; }"],
        &["timeout", "30", "sh", "-c", "linklock acquire -l 10m \"$L\"; true"],
        &["linklock", "acquire", "-l", "10m", "job.lock"],
    ] {
        let scene = Scene::new();
        let mut command = Command::new(call[0]);
        command.args(&call[1..]).current_dir(scene.dir.path());
        let output = end(with_linklock(command, &scene));
        assert_exit(&output, 0);
        let said = stderr(&output);
        assert!(said.lines().count() == 1 && said.contains("--pid \"$$\""), "{call:?}: {said}");
        assert_exit(&end(scene.linklock("acquire", ["-n"])), 75);
    }
    for silent in [&["-q"][..], &["--pid", "none"], &["--pid", "1"]] {
        let scene = Scene::new();
        let output = end(scene.linklock("acquire", silent));
        assert_exit(&output, 0);
        assert_eq!(stderr(&output), "", "{silent:?}");
    }
}

/// The bug: the runtime opened /dev/null in the place of the closed stream, so linklock believed that it had printed the token.
#[test]
fn an_acquire_without_standard_output_fails_and_holds_nothing() {
    let scene = Scene::new();
    let mut command = Command::new("sh");
    command.args(["-c", "exec linklock acquire --pid none \"$L\" >&-"]);
    let output = end(with_linklock(command, &scene));
    assert_exit(&output, 74);
    assert!(stderr(&output).contains("stdout is closed"), "{}", stderr(&output));
    scene.assert_free();
}

/// The bug: the log's own error about stderr panicked while the lock was held, and the token was not printed.
#[test]
fn a_log_that_cannot_be_written_does_not_keep_the_token_back() {
    for stream in ["2>&-", "2>/dev/full"] {
        let scene = Scene::new();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec linklock -v acquire --pid none \"$L\" {stream}")]);
        let output = end(with_linklock(command, &scene));
        assert_exit(&output, 0);
        assert_exit(&end(linklock(["release", scene.lock.to_str().unwrap(), stdout(&output).trim_end()])), 0);
        scene.assert_free();
    }
}
