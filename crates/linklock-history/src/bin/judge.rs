//! Judges a history: `judge [--json] FILE...`. All files together are one history, of one clock.
//!
//! Exit status 0: nothing is wrong; 1: a violation, and a line for each says what; 2: the files are no history, or have no hold.
//! With --json, a judged history gives one object: `tally` and `violations`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::process::ExitCode;

use linklock_history::{Broken, History, Tally};

fn main() -> io::Result<ExitCode> {
    let mut files: Vec<_> = std::env::args_os().skip(1).collect();
    let is_json = files.first().is_some_and(|word| word == "--json");
    if is_json {
        files.remove(0);
    }
    match judge(&files) {
        Ok((tally, broken)) => {
            report(is_json, &tally, &broken)?;
            Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(e) => {
            writeln!(io::stderr(), "judge: {e}")?;
            Ok(ExitCode::from(2))
        }
    }
}

fn judge(files: &[OsString]) -> Result<(Tally, Vec<Broken>), String> {
    let mut history = History::default();
    for file in files {
        let read = File::open(file).and_then(|content| history.read(BufReader::new(content)));
        read.map_err(|e| format!("{}: {e}", file.display()))?;
    }
    let (tally, broken) = history.judge()?;
    if tally.holds == 0 { Err(format!("there are no holds in {} files", files.len())) } else { Ok((tally, broken)) }
}

fn report(is_json: bool, tally: &Tally, broken: &[Broken]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if is_json {
        let violations: Vec<_> = broken.iter().map(Broken::to_string).collect();
        return writeln!(out, "{}", serde_json::json!({ "tally": tally, "violations": violations }));
    }
    for broken in broken {
        writeln!(out, "VIOLATION: {broken}")?;
    }
    writeln!(out, "judged: {tally}")
}
