//! A line of the journal, as it is written and read. docs/schema/journal.json describes it for others.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::timestamp::rfc3339;

/// The version of the format. Later events and fields do not change it: who reads lines skips what it does not know.
pub(crate) const VERSION: u32 = 1;

/// How each line begins, and no part of a line, since quotes are escaped in JSON's strings.
pub(crate) const BEGIN: &str = "{\"version\":";

/// What has happened to a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Event {
    Acquired,
    /// It was not acquired in time.
    TimedOut,
    /// A signal ended the wait.
    Cancelled,
    /// It was not acquired, for another reason.
    Refused,
    /// Another holder's lock was broken.
    Broken,
    RefreshFailed,
    Lost,
    Released,
    /// The lock lasts until its expiry.
    ReleaseFailed,
    /// What a later linklock writes.
    #[serde(other)]
    Unknown,
}

/// Why a lock was broken or lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Why {
    Expired,
    Abandoned,
    /// An operator ordered it.
    Forced,
    /// Somebody has broken it.
    Broken,
    /// What a later linklock writes.
    #[serde(other)]
    Unknown,
}

/// Whose lock was broken, by the name of its claim.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Broken {
    pub(crate) token: String,
    pub(crate) host: Option<String>,
    pub(crate) pid: Option<u32>,
}

/// Who holds the lock or wants it; for a break, who breaks it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Who {
    pub(crate) host: Option<String>,
    /// `None`: the lock belongs to no process.
    pub(crate) pid: Option<u32>,
    pub(crate) user: Option<String>,
    pub(crate) command: Option<String>,
}

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) version: u32,
    /// By the wall clock of the host, in UTC. `None` if RFC 3339 cannot write what that clock says.
    pub(crate) time: Option<String>,
    pub(crate) event: Event,
    pub(crate) lock: String,
    pub(crate) protocol: Option<String>,
    pub(crate) slot: Option<u64>,
    pub(crate) token: Option<String>,
    pub(crate) fence: Option<u64>,
    #[serde(flatten)]
    pub(crate) who: Who,
    /// Durations are measured on a clock that is never set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) waited_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) held_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<Why>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) broken: Option<Broken>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Line {
    /// A line of now.
    pub(crate) fn new(event: Event, lock: String) -> Self {
        Self {
            version: VERSION,
            time: rfc3339(SystemTime::now()),
            event,
            lock,
            protocol: None,
            slot: None,
            token: None,
            fence: None,
            who: Who::default(),
            waited_ms: None,
            held_ms: None,
            why: None,
            broken: None,
            error: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::json;

    #[test]
    fn a_line_is_read_as_it_was_written_whatever_it_contains() {
        let mut line = Line::new(Event::Broken, format!("/tmp/{BEGIN} \n\u{1b}é\u{202e}"));
        line.error = Some(BEGIN.into());
        let text = json(&line).unwrap();
        assert!(text.starts_with(BEGIN) && text.rfind(BEGIN) == Some(0), "{text}");
        assert!(!text.contains('\n'), "{text}");
        let read: Line = serde_json::from_str(&text).unwrap();
        assert_eq!((read.lock, read.event, read.error), (line.lock, line.event, line.error));
    }

    #[test]
    fn what_a_later_linklock_adds_is_skipped() {
        let text = r#"{"version":1,"time":null,"event":"blessed","lock":"/l","why":"whim","colour":["red"]}"#;
        let read: Line = serde_json::from_str(text).unwrap();
        assert_eq!((read.event, read.why), (Event::Unknown, Some(Why::Unknown)));
    }
}
