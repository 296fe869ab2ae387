//! --journal, and report.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

use crate::losses::{LIFETIME, break_by_force};
use crate::support::{Running, Scene, assert_exit, end, ended_process, eventually, linklock, stderr, stdout};

/// A schema of docs/schema.
struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema").join(name);
        let text = fs::read_to_string(path).expect("a schema");
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource(name, serde_json::from_str(&text).expect("JSON")).expect("a resource");
        let index = compiler.compile(name, &mut schemas).expect("a schema that can be used");
        Self { schemas, index }
    }

    #[track_caller]
    fn check(&self, value: &Value) {
        if let Err(e) = self.schemas.validate(value, self.index) {
            panic!("{e:#}\n{value}");
        }
    }
}

/// The command, with the journal of this scene.
fn journaled(scene: &Scene, mut command: Command) -> Command {
    command.env("LINKLOCK_JOURNAL", scene.dir.path().join("journal"));
    command
}

/// The lines of the journal, all of which are as the schema has it.
pub(crate) fn lines(scene: &Scene) -> Vec<Value> {
    let text = fs::read_to_string(scene.dir.path().join("journal")).unwrap_or_default();
    let schema = Schema::new("journal.json");
    let read = |line: &str| {
        let value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        schema.check(&value);
        value
    };
    text.lines().filter(|line| !line.is_empty()).map(read).collect()
}

fn events(scene: &Scene) -> Vec<String> {
    lines(scene).iter().map(|line| line["event"].as_str().expect("a word").to_owned()).collect()
}

fn report_of(files: &[&Path]) -> Value {
    report_with(&[], files)
}

fn report_with(options: &[&str], files: &[&Path]) -> Value {
    let mut command = linklock(["report", "--json"]);
    command.args(options).args(files);
    let output = end(command);
    assert_exit(&output, 0);
    let report = serde_json::from_str(&stdout(&output)).expect("JSON");
    Schema::new("report.json").check(&report);
    report
}

/// The report of the one lock of this scene.
pub(crate) fn report(scene: &Scene) -> Value {
    let report = report_of(&[&scene.dir.path().join("journal")]);
    assert_eq!(report["files"][0]["unreadable"], 0);
    let locks = report["locks"].as_array().expect("locks");
    assert_eq!(locks.len(), 1, "{report}");
    locks[0].clone()
}

#[test]
fn a_run_is_an_acquisition_and_a_release() {
    let scene = Scene::new();
    let output = end(journaled(&scene, scene.work(&["--fence"], &["tell:LINKLOCK_TOKEN", "tell:LINKLOCK_FENCE"])));
    assert_exit(&output, 0);
    let said = stdout(&output);
    let lines = lines(&scene);
    assert_eq!(events(&scene), ["acquired", "released"]);
    for line in &lines {
        assert_eq!(line["lock"], scene.lock.to_str().unwrap());
        assert_eq!(line["command"], worker_name());
        assert_eq!(line["protocol"], "link");
        assert_eq!(line["user"], crate::support::user());
        for key in ["token", "fence"] {
            let value = line[key].as_str().map_or_else(|| line[key].to_string(), str::to_owned);
            assert!(said.contains(&value), "{key}: {line}\n{said}");
        }
    }
    assert!(lines[0]["waited_ms"].is_u64() && lines[1]["held_ms"].is_u64());
    let report = report(&scene);
    assert_eq!(
        (&report["acquired"], &report["holds"]["count"], &report["holds_without_end"]),
        (&1.into(), &1.into(), &0.into())
    );
    assert_eq!(report["holders"][0]["user"], crate::support::user());
}

fn worker_name() -> String {
    crate::support::worker().file_name().expect("a name").to_str().expect("UTF-8").into()
}

#[test]
fn without_the_option_there_is_no_journal() {
    let scene = Scene::new();
    assert_exit(&end(scene.work(&[], &[])), 0);
    scene.assert_free();
}

#[test]
fn a_secret_of_the_command_is_not_logged_unless_it_is_asked_for() {
    let scene = Scene::new();
    let secret = "say:password";
    assert_exit(&end(journaled(&scene, scene.work(&[], &[secret]))), 0);
    assert!(!fs::read_to_string(scene.dir.path().join("journal")).unwrap().contains(secret));
    assert_exit(&end(journaled(&scene, scene.work(&["--describe-command"], &[secret]))), 0);
    assert!(fs::read_to_string(scene.dir.path().join("journal")).unwrap().contains(secret));
}

