//! A downgrade says that a lock is lost only if it is: past its deadline, or not at the lock path.

use crate::world::World;

/// Call it when a downgrade has said so.
pub(crate) fn on_loss(world: &mut World, process: usize) {
    let Some(hold) = world.holds.get(&process).filter(|hold| world.believes(hold)).cloned() else { return };
    if world.owners().contains(&hold.token) {
        world.violate(format!("a live lock is given up: {} of c{process}", hold.token));
    }
}
