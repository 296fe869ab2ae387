//! What a holder is told is so: that it has the lock, and that it still has it.

use crate::lease::LocalTime;
use crate::world::World;

/// To be asked when an acquisition returns.
pub(crate) fn on_acquisition(world: &mut World, process: usize, deadline: LocalTime) {
    if world.local_now(world.processes[process].host) >= deadline {
        world.violate(format!("told wrongly: c{process} is given a lock whose deadline is over"));
    }
}

/// To be asked when a refresh has counted; `before` is whose lock it was when the refresh began.
pub(crate) fn on_refresh(world: &mut World, process: usize, token: &str, before: Option<&str>) {
    if before != Some(token) && world.owner().is_none_or(|owner| owner != token) {
        world.violate(format!("told wrongly: c{process} has refreshed {token}, which was {before:?}'s lock"));
    }
}
