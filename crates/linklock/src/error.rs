//! One error type. It says what, where, who, and what to do next.

use std::fmt::{self, Write};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::holder::Holder;
use crate::lifetime::typed;
use crate::printable::{Escaping, Printable};

/// Why a lock could not be acquired, kept or released. It prints as one line: what failed, where, why, who holds the lock, and what to
/// do next. What others wrote in it is shown as [`Printable`] shows it.
#[derive(Debug)]
pub struct Error(Box<Repr>);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The whole of it: whatever a message is put together of, nothing is forgotten.
        write!(Escaping(f), "{}", self.0)
    }
}

/// It has no source: what the file system said is a part of the text, and [`io_error`](Error::io_error) gives it.
impl std::error::Error for Error {}

/// The kinds of [`Error`], for deciding what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The lock was not acquired in time.
    Timeout,
    /// The wait was cancelled.
    Cancelled,
    /// The lock was held and is not any more: it expired, or it was broken.
    Lost,
    /// The lock is not held by the claim that was named.
    NotHeld,
    /// The lock path is something else, which linklock does not touch.
    NotALock,
    /// The file system cannot do what the protocol needs.
    Unsupported,
    /// The lock has expired, but this user may not break it.
    CannotBreak,
    /// A setting or a path that cannot work. Nothing was changed on disk.
    Invalid,
    /// The claim's file could not be made: no such directory, no space, a name too long.
    CannotCreate,
    /// This user may not do that here, or others may do too much: `Builder::require_private`.
    Permission,
    /// Any other error of the file system.
    Io,
}

#[derive(Debug, thiserror::Error)]
enum Repr {
    #[error("{path}: not acquired {}: {}{}{}", within(*waited), held_by(holder.as_ref()), watched(*must_watch), kept_by(break_lock.as_ref()))]
    Timeout {
        path: Shown,
        waited: Duration,
        holder: Option<Holder>,
        must_watch: Option<Duration>,
        break_lock: Option<Shown>,
    },
    #[error(
        "{path}: not acquired {}: it is held, but this user may not read by whom and until when; retry with a longer time-out, or ask its owner or root",
        within(*waited)
    )]
    TimeoutOfHidden { path: Shown, waited: Duration },
    #[error("{path}: the wait was cancelled: {}", holder.as_ref().map_or_else(unknown, |holder| format!("{holder} holds the lock")))]
    Cancelled { path: Shown, holder: Option<Holder> },
    #[error("{path}: the lock is lost: {why}; stop the work that needs it, and acquire it again")]
    Lost { path: Shown, why: Lost },
    #[error("{path}: the lock is not held by {what}; {}", held_instead(holder.as_ref()))]
    NotHeld { path: Shown, what: String, holder: Option<Holder> },
    #[error(
        "{path}: this is {what}, not a lock, so linklock does not touch it; move it away, or choose another lock path"
    )]
    NotALock { path: Shown, what: String },
    #[error("{path}: this file system has no hard links, which the link protocol needs; use the dir protocol")]
    NoHardLinks { path: Shown, cause: io::Error },
    #[error("{path}: the lock of {} has expired, but this user may not break it ({cause}); ask its owner or root", name(holder.as_ref()))]
    CannotBreak { path: Shown, holder: Option<Holder>, cause: io::Error },
    #[error(
        "{path}: the clocks of two machines cannot be compared on this file system, so linklock does not know whether the lock of {} has expired; adopt it on its own machine, wait for it (acquire, run), or break it by its token",
        name(holder.as_ref())
    )]
    ClockNotKnown { path: Shown, holder: Option<Holder> },
    #[error(
        "{path}: refused, because its directory {why}, so others can deny or remove the lock; let only this user and root write to it (chown, chmod go-w), choose another directory, or do not require a private one"
    )]
    NotPrivate { path: Shown, why: String },
    #[error("{0}")]
    Invalid(String),
    #[error("{path}: cannot {action}: {cause}{}", hint(cause))]
    Io { path: Shown, action: &'static str, cause: io::Error },
}

/// Why a lock was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lost {
    #[error("it expired before it was refreshed")]
    Overdue,
    #[error("another contender or an operator has broken it")]
    Broken,
}