#[test]
fn a_script_acquires_and_another_linklock_releases() {
    let scene = Scene::new();
    let output = end(journaled(&scene, scene.linklock("acquire", ["--pid", "none"])));
    let token = stdout(&output).trim_end().to_owned();
    assert_exit(&end(journaled(&scene, scene.linklock("refresh", [&token]))), 0);
    assert_exit(&end(journaled(&scene, scene.linklock("release", [&token]))), 0);
    let lines = lines(&scene);
    assert_eq!(events(&scene), ["acquired", "released"]);
    for line in &lines {
        assert_eq!((&line["token"], &line["pid"]), (&token.as_str().into(), &Value::Null));
    }
    assert_eq!(lines[1].get("held_ms"), None, "nobody measured it");
    let report = report(&scene);
    assert_eq!((&report["holds"]["count"], &report["holds_by_wall_clock"]), (&1.into(), &1.into()));
    // A second release finds nothing to release.
    assert_exit(&end(journaled(&scene, scene.linklock("release", [&token]))), 76);
    assert_eq!(events(&scene), ["acquired", "released", "lost"]);
}

#[test]
fn a_time_out_and_a_refusal_are_logged_with_their_message() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    for options in [&["-n"][..], &["-w", "20ms"]] {
        let output = end(journaled(&scene, scene.work(options, &[])));
        assert_exit(&output, 75);
    }
    let lines = lines(&scene);
    assert_eq!(events(&scene), ["timed-out", "timed-out"]);
    assert!(lines[0]["error"].as_str().unwrap().contains("not acquired"));
    assert!(lines[1]["waited_ms"].as_u64().unwrap() >= 20, "{}", lines[1]);
    assert_eq!(report(&scene)["timeouts"], 2);

    let scene = Scene::new();
    fs::write(&scene.lock, "not a lock of anybody").unwrap();
    assert_exit(&end(journaled(&scene, scene.work(&["-n"], &[]))), 74);
    assert_eq!((events(&scene), &report(&scene)["refused"]), (vec!["refused".to_owned()], &1.into()));
}

#[test]
fn a_break_says_whose_lock_it_was_and_why() {
    for (how, why) in [("--force", "forced"), ("--token", "forced"), ("--expired", "expired"), ("", "expired")] {
        let scene = Scene::new();
        let token = scene.acquire_for("none", "10ms").into_string().unwrap();
        let mut command = match how {
            "" => scene.work(&["--grace", "0"], &[]),
            "--token" => scene.linklock("break", ["--token", &token]),
            how => scene.linklock("break", [how, "--grace", "0"]),
        };
        if why == "expired" {
            eventually("the expiry", || {
                let status = end(scene.linklock("status", ["--json", "--grace", "0"]));
                stdout(&status).contains("\"state\":\"expired\"")
            });
            // A breaker waits for a tick of the server's clock too.
            assert_exit(&end(scene.linklock("wait", ["--grace", "0"])), 0);
        } else {
            command.stdin(Stdio::null());
        }
        assert_exit(&end(journaled(&scene, command)), 0);
        let line = lines(&scene)[0].clone();
        assert_eq!((&line["event"], &line["why"]), (&"broken".into(), &why.into()), "{how}");
        assert_eq!(line["broken"]["token"], token);
        let parts: Vec<_> = token.rsplit(linklock::SEPARATOR).collect();
        assert_eq!((&line["broken"]["host"], line["broken"]["pid"].to_string()), (&parts[2].into(), parts[1].into()));
        assert_eq!(report(&scene)["breaks"][why], 1);
    }
}

#[test]
#[cfg(any(target_os = "linux", windows))]
fn an_abandoned_lock_is_broken_by_the_next_holder() {
    let scene = Scene::new();
    ended_process(|pid| {
        assert_exit(&end(journaled(&scene, scene.linklock("acquire", ["--pid", pid, "-l", "1h"]))), 0);
        assert_eq!(lines(&scene)[0]["pid"].to_string(), pid);
    });
    let before = report(&scene);
    assert_eq!(
        (&before["holds_without_end"], &before["without_end"][0]["token"]),
        (&1.into(), &lines(&scene)[0]["token"])
    );
    assert_exit(&end(journaled(&scene, scene.work(&[], &[]))), 0);
    assert_eq!(events(&scene), ["acquired", "broken", "acquired", "released"]);
    assert_eq!(lines(&scene)[1]["broken"]["token"], lines(&scene)[0]["token"]);
    let report = report(&scene);
    assert_eq!((&report["breaks"]["abandoned"], &report["holds"]["count"]), (&1.into(), &2.into()));
    assert_eq!((&report["holds_without_end"], &report["holds_by_wall_clock"]), (&0.into(), &1.into()));
}

