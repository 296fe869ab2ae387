//! What may be left beside a lock path, as an operator sees it.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::claim::Claim;
use crate::env::Location;
use crate::error::Error;
use crate::printable::Printable;

/// Something beside a lock path that has the name of a claim, or of another thing that contenders make there.
#[derive(Debug)]
#[non_exhaustive]
pub struct Leftover {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub kind: LeftoverKind,
    /// The name of the machine that made it.
    pub host: Option<String>,
    /// The process that it was made for, on that machine.
    pub pid: Option<u32>,
    /// When its lifetime ends or ended, by the file server's clock.
    pub expires_at: Option<SystemTime>,
    /// Whether it may be removed, and why.
    pub verdict: LeftoverVerdict,
}

/// What a [`Leftover`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeftoverKind {
    /// A claim: of a contender that waits, or of the holder.
    Claim,
    /// A lock that a breaker moved aside.
    BrokenClaim,
    /// A claim of the break lock, by which breakers take turns.
    BreakClaim,
    /// The break lock itself.
    BreakLock,
    /// A place in the queue.
    Ticket,
    /// The directory of the queue.
    Queue,
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
        })
    }
}

/// What is to be done with a [`Leftover`], or was.
#[derive(Debug)]
#[non_exhaustive]
pub enum LeftoverVerdict {
    /// May be removed: its process has ended.
    Dead,
    /// May be removed: it expired so long ago that nobody uses it any more.
    FarPast,
    /// May be removed: nothing is in it.
    Empty,
    /// Is kept: it holds the lock.
    Held,
    /// Is kept: its process is alive.
    Alive,
    /// Is kept: its process may be alive, on another machine.
    Recent {
        /// From then on it is taken for abandoned, by the file server's clock.
        until: SystemTime,
    },
    /// Is kept: it only has the name of a claim.
    NotAClaim(String),
    /// Is kept: this user cannot look at it.
    Unreadable(String),
    /// Was removed.
    Removed,
    /// Could not be removed.
    Failed(Error),
}

impl LeftoverVerdict {
    /// Whether it may be removed.
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

/// What has the name of something that contenders make.
pub(super) struct Found {
    pub(super) at: Location,
    pub(super) kind: LeftoverKind,
    /// Whose it is, if the name tells.
    pub(super) claim: Option<Claim>,
}
