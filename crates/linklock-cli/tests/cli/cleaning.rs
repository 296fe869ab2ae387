//! clean: what killed contenders left beside a lock, and what is somebody else's.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::{Scene, assert_exit, end, eventually, here, linklock, outcome, stderr, stdout};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// `linklock clean OPTION... PATH`, which ends well, and what it says.
fn clean(path: &Path, options: &[&str]) -> String {
    let mut command = linklock(["clean"]);
    let output = end({
        command.args(options).arg(path);
        command
    });
    assert_exit(&output, 0);
    stdout(&output)
}

/// The lines of `clean --json`, by the file's name.
fn told(path: &Path, options: &[&str]) -> Vec<Value> {
    let text = clean(path, &[&["--json"], options].concat());
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The one of these that is about this name.
fn about<'a>(lines: &'a [Value], name: &str) -> &'a Value {
    let is_about = |line: &&Value| line["path"].as_str().expect("a path").ends_with(name);
    lines.iter().find(is_about).unwrap_or_else(|| panic!("{name} is not told of in {lines:?}"))
}

/// The claim of a contender of another machine, that expired so long ago.
fn put_claim(scene: &Scene, name: &str, expired: Duration) -> String {
    let name = here(name);
    let path = scene.dir.path().join(&name);
    fs::write(&path, path.to_str().expect("UTF-8")).expect("a claim");
    let file = File::options().write(true).open(&path).expect("a claim");
    file.set_modified(SystemTime::now() - expired).expect("its expiry");
    name
}

/// Kills so many contenders while they wait for the lock, which is held.
fn kill_waiters(scene: &Scene, number: usize, options: &[&str]) {
    let before = scene.names().len();
    let queued = usize::from(options.contains(&"--queue"));
    let start = || scene.work(options, &[]).stderr(Stdio::null()).spawn().expect("linklock starts");
    let waiting: Vec<_> = (0..number).map(|_| start()).collect();
    eventually("claims of those who wait", || scene.names().len() == before + number + queued);
    if queued > 0 {
        let queue = scene.dir.path().join(here("job.lock|queue"));
        eventually("their tickets", || fs::read_dir(&queue).is_ok_and(|tickets| tickets.count() == number));
    }
    for mut waiter in waiting {
        waiter.kill().expect("it can be killed");
        outcome(waiter);
    }
}

#[test]
fn killed_waiters_are_listed_and_removed_when_that_is_said_while_the_lock_is_held_and_when_it_is_free() {
    for (protocol, held) in ["link", "dir"].into_iter().flat_map(|one| [(one, true), (one, false)]) {
        let scene = Scene::new();
        let options = ["--protocol", protocol];
        let token = end(scene.linklock("acquire", [&["--pid", "none", "--lifetime", "1h"][..], &options].concat()));
        let token = stdout(&token).trim_end().to_owned();
        kill_waiters(&scene, 5, &options);
        let before = scene.names();
        if !held {
            assert_exit(&end(scene.linklock("release", [&token])), 0);
        }
        let left = scene.names();

        let text = clean(&scene.lock, &[]);
        assert_eq!(scene.names(), left, "a dry run changes nothing");
        assert_eq!(text.matches("\n  remove   job.lock").count(), 5, "{text}");
        assert_eq!(text.matches(": its process has ended\n").count(), 5, "{text}");
        let holds = usize::from(held && protocol == "link");
        assert_eq!(text.matches(": it holds the lock\n").count(), holds, "{text}");
        let state = if held { ": held by process " } else { ": free\n" };
        assert!(text.contains(state) && text.ends_with("--yes removes what is listed with \"remove\"\n"), "{text}");

        let text = clean(&scene.lock, &["--yes"]);
        assert_eq!(text.matches("\n  removed  job.lock").count(), 5, "{text}");
        assert_eq!(scene.names().len(), left.len() - 5);
        if held {
            assert_eq!(scene.names().len(), before.len() - 5);
            assert_exit(&end(scene.linklock("release", [&token])), 0);
        }
        scene.assert_free();
        assert_eq!(clean(&scene.lock, &[]), format!("{}: free; nothing is left beside it\n", scene.lock.display()));
    }
}

#[test]
fn tickets_of_killed_waiters_go_with_the_queue() {
    let scene = Scene::new();
    let token = scene.acquire_for("none", "1h");
    kill_waiters(&scene, 3, &["--queue"]);
    let lines = told(&scene.lock, &["--yes"]);
    let removed = |kind: &str| lines.iter().filter(|l| l["kind"] == kind && l["action"] == "removed").count();
    // One that waits removes the ticket of a dead one before it.
    assert!(removed("ticket") > 0 && removed("claim") == 3, "{lines:?}");
    assert_exit(&end(scene.linklock("release", [&token])), 0);
    scene.assert_free();
}

