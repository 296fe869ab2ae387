//! The judge of recorded histories finds no two holders either.

use linklock_history::Hold as Judged;

use crate::world::{Hold, World};

/// Call it whenever a process trusts its lock in another way than before.
pub(crate) fn on_belief(world: &mut World, new: &Hold) {
    // Whose owner has ended, or whose deadline has passed, trusts nothing, whatever it is still about to do.
    if !world.believes(new) {
        return;
    }
    let since = world.now.as_nanos() as u64;
    let hold = Judged {
        lock: world.config.locks()[new.lock].into(),
        hold: new.token.clone(),
        process: format!("c{}", new.process),
        shares: new.shares,
        asked: since,
        since,
        until: end_of(world, new),
        // A lock that is moved away and put back gets its place by its last appearance, which a history does not show.
        fence: None,
    };
    world.believed.begins(new.process, hold);
}

/// When the process's clock reaches the deadline. Clocks drift by 150 millionths at most: it is never too late, and by that too early.
fn end_of(world: &World, hold: &Hold) -> u64 {
    let local_now = world.local_now(world.processes[hold.process].host);
    let left = hold.deadline.as_nanos().saturating_sub(local_now.as_nanos());
    (world.now.as_nanos() as u64 + left).saturating_sub(left / 1_000_000 * 150 + 1000)
}

pub(crate) fn at_the_end(world: &mut World) {
    // After another violation all are killed.
    if world.config.clocks_fail || world.violation.is_some() {
        return;
    }
    if let Some(broken) = world.believed.judge() {
        world.violate(format!("the judge of the history: {broken}"));
    }
}
