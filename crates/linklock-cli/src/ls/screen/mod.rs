//! `ls --watch` on a terminal: a table with keys.
//!
//! One thread looks, one reads keys, one ends linklock if need be, and each break has one: a file server that does not answer holds up none of the others.

mod columns;
mod display;
mod entry;
mod model;
#[cfg(test)]
mod tests;
mod text;
mod view;

use std::io::{self, IsTerminal, stdin, stdout};
use std::path::{PathBuf, absolute};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, Builder};
use std::time::{Duration, Instant, SystemTime};

use linklock::{ErrorKind, Printable, Which};
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use self::display::{Display, give_back, was_given_back};
use self::entry::Look;
use self::model::{Action, Model, Order};
use super::listing::builder;
use crate::args::LsArgs;
use crate::commands::break_in_journal;
use crate::console::printable;
use crate::exit::{Exit, Failure};
use crate::journal::Journal;
use crate::os::{Signals, Stops, die_by, terminal};
use crate::status::describe;

/// What a thread reports.
enum Report {
    Key(io::Result<Event>),
    Asked(SystemTime),
    Seen(Look),
    Broken(String),
}

/// Signals are noticed after this time.
const TICK: Duration = Duration::from_millis(100);

/// The first line counts seconds. By then it is also noticed that the terminal is gone.
const REDRAWN_AFTER: Duration = Duration::from_secs(1);

/// A signal is acted upon at most twice as late.
const SIGNAL_WITHIN: Duration = Duration::from_secs(1);

/// Whether standard input and output are a terminal whose size is known.
pub(super) fn is_possible() -> bool {
    stdin().is_terminal()
        && stdout().is_terminal()
        && terminal::understands_escapes()
        && terminal::columns(stdout()).is_some()
}

pub(super) fn watch(args: &LsArgs, interval: Duration, journal: &Journal) -> Result<Exit, Failure> {
    let args = Arc::new(args.clone());
    let (signals, stops) = (Arc::new(Signals::catch()?), Stops::catch()?);
    let (sender, reports) = channel();
    let look_again = start_looks(Arc::clone(&args), interval, sender.clone())?;
    let mut display = Display::enter()?;
    start_keys(sender.clone())?;
    start_end(Arc::clone(&signals))?;
    let mut model = Model::new(title(&args));
    let mut drawn: Option<Instant> = None;
    loop {
        if let Some(signal) = signals.any() {
            return Ok(Exit::Signal(signal));
        }
        if was_given_back() {
            return Err(Failure::Message(Exit::Io, "a part of linklock has failed; see above".into()));
        }
        if stops.was_asked() {
            display.lend(|| stops.stop(false))?;
            drawn = None;
        } else if stops.has_continued() {
            // The shell may have changed the terminal meanwhile.
            display.lend(|| ())?;
            drawn = None;
        }
        if drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAWN_AFTER) {
            let paint = display.paint;
            let done = display.terminal.draw(|frame| view::draw(frame, &mut model, paint, SystemTime::now())).map(drop);
            if done.is_err() && terminal::has_hung_up(stdin()) {
                return Ok(Exit::Done);
            }
            done?;
            drawn = Some(Instant::now());
        }
        let action = match reports.recv_timeout(TICK) {
            Ok(Report::Key(event)) => heed(&mut model, event?),
            Ok(Report::Asked(at)) => {
                model.asked = Some(at);
                Action::Nothing
            }
            Ok(Report::Seen(look)) => {
                model.show(look);
                Action::Nothing
            }
            Ok(Report::Broken(message)) => {
                model.broke(message);
                let _ = look_again.send(());
                Action::Nothing
            }
            // This thread has a sender, so they never all end.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => continue,
        };
        drawn = None;
        match action {
            Action::Nothing => {}
            Action::Quit => return Ok(Exit::Done),
            Action::Redraw => display.forget()?,
            Action::Stop => display.lend(|| stops.stop(true))?,
            Action::Break(order) => start_break(&args, order, journal.clone(), sender.clone())?,
        }
    }
}