#[test]
fn what_another_machine_left_goes_a_day_after_its_expiry() {
    let scene = Scene::new();
    let old = put_claim(&scene, "job.lock|elsewhere|4711|00000000000000000001", DAY + DAY / 24);
    let recent = put_claim(&scene, "job.lock|elsewhere|4712|00000000000000000002", DAY / 8);
    let peers = put_claim(&scene, "job.lock|elsewhere|4713|815", 9 * DAY);
    let text = clean(&scene.lock, &[]);
    let line = |name: &str| text.lines().find(|line| line.contains(name)).expect("told of").to_owned();
    let said = "(claim of process 4711 on elsewhere, expired 1d1h ago): it expired long ago";
    assert!(line(&old).contains(said), "{text}");
    let said = "expired 3h ago): its process may be alive; it may be removed in 20h59m";
    assert!(line(&recent).contains(said), "{text}");
    assert!(line(&peers).starts_with("  remove"), "{text}");
    clean(&scene.lock, &["-y"]);
    assert_eq!(scene.names(), [recent.as_str()]);
}

/// Every option of `--json` is part of the program's interface.
#[test]
fn the_lines_of_json_have_their_fields_in_order() {
    let scene = Scene::new();
    let old = put_claim(&scene, "job.lock|elsewhere|4711|00000000000000000001", 2 * DAY);
    fs::create_dir(scene.dir.path().join(here("job.lock|queue"))).unwrap();
    let text = clean(&scene.lock, &["--json"]);
    let fields = ["lock", "path", "kind", "host", "pid", "expires_at", "action", "reason"];
    for line in text.lines() {
        let places = fields.map(|field| line.find(&format!("\"{field}\":")).expect("each field"));
        assert!(places.is_sorted(), "{line}");
    }
    let lines = told(&scene.lock, &[]);
    let claim = about(&lines, &old);
    assert_eq!(claim["lock"], scene.lock.to_str().unwrap());
    assert_eq!((&claim["kind"], &claim["host"], &claim["pid"]), (&"claim".into(), &"elsewhere".into(), &4711.into()));
    assert_eq!((&claim["action"], &claim["reason"]), (&"remove".into(), &"it expired long ago".into()));
    assert!(claim["expires_at"].as_str().unwrap().ends_with('Z'), "{claim}");
    let queue = about(&lines, "queue");
    assert_eq!((&queue["action"], &queue["host"], &queue["pid"]), (&"remove".into(), &Value::Null, &Value::Null));
}

#[test]
fn a_directory_is_cleaned_lock_by_lock() {
    let scene = Scene::new();
    let one = put_claim(&scene, "b.lock|elsewhere|1|1", 2 * DAY);
    let other = put_claim(&scene, "a.lock|elsewhere|1|1", 2 * DAY);
    let token = scene.acquire_for("none", "1h");
    // A held lock that is a directory itself, and files of users.
    let dir_lock = scene.dir.path().join("dir.lock");
    let mut acquire = linklock(["acquire", "--pid", "none", "--protocol", "dir", "--lifetime", "1h"]);
    acquire.arg(&dir_lock);
    assert_exit(&end(acquire), 0);
    for name in ["notes", "a.lock|x", "b.lock|elsewhere|1|1.bak", "|elsewhere|1|1"] {
        fs::write(scene.dir.path().join(here(name)), "mine").unwrap();
    }
    let before = scene.names();
    let text = clean(scene.dir.path(), &[]);
    let at = |name: &str| text.find(&format!("{}: ", scene.dir.path().join(name).display())).expect("a lock");
    assert!(at("a.lock") < at("b.lock") && at("b.lock") < at("job.lock"), "grouped by lock: {text}");
    assert!(text[at("b.lock")..].contains(&one) && text[at("a.lock")..at("b.lock")].contains(&other), "{text}");
    clean(scene.dir.path(), &["--yes"]);
    let kept: Vec<_> = before.into_iter().filter(|name| *name != *one && *name != *other).collect();
    assert_eq!(scene.names(), kept);
    assert_exit(&end(scene.linklock("refresh", [&token])), 0);
    // It is a lock path, not a directory of locks.
    assert!(clean(&dir_lock, &[]).contains("dir.lock: held by process "));
    // On Windows, an empty directory is a free lock.
    if cfg!(unix) {
        let empty = Scene::new();
        assert!(clean(empty.dir.path(), &[]).ends_with(": has no claims of any lock\n"));
    }
}

