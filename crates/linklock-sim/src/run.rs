//! One run: contending processes, time and faults, and a last process that must acquire the lock.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;

use shuttle::thread;

use crate::acquire::{self, Group};
use crate::chance::random;
use crate::checks;
use crate::client::{SHELL, SimEnv};
use crate::config::{Config, DIR, LOCK, SLOTS};
use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::flufl::Flufl;
use crate::lock_path::LockPath;
use crate::options::OnBehalfOf;
use crate::protocol::place::{Order, Place};
use crate::protocol::stake::Stake;
use crate::protocol::steps;
use crate::server::Request;
use crate::settings::{Owner, Settings};
use crate::sim::{Killed, Sim};
use crate::time::LocalTime;
use crate::wait::Wait;
use crate::world::{Hold, World};

/// The result of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) violation: Option<String>,
    pub(crate) story: Vec<String>,
    /// How often a process held the lock. A run without holds tests nothing.
    pub(crate) holds: u32,
    /// How many locks were lost because a delegation delayed their refresh.
    pub(crate) lost_by_delay: u32,
}

/// Call it within shuttle.
pub(crate) fn run(config: &Config) -> Outcome {
    let sim = Sim::new(config);
    let last = config.hosts.len();
    let mut threads = Vec::new();
    let contend = if config.flufl { contend_as_flufl } else { contend };
    for number in 0..last {
        let sim = Arc::clone(&sim);
        threads.push(thread::spawn(move || live(&sim, number, contend)));
    }
    // Without random numbers there are no faults: only the order of steps differs.
    let fate = config.random.then(|| {
        let sim = Arc::clone(&sim);
        thread::spawn(move || sim.fate())
    });
    let holds = threads.into_iter().map(|thread| thread.join().ok().flatten().unwrap_or_default()).sum();
    sim.with(|world| {
        world.calm = true;
        world.tell("world", || "no more faults".into());
    });
    sim.ring();
    live(&sim, last, come_last);
    sim.with(|world| world.over = true);
    sim.ring();
    if let Some(fate) = fate {
        drop(fate.join());
    }
    sim.with(|world| {
        checks::leftovers::at_the_end(world);
        checks::history::at_the_end(world);
        Outcome {
            violation: world.violation.clone(),
            story: std::mem::take(&mut world.story),
            holds,
            lost_by_delay: world.lost_by_delay,
        }
    })
}

/// Runs a process until its end, or until it is killed.
fn live<R>(sim: &Arc<Sim>, number: usize, life: impl FnOnce(&SimEnv) -> R) -> Option<R> {
    let env = SimEnv { sim: Arc::clone(sim), number };
    sim.with(|world| world.processes[number].ended = false);
    let lived = catch_unwind(AssertUnwindSafe(|| life(&env)));
    sim.with(|world| end(world, number));
    sim.ring();
    match lived {
        Ok(result) => Some(result),
        Err(cause) if cause.is::<Killed>() => None,
        Err(cause) => resume_unwind(cause),
    }
}

/// Cleans up after a process that has ended or was killed.
fn end(world: &mut World, number: usize) {
    let process = &mut world.processes[number];
    (process.ended, process.waiting_until, process.put_off_until) = (true, None, None);
    close_all(world, number);
    // A lock on behalf of another process stays held.
    if world.processes[number].settings.owner == Owner::Itself {
        world.cease(number);
    }
}

/// Closes the files of an ended process, as the kernel does.
fn close_all(world: &mut World, process: usize) {
    let host = world.processes[process].host;
    for (dir, name) in world.hosts[host].open.close(process) {
        let sent = world.send(process, &Request::Remove { dir, name });
        // If the machine is cut off, the request may come late, or never.
        if world.hosts[host].cut_off {
            world.late.push(sent);
        } else {
            drop(world.carry_out(&sent));
        }
    }
}

pub(crate) fn place(env: &SimEnv) -> Option<Place> {
    let path = Path::new(DIR).join(LOCK);
    let Settings { protocol, lifetime, grace, recover_dead, owner, queue, shared, wake, fence, .. } = env.settings();
    Some(Place {
        env: Arc::new(env.clone()),
        path: LockPath::new(&path, '|').ok()?,
        protocol,
        host: env.host_name(),
        lifetime,
        grace,
        mode: 0o644,
        recover_dead,
        on_behalf_of: match owner {
            Owner::Itself => OnBehalfOf::ThisProcess,
            Owner::Shell => OnBehalfOf::Process(SHELL),
            Owner::Nobody => OnBehalfOf::Nobody,
        },
        command: None,
        fence,
        order: if queue { Order::Arrival } else { Order::Any },
        shared,
        wake,
        limit: None,
        listed: None,
        allow_unsafe: false,
        checked: Arc::default(),
        unchanged: Arc::default(),
        break_lock_unchanged: Arc::default(),
    })
}

