//! One run: processes that take the lock in turn, fate, and a last process that must get it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;

use shuttle::thread;

use crate::acquire;
use crate::checks;
use crate::claim::LockPath;
use crate::client::SimEnv;
use crate::config::Config;
use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::flufl::Flufl;
use crate::lease::LocalTime;
use crate::protocol::{OnBehalfOf, Place, Stake};
use crate::wait::Wait;
use crate::world::{Hold, Killed, Sim, random};

/// What came of a run.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) violation: Option<String>,
    pub(crate) story: Vec<String>,
    /// How often a lock was held, to see that the run was about something.
    pub(crate) holds: u32,
}

/// Runs within shuttle.
pub(crate) fn run(config: &Config) -> Outcome {
    let sim = Sim::new(config);
    let last = config.hosts.len();
    let mut threads = Vec::new();
    for number in 0..last {
        let (sim, config) = (Arc::clone(&sim), config.clone());
        let contend = if config.flufl { contend_as_flufl } else { contend };
        threads.push(thread::spawn(move || live(&sim, number, |env| contend(env, &config, number))));
    }
    // Without numbers to draw there is no fate: only the order of steps.
    let fate = config.random.then(|| {
        let sim = Arc::clone(&sim);
        thread::spawn(move || sim.fate())
    });
    let holds = threads.into_iter().map(|thread| thread.join().ok().flatten().unwrap_or_default()).sum();
    sim.with(|world| {
        world.calm = true;
        world.tell("world", || "the faults are over".into());
    });
    sim.ring();
    live(&sim, last, |env| come_last(env, config));
    sim.with(|world| world.over = true);
    sim.ring();
    if let Some(fate) = fate {
        drop(fate.join());
    }
    sim.with(|world| {
        checks::leftovers::at_the_end(world);
        Outcome { violation: world.violation.clone(), story: std::mem::take(&mut world.story), holds }
    })
}

/// Lives until the end, or until it is killed.
fn live<R>(sim: &Arc<Sim>, number: usize, life: impl FnOnce(&SimEnv) -> R) -> Option<R> {
    let env = SimEnv { sim: Arc::clone(sim), number };
    sim.with(|world| world.processes[number].ended = false);
    let lived = catch_unwind(AssertUnwindSafe(|| life(&env)));
    sim.with(|world| {
        world.processes[number].ended = true;
        world.processes[number].waiting_until = None;
        world.holds.remove(&number);
    });
    sim.ring();
    match lived {
        Ok(result) => Some(result),
        Err(cause) if cause.is::<Killed>() => None,
        Err(cause) => resume_unwind(cause),
    }
}

pub(crate) fn place(env: &SimEnv, config: &Config) -> Option<Place> {
    let path = Path::new(crate::DIR).join(crate::LOCK);
    Some(Place {
        env: Arc::new(env.clone()),
        path: LockPath::new(&path, '|').ok()?,
        protocol: config.protocol(env.number),
        host: env.host_name(),
        lifetime: config.lifetime,
        grace: config.grace,
        mode: 0o644,
        recover_dead: true,
        on_behalf_of: OnBehalfOf::ThisProcess,
        command: None,
        fence: config.fence,
        queue: config.queue,
        unchanged: Arc::default(),
        guard_unchanged: Arc::default(),
    })
}

fn contend(env: &SimEnv, config: &Config, number: usize) -> u32 {
    let Some(place) = place(env, config) else { return 0 };
    let mut holds = 0;
    for _ in 0..config.cycles {
        let patience = if config.random { random(3) } else { 0 };
        let wait = Wait::up_to(config.lifetime * patience);
        match acquire::acquire(&place, &wait) {
            Ok(stake) => {
                holds += 1;
                hold(env, config, &place, stake);
            }
            Err(e) if matches!(e.kind(), ErrorKind::Timeout) => {}
            Err(e) => env.sim.with(|world| world.violate(format!("c{number} met an error that nobody made: {e}"))),
        }
    }
    holds
}

fn contend_as_flufl(env: &SimEnv, config: &Config, _: usize) -> u32 {
    let mut holds = 0;
    for _ in 0..config.cycles {
        let lock = Flufl::new(env, config);
        if let Ok(Some(deadline)) = lock.lock(config.lifetime * 3) {
            holds += 1;
            trust(env, lock.token(), None, deadline);
            env.sleep(config.lifetime * random(4) / 2);
            env.sim.with(|world| world.holds.remove(&env.number));
            lock.unlock();
        }
    }
    holds
}

fn hold(env: &SimEnv, config: &Config, place: &Place, mut stake: Stake) {
    env.sim.with(|world| checks::told::on_acquisition(world, env.number, stake.lease.deadline));
    believe(env, &stake);
    let steps = if config.random { random(4) } else { 0 };
    for _ in 0..steps {
        match random(4) {
            0 => env.sleep(config.lifetime / 3),
            1 => env.sleep(config.lifetime * 3 / 2),
            _ => {
                let limit = stake.lease.deadline;
                if place.refresh(&mut stake, config.lifetime, limit).is_err_and(|e| e.is_lost()) {
                    break;
                }
                believe(env, &stake);
            }
        }
    }
    // From here on it does nothing more under the lock.
    env.sim.with(|world| {
        world.tell(&format!("c{}", env.number), || "releases".into());
        world.holds.remove(&env.number)
    });
    let _ = release(place, &stake);
}

fn release(place: &Place, stake: &Stake) -> Result<(), Error> {
    place.protocol.steps().release(place, stake)
}

/// Trusts the lock, up to the stake's deadline.
pub(crate) fn believe(env: &SimEnv, stake: &Stake) {
    trust(env, stake.claim.token.to_string(), stake.fence, stake.lease.deadline);
}

fn trust(env: &SimEnv, token: String, fence: Option<u64>, deadline: LocalTime) {
    let hold = Hold { process: env.number, token, fence, deadline };
    env.sim.with(|world| {
        if world.local_now(world.processes[env.number].host) < hold.deadline {
            world.tell(&format!("c{}", env.number), || {
                format!("holds the lock with {}, number {:?}", hold.token, hold.fence)
            });
            world.holds.insert(env.number, hold.clone());
            checks::one_holder::on_belief(world, &hold);
            checks::fencing::on_belief(world, &hold);
        }
    });
}

fn come_last(env: &SimEnv, config: &Config) {
    let Some(place) = place(env, config) else { return };
    // An expiry that was written through a slow network lies as far in the future as the network took, not farther.
    let patience = config.lifetime * 300;
    let acquired = acquire::acquire(&place, &Wait::up_to(patience)).and_then(|stake| release(&place, &stake));
    env.sim.with(|world| checks::stuck::at_the_end(world, acquired));
}
