//! No acquisition returns a lock whose deadline has passed.

use crate::time::LocalTime;
use crate::world::World;

/// Call it when an acquisition returns.
pub(crate) fn on_acquisition(world: &mut World, process: usize, deadline: LocalTime) {
    if world.local_now(world.processes[process].host) >= deadline {
        world.violate(format!("expired at once: c{process} acquired a lock whose deadline has passed"));
    }
}