/// Where a process contends: for a lock, or for a slot of it.
struct Ground {
    base: Arc<Place>,
    slots: Vec<Place>,
}

impl Ground {
    fn of(env: &SimEnv) -> Option<Self> {
        let base = Arc::new(place(env)?);
        let number = if env.sim.with(|world| world.config.has_slots) { SLOTS.len() } else { 0 };
        let slots = (1..=number).map(|n| Place::slot(&base, n)).collect();
        Some(Self { base, slots })
    }

    /// Tells which lock path was won, too.
    fn acquire(&self, wait: &Wait) -> Result<(usize, Stake), Error> {
        if self.slots.is_empty() {
            return acquire::acquire(&self.base, wait).map(|stake| (0, stake));
        }
        let slots: Vec<_> = self.slots.iter().collect();
        acquire::acquire_any(Group { base: &self.base, slots: &slots }, wait)
    }

    fn lock(&self, number: usize) -> &Place {
        self.slots.get(number).unwrap_or(&self.base)
    }
}

fn contend(env: &SimEnv) -> u32 {
    let Some(ground) = Ground::of(env) else { return 0 };
    let (random_patience, cycles, longest) =
        env.sim.with(|world| (world.config.random, world.config.cycles, world.bounds.longest_lifetime));
    let mut holds = 0;
    for _ in 0..cycles {
        let patience = if random_patience { random(3) } else { 0 };
        match ground.acquire(&Wait::up_to(longest * patience)) {
            Ok((lock, stake)) => {
                holds += 1;
                hold(env, ground.lock(lock), lock, stake);
            }
            Err(e) if matches!(e.kind(), ErrorKind::Timeout) => {}
            Err(e) if is_refused(env, &e) => {}
            Err(e) if was_given_up(&e) && env.sim.with(|world| world.config.is_soft) => {}
            Err(e) => env.sim.with(|world| {
                // An error after the owner has ended does no harm.
                if !world.owner_is_dead(env.number) {
                    world.violate(format!("c{} met an error that nobody made: {e}", env.number));
                }
            }),
        }
    }
    holds
}

/// Whether the protocol rightly refused a file system on which it cannot work.
fn is_refused(env: &SimEnv, e: &Error) -> bool {
    e.kind() == ErrorKind::Unsupported && env.sim.with(|world| world.config.times.ignores_times)
}

/// Whether a client gave up the request that failed.
fn was_given_up(e: &Error) -> bool {
    e.io_error().is_some_and(|e| e.kind() == std::io::ErrorKind::TimedOut)
}

fn contend_as_flufl(env: &SimEnv) -> u32 {
    let (mut holds, lifetime) = (0, env.settings().lifetime);
    for _ in 0..env.sim.with(|world| world.config.cycles) {
        let lock = Flufl::new(env);
        if let Ok(Some(deadline)) = lock.lock(lifetime * 3) {
            holds += 1;
            let token = lock.token();
            trust(env, Hold { process: env.number, lock: 0, token, was: None, shares: false, fence: None, deadline });
            env.sleep(lifetime * random(4) / 2);
            env.sim.with(|world| world.cease(env.number));
            lock.unlock();
        }
    }
    holds
}

/// What a holder may do that others share the lock with.
const DOWNGRADE: u32 = 4;

fn hold(env: &SimEnv, place: &Place, lock: usize, mut stake: Stake) {
    env.sim.with(|world| checks::expired::on_acquisition(world, env.number, stake.lease.deadline));
    believe(env, lock, &stake);
    let (random_steps, lifetimes) =
        env.sim.with(|world| (world.config.random, world.config.new_lifetimes.then_some(world.config.lifetimes)));
    let downgrades = env.settings().downgrades;
    let steps = if random_steps { random(4) } else { downgrades.into() };
    for _ in 0..steps {
        let lifetime = stake.lease.lifetime;
        let act = if random_steps { random(4 + u32::from(downgrades)) } else { DOWNGRADE };
        match act {
            0 => env.sleep(lifetime / 3),
            1 => env.sleep(lifetime * 3 / 2),
            DOWNGRADE => {
                if !downgrade(env, place, lock, &mut stake) {
                    break;
                }
            }
            _ => {
                let limit = stake.lease.deadline;
                let lifetime = lifetimes.map_or(lifetime, |all| all[random(all.len() as u32) as usize]);
                trust_no_longer(env, env.now() + lifetime);
                env.sim.with(|world| world.processes[env.number].was_put_off = false);
                if steps::refresh(place, &mut stake, lifetime, limit).is_err_and(|e| e.is_lost()) {
                    env.sim.with(|world| world.lost_by_delay += u32::from(world.processes[env.number].was_put_off));
                    break;
                }
                believe(env, lock, &stake);
            }
        }
    }
    // From here on it does no work under the lock.
    env.sim.with(|world| {
        world.tell(&format!("c{}", env.number), || "releases".into());
        world.cease(env.number);
    });
    let _ = release(place, &stake);
}

