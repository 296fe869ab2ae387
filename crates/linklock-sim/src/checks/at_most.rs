//! No more processes believe at the same time that they hold a slot than there are slots.

use crate::config::SLOTS;
use crate::world::World;

/// Call it whenever a process begins to trust its slot, or trusts it for longer.
pub(crate) fn on_belief(world: &mut World) {
    if world.config.clocks_fail || !world.config.has_slots {
        return;
    }
    let holders = world.believers().count();
    if holders > SLOTS.len() {
        world.violate(format!("{holders} holders of {} slots", SLOTS.len()));
    }
}
