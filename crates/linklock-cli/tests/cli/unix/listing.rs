//! ls where something is in its way: what it may not look at, what leads elsewhere, what is too deep.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, FileType, mknodat};
use serde_json::Value;

use super::as_ordinary_user;
use crate::support::{Scene, assert_exit, end, linklock, not_run, stderr, stdout};

fn ls(options: &[&str], path: &Path) -> Command {
    let mut command = linklock(["ls"]);
    command.args(options).arg(path);
    command
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("its mode");
}

/// The bugs: a directory without the right to look into it had no locks; a lock that could not be looked at was younger than any limit.
/// The consequence: good news for a monitor that saw nothing.
#[test]
fn what_the_user_may_not_look_at_is_an_error_and_the_rest_is_listed() {
    if !rustix::process::geteuid().is_root() {
        return not_run("two users: this needs root");
    }
    let (scene, elsewhere) = (Scene::new(), Scene::new());
    mode(scene.dir.path(), 0o755);
    let seen = |command: Command| end(as_ordinary_user(command, elsewhere.dir.path()));
    let acquire = |at: &str, options: &[&str]| {
        let mut command = linklock(["acquire", "--pid", "none", "-l", "1h"]);
        command.args(options).arg(scene.dir.path().join(at));
        assert_exit(&end(command), 0);
    };
    let below = |name: &str| scene.dir.path().join(name);
    for dir in ["a-closed", "b-not-searchable", "c-open"] {
        fs::create_dir(below(dir)).unwrap();
        acquire(&format!("{dir}/job"), &["--protocol", "dir"]);
    }
    mode(&below("c-open"), 0o755);
    for (at, bits, says) in
        [("a-closed", 0o700, "list the directory"), ("b-not-searchable", 0o744, "look into the directory")]
    {
        mode(&below(at), bits);
        let output = seen(ls(&[], &below(at)));
        assert_exit(&output, 77);
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
        assert!(!stdout(&output).contains("job"), "{}", stdout(&output));
    }
    let output = seen(ls(&["-r", "--json"], scene.dir.path()));
    assert_exit(&output, 77);
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(document["errors"].as_array().map(Vec::len), Some(2), "{document}");
    assert_eq!(document["locks"].as_array().map(Vec::len), Some(1), "{document}");
    // A file that may be a lock, and cannot be read.
    acquire("secret", &[]);
    mode(&below("secret"), 0o600);
    fs::remove_file(fs::read_to_string(below("secret")).unwrap()).unwrap();
    let output = seen(ls(&["--older-than", "1d"], scene.dir.path()));
    assert_exit(&output, 2);
    assert!(stdout(&output).contains("unreadable"), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn nothing_that_leads_elsewhere_or_blocks_is_walked() {
    let (scene, elsewhere) = (Scene::new(), Scene::new());
    assert_exit(&end(elsewhere.linklock("acquire", ["--pid", "none"])), 0);
    let at = |name: &str| scene.dir.path().join(name);
    symlink(elsewhere.dir.path(), at("elsewhere")).unwrap();
    symlink(".", at("loop")).unwrap();
    symlink("itself", at("itself")).unwrap();
    symlink(&elsewhere.lock, at("lock")).unwrap();
    mknodat(CWD, at("fifo"), FileType::Fifo, 0o666.into(), 0).unwrap();
    let output = end(ls(&["-r"], scene.dir.path()));
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), "no locks\n");
    // What the user names may be a link.
    assert_eq!(stdout(&end(ls(&[], &at("elsewhere")))).lines().count(), 2);
    for name in ["lock", "fifo", "itself"] {
        let output = end(ls(&[], &at(name)));
        assert_exit(&output, 0);
        assert!(stdout(&output).contains("not-a-lock"), "{name}: {}", stdout(&output));
    }
}

/// The bug: beyond a hundred directories, nothing was listed, and nothing said so.
#[test]
fn what_is_too_deep_is_an_error() {
    let scene = Scene::new();
    let deep = |depth: usize| (0..depth).fold(scene.dir.path().to_owned(), |path, _| path.join("d"));
    fs::create_dir_all(deep(100)).unwrap();
    let mut command = linklock(["acquire", "--pid", "none"]);
    assert_exit(
        &end({
            command.arg(deep(100).join("job"));
            command
        }),
        0,
    );
    let output = end(ls(&["-r"], scene.dir.path()));
    assert_exit(&output, 0);
    assert!(stdout(&output).contains("/job "), "{}", stdout(&output));
    fs::create_dir(deep(101)).unwrap();
    let output = end(ls(&["-r"], scene.dir.path()));
    assert_exit(&output, 74);
    assert!(stdout(&output).contains("/job ") && stderr(&output).contains("too deep"), "{}", stderr(&output));
}
