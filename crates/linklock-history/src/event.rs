//! The lines of a history: one JSON object each, in any order.

use serde::{Deserialize, Serialize};

/// What happened, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// An acquisition returned with the lock.
    Acquired {
        /// After the return.
        at: u64,
        /// Before the call.
        asked: u64,
        /// The deadline.
        until: u64,
        /// The lock, or the slot: by one name for all who contend for it, whatever its path is for them.
        lock: String,
        /// The claim's token, which no other hold has.
        hold: String,
        /// The process, by a name that no other process has.
        process: String,
        /// Whether it shares the lock.
        #[serde(default)]
        shares: bool,
        /// The fencing token.
        #[serde(default)]
        fence: Option<u64>,
    },
    /// The holder asked its guard at this time, and trusts the lock until `until`. A refresh moves that on.
    Kept {
        /// Before the guard was asked.
        at: u64,
        /// The deadline.
        until: u64,
        /// The claim's token.
        hold: String,
    },
    /// The holder stops to trust its lock: it is about to call release.
    Released {
        /// Before the call.
        at: u64,
        /// The claim's token.
        hold: String,
    },
    /// The guard said that the lock is lost.
    Lost {
        /// After it said so.
        at: u64,
        /// The claim's token.
        hold: String,
    },
    /// A process was killed.
    Killed {
        /// Before the kill.
        at: u64,
        /// After the process was gone.
        gone: u64,
        /// Its name.
        process: String,
    },
    /// A process asks a register.
    Asked {
        /// Before the call.
        at: u64,
        /// A name that no other operation has.
        operation: String,
        /// Which register.
        register: String,
        /// The process.
        process: String,
        /// The fencing token that it shows.
        fence: u64,
        /// What to write; nothing to read.
        #[serde(default)]
        write: Option<u64>,
    },
    /// The register answers.
    Answered {
        /// After the return.
        at: u64,
        /// Of which operation.
        operation: String,
        /// The value after it; nothing if it was refused.
        #[serde(default)]
        value: Option<u64>,
    },
}
