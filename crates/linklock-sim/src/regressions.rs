//! Rare findings of the simulation, each repeated here step by step: the bug, its consequence, its mend.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use shuttle::scheduler::RandomScheduler;

use crate::acquire;
use crate::client::{SHELL, SimEnv};
use crate::config::{Config, DIR, Faults, LOCK};
use crate::env::{Env, Location, Step};
use crate::explore::schedule;
use crate::options::{OnBehalfOf, Protocol};
use crate::protocol::expiry::ask_clock_by;
use crate::protocol::fence;
use crate::protocol::judge::{Judge, Verdict};
use crate::protocol::look::look;
use crate::protocol::place::Place;
use crate::protocol::seen::{Seen, SeenLock};
use crate::protocol::stake::{Attempt, Break, Stake};
use crate::protocol::steps;
use crate::run;
use crate::server::{ROOT, Request};
use crate::sim::{Killed, Sim};
use crate::wait::Wait;
use crate::world::{Stop, World};

/// A process of a story, which does only what the story says.
struct Actor {
    env: SimEnv,
    place: Place,
}

impl Actor {
    /// Takes the lock and trusts it.
    fn acquire(&self) -> Stake {
        let stake = acquire::acquire(&self.place, &Wait::never()).unwrap();
        run::believe(&self.env, 0, &stake);
        stake
    }

    fn look(&self) -> SeenLock {
        match look(&self.place).unwrap() {
            Seen::Lock(lock) => lock,
            seen => panic!("no lock: {seen:?}"),
        }
    }
}

/// Plays a story of three processes, of which the first has a machine of its own. Returns the violation that ended it.
fn play(without: &'static [Step], story: impl Fn(&Sim, &[Actor; 3]) + Send + Sync + 'static) -> Option<String> {
    play_on(&Config::new(Protocol::Link), without, story)
}

/// The same in a world of its own, but without faults that the story does not tell of.
fn play_on(
    world: &Config,
    without: &'static [Step],
    story: impl Fn(&Sim, &[Actor; 3]) + Send + Sync + 'static,
) -> Option<String> {
    let config = Config { hosts: vec![0, 1, 1], faults: Faults::NONE, fence: false, without, ..world.clone() };
    let violations = schedule(RandomScheduler::new_from_seed(0, 1), move || {
        let sim = Sim::new(&config);
        let actors = [0, 1, 2].map(|number| {
            sim.with(|world| world.processes[number].ended = false);
            let env = SimEnv { sim: Arc::clone(&sim), number };
            let place = run::place(&env).unwrap();
            Actor { env, place }
        });
        let told = catch_unwind(AssertUnwindSafe(|| story(&sim, &actors)));
        if let Err(cause) = told.or_else(|cause| if cause.is::<Killed>() { Ok(()) } else { Err(cause) }) {
            resume_unwind(cause);
        }
        sim.with(|world| world.violation.take())
    });
    violations.into_iter().next().flatten()
}

fn pass(sim: &Sim, time: Duration) {
    sim.with(|world| world.now += time);
}

fn beside(name: &str) -> Location {
    Location::beside(DIR.as_ref(), name.as_ref())
}

/// Loses a file's content, but not its name and times, as a power failure of the server does.
fn lose_content(actor: &Actor, at: &Location) {
    let file = actor.env.resolve(at.as_path()).unwrap().handle;
    actor.env.sim.with(|world| world.server.lose_content(file));
}

/// The bug: a breaker that looked again believed a cached name, which still led to the broken lock, and moved the file that had
/// the name by then. The consequence: it moved a live lock. The mend: fresh names.
#[test]
fn a_breaker_asks_for_names_again_before_it_looks_again() {
    let story = |sim: &Sim, [breaker, holder, other]: &[Actor; 3]| {
        holder.acquire();
        pass(sim, holder.place.lifetime + 2 * holder.place.grace);
        let seen = breaker.look();
        // Another breaker has moved it, and is stopped there. A third takes the lock.
        other.env.rename(other.place.location(), &beside("L|h1|102|99")).unwrap();
        other.acquire();
        let broken = steps::break_lock(&breaker.place, &seen);
        assert!(matches!(broken, Ok(Break::Changed)), "{broken:?}");
    };
    assert_eq!(play(&[], story), None);
    let violation = play(&[Step::FreshNames], story).unwrap();
    assert!(violation.contains("a live claim is removed"), "{violation}");
}

