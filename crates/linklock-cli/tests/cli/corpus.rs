//! What earlier versions and flufl.lock have left on disk is read as ever: see crates/linklock/tests/corpus.

use std::collections::BTreeMap;
#[cfg(unix)]
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Scene, assert_exit, end, linklock, not_run, stderr, stdout};

#[path = "../../../linklock/tests/corpus/manifest.rs"]
mod manifest;

use manifest::Case;

/// Other names that a lock may have.
const NAMES: [&str; 4] = ["a job", " job", "jöb", "-n"];

/// Those that not every system allows. With a host's name of up to 64 bytes, a lock's name may have 120.
const NAMES_ON_LINUX: [&str; 7] = ["job ", "job%FF%FE.lock", "a\\job", "a\njob", "%25{lock", "the \"job\"", "{long}"];

/// A case laid out in a directory of its own.
struct Laid {
    case: Case,
    scene: Scene,
}

impl Laid {
    fn out(case: Case) -> Self {
        let scene = Scene::with_lock(case.text("{lock}"));
        // The directories that contenders share are as open as it is.
        #[cfg(unix)]
        fs::set_permissions(scene.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its mode");
        case.lay_out(scene.dir.path());
        if case.expect["status"]["state"] == "expired" {
            // A dir lock lasts at least from its last change: its 20 ms, the resolution of a ctime, and the grace.
            thread::sleep(Duration::from_millis(100));
        }
        Self { case, scene }
    }

    /// `linklock SUBCOMMAND ARGUMENT... LOCKPATH`.
    fn linklock(&self, subcommand: &str, arguments: &[&str]) -> Command {
        let mut command = linklock([subcommand]);
        command.args(["--separator", &self.case.separator.to_string()]).args(arguments).arg("--").arg(&self.scene.lock);
        command
    }

    /// What the manifest expects.
    fn expects(&self, key: &str) -> Option<&Value> {
        self.case.expect.get(key)
    }

    /// A text that the manifest expects, as JSON shows it.
    fn shown(&self, text: &str) -> String {
        self.case.text(text).to_string_lossy().into()
    }

    fn state(&self) -> Value {
        self.status()["state"].clone()
    }

    fn status(&self) -> Value {
        let output = end(self.linklock("status", &["--json"]));
        assert_exit(&output, 0);
        serde_json::from_str(&stdout(&output)).expect("JSON")
    }

    fn token(&self, subcommand: &str, token: &str) -> Command {
        let mut command = self.linklock(subcommand, &[]);
        command.arg(self.case.text(token));
        command
    }

    /// Tries once. Gives the exit status, and the token and the fencing token.
    fn acquire(&self, options: &[&str]) -> (Option<i32>, Vec<String>) {
        self.contend(&[&["--nonblock"], options].concat())
    }

    fn contend(&self, options: &[&str]) -> (Option<i32>, Vec<String>) {
        let usual = ["--quiet", "--pid", "none", "--grace", "10ms", "--fence"];
        let output = end(self.linklock("acquire", &[&usual[..], options].concat()));
        let lines = stdout(&output).lines().map(str::to_owned).collect();
        assert!(output.status.success() || output.status.code() == Some(75), "{}: {}", self.case.name, stderr(&output));
        (output.status.code(), lines)
    }
}

/// Calls `ask` with each case that expects an answer to this question.
fn each(question: &str, mut ask: impl FnMut(&Laid, &Value)) {
    let mut asked = 0;
    for case in Case::all() {
        // The test of processes asks about that one.
        let Some(expected) = case.expect.get(question).cloned().filter(|_| case.name != "here") else { continue };
        asked += 1;
        match case.cannot_be_here() {
            Some(why) => not_run(&why),
            None => ask(&Laid::out(case), &expected),
        }
    }
    assert!(asked > 0, "no case expects {question}");
}

fn check_status(laid: &Laid, expected: &Value) {
    let status = laid.status();
    for (field, value) in expected.as_object().expect("fields") {
        let seen = match &status[field] {
            Value::Array(readers) => readers.iter().map(|reader| reader["token"].clone()).collect(),
            seen => seen.clone(),
        };
        let expected = match value {
            Value::String(text) => laid.shown(text).into(),
            Value::Array(texts) => texts.iter().map(|text| laid.shown(text.as_str().expect("a token"))).collect(),
            value => value.clone(),
        };
        let (mut seen, mut expected) = (seen, expected);
        for list in [&mut seen, &mut expected] {
            if let Value::Array(list) = list {
                list.sort_by_key(Value::to_string);
            }
        }
        // A pid that the test has chosen is a text.
        let is_same = seen == expected || expected.as_str() == Some(&seen.to_string());
        assert!(is_same, "{}: {field} is {seen}, not {expected}: {status}", laid.case.name);
    }
}

#[test]
fn the_status_of_each_is_as_ever() {
    each("status", check_status);
}

#[test]
fn the_expiry_of_each_is_as_ever() {
    each("expires_in_h", |laid, hours| {
        let ms = laid.status()["expires_in_ms"].as_f64().expect("it expires");
        assert_eq!((ms / 3_600_000.0).round(), hours.as_f64().expect("hours"), "{}", laid.case.name);
    });
}

#[test]
fn the_leftovers_of_each_are_known_as_ever() {
    each("clean", |laid, expected| {
        let name = &laid.case.name;
        let output = end(laid.linklock("clean", &["--json"]));
        assert_exit(&output, 0);
        let found: BTreeMap<_, _> = stdout(&output)
            .lines()
            .map(|line| {
                let line: Value = serde_json::from_str(line).expect("JSON");
                let word = |key: &str| line[key].as_str().expect("a text").to_owned();
                let inside =
                    Path::new(&word("path")).strip_prefix(laid.scene.dir.path()).expect("beside it").to_owned();
                (inside.to_string_lossy().replace('\\', "/"), format!("{} {}", word("kind"), word("action")))
            })
            .collect();
        let expected = expected.as_object().expect("names");
        let expected =
            expected.iter().map(|(name, what)| (laid.shown(name), what.as_str().expect("a text").to_owned()));
        assert_eq!(found, expected.collect(), "{name}: left is found, right is the corpus");

        let removable = found.values().filter(|what| what.ends_with("remove")).count();
        let before = laid.scene.names().len();
        assert_exit(&end(laid.linklock("clean", &["--yes", "--quiet"])), 0);
        assert_eq!(laid.scene.names().len(), before - removable, "{name}");
    });
}

#[test]
fn each_is_broken_if_it_has_expired_and_no_other() {
    each("break_expired", |laid, expected| {
        let (name, state) = (&laid.case.name, laid.state());
        let output = end(laid.linklock("break", &["--expired", "--grace", "10ms"]));
        assert_eq!(json!(output.status.code()), *expected, "{name}: {}", stderr(&output));
        let expected = if *expected == 0 { json!("free") } else { state };
        assert_eq!(laid.state(), expected, "{name}");
    });
}

/// Whoever acquires the lock has a fencing token beyond all earlier ones.
#[test]
fn contenders_of_both_protocols_wait_for_each_or_acquire_it_as_ever() {
    for protocol in ["link", "dir"] {
        each("acquire", |laid, expected| {
            let (name, state) = (&laid.case.name, laid.state());
            let (status, lines) = laid.acquire(&["--protocol", protocol]);
            assert_eq!(json!(status), *expected, "{name}, {protocol}");
            let [token, number] = lines.as_slice() else {
                assert_eq!(laid.state(), state, "{name}, {protocol}");
                return;
            };
            let status = laid.status();
            let seen = [&status["state"], &status["protocol"], &status["token"]];
            assert_eq!(seen, ["held", protocol, token], "{name}, {protocol}");
            if let Some(least) = laid.expects("fence_above") {
                let least: u64 = laid.shown(least.as_str().expect("a number")).parse().expect("a number");
                assert_eq!(number.parse(), Ok(least + 1), "{name}, {protocol}");
            }
            assert_exit(&end(laid.token("release", token)), 0);
            assert_eq!(laid.state(), "free", "{name}, {protocol}");
        });
    }
}

#[test]
fn readers_share_what_readers_hold() {
    each("share", |laid, expected| {
        let readers = laid.status()["readers"].as_array().map(Vec::len);
        assert_eq!(json!(laid.acquire(&["--shared"]).0), *expected, "{}", laid.case.name);
        assert_eq!(laid.status()["readers"].as_array().map(Vec::len), readers.map(|number| number + 1));
    });
}

#[test]
fn who_has_the_token_of_a_live_lock_refreshes_and_releases_it() {
    each("tokens", |laid, expected| {
        let name = &laid.case.name;
        for (token, status) in expected.as_object().expect("tokens") {
            for subcommand in ["refresh", "release"] {
                let output = end(laid.token(subcommand, token));
                assert_eq!(json!(output.status.code()), *status, "{name}: {subcommand}: {}", stderr(&output));
            }
            if *status == 0 {
                assert_exit(&end(laid.token("release", token)), 76);
            }
        }
        if expected.as_object().expect("tokens").values().all(|status| *status == 0) {
            assert_eq!(laid.state(), "free", "{name}");
        }
    });
}

/// Those that wait already come first.
#[test]
fn who_queues_up_waits_behind_the_others() {
    each("queue", |laid, expected| {
        let token = laid.case.expect["status"]["token"].as_str().expect("its holder");
        assert_exit(&end(laid.token("release", token)), 0);
        let (status, _) = laid.contend(&["--queue", "--timeout", "300ms"]);
        assert_eq!(json!(status), *expected, "{}", laid.case.name);
        assert_eq!(laid.acquire(&[]).0, Some(0), "{}: who does not queue up takes it", laid.case.name);
    });
}

#[test]
fn slots_are_held_as_ever() {
    each("slots", |laid, expected| {
        let output = end(laid.linklock("status", &["--json", "--slots", "3"]));
        let seen =
            stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<Value>>();
        let tokens = expected
            .as_array()
            .expect("tokens")
            .iter()
            .map(|token| json!(laid.shown(token.as_str().expect("a token"))));
        let tokens: Vec<_> = tokens.chain([Value::Null]).collect();
        assert_eq!(seen.iter().map(|slot| slot["token"].clone()).collect::<Vec<_>>(), tokens, "{}", laid.case.name);
        assert_eq!(laid.acquire(&["--slots", "2"]).0, Some(75), "both are held");
        let (status, lines) = laid.acquire(&["--slots", "3"]);
        assert_eq!((status, lines.last().map(String::as_str)), (Some(0), Some("3")));
    });
}

/// The name of a lock is in the names of its claims, and in their content.
#[test]
fn a_lock_may_have_any_name_that_it_ever_had() {
    let here = if cfg!(target_os = "linux") { &NAMES_ON_LINUX[..] } else { &[] };
    for (name, kind) in NAMES.iter().chain(here).flat_map(|name| [(name, "link-held"), (name, "dir-held")]) {
        let named = || Case::named(kind).with("lock", name).with("long", &"n".repeat(120));
        let laid = Laid::out(named());
        check_status(&laid, &laid.case.expect["status"]);
        let broken = end(laid.linklock("break", &["--expired"]));
        assert_eq!(broken.status.code(), Some(75), "{name}: {}", stderr(&broken));
        for subcommand in ["refresh", "release"] {
            let output = end(laid.token(subcommand, "{claim}"));
            assert_eq!(output.status.code(), Some(0), "{name}, {kind}: {subcommand}: {}", stderr(&output));
        }
        laid.scene.assert_free();
    }
}

/// What identifies a process is computed here once more. If another version computed it in another way, it would take the locks
/// of processes that live for abandoned ones, or wait for those of dead ones.
#[cfg(target_os = "linux")]
#[test]
fn a_process_of_this_machine_is_known_by_its_claim() {
    use std::os::unix::fs::MetadataExt;

    use crate::support::{ended_process, host};

    fn fnv1a(bytes: &[u8]) -> u64 {
        let add = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, add)
    }

