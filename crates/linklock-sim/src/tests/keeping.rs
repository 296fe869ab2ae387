//! A guard, the notices of its loss and the thread that keeps it alive, in orders of their steps that shuttle draws: one process, its
//! threads, and a file server that may lose replies.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::thread;

use super::runs;
use crate::acquire;
use crate::chance::random;
use crate::client::SimEnv;
use crate::config::{Config, Faults, LOCK};
use crate::explore::schedule;
use crate::guard::{Guard, Loss};
use crate::options::Protocol;
use crate::protocol::place::Place;
use crate::run;
use crate::server::{ROOT, Request};
use crate::sim::Sim;
use crate::sync;
use crate::time::ServerTime;
use crate::wait::Wait;

const LIFETIME: Duration = Duration::from_secs(10);

/// The keeper belongs to the process, which all simulated ones are here: one run at a time.
static KEEPER: Mutex<()> = Mutex::new(());

/// What the threads of a process share.
struct Stage {
    env: SimEnv,
    place: Arc<Place>,
    /// What its threads have told, in order.
    told: Mutex<Vec<Told>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// A thread was told that the lock is lost.
    Lost,
    /// The owner begins to release or drop it.
    Ends,
    /// The wait for its loss has ended.
    WaitEnds,
}

impl Stage {
    fn new(protocol: Protocol, faults: Faults) -> Arc<Self> {
        static GENERATION: AtomicU64 = AtomicU64::new(0);
        let lifetimes = const { &[LIFETIME] };
        let config = Config { hosts: vec![0], faults, fence: false, lifetimes, ..Config::new(protocol) };
        let sim = Sim::new(&config);
        sim.with(|world| {
            world.processes[0].ended = false;
            // Each run has a keeper of its own.
            world.generation = GENERATION.fetch_add(1000, Ordering::Relaxed);
        });
        let env = SimEnv { sim, number: 0 };
        let place = Arc::new(run::place(&env).unwrap());
        Arc::new(Self { env, place, told: Mutex::default() })
    }

    fn sim(&self) -> &Sim {
        &self.env.sim
    }

    fn acquire(&self, keep_alive: bool) -> Guard {
        let stake = acquire::acquire(&self.place, &Wait::never()).unwrap();
        Guard::new(Arc::clone(&self.place), stake, keep_alive).unwrap()
    }

    fn tell(&self, what: Told) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    fn has_told(&self, what: Told) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).contains(&what)
    }

    /// Whether a loss was told before the owner began to end its hold.
    fn was_told_lost(&self) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).first() == Some(&Told::Lost)
    }

    fn pass(&self, time: Duration) {
        self.sim().with(|world| world.now += time);
        sync::time_passes();
        self.sim().ring();
    }

    /// Whether a contender could see by the server's clock that the `link` lock has expired.
    fn has_expired(&self) -> bool {
        self.sim().with(|world| {
            let now = world.server_now();
            let found = world.server.carry_out(&Request::Lookup { dir: ROOT, name: LOCK.into() }, now);
            let expiry: Option<ServerTime> = found.ok().and_then(|found| found.file).map(|(_, attr)| attr.mtime);
            expiry.is_some_and(|expiry| expiry <= now)
        })
    }

    /// An operator takes the `link` lock away by force.
    fn force(&self) {
        self.sim().with(|world| {
            let now = world.server_now();
            let _ = world.server.carry_out(&Request::Remove { dir: ROOT, name: LOCK.into() }, now);
        });
    }
}

/// Runs `story` by schedules of both kinds. Each is a run of its own.
fn play(count: u64, story: impl Fn() + Clone + Send + Sync + 'static) {
    play_at_random(count, story.clone());
    play_by(PctScheduler::new_from_seed(1, 4, count as usize), story);
}

fn play_at_random(count: u64, story: impl Fn() + Send + Sync + 'static) {
    play_by(RandomScheduler::new_from_seed(1, count as usize), story);
}

fn play_by(scheduler: impl Scheduler + 'static, story: impl Fn() + Send + Sync + 'static) {
    let _alone = KEEPER.lock().unwrap_or_else(PoisonError::into_inner);
    schedule(scheduler, move || {
        sync::begin();
        story();
        sync::end();
    });
}

