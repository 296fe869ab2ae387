//! clean: the files that killed contenders left beside a lock, and the files that are somebody else's.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::processes::{kill, start};
use crate::support::{Scene, assert_exit, end, eventually, here, linklock, outcome, stderr, stdout};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Runs `linklock clean OPTION... PATH` and gives its output.
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
fn listed(path: &Path, options: &[&str]) -> Vec<Value> {
    let text = clean(path, &[&["--json"], options].concat());
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The line about this name.
fn about<'a>(lines: &'a [Value], name: &str) -> &'a Value {
    let is_about = |line: &&Value| line["path"].as_str().expect("a path").ends_with(name);
    lines.iter().find(is_about).unwrap_or_else(|| panic!("{name} is not in {lines:?}"))
}

/// Makes the claim of a contender on another machine that expired so long ago.
fn put_claim(scene: &Scene, name: &str, expired: Duration) -> String {
    let name = here(name);
    let path = scene.dir.path().join(&name);
    fs::write(&path, path.to_str().expect("UTF-8")).expect("a claim");
    let file = File::options().write(true).open(&path).expect("a claim");
    file.set_modified(SystemTime::now() - expired).expect("its expiry");
    name
}

/// The number of names that are not the queue.
fn claims(scene: &Scene) -> usize {
    scene.names().into_iter().filter(|name| *name != *here("job.lock|queue")).count()
}

/// Kills this number of contenders while they wait for the lock, which is held.
fn kill_waiters(scene: &Scene, number: usize, options: &[&str]) {
    let (before, is_queue) = (claims(scene), options.contains(&"--queue"));
    let begin = || start(scene.work(options, &[]).stderr(Stdio::null()));
    let waiting: Vec<_> = (0..number).map(|_| begin()).collect();
    // Without --queue too they line up, where it is known that no other machine uses the directory: all but one, which may not have
    // seen another.
    let tickets = match is_queue {
        true => number,
        false if cfg!(target_os = "linux") => number - 1,
        false => 0,
    };
    let queue = scene.dir.path().join(here("job.lock|queue"));
    eventually("the claims of the waiters, and their tickets", || {
        let drawn = fs::read_dir(&queue).map_or(0, Iterator::count);
        claims(scene) == before + number && drawn >= tickets
    });
    for mut waiter in waiting {
        kill(&mut waiter);
        outcome(waiter);
    }
}

#[test]
fn leftovers_of_killed_waiters_are_listed_and_removed_while_the_lock_is_held_and_while_it_is_free() {
    for (protocol, held) in ["link", "dir"].into_iter().flat_map(|one| [(one, true), (one, false)]) {
        let scene = Scene::new();
        let options = ["--protocol", protocol];
        let token = end(scene.linklock("acquire", [&["--pid", "none", "--lifetime", "1h"][..], &options].concat()));
        let token = stdout(&token).trim_end().to_owned();
        kill_waiters(&scene, 5, &options);
        let before = claims(&scene);
        if !held {
            assert_exit(&end(scene.linklock("release", [&token])), 0);
        }
        let (left, names) = (claims(&scene), scene.names());

        let text = clean(&scene.lock, &[]);
        assert_eq!(scene.names(), names, "a dry run changes nothing");
        let claims_of = |text: &str, action: &str, end: &str| {
            let is_one = |line: &&str| line.contains("(claim of ") && line.starts_with(action) && line.ends_with(end);
            text.lines().filter(is_one).count()
        };
        assert_eq!(claims_of(&text, "  remove   job.lock", ": its process has ended"), 5, "{text}");
        let holds = usize::from(held && protocol == "link");
        assert_eq!(text.matches(": it holds the lock\n").count(), holds, "{text}");
        let state = if held { ": held by no known process (acquired by process " } else { ": free\n" };
        assert!(
            text.contains(state) && text.ends_with("with --yes linklock removes the files listed with \"remove\"\n"),
            "{text}"
        );

        let text = clean(&scene.lock, &["--yes"]);
        assert_eq!(claims_of(&text, "  removed  job.lock", ""), 5, "{text}");
        assert_eq!(scene.names().len(), left - 5, "the queue goes, too");
        if held {
            assert_eq!(scene.names().len(), before - 5);
            assert_exit(&end(scene.linklock("release", [&token])), 0);
        }
        scene.assert_free();
        assert_eq!(clean(&scene.lock, &[]), format!("{}: free; no leftovers\n", scene.lock.display()));
    }
}

