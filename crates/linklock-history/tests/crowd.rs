//! A crowd of real processes, recorded and judged: what is right passes, and what is planted is caught. The soak does the same for
//! hours.
#![cfg(unix)]

use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use linklock_history::{Broken, Event, History, Tally};
use rustix::time::{ClockId, clock_gettime};

/// By then the crowd must have done what is waited for, on any machine.
const PATIENCE: Duration = Duration::from_secs(120);
const CROWD: usize = 5;

/// Processes that contend for one lock, in a directory of their own.
struct Crowd {
    dir: tempfile::TempDir,
    members: Vec<(String, Child)>,
}

impl Crowd {
    /// Each gets these words for the command line, and the first one also `first`. DIR stands for the directory.
    fn gather(all: &[&str], first: &[&str]) -> Self {
        let mut crowd = Self { dir: tempfile::tempdir().expect("a directory"), members: Vec::new() };
        fs::write(crowd.path("counter"), [0; 8]).expect("a counter");
        for number in 0..CROWD {
            let more = if number == 0 { first } else { &[] };
            crowd.join(&format!("p{number}"), &[all, more].concat());
        }
        crowd
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn join(&mut self, name: &str, words: &[&str]) {
        let test = std::env::current_exe().expect("this program's path");
        let program = test.ancestors().nth(2).expect("the build's directory").join("examples/soak");
        let path = |key: &str, file: &str| format!("{key}={}", self.path(file).display());
        let words = words.iter().map(|word| word.replace("DIR", &self.dir.path().display().to_string()));
        let child = Command::new(&program)
            .arg(self.path("lock"))
            .args([&format!("name={name}"), "lifetime_ms=2000", "grace_ms=2000", "recover=1", "think_ms=10"])
            .args([path("history", "history"), path("doing", name), path("stop", "stop")])
            .args(words)
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        self.members.push((name.into(), child));
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let began = Instant::now();
        while !is_so(&self.text("history")) {
            assert!(began.elapsed() < PATIENCE, "it did not happen: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill_one(&mut self) {
        let (process, mut child) = self.members.pop().expect("a process");
        let at = now();
        child.kill().and_then(|()| child.wait()).expect("it is killed");
        let line = serde_json::to_string(&Event::Killed { at, gone: now(), process }).expect("a line") + "\n";
        let mut history = File::options().append(true).open(self.path("history")).expect("the history");
        history.write_all(line.as_bytes()).expect("the history is written");
    }

    /// Ends all in order, and judges.
    fn judge(&mut self) -> (Tally, Vec<Broken>) {
        fs::write(self.path("stop"), "").expect("a stop sign");
        for (name, mut child) in self.members.drain(..) {
            let status = child.wait().expect("its end");
            assert!(status.success(), "{name}: {status}, see above");
        }
        let mut history = History::default();
        history
            .read(BufReader::new(File::open(self.path("history")).expect("the history")))
            .expect("lines of a history");
        history.judge().expect("a whole history")
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // After a failed test.
        for (_, child) in &mut self.members {
            drop(child.kill().and_then(|()| child.wait()));
        }
    }
}

#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// On the clock of the history.
fn now() -> u64 {
    let now = clock_gettime(CLOCK);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32).as_nanos() as u64
}

/// How often the lock was acquired.
fn holds(history: &str) -> usize {
    history.matches("\"acquired\"").count()
}

/// Whether the careless process has let go what it did not hold.
fn is_over(history: &str) -> bool {
    history.lines().any(|line| line.contains("\"released\"") && line.contains("\"careless-"))
}

fn has_overlap(broken: &[Broken]) -> bool {
    broken.iter().any(|broken| matches!(broken, Broken::Overlap(_)))
}

#[test]
fn a_crowd_of_which_some_are_killed_passes() {
    let mut crowd = Crowd::gather(&["calm=1", "fence=1", "register=DIR/register"], &[]);
    for _ in 0..2 {
        let before = holds(&crowd.text("history"));
        crowd.wait_until("ten more holds", |history| holds(history) >= before + 10);
        crowd.kill_one();
    }
    let (tally, broken) = crowd.judge();
    assert_eq!(broken, [], "{tally}");
    assert!(tally.holds >= 20 && tally.operations >= 20, "{tally}");
}

#[test]
fn a_process_that_ignores_the_lock_and_writes_with_an_old_token_is_caught() {
    let mut crowd = Crowd::gather(&["calm=1", "fence=1", "register=DIR/register"], &["careless=2"]);
    crowd.wait_until("one was careless", is_over);
    let (tally, broken) = crowd.judge();
    let is_stale = broken.iter().any(|broken| matches!(broken, Broken::Register { .. }));
    assert!(has_overlap(&broken) && is_stale, "{tally}: {broken:?}");
}

#[test]
fn a_process_that_counts_without_the_lock_is_caught_by_the_counter_and_by_the_judge() {
    let mut crowd = Crowd::gather(&["counter=DIR/counter", "tally=DIR/tally"], &["careless=2"]);
    crowd.wait_until("one was careless", is_over);
    let (tally, broken) = crowd.judge();
    assert!(has_overlap(&broken), "{tally}: {broken:?}");
    let counted = crowd.text("tally").lines().count() as u64;
    let counter =
        fs::read(crowd.path("counter")).expect("the counter").try_into().map(u64::from_ne_bytes).expect("8 bytes");
    assert!(counter < counted, "updates are lost, but the counter is at {counter} after {counted} increments");
}

#[test]
fn the_program_says_what_it_judged() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("history");
    let judge = |lines: &[&str]| {
        fs::write(&file, lines.join("\n")).expect("a history");
        let done = Command::new(env!("CARGO_BIN_EXE_judge")).arg(&file).output().expect("the judge");
        (done.status.code(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    };
    let hold = |token: &str, since: u64| {
        let until = since + 100;
        format!(
            r#"{{"is":"acquired","lock":"l","hold":"{token}","process":"p","asked":1,"at":{since},"until":{until}}}"#
        )
    };
    let (one, next, overlapping) = (hold("a", 5), hold("b", 105), hold("c", 104));
    assert_eq!(judge(&[&one, &next]).0, Some(0));
    let (status, said) = judge(&[&one, &overlapping]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("VIOLATION: two holders at once") && said.contains("2 holds of 1 locks"), "{said}");
    let ends = r#"{"is":"lost","hold":"a","at":1}"#;
    for (lines, why) in [(&[][..], "no holds"), (&["{"], "line 1"), (&[ends], "never acquired")] {
        let (status, said) = judge(lines);
        assert_eq!(status, Some(2), "{lines:?}: {said}");
        assert!(said.contains(why), "{lines:?}: {said}");
    }
}
