//! status: in words and as JSON.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use crate::support::{
    Running, Scene, assert_exit, end, ended_process, here, host, linklock, stderr, stdout, user, worker,
};

const FIELDS: [&str; 15] = [
    "path",
    "protocol",
    "state",
    "host",
    "pid",
    "token",
    "command",
    "user",
    "owner_uid",
    "owner",
    "since",
    "expires_at",
    "expires_in_ms",
    "readers",
    "version",
];

/// The fields that only a dir lock has.
const ABOUT: [&str; 3] = ["command", "user", "since"];

/// The fields that are null on Windows. The second is null for a number without a name, too.
const OWNER: [&str; 2] = ["owner_uid", "owner"];

/// The one line of `status --json`. Checks the order of its fields.
fn fields<I: AsRef<OsStr>>(scene: &Scene, options: impl IntoIterator<Item = I>) -> Map<String, Value> {
    let mut command = scene.linklock("status", ["--json"]);
    command.args(options);
    let output = end(command);
    assert_exit(&output, 0);
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 1, "one line for each path: {text}");
    let places: Vec<_> = FIELDS.iter().map(|field| text.find(&format!("\"{field}\":")).expect("each field")).collect();
    assert!(places.is_sorted(), "the fields are in order: {text}");
    let Value::Object(mut fields) = serde_json::from_str(&text).expect("JSON") else { panic!("an object: {text}") };
    assert_eq!(fields.len(), FIELDS.len(), "no other field: {text}");
    assert_eq!(
        fields.insert("readers".into(), Value::Null),
        Some(Value::Array(Vec::new())),
        "nobody shares it here: {text}"
    );
    fields
}

/// The line for people, without the path.
fn words(scene: &Scene) -> String {
    let output = end(scene.linklock("status", [] as [&str; 0]));
    assert_exit(&output, 0);
    let text = stdout(&output);
    text.strip_prefix(&format!("{}: ", scene.lock.display())).expect("the path comes first").trim_end().into()
}

fn assert_nothing_but(fields: &Map<String, Value>, scene: &Scene, state: &str) {
    let known: Vec<_> = FIELDS.iter().filter(|field| !fields[**field].is_null()).collect();
    assert_eq!(known, [&"path", &"state", &"version"], "all other values are null");
    assert_eq!(fields["path"], scene.lock.to_str().expect("UTF-8"));
    assert_eq!(fields["state"], state);
}

#[test]
fn a_free_lock() {
    let scene = Scene::new();
    assert_nothing_but(&fields(&scene, ["-q"]), &scene, "free");
    assert_eq!(words(&scene), "free");
}

/// The bug: a mistyped path, or a file system that is not mounted, was reported as a free lock.
#[test]
fn a_directory_that_does_not_exist_is_an_error() {
    let missing = Scene::with_lock(Path::new("missing").join("job.lock"));
    let file = Scene::with_lock(Path::new("file").join("job.lock"));
    fs::write(file.dir.path().join("file"), "").unwrap();
    for (scene, why) in [(&missing, "does not exist"), (&file, "is not a directory")] {
        for command in [
            scene.linklock("status", [] as [&str; 0]),
            scene.linklock("status", ["--json", "--exit-code"]),
            scene.linklock("wait", ["-n"]),
            scene.linklock("break", ["--force"]),
        ] {
            let output = end(command);
            assert_exit(&output, 73);
            assert_eq!(stdout(&output), "");
            assert!(stderr(&output).contains(&format!("the lock's directory {why}")), "{}", stderr(&output));
        }
    }
}

#[test]
fn the_exit_code_is_the_state_on_request() {
    let scene = Scene::new();
    let exits = |options: &[&str]| {
        assert_exit(&end(scene.linklock("status", [] as [&str; 0])), 0);
        end(scene.linklock("status", options)).status.code()
    };
    assert_eq!(exits(&["--exit-code"]), Some(0));
    let token = scene.acquire_for("none", "1h");
    assert_eq!(exits(&["--exit-code"]), Some(1));
    assert_exit(&end(scene.linklock("release", [&token])), 0);
    scene.acquire_for("none", "10ms");
    thread::sleep(Duration::from_millis(50));
    assert_eq!(exits(&["--exit-code", "--json"]), Some(2));
    assert_exit(&end(scene.linklock("break", ["--force"])), 0);
    ended_process(|pid| drop(scene.acquire_for(pid, "1h")));
    assert_eq!(exits(&["--exit-code"]), Some(3));
    let other = scene.dir.path().join("file");
    fs::write(&other, "a user's file").unwrap();
    // Of several paths the greatest counts, and an error more than that.
    assert_eq!(exits(&["--exit-code", other.to_str().unwrap()]), Some(4));
    assert_eq!(exits(&["--exit-code", other.to_str().unwrap(), "missing/job.lock"]), Some(73));
}

