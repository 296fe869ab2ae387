//! A full disk, locks that the user may not look into, a directory that is not a lock, sockets from a service manager.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::{as_ordinary_user, run};
use crate::support::{Scene, assert_exit, end, linklock, not_run, stderr, stdout};

/// A dir lock is broken by removing a name that is used once. A link lock has a name that is used again, so a breaker needs its turn.
#[cfg(target_os = "linux")]
#[test]
fn a_break_on_a_full_disk_works_or_says_what_to_do() {
    let scene = Scene::new();
    let script = r#"
        mount -t tmpfs -o size=64k,nr_inodes=30 none "$DIR" || exit 99
        cd "$DIR" || exit 99
        for protocol in dir link; do
            "$PROGRAM" acquire --pid none -l 1h --protocol $protocol $protocol.lock >/dev/null || exit 98
        done
        n=0
        while : >"full.$n"; do n=$((n + 1)); done 2>/dev/null
        "$PROGRAM" break --force dir.lock
        echo "dir $?"
        # What the break has freed.
        while : >"more.$n"; do n=$((n + 1)); done 2>/dev/null
        "$PROGRAM" break --force link.lock
        echo "link $?"
        "$PROGRAM" status link.lock
        rm full.0 full.1 full.2
        "$PROGRAM" break --force link.lock
        echo "link $?"
    "#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "bash", "-c", script]);
    command.env("DIR", scene.dir.path()).env("PROGRAM", env!("CARGO_BIN_EXE_linklock"));
    let Ok(output) = command.output() else { return not_run("a full disk: no unshare(1)") };
    let (said, complaints) = (stdout(&output), stderr(&output));
    if matches!(output.status.code(), Some(1 | 99)) {
        return not_run(&format!("a full disk: {complaints}"));
    }
    assert_exit(&output, 0);
    let ends: Vec<_> = said.lines().filter(|line| line.starts_with("dir ") || line.starts_with("link ")).collect();
    assert_eq!(ends, ["dir 0", "link 73", "link 0"], "{said}{complaints}");
    assert!(said.contains("link.lock: held by"), "the lock stays as it was: {said}");
    assert!(
        complaints.contains("not broken: No space left on device") && complaints.contains("make room"),
        "{complaints}"
    );
}

/// The bug: the kernel's signal ended linklock between the creation of its claim and the first byte. The consequence: an empty file
/// stayed beside the lock.
#[test]
fn a_limit_of_the_size_of_files_is_an_error_that_leaves_nothing() {
    let scene = Scene::new();
    for (protocol, call) in
        [("link", "acquire --pid none"), ("dir", "acquire --pid none"), ("link", "run"), ("dir", "run")]
    {
        let script = format!(
            "ulimit -f 0; exec \"$0\" {call} --protocol {protocol} \"$1\" {}",
            if call == "run" { "true" } else { "" }
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_linklock")]).arg(&scene.lock);
        let output = end(command);
        assert_exit(&output, 73);
        assert!(stderr(&output).contains("File too large"), "{call} {protocol}: {}", stderr(&output));
        assert!(scene.names().is_empty(), "{call} {protocol}: {:?}", scene.names());
    }
    // COMMAND gets the signal.
    let script = "(ulimit -f 0; exec sh -c 'echo x >\"$LINKLOCK_PATH.data\"'); test $? -gt 128";
    assert_exit(&end(run(&scene, &[], script)), 0);
}

#[test]
fn a_dir_lock_that_the_user_may_not_look_into_is_waited_for() {
    if !rustix::process::geteuid().is_root() {
        return not_run("two users: this needs root");
    }
    let (scene, elsewhere) = (Scene::new(), Scene::new());
    fs::set_permissions(scene.dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077; \"$1\" acquire --pid none --protocol dir \"$2\"", "sh"]);
    command.arg(env!("CARGO_BIN_EXE_linklock")).arg(&scene.lock);
    let token = end(command);
    assert_exit(&token, 0);
    for (options, said) in [(["-n", "-q"], false), (["-w", "200ms"], true)] {
        let output = end(as_ordinary_user(run(&scene, &options, "echo it ran"), elsewhere.dir.path()));
        assert_exit(&output, 75);
        assert_eq!(stdout(&output), "");
        assert_eq!(stderr(&output).contains("this user may not read by whom"), said, "{}", stderr(&output));
    }
    assert_exit(&end(scene.linklock("release", [stdout(&token).trim_end()])), 0);
}

/// The bug: linklock waited for up to 19 s, in silence, for an empty directory to go.
#[test]
fn an_empty_directory_that_is_not_a_lock_is_refused_soon() {
    let scene = Scene::new();
    fs::create_dir(&scene.lock).unwrap();
    for subcommand in ["run", "acquire", "wait"] {
        let mut command = linklock([subcommand, "-w", "10s"]);
        command.arg(&scene.lock).args((subcommand == "run").then_some("true"));
        let output = end(command);
        assert_exit(&output, 74);
        assert!(stderr(&output).contains("an empty directory"), "{subcommand}: {}", stderr(&output));
    }
    assert_eq!(scene.names(), ["job.lock"]);
}

#[test]
fn the_command_and_not_linklock_is_the_process_that_gets_a_service_managers_sockets() {
    let scene = Scene::new();
    let say = "echo \"$LISTEN_PID\" \"$$\" \"${LISTEN_PIDFDID-unset}\" \"$LINKLOCK_PATH\"; echo \"$1\"; exit 7";
    let script =
        "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_PIDFDID=5; export LISTEN_PID LISTEN_FDS LISTEN_PIDFDID; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_linklock"), "run"]).arg(&scene.lock);
    command.args(["sh", "-c", say, "sh", "an 'argument'  $x"]);
    let output = end(command);
    assert_exit(&output, 7);
    let said = stdout(&output);
    let (first, second) = said.split_once('\n').unwrap();
    let words: Vec<_> = first.split(' ').collect();
    assert_eq!(words[0], words[1], "{said}");
    assert_eq!(words[2..], ["unset", scene.lock.to_str().unwrap()]);
    assert_eq!(second, "an 'argument'  $x\n");

    // Another process's variable stays.
    let mut command = linklock(["run"]);
    command.arg(&scene.lock).args(["sh", "-c", "echo \"$LISTEN_PID\""]).env("LISTEN_PID", "1").env("LISTEN_FDS", "1");
    assert_eq!(stdout(&end(command)), "1\n");
    // A COMMAND that does not exist keeps its number.
    let script = "LISTEN_PID=$$ LISTEN_FDS=1; export LISTEN_PID LISTEN_FDS; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_linklock"), "run"]).arg(&scene.lock).arg("no-such-command");
    assert_exit(&end(command), 127);
    scene.assert_free();
}