    let mut boot = fs::read("/proc/sys/kernel/random/boot_id").expect("Linux has it");
    for namespace in ["/proc/self/ns/pid", "/proc/self/ns/time"] {
        boot.extend(fs::metadata(namespace).map_or(0, |data| data.ino()).to_le_bytes());
    }
    let boot = fnv1a(&boot);
    let boot = (boot ^ boot >> 32) & 0xffff_ffff;
    let begin = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        // proc_pid_stat(5): the 22nd field; the third comes after the name.
        let after_name = stat.rsplit(") ").next().expect("fields");
        let start: u64 = after_name.split(' ').nth(19).expect("a field").parse().expect("a number");
        let start = fnv1a(&start.to_le_bytes());
        let start = (start ^ start >> 22 ^ start >> 44) & 0x3f_ffff;
        // The lifetime of the case: an hour.
        format!("{:016x}", (boot << 22 | start) << 10 | 0x11c)
    };
    let laid = |pid: &str, process: &str| {
        let words = [("host", host().as_str()), ("pid", pid), ("process", process)].map(|(a, b)| (a, b.to_owned()));
        Laid::out(words.iter().fold(Case::named("here"), |case, (word, text)| case.with(word, text)))
    };
    let mut process = None;
    ended_process(|pid| {
        let laid = laid(pid, &begin(pid));
        check_status(&laid, &laid.case.expect["status"]);
        assert_eq!(laid.acquire(&[]).0, Some(75), "its process lives");
        process = Some((pid.to_owned(), begin(pid)));
    });
    let (pid, process) = process.expect("it ran");
    let laid = laid(&pid, &process);
    assert_eq!(laid.state(), "abandoned");
    assert_eq!(laid.acquire(&[]).0, Some(0), "its process has ended");
}