/// The file system answers that all is well, but shows another time than it was given.
#[derive(Debug, thiserror::Error)]
#[error("the file system does not keep the times that it is given, so no lock can be refreshed there")]
pub(crate) struct TimesNotKept;

#[derive(Debug)]
struct Shown(PathBuf);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable::new(&self.0).fmt(f)
    }
}

fn unknown() -> String {
    "its holder could not be read".into()
}

fn held_by(holder: Option<&Holder>) -> String {
    holder.map_or_else(unknown, |holder| {
        format!("{holder} holds it; retry with a longer time-out, or check that process")
    })
}

fn held_instead(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "it is free, or its holder could not be read".into(), |holder| format!("{holder} holds it"))
}

fn watched(must_watch: Option<Duration>) -> String {
    must_watch.map_or_else(String::new, |left| {
        let left = typed(Duration::from_secs(left.as_secs_f64().ceil() as u64));
        format!(
            "; the clocks of two machines cannot be compared on this file system, so the lock expires after a waiter has seen it unchanged for another {left}"
        )
    })
}

fn kept_by(break_lock: Option<&Shown>) -> String {
    break_lock.map_or_else(String::new, |break_lock| {
        format!("; it has expired, and another contender is breaking it: if {break_lock} stays, check whose it is")
    })
}

fn within(waited: Duration) -> String {
    match waited.as_millis() as u64 {
        // One try, and no wait.
        0..10 => "immediately".into(),
        ms @ 10..10_000 => format!("within {}", typed(Duration::from_millis(ms))),
        ms => format!("within {}", typed(Duration::from_secs(ms / 1000))),
    }
}

fn name(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "an unknown holder".into(), Holder::to_string)
}

fn hint(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::NotFound => "; make the directory first",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room for a file of a few hundred bytes",
        // Otherwise it says itself what is to be done.
        io::ErrorKind::PermissionDenied if cause.raw_os_error().is_some() => {
            "; the user needs write permission in that directory"
        }
        io::ErrorKind::InvalidFilename => "; the lock's name must leave room for host, pid and nonce",
        _ => "",
    }
}

