//! What is printed if the command line asks for help or cannot be parsed.

use std::io::{self, Write};

use clap::error::ContextValue;

use crate::console::printable;
use crate::exit::Exit;

/// Prints the help or the usage error that clap reports.
pub(crate) fn explain(e: clap::Error) -> Exit {
    let e = escaped(e);
    let text = e.render().to_string();
    // If the stream is closed nobody can read it.
    let _ = match text.strip_prefix("error: ") {
        Some(error) => write!(io::stderr(), "linklock: {error}"),
        None => e.print(),
    };
    if e.use_stderr() { Exit::Usage } else { Exit::Done }
}

/// The same error, with the arguments in its message escaped: a shell pattern may have made them from other people's file names.
pub(crate) fn escaped(mut e: clap::Error) -> clap::Error {
    let escaped = |value: &ContextValue| match value {
        ContextValue::String(text) => Some(ContextValue::String(printable(text))),
        ContextValue::Strings(texts) => Some(ContextValue::Strings(texts.iter().map(|text| printable(text)).collect())),
        ContextValue::StyledStrs(texts) => {
            Some(ContextValue::StyledStrs(texts.iter().map(|text| printable(&text.to_string()).into()).collect()))
        }
        _ => None,
    };
    let context: Vec<_> = e.context().filter_map(|(kind, value)| Some((kind, escaped(value)?))).collect();
    for (kind, value) in context {
        e.insert(kind, value);
    }
    e
}
