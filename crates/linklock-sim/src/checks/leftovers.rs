//! Nothing is left beside the lock path after everyone ended in order.

use crate::config::LOCK;
use crate::world::World;

/// To be asked when nobody runs any more.
pub(crate) fn at_the_end(world: &mut World) {
    let mut names = world.names();
    // The counter of fencing tokens stays.
    names.retain(|name| !(world.config.fence && *name == format!("{}|fence", LOCK)));
    // A process that was killed leaves its claim, and a request that comes late may make one.
    let in_order = world.config.faults.kills == 0 && world.config.faults.late_requests == 0;
    if in_order && !names.is_empty() {
        world.violate(format!("left over: {names:?}"));
    }
}
