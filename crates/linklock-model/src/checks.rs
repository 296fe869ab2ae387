//! What must hold in every state.

use crate::claim::FULL;
use crate::contender::{At, Contender, Role};
use crate::program;
use crate::run::{Net, Run};
use crate::state::{Harm, State};
use crate::world::World;

/// At most one contender trusts its lock, or only readers do.
pub fn one_holder(world: &World, state: &State) -> bool {
    let holders = || state.contenders.iter().filter(|contender| contender.trusts());
    world.clocks_fail || holders().count() <= 1 || holders().all(|holder| holder.role == Role::Reader)
}

/// Only its owner takes a claim from the lock path, while the owner trusts it.
pub fn no_live_claim_removed(world: &World, state: &State) -> bool {
    world.clocks_fail || state.harm != Some(Harm::LiveClaimRemoved)
}

/// No acquisition returns a lock whose deadline has passed.
pub fn none_expired_at_once(_: &World, state: &State) -> bool {
    state.harm != Some(Harm::ExpiredAtOnce)
}

/// No refresh counts if the lock is not ours.
pub fn no_blind_refresh(_: &World, state: &State) -> bool {
    state.harm != Some(Harm::BlindRefresh)
}

/// Fencing tokens grow in the order of the acquisitions.
pub fn tokens_grow(_: &World, state: &State) -> bool {
    state.harm != Some(Harm::TokensDoNotGrow)
}

/// More steps than a contender that is alone needs.
const STEPS_MOST: usize = 40;

/// If all have ended and time passes, whatever is left, a newcomer of each kind acquires the lock. Every contender can be killed
/// at every step, so this says of every state that the lock is not stuck in it.
pub fn never_stuck(world: &World, state: &State) -> bool {
    !state.contenders.iter().all(Contender::has_ended)
        || world.roles.iter().all(|role| newcomer_acquires(world, state, *role))
}

fn newcomer_acquires(world: &World, state: &State, role: Role) -> bool {
    let mut state = *state;
    // Whatever is still under way has arrived.
    for late in std::mem::take(&mut state.late).into_iter().flatten() {
        state.carry_out(late);
    }
    (0..FULL).for_each(|_| state.tick());
    let Some(who) = state.contenders.iter().position(|contender| contender.at == At::NotYet) else { return false };
    state.contenders[who] = Contender { role, ..Contender::default() };
    (0..STEPS_MOST).any(|_| {
        program::step(&mut Run::new(world, &mut state, who, Net::Fine));
        state.contenders[who].at == At::Hold
    })
}
