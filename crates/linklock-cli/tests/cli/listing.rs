//! ls: the locks of a directory, and what is not one.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::{
    Running, Scene, assert_exit, end, ended_process, eventually, here, host, linklock, outcome, stderr, stdout,
};

const HOUR: Duration = Duration::from_secs(3600);

/// The document of `ls --json`, at this exit status.
fn listed_with(dir: &Path, options: &[&str], status: i32) -> Value {
    let mut command = linklock(["ls", "--json"]);
    command.args(options).arg(dir);
    let output = end(command);
    assert_exit(&output, status);
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

fn listed(scene: &Scene, options: &[&str]) -> Value {
    listed_with(scene.dir.path(), options, 0)
}

fn words(scene: &Scene) -> String {
    let mut command = linklock(["ls"]);
    command.arg(scene.dir.path());
    let output = end(command);
    assert_exit(&output, 0);
    stdout(&output)
}

/// The names of the locks in a document.
fn names(document: &Value) -> Vec<&str> {
    let locks = document["locks"].as_array().expect("a list");
    locks.iter().filter_map(|lock| Path::new(lock["path"].as_str()?).file_name()?.to_str()).collect()
}

fn lock<'a>(document: &'a Value, name: &str) -> &'a Value {
    let at = names(document).iter().position(|known| *known == name);
    &document["locks"][at.unwrap_or_else(|| panic!("{name} is not listed: {document}"))]
}

/// Acquires a lock beside the scene's.
fn acquire(scene: &Scene, name: &str, options: &[&str]) {
    let mut command = linklock(["acquire", "--pid", "none"]);
    command.args(options).arg(scene.dir.path().join(name));
    assert_exit(&end(command), 0);
}

/// All below the directory, with what could change.
fn everything(dir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).expect("it can be read") {
        let path = entry.expect("an entry").path();
        let data = fs::symlink_metadata(&path).expect("it is there");
        all.push(format!("{path:?} {:?} {:?} {}", data.file_type(), data.modified().ok(), data.len()));
        if data.is_dir() {
            all.extend(everything(&path));
        }
    }
    all.sort();
    all
}

