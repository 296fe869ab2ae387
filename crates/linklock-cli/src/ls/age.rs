//! For how long a lock has been held, as far as the disk and this machine tell.

use std::time::{Duration, SystemTime};

use linklock::{Protocol, Status, Surveyed};

use crate::duration::short;
use crate::exit::Exit;
use crate::os::Running;

/// Between which limits the time lies. Both `None`: nobody holds the lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Age {
    pub(super) least: Option<Duration>,
    /// `None` for a lock that is held: nothing tells.
    pub(super) most: Option<Duration>,
}

/// Whether a lock has been held for longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Older {
    No,
    Perhaps,
    Yes,
}

impl Older {
    pub(super) fn exit(self) -> Exit {
        match self {
            Self::No => Exit::Done,
            Self::Yes => Exit::State(1),
            Self::Perhaps => Exit::State(2),
        }
    }
}

impl Age {
    pub(super) fn of(found: &Surveyed, status: &Status, process: Option<&Running>, now: SystemTime) -> Self {
        let Some(protocol) = status.protocol else { return Self::default() };
        let passed = |since: SystemTime| now.duration_since(since).unwrap_or_default();
        if let Some(since) = found.held_since {
            return Self { least: Some(passed(since)), most: Some(passed(since)) };
        }
        match protocol {
            // Since the last refresh at least, and not before its process began.
            Protocol::Link => {
                let least = status.refreshed_at.map(passed).unwrap_or_default();
                // A process of this machine has one clock with a local file system, and perhaps not with a server.
                let most = process.and_then(|process| process.since).map(|since| passed(since).max(least));
                Self { least: Some(least), most }
            }
            // Shared: not before the first of them came. That it writes itself.
            _ => {
                let since = |holder: &linklock::Holder| holder.about.as_ref()?.since;
                let first = status.readers.iter().map(since).min().flatten();
                Self { least: Some(Duration::ZERO), most: first.map(passed) }
            }
        }
    }

    pub(super) fn is_older(self, limit: Duration) -> Older {
        match (self.least, self.most) {
            (None, _) => Older::No,
            (Some(least), _) if least > limit => Older::Yes,
            (_, Some(most)) if most <= limit => Older::No,
            _ => Older::Perhaps,
        }
    }

    /// For people: `<` before the most that it can be, and `>` before the least.
    pub(super) fn in_words(self) -> String {
        match (self.least, self.most) {
            (None, _) => String::new(),
            (Some(least), Some(most)) if least == most => short(whole(most)),
            (_, Some(most)) => format!("<{}", short(whole(most))),
            (Some(least), None) if least < Duration::from_secs(1) => "?".into(),
            (Some(least), None) => format!(">{}", short(whole(least))),
        }
    }
}

/// Whole seconds, of times that are longer than one.
pub(super) fn whole(time: Duration) -> Duration {
    if time < Duration::from_secs(1) { time } else { Duration::from_secs(time.as_secs()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_older_only_if_the_least_says_so_and_not_only_if_the_most_says_so() {
        let secs = Duration::from_secs;
        let age = |least, most| Age { least, most };
        for (age, older, words) in [
            (age(None, None), Older::No, ""),
            (age(Some(secs(61)), Some(secs(61))), Older::Yes, "1m1s"),
            (age(Some(secs(60)), Some(secs(60))), Older::No, "1m"),
            (age(Some(secs(5)), Some(secs(90))), Older::Perhaps, "<1m30s"),
            (age(Some(secs(5)), Some(secs(30))), Older::No, "<30s"),
            (age(Some(secs(5)), None), Older::Perhaps, ">5s"),
            (age(Some(secs(90)), None), Older::Yes, ">1m30s"),
            (age(Some(secs(0)), None), Older::Perhaps, "?"),
        ] {
            assert_eq!((age.is_older(secs(60)), age.in_words().as_str()), (older, words), "{age:?}");
        }
    }
}
