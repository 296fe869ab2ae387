//! Fencing tokens grow strictly in the order in which the lock was won.

use crate::world::{Hold, World};

/// To be asked whenever somebody begins to believe.
pub(crate) fn on_belief(world: &mut World, new: &Hold) {
    let Some(fence) = new.fence else { return };
    if world.fences.contains_key(&new.token) {
        return;
    }
    // Of a lock that was moved away and put back, the last time counts.
    let Some(won) = world.wins.iter().rposition(|token| *token == new.token) else { return };
    let other = world.fences.values().find(|(other, number)| (*other < won) != (*number < fence)).copied();
    if let Some((_, other)) = other {
        world.violate(format!("fencing tokens do not grow: {fence} for {}, where {other} was given", new.token));
    }
    world.fences.insert(new.token.clone(), (won, fence));
}
