//! What is said to people, and how.

use std::fmt;
use std::io::{self, IsTerminal, Write};

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

    /// Shows the library's events on stderr from here on.
    pub(crate) fn show_events() {
        tracing_subscriber::fmt()
            .with_writer(io::stderr)
            .with_ansi(false)
            .with_target(false)
            .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
            .init();
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

/// Without what a terminal would act upon: host names are read from files that others wrote.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_upon_is_escaped() {
        assert_eq!(printable("host\x1b[2J\u{9b}é\n"), "host\\u{1b}[2J\\u{9b}é\n");
    }
}
