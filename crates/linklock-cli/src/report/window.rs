//! The time that a report is of.

use std::time::SystemTime;

use serde::Serialize;

use crate::timestamp::rfc3339;

/// From `since` on, and before `until`. The names are part of the program's interface, as those of the report.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Window {
    #[serde(serialize_with = "in_words")]
    pub(super) since: Option<SystemTime>,
    #[serde(serialize_with = "in_words")]
    pub(super) until: Option<SystemTime>,
}

/// Where a moment lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Before,
    Within,
    After,
    /// Nothing tells, and it matters.
    NotKnown,
}

impl Window {
    /// Of a time as a journal has it.
    pub(super) fn when(&self, time: Option<&str>) -> When {
        if self.since.is_none() && self.until.is_none() {
            return When::Within;
        }
        let Some(time) = time.and_then(|time| humantime::parse_rfc3339(time).ok()) else { return When::NotKnown };
        if self.until.is_some_and(|until| time >= until) {
            When::After
        } else if self.since.is_some_and(|since| time < since) {
            When::Before
        } else {
            When::Within
        }
    }
}

fn in_words<S: serde::Serializer>(time: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
    time.and_then(rfc3339).serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_begins_at_a_moment_and_ends_before_another() {
        let at = |text: &str| humantime::parse_rfc3339(text).ok();
        let (since, until) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        let both = Window { since: at(since), until: at(until) };
        for (time, when) in [
            (Some("2025-12-31T23:59:59.999Z"), When::Before),
            (Some(since), When::Within),
            (Some("2026-01-01T23:59:59.999Z"), When::Within),
            (Some(until), When::After),
            (Some("nonsense"), When::NotKnown),
            (None, When::NotKnown),
        ] {
            assert_eq!(both.when(time), when, "{time:?}");
            assert_eq!(Window::default().when(time), When::Within, "{time:?}");
        }
        assert_eq!(Window { until: None, ..both }.when(Some("9999-01-01T00:00:00Z")), When::Within);
        assert_eq!(Window { since: None, ..both }.when(Some("1970-01-01T00:00:00Z")), When::Within);
    }
}
