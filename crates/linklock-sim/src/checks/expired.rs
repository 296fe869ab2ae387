//! No acquisition and no downgrade returns a lock whose deadline has passed.

use crate::time::LocalTime;
use crate::world::World;

/// Call it when an acquisition returns.
pub(crate) fn on_acquisition(world: &mut World, process: usize, deadline: LocalTime) {
    if world.local_now(world.processes[process].host) >= deadline {
        world.violate(format!("expired at once: c{process} acquired a lock whose deadline has passed"));
    }
}

/// Call it when a downgrade has succeeded.
pub(crate) fn on_downgrade(world: &mut World, process: usize, deadline: LocalTime) {
    if world.local_now(world.processes[process].host) >= deadline {
        world.violate(format!("expired at once: c{process} downgraded a lock whose deadline has passed"));
    }
}
