//! Only on Windows: a job object ties COMMAND to linklock, Ctrl-C comes from a console, exit statuses have 32 bits.

use std::os::windows::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::losses::{LIFETIME, break_by_force};
use crate::support::{Running, Scene, assert_exit, end, eventually, linklock, stderr, stdout, worker};

/// A COMMAND that starts another process, which goes on for a while and then prints a line.
fn with_offspring(ending: &[&str]) -> Vec<String> {
    let offspring = ["leave:3", worker().to_str().expect("UTF-8"), "sleep:3000", "say:it went on"].map(str::to_owned);
    offspring.into_iter().chain(ending.iter().map(|word| word.to_string())).collect()
}

fn run(scene: &Scene, options: &[&str], words: &[String]) -> Command {
    scene.work(options, &words.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn the_end_of_a_killed_linklock_ends_the_processes_that_the_command_has_started() {
    let scene = Scene::new();
    let mut running = Running::start(run(&scene, &[], &with_offspring(&["say:ready", "sleep:60000"])));
    running.kill();
    // The pipe is read to its end, so every process that could still write has ended.
    assert_eq!(running.end().1, "");
}

#[test]
fn a_lost_lock_ends_the_processes_that_the_command_has_started() {
    let scene = Scene::new();
    let words = with_offspring(&["say:ready", "sleep:3000", "say:it went on"]);
    let running = Running::start(run(&scene, &LIFETIME, &words));
    break_by_force(&scene);
    assert_eq!(running.end(), (Some(76), String::new()));
}

#[test]
fn processes_that_a_command_has_started_outlive_its_own_end() {
    let scene = Scene::new();
    let output = end(run(&scene, &[], &with_offspring(&["exit:3"])));
    assert_exit(&output, 3);
    assert_eq!(stdout(&output), "it went on\n");
}

#[test]
fn the_end_of_an_outer_run_ends_an_inner_one() {
    let (outer, inner) = (Scene::new(), Scene::new());
    let program = env!("CARGO_BIN_EXE_linklock");
    let (lock, worker) = (inner.lock.to_str().expect("UTF-8"), worker());
    let worker = worker.to_str().expect("UTF-8");
    let words = ["run:7", program, "run", lock, worker, "say:ready", "sleep:3000", "say:it went on"];
    let mut running = Running::start(outer.work(&[], &words));
    running.kill();
    assert_eq!(running.end().1, "");
    assert_exit(&end(inner.work(&["-n"], &[])), 0);
    inner.assert_free();
}

#[test]
fn linklock_passes_on_all_bits_of_an_exit_status() {
    let scene = Scene::new();
    // An access violation, the status after Ctrl-C, and a number of nine bits.
    for status in [0xC000_0005_u32, 0xC000_013A, 256] {
        assert_exit(&end(scene.work(&[], &[&format!("exit:{status}")])), status as i32);
        scene.assert_free();
    }
}

/// A console without a window, only for these processes.
const CREATE_NO_WINDOW: u32 = 0x0800_0000;

#[test]
fn linklock_outlasts_a_ctrl_c_that_its_command_survives() {
    let scene = Scene::new();
    let mut command = scene.work(&[], &["ctrl-c", "sleep:500", "say:it went on", "exit:7"]);
    command.creation_flags(CREATE_NO_WINDOW);
    let output = end(command);
    assert_exit(&output, 7);
    assert_eq!(stdout(&output), "it went on\n");
    scene.assert_free();
}

#[test]
fn ctrl_c_ends_the_wait_and_leaves_no_claim() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    let program = env!("CARGO_BIN_EXE_linklock");
    let (lock, own) = (scene.lock.to_str().expect("UTF-8"), worker());
    let own = own.to_str().expect("UTF-8");
    let mut command = Command::new(own);
    command.args(["ctrl-c-while:5", program, "run", lock, own, "say:it ran"]).creation_flags(CREATE_NO_WINDOW);
    let output = end(command);
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), format!("ended with {}\n", 0xC000_013A_u32), "{}", stderr(&output));
    eventually("the claim's end", || scene.names().len() == 2);
}

#[test]
fn the_shell_of_the_script_holds_the_lock_and_not_one_that_it_starts_to_run_linklock() {
    let scene = Scene::new();
    let script = scene.dir.path().join("script.cmd");
    let program = Path::new(env!("CARGO_BIN_EXE_linklock"));
    let lines = [
        "@echo off".to_owned(),
        format!("for /f \"delims=\" %%t in ('{} acquire job.lock') do set token=%%t", program.display()),
        format!("{} status --json job.lock", program.display()),
        format!("{} release job.lock \"%token%\"", program.display()),
    ];
    std::fs::write(&script, lines.join("\r\n") + "\r\n").unwrap();
    let mut command = Command::new("cmd");
    command.arg("/c").arg(&script).current_dir(scene.dir.path());
    let output = end(command);
    assert!(stdout(&output).contains("\"state\":\"held\""), "{}{}", stdout(&output), stderr(&output));
    assert_exit(&output, 0);
}

#[test]
fn a_batch_file_is_a_command() {
    let (scene, elsewhere) = (Scene::new(), Scene::with_lock("job.cmd"));
    std::fs::write(&elsewhere.lock, "@echo %LINKLOCK_PATH%\r\n@exit /b 5\r\n").unwrap();
    let mut command = linklock(["run"]);
    command.arg(&scene.lock).arg(&elsewhere.lock);
    let output = end(command);
    assert_exit(&output, 5);
    assert_eq!(stdout(&output).trim_end(), scene.lock.to_str().unwrap());
}

#[test]
fn require_private_is_refused_because_windows_has_no_modes() {
    let scene = Scene::new();
    for command in
        [scene.work(&["--require-private"], &["say:it ran"]), scene.linklock("acquire", ["--require-private"])]
    {
        let output = end(command);
        assert_exit(&output, 64);
        assert_eq!(stdout(&output), "");
        assert!(stderr(&output).contains("not known on this system"), "{}", stderr(&output));
    }
    scene.assert_free();
}
