//! Nobody is told that he has a lock whose deadline is over.

use crate::time::LocalTime;
use crate::world::World;

/// To be asked when an acquisition returns.
pub(crate) fn on_acquisition(world: &mut World, process: usize, deadline: LocalTime) {
    if world.local_now(world.processes[process].host) >= deadline {
        world.violate(format!("told wrongly: c{process} is given a lock whose deadline is over"));
    }
}
