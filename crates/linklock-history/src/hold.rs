//! One hold of a lock.

use std::fmt;

/// A time in which a process trusted a lock: since its acquisition returned until it ended, the end excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The lock, or the slot: by one name for all who contend for it.
    pub lock: String,
    /// The claim's token, for messages.
    pub hold: String,
    /// The process, for messages.
    pub process: String,
    /// Whether it shares the lock.
    pub shares: bool,
    /// Before the acquisition was called.
    pub asked: u64,
    /// After the acquisition had returned.
    pub since: u64,
    /// When it ended: the call of release, the deadline, or the kill.
    pub until: u64,
    /// The fencing token.
    pub fence: Option<u64>,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.shares { " shared" } else { "" };
        write!(
            f,
            "{} held{how} by {} with {} from {} to {}",
            self.lock, self.process, self.hold, self.since, self.until
        )?;
        self.fence.map_or(Ok(()), |fence| write!(f, ", fencing token {fence}"))
    }
}
