//! After the faults end, the lock can be acquired.

use crate::error::Error;
use crate::world::World;

/// Call it with the result of the last process, which runs alone.
pub(crate) fn at_the_end(world: &mut World, acquired: Result<(), Error>) {
    if let Err(e) = acquired {
        let names = world.names();
        world.violate(format!("the lock is stuck: {e}; there are {names:?}"));
    }
}
