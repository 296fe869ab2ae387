//! Taking turns at the lock path: by a guard, which is a short dir lock at `LOCKPATH|break`.
//!
//! Whoever removes or moves the shared name without being its holder does it in turn. Of what has that name others then
//! cannot make anything else: a second one that acted on the same look would hit a successor.

use std::sync::Arc;
use std::time::Duration;

use super::{OnBehalfOf, Place, Protocol, ROUNDING, SLOW, Stake};
use crate::acquire;
use crate::error::Error;
use crate::printable::Printable;
use crate::wait::Wait;

/// Longer than the few calls of a turn take; not so long that one who is cut off holds up the others.
pub(super) const LIFETIME: Duration = Duration::from_secs(15);

/// It is ours, as long as [`is_ours`](Self::is_ours) says so. To be ended by [`end`](Self::end).
pub(super) struct Turn {
    guard: Place,
    stake: Stake,
}

/// Where the guard of a lock path is, and how it is taken.
pub(super) fn guard_of(place: &Place) -> Place {
    Place {
        path: place.path.breakers_guard(),
        protocol: Protocol::Dir,
        lifetime: LIFETIME,
        // Whomever the lock is for: the turn ends with who takes it, and not before.
        on_behalf_of: OnBehalfOf::ThisProcess,
        fence: false,
        queue: false,
        unchanged: Arc::clone(&place.guard_unchanged),
        ..place.clone()
    }
}

/// Waits until no other breaker has its turn: for as long as one that has died, or whatever only looks like one, is in the way.
pub(crate) fn wait(place: &Place) -> Result<(), Error> {
    let long_enough = LIFETIME + place.grace + 2 * SLOW + ROUNDING;
    Turn::take_within(place, &Wait::up_to(long_enough)).map(Turn::end)
}

impl Turn {
    /// `None` if it is another's.
    pub(super) fn take(place: &Place) -> Result<Option<Self>, Error> {
        match Self::take_within(place, &Wait::not_at_all()) {
            Ok(turn) => Ok(Some(turn)),
            Err(e) if e.is_timeout() => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn take_within(place: &Place, wait: &Wait) -> Result<Self, Error> {
        let guard = guard_of(place);
        acquire::acquire(&guard, wait).map(|stake| Self { guard, stake })
    }

    pub(super) fn is_ours(&self) -> bool {
        let holds = self.guard.protocol.steps().holds(&self.guard, &self.stake).unwrap_or(false);
        // The clock last: what it says holds for the very next call.
        holds && self.guard.env.now() < self.stake.lease.deadline
    }

    pub(super) fn end(self) {
        if let Err(e) = self.guard.protocol.steps().release(&self.guard, &self.stake) {
            tracing::warn!(guard = %Printable::new(self.guard.lock_path()), error = %e, "the breakers' guard could not be released");
        }
    }
}