#[test]
fn tickets_of_killed_waiters_are_removed_with_the_queue() {
    let scene = Scene::new();
    let token = scene.acquire_for("none", "1h");
    kill_waiters(&scene, 3, &["--queue"]);
    let lines = listed(&scene.lock, &["--yes"]);
    let removed = |kind: &str| lines.iter().filter(|l| l["kind"] == kind && l["action"] == "removed").count();
    // A waiter may have removed the ticket of a dead one before it.
    assert!(removed("ticket") > 0 && removed("claim") == 3, "{lines:?}");
    assert_exit(&end(scene.linklock("release", [&token])), 0);
    scene.assert_free();
}

#[test]
fn leftovers_of_another_machine_are_removed_a_day_after_their_expiry() {
    let scene = Scene::new();
    let old = put_claim(&scene, "job.lock|elsewhere|4711|00000000000000000001", DAY + DAY / 24);
    let recent = put_claim(&scene, "job.lock|elsewhere|4712|00000000000000000002", DAY / 8);
    let peers = put_claim(&scene, "job.lock|elsewhere|4713|815", 9 * DAY);
    let text = clean(&scene.lock, &[]);
    let line = |name: &str| text.lines().find(|line| line.contains(name)).expect("a line").to_owned();
    let said = "(claim of process 4711 on elsewhere, expired 1d1h ago): it expired long ago";
    assert!(line(&old).contains(said), "{text}");
    let said = "expired 3h ago): its process may be alive; it may be removed in 20h59m";
    assert!(line(&recent).contains(said), "{text}");
    assert!(line(&peers).starts_with("  remove"), "{text}");
    clean(&scene.lock, &["-y"]);
    assert_eq!(scene.names(), [recent.as_str()]);
}

/// The fields of `--json` are part of the program's interface.
#[test]
fn json_lines_have_their_fields_in_order() {
    let scene = Scene::new();
    let old = put_claim(&scene, "job.lock|elsewhere|4711|00000000000000000001", 2 * DAY);
    fs::create_dir(scene.dir.path().join(here("job.lock|queue"))).unwrap();
    let text = clean(&scene.lock, &["--json"]);
    let fields = ["lock", "path", "kind", "host", "pid", "expires_at", "action", "reason"];
    for line in text.lines() {
        let places = fields.map(|field| line.find(&format!("\"{field}\":")).expect("each field"));
        assert!(places.is_sorted(), "{line}");
    }
    let lines = listed(&scene.lock, &[]);
    let claim = about(&lines, &old);
    assert_eq!(claim["lock"], scene.lock.to_str().unwrap());
    assert_eq!((&claim["kind"], &claim["host"], &claim["pid"]), (&"claim".into(), &"elsewhere".into(), &4711.into()));
    assert_eq!((&claim["action"], &claim["reason"]), (&"remove".into(), &"it expired long ago".into()));
    assert!(claim["expires_at"].as_str().unwrap().ends_with('Z'), "{claim}");
    let queue = about(&lines, "queue");
    assert_eq!((&queue["action"], &queue["host"], &queue["pid"]), (&"remove".into(), &Value::Null, &Value::Null));
}

#[test]
fn clean_groups_the_leftovers_of_a_directory_by_lock() {
    let scene = Scene::new();
    let one = put_claim(&scene, "b.lock|elsewhere|1|1", 2 * DAY);
    let other = put_claim(&scene, "a.lock|elsewhere|1|1", 2 * DAY);
    let token = scene.acquire_for("none", "1h");
    // A held lock that is itself a directory, and files of users.
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
    // This directory is a lock, not a directory of locks.
    assert!(clean(&dir_lock, &[]).contains("dir.lock: held by no known process ("));
    // On Windows, an empty directory is a free lock.
    if cfg!(unix) {
        let empty = Scene::new();
        assert!(clean(empty.dir.path(), &[]).ends_with(": no lock has claims in this directory\n"));
    }
}

