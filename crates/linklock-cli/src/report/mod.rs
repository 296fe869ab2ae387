//! `report`: what the journals say of each lock.

mod histogram;
mod lines;
mod show;
mod tally;

use std::fs::File;
use std::io::{BufReader, Write};

use linklock::Printable;

use self::lines::Lines;
use self::tally::Tally;
use crate::args::ReportArgs;
use crate::console::{Console, json};
use crate::exit::{Exit, Failure};

/// A file that cannot be read does not stop it from reading the others.
pub(crate) fn report(args: &ReportArgs, console: Console) -> Result<Exit, Failure> {
    let (mut tally, mut files, mut exit) = (Tally::default(), Vec::new(), Exit::Done);
    for path in &args.files {
        let mut lines = Lines::default();
        let read = File::open(path).and_then(|file| lines.read(BufReader::new(file), |line| tally.add(line)));
        if let Err(e) = read {
            console.error(&format!("{}: cannot read the journal: {e}", Printable::new(path)));
            exit = Exit::Io;
        }
        files.push((path.to_string_lossy().into_owned(), lines));
    }
    tally.finish();
    let report = show::Report::new(&tally, &files);
    let mut stdout = anstream::stdout().lock();
    if args.json {
        writeln!(stdout, "{}", json(&report)?)?;
    } else {
        stdout.write_all(report.to_string().as_bytes())?;
    }
    stdout.flush()?;
    Ok(exit)
}