/// What is listed.
fn title(args: &LsArgs) -> String {
    let whole = |path: &PathBuf| Printable::new(&absolute(path).unwrap_or_else(|_| path.clone())).to_string();
    let paths: Vec<_> = args.paths.iter().map(whole).collect();
    format!("linklock ls{} {}", if args.recursive { " -r" } else { "" }, paths.join(" "))
}

fn heed(model: &mut Model, event: Event) -> Action {
    match event {
        // Windows also tells when a key is let go.
        Event::Key(key) if key.kind != KeyEventKind::Release => model.press(key),
        Event::Paste(text) => {
            model.paste(&text);
            Action::Nothing
        }
        // The next frame has the new size.
        _ => Action::Nothing,
    }
}

/// Looks again and again. What is sent to the result makes it look at once.
fn start_looks(args: Arc<LsArgs>, interval: Duration, sender: Sender<Report>) -> io::Result<Sender<()>> {
    let (again, wanted): (_, Receiver<()>) = channel();
    let looks = move || {
        while sender.send(Report::Asked(SystemTime::now())).is_ok()
            && sender.send(Report::Seen(Look::now(&args))).is_ok()
            && wanted.recv_timeout(interval) != Err(RecvTimeoutError::Disconnected)
        {}
    };
    Builder::new().name("linklock-look".into()).spawn(looks)?;
    Ok(again)
}

/// Once the terminal is gone, crossterm asks it for keys without end: whoever draws must notice it.
fn start_keys(sender: Sender<Report>) -> io::Result<()> {
    let keys = move || {
        loop {
            let event = event::read();
            let is_last = event.is_err();
            if sender.send(Report::Key(event)).is_err() || is_last {
                return;
            }
        }
    };
    Builder::new().name("linklock-keys".into()).spawn(keys)?;
    Ok(())
}

/// Ends linklock by a signal upon which the first thread does not act, because it writes on a terminal that takes no output.
fn start_end(signals: Arc<Signals>) -> io::Result<()> {
    let end = move || {
        let mut before = None;
        loop {
            thread::sleep(SIGNAL_WITHIN);
            let signal = signals.any();
            if let Some(signal) = signal.filter(|_| signal == before) {
                give_back();
                die_by(signal);
            }
            before = signal;
        }
    };
    Builder::new().name("linklock-end".into()).spawn(end)?;
    Ok(())
}

fn start_break(args: &Arc<LsArgs>, order: Order, journal: Journal, sender: Sender<Report>) -> io::Result<()> {
    let args = Arc::clone(args);
    let carry_out = move || {
        let told = match break_claims(&args, &order, &journal) {
            Ok(told) => told,
            Err(failure) => failure.to_string(),
        };
        // Nobody hears it if the user has quit.
        let _ = sender.send(Report::Broken(printable(&told)));
    };
    Builder::new().name("linklock-break".into()).spawn(carry_out)?;
    Ok(())
}

/// Breaks what was shown. A claim that no longer holds the lock is passed over.
fn break_claims(args: &LsArgs, order: &Order, journal: &Journal) -> Result<String, Failure> {
    let lock = builder(args, &order.path).build()?;
    let (mut broken, mut last, mut why) = (0, None, None);
    for claim in &order.claims {
        match break_in_journal(&lock, &Which::Claim(claim.clone()), args.separator, journal) {
            Ok(status) => {
                broken += 1;
                last = status.or(last);
            }
            Err(Failure::Lock(e)) if e.kind() == ErrorKind::NotHeld => why = Some(e),
            Err(failure) => return Err(failure),
        }
    }
    let path = Printable::new(lock.path());
    Ok(match (last, why) {
        (Some(status), None) if broken == 1 => format!("{path}: broken; it was {}", describe(&status)),
        (None, Some(why)) => format!("not broken, because the lock has changed hands since it was shown: {why}"),
        _ => format!("{path}: broken; {broken} of the {} that were shown held it", order.claims.len()),
    })
}