/// Asks again and again whether the lock is lost.
fn poll(stage: &Stage, loss: &Loss) {
    for _ in 0..6 {
        let (had_expired, was_told) = (stage.has_expired(), stage.was_told_lost());
        let is_lost = loss.is_lost();
        assert!(is_lost || !was_told, "a lock that was lost is so no more");
        if is_lost {
            stage.tell(Told::Lost);
        } else if had_expired {
            assert!(stage.has_told(Told::Ends), "a lock that others may take is still trusted");
        }
        thread::yield_now();
    }
}

/// What an owner does until it releases the lock, or drops the guard, which others may be asking at that moment.
fn own(stage: &Stage, guard: Guard) {
    for _ in 0..random(4) {
        match random(3) {
            0 => drop(guard.check()),
            1 => drop(guard.refresh()),
            _ => drop(guard.refresh_for(LIFETIME * (1 + random(2)) / 2)),
        }
    }
    stage.tell(Told::Ends);
    match random(3) {
        0 => drop(guard.release()),
        1 => drop(guard),
        _ => drop(guard.leave()),
    }
}

/// The bug: whoever waited for a loss looked first whether the lock was lost, then whether its guard had ended. The consequence: if both
/// came to be in between, it was told that the lock had ended well. The mend: it looks in the other order.
#[test]
fn what_a_guard_tells_of_its_loss_is_true_in_every_order_of_its_threads_steps() {
    for keep_alive in [false, true] {
        play(runs().max(20_000), move || {
            let stage = Stage::new(Protocol::Link, Faults { lost_replies: 2, ..Faults::NONE });
            let guard = stage.acquire(keep_alive);
            let polls = [(); 2].map(|()| {
                let (stage, loss) = (Arc::clone(&stage), guard.loss());
                thread::spawn(move || poll(&stage, &loss))
            });
            let waits = {
                let (stage, loss) = (Arc::clone(&stage), guard.loss());
                thread::spawn(move || {
                    let is_lost = loss.wait();
                    assert!(is_lost || !stage.was_told_lost(), "it was told to be lost, and then to have ended well");
                    assert!(!is_lost || loss.is_lost());
                    stage.tell(Told::WaitEnds);
                })
            };
            let of_time = {
                let stage = Arc::clone(&stage);
                thread::spawn(move || {
                    for _ in 0..random(8) {
                        if random(8) == 0 {
                            stage.force();
                        }
                        stage.pass(LIFETIME * (1 + random(4)) / 8);
                    }
                })
            };
            own(&stage, guard);
            // What only a clock tells, such as that another thread has seen the deadline pass, wakes nobody.
            while !stage.has_told(Told::WaitEnds) {
                thread::yield_now();
                stage.pass(LIFETIME / 8);
            }
            for thread in polls.into_iter().chain([waits, of_time]) {
                thread.join().unwrap();
            }
        });
    }
}

/// Nobody waits for a time-out to hear of a release, or of a loss that a refresh has found: here no time passes.
#[test]
fn an_end_or_a_loss_that_was_found_wakes_who_waits_for_it() {
    for broken in [false, true] {
        play(runs(), move || {
            let stage = Stage::new(Protocol::Link, Faults::NONE);
            let guard = stage.acquire(false);
            let waits = [(); 2].map(|()| {
                let loss = guard.loss();
                thread::spawn(move || loss.wait())
            });
            if broken {
                stage.force();
                assert!(guard.refresh().unwrap_err().is_lost());
            }
            drop(guard.release());
            for wait in waits {
                assert_eq!(wait.join().unwrap(), broken);
            }
        });
    }
}

/// The thread that keeps locks alive ends with the last of them. Whether the next lock comes before, while or after it ends, it is kept
/// alive.
#[test]
fn a_lock_that_comes_while_the_keeper_ends_is_kept_alive() {
    play_at_random(runs() / 10, || {
        let stage = Stage::new(Protocol::Link, Faults { lost_replies: 2, ..Faults::NONE });
        for _ in 0..3 {
            let guard = stage.acquire(true);
            for _ in 0..random(60) {
                stage.pass(LIFETIME / 20);
                // So often that each thread is done with what it has to do.
                (0..400).for_each(|_| thread::yield_now());
                assert_eq!(guard.why_lost(), None);
            }
            guard.release().unwrap();
            // The keeper may notice that, and end, before the next lock comes, or while it does.
            (0..random(3)).for_each(|_| stage.pass(LIFETIME / 20));
            (0..random(100)).for_each(|_| thread::yield_now());
        }
    });
}
