//! `doctor`, as users start it and end it, and in a directory where others act.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Scene, assert_exit, end, linklock, outcome, stderr, stdout};

fn doctor(scene: &Scene, arguments: &[&str]) -> Command {
    let mut command = linklock(["doctor"]);
    command.arg(scene.dir.path()).args(arguments);
    command
}

#[test]
fn a_local_directory_is_fit_and_nothing_stays_in_it() {
    let scene = Scene::new();
    let output = end(doctor(&scene, &["--json"]));
    assert_exit(&output, 0);
    let found: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&found["link"], &found["dir"], &found["advised"]), (&"fit".into(), &"fit".into(), &"dir".into()));
    let words = stdout(&end(doctor(&scene, &[])));
    assert!(words.contains("\nlink: fit\ndir: fit\nuse: linklock run --protocol dir "), "{words}");
    scene.assert_free();
}

#[test]
fn what_cannot_be_examined_is_an_error() {
    let scene = Scene::new();
    for path in [scene.dir.path().join("missing"), "/proc".into()] {
        let output = end(linklock(["doctor".as_ref(), path.as_os_str()]));
        assert_exit(&output, 74);
        assert!(stderr(&output).contains("cannot make a file there"), "{}", stderr(&output));
    }
    let output = end(doctor(&scene, &["--with", "nobody", "--patience", "100ms"]));
    assert_exit(&output, 74);
    assert!(stderr(&output).contains("nothing was heard of nobody"), "{}", stderr(&output));
    scene.assert_free();
}

#[test]
fn an_interrupted_doctor_leaves_nothing() {
    let scene = Scene::new();
    for after in [50, 700, 1500, 2500, 4000] {
        let mut command = doctor(&scene, &[]);
        command.arg(scene.dir.path()).args(["--contend", "10s"]).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        thread::sleep(Duration::from_millis(after));
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        assert_exit(&outcome(child), 130);
        scene.assert_free();
    }
}

/// Another user swaps the doctor's names for links to what only root may touch.
#[test]
fn the_doctor_touches_nothing_but_its_own_names() {
    let (scene, treasure) = (Scene::new(), Scene::new());
    fs::set_permissions(scene.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    for name in ["one", "two", "f", "g", "h", "times", "first", "watched"] {
        fs::write(treasure.dir.path().join(name), name).unwrap();
    }
    let is_over = AtomicBool::new(false);
    let swapped = thread::scope(|scope| {
        let attacker = scope.spawn(|| {
            let mut swapped = 0;
            while !is_over.load(Ordering::Relaxed) {
                swapped += swap(scene.dir.path(), treasure.dir.path(), swapped);
            }
            swapped
        });
        for round in 0..6 {
            let mut command = doctor(&scene, &["--contend", "100ms", "--patience", "1s"]);
            if round % 2 == 0 {
                command.arg(scene.dir.path());
            }
            // Whatever it says.
            end(command);
        }
        is_over.store(true, Ordering::Relaxed);
        attacker.join().unwrap()
    });
    assert!(swapped > 10, "only {swapped} names were swapped");
    for name in treasure.names() {
        assert_eq!(fs::read(treasure.dir.path().join(&name)).unwrap(), name.as_encoded_bytes());
    }
    assert_eq!(treasure.names().len(), 8);
}

/// How many names were swapped.
fn swap(place: &Path, treasure: &Path, so_far: usize) -> usize {
    let names = fs::read_dir(place).expect("the directory").flatten().map(|entry| entry.path());
    let is_doctors =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"linklock-"));
    let mut swapped = 0;
    for path in names.filter(is_doctors) {
        if fs::rename(&path, place.join(format!("aside{}", so_far + swapped))).is_ok() {
            let target = if swapped % 2 == 0 { treasure.to_owned() } else { treasure.join("one") };
            let _ = symlink(target, &path);
            swapped += 1;
        }
    }
    // So that the doctor gets somewhere.
    thread::sleep(Duration::from_millis(3));
    swapped
}