/// Returns whether the lock is still held.
fn downgrade(env: &SimEnv, place: &Place, lock: usize, stake: &mut Stake) -> bool {
    let (limit, was) = (stake.lease.deadline, stake.claim.token.to_string());
    let token = if stake.claim.is_shared { was.clone() } else { stake.claim.to_be_shared().token.to_string() };
    env.sim.with(|world| {
        // From here on others may share it: it may be carried out at any moment.
        let shares = !world.config.trusts_to_be_alone;
        if let Some(hold) = world.holds.get_mut(&env.number) {
            (hold.token, hold.was, hold.shares) = (token, Some(was), hold.shares || shares);
            let hold = hold.clone();
            checks::history::on_belief(world, &hold);
        }
    });
    match steps::downgrade(place, stake, limit) {
        Ok(()) => {
            env.sim.with(|world| checks::expired::on_downgrade(world, env.number, limit));
            believe(env, lock, stake);
            true
        }
        Err(e) if e.is_lost() => {
            env.sim.with(|world| checks::given_up::on_loss(world, env.number));
            false
        }
        // It may be carried out at any later time.
        Err(e) if was_given_up(&e) => true,
        Err(e) => {
            env.sim.with(|world| world.violate(format!("c{} met an error that nobody made: {e}", env.number)));
            false
        }
    }
}

fn release(place: &Place, stake: &Stake) -> Result<(), Error> {
    steps::release(place, stake)
}

/// Makes the process trust the lock up to the stake's deadline.
pub(crate) fn believe(env: &SimEnv, lock: usize, stake: &Stake) {
    let (token, deadline, shares) = (stake.claim.token.to_string(), stake.lease.deadline, stake.claim.is_shared);
    // A downgraded lock keeps the number that it was acquired with.
    let fence = stake.fence.filter(|_| !shares);
    let was = stake.was.as_ref().map(|was| was.token.to_string());
    trust(env, Hold { process: env.number, lock, token, was, shares, fence, deadline });
}

fn trust(env: &SimEnv, hold: Hold) {
    env.sim.with(|world| {
        if world.believes(&hold) {
            world.tell(&format!("c{}", env.number), || {
                format!("holds the lock with {}, number {:?}", hold.token, hold.fence)
            });
            world.holds.insert(env.number, hold.clone());
            checks::history::on_belief(world, &hold);
            checks::one_holder::on_belief(world, &hold);
            checks::at_most::on_belief(world);
            checks::fencing::on_belief(world, &hold);
        }
    });
}

/// Once a refresh with a shorter lifetime has begun, the shorter lifetime may be on disk.
fn trust_no_longer(env: &SimEnv, than: LocalTime) {
    env.sim.with(|world| {
        if let Some(hold) = world.holds.get_mut(&env.number).filter(|_| !world.config.trusts_old_lifetimes) {
            hold.deadline = hold.deadline.min(than);
            let hold = hold.clone();
            checks::history::on_belief(world, &hold);
        }
    });
}

fn come_last(env: &SimEnv) {
    let Some(ground) = Ground::of(env) else { return };
    // A slow network can write an expiry late, so it can lie far in the future, but only by the network's delay.
    let patience = env.sim.with(|world| world.config.lifetimes.iter().copied().max()).unwrap_or_default() * 300;
    let wait = Wait::up_to(patience);
    let any = ground.acquire(&wait).and_then(|(lock, stake)| release(ground.lock(lock), &stake));
    // And no other slot is stuck.
    let acquired = any.and_then(|()| {
        ground.slots.iter().try_for_each(|slot| acquire::acquire(slot, &wait).and_then(|stake| release(slot, &stake)))
    });
    if !acquired.as_ref().is_err_and(|e| is_refused(env, e)) {
        env.sim.with(|world| checks::stuck::at_the_end(world, acquired));
    }
}
