//! Only its owner removes a live claim from the lock path.

use crate::server::Request;
use crate::world::{Hold, World};

/// Call it after a request removed the token `before` from the lock path.
pub(crate) fn on_removal(world: &mut World, process: usize, before: &str, request: &Request) {
    if world.config.clocks_fail || world.config.is_left_to_the_judge {
        return;
    }
    let is_its = |hold: &Hold| hold.token == before || hold.was.as_deref() == Some(before);
    let robbed = world.believers().find(|hold| is_its(hold) && hold.process != process).cloned();
    if let Some(robbed) = robbed {
        world.violate(format!(
            "a live claim is removed: {} of c{}, by c{process}: {request:?}",
            robbed.token, robbed.process
        ));
    }
}
