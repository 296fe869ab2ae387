//! Output for people. All output but tokens and help passes here, and text that others wrote is escaped.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use anstream::ColorChoice;
use anstyle::{AnsiColor, Style};
use linklock::Printable;
use serde::Serialize;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::set_global_default;
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatFields};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{Layer, Registry};

/// How much the user wants to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
}

/// Chooses for anstream whether to colour stdout and stderr.
pub(crate) fn choose_colors(when: clap::ColorChoice) {
    let choice = match when {
        clap::ColorChoice::Auto => ColorChoice::Auto,
        clap::ColorChoice::Always => ColorChoice::Always,
        clap::ColorChoice::Never => ColorChoice::Never,
    };
    choice.write_global();
}

/// An error that may not be printed yet.
#[derive(Debug)]
pub(crate) enum Report {
    Started(Receiver<()>),
    /// There was no thread for it.
    NotYet(Console, String),
}

/// How long linklock waits in the end for a reader of stderr.
const PRINTS_WITHIN: Duration = Duration::from_secs(1);

impl Report {
    /// Waits until it is printed, but not for ever.
    pub(crate) fn finish(self) {
        match self {
            Self::Started(printed) => drop(printed.recv_timeout(PRINTS_WITHIN)),
            Self::NotYet(console, message) => console.error(&message),
        }
    }
}

impl Console {
    /// Prints an error.
    pub(crate) fn error(self, message: &str) {
        // If stderr is gone nobody can read it.
        let _ = Stderr.write_all(format!("{} {}\n", prefix(), printable(message)).as_bytes());
    }

    /// Prints an error in a thread of its own: whoever reads stderr may be slow, and what linklock does next is not to wait for that.
    pub(crate) fn error_without_waiting(self, message: String) -> Report {
        let (sender, printed) = mpsc::channel();
        let theirs = message.clone();
        let print = move || {
            self.error(&theirs);
            let _ = sender.send(());
        };
        match Builder::new().name("linklock-report".into()).spawn(print) {
            Ok(_) => Report::Started(printed),
            Err(_) => Report::NotYet(self, message),
        }
    }

    /// Prints a hint on stderr, where stdout has another use.
    pub(crate) fn hint(self, message: &str) {
        if !self.quiet {
            self.error(message);
        }
    }

    /// Prints on stdout what was done.
    pub(crate) fn note(self, message: &str) -> io::Result<()> {
        if self.quiet { Ok(()) } else { writeln!(io::stdout().lock(), "{}", printable(message)) }
    }

    /// From here on prints on stderr what the library logs: with --verbose everything, else only its warnings of directories
    /// that others may write to. Whoever is to `hear` gets all.
    pub(crate) fn show_events(self, hear: Option<Hear>) {
        let events = tracing_subscriber::fmt()
            .with_writer(|| Stderr)
            .fmt_fields(Fields)
            // If stderr cannot be written, to report that on stderr would panic, while the lock is held.
            .log_internal_errors(false);
        let level = if self.verbose || hear.is_some() { LevelFilter::DEBUG } else { LevelFilter::WARN };
        if self.verbose {
            subscribe(events.with_ansi(false).with_target(false).with_max_level(level).finish(), hear);
        } else if !self.quiet {
            subscribe(events.with_max_level(level).event_format(warning as FormatWarning).finish(), hear);
        } else if hear.is_some() {
            subscribe(Registry::default(), hear);
        }
    }
}

/// What `keep_errors` keeps. `None`: stderr is written at once.
static KEPT: Mutex<Option<Vec<u8>>> = Mutex::new(None);

/// More than a user reads, but not all that hours of --verbose can say.
const KEPT_MOST: usize = 64 * 1024;

/// From here on nothing is written on stderr, where it would disturb a full screen.
pub(crate) fn keep_errors() {
    kept().get_or_insert_default();
}

/// Writes what was kept, and writes at once from here on.
pub(crate) fn print_kept_errors() {
    // It is unlocked while whoever reads stderr is slow.
    let text = kept().take();
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        let _ = anstream::stderr().lock().write_all(&text);
    }
}