/// The bug: linklock itself, which had ended, was shown as the holder.
#[test]
fn a_lock_without_a_process_shows_none() {
    for protocol in ["link", "dir"] {
        let scene = Scene::new();
        let token = stdout(&end(scene.linklock("acquire", ["--pid", "none", "--protocol", protocol])));
        let pid = token.split(linklock::SEPARATOR).nth(2).unwrap();
        let words = words(&scene);
        assert!(words.starts_with(&format!("held by no known process (acquired by process {pid} on ")), "{words}");
        assert!(fields(&scene, ["-q"])["pid"].is_null());
    }
}

/// Nothing else of the process is shown once it has ended: its pid may be another's.
#[cfg(target_os = "linux")]
#[test]
fn a_link_lock_shows_what_the_system_knows_of_its_process() {
    let scene = Scene::new();
    ended_process(|pid| {
        scene.acquire_for(pid, "1h");
        let fields = fields(&scene, ["-q"]);
        assert_eq!([&fields["command"], &fields["user"]], [&json!("worker"), &json!(user())]);
        let since = humantime::parse_rfc3339(fields["since"].as_str().unwrap()).unwrap();
        let age = SystemTime::now().duration_since(since).unwrap_or_default();
        assert!(age < Duration::from_secs(20), "{age:?}");
        let shown = words(&scene);
        assert!(shown.contains(&format!("; its process: worker, user {}, started ", user())), "{shown}");
    });
    let fields = fields(&scene, ["-q"]);
    assert!(ABOUT.iter().all(|field| fields[*field].is_null()), "{fields:?}");
    assert!(!words(&scene).contains("its process"), "{}", words(&scene));
}

#[test]
fn a_held_lock() {
    for protocol in ["link", "dir"] {
        let scene = Scene::new();
        let script = ["say:ready", "tell:LINKLOCK_TOKEN", "repeat"];
        let mut running = Running::start(scene.work(&["--protocol", protocol, "-l", "90s"], &script));
        let (pid, token) = (running.pid().to_string(), running.line());
        let now = SystemTime::now();
        let fields = fields(&scene, ["-q"]);
        let words = words(&scene);
        running.let_end();

        let command = worker().file_name().unwrap().to_str().unwrap().to_owned();
        let values = [&fields["protocol"], &fields["state"], &fields["token"]];
        assert_eq!(values, [&json!(protocol), &json!("held"), &json!(token)]);
        let own = fields["host"].as_str().unwrap();
        assert!(own.eq_ignore_ascii_case(&host()), "{own} is {}", host());
        assert_eq!(fields["pid"].to_string(), pid);
        let left = fields["expires_in_ms"].as_i64().unwrap();
        assert!((80_000..91_000).contains(&left), "{left} ms of 90 s are left");
        let text = fields["expires_at"].as_str().unwrap();
        assert_eq!((text.len(), &text[19..20], &text[23..]), (24, ".", "Z"), "milliseconds, in UTC: {text}");
        let at = humantime::parse_rfc3339(text).unwrap().duration_since(now).unwrap();
        assert!(at.abs_diff(Duration::from_millis(left as u64)) < Duration::from_secs(5), "{text}, {left} ms");

        if protocol == "dir" {
            assert_eq!(fields["command"], command.as_str());
            assert_eq!(fields["user"], json!(user()));
            let since = humantime::parse_rfc3339(fields["since"].as_str().unwrap()).unwrap();
            assert!(since <= now && now.duration_since(since).unwrap() < Duration::from_secs(60), "{fields:?}");
        } else if cfg!(not(target_os = "linux")) {
            assert!(ABOUT.iter().all(|field| fields[*field].is_null()), "{fields:?}");
        }
        // A link lock has no room for more.
        let says = match protocol {
            "dir" => format!("the lock says: {command}, user {}, started ", user()),
            _ if cfg!(target_os = "linux") => format!("its process: linklock, user {}, started ", user()),
            _ => String::new(),
        };
        let known = match cfg!(windows) {
            false if says.is_empty() => format!(" (file owner: {}), refreshed ", user()),
            false => format!(" (file owner: {}; {says}", user()),
            true if says.is_empty() => ", refreshed ".into(),
            true => format!(" ({says}"),
        };
        assert!(words.starts_with(&format!("held by process {pid} on {own}{known}")), "{words}");
        if cfg!(unix) {
            assert_eq!(fields["owner"], json!(user()));
        }
        assert!(words.contains(" ago, expires in 1m"), "{words}");
    }
}