/// The bug: a late rename had moved a holder's lock away, but the holder's cached name still led to it. The consequence: the
/// holder drew a fencing token greater than its successor's. The mend: fresh names.
#[test]
fn a_holder_draws_a_fencing_token_by_fresh_names() {
    let story = |_: &Sim, [holder, _, other]: &[Actor; 3]| {
        let take = |actor: &Actor| acquire::acquire(&actor.place, &Wait::never()).unwrap();
        let stake = take(holder);
        // Making the counter refreshes the names too.
        assert!(fence::draw(&holder.place, &stake).unwrap().is_some());
        other.env.rename(other.place.location(), &beside("L|h1|102|99")).unwrap();
        take(other);
        let drawn = fence::draw(&holder.place, &stake).unwrap();
        assert_eq!(drawn.is_some(), holder.env.leaves_out(Step::FreshNames), "{drawn:?}");
    };
    assert_eq!(play(&[], story), None);
    assert_eq!(play(&[Step::FreshNames], story), None);
}

/// The bug: a power failure left a lock without content, and nothing else identified its holder. The consequence: no contender
/// broke it, and all waited for ever. The mend: the claim's own name identifies it. The lock is held up to its expiry, and
/// contenders break it after that.
#[test]
fn a_lock_that_a_power_failure_emptied_is_held_up_to_its_expiry_and_then_broken() {
    let story = |sim: &Sim, [holder, other, _]: &[Actor; 3]| {
        let stake = acquire::acquire(&holder.place, &Wait::never()).unwrap();
        lose_content(holder, holder.place.location());
        let refused = acquire::acquire(&other.place, &Wait::never()).unwrap_err();
        assert_eq!(refused.holder().map(|holder| &holder.token), Some(&stake.claim.token), "{refused}");
        pass(sim, holder.place.lifetime + 2 * other.place.grace);
        other.acquire();
        let lost = steps::release(&holder.place, &stake).unwrap_err();
        assert!(lost.is_lost(), "{lost}");
        assert!(other.look().claim.is_some(), "the new holder's lock is there");
    };
    assert_eq!(play(&[], story), None);
}

/// Waits until the world is like that.
fn until(sim: &Sim, holds: impl Fn(&World) -> bool) {
    while !sim.with(|world| world.violation.is_some() || holds(world)) {
        shuttle::thread::yield_now();
    }
}

/// Lets a process act until it stops there. Then `meanwhile` happens, and the process goes on to its end.
fn stopped(sim: &Sim, stop: Stop, act: impl FnOnce() + Send + 'static, meanwhile: impl FnOnce()) {
    sim.with(|world| world.stop = Some(stop));
    let acts = shuttle::thread::spawn(|| drop(catch_unwind(AssertUnwindSafe(act))));
    until(sim, |world| world.stop.as_ref().is_none_or(|stop| stop.is_there));
    meanwhile();
    sim.with(|world| world.stop = None);
    sim.ring();
    drop(acts.join());
}

