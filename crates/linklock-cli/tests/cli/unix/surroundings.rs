//! Users and modes, names that are not UTF-8, sh.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use super::{as_ordinary_user, run};
use crate::scripts::status;
use crate::support::{Scene, assert_exit, end, linklock, stdout};

#[test]
fn an_acquire_that_cannot_print_the_token_is_74_and_leaves_no_lock() {
    let scene = Scene::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = scene.linklock("acquire", ["--pid", "none"]);
    let output = command.stdout(Stdio::from(full)).stderr(Stdio::piped()).output().unwrap();
    assert_exit(&output, 74);
    scene.assert_free();
}

#[test]
fn a_directory_that_the_user_may_not_write_to_is_77() {
    let scene = Scene::new();
    fs::set_permissions(scene.dir.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let elsewhere = Scene::new();
    let output = end(as_ordinary_user(run(&scene, &[], "echo it ran"), elsewhere.dir.path()));
    fs::set_permissions(scene.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_exit(&output, 77);
    assert_eq!(stdout(&output), "");
    scene.assert_free();
}

#[test]
fn a_lock_path_need_not_be_utf8() {
    let scene = Scene::with_lock(OsString::from_vec(b"job\xff\x1b.lock".into()));
    let token = scene.acquire_for("none", "1h");
    assert!(token.as_bytes().starts_with(b"job\xff\x1b.lock|"), "the token keeps its bytes: {token:?}");
    assert!(status(&scene)["path"].as_str().unwrap().ends_with("job\u{fffd}\x1b.lock"));
    assert!(stdout(&end(scene.linklock("status", ["--color=never"]))).contains("job\\xff\\u{1b}.lock: held by"));
    assert_exit(&end(scene.linklock("run", ["-n", "true"])), 75);
    assert_exit(&end(scene.linklock("refresh", [&token])), 0);
    assert_exit(&end(scene.linklock("release", [&token])), 0);

    let output = end(run(&scene, &[], "printf '%s\\n' \"$LINKLOCK_PATH\" \"$LINKLOCK_TOKEN\""));
    assert_exit(&output, 0);
    assert!(output.stdout.starts_with(scene.lock.as_os_str().as_bytes()), "{}", output.stdout.escape_ascii());
    scene.assert_free();
}

#[test]
fn bash_accepts_its_completion_script() {
    let mut command = std::process::Command::new("bash");
    command.args([
        "-c",
        "set -e; eval \"$1\"; complete -p linklock",
        "bash",
        &stdout(&end(linklock(["completions", "bash"]))),
    ]);
    let output = command.output().unwrap();
    assert_exit(&output, 0);
    assert!(stdout(&output).contains("_linklock"), "{}", stdout(&output));
}
