//! One lock, with all that is known of it.

use std::path::Path;
use std::time::{Duration, SystemTime};

use linklock::{Error, Holder, SafeToBreak, State, Status, Surveyed, Waiter};

use super::age::{Age, Older};
use crate::os::Running;
use crate::status::{user_of, with_process};

pub(super) struct Row {
    pub(super) found: Surveyed,
    /// The process of a link lock's holder, which does not say it itself.
    pub(super) process: Option<Running>,
    pub(super) age: Age,
}

impl Row {
    pub(super) fn of(mut found: Surveyed) -> Self {
        let mut process = None;
        if let Ok(status) = &found.status
            && status.process.is_some()
        {
            // An error: the lock has gone meanwhile, or cannot be read any more. What was seen first stays.
            if let Ok((again, running)) = with_process(status.clone(), || found.inspect_again()) {
                process = running;
                if process.is_some() {
                    found.status = Ok(again);
                }
            }
        }
        let now = SystemTime::now();
        let age = found.status.as_ref().map(|status| Age::of(&found, status, process.as_ref(), now));
        Self { age: age.unwrap_or_default(), process, found }
    }

    pub(super) fn path(&self) -> &Path {
        self.found.lock.path()
    }

    pub(super) fn status(&self) -> Result<&Status, &Error> {
        self.found.status.as_ref()
    }

    /// As `status` has it; `unreadable` if it could not be looked at.
    pub(super) fn state(&self) -> &'static str {
        match self.status().map(|status| (status.state, status.expires_at)) {
            Ok((State::Free, _)) => "free",
            Ok((State::Held, _)) => "held",
            Ok((State::Expired, _)) => "expired",
            Ok((State::Abandoned, _)) => "abandoned",
            Ok(_) => "not-a-lock",
            Err(_) => "unreadable",
        }
    }

    /// What cannot be looked at may have been held for any time.
    pub(super) fn is_older(&self, limit: Duration) -> Older {
        if self.status().is_err() { Older::Perhaps } else { self.age.is_older(limit) }
    }

    pub(super) fn holder(&self) -> Option<&Holder> {
        self.status().ok()?.holder.as_ref()
    }

    pub(super) fn command(&self) -> Option<&str> {
        let about = self.holder().and_then(|holder| holder.about.as_ref()?.command.as_deref());
        self.process.as_ref().map(|process| process.command.as_str()).or(about)
    }

    /// The user that the holder names, or that runs its process.
    pub(super) fn user(&self) -> Option<String> {
        let about = self.holder().and_then(|holder| holder.about.as_ref()?.user.clone());
        let process = || user_of(self.status().ok()?, self.process.as_ref()?);
        process().or(about)
    }

    /// The owner of the lock's file, which the file system reports.
    pub(super) fn owner(&self) -> Option<String> {
        self.status().ok()?.owner.as_ref().map(ToString::to_string)
    }

    pub(super) fn readers(&self) -> usize {
        self.status().map_or(0, |status| status.readers.len())
    }

    pub(super) fn waiters(&self) -> &[Waiter] {
        &self.found.waiters
    }

    pub(super) fn safe_to_break(&self) -> SafeToBreak {
        self.found.safe_to_break
    }
}

/// `process 12 on host`, or the host alone.
pub(super) fn name_of(holder: &Holder) -> String {
    if holder.has_process {
        holder.to_string()
    } else {
        format!("no process, from {}", linklock::Printable::word(&holder.host))
    }
}

/// How much of a time is left; `None` if it has passed.
pub(super) fn left(until: SystemTime, now: SystemTime) -> Option<Duration> {
    until.duration_since(now).ok()
}