/// The bug: a contender judged a lock by the time after its look, and not by the time of the look. The consequence: a contender
/// that stopped between the two removed a dir lock that its holder had refreshed meanwhile. The mend: the time of the look
/// counts.
#[test]
fn a_contender_that_stops_after_its_look_breaks_no_lock_that_was_refreshed_since() {
    let story = |sim: &Sim, [_, holder, waiter]: &[Actor; 3]| {
        let (lifetime, grace) = (Duration::from_secs(10), Duration::from_secs(2));
        let place = |actor: &Actor| Place { protocol: Protocol::Dir, lifetime, grace, ..actor.place.clone() };
        let (held, waited_for, waits) = (place(holder), place(waiter), waiter.env.number);
        let mut stake = acquire::acquire(&held, &Wait::never()).unwrap();
        let mut refresh = || {
            let limit = stake.lease.deadline;
            steps::refresh(&held, &mut stake, lifetime, limit).unwrap();
            run::believe(&holder.env, 0, &stake);
        };
        let stop =
            Stop { process: waits, at: |request| matches!(request, Request::Read { .. }), after: true, is_there: true };
        let wait = move || drop(acquire::acquire(&waited_for, &Wait::up_to(lifetime)));
        // A look that finds a refreshed lock is complete: no other look follows it.
        stopped(sim, stop, wait, || {
            until(sim, |world| world.processes[waits].waiting_until.is_some());
            sim.with(|world| world.stop.as_mut().map(|stop| stop.is_there = false));
            refresh();
            until(sim, |world| world.stop.as_ref().is_none_or(|stop| stop.is_there));
            pass(sim, lifetime / 2);
            refresh();
            pass(sim, lifetime / 2 + grace + Duration::from_secs(1));
        });
    };
    assert_eq!(play(&[], story), None);
    let violation = play(&[Step::JudgeByLook], story).unwrap();
    assert!(violation.contains("a live claim is removed"), "{violation}");
}

/// The bug: a link lock was released just after the process had ended on whose behalf it was held. The consequence: another
/// contender had broken it and taken the lock path, and the release removed that lock. The mend: the release of such a lock takes
/// turns with breakers.
#[test]
fn a_release_for_a_process_that_ends_just_then_removes_no_other_lock() {
    let story = |sim: &Sim, [_, holder, other]: &[Actor; 3]| {
        let place = Place { on_behalf_of: OnBehalfOf::Process(SHELL), ..holder.place.clone() };
        let other = Place { recover_dead: true, on_behalf_of: OnBehalfOf::ThisProcess, ..other.place.clone() };
        let stake = acquire::acquire(&place, &Wait::never()).unwrap();
        let (process, env) = (holder.env.number, sim.with(|world| world.processes[2].host));
        let is_removal =
            |request: &Request| matches!(request, Request::Remove { dir, name } if *dir == ROOT && name == LOCK);
        let stop = Stop { process, at: is_removal, after: false, is_there: false };
        let release = move || drop(steps::release(&place, &stake));
        stopped(sim, stop, release, || {
            sim.with(|world| {
                world.hosts[env].shell_killed = true;
                world.note_deaths();
            });
            if let Ok(stake) = acquire::acquire(&other, &Wait::never()) {
                run::believe(&SimEnv { sim: Arc::clone(&holder.env.sim), number: 2 }, 0, &stake);
            }
        });
    };
    assert_eq!(play(&[], story), None);
    let violation = play(&[Step::ReleaseInTurn], story).unwrap();
    assert!(violation.contains("a live claim is removed"), "{violation}");
}