fn kept() -> MutexGuard<'static, Option<Vec<u8>>> {
    // A panic while it was locked leaves a part of a line at most.
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Standard error, unless it is kept for later.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut kept = kept();
        match &mut *kept {
            Some(kept) if kept.len() + text.len() <= KEPT_MOST => kept.extend(text),
            Some(_) => {}
            None => {
                drop(kept);
                anstream::stderr().lock().write_all(text)?;
            }
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        anstream::stderr().lock().flush()
    }
}

/// What gets the library's events, beside the user.
pub(crate) type Hear = Box<dyn Fn(&Event<'_>) + Send + Sync>;

struct Ear(Hear);

impl<S: Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        (self.0)(event);
    }
}

fn subscribe(shown: impl Subscriber + Send + Sync + 'static, hear: Option<Hear>) {
    // Nobody else has set a subscriber, so neither fails.
    let _ = match hear {
        None => set_global_default(shown),
        Some(hear) => set_global_default(shown.with(Ear(hear))),
    };
}

/// The beginning of each message.
fn prefix() -> String {
    const RED: Style = AnsiColor::Red.on_default().bold();
    format!("{RED}linklock:{RED:#}")
}

/// Formats log fields, and escapes in them what a terminal would act upon.
struct Fields;

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut text = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut text), fields)?;
        writer.write_str(&printable(&text))
    }
}

type FormatWarning = fn(&FmtContext<'_, Registry, Fields>, Writer<'_>, &Event<'_>) -> fmt::Result;

/// What a user is to hear of, without --verbose: others may remove the lock, or the file system may not be fit for it.
const WARNINGS: [&str; 2] = ["linklock::private", "linklock::file_system"];

/// Formats these warnings, and drops all other events.
fn warning(context: &FmtContext<'_, Registry, Fields>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
    if !WARNINGS.contains(&event.metadata().target()) {
        return Ok(());
    }
    write!(writer, "{} warning: ", prefix())?;
    context.format_fields(writer.by_ref(), event)?;
    writeln!(writer)
}

/// One line, in which everything that a terminal would act upon is escaped: others may have written the names in it.
pub(crate) fn printable(text: &str) -> String {
    Printable::new(text).to_string()
}

/// The version of all JSON that linklock prints: docs/operating.md says what it promises.
pub(crate) const VERSION: u32 = 1;

/// An object with its version. The version comes last, so that the fields before it stay where they were.
#[derive(Serialize)]
pub(crate) struct Versioned<T> {
    #[serde(flatten)]
    object: T,
    version: u32,
}

impl<T> Versioned<T> {
    pub(crate) fn new(object: T) -> Self {
        Self { object, version: VERSION }
    }
}

/// One line of JSON. Everything that a terminal would act upon becomes a JSON escape, so a parser reads the same text.
pub(crate) fn json(line: &impl Serialize) -> io::Result<String> {
    let text = serde_json::to_string(line)?;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if Printable::escapes(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_a_terminal_would_act_upon_is_escaped() {
        assert_eq!(printable("host\x1b[2J\u{9b}é\n"), "host\\u{1b}[2J\\u{9b}é\\n");
    }

    /// The library escapes what it logs. This catches what it forgets, and what others log.
    #[test]
    fn log_lines_are_escaped() {
        use std::sync::{Arc, Mutex};

        #[derive(Clone, Default)]
        struct Log(Arc<Mutex<Vec<u8>>>);
        impl Write for Log {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let log = Log::default();
        let writer = log.clone();
        let shown = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .fmt_fields(Fields)
            .without_time()
            .finish();
        let name = "a\nb\x1b[2J\u{9b}\u{202e}";
        tracing::subscriber::with_default(shown, || tracing::info!(shown = %name, said = name, "{name}"));
        let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let line = logged.strip_suffix('\n').unwrap();
        assert!(line.contains("shown=a\\nb") && !line.contains(Printable::escapes), "{line:?}");
    }

    #[test]
    fn json_is_harmless_on_a_terminal_and_parses_to_the_same_text() {
        let text = "a\n\x1b\x7f\u{9b}\u{202e}\u{feff}\u{e0041}\u{1f512}\"\\é";
        let line = json(&text).unwrap();
        assert_eq!(line, r#""a\n\u001b\u007f\u009b\u202e\ufeff\udb40\udc41🔒\"\\é""#);
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }
}
