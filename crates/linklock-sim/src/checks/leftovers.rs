//! After all processes have ended in order, no file is left beside the lock path, and nothing at it but a free lock.

use crate::config::Config;
use crate::options::Protocol;
use crate::world::World;

/// Call it after all processes have ended.
pub(crate) fn at_the_end(world: &mut World) {
    let mut names = world.names();
    let locks = world.config.locks();
    // The counter of fencing tokens stays.
    let is_counter = |name: &String| locks.iter().any(|lock| *name == format!("{lock}|fence"));
    names.retain(|name| !(world.config.fence && is_counter(name)));
    // So does the empty directory of a free lock, where the last holder used `dir` on NFS 4 and no user is in another's way.
    let is_dir = world.processes.last().is_some_and(|last| last.settings.protocol == Protocol::Dir);
    let may_stay = is_dir && world.config.one_remove && !world.config.sticky;
    for lock in locks {
        let stays = may_stay && world.is_free_lock(lock);
        names.retain(|name| !(stays && name == lock));
    }
    // A killed process leaves its claim, a late request may create one, and a removal may be given up.
    let Config { faults, is_soft, .. } = world.config;
    let in_order = faults.kills == 0 && faults.late_requests == 0 && !is_soft;
    if in_order && !names.is_empty() {
        world.violate(format!("left over: {names:?}"));
    }
}
