//! Text that others wrote: wherever linklock prints it, it does not control the terminal and does not look like a line of
//! linklock's own.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::run;
use crate::support::{Scene, assert_exit, end, linklock, stderr, stdout};

/// A newline, an escape sequence of seven bits and one of eight, an override of the text direction, and other separators.
pub(crate) const FORGED: &str = "a\nFORGED\x1b[2J\u{9b}31m\u{202e}b\u{2066}\u{2028}\u{200b}\u{feff}\x7fc";

/// No character acts upon a terminal, and no line begins with text of FORGED.
#[track_caller]
pub(crate) fn assert_harmless(text: &str) {
    let harms = |c: char| {
        c != '\n' && c.is_control()
            || ('\u{200b}'..='\u{200f}').contains(&c)
            || ('\u{2028}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c)
            || c == '\u{feff}'
    };
    assert!(!text.contains(harms), "{text:?}");
    assert!(!text.lines().any(|line| line.starts_with("FORGED")), "{text:?}");
}

/// Makes a lock with a forged host, and with dir a forged command and user. Gives its token.
pub(crate) fn plant(scene: &Scene, protocol: &str, left: Duration) -> String {
    let name = format!("{}|{FORGED}|4711|815", name_of(&scene.lock));
    let claim = scene.dir.path().join(&name);
    let file = if protocol == "dir" {
        fs::create_dir(&scene.lock).expect("a lock's directory");
        fs::set_permissions(&scene.lock, fs::Permissions::from_mode(0o1755)).expect("its mode");
        let text = Value::from(FORGED);
        let ms = left.as_millis();
        let entry = scene.lock.join(&name);
        fs::write(&entry, format!(r#"{{"version":1,"lifetime_ms":{ms},"command":{text},"user":{text}}}"#))
            .expect("its entry");
        entry
    } else {
        fs::write(&claim, claim.to_str().expect("UTF-8")).expect("a claim");
        fs::hard_link(&claim, &scene.lock).expect("a lock");
        claim
    };
    let file = File::options().write(true).open(file).expect("it is there");
    file.set_modified(SystemTime::now() + left).expect("its expiry");
    name
}

fn name_of(lock: &Path) -> &str {
    lock.file_name().and_then(|name| name.to_str()).expect("UTF-8")
}

/// A lock path with a forged name, and a forged lock at it.
fn scene(protocol: &str, left: Duration) -> (Scene, String) {
    let scene = Scene::with_lock(format!("job{FORGED}"));
    let token = plant(&scene, protocol, left);
    (scene, token)
}

const HOUR: Duration = Duration::from_secs(3600);

/// Its output, which is harmless and contains the forged text.
#[track_caller]
fn printed(command: Command, status: i32) -> String {
    let what = format!("{command:?}");
    let output = end(command);
    assert_exit(&output, status);
    let text = stdout(&output) + &stderr(&output);
    assert_harmless(&text);
    assert!(text.contains("FORGED"), "{what}: {text}");
    text
}

#[test]
fn status_errors_and_logs_show_a_forged_lock_without_harm() {
    for protocol in ["link", "dir"] {
        let (scene, token) = scene(protocol, HOUR);
        let none: [&str; 0] = [];
        let text = printed(scene.linklock("status", none), 0);
        let escaped = r"a\nFORGED\u{1b}[2J\u{9b}31m\u{202e}b\u{2066}\u{2028}\u{200b}\u{feff}\u{7f}c";
        let times = if protocol == "dir" { 4 } else { 2 };
        assert_eq!(
            (text.matches(escaped).count(), text.lines().count()),
            (times, 1),
            "path, host, command, user: {text}"
        );

        assert_eq!(printed(scene.linklock("acquire", ["-n"]), 75).lines().count(), 1);
        assert_eq!(printed(run(&scene, &["-w", "50ms"], "true"), 75).lines().count(), 1);
        assert_eq!(printed(scene.linklock("wait", ["-n"]), 75).lines().count(), 1);
        assert_eq!(printed(scene.linklock("break", ["--expired"]), 75).lines().count(), 1);
        assert_eq!(printed(scene.linklock("release", [&token.replace("815", "816")]), 76).lines().count(), 1);
        assert_eq!(printed(scene.linklock("release", [FORGED]), 64).lines().count(), 1);
        let text = printed(scene.linklock("acquire", ["-v", "-w", "50ms"]), 75);
        assert!(text.contains(" INFO ") && text.contains("waiting"), "{text}");
        let text = printed(scene.linklock("break", ["--token", &token]), 0);
        assert!(text.contains(": broken; it was held by process 4711 on \"a\\nFORGED"), "{text}");
    }
}

#[test]
fn the_log_shows_a_broken_forged_lock_without_harm() {
    for protocol in ["link", "dir"] {
        let (scene, _) = scene(protocol, Duration::ZERO);
        std::thread::sleep(Duration::from_millis(40));
        let mut command = scene.linklock("acquire", ["-v", "--grace", "0", "--pid", "none"]);
        // The token on stdout is for a program.
        let output = command.output().unwrap();
        assert_exit(&output, 0);
        assert_harmless(&stderr(&output));
        assert!(stderr(&output).contains("broke the lock"), "{}", stderr(&output));
        let token = String::from_utf8(output.stdout).unwrap();
        assert!(token.starts_with(&format!("job{FORGED}|")), "{token:?}");
        assert_exit(&end(scene.linklock("release", [token.trim_end_matches('\n')])), 0);
    }
}

#[test]
fn json_is_read_as_what_is_there() {
    for protocol in ["link", "dir"] {
        let (scene, token) = scene(protocol, HOUR);
        let text = printed(scene.linklock("status", ["--json"]), 0);
        assert!(text.trim_end().bytes().all(|b| (b' '..=b'~').contains(&b)), "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!([&line["path"], &line["host"]], [scene.lock.to_str().unwrap(), FORGED]);
        assert_eq!(line["token"], token, "for break --token");
        if protocol == "dir" {
            assert_eq!([&line["command"], &line["user"]], [FORGED; 2]);
        }
    }
}

#[test]
fn leftovers_are_listed_and_cleaned_without_harm() {
    let (scene, _) = scene("link", HOUR);
    let dir = scene.dir.path().join(FORGED);
    fs::create_dir(&dir).unwrap();
    for (dir, lock) in [(scene.dir.path(), format!("job{FORGED}")), (&dir, "other".into())] {
        let old = dir.join(format!("{lock}|{FORGED}|1|1"));
        fs::write(&old, old.to_str().unwrap()).unwrap();
        File::options().write(true).open(&old).unwrap().set_modified(SystemTime::now() - 48 * HOUR).unwrap();
        std::os::unix::fs::symlink("/", dir.join(format!("{lock}|{FORGED}|1|2"))).unwrap();
    }
    for at in [&scene.lock, scene.dir.path(), &dir] {
        let clean = |option: &[&str]| {
            let mut command = linklock(["clean"]);
            command.args(option).arg(at);
            command
        };
        let text = printed(clean(&[]), 0);
        assert!(text.contains("\n  remove   ") && text.contains("it is a symbolic link"), "{text}");
        for line in printed(clean(&["--json"]), 0).lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["host"], FORGED);
            assert!(fs::symlink_metadata(line["path"].as_str().unwrap()).is_ok(), "{line}");
        }
    }
    let mut command = linklock(["-v", "clean", "--yes"]);
    command.arg(&dir);
    printed(command, 0);
}

#[test]
fn lists_show_forged_locks_and_waiters_without_harm() {
    for protocol in ["link", "dir"] {
        let (scene, token) = scene(protocol, HOUR);
        let waits = scene.dir.path().join(format!("job{FORGED}|{FORGED}|12|34"));
        fs::write(&waits, waits.to_str().unwrap()).unwrap();
        File::options().write(true).open(&waits).unwrap().set_modified(SystemTime::now() + HOUR).unwrap();
        fs::create_dir(scene.dir.path().join(FORGED)).unwrap();
        let ls = |options: &[&str]| {
            let mut command = linklock(["ls"]);
            command.args(options).arg(scene.dir.path());
            command
        };
        let text = printed(ls(&["-r"]), 0);
        assert_eq!(text.lines().count(), 3, "a head, the lock and its waiter: {text}");
        assert!(text.contains("\n    waits: process 12 on "), "{text}");
        let text = printed(ls(&["--prometheus"]), 0);
        assert!(text.lines().all(|line| line.starts_with("linklock_") || line.starts_with("# ")), "{text}");
        let text = printed(ls(&["--json"]), 0);
        assert!(text.trim_end().bytes().all(|b| (b' '..=b'~').contains(&b)), "{text}");
        let document: Value = serde_json::from_str(&text).unwrap();
        let lock = &document["locks"][0];
        assert_eq!([&lock["path"], &lock["host"]], [scene.lock.to_str().unwrap(), FORGED]);
        assert_eq!((&lock["token"], &lock["waiters"][0]["host"]), (&token.into(), &FORGED.into()));
    }
    // A lock that cannot be looked at, and an argument at which there is nothing.
    let scene = Scene::with_lock(FORGED);
    printed(scene.linklock("ls", ["--json"]), 73);
    printed(scene.linklock("ls", ["."]), 73);
}

/// A shell pattern may have made the argument from a file's name.
#[test]
fn an_invalid_argument_is_shown_without_harm() {
    let option = format!("--{FORGED}");
    printed(linklock(["status", &option]), 64);
    printed(linklock(["status", "-q", &format!("--json={FORGED}"), "x"]), 64);
    printed(linklock([FORGED]), 64);
    printed(linklock(["run", "--lifetime", FORGED, "x", "true"]), 64);
    printed(linklock(["run", "--protocol", FORGED, "x", "true"]), 64);
    printed(linklock(["status", &format!("{FORGED}|x")]), 64);
    printed(linklock(["run", &format!("{FORGED}/x"), "true"]), 73);
    let scene = Scene::new();
    printed(scene.linklock("run", [FORGED]), 127);
}
