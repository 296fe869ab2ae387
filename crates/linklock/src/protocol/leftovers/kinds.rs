//! The leftovers beside a lock path, as an operator sees them.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::claim::Claim;
use crate::env::Location;
use crate::error::Error;
use crate::printable::Printable;

/// Something beside a lock path with the name of a claim, or of anything else that contenders create there.
///
/// ```
/// use linklock::{Lock, Printable};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("job.lock");
/// let lock = Lock::new(path)?;
/// let (removable, kept): (Vec<_>, Vec<_>) =
///     lock.leftovers()?.into_iter().partition(|leftover| leftover.verdict.is_removable());
/// for leftover in kept {
///     println!("{}: kept, because {}", Printable::new(&leftover.path), leftover.verdict);
/// }
/// for leftover in lock.clean(removable)? {
///     println!("{}: {}", Printable::new(&leftover.path), leftover.verdict);
/// }
/// # Ok::<_, linklock::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Leftover {
    /// Its path.
    pub path: PathBuf,
    /// What it is.
    pub kind: LeftoverKind,
    /// The name of the machine that created it.
    pub host: Option<String>,
    /// The process on that machine on whose behalf it was created.
    pub pid: Option<u32>,
    /// When its lifetime ends or ended, on the file server's clock.
    pub expires_at: Option<SystemTime>,
    /// Whether it may be removed, and why; or what became of it.
    pub verdict: LeftoverVerdict,
}

/// The kinds of [`Leftover`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeftoverKind {
    /// A claim of a waiter or of the holder.
    Claim,
    /// A lock that a breaker moved aside.
    BrokenClaim,
    /// A claim of the break lock, by which breakers take turns.
    BreakClaim,
    /// The break lock itself.
    BreakLock,
    /// A ticket: a waiter's place in the queue.
    Ticket,
    /// The directory of the queue.
    Queue,
    /// The bell of a waiter on a shared file system, or a link beside a ticket by which the next in the queue says where it listens.
    Bell,
    /// The empty directory of a free lock, at the lock path itself. A release leaves it on NFS 4, a crash anywhere.
    FreeLock,
}

impl fmt::Display for LeftoverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Claim => "claim",
            Self::BrokenClaim => "broken claim",
            Self::BreakClaim => "claim of the break lock",
            Self::BreakLock => "break lock",
            Self::Ticket => "ticket",
            Self::Queue => "queue",
            Self::Bell => "bell",
            Self::FreeLock => "free lock",
        })
    }
}

/// Whether a [`Leftover`] may be removed, or what became of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum LeftoverVerdict {
    /// May be removed: its process has ended.
    Dead,
    /// May be removed: it expired so long ago that nobody uses it any more.
    FarPast,
    /// May be removed: it is an empty directory.
    Empty,
    /// Is kept: it holds the lock.
    Held,
    /// Is kept: its process is alive.
    Alive,
    /// Is kept: its process may be alive, on another machine.
    Recent {
        /// After this time, on the file server's clock, it may be removed.
        until: SystemTime,
    },
    /// Is kept: it only has the name of a claim. The text says what it is.
    NotAClaim(String),
    /// Is kept: this user cannot look at it. The text says why.
    Unreadable(String),
    /// Was removed.
    Removed,
    /// Could not be removed.
    Failed(Error),
}

impl LeftoverVerdict {
    /// Whether it may be removed: `Dead`, `FarPast` or `Empty`.
    pub fn is_removable(&self) -> bool {
        matches!(self, Self::Dead | Self::FarPast | Self::Empty)
    }
}

impl fmt::Display for LeftoverVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dead => f.write_str("its process has ended"),
            Self::FarPast => f.write_str("it expired long ago"),
            Self::Empty => f.write_str("it is empty"),
            Self::Held => f.write_str("it holds the lock"),
            Self::Alive => f.write_str("its process is alive"),
            Self::Recent { .. } => f.write_str("its process may be alive"),
            Self::NotAClaim(what) => write!(f, "it is {}, not a claim", Printable::new(what)),
            Self::Unreadable(why) => write!(f, "cannot look at it: {}", Printable::new(why)),
            Self::Removed => f.write_str("removed"),
            Self::Failed(e) => e.fmt(f),
        }
    }
}

/// Something with a name that contenders use.
pub(super) struct Found {
    pub(super) at: Location,
    pub(super) kind: LeftoverKind,
    /// Its claim, if the name tells.
    pub(super) claim: Option<Claim>,
}
