//! After all processes have ended in order, no file is left beside the lock path.

use crate::config::LOCK;
use crate::world::World;

/// Call it after all processes have ended.
pub(crate) fn at_the_end(world: &mut World) {
    let mut names = world.names();
    // The counter of fencing tokens stays.
    names.retain(|name| !(world.config.fence && *name == format!("{}|fence", LOCK)));
    // A killed process leaves its claim, and a late request may create one.
    let in_order = world.config.faults.kills == 0 && world.config.faults.late_requests == 0;
    if in_order && !names.is_empty() {
        world.violate(format!("left over: {names:?}"));
    }
}