/// Arguments may contain secrets, and everybody may read a lock.
#[test]
fn a_lock_contains_the_arguments_of_its_command_only_on_request() {
    for (options, requested) in [(&[][..], false), (&["--describe-command"], true)] {
        let scene = Scene::new();
        let options = [&["--protocol", "dir"], options].concat();
        let running = Running::start(scene.work(&options, &["say:ready", "say:--password=secret", "repeat"]));
        let entry = fs::read_dir(&scene.lock).unwrap().next().unwrap().unwrap().path();
        let (written, command) = (fs::read_to_string(entry).unwrap(), fields(&scene, ["-q"])["command"].clone());
        assert_eq!(written.contains("--password=secret"), requested, "{written}");
        let name = worker().file_name().unwrap().to_str().unwrap().to_owned();
        let whole = format!("{} say:ready say:--password=secret repeat", worker().display());
        assert_eq!(command, if requested { whole } else { name });
        running.let_end();
    }
}

#[test]
fn an_expired_lock() {
    let scene = Scene::new();
    scene.acquire_for("none", "10ms");
    thread::sleep(Duration::from_millis(100));
    let fields = fields(&scene, ["-q"]);
    assert_eq!(fields["state"], "expired");
    assert!(fields["expires_in_ms"].as_i64().unwrap() <= -50, "{fields:?}");
    let others =
        fields.iter().filter(|(field, _)| !ABOUT.contains(&field.as_str()) && !OWNER.contains(&field.as_str()));
    // It was acquired for no process, and is not shared.
    let others = others.filter(|(field, _)| !["pid", "readers"].contains(&field.as_str()));
    assert!(others.into_iter().all(|(_, value)| !value.is_null()), "it still has the holder: {fields:?}");
    let words = words(&scene);
    assert!(words.starts_with("expired ") && words.contains(" ago, held by no known process ("), "{words}");
}

#[test]
fn an_abandoned_lock() {
    let scene = Scene::new();
    ended_process(|pid| drop(scene.acquire_for(pid, "1h")));
    let abandoned = fields(&scene, ["-q"]);
    assert_eq!(abandoned["state"], "abandoned");
    assert!(abandoned["expires_in_ms"].as_i64().unwrap() > 3_500_000, "{abandoned:?}");
    assert!(words(&scene).starts_with("abandoned: process "), "{}", words(&scene));
    assert_eq!(fields(&scene, ["--no-recover-dead"])["state"], "held");
}

#[test]
fn a_file_or_a_directory_that_is_not_a_lock() {
    let scene = Scene::new();
    fs::write(&scene.lock, "a user's file").unwrap();
    assert_nothing_but(&fields(&scene, ["-q"]), &scene, "not-a-lock");
    assert_eq!(words(&scene), "not a lock: an ordinary file");
    fs::remove_file(&scene.lock).unwrap();
    fs::create_dir(&scene.lock).unwrap();
    // Windows has no mode that would tell a user's directory from the remains of a lock after a crash.
    assert_eq!(words(&scene), if cfg!(windows) { "free" } else { "not a lock: an empty directory" });
}

#[test]
fn an_error_at_one_path_does_not_stop_status_from_showing_the_others() {
    let scene = Scene::new();
    let token = scene.acquire_for("none", "1h");
    let mut command = linklock(["status"]);
    command.args([scene.dir.path().join(here("a|b")), scene.lock.clone(), scene.dir.path().join("other")]);
    let output = end(command);
    assert_exit(&output, 64);
    let text = stdout(&output);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains("held by") && lines[1].ends_with("other: free"), "{text}");
    assert!(stderr(&output).contains(&here("a|b")), "{}", stderr(&output));
    assert_exit(&end(scene.linklock("release", [&token])), 0);
}

#[test]
fn status_changes_nothing() {
    let scene = Scene::new();
    scene.acquire_for("none", "10ms");
    let before = fs::metadata(&scene.lock).unwrap();
    fields(&scene, ["-q"]);
    words(&scene);
    let after = fs::metadata(&scene.lock).unwrap();
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    assert_eq!(scene.names().len(), 2, "an expired lock stays until a contender comes: {:?}", scene.names());
}

#[test]
fn a_reader_that_closes_the_pipe_is_not_an_error() {
    let scene = Scene::new();
    let mut command = linklock(["status"]);
    // More output than fits into a pipe, or as many paths as fit into a command line of Windows.
    command.args(vec![&scene.lock; if cfg!(windows) { 400 } else { 2000 }]);
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = crate::support::outcome(child);
    assert_exit(&output, 0);
    assert_eq!(stderr(&output), "");
}
