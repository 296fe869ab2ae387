//! --journal, where there are signals, links, devices and limits.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::{BUSY, run, send};
use crate::journal::{lines, report};
use crate::support::{Running, Scene, assert_exit, end, eventually, outcome, stderr};

fn journaled(scene: &Scene, mut command: Command) -> Command {
    command.env("LINKLOCK_JOURNAL", scene.dir.path().join("journal"));
    command
}

#[test]
#[cfg(target_os = "linux")]
fn on_a_full_disk_linklock_complains_once_and_goes_on() {
    let scene = Scene::new();
    let mut command = run(&scene, &["-q"], "echo it ran");
    command.env("LINKLOCK_JOURNAL", "/dev/full");
    let output = end(command);
    assert_exit(&output, 0);
    assert_eq!(crate::support::stdout(&output), "it ran\n");
    let said = stderr(&output);
    assert!(said.starts_with("linklock: /dev/full: cannot write the journal: No space left"), "{said}");
    assert_eq!(said.lines().count(), 1, "two lines were not written: {said}");
    scene.assert_free();
}

/// A part of a line was written when the disk became full. Once there is room again, the next line begins as one.
#[test]
fn a_line_that_was_cut_spoils_no_other() {
    let scene = Scene::new();
    let journal = scene.dir.path().join("journal");
    assert_exit(&end(journaled(&scene, run(&scene, &[], "true"))), 0);
    let length = fs::metadata(&journal).unwrap().len();
    // In units of 512 bytes: more than what is there, but not by a line.
    let limit = length / 512 + 1;
    let mut limited = Command::new("sh");
    let inner = journaled(&scene, run(&scene, &[], "true"));
    limited.args(["-c", &format!("ulimit -f {limit}; exec \"$0\" \"$@\"")]);
    limited.arg(inner.get_program()).args(inner.get_args()).env("LINKLOCK_JOURNAL", &journal);
    let output = end(limited);
    assert_exit(&output, 0);
    let text = fs::read_to_string(&journal).unwrap();
    assert!(text.len() as u64 <= limit * 1024, "the limit holds");
    if text.ends_with('\n') {
        crate::support::not_run("a journal that is cut: this shell's ulimit -f has other units");
        return;
    }
    assert_eq!(stderr(&output).matches("cannot write the journal").count(), 1, "{}", stderr(&output));
    assert_exit(&end(journaled(&scene, run(&scene, &[], "true"))), 0);
    let text = fs::read_to_string(&journal).unwrap();
    let bad: Vec<_> = text.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_err()).collect();
    assert_eq!(bad.len(), 1, "{text}");
    assert!(text.ends_with("}\n"));
}

#[test]
fn nothing_that_another_user_may_have_put_there_is_followed_or_waited_for() {
    let scene = Scene::new();
    let (target, journal) = (scene.dir.path().join("target"), scene.dir.path().join("journal"));
    fs::write(&target, "").unwrap();
    let refused = |why: &str| {
        let output = end(journaled(&scene, run(&scene, &[], "echo never")));
        assert_exit(&output, 64);
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
        assert_eq!(fs::read_to_string(&target).unwrap(), "");
        fs::remove_file(&journal).unwrap();
    };
    symlink(&target, &journal).unwrap();
    refused("symbolic link");
    symlink(scene.dir.path().join("missing"), &journal).unwrap();
    refused("symbolic link");
    assert!(!scene.dir.path().join("missing").exists());
    fs::hard_link(&target, &journal).unwrap();
    refused("second name");
    assert!(Command::new("mkfifo").arg(&journal).status().unwrap().success());
    refused("not a file");
}

#[test]
fn a_signal_that_ends_the_wait_or_linklock_is_no_reason_to_lose_a_line() {
    let scene = Scene::new();
    let running = Running::start(journaled(&scene, run(&scene, &[], &format!("echo ready; {BUSY}"))));
    let waiting = journaled(&scene, run(&scene, &[], "echo never")).spawn().unwrap();
    // The claims of the holder and of the waiter, the lock and the journal.
    eventually("the waiter's claim", || scene.names().len() >= 4);
    thread::sleep(Duration::from_millis(50));
    let pid = rustix::process::Pid::from_raw(waiting.id() as i32).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert!(outcome(waiting).status.code().is_none(), "it ends by the signal");
    send(&running, Signal::TERM);
    running.end();
    let lines = lines(&scene);
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["acquired", "cancelled", "released"]);
    assert_eq!(report(&scene)["cancelled"], 1);
}

#[test]
fn a_holder_that_was_stopped_for_too_long_logs_the_loss_by_its_expiry() {
    let scene = Scene::new();
    let script = format!("trap 'exit 0' TERM; echo ready; {BUSY}");
    let running = Running::start(journaled(&scene, run(&scene, &["-l", "300ms"], &script)));
    send(&running, Signal::STOP);
    thread::sleep(Duration::from_millis(400));
    send(&running, Signal::CONT);
    assert_eq!(running.end().0, Some(76));
    let lines = lines(&scene);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!((&lines[1]["event"], &lines[1]["why"]), (&"lost".into(), &"expired".into()));
}
