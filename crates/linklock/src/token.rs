//! The name of a claim.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::printable::Printable;

/// The name of a claim in the lock's directory: `LOCK|HOST|PID|NONCE`. Whoever has it can refresh or release the lock
/// that the claim holds. No name is used for a second claim.
///
/// See [`Lock::adopt`](crate::Lock::adopt) and [`Guard::leave`](crate::Guard::leave).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(OsString);

impl Token {
    /// From a token's text, or from a claim's path. It is not checked here: only a lock can say whether it names one of
    /// its claims.
    pub fn new(name: impl AsRef<OsStr>) -> Self {
        let name = name.as_ref();
        Self(Path::new(name).file_name().unwrap_or(name).to_owned())
    }

    /// From a file name.
    pub(crate) fn of_name(name: OsString) -> Self {
        Self(name)
    }

    /// The name as it is on disk, for another process to use. For people, use `Display`.
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }
}

impl FromStr for Token {
    type Err = Infallible;

    /// Same as [`Token::new`].
    fn from_str(name: &str) -> Result<Self, Infallible> {
        Ok(Self::new(name))
    }
}

impl fmt::Display for Token {
    /// For people, as [`Printable`] prints a name. Use [`as_os_str`](Self::as_os_str) for the exact name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable::new(&self.0).fmt(f)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:?})", self.0)
    }
}
