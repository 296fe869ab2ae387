//! The name of a claim.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::printable::Printable;

/// The name of a claim, as it stands in the lock's directory: `LOCK|HOST|PID|NONCE`. Whoever has it can refresh or
/// release the lock that the claim holds; no name is ever used for a second claim.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(OsString);

impl Token {
    /// From a text that was a token before, or from a claim's path. Whether it names a claim of some lock, only that lock
    /// can tell.
    pub fn new(name: impl AsRef<OsStr>) -> Self {
        let name = name.as_ref();
        Self(Path::new(name).file_name().unwrap_or(name).to_owned())
    }

    /// From the name of a file.
    pub(crate) fn of_name(name: OsString) -> Self {
        Self(name)
    }

    /// The name itself, as it is on disk: what is printed for another process to use. For people there is `Display`.
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }
}

impl FromStr for Token {
    type Err = Infallible;

    /// As [`Token::new`].
    fn from_str(name: &str) -> Result<Self, Infallible> {
        Ok(Self::new(name))
    }
}

impl fmt::Display for Token {
    /// For people, as [`Printable`] shows a name: use [`as_os_str`](Self::as_os_str) to keep what is escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable::new(&self.0).fmt(f)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:?})", self.0)
    }
}
