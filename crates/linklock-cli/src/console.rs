//! What is said to people, and how. All output but tokens and help passes here, and what others wrote in it is escaped.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};

use linklock::Printable;
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};

use crate::args::{ColorWhen, ConsoleArgs};
use crate::os::terminal;

/// How much is said on stderr, and whether in colour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
    color: ColorWhen,
}

impl Console {
    pub(crate) fn new(args: &ConsoleArgs) -> Self {
        Self { quiet: args.quiet, verbose: args.verbose, color: args.color }
    }

    /// Whether what goes to `stream` is coloured.
    pub(crate) fn paints(&self, stream: &impl IsTerminal) -> bool {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match self.color {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => stream.is_terminal() && !is_set("NO_COLOR") && terminal::understands_escapes(),
        }
    }

    /// Says what went wrong.
    pub(crate) fn error(&self, message: &str) {
        let mut stderr = io::stderr().lock();
        let name = Painted { text: "linklock:", code: RED, on: self.paints(&stderr) };
        // If stderr is gone there is nobody to tell.
        let _ = writeln!(stderr, "{name} {}", printable(message));
    }

    /// Says what was done, on stdout.
    pub(crate) fn note(&self, message: &str) -> io::Result<()> {
        if self.quiet { Ok(()) } else { writeln!(io::stdout().lock(), "{}", printable(message)) }
    }

    /// Shows on stderr from here on what the library logs: all of it, if that is wished, else its warnings of directories that
    /// others may write to.
    pub(crate) fn show_events(self) {
        if self.verbose {
            tracing_subscriber::fmt()
                .with_writer(io::stderr)
                .with_ansi(false)
                .with_target(false)
                .with_max_level(LevelFilter::DEBUG)
                .fmt_fields(Fields)
                .init();
        } else if !self.quiet {
            // Nobody else sets one.
            let _ = tracing::subscriber::set_global_default(Warnings(self));
        }
    }
}

/// What is logged, without what a terminal would act upon, whoever wrote it.
struct Fields;

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut text = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut text), fields)?;
        writer.write_str(&printable(&text))
    }
}

/// Says the warnings that are for everybody, and nothing else of what is logged.
struct Warnings(Console);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "linklock::private"
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.error(&format!("warning: {}", message.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // To write to a string does not fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}

const RED: &str = "1;31";

/// A text in a colour of ECMA-48, or plain.
pub(crate) struct Painted<'a> {
    pub(crate) text: &'a str,
    pub(crate) code: &'a str,
    pub(crate) on: bool,
}

impl fmt::Display for Painted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.on { write!(f, "\x1b[{}m{}\x1b[0m", self.code, self.text) } else { f.write_str(self.text) }
    }
}

/// One line, without what a terminal would act upon: names are read from files that others wrote.
pub(crate) fn printable(text: &str) -> String {
    Printable::new(text).to_string()
}

/// One line of JSON. What a terminal would act upon is escaped in it too, as JSON escapes, so it is read as what it was.
pub(crate) fn json(line: &impl Serialize) -> io::Result<String> {
    let text = serde_json::to_string(line)?;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if Printable::escapes(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // To write to a string does not fail.
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
    fn what_a_terminal_would_act_upon_is_escaped() {
        assert_eq!(printable("host\x1b[2J\u{9b}é\n"), "host\\u{1b}[2J\\u{9b}é\\n");
    }

    /// The library escapes what it logs; what else is logged, or forgotten, is escaped here.
    #[test]
    fn what_is_logged_is_escaped_whoever_logs_it() {
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
        let told = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let line = told.strip_suffix('\n').unwrap();
        assert!(line.contains("shown=a\\nb") && !line.contains(Printable::escapes), "{line:?}");
    }

    #[test]
    fn json_is_harmless_on_a_terminal_and_read_as_what_it_was() {
        let text = "a\n\x1b\x7f\u{9b}\u{202e}\u{feff}\u{e0041}\u{1f512}\"\\é";
        let line = json(&text).unwrap();
        assert_eq!(line, r#""a\n\u001b\u007f\u009b\u202e\ufeff\udb40\udc41🔒\"\\é""#);
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }
}
