//! Options of a lock: plain values.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// How a lock is kept on disk. Locks of both protocols on one path exclude each other.
///
/// ```
/// use linklock::{Lock, Protocol};
///
/// let lock = Lock::builder("/srv/shared/job.lock").protocol(Protocol::Dir).build()?;
/// # Ok::<_, linklock::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// A claim file, hard-linked to the lock path. Compatible with flufl.lock.
    #[default]
    Link,
    /// A claim directory, renamed to the lock path. Each name is used once, so no late request can remove another
    /// holder's lock. Needs no hard links.
    Dir,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Protocol {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Dir => "dir",
        }
    }
}

impl FromStr for Protocol {
    type Err = Error;

    /// Parses `link` or `dir`.
    ///
    /// ```
    /// assert_eq!("dir".parse::<linklock::Protocol>()?, linklock::Protocol::Dir);
    /// # Ok::<_, linklock::Error>(())
    /// ```
    fn from_str(name: &str) -> Result<Self, Error> {
        let known = [Self::Link, Self::Dir].into_iter().find(|protocol| protocol.name() == name);
        known.ok_or_else(|| Error::invalid(format!("protocol {name:?}: must be link or dir")))
    }
}

/// How a waiter learns that the lock is free, where the kernel does not tell it: on a shared file system, of another machine's
/// release.
///
/// ```
/// use linklock::{Lock, Wake};
///
/// let lock = Lock::builder("/srv/shared/job.lock").wake(Wake::Udp).build()?;
/// # Ok::<_, linklock::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Wake {
    /// It looks now and then. One of the waiters, whose bell is at the lock, looks more often.
    #[default]
    Poll,
    /// And whoever releases the lock sends the next waiter a datagram.
    Udp,
}

impl fmt::Display for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Wake {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Udp => "udp",
        }
    }
}

impl FromStr for Wake {
    type Err = Error;

    /// Parses `poll` or `udp`.
    ///
    /// ```
    /// assert_eq!("udp".parse::<linklock::Wake>()?, linklock::Wake::Udp);
    /// # Ok::<_, linklock::Error>(())
    /// ```
    fn from_str(name: &str) -> Result<Self, Error> {
        let known = [Self::Poll, Self::Udp].into_iter().find(|wake| wake.name() == name);
        known.ok_or_else(|| Error::invalid(format!("wake {name:?}: must be poll or udp")))
    }
}

/// On whose behalf a lock is acquired: when that process ends, the lock is abandoned.
///
/// ```
/// use linklock::{Lock, OnBehalfOf};
///
/// # let pid = std::process::id();
/// let lock = Lock::builder("/srv/shared/job.lock").on_behalf_of(OnBehalfOf::Process(pid)).build()?;
/// # Ok::<_, linklock::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OnBehalfOf {
    /// The process that acquires it.
    #[default]
    ThisProcess,
    /// Another process on this machine, by its pid.
    Process(u32),
    /// No process: the lock lasts until its expiry, whichever processes end.
    Nobody,
}