#[test]
#[cfg(any(target_os = "linux", windows))]
fn the_hold_of_a_killed_holder_has_no_end() {
    let scene = Scene::new();
    let mut running = Running::start(journaled(&scene, scene.work(&[], &["say:ready", "sleep:60000"])));
    eventually("the first line", || !lines(&scene).is_empty());
    running.kill();
    running.end();
    assert_eq!(events(&scene), ["acquired"]);
    let report = report(&scene);
    assert_eq!((&report["holds_without_end"], &report["holds"]["count"]), (&1.into(), &0.into()));
    assert_eq!(report["without_end"][0]["command"], worker_name());
    let mut shown = linklock(["report"]);
    shown.arg(scene.dir.path().join("journal"));
    let shown = stdout(&end(shown));
    assert!(
        shown.contains("without an end: 1") && shown.contains(lines(&scene)[0]["token"].as_str().unwrap()),
        "{shown}"
    );
}

#[test]
fn a_loss_is_logged_once_with_its_reason() {
    let scene = Scene::new();
    let running = Running::start(journaled(&scene, scene.work(&LIFETIME, &["say:ready", "sleep:60000"])));
    break_by_force(&scene);
    assert_eq!(running.end().0, Some(76));
    assert_eq!(events(&scene), ["acquired", "lost"]);
    let lines = lines(&scene);
    assert_eq!(lines[1]["why"], "broken");
    assert!(lines[1]["held_ms"].is_u64());
    let report = report(&scene);
    assert_eq!(
        (&report["losses"], &report["holds"]["count"], &report["holds_without_end"]),
        (&1.into(), &1.into(), &0.into())
    );
}

#[test]
fn of_several_locks_each_has_its_lines() {
    let scene = Scene::new();
    let other = scene.dir.path().join("other.lock");
    let mut command = linklock(["run", "--and"]);
    command.arg(&other).arg(&scene.lock).arg(crate::support::worker());
    assert_exit(&end(journaled(&scene, command)), 0);
    let (lines, events) = (lines(&scene), events(&scene));
    assert_eq!(events, ["acquired", "acquired", "released", "released"]);
    for path in [&other, &scene.lock] {
        assert_eq!(lines.iter().filter(|line| line["lock"] == path.to_str().unwrap()).count(), 2);
    }
}

#[test]
fn a_slot_is_logged_with_its_number() {
    let scene = Scene::new();
    assert_exit(&end(journaled(&scene, scene.work(&["--slots", "1"], &[]))), 0);
    let line = &lines(&scene)[0];
    assert_eq!((&line["slot"], &line["lock"]), (&1.into(), &format!("{}.1", scene.lock.display()).into()));
    assert_eq!(report(&scene)["lock"], scene.lock.to_str().unwrap());
}

/// With Wine lines are lost, if seldom.
#[test]
#[cfg(unix)]
fn the_lines_of_many_processes_do_not_mix() {
    const PROCESSES: usize = 12;
    let scene = Scene::new();
    let start = |_| journaled(&scene, scene.work(&[], &[])).stdout(Stdio::null()).spawn().expect("linklock starts");
    let all: Vec<_> = (0..PROCESSES).map(start).collect();
    for child in all {
        crate::support::outcome(child);
    }
    assert_eq!(lines(&scene).len(), 2 * PROCESSES);
    let report = report(&scene);
    assert_eq!((&report["holds"]["count"], &report["holds_without_end"]), (&PROCESSES.into(), &0.into()));
}

#[test]
fn a_journal_that_cannot_be_opened_is_an_error_before_the_lock_is_touched_and_never_keeps_it_held() {
    let scene = Scene::new();
    let missing = scene.dir.path().join("missing/journal");
    let file = scene.dir.path().join("file");
    fs::write(&file, "precious\n").unwrap();
    for bad in [&missing, &file, &scene.dir.path().to_path_buf()] {
        let with = |mut command: Command| {
            command.arg("--journal").arg(bad);
            command
        };
        for subcommand in ["run", "acquire"] {
            let words: &[&str] = if subcommand == "run" { &["-c", "true"] } else { &[] };
            let output = end(with(scene.linklock(subcommand, words)));
            if cfg!(unix) || subcommand == "acquire" {
                assert_exit(&output, 64);
                assert!(stderr(&output).contains("cannot write the journal"), "{}", stderr(&output));
            }
            assert!(!scene.lock.exists());
        }
        let token = scene.acquire_for("none", "1h");
        for (subcommand, words) in
            [("refresh", vec![token.clone()]), ("release", vec![token]), ("break", vec!["--force".into()])]
        {
            let output = end(with(scene.linklock(subcommand, words)));
            assert_exit(&output, 0);
            assert!(stderr(&output).contains("linklock goes on without it"), "{}", stderr(&output));
        }
        assert!(!scene.lock.exists());
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious\n");
}

#[test]
fn a_report_says_what_it_could_not_read() {
    let scene = Scene::new();
    let journal = scene.dir.path().join("journal");
    assert_exit(&end(journaled(&scene, scene.work(&[], &[]))), 0);
    let whole = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, format!("{whole}nonsense\n{whole}{}", &whole[..50])).unwrap();
    let report = report_of(&[&journal, &journal]);
    let read = &report["files"][0];
    assert_eq!((&read["lines"], &read["unreadable"], &read["first_unreadable"]), (&4.into(), &1.into(), &3.into()));
    assert_eq!(read["ends_within_a_line"], true);
    let mut command = linklock(["report"]);
    command.arg(&journal).arg(scene.dir.path().join("missing"));
    let output = end(command);
    assert_exit(&output, 74);
    let (said, complaint) = (stdout(&output), stderr(&output));
    assert!(said.contains("1 lines cannot be read; the first is line 3"), "{said}");
    assert!(said.contains("the last line is incomplete"), "{said}");
    assert!(complaint.contains("missing: cannot read the journal"), "{complaint}");
    // The next writer begins a line of its own.
    assert_exit(&end(journaled(&scene, scene.work(&[], &[]))), 0);
    let read = &report_of(&[&journal])["files"][0];
    assert_eq!((&read["lines"], &read["unreadable"]), (&6.into(), &2.into()));
}

