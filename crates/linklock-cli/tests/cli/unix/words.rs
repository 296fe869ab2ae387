//! run -c, and defaults in the environment.

use crate::scripts::status;
use crate::support::{Scene, assert_exit, end, linklock, stderr, stdout};

#[test]
fn words_run_in_a_shell_as_flock_has_it() {
    let scene = Scene::new();
    let output = end(scene.linklock("run", ["-c", "echo a b | tr a c; test -e \"$LINKLOCK_PATH\" && exit 3"]));
    assert_exit(&output, 3);
    assert_eq!(stdout(&output), "c b\n");
    // Before the lock path too.
    let output = end(linklock(["run", "-n", "-c", "echo \"$0\"", scene.lock.to_str().unwrap()]));
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), "/bin/sh\n");
    // Not COMMAND's own option.
    let output = end(scene.linklock("run", ["sh", "-c", "echo \"$1\"", "sh", "-c"]));
    assert_eq!(stdout(&output), "-c\n");
    for wrong in [&["-c", "true", "more"][..], &["-c"], &[]] {
        assert_exit(&end(scene.linklock("run", wrong)), 64);
    }
    scene.assert_free();
}

#[test]
fn the_environment_has_defaults_and_options_overrule_them() {
    let scene = Scene::new();
    let set = |mut command: std::process::Command| {
        command.env("LINKLOCK_PROTOCOL", "dir").env("LINKLOCK_LIFETIME", "5m").env("LINKLOCK_GRACE", "10ms");
        command
    };
    let output = end(set(scene.linklock("acquire", ["--pid", "none"])));
    assert_exit(&output, 0);
    let token = stdout(&output);
    assert_eq!(status(&scene)["protocol"], "dir");
    assert!(status(&scene)["expires_in_ms"].as_i64().unwrap() > 290_000, "{}", status(&scene));
    // The lock's own lifetime stays the default of a refresh.
    assert_exit(&end(set(scene.linklock("refresh", [token.trim_end(), "--lifetime", "10m"]))), 0);
    assert_exit(&end(set(scene.linklock("refresh", [token.trim_end()]))), 0);
    assert!(status(&scene)["expires_in_ms"].as_i64().unwrap() > 590_000, "{}", status(&scene));
    assert_exit(&end(scene.linklock("release", [token.trim_end()])), 0);

    let output = end(set(scene.linklock("acquire", ["--pid", "none", "--protocol", "link", "--lifetime", "10ms"])));
    assert_exit(&output, 0);
    assert_eq!(status(&scene)["protocol"], "link");
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_exit(&end(set(scene.linklock("acquire", ["-n", "--pid", "none", "--grace", "1h"]))), 75);
    assert_exit(&end(set(scene.linklock("run", ["-n", "true"]))), 0);

    let mut wrong = scene.linklock("run", ["true"]);
    wrong.env("LINKLOCK_GRACE", "soon");
    let output = end(wrong);
    assert_exit(&output, 64);
    assert!(stderr(&output).contains("'soon'"), "{}", stderr(&output));
}

/// What run sets for COMMAND is no default of an inner linklock.
#[test]
fn an_inner_linklock_takes_nothing_from_the_outer_ones_variables() {
    let (outer, inner) = (Scene::new(), Scene::new());
    let words = "exec \"$0\" run --fence \"$1\" -- sh -c 'echo \"$LINKLOCK_PATH\"'";
    let output = end(outer
        .linklock("run", ["--fence", "sh", "-c", words, env!("CARGO_BIN_EXE_linklock"), inner.lock.to_str().unwrap()]));
    assert_exit(&output, 0);
    assert_eq!(stdout(&output).trim_end(), inner.lock.to_str().unwrap());
}
