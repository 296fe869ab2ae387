//! The owner of a lock, and other users who may write to its directory.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};

use serde_json::json;

use super::run;
use crate::scripts::status;
use crate::support::{Scene, assert_exit, end, stderr, stdout, user};

fn root_is_here(what: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        // Printed past the test harness's capture.
        let _ = writeln!(std::io::stderr(), "not run: {what}: only root can be several users");
    }
    is_root
}

fn open_to_all(mode: u32) -> Scene {
    let scene = Scene::new();
    fs::set_permissions(scene.dir.path(), fs::Permissions::from_mode(mode)).expect("its mode");
    scene
}

#[test]
fn status_shows_the_owner_of_the_file_beside_the_user_in_the_lock() {
    if !root_is_here("another owner") {
        return;
    }
    for (uid, name, shown) in [(65534, json!("nobody"), "nobody"), (4_000_000_000, json!(null), "user 4000000000")] {
        let scene = Scene::new();
        assert_exit(&end(scene.linklock("acquire", ["--protocol", "dir", "--pid", "none"])), 0);
        let entry = fs::read_dir(&scene.lock).unwrap().next().unwrap().unwrap().path();
        chown(entry, Some(uid), None).unwrap();
        assert_eq!(status(&scene)["owner_uid"], json!(null), "the entry and its directory have different owners");
        chown(&scene.lock, Some(uid), None).unwrap();
        let fields = status(&scene);
        assert_eq!([&fields["owner_uid"], &fields["owner"]], [&json!(uid), &name]);
        assert_eq!(fields["user"], json!(user()));
        let words = stdout(&end(scene.linklock("status", [] as [&str; 0])));
        assert!(
            words.contains(&format!("; file owner: {shown}; the lock says: linklock, user {}, started ", user())),
            "{words}"
        );
    }
}

#[test]
fn a_lock_contains_the_command_line_of_its_process_only_on_request() {
    for (option, requested) in [("--queue", false), ("--describe-command", true)] {
        let scene = Scene::new();
        let script = "token=$(\"$1\" acquire --protocol dir \"$2\" \"$3\"); \"$1\" status --json \"$3\"; true";
        let mut command = std::process::Command::new("sh");
        // Before the paths, which may be long: the lock keeps the first 200 characters.
        command.args(["-c", script, "a-password", env!("CARGO_BIN_EXE_linklock"), option]).arg(&scene.lock);
        let output = end(command);
        assert_exit(&output, 0);
        let contained = stdout(&output).contains("a-password");
        assert_eq!(contained, requested && cfg!(target_os = "linux"), "{}", stdout(&output));
    }
}

#[test]
fn require_private_refuses_an_open_directory_with_77() {
    for mode in [0o777, 0o1777, 0o2775] {
        let scene = open_to_all(mode);
        for command in [
            scene.linklock("acquire", ["--require-private"]),
            run(&scene, &["--require-private"], "echo it ran"),
            run(&scene, &["--require-private", "--protocol", "dir", "-q"], "echo it ran"),
        ] {
            let output = end(command);
            assert_exit(&output, 77);
            assert_eq!(stdout(&output), "");
            let message = stderr(&output);
            assert!(
                message.contains("its directory can be written to by ") && message.lines().count() == 1,
                "{message}"
            );
        }
        scene.assert_free();
    }
    assert_exit(&end(run(&open_to_all(0o755), &["--require-private"], "true")), 0);
}

#[test]
fn linklock_warns_root_of_a_directory_where_others_can_remove_the_lock() {
    if !root_is_here("warnings for root") {
        return;
    }
    for mode in [0o777, 0o2775] {
        let scene = open_to_all(mode);
        let output = end(run(&scene, &[], "true"));
        assert_exit(&output, 0);
        let message = stderr(&output);
        let begin = format!("linklock: warning: {}: this directory can be written to by ", scene.dir.path().display());
        assert!(message.starts_with(&begin) && message.lines().count() == 1, "{message}");
        assert_eq!(stderr(&end(run(&scene, &["-q"], "true"))), "");
        let log = stderr(&end(run(&scene, &["-v"], "true")));
        assert_eq!(log.matches("this directory can be written to by").count(), 1, "{log}");
        // status acquires nothing.
        assert_eq!(stderr(&end(scene.linklock("status", [] as [&str; 0]))), "");
    }
    assert_eq!(stderr(&end(run(&open_to_all(0o1777), &[], "true"))), "", "there nobody else can remove it");
    // Without --verbose linklock prints no other event of the library.
    let scene = Scene::new();
    crate::support::ended_process(|pid| drop(scene.acquire_for(pid, "1h")));
    assert_eq!(stderr(&end(run(&scene, &[], "true"))), "");
}
