//! Hears of what the library does to locks, by its events.

use std::fmt;

use tracing::Event;
use tracing::field::{Field, Visit};

/// What has happened, and to what; `None` if that is not for the journal.
pub(super) fn heard(event: &Event<'_>) -> Option<(&'static str, Heard)> {
    let what = event.metadata().target().strip_prefix("linklock::")?;
    if !["acquired", "broken", "refresh", "lost", "released"].contains(&what) {
        return None;
    }
    let mut heard = Heard::default();
    event.record(&mut heard);
    Some((what, heard))
}

/// The fields of an event, as the library's documentation lists them.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) lock: String,
    pub(super) claim: Option<String>,
    pub(super) fence: Option<u64>,
    pub(super) why: String,
    pub(super) error: Option<String>,
}

impl Visit for Heard {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "lock" => self.lock = value.into(),
            "claim" => self.claim = Some(value.into()),
            "why" => self.why = value.into(),
            "error" => self.error = Some(value.into()),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "fence" {
            self.fence = Some(value);
        }
    }
}
