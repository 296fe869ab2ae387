//! The disk after an invalid command line or a failure.

use std::fs;

use crate::support::{Scene, end, here};

#[test]
fn an_invalid_command_line_changes_nothing_on_disk() {
    let scene = Scene::new();
    fs::write(scene.dir.path().join("bystander"), "a user's file").unwrap();
    for (subcommand, arguments) in [
        ("run", &[][..]),
        ("run", &["--lifetime", "5 s", "true"]),
        ("run", &["--lifetime", "1ms", "true"]),
        ("run", &["--grace", "-1", "true"]),
        ("run", &["--protocol", "nfs", "true"]),
        ("run", &["--separator", "/", "true"]),
        ("acquire", &["--pid", "-5"]),
        ("acquire", &["--unknown"]),
        ("refresh", &[]),
        ("refresh", &["bystander"]),
        ("refresh", &[&here("job.lock|h|1|2"), "--lifetime", "0"]),
        ("release", &["../bystander"]),
        ("break", &["--token", "bystander"]),
        ("break", &[]),
        ("wait", &["-w"]),
    ] {
        let output = end(scene.linklock(subcommand, arguments));
        assert_eq!(output.status.code(), Some(64), "{subcommand} {arguments:?}");
        assert_eq!(scene.names(), ["bystander"], "{subcommand} {arguments:?}");
    }
    assert_eq!(fs::read_to_string(scene.dir.path().join("bystander")).unwrap(), "a user's file");
}

#[test]
fn contenders_that_do_not_get_the_lock_leave_it_unchanged() {
    let scene = Scene::new();
    let token = scene.acquire_for("none", "1h");
    let before = fs::metadata(&scene.lock).unwrap().modified().unwrap();
    for (subcommand, arguments) in [
        ("run", &["-n", "true"][..]),
        ("acquire", &["-n"]),
        ("wait", &["-n"]),
        ("break", &["--expired"]),
        ("break", &["--token", &here("job.lock|h|1|2")]),
        ("refresh", &[&here("job.lock|h|1|2")]),
        ("release", &[&here("job.lock|h|1|2")]),
    ] {
        assert_ne!(end(scene.linklock(subcommand, arguments)).status.code(), Some(0), "{subcommand} {arguments:?}");
    }
    assert_eq!(fs::metadata(&scene.lock).unwrap().modified().unwrap(), before);
    assert_eq!(scene.names(), ["job.lock".into(), token]);
}
