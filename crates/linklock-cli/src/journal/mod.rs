//! `--journal`: what happens to a lock, as lines of JSON in a file that several processes append to.
//!
//! The library's events tell most of it, and the subcommands the rest. Nothing here changes what happens to the lock: a thread of its own
//! writes, and an error is reported and no more.

mod appender;
pub(crate) mod line;
mod listener;
mod story;
mod writer;

use std::path::Path;
use std::sync::Arc;

use linklock::{Error, Guard, Guards, Lock, Printable, Protocol, Token};

use self::line::{Event, Who};
use self::listener::heard;
use self::story::{Begin, Story};
use self::writer::Writer;
use crate::console::{Console, Hear};
use crate::exit::{Exit, Failure};

/// The journal, if there is to be one.
#[derive(Clone, Debug)]
pub(crate) struct Journal(Option<Arc<Story>>);

impl Journal {
    /// `is_required`: whether nothing is to be done without it. A lock that is held already is to be released all the same.
    pub(crate) fn open(file: Option<&Path>, is_required: bool, console: Console) -> Result<Self, Failure> {
        let Some(file) = file else { return Ok(Self(None)) };
        match Writer::open(file, console) {
            Ok(writer) => Ok(Self(Some(Arc::new(Story::new(writer))))),
            Err(why) if is_required => Err(Failure::Message(Exit::Usage, why)),
            Err(why) => {
                console.error(&format!("{why}; linklock goes on without it"));
                Ok(Self(None))
            }
        }
    }

    /// What is to hear the library's events.
    pub(crate) fn hear(&self) -> Option<Hear> {
        let story = Arc::clone(self.0.as_ref()?);
        Some(Box::new(move |event| {
            if let Some((what, heard)) = heard(event) {
                story.hear(what, &heard);
            }
        }))
    }

    /// From here on the lines are about these locks, and the slots of the first. `contest`: how this process contends
    /// for them; `pid`: for whom.
    pub(crate) fn begin(
        &self,
        locks: &[Lock],
        slots: &[Lock],
        contest: Option<Protocol>,
        pid: Option<u32>,
        separator: char,
    ) {
        let (Some(story), Some(first)) = (&self.0, locks.first()) else { return };
        let about = first.about();
        let who = Who { host: Some(first.host().into()), pid, user: about.user, command: contest.and(about.command) };
        let protocol = contest.map(|protocol| protocol.to_string());
        let numbered = slots.iter().zip(1..).map(|(slot, n)| (slot, Some(n)));
        let all = locks.iter().map(|lock| (lock, None)).chain(numbered);
        story.begin(Begin { who, protocol, separator }, all);
    }

    /// This process goes on with the lock that another has acquired.
    pub(crate) fn adopted(&self, guard: &Guard, lock: &Lock) {
        let Some(story) = &self.0 else { return };
        let holder = guard.holder();
        let pid = holder.as_ref().filter(|holder| holder.has_process).map(|holder| holder.pid);
        let host = holder.map(|holder| holder.host);
        let who = Who { host, pid, user: lock.about().user, command: None };
        story.adopt(guard.path(), guard.token().to_string(), who);
    }

    /// The lock stays held after this process.
    pub(crate) fn left(&self) {
        if let Some(story) = &self.0 {
            story.leave();
        }
    }

    /// These locks were seen to be lost, if they are.
    pub(crate) fn saw_losses(&self, guards: &Guards) {
        let Some(story) = &self.0 else { return };
        for guard in guards.iter().filter(|guard| guard.is_lost()) {
            let why = guard.why_lost();
            story.lost(&guard.token().to_string(), why, why.map(|why| why.to_string()));
        }
    }

    /// The lock of this path was not acquired.
    pub(crate) fn not_acquired(&self, failure: &Failure, path: &Path) {
        let Some(story) = &self.0 else { return };
        match failure {
            Failure::NotInTime(e, _) => failed(story, Event::TimedOut, e, None),
            Failure::Signal(_) => story.failed(Event::Cancelled, path, None, None),
            Failure::Lock(e) => failed(story, Event::Refused, e, None),
            Failure::Message(_, message) => story.failed(Event::Refused, path, None, Some(message.clone())),
            Failure::Io(e) => story.failed(Event::Refused, path, None, Some(e.to_string())),
        }
    }

    /// The token does not hold the lock, or not any more. The error says which.
    pub(crate) fn not_adopted(&self, e: &Error, token: &Token) {
        if let Some(story) = &self.0
            && Exit::of_error(e) == Exit::Lost
        {
            failed(story, Event::Lost, e, Some(token.to_string()));
        }
    }

    /// The lock of this token was not refreshed, and stays as it is. A loss was reported by the library.
    pub(crate) fn not_refreshed(&self, e: &Error, token: &Token) {
        let Some(story) = &self.0 else { return };
        if !e.is_lost() {
            failed(story, Event::RefreshFailed, e, Some(token.to_string()));
        }
        story.leave();
    }

    /// The last line is written. What is held by then was not released.
    pub(crate) fn finish(&self, failure: Option<&Failure>) {
        let Some(story) = &self.0 else { return };
        let error = match failure {
            Some(Failure::Lock(e)) => Some(e.to_string()),
            Some(Failure::Message(_, message)) => Some(Printable::new(message).to_string()),
            _ => None,
        };
        story.end(error.as_deref());
        story.writer.finish();
    }
}

/// An invalid setting has no path, and is no event of a lock.
fn failed(story: &Story, event: Event, e: &Error, token: Option<String>) {
    if let Some(path) = e.path() {
        story.failed(event, path, token, Some(e.to_string()));
    }
}