#[test]
fn what_only_has_the_name_of_a_claim_stays() {
    let scene = Scene::new();
    let notes = put_claim(&scene, "job.lock|elsewhere|1|1", Duration::ZERO);
    fs::write(scene.dir.path().join(&notes), "my notes").unwrap();
    let file = File::options().write(true).open(scene.dir.path().join(&notes)).unwrap();
    file.set_modified(SystemTime::now() - 9 * DAY).unwrap();
    let dir = scene.dir.path().join(here("job.lock|elsewhere|1|2"));
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("x"), "").unwrap();
    let before = scene.names();
    let lines = told(&scene.lock, &["--yes"]);
    assert_eq!(about(&lines, &notes)["reason"], "it is an ordinary file, not a claim");
    assert_eq!(about(&lines, &here("|2"))["reason"], "it is a directory with something else in it, not a claim");
    assert!(lines.iter().all(|line| line["action"] == "keep"), "{lines:?}");
    assert_eq!(scene.names(), before);
    assert!(dir.join("x").exists());
}

#[test]
fn without_recovery_what_ended_processes_left_is_kept_for_a_day_too() {
    let scene = Scene::new();
    let token = scene.acquire_for("none", "1h");
    kill_waiters(&scene, 2, &[]);
    let lines = told(&scene.lock, &["--yes", "--no-recover-dead"]);
    assert!(lines.iter().all(|line| line["action"] == "keep"), "{lines:?}");
    assert_exit(&end(scene.linklock("break", [&"--token".into(), &token])), 0);
    scene.assert_free();
}

#[test]
fn quiet_says_nothing_of_what_was_done() {
    let scene = Scene::new();
    put_claim(&scene, "job.lock|elsewhere|1|1", 2 * DAY);
    assert!(!clean(&scene.lock, &["-q"]).is_empty(), "a list is what was asked for");
    assert_eq!(clean(&scene.lock, &["-q", "--yes"]), "");
    scene.assert_free();
}

#[test]
fn a_directory_that_is_not_there_is_74_and_a_path_that_cannot_be_one_64() {
    let scene = Scene::with_lock(Path::new("missing").join("job.lock"));
    let output = end(scene.linklock("clean", ["--yes"]));
    assert_exit(&output, 74);
    assert!(stderr(&output).contains("there is no such directory"), "{}", stderr(&output));
    assert_exit(&end(linklock(["clean", &here("a|b")])), 64);
    assert_exit(&end(linklock(["clean"])), 64);
}

/// Windows has access lists, and links only for those who may make them.
#[cfg(unix)]
mod on_unix {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::unix::as_ordinary_user;

    #[test]
    fn symbolic_links_in_the_directory_are_not_followed_and_the_one_that_the_user_names_is() {
        let scene = Scene::new();
        let elsewhere = Scene::new();
        let target = elsewhere.dir.path().join("target");
        fs::write(&target, "").unwrap();
        fs::create_dir(elsewhere.dir.path().join("queue")).unwrap();
        let ticket = elsewhere.dir.path().join("queue/00000000000000000001job.lock|elsewhere|1|1");
        fs::write(&ticket, "").unwrap();
        symlink(&target, scene.dir.path().join("job.lock|elsewhere|1|1")).unwrap();
        symlink(elsewhere.dir.path().join("queue"), scene.dir.path().join("job.lock|queue")).unwrap();
        let old = put_claim(&scene, "job.lock|elsewhere|1|2", 2 * DAY);
        let named = elsewhere.dir.path().join("named");
        symlink(scene.dir.path(), &named).unwrap();
        let lines = told(&named, &["--yes"]);
        assert_eq!(about(&lines, &old)["action"], "removed", "{lines:?}");
        assert_eq!(scene.names(), ["job.lock|elsewhere|1|1", "job.lock|queue"]);
        assert_eq!(about(&lines, "|1|1")["reason"], "it is a symbolic link, not a claim");
        assert!(target.exists() && ticket.exists());
    }

    #[test]
    fn what_this_user_may_not_read_is_kept_and_what_it_may_not_remove_is_77() {
        let scene = Scene::new();
        let unreadable = put_claim(&scene, "job.lock|elsewhere|1|1", 2 * DAY);
        let path = scene.dir.path().join(&unreadable);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).unwrap();
        let dir = scene.dir.path().join("job.lock|elsewhere|1|2");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o0)).unwrap();
        fs::set_permissions(scene.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let elsewhere = Scene::new();
        let output = end(as_ordinary_user(scene.linklock("clean", ["--yes"]), elsewhere.dir.path()));
        assert_exit(&output, 0);
        assert_eq!(stdout(&output).matches(": cannot look at it: this user may not read it\n").count(), 2);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(scene.dir.path(), fs::Permissions::from_mode(0o555)).unwrap();
        let output = end(as_ordinary_user(scene.linklock("clean", ["--yes"]), elsewhere.dir.path()));
        fs::set_permissions(scene.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        assert_exit(&output, 77);
        assert!(stdout(&output).contains("\n  failed   job.lock|elsewhere|1|1 ("), "{}", stdout(&output));
        assert!(stderr(&output).contains("job.lock|elsewhere|1|1"), "{}", stderr(&output));
        assert_eq!(scene.names().len(), 2);
    }
}