#[test]
fn a_report_is_of_the_time_that_is_asked_for() {
    let scene = Scene::new();
    let journal = scene.dir.path().join("journal");
    assert_exit(&end(journaled(&scene, scene.work(&[], &["sleep:50"]))), 0);
    let [begin, end_of_it] = [0, 1].map(|n| lines(&scene)[n]["time"].as_str().unwrap().to_owned());
    let of = |options: &[&str]| {
        let report = report_with(options, &[&journal]);
        let counts = |lock: &Value| {
            (lock["acquired"].clone(), lock["holds"]["count"].clone(), lock["holds_without_end"].clone())
        };
        (report["locks"].get(0).map(counts), report["since"].clone(), report["until"].clone())
    };
    let counts = |acquired: u32, ended: u32, unended: u32| Some((acquired.into(), ended.into(), unended.into()));
    assert_eq!(of(&[]), (counts(1, 1, 0), Value::Null, Value::Null));
    assert_eq!(of(&["--since", &begin]).0, counts(1, 1, 0));
    assert_eq!(of(&["--since", &end_of_it]), (counts(0, 1, 0), end_of_it.clone().into(), Value::Null));
    assert_eq!(of(&["--until", &end_of_it]), (counts(1, 0, 1), Value::Null, end_of_it.clone().into()));
    assert_eq!(of(&["--since", "24h"]).0, counts(1, 1, 0));
    assert_eq!(of(&["--until", "24h"]).0, None);
    assert_eq!(of(&["--since", "2d", "--until", "1d"]).0, None);
    let mut command = linklock(["report", "--since", &end_of_it]);
    command.arg(&journal);
    assert!(stdout(&end(command)).starts_with(&format!("since {end_of_it}\n")));
    for options in
        [["--since", "tomorrow"], ["--until=1h", "--since=1h"], ["--until=2026-01-01T00:00:00Z", "--since=1h"]]
    {
        let mut command = linklock(["report"]);
        command.args(options).arg(&journal);
        assert_exit(&end(command), 64);
    }
    // Who writes no time is not known to belong there.
    let timeless = fs::read_to_string(&journal).unwrap().replace(&format!("\"{begin}\""), "null");
    fs::write(&journal, timeless).unwrap();
    let report = report_with(&["--since", "1h"], &[&journal]);
    assert_eq!((&report["files"][0]["without_time"], &report["files"][0]["lines"]), (&1.into(), &2.into()), "{report}");
    assert_eq!(report_of(&[&journal])["files"][0]["without_time"], 0);
}

#[test]
fn a_forged_journal_commands_no_terminal() {
    let scene = Scene::new();
    let journal = scene.dir.path().join("journal");
    let forged = r#"{"version":1,"time":"\u001b[2J","event":"acquired","lock":"/a\u001b[2J\n","token":"\u009b","host":"\u202e","user":"\n","command":"\u0007","waited_ms":18446744073709551615}"#;
    fs::write(&journal, format!("{forged}\n{}\n", forged.replace("u009b", "u0090"))).unwrap();
    let mut command = linklock(["report"]);
    command.arg(&journal);
    let said = stdout(&end(command));
    assert!(said.contains("without an end: 2"), "{said}");
    assert!(!said.replace('\n', "").contains(linklock::Printable::escapes), "{said:?}");
    report_of(&[&journal]);
}
