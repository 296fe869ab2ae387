//! The one error type. It says what failed, where, why, who holds the lock, and what to do next.

use std::fmt::{self, Write};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::holder::Holder;
use crate::lifetime::typed;
use crate::printable::{Escaping, Printable};

/// Why a lock could not be acquired, kept or released. It prints as one line: what failed, where, why, who holds the
/// lock, and what to do next. Text that others wrote is printed as [`Printable`] prints it.
///
/// ```
/// use linklock::{ErrorKind, Lock};
///
/// # let dir = tempfile::tempdir().unwrap();
/// let lock = Lock::new(dir.path().join("no such directory/job.lock"))?;
/// let error = lock.acquire().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::CannotCreate);
/// assert_eq!(error.path(), Some(lock.path()));
/// # Ok::<_, linklock::Error>(())
/// ```
#[derive(Debug)]
pub struct Error(Box<Repr>);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Escapes the whole message, so that no part of it is forgotten.
        write!(Escaping(f), "{}", self.0)
    }
}

/// It has no source: what the file system said is in the message and in [`io_error`](Error::io_error).
impl std::error::Error for Error {}

/// The kinds of [`Error`], to decide what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The lock was not acquired in time.
    Timeout,
    /// The wait was cancelled.
    Cancelled,
    /// The lock was held and is lost: it expired, or it was broken.
    Lost,
    /// The named claim does not hold the lock.
    NotHeld,
    /// Something else is at the lock path. linklock does not touch it.
    NotALock,
    /// The file system cannot do what the protocol needs.
    Unsupported,
    /// The lock has expired, but this user may not break it.
    CannotBreak,
    /// A setting or a path is invalid. Nothing was changed on disk.
    Invalid,
    /// The claim could not be created: no such directory, no space, or a name that is too long.
    CannotCreate,
    /// This user may not do that here, or others may do too much
    /// ([`Builder::require_private`](crate::Builder::require_private)).
    Permission,
    /// Any other error of the file system.
    Io,
}

#[derive(Debug, thiserror::Error)]
enum Repr {
    #[error("{path}: not acquired {}: {}{}{}", within(*waited), held_by(holder.as_ref(), *slots), watched(*must_watch), kept_by(break_lock.as_ref()))]
    Timeout {
        path: Shown,
        waited: Duration,
        holder: Option<Holder>,
        must_watch: Option<Duration>,
        break_lock: Option<Shown>,
        /// How many slots there are, all of them held.
        slots: Option<usize>,
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
    #[error("{path}: this file system has no hard links, which the link protocol needs ({cause}); {instead}{}", advised(*advice))]
    NoHardLinks { path: Shown, cause: io::Error, instead: &'static str, advice: Option<(&'static str, &'static str)> },
    #[error(
        "{path}: refused, because the {protocol} protocol fails on this file system, {name}: {why}; {instead}, or overrule this (--unsafe-filesystem)"
    )]
    UnsafeFileSystem {
        path: Shown,
        protocol: &'static str,
        name: &'static str,
        why: &'static str,
        instead: &'static str,
    },
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
    #[error("{path}: cannot {action}: {cause}{}{}", hint(action, cause), advised(*advice))]
    Io {
        path: Shown,
        action: &'static str,
        cause: io::Error,
        /// A file system's name, and what a user should do there.
        advice: Option<(&'static str, &'static str)>,
    },
}

/// Why a lock was lost, see [`Guard::why_lost`](crate::Guard::why_lost).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// Its deadline passed before a refresh was confirmed.
    #[error("it expired before it was refreshed")]
    Overdue,
    /// Another contender or an operator has broken it, or its files were removed.
    #[error("another contender or an operator has broken it")]
    Broken,
}

/// The file system reported success, but shows another time than the one that was set.
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

fn held_by(holder: Option<&Holder>, slots: Option<usize>) -> String {
    let advice = "retry with a longer time-out, or check that process";
    match (holder, slots) {
        (None, None) => unknown(),
        (None, Some(slots)) => format!("all {slots} slots are held; retry with a longer time-out"),
        (Some(holder), None) => format!("{holder} holds it; {advice}"),
        (Some(holder), Some(slots)) => format!("all {slots} slots are held, one of them by {holder}; {advice}"),
    }
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
        // One attempt, without waiting.
        0..10 => "immediately".into(),
        ms @ 10..10_000 => format!("within {}", typed(Duration::from_millis(ms))),
        ms => format!("within {}", typed(Duration::from_secs(ms / 1000))),
    }
}

fn name(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "an unknown holder".into(), Holder::to_string)
}

fn advised(advice: Option<(&str, &str)>) -> String {
    advice.map_or_else(String::new, |(name, advice)| format!("; on {name}: {advice}"))
}