impl Error {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Repr::Timeout { .. } | Repr::TimeoutOfHidden { .. } => ErrorKind::Timeout,
            Repr::Cancelled { .. } => ErrorKind::Cancelled,
            Repr::Lost { .. } => ErrorKind::Lost,
            Repr::NotHeld { .. } => ErrorKind::NotHeld,
            Repr::NotALock { .. } => ErrorKind::NotALock,
            Repr::NoHardLinks { .. } | Repr::ClockNotKnown { .. } => ErrorKind::Unsupported,
            Repr::CannotBreak { .. } => ErrorKind::CannotBreak,
            Repr::NotPrivate { .. } => ErrorKind::Permission,
            Repr::Invalid(_) => ErrorKind::Invalid,
            Repr::Io { cause, action, .. } => match cause.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Permission,
                _ if cause.get_ref().is_some_and(|e| e.is::<TimesNotKept>()) => ErrorKind::Unsupported,
                _ if *action == CREATE => ErrorKind::CannotCreate,
                _ => ErrorKind::Io,
            },
        }
    }

    /// Whether the lock was not acquired in time.
    pub fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::Timeout
    }

    /// Whether the wait was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.kind() == ErrorKind::Cancelled
    }

    /// Whether the lock was held and is not any more.
    pub fn is_lost(&self) -> bool {
        self.kind() == ErrorKind::Lost
    }

    /// The lock path that it is about; `None` for a bad setting.
    pub fn path(&self) -> Option<&Path> {
        match &*self.0 {
            Repr::Timeout { path, .. }
            | Repr::TimeoutOfHidden { path, .. }
            | Repr::Cancelled { path, .. }
            | Repr::Lost { path, .. }
            | Repr::NotHeld { path, .. }
            | Repr::NotALock { path, .. }
            | Repr::NoHardLinks { path, .. }
            | Repr::ClockNotKnown { path, .. }
            | Repr::CannotBreak { path, .. }
            | Repr::NotPrivate { path, .. }
            | Repr::Io { path, .. } => Some(&path.0),
            Repr::Invalid(_) => None,
        }
    }

    /// Who holds the lock, where that matters and could be read.
    pub fn holder(&self) -> Option<&Holder> {
        match &*self.0 {
            Repr::Timeout { holder, .. }
            | Repr::Cancelled { holder, .. }
            | Repr::NotHeld { holder, .. }
            | Repr::ClockNotKnown { holder, .. }
            | Repr::CannotBreak { holder, .. } => holder.as_ref(),
            _ => None,
        }
    }

    /// What the file system said, where that is why.
    pub fn io_error(&self) -> Option<&io::Error> {
        match &*self.0 {
            Repr::Io { cause, .. } | Repr::NoHardLinks { cause, .. } | Repr::CannotBreak { cause, .. } => Some(cause),
            _ => None,
        }
    }

    pub(crate) fn why_lost(&self) -> Lost {
        if let Repr::Lost { why, .. } = &*self.0 { *why } else { Lost::Overdue }
    }

    /// With how much longer the lock must be seen unchanged before it has expired, where no clock tells.
    pub(crate) fn timeout(path: &Path, waited: Duration, holder: Option<Holder>, must_watch: Option<Duration>) -> Self {
        Self::new(Repr::Timeout { path: Shown(path.into()), waited, holder, must_watch, break_lock: None })
    }

    /// That the lock has expired, and this break lock kept it from being broken.
    pub(crate) fn kept_by(mut self, path: &Path) -> Self {
        if let Repr::Timeout { break_lock, .. } = &mut *self.0 {
            *break_lock = Some(Shown(path.into()));
        }
        self
    }

    /// Of a lock that this user may not look into.
    pub(crate) fn timeout_of_hidden(path: &Path, waited: Duration) -> Self {
        Self::new(Repr::TimeoutOfHidden { path: Shown(path.into()), waited })
    }

    pub(crate) fn cancelled(path: &Path, holder: Option<Holder>) -> Self {
        Self::new(Repr::Cancelled { path: Shown(path.into()), holder })
    }

    pub(crate) fn lost(path: &Path, why: Lost) -> Self {
        Self::new(Repr::Lost { path: Shown(path.into()), why })
    }

    pub(crate) fn not_held(path: &Path, what: impl Into<String>, holder: Option<Holder>) -> Self {
        Self::new(Repr::NotHeld { path: Shown(path.into()), what: what.into(), holder })
    }

    pub(crate) fn not_a_lock(path: &Path, what: impl Into<String>) -> Self {
        Self::new(Repr::NotALock { path: Shown(path.into()), what: what.into() })
    }

    pub(crate) fn no_hard_links(path: &Path, cause: io::Error) -> Self {
        Self::new(Repr::NoHardLinks { path: Shown(path.into()), cause })
    }

    pub(crate) fn clock_not_known(path: &Path, holder: Option<Holder>) -> Self {
        Self::new(Repr::ClockNotKnown { path: Shown(path.into()), holder })
    }

    pub(crate) fn cannot_break(path: &Path, holder: Option<Holder>, cause: io::Error) -> Self {
        Self::new(Repr::CannotBreak { path: Shown(path.into()), holder, cause })
    }

    pub(crate) fn not_private(path: &Path, why: String) -> Self {
        Self::new(Repr::NotPrivate { path: Shown(path.into()), why })
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Repr::Invalid(message.into()))
    }

    pub(crate) fn cannot_create(path: &Path, cause: io::Error) -> Self {
        Self::io(path, CREATE, cause)
    }

    pub(crate) fn io(path: &Path, action: &'static str, cause: io::Error) -> Self {
        Self::new(Repr::Io { path: Shown(path.into()), action, cause })
    }

    fn new(repr: Repr) -> Self {
        Self(Box::new(repr))
    }
}

const CREATE: &str = "make a claim";

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever a message is put together of.
    #[test]
    fn an_error_is_one_line_and_commands_no_terminal() {
        let forged = "a\nb\x1b[2J\u{9b}\u{202e}";
        let path = Path::new(forged);
        for error in [
            Error::io(path, "look", io::Error::other(forged)),
            Error::cannot_break(path, None, io::Error::other(forged)),
            Error::not_a_lock(path, forged),
            Error::not_held(path, forged, None),
            Error::not_private(path, forged.into()),
            Error::invalid(forged),
        ] {
            let told = error.to_string();
            assert!(told.contains("a\\nb\\u{1b}[2J") && !told.contains(Printable::escapes), "{told:?}");
        }
    }
}