/// The bug: each client stamped files by its own clock, and a request from before a refresh came again after it, with the old
/// stamp. The consequence: to a contender that did not look in between, the lock seemed unchanged, and it removed a live claim.
/// The mend: a refresh makes the entry longer, which no late request takes back.
#[test]
fn a_late_request_makes_no_refreshed_lock_look_as_it_did_before() {
    // What comes late: the write that filled the entry, or the setting of its times by an earlier refresh.
    for is_write in [true, false] {
        let story = move |sim: &Sim, [holder, breaker, _]: &[Actor; 3]| {
            let (lifetime, grace) = (Duration::from_secs(20), Duration::from_secs(2));
            let place = |actor: &Actor| Place { lifetime, grace, ..actor.place.clone() };
            let (held, broken) = (place(holder), place(breaker));
            let mut stake = acquire::acquire(&held, &Wait::never()).unwrap();
            let mut refresh = || {
                pass(sim, lifetime / 2);
                let limit = stake.lease.deadline;
                steps::refresh(&held, &mut stake, lifetime, limit).unwrap();
                run::believe(&holder.env, 0, &stake);
            };
            if !is_write {
                refresh();
            }
            let entry = holder.place.location().inside(holder.look().claim.unwrap().token.as_os_str());
            let (attr, content) = holder.env.read(&entry, usize::MAX).unwrap();
            let file = holder.env.resolve(entry.as_path()).unwrap().handle;
            let late = match is_write {
                true => Request::Write { file, at: 0, content },
                false => Request::SetMtime { file, mtime: Some(attr.mtime) },
            };
            let late = sim.with(|world| world.send(holder.env.number, &late));
            let mut judge = Judge::new(&broken);
            let mut look = || {
                let (looked, seen) = (breaker.env.now(), breaker.look());
                (judge.watch(&seen, looked).unwrap().verdict, seen)
            };
            assert_eq!(look().0, Verdict::Live);
            refresh();
            sim.with(|world| world.carry_out(&late)).unwrap();
            pass(sim, lifetime / 2 + 3 * grace);
            // Less than the lifetime after the refresh.
            if let (Verdict::Expired, seen) = look() {
                steps::break_lock(&broken, &seen).unwrap();
            }
        };
        let world = Config { client_stamps: true, ..Config::new(Protocol::Dir) };
        assert_eq!(play_on(&world, &[], story), None, "{is_write}");
        let violation = play_on(&world, &[Step::GrowingEntry], story).unwrap();
        assert!(violation.contains("a live claim is removed"), "{is_write}: {violation}");
    }
}

/// The bug, found by the model: a copy of a contender's rename came late, when its claim had expired, and the contender made the claim
/// fresh where it was by then, at the lock path. The consequence: it took the lock for its own, and a contender that had seen the expired
/// claim removed it. The mend: a claim that is at the lock path before it is tried again is given up.
#[test]
fn a_claim_that_came_to_the_lock_path_late_is_not_taken_for_won() {
    let story = |sim: &Sim, [contender, breaker, other]: &[Actor; 3]| {
        let (lifetime, grace) = (Duration::from_secs(3), Duration::from_secs(1));
        let place = |actor: &Actor| Place { protocol: Protocol::Dir, lifetime, grace, ..actor.place.clone() };
        let (ours, theirs) = (place(contender), place(breaker));
        let others = Place { lifetime: Duration::from_secs(60), ..place(other) };
        let held = acquire::acquire(&others, &Wait::never()).unwrap();
        let mut stake = steps::stage(&ours).unwrap();
        assert_eq!(steps::attempt(&ours, &mut stake).unwrap(), Attempt::Failed);
        // Its machine knows where the claim is.
        ask_clock_by(&ours, &stake).unwrap();
        let from = stake.claim.token.as_os_str().to_owned();
        let late = Request::Rename { dir: ROOT, from, to_dir: ROOT, to: LOCK.into() };
        let late = sim.with(|world| world.send(contender.env.number, &late));
        pass(sim, Duration::from_millis(4500));
        steps::release(&others, &held).unwrap();
        sim.with(|world| world.carry_out(&late)).unwrap();
        let seen = breaker.look();
        if steps::attempt(&ours, &mut stake).unwrap() == Attempt::Won {
            run::believe(&contender.env, 0, &stake);
        }
        let broken = steps::break_lock(&theirs, &seen).unwrap();
        assert_eq!(broken, if ours.env.leaves_out(Step::EarlyArrival) { Break::Done } else { Break::Changed });
    };
    let world = Config::new(Protocol::Dir);
    assert_eq!(play_on(&world, &[], story), None);
    let violation = play_on(&world, &[Step::EarlyArrival], story).unwrap();
    assert!(violation.contains("a live claim is removed"), "{violation}");
}
