//! No two processes believe at the same time that they hold the lock, unless both share it.

use crate::world::{Hold, World};

/// Call it whenever a process begins to trust its lock, or trusts it for longer.
pub(crate) fn on_belief(world: &mut World, new: &Hold) {
    if world.config.clocks_fail || world.config.is_left_to_the_judge {
        return;
    }
    let excludes = |hold: &&Hold| hold.process != new.process && hold.lock == new.lock && !(hold.shares && new.shares);
    let other = world.believers().find(excludes).cloned();
    if let Some(other) = other {
        world.violate(format!(
            "two holders: c{} with {} and c{} with {}",
            other.process, other.token, new.process, new.token
        ));
    }
}