#[test]
fn locks_of_each_state_are_listed_and_nothing_else() {
    let scene = Scene::new();
    let at = |name: &str| scene.dir.path().join(name);
    acquire(&scene, "held.dir", &["--protocol", "dir", "--lifetime", "1h"]);
    acquire(&scene, "held.link", &["--lifetime", "1h"]);
    acquire(&scene, "old.10", &["--protocol", "dir", "--lifetime", "10ms"]);
    acquire(&scene, "old.9", &["--lifetime", "10ms"]);
    ended_process(|pid| {
        let mut command = linklock(["acquire", "--lifetime", "1h", "--pid", pid]);
        command.arg(at("dead"));
        assert_exit(&end(command), 0);
    });
    // What is not a lock, and looks like one in part.
    fs::write(at("file"), "a user's").unwrap();
    let future = File::create(at("future")).unwrap();
    future.set_modified(SystemTime::now() + HOUR).unwrap();
    fs::write(at(&here("file|host|not-a-pid|1")), "").unwrap();
    fs::create_dir(at("directory")).unwrap();
    fs::write(at("directory").join("file"), "").unwrap();
    fs::create_dir(at(&here("file|queue"))).unwrap();
    thread::sleep(Duration::from_millis(50));
    let before = everything(scene.dir.path());
    let found = listed(&scene, &["--grace", "0"]);
    assert_eq!(everything(scene.dir.path()), before, "nothing has changed");
    assert_eq!(names(&found), ["dead", "held.dir", "held.link", "old.9", "old.10"]);
    for (name, state, answer) in [
        ("dead", "abandoned", "yes"),
        ("held.dir", "held", "not-before"),
        ("held.link", "held", "not-before"),
        ("old.9", "expired", "yes"),
        ("old.10", "expired", "yes"),
    ] {
        let lock = lock(&found, name);
        assert_eq!((&lock["state"], &lock["safe_to_break"]["answer"]), (&state.into(), &answer.into()), "{lock}");
        assert_eq!(lock["host"].as_str().map(str::to_lowercase), Some(host().to_lowercase()), "{lock}");
    }
    // Within the grace it is not safe.
    let graced = listed(&scene, &["--grace", "1h"]);
    assert_eq!(lock(&graced, "old.9")["safe_to_break"]["answer"], "not-before");
    assert!(!lock(&graced, "old.9")["safe_to_break"]["at"].is_null());
    let text = words(&scene);
    assert_eq!(text.lines().count(), 6, "a head, and a line for each: {text}");
    for word in ["yes: its process has ended", "not before ", "abandoned", "no process, from "] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn a_lock_that_a_live_process_holds_is_not_safe_to_break() {
    let scene = Scene::new();
    let holder = Running::start(scene.work(&[], &["say:ready", "repeat"]));
    let found = listed(&scene, &[]);
    let lock = lock(&found, "job.lock");
    if cfg!(any(target_os = "linux", windows)) {
        assert_eq!((&lock["safe_to_break"]["answer"], &lock["pid"]), (&"no".into(), &holder.pid().into()), "{lock}");
    }
    assert_eq!(lock["held_since"], Value::Null, "link does not tell");
    assert!(lock["held_at_least_ms"].is_u64(), "{lock}");
    holder.let_end();
}

#[test]
fn who_waits_is_listed_in_the_order_of_the_queue() {
    let scene = Scene::new();
    let token = scene.acquire_for("none", "1h");
    let wait = || {
        let command = &mut scene.work(&["--queue"], &[]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("linklock starts")
    };
    let mut waiting: Vec<Child> = Vec::new();
    for _ in 0..3 {
        waiting.push(wait());
        eventually("it has a ticket", || {
            let found = listed(&scene, &[]);
            let waiters = lock(&found, "job.lock")["waiters"].as_array().expect("a list").clone();
            waiters.len() == waiting.len() && waiters.iter().all(|waiter| waiter["position"].is_u64())
        });
    }
    let found = listed(&scene, &[]);
    let waiters = &lock(&found, "job.lock")["waiters"];
    for (n, child) in waiting.iter().enumerate() {
        let waiter = &waiters[n];
        assert_eq!((&waiter["pid"], &waiter["position"]), (&child.id().into(), &(n + 1).into()), "{waiters}");
        assert_eq!((&waiter["certain"], &waiter["shared"]), (&true.into(), &false.into()));
        assert!(waiter["since"].is_string(), "{waiter}");
    }
    assert_eq!(names(&found), ["job.lock"]);
    let text = words(&scene);
    assert!(text.contains(&format!("waits: process {} on ", waiting[0].id())), "{text}");
    assert!(text.contains(", number 3 in the queue, for "), "{text}");
    assert_exit(&end(scene.linklock("release", [&token])), 0);
    for child in waiting {
        assert_exit(&outcome(child), 0);
    }
    scene.assert_free();
}

/// On Linux and Windows linklock knows that they have ended.
#[cfg(any(target_os = "linux", windows))]
#[test]
fn killed_waiters_are_leftovers_and_do_not_wait() {
    let scene = Scene::new();
    let token = scene.acquire_for("none", "1h");
    let mut command = scene.work(&["--queue"], &[]);
    let mut waiter = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("linklock starts");
    eventually("it waits", || lock(&listed(&scene, &[]), "job.lock")["waiters"][0]["position"] == 1);
    waiter.kill().unwrap();
    waiter.wait().unwrap();
    let found = listed(&scene, &[]);
    let left = lock(&found, "job.lock");
    assert_eq!(left["waiters"], Value::Array(Vec::new()), "{left}");
    assert_eq!(left["leftovers"], 2, "the claim and the ticket: {left}");
    assert!(words(&scene).contains("2 leftovers of ended contenders; linklock clean lists"), "{}", words(&scene));
    assert_exit(&end(scene.linklock("release", [&token])), 0);
    let found = listed(&scene, &[]);
    assert_eq!(lock(&found, "job.lock")["state"], "free", "it is known by what was left");
}

#[test]
fn a_waiter_of_another_machine_that_gave_no_sign_may_have_ended() {
    let scene = Scene::new();
    let claim = scene.dir.path().join(here("job.lock|elsewhere|12|0000000000000000000000000000abcd"));
    fs::write(&claim, claim.to_str().unwrap()).unwrap();
    for (expiry, certain) in [(SystemTime::now() + HOUR, true), (SystemTime::now() - HOUR, false)] {
        File::options().write(true).open(&claim).unwrap().set_modified(expiry).unwrap();
        let found = listed(&scene, &[]);
        let waiter = &lock(&found, "job.lock")["waiters"][0];
        assert_eq!((&waiter["host"], &waiter["certain"]), (&"elsewhere".into(), &certain.into()), "{waiter}");
    }
    assert!(words(&scene).contains("may wait, or has ended: no process, from elsewhere"), "{}", words(&scene));
}

#[test]
fn slots_are_known_as_such_while_somebody_waits_for_one() {
    let scene = Scene::with_lock("seat");
    let holders = [1, 2].map(|_| Running::start(scene.work(&["--slots", "2"], &["say:ready", "repeat"])));
    assert!(listed(&scene, &[])["locks"].as_array().unwrap().iter().all(|lock| lock["slot"].is_null()));
    let mut command = scene.work(&["--slots", "2", "--queue"], &[]);
    let waiter = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("linklock starts");
    eventually("it waits", || names(&listed(&scene, &[])).contains(&"seat"));
    let found = listed(&scene, &[]);
    assert_eq!(names(&found), ["seat", "seat.1", "seat.2"]);
    assert_eq!(lock(&found, "seat")["waiters"][0]["pid"], waiter.id());
    for (name, number) in [("seat.1", 1), ("seat.2", 2)] {
        let slot = lock(&found, name);
        assert_eq!((&slot["slot"], &slot["slot_of"]), (&number.into(), &lock(&found, "seat")["path"]), "{slot}");
    }
    holders.into_iter().for_each(Running::let_end);
    assert_exit(&outcome(waiter), 0);
}

#[test]
fn older_than_chooses_by_what_is_known_and_exits_with_it() {
    let scene = Scene::new();
    let at = |options: &[&str], status| listed_with(scene.dir.path(), options, status);
    assert_eq!(names(&at(&["--older-than", "0"], 0)), [""; 0]);
    acquire(&scene, "exact", &["--protocol", "dir", "--lifetime", "1h"]);
    thread::sleep(Duration::from_millis(20));
    assert_eq!(names(&at(&["--older-than", "10ms"], 1)), ["exact"]);
    assert_eq!(names(&at(&["--older-than", "1h"], 0)), [""; 0], "the disk tells since when it is held");
    acquire(&scene, "vague", &["--lifetime", "1h"]);
    assert_eq!(names(&at(&["--older-than", "1h"], 2)), ["vague"], "nothing tells that it was not refreshed");
    thread::sleep(Duration::from_millis(20));
    assert_eq!(names(&at(&["--older-than", "10ms"], 1)), ["exact", "vague"]);
    // An error comes first.
    let mut command = linklock(["ls", "--older-than", "10ms"]);
    command.arg(scene.dir.path()).arg(scene.dir.path().join("missing"));
    assert_exit(&end(command), 73);
}

#[test]
fn a_path_at_which_there_is_nothing_is_an_error() {
    let scene = Scene::new();
    let output = end(scene.linklock("ls", ["--json"]));
    assert_exit(&output, 73);
    assert!(stderr(&output).contains("neither a directory nor a lock"), "{}", stderr(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["errors"].as_array().map(Vec::len), Some(1), "{document}");
    // Without a path it lists the working directory.
    acquire(&scene, "here", &["--lifetime", "1h"]);
    let mut command = linklock(["ls", "--json"]);
    command.current_dir(scene.dir.path());
    let output = end(command);
    assert_exit(&output, 0);
    assert_eq!(names(&serde_json::from_slice(&output.stdout).unwrap()), ["here"]);
    // A lock path is listed as it is, beside a directory.
    let document = listed_with(&scene.dir.path().join("here"), &[], 0);
    assert_eq!(names(&document), ["here"]);
    let mut command = linklock(["ls"]);
    command.arg(tempfile::tempdir().unwrap().path());
    assert_exit(&end(command), 73);
}

#[test]
fn directories_below_are_listed_on_request() {
    let scene = Scene::new();
    let below = scene.dir.path().join("below").join("deep");
    fs::create_dir_all(&below).unwrap();
    acquire(&scene, "top", &["--lifetime", "1h"]);
    acquire(&scene, "below/deep/lock", &["--protocol", "dir", "--lifetime", "1h"]);
    #[cfg(unix)]
    std::os::unix::fs::symlink(scene.dir.path(), scene.dir.path().join("below").join("up")).unwrap();
    assert_eq!(names(&listed(&scene, &[])), ["top"]);
    assert_eq!(names(&listed(&scene, &["-r"])), ["top", "lock"]);
}

#[test]
fn metrics_have_a_type_and_a_help_text_each_and_one_series_for_each_lock() {
    let scene = Scene::new();
    acquire(&scene, "a", &["--lifetime", "1h"]);
    acquire(&scene, "b", &["--lifetime", "1h", "--protocol", "dir"]);
    let mut command = linklock(["ls", "--prometheus"]);
    command.arg(scene.dir.path());
    let output = end(command);
    assert_exit(&output, 0);
    let text = stdout(&output);
    let mut known = std::collections::BTreeSet::new();
    let mut typed = "";
    for line in text.lines() {
        if let Some(of) = line.strip_prefix("# HELP ") {
            typed = of.split_once(' ').expect("a help text").0;
        } else if let Some(of) = line.strip_prefix("# TYPE ") {
            assert_eq!(of, format!("{typed} gauge"), "HELP comes before TYPE");
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            assert_eq!(series.split('{').next(), Some(typed), "{line}");
            assert!(value.parse::<f64>().is_ok() && known.insert(series.to_owned()), "{line}");
        }
    }
    assert_eq!(text.matches("\nlinklock_lock_info{").count(), 2, "{text}");
    assert!(text.contains("\nlinklock_ls_errors 0\n"), "{text}");
}

#[test]
fn watch_lists_again_and_again() {
    let scene = Scene::new();
    acquire(&scene, "seen", &["--lifetime", "1h"]);
    let mut command = linklock(["ls", "--watch=100ms", "--json"]);
    let mut child = command.arg(scene.dir.path()).stdout(Stdio::piped()).spawn().expect("linklock starts");
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().expect("a pipe")));
    let documents: Vec<Value> =
        lines.take(3).map(|line| serde_json::from_str(&line.expect("a line")).expect("JSON")).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(documents.iter().all(|document| names(document) == ["seen"]), "{documents:?}");
    assert!(documents.is_sorted_by_key(|document| document["time"].to_string()), "{documents:?}");
    for invalid in ["--watch=0", "--watch=x"] {
        assert_exit(&end(linklock(["ls", invalid])), 64);
    }
}
