//! A register that is protected by fencing tokens: it refuses an operation with a smaller token than it has seen.

use crate::linear::Object;

/// The register.
#[derive(Clone, Copy, Debug)]
pub struct Register;

/// Its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// The greatest fencing token that it has seen.
    pub fence: u64,
    /// Its value.
    pub value: u64,
}

/// A call with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The fencing token that it shows.
    pub fence: u64,
    /// What it writes; nothing if it reads.
    pub write: Option<u64>,
    /// How it was answered.
    pub answer: Answer,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was carried out, and this is the value after it.
    Value(u64),
    /// It was refused for its fencing token.
    Refused,
    /// None came.
    Unknown,
}

impl Object for Register {
    type State = State;
    type Call = Call;

    fn apply(state: &State, call: &Call) -> Option<State> {
        let is_stale = call.fence < state.fence;
        let after = State { fence: call.fence, value: call.write.unwrap_or(state.value) };
        match call.answer {
            Answer::Value(value) => (!is_stale && value == after.value).then_some(after),
            Answer::Refused => is_stale.then_some(*state),
            Answer::Unknown => Some(if is_stale { *state } else { after }),
        }
    }
}