#[test]
fn files_that_only_look_like_claims_by_name_stay() {
    let scene = Scene::new();
    let notes = put_claim(&scene, "job.lock|elsewhere|1|1", Duration::ZERO);
    fs::write(scene.dir.path().join(&notes), "my notes").unwrap();
    let file = File::options().write(true).open(scene.dir.path().join(&notes)).unwrap();
    file.set_modified(SystemTime::now() - 9 * DAY).unwrap();
    let dir = scene.dir.path().join(here("job.lock|elsewhere|1|2"));
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("x"), "").unwrap();
    let before = scene.names();
    let lines = listed(&scene.lock, &["--yes"]);
    assert_eq!(about(&lines, &notes)["reason"], "it is an ordinary file, not a claim");
    assert_eq!(about(&lines, &here("|2"))["reason"], "it is a directory with something else in it, not a claim");
    assert!(lines.iter().all(|line| line["action"] == "keep"), "{lines:?}");
    assert_eq!(scene.names(), before);
    assert!(dir.join("x").exists());
}

#[test]
fn without_recovery_leftovers_of_ended_processes_are_kept_for_a_day() {
    let scene = Scene::new();
    let token = scene.acquire_for("none", "1h");
    kill_waiters(&scene, 2, &[]);
    let lines = listed(&scene.lock, &["--yes", "--no-recover-dead"]);
    assert!(lines.iter().all(|line| line["action"] == "keep"), "{lines:?}");
    assert_exit(&end(scene.linklock("break", [&"--token".into(), &token])), 0);
    scene.assert_free();
}

#[test]
fn quiet_prints_nothing_about_removed_files() {
    let scene = Scene::new();
    put_claim(&scene, "job.lock|elsewhere|1|1", 2 * DAY);
    assert!(!clean(&scene.lock, &["-q"]).is_empty(), "the user asked for a list");
    assert_eq!(clean(&scene.lock, &["-q", "--yes"]), "");
    scene.assert_free();
}

#[test]
fn a_missing_directory_is_74_and_an_invalid_path_is_64() {
    let scene = Scene::with_lock(Path::new("missing").join("job.lock"));
    let output = end(scene.linklock("clean", ["--yes"]));
    assert_exit(&output, 74);
    assert!(stderr(&output).contains("there is no such directory"), "{}", stderr(&output));
    assert_exit(&end(linklock(["clean", &here("a|b")])), 64);
    assert_exit(&end(linklock(["clean"])), 64);
}

/// Windows has access lists instead of modes, and only some users may make links.
#[cfg(unix)]
mod on_unix {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::unix::as_ordinary_user;

    #[test]
    fn a_symbolic_link_that_the_user_names_is_followed_and_others_are_not() {
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
        let lines = listed(&named, &["--yes"]);
        assert_eq!(about(&lines, &old)["action"], "removed", "{lines:?}");
        assert_eq!(scene.names(), ["job.lock|elsewhere|1|1", "job.lock|queue"]);
        assert_eq!(about(&lines, "|1|1")["reason"], "it is a symbolic link, not a claim");
        assert!(target.exists() && ticket.exists());
    }

    #[test]
    fn the_empty_directory_of_a_free_lock_is_removed_and_a_shared_directory_is_not() {
        let scene = Scene::new();
        for (mode, action) in [(0o1755, "remove"), (0o1777, "none"), (0o755, "none")] {
            fs::create_dir(&scene.lock).unwrap();
            fs::set_permissions(&scene.lock, fs::Permissions::from_mode(mode)).unwrap();
            let lines = listed(&scene.lock, &[]);
            let actions: Vec<_> = lines.iter().map(|line| (line["kind"].as_str(), line["action"].as_str())).collect();
            let expected = [(Some("free-lock"), Some(action))];
            assert_eq!(actions, expected[..usize::from(action == "remove")], "{mode:o}");
            clean(&scene.lock, &["--yes"]);
            assert_eq!(scene.lock.exists(), action == "none", "{mode:o}");
            let _ = fs::remove_dir(&scene.lock);
        }
    }

    #[test]
    fn unreadable_leftovers_are_kept_and_unremovable_ones_are_77() {
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
