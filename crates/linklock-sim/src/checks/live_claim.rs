//! No live claim is taken from the lock path by anybody but its owner.

use crate::server::Request;
use crate::world::World;

/// To be asked after each request, with the token that was under the lock path before it.
pub(crate) fn after_request(world: &mut World, process: usize, before: &str, request: &Request) {
    if world.owner().is_some_and(|owner| owner == before) {
        return;
    }
    let robbed = world.believers().find(|hold| hold.token == before && hold.process != process).cloned();
    if let Some(robbed) = robbed {
        world.violate(format!(
            "a live claim is removed: {} of c{}, by c{process}: {request:?}",
            robbed.token, robbed.process
        ));
    }
}
