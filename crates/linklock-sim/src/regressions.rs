//! What the simulation found so rarely that its story is told again here, step by step: the bug, its consequence, its mend.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use shuttle::scheduler::RandomScheduler;

use crate::acquire;
use crate::client::{SHELL, SimEnv};
use crate::config::{Config, DIR, Faults, LOCK};
use crate::env::{Env, Location, Step};
use crate::explore::schedule;
use crate::protocol::{Break, OnBehalfOf, Place, Protocol, Seen, SeenLock, Stake, fence};
use crate::run;
use crate::server::{ROOT, Request};
use crate::sim::{Killed, Sim};
use crate::wait::Wait;
use crate::world::{Stop, World};

/// A process of a story, which does what it is told and nothing else.
struct Actor {
    env: SimEnv,
    place: Place,
}

impl Actor {
    /// Takes the lock and trusts it.
    fn acquire(&self) -> Stake {
        let stake = acquire::acquire(&self.place, &Wait::not_at_all()).unwrap();
        run::believe(&self.env, &stake);
        stake
    }

    fn look(&self) -> SeenLock {
        match self.place.look().unwrap() {
            Seen::Lock(lock) => lock,
            seen => panic!("no lock: {seen:?}"),
        }
    }
}

/// Plays a story of three processes, of which the first has a machine of its own. Gives the violation, which ends it.
fn play(without: &'static [Step], story: fn(&Sim, &[Actor; 3])) -> Option<String> {
    let violations = schedule(RandomScheduler::new_from_seed(0, 1), move || {
        let config =
            Config { hosts: vec![0, 1, 1], faults: Faults::NONE, fence: false, without, ..Config::new(Protocol::Link) };
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

/// As a power failure of the server does, after which the names and the times are there, and the content is not.
fn lose_content(actor: &Actor, at: &Location) {
    let expiry = actor.env.stat(at).unwrap().mtime;
    let file = actor.env.resolve(at.as_path()).unwrap().handle;
    actor.env.call(&Request::Write { file, content: Vec::new() }).unwrap();
    actor.env.call(&Request::SetMtime { file, mtime: Some(expiry) }).unwrap();
}

/// The bug: a breaker that looked again believed a cached name, under which the broken lock still was, and moved what the
/// name had become. The consequence: a live lock was taken. The mend: fresh names.
#[test]
fn a_breaker_asks_for_names_again_before_it_looks_again() {
    let story = |sim: &Sim, [breaker, holder, other]: &[Actor; 3]| {
        holder.acquire();
        pass(sim, holder.place.lifetime + 2 * holder.place.grace);
        let seen = breaker.look();
        // Another breaker has moved it, and is stopped there. A third takes the lock.
        other.env.rename(other.place.location(), &beside("L|h1|102|99")).unwrap();
        other.acquire();
        let broken = breaker.place.break_lock(&seen);
        assert!(matches!(broken, Ok(Break::Changed)), "{broken:?}");
    };
    assert_eq!(play(&[], story), None);
    let violation = play(&[Step::FreshNames], story).unwrap();
    assert!(violation.contains("a live claim is removed"), "{violation}");
}

/// The bug: a holder whose file a late rename had moved away asked for the lock by a cached name, under which that file still was.
/// The consequence: it was given a fencing token greater than its successor's. The mend: fresh names.
#[test]
fn a_fencing_token_is_given_by_fresh_names() {
    let story = |_: &Sim, [holder, _, other]: &[Actor; 3]| {
        let take = |actor: &Actor| acquire::acquire(&actor.place, &Wait::not_at_all()).unwrap();
        let stake = take(holder);
        // To make the counter brings fresh names too.
        assert!(fence::draw(&holder.place, &stake).unwrap().is_some());
        other.env.rename(other.place.location(), &beside("L|h1|102|99")).unwrap();
        take(other);
        let drawn = fence::draw(&holder.place, &stake).unwrap();
        assert_eq!(drawn.is_some(), holder.env.leaves_out(Step::FreshNames), "{drawn:?}");
    };
    assert_eq!(play(&[], story), None);
    assert_eq!(play(&[Step::FreshNames], story), None);
}

/// The bug: a power failure left a lock without content, of which nothing told whose it was. The consequence: nobody broke it, and
/// everybody waited for ever. The mend: the claim's own name tells; the lock is live up to its expiry, and is broken then.
#[test]
fn a_lock_that_a_power_failure_emptied_is_held_up_to_its_expiry_and_then_broken() {
    let story = |sim: &Sim, [holder, other, _]: &[Actor; 3]| {
        let stake = acquire::acquire(&holder.place, &Wait::not_at_all()).unwrap();
        lose_content(holder, holder.place.location());
        let refused = acquire::acquire(&other.place, &Wait::not_at_all()).unwrap_err();
        assert_eq!(refused.holder().map(|holder| &holder.token), Some(&stake.claim.token), "{refused}");
        pass(sim, holder.place.lifetime + 2 * other.place.grace);
        other.acquire();
        let lost = holder.place.protocol.steps().release(&holder.place, &stake).unwrap_err();
        assert!(lost.is_lost(), "{lost}");
        assert!(other.look().claim.is_some(), "the new holder's lock is there");
    };
    assert_eq!(play(&[], story), None);
}

/// Goes on once the world is as is waited for.
fn until(sim: &Sim, holds: impl Fn(&World) -> bool) {
    while !sim.with(|world| world.violation.is_some() || holds(world)) {
        shuttle::thread::yield_now();
    }
}

/// Has a process do something until it stops there; then `meanwhile` happens, and it goes on to its end.
fn stopped(sim: &Sim, stop: Stop, act: impl FnOnce() + Send + 'static, meanwhile: impl FnOnce()) {
    sim.with(|world| world.stop = Some(stop));
    let acts = shuttle::thread::spawn(|| drop(catch_unwind(AssertUnwindSafe(act))));
    until(sim, |world| world.stop.as_ref().is_none_or(|stop| stop.is_there));
    meanwhile();
    sim.with(|world| world.stop = None);
    sim.ring();
    drop(acts.join());
}

/// The bug: a lock was judged by what the clock said after the look, and not by when it was looked at. The consequence: a contender
/// that was stopped between the two removed a dir lock that its holder had refreshed meanwhile. The mend: as of the look.
#[test]
fn a_contender_that_is_stopped_after_its_look_breaks_no_lock_that_was_refreshed_since() {
    let story = |sim: &Sim, [_, holder, waiter]: &[Actor; 3]| {
        let (lifetime, grace) = (Duration::from_secs(10), Duration::from_secs(2));
        let place = |actor: &Actor| Place { protocol: Protocol::Dir, lifetime, grace, ..actor.place.clone() };
        let (held, waited_for, waits) = (place(holder), place(waiter), waiter.env.number);
        let mut stake = acquire::acquire(&held, &Wait::not_at_all()).unwrap();
        let mut refresh = || {
            let limit = stake.lease.deadline;
            held.refresh(&mut stake, lifetime, limit).unwrap();
            run::believe(&holder.env, &stake);
        };
        let stop =
            Stop { process: waits, at: |request| matches!(request, Request::Read { .. }), after: true, is_there: true };
        let wait = move || drop(acquire::acquire(&waited_for, &Wait::up_to(lifetime)));
        // A look that finds a refreshed lock is a whole one, and no other follows it.
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

/// The bug: a link lock was released just when the process had ended that it was held for. The consequence: another had broken it
/// and taken the lock path, which the release removed. The mend: such a lock is released in turn with those who break it.
#[test]
fn a_release_for_a_process_that_ends_just_then_removes_no_other_lock() {
    let story = |sim: &Sim, [_, holder, other]: &[Actor; 3]| {
        let place = Place { on_behalf_of: OnBehalfOf::Process(SHELL), ..holder.place.clone() };
        let other = Place { recover_dead: true, on_behalf_of: OnBehalfOf::ThisProcess, ..other.place.clone() };
        let stake = acquire::acquire(&place, &Wait::not_at_all()).unwrap();
        let (process, env) = (holder.env.number, sim.with(|world| world.processes[2].host));
        let is_removal =
            |request: &Request| matches!(request, Request::Remove { dir, name } if *dir == ROOT && name == LOCK);
        let stop = Stop { process, at: is_removal, after: false, is_there: false };
        let release = move || drop(place.protocol.steps().release(&place, &stake));
        stopped(sim, stop, release, || {
            sim.with(|world| world.hosts[env].shell_killed = true);
            if let Ok(stake) = acquire::acquire(&other, &Wait::not_at_all()) {
                run::believe(&SimEnv { sim: Arc::clone(&holder.env.sim), number: 2 }, &stake);
            }
        });
    };
    assert_eq!(play(&[], story), None);
    let violation = play(&[Step::ReleaseInTurn], story).unwrap();
    assert!(violation.contains("a live claim is removed"), "{violation}");
}
