//! Fencing tokens grow strictly, in the order of the acquisitions of one lock path.

use crate::world::{Hold, World};

/// Call it whenever a process begins to trust its lock.
pub(crate) fn on_belief(world: &mut World, new: &Hold) {
    let Some(fence) = new.fence else { return };
    if world.fences.contains_key(&new.token) {
        return;
    }
    // If a lock was moved away and put back, its last appearance counts.
    let Some(won) = world.wins.iter().rposition(|token| *token == new.token) else { return };
    let mut same_lock = world.fences.values().filter(|(lock, ..)| *lock == new.lock);
    let other = same_lock.find(|(_, other, number)| (*other < won) != (*number < fence)).copied();
    if let Some((.., other)) = other {
        world.violate(format!("fencing tokens do not grow: {fence} for {}, where {other} was given", new.token));
    }
    world.fences.insert(new.token.clone(), (new.lock, won, fence));
}