fn hint(action: &str, cause: &io::Error) -> &'static str {
    match cause.kind() {
        _ if action == DOWNGRADE => {
            "; the lock is still held, and others may share it already; try again, or release it"
        }
        io::ErrorKind::InvalidInput if action == CREATE => {
            "; if names cannot hold the separator there, choose another one (--separator ^)"
        }
        io::ErrorKind::NotFound => "; make the directory first",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room for a file of a few hundred bytes",
        // An error that linklock made says itself what to do.
        io::ErrorKind::PermissionDenied if cause.raw_os_error().is_some() => match action.split(' ').next() {
            Some("look" | "list") => "; the user needs read and search permission in that directory",
            Some("read") => "; ask its owner or root",
            _ => "; the user needs write permission in that directory",
        },
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
            Repr::NoHardLinks { .. } | Repr::UnsafeFileSystem { .. } | Repr::ClockNotKnown { .. } => {
                ErrorKind::Unsupported
            }
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

    /// Whether the lock is lost: it was held, and it expired or was broken.
    pub fn is_lost(&self) -> bool {
        self.kind() == ErrorKind::Lost
    }

    /// The lock path. `None` for an invalid setting.
    pub fn path(&self) -> Option<&Path> {
        match &*self.0 {
            Repr::Timeout { path, .. }
            | Repr::TimeoutOfHidden { path, .. }
            | Repr::Cancelled { path, .. }
            | Repr::Lost { path, .. }
            | Repr::NotHeld { path, .. }
            | Repr::NotALock { path, .. }
            | Repr::NoHardLinks { path, .. }
            | Repr::UnsafeFileSystem { path, .. }
            | Repr::ClockNotKnown { path, .. }
            | Repr::CannotBreak { path, .. }
            | Repr::NotPrivate { path, .. }
            | Repr::Io { path, .. } => Some(&path.0),
            Repr::Invalid(_) => None,
        }
    }

    /// Who holds the lock, if that matters and could be read.
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

    /// The error of the file system, if that is the reason.
    pub fn io_error(&self) -> Option<&io::Error> {
        match &*self.0 {
            Repr::Io { cause, .. } | Repr::NoHardLinks { cause, .. } | Repr::CannotBreak { cause, .. } => Some(cause),
            _ => None,
        }
    }

    /// Whether the file system said no more than that: input/output error.
    pub(crate) fn is_input_output(&self) -> bool {
        const EIO: i32 = 5;
        cfg!(unix) && self.io_error().and_then(io::Error::raw_os_error) == Some(EIO)
    }

    pub(crate) fn why_lost(&self) -> Lost {
        if let Repr::Lost { why, .. } = &*self.0 { *why } else { Lost::Overdue }
    }

    /// `must_watch`: for how much longer the lock must be seen unchanged until it has expired, where clocks cannot be
    /// compared.
    pub(crate) fn timeout(path: &Path, waited: Duration, holder: Option<Holder>, must_watch: Option<Duration>) -> Self {
        Self::new(Repr::Timeout { path: Shown(path.into()), waited, holder, must_watch, break_lock: None, slots: None })
    }

    /// Adds that the lock has expired, but this break lock prevented the break.
    pub(crate) fn kept_by(mut self, path: &Path) -> Self {
        if let Repr::Timeout { break_lock, .. } = &mut *self.0 {
            *break_lock = Some(Shown(path.into()));
        }
        self
    }

    /// Adds that the lock has so many slots, and the holder that is named holds one of them.
    pub(crate) fn of_slots(mut self, number: usize) -> Self {
        if let Repr::Timeout { slots, .. } = &mut *self.0 {
            *slots = Some(number);
        }
        self
    }

    /// For a lock that this user may not read.
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

    /// `instead`: what to do about it.
    pub(crate) fn no_hard_links(path: &Path, cause: io::Error, instead: &'static str) -> Self {
        Self::new(Repr::NoHardLinks { path: Shown(path.into()), cause, instead, advice: None })
    }

    pub(crate) fn unsafe_file_system(
        path: &Path,
        protocol: &'static str,
        name: &'static str,
        why: &'static str,
        instead: &'static str,
    ) -> Self {
        Self::new(Repr::UnsafeFileSystem { path: Shown(path.into()), protocol, name, why, instead })
    }

    /// Adds what is known of the file system, if that may be why it took a call for a wrong one.
    pub(crate) fn advised(mut self, known: impl FnOnce() -> Option<(&'static str, &'static str)>) -> Self {
        if let Repr::Io { cause, advice, .. } | Repr::NoHardLinks { cause, advice, .. } = &mut *self.0
            && cause.kind() == io::ErrorKind::InvalidInput
        {
            *advice = known().filter(|(_, what)| !what.is_empty());
        }
        self
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
        Self::new(Repr::Io { path: Shown(path.into()), action, cause, advice: None })
    }

    fn new(repr: Repr) -> Self {
        Self(Box::new(repr))
    }
}

const CREATE: &str = "make a claim";
pub(crate) const DOWNGRADE: &str = "downgrade the lock";

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever parts a message has.
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
            let message = error.to_string();
            assert!(message.contains("a\\nb\\u{1b}[2J") && !message.contains(Printable::escapes), "{message:?}");
        }
    }
}
