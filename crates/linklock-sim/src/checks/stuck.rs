//! Once the faults end, the lock can be had.

use crate::error::Error;
use crate::world::World;

/// With what the last process, which comes alone, was told.
pub(crate) fn at_the_end(world: &mut World, acquired: Result<(), Error>) {
    if let Err(e) = acquired {
        let names = world.names();
        world.violate(format!("the lock is stuck: {e}; there are {names:?}"));
    }
}
