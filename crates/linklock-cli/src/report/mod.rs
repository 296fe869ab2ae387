//! `report`: what the journals say of each lock.

mod histogram;
mod lines;
mod show;
mod tally;
mod window;

use std::fs::File;
use std::io::{BufReader, Write};

use linklock::Printable;

use self::lines::Lines;
use self::tally::Tally;
use self::window::{When, Window};
use crate::args::ReportArgs;
use crate::console::{Console, json};
use crate::exit::{Exit, Failure};
use crate::journal::line::Line;

/// A file that cannot be read does not stop it from reading the others.
pub(crate) fn report(args: &ReportArgs, console: Console) -> Result<Exit, Failure> {
    let window = Window { since: args.since, until: args.until };
    if let (Some(since), Some(until)) = (window.since, window.until)
        && since >= until
    {
        return Err(Failure::Message(Exit::Usage, "--since must be before --until".into()));
    }
    let (mut tally, mut files, mut exit) = (Tally::of(window), Vec::new(), Exit::Done);
    for path in &args.files {
        let mut lines = Lines::default();
        let mut without_time = 0;
        let take = |line: Line| {
            without_time += u64::from(window.when(line.time.as_deref()) == When::NotKnown);
            tally.add(line);
        };
        let read = File::open(path).and_then(|file| lines.read(BufReader::new(file), take));
        lines.without_time = without_time;
        if let Err(e) = read {
            console.error(&format!("{}: cannot read the journal: {e}", Printable::new(path)));
            exit = Exit::Io;
        }
        files.push((path.to_string_lossy().into_owned(), lines));
    }
    tally.finish();
    let report = show::Report::new(window, &tally, &files);
    let mut stdout = anstream::stdout().lock();
    if args.json {
        writeln!(stdout, "{}", json(&report)?)?;
    } else {
        stdout.write_all(report.to_string().as_bytes())?;
    }
    stdout.flush()?;
    Ok(exit)
}
