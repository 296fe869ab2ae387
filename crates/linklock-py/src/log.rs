//! The library's warnings and errors, for Python's logging.
//!
//! They are stored where they occur, perhaps in a thread that Python does not know and with a mutex held. The next call that
//! has the interpreter's lock hands them over.

use std::ffi::OsString;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};

use linklock::Printable;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

static LISTENER: OnceLock<Sender<Line>> = OnceLock::new();
static IS_PENDING: AtomicBool = AtomicBool::new(false);
/// Locked only together with the interpreter's lock, so that no other thread has it locked at a fork.
static LINES: Mutex<Option<Receiver<Line>>> = Mutex::new(None);

/// Begins to store the library's log events.
pub(crate) fn listen() {
    let (sender, receiver) = channel();
    if LISTENER.set(sender).is_ok() {
        *LINES.lock().unwrap_or_else(PoisonError::into_inner) = Some(receiver);
        // Nobody else sets one, since the module has its own copy of `tracing`.
        let _ = tracing::subscriber::set_global_default(Listener);
    }
}

/// Hands over the stored events. A fault of a log's handler is reported as such faults are; but an interrupt that comes while a
/// handler runs is the error of this call, so callers store first what they have acquired.
pub(crate) fn hand_over(py: Python<'_>) -> PyResult<()> {
    if !IS_PENDING.load(Ordering::Acquire) || !IS_PENDING.swap(false, Ordering::AcqRel) {
        return Ok(());
    }
    let lines: Vec<Line> =
        LINES.lock().unwrap_or_else(PoisonError::into_inner).iter().flat_map(Receiver::try_iter).collect();
    let mut interrupted = Ok(());
    for line in lines {
        match line.write(py) {
            Err(e) if e.is_instance_of::<PyException>(py) => e.write_unraisable(py, None),
            Err(e) => interrupted = Err(e),
            Ok(()) => {}
        }
    }
    interrupted
}

/// Text in the form in which messages show it.
#[pyfunction]
pub(crate) fn printable(text: OsString) -> String {
    Printable::new(&text).to_string()
}

struct Line {
    level: u8,
    text: String,
}

impl Line {
    fn write(self, py: Python<'_>) -> PyResult<()> {
        static LOGGER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let logger = LOGGER.get_or_try_init(py, || {
            py.import("logging")?.call_method1("getLogger", ("linklock",)).map(Bound::unbind)
        })?;
        logger.call_method1(py, "log", (self.level, "%s", self.text)).map(drop)
    }
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        // The package itself logs the events of each cycle.
        Some(LevelFilter::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        // The numbers in Python's logging.
        let level = if *event.metadata().level() == Level::ERROR { 40 } else { 30 };
        // Others may have written parts of it, so it becomes one line without terminal commands.
        let line = Line { level, text: Printable::new(&(text.message + &text.fields)).to_string() };
        if LISTENER.get().is_some_and(|listener| listener.send(line).is_ok()) {
            IS_PENDING.store(true, Ordering::Release);
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, ", {name}: {value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}
