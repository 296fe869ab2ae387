//! What a history shows.

use std::fmt;

use serde::Serialize;

use crate::hold::Hold;
use crate::linear::Stuck;

/// A violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Two holds that exclude each other overlap.
    Overlap(Box<[Hold; 2]>),
    /// The second was asked for after the first was given, and its fencing token is not greater.
    Fence(Box<[Hold; 2]>),
    /// It was lost at this time, before its deadline.
    Lost(Box<Hold>, u64),
    /// The operations on a register have no order.
    Register {
        /// Which.
        register: String,
        /// The operation at whose return the search ended.
        operation: String,
        /// Why.
        why: Stuck,
    },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlap(both) => {
                let [one, other] = &**both;
                let ms = (one.until.min(other.until) - other.since) as f64 / 1e6;
                write!(f, "two holders at once, for {ms:.3} ms: {one}; {other}")
            }
            Self::Fence(both) => write!(f, "fencing tokens do not grow: {}; then {}", both[0], both[1]),
            Self::Lost(hold, at) => {
                let ms = (hold.until - at) as f64 / 1e6;
                write!(f, "a lock was lost {ms:.3} ms before its deadline: {hold}; lost at {at}")
            }
            Self::Register { register, operation, why: Stuck::NoOrder(_) } => {
                write!(f, "register {register}: no order of its operations explains the answer to {operation}")
            }
            Self::Register { register, operation, why: Stuck::TooMany(_) } => {
                write!(
                    f,
                    "register {register}: undecided, since too many orders are possible at the answer to {operation}"
                )
            }
        }
    }
}

/// How much was judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Locks, and slots.
    pub locks: usize,
    /// Holds that lasted a moment at least.
    pub holds: usize,
    /// Those of them that were shared.
    pub shared: usize,
    /// Those that a kill ended.
    pub killed: usize,
    /// Those that the deadline ended.
    pub expired: usize,
    /// Operations on registers.
    pub operations: usize,
    /// Those of them that were refused.
    pub refused: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} holds of {} locks ({} shared, {} ended by a kill, {} by the deadline), {} operations on registers ({} refused)",
            self.holds, self.locks, self.shared, self.killed, self.expired, self.operations, self.refused
        )
    }
}
