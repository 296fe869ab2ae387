//! Judges a history: `judge FILE...`. All files together are one history, of one clock.
//!
//! Exit status 0: nothing is wrong; 1: a violation, and a line for each says what; 2: the files are no history.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::process::ExitCode;

use linklock_history::History;

fn main() -> io::Result<ExitCode> {
    let files: Vec<_> = std::env::args_os().skip(1).collect();
    let mut history = History::default();
    for file in &files {
        let read = File::open(file).and_then(|content| history.read(BufReader::new(content)));
        if let Err(e) = read {
            writeln!(io::stderr(), "judge: {}: {e}", file.display())?;
            return Ok(ExitCode::from(2));
        }
    }
    match history.judge() {
        Ok((tally, _)) if tally.holds == 0 => {
            writeln!(io::stderr(), "judge: nothing to judge: no holds in {} files", files.len())?;
            Ok(ExitCode::from(2))
        }
        Ok((tally, broken)) => {
            for broken in &broken {
                writeln!(io::stdout(), "VIOLATION: {broken}")?;
            }
            writeln!(io::stdout(), "judged: {tally}")?;
            Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(e) => {
            writeln!(io::stderr(), "judge: {e}")?;
            Ok(ExitCode::from(2))
        }
    }
}
