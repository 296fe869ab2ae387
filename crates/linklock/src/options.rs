//! What a lock can be told to be: plain values.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// How a lock is kept on disk. Locks of different protocols on one path exclude each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// A claim file, linked to the lock path: compatible with flufl.lock.
    #[default]
    Link,
    /// A claim directory, renamed to the lock path: names are used once, so nothing late can remove another's lock. Needs
    /// no hard links.
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

    /// From its name, `link` or `dir`.
    ///
    /// ```
    /// assert_eq!("dir".parse::<linklock::Protocol>()?, linklock::Protocol::Dir);
    /// # Ok::<_, linklock::Error>(())
    /// ```
    fn from_str(name: &str) -> Result<Self, Error> {
        let known = [Self::Link, Self::Dir].into_iter().find(|protocol| protocol.name() == name);
        known.ok_or_else(|| Error::invalid(format!("protocol {name:?}: there are link and dir")))
    }
}

/// For whom a lock is taken: whose death makes it dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OnBehalfOf {
    /// The process that acquires it.
    #[default]
    ThisProcess,
    /// Another process of this machine, by its pid.
    Process(u32),
    /// None: the lock outlives every process, up to its expiry.
    Nobody,
}
