//! `ls`: every lock of a directory, who holds it, who waits, since when, and whether it is safe to break.

mod age;
mod document;
mod listing;
mod prometheus;
mod row;
mod screen;
mod table;

use std::io::{IsTerminal, Write, stdout};
use std::thread;

use self::listing::Listing;
use crate::args::LsArgs;
use crate::console::{Console, json};
use crate::exit::{Exit, Failure};
use crate::journal::Journal;
use crate::os::{stdout_is_closed, terminal};

/// An error does not stop it from listing the rest. The first error decides the exit status.
pub(crate) fn ls(args: &LsArgs, journal: &Journal, console: Console) -> Result<Exit, Failure> {
    let Some(interval) = args.watch else { return once(args, console, false) };
    if !args.json && screen::is_possible() {
        return screen::watch(args, interval, journal);
    }
    let redraws = !args.json && stdout().is_terminal() && terminal::understands_escapes();
    loop {
        let exit = once(args, console, redraws)?;
        // Nobody reads on.
        if exit == Exit::Done && stdout_is_closed() {
            return Ok(exit);
        }
        thread::sleep(interval);
    }
}

fn once(args: &LsArgs, console: Console, redraws: bool) -> Result<Exit, Failure> {
    let listing = Listing::of(args);
    let (locks, older) = listing.chosen(args);
    let mut out = anstream::stdout().lock();
    if args.json {
        writeln!(out, "{}", json(&document::document(&listing, &locks))?)?;
    } else if args.prometheus {
        write!(out, "{}", prometheus::metrics(&listing, &locks))?;
    } else {
        let columns = redraws.then(|| terminal::columns(stdout())).flatten();
        let mut text = table::table(&locks, listing.now, columns);
        if args.watch.is_some() {
            text = format!("{}\n{text}", humantime::format_rfc3339_seconds(listing.now));
        }
        // Home, the new text, and away with the rest of the old: nothing flickers, and there is nothing to restore at the end.
        let (home, rest) = if redraws { ("\x1b[H", "\x1b[J") } else { ("", "") };
        let line_end = if redraws { "\x1b[K\n" } else { "\n" };
        write!(out, "{home}{}{rest}", text.replace('\n', line_end))?;
    }
    out.flush()?;
    for failure in &listing.failures {
        failure.report(console);
    }
    Ok(match listing.failures.first() {
        Some(failure) => failure.exit(),
        None => older.exit(),
    })
}
