//! All that --json prints is as docs/schema/linklock.json says.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use crate::support::{Running, Scene, end, ended_process, eventually, here, linklock, stdout};

struct Schema {
    schemas: Schemas,
    part: SchemaIndex,
}

impl Schema {
    /// The part that describes this subcommand's output.
    fn of(subcommand: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema/linklock.json");
        let text = fs::read_to_string(path).expect("the schema is there");
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("schema:linklock", serde_json::from_str(&text).expect("JSON")).expect("a schema");
        let part = compiler.compile(&format!("schema:linklock#/$defs/{subcommand}"), &mut schemas).expect("a schema");
        Self { schemas, part }
    }

    fn fits(&self, value: &Value) -> Result<(), String> {
        self.schemas.validate(value, self.part).map_err(|e| format!("{e}\n{value:#}"))
    }

    /// Checks each line that the command prints. Gives how many there are.
    #[track_caller]
    fn check(&self, command: Command) -> usize {
        let output = end(command);
        let text = stdout(&output);
        for line in text.lines() {
            let value = serde_json::from_str(line).expect("a line is JSON");
            self.fits(&value).unwrap_or_else(|e| panic!("{e}"));
        }
        text.lines().count()
    }
}

/// Locks of each state and protocol, waiters and leftovers. The lock paths.
fn crowd(scene: &Scene) -> (Vec<Running>, Vec<std::process::Child>) {
    let at = |name: &str| scene.dir.path().join(name);
    let acquire = |name: &str, options: &[&str]| {
        let mut command = linklock(["acquire"]);
        command.args(options).arg(at(name));
        assert!(end(command).status.success());
    };
    let for_nobody = |name: &str, lifetime, protocol| {
        acquire(name, &["--pid", "none", "--lifetime", lifetime, "--protocol", protocol]);
    };
    for protocol in ["link", "dir"] {
        for_nobody(&format!("held.{protocol}"), "1h", protocol);
        for_nobody(&format!("expired.{protocol}"), "10ms", protocol);
        ended_process(|pid| acquire(&format!("dead.{protocol}"), &["--pid", pid, "--protocol", protocol]));
    }
    fs::write(at("file"), "a user's file").expect("our own directory");
    let claim = at(&here("left|elsewhere|1|2"));
    fs::write(&claim, claim.to_str().expect("UTF-8")).expect("our own directory");
    let claim = fs::File::options().write(true).open(claim).expect("our own directory");
    claim.set_modified(SystemTime::now() - Duration::from_secs(3600)).expect("our own directory");
    let mut holders = vec![Running::start(scene.work(&[], &["say:ready", "repeat"]))];
    if cfg!(unix) {
        let shared = Scene { lock: at("shared"), dir: tempfile::tempdir().expect("our own directory") };
        holders.push(Running::start(shared.work(&["--shared"], &["say:ready", "repeat"])));
    }
    let mut command = scene.work(&["--queue"], &[]);
    let waiting = vec![command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("linklock starts")];
    let queue = at(&here("job.lock|queue"));
    eventually("a ticket", || fs::read_dir(&queue).is_ok_and(|mut names| names.next().is_some()));
    (holders, waiting)
}

#[test]
fn all_json_that_is_printed_fits_the_schema() {
    let scene = Scene::new();
    let (holders, mut waiting) = crowd(&scene);
    let with = |arguments: &[&str], paths: &[&Path]| {
        let mut command = linklock(arguments);
        command.args(paths);
        command
    };
    let dir = scene.dir.path();
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| !path.to_str().unwrap().contains(linklock::SEPARATOR));
    let paths: Vec<_> = paths.iter().map(|path| &**path).chain([Path::new("no-lock-here")]).collect();
    assert_eq!(Schema::of("status").check(with(&["status", "--json"], &paths)), paths.len());
    assert!(Schema::of("clean").check(with(&["clean", "--json"], &[dir])) >= 3);
    assert_eq!(Schema::of("ls").check(with(&["ls", "--json"], &[dir])), 1);
    assert_eq!(Schema::of("ls").check(with(&["ls", "--json"], &[dir, Path::new("no-lock-here")])), 1);
    for holder in holders {
        holder.let_end();
    }
    for child in &mut waiting {
        child.wait().unwrap();
    }
    assert!(Schema::of("clean").check(with(&["clean", "--json", "--yes"], &[dir])) >= 1);
}

/// Windows has no doctor.
#[cfg(unix)]
#[test]
fn what_the_doctor_prints_fits_the_schema() {
    let scene = Scene::new();
    let mut command = linklock(["doctor", "--json"]);
    command.arg(scene.dir.path());
    assert_eq!(Schema::of("doctor").check(command), 1);
}

/// A schema that allows everything would be of no use.
#[test]
fn the_schema_refuses_what_it_does_not_describe() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    let mut command = linklock(["ls", "--json"]);
    command.arg(scene.dir.path());
    let document: Value = serde_json::from_str(&stdout(&end(command))).unwrap();
    let ls = Schema::of("ls");
    ls.fits(&document).unwrap();
    for (at, wrong) in [
        ("/version", json!(2)),
        ("/time", json!("yesterday")),
        ("/locks/0/state", json!("broken")),
        ("/locks/0/held_at_least_ms", json!(-1)),
        ("/locks/0/safe_to_break/answer", json!("maybe")),
        ("/locks/0/waiters", json!([{}])),
    ] {
        let mut changed = document.clone();
        *changed.pointer_mut(at).expect(at) = wrong;
        assert!(ls.fits(&changed).is_err(), "{at}");
    }
    let lock = document["locks"][0].as_object().unwrap();
    for field in lock.keys() {
        let mut changed = document.clone();
        changed["locks"][0].as_object_mut().unwrap().remove(field);
        assert!(ls.fits(&changed).is_err(), "{field} is required");
    }
}
