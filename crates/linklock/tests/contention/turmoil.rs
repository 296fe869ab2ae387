//! A crowd of processes, of which some are killed, stopped or hold the lock for too long, at random, for some seconds.
//!
//! This must hold: never do two processes believe at one moment that they hold the lock; no lock is broken before its
//! deadline; the lock is never stuck; the leftovers of killed processes are removed, where others can know that they are
//! dead.
//!
//! The dir protocol must withstand any stop. The link protocol has one documented limit: a holder is stopped in `release`,
//! between its last look at the clock and the unlink of the shared name, for longer than the time to its deadline plus the
//! grace. It then removes whatever lock is there. So a link holder in its `release` is stopped here for much less than the
//! grace, which does no harm. All other stops may last longer than lifetime and grace together. (A breaker has a similar
//! limit, beyond the 15 s and the grace of the break lock. No stop here is that long.) every_call.rs shows, call by call,
//! what happens to a holder that is stopped at that point.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use fastrand::Rng;
use linklock::{Error, Guard, Protocol, Wait};

use crate::common::{BOTH, Ground, LONG, long_ago, named, plant, say};
use crate::diary::{self, Diary, Doing, Hold};
use crate::processes::{kill, start};
use crate::settings::{Settings, env_value};
use crate::system::{go_on, now, stop};

const CROWD: usize = 12;
const LASTS: Duration = Duration::from_secs(10);
const LIFETIME: Duration = Duration::from_millis(250);
const GRACE: Duration = Duration::from_millis(250);
const SHORT_STOP: Duration = Duration::from_millis(50);
const LONGEST_STOP: Duration = Duration::from_millis(900);
/// Enough for a slow machine, and for a waiter that only its next poll wakes. On Windows a removed name stays while another
/// process has the file open, even a stopped one.
const SLACK: Duration = Duration::from_secs(if cfg!(windows) { 20 } else { 4 });
/// So many holds show that the crowd did work. Wine is slow.
const HOLDS_LEAST: usize = if cfg!(windows) { 4 } else { 20 };
/// How long others wait for a breaker that was killed during a break, if they cannot know that it is dead: the lifetime of
/// the break lock.
const GUARD_LIFETIME: Duration = Duration::from_secs(15);

#[test]
fn a_crowd_that_is_killed_and_stopped_at_random_has_one_holder_at_a_time() {
    // Both crowds sleep most of the time, so they run at once.
    std::thread::scope(|scope| {
        for protocol in BOTH {
            scope.spawn(move || turmoil(protocol, 0));
        }
    });
}

#[test]
fn a_crowd_that_is_killed_and_stopped_at_random_has_one_holder_of_each_slot() {
    std::thread::scope(|scope| {
        for protocol in BOTH {
            scope.spawn(move || turmoil(protocol, 3));
        }
    });
}

fn turmoil(protocol: Protocol, slots: usize) {
    let seed = std::env::var("TURMOIL_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    say(&format!("turmoil, {protocol}, {slots} slots: TURMOIL_SEED={seed}"));
    let mut crowd = Crowd::gather(protocol, slots, seed);
    let start = now();
    while now() < start + LASTS {
        crowd.disturb();
        std::thread::sleep(Duration::from_millis(crowd.rng.u64(5..60)));
    }
    crowd.disperse();
    let end = now();

    let holds = crowd.holds();
    diary::leave_to_the_judge(&holds, &format!("turmoil-{protocol}-{slots}"));
    let tally = format!(
        "{protocol}, {slots} slots, seed {seed}: {} holds, {} killed, {} stopped for short, {} for long",
        holds.len(),
        crowd.killed.len(),
        crowd.stops[0],
        crowd.stops[1]
    );
    if let Some((one, other)) = diary::overlap(&holds) {
        panic!("two processes held the lock at once: {one:?} and {other:?}; {tally}");
    }
    let mut most = LIFETIME + GRACE + LONGEST_STOP + SLACK;
    if crowd.break_lock_left {
        most += GUARD_LIFETIME;
    }
    let (longest, since) = diary::longest_wait(&holds, start, end);
    assert!(longest < most, "nobody acquired the lock for {longest:?} since {:?}; {tally}", since - start);
    assert!(holds.len() > HOLDS_LEAST, "the crowd did work: {tally}");
    crowd.assert_cleared(&tally);
}

struct Crowd {
    settings: Settings,
    ground: Ground,
    diaries: Ground,
    rng: Rng,
    members: Vec<Member>,
    started: usize,
    killed: HashSet<u32>,
    past: Vec<(PathBuf, u32)>,
    stops: [usize; 2],
    /// Whether a breaker was killed during its turn, and others cannot know that it is dead.
    break_lock_left: bool,
}

struct Member {
    child: Child,
    diary: PathBuf,
    stopped_until: Option<Duration>,
}

impl Crowd {
    fn gather(protocol: Protocol, slots: usize, seed: u64) -> Self {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol).slots(slots).lifetime(LIFETIME).grace(GRACE);
        let mut crowd = Self {
            settings,
            ground,
            diaries: Ground::new(),
            rng: Rng::with_seed(seed),
            members: Vec::new(),
            started: 0,
            killed: HashSet::new(),
            past: Vec::new(),
            stops: [0; 2],
            break_lock_left: false,
        };
        for _ in 0..CROWD {
            crowd.join();
        }
        crowd
    }

    fn stop_sign(&self) -> PathBuf {
        self.diaries.dir().join("stop")
    }

    /// A new member. For a third of them nobody can know whether they are alive, and some do not recover dead holders' locks.
    fn join(&mut self) {
        self.started += 1;
        let mut settings = self.settings.clone().recover_dead(self.rng.u8(..4) > 0).keep_alive(self.rng.u8(..4) == 0);
        if self.rng.u8(..3) == 0 {
            settings = settings.host(&format!("elsewhere-{}", self.started));
        }
        let diary = self.diaries.dir().join(self.started.to_string());
        let mut command = settings.command("turmoil");
        command
            .env("WORKER_DIARY", &diary)
            .env("WORKER_STOP", self.stop_sign())
            .env("WORKER_SEED", self.rng.u64(..).to_string());
        let child = start(&mut command);
        self.members.push(Member { child, diary, stopped_until: None });
    }

    fn disturb(&mut self) {
        for member in &mut self.members {
            if let Some(status) = member.child.try_wait().unwrap() {
                panic!("process {} ended by itself, {status}: see its message above", member.child.id());
            }
            if member.stopped_until.is_some_and(|until| now() >= until) {
                go_on(&member.child);
                member.stopped_until = None;
            }
        }
        let chosen = self.rng.usize(..self.members.len());
        if self.rng.u8(..4) == 0 {
            self.kill(chosen);
        } else if self.members[chosen].stopped_until.is_none() {
            self.stop(chosen);
        }
    }

    fn kill(&mut self, chosen: usize) {
        let mut member = self.members.swap_remove(chosen);
        let pid = member.child.id();
        kill(&mut member.child);
        member.child.wait().unwrap();
        let break_locks = self.ground.names().into_iter().filter(|name| name.ends_with(&named("|break")));
        let entries = break_locks.flat_map(|name| std::fs::read_dir(self.ground.dir().join(name)));
        let entries = entries.flatten().flatten();
        let of_killed = named(&format!("|{pid}|"));
        self.break_lock_left |=
            entries.into_iter().any(|entry| entry.file_name().to_string_lossy().contains(&of_killed));
        self.killed.insert(pid);
        self.past.push((member.diary, pid));
        self.join();
    }

    fn stop(&mut self, chosen: usize) {
        let member = &mut self.members[chosen];
        stop(&member.child);
        let may_be_long = self.settings.protocol == Protocol::Dir || member.doing() != Some(Doing::Releasing);
        let time = if may_be_long && self.rng.bool() {
            self.stops[1] += 1;
            self.rng.u64((LIFETIME + GRACE).as_millis() as u64..LONGEST_STOP.as_millis() as u64)
        } else {
            self.stops[0] += 1;
            self.rng.u64(1..SHORT_STOP.as_millis() as u64)
        };
        member.stopped_until = Some(now() + Duration::from_millis(time));
        if !may_be_long {
            // The driver must not delay this to its next round.
            std::thread::sleep(Duration::from_millis(time));
            go_on(&member.child);
            member.stopped_until = None;
        }
    }

    /// Lets everybody continue and end in order.
    fn disperse(&mut self) {
        std::fs::write(self.stop_sign(), "").unwrap();
        for member in &self.members {
            go_on(&member.child);
        }
        for mut member in self.members.drain(..) {
            let status = member.child.wait().unwrap();
            assert!(status.success(), "process {} ended with {status}: see above", member.child.id());
            self.past.push((member.diary, member.child.id()));
        }
    }

    fn holds(&self) -> Vec<Hold> {
        self.past.iter().flat_map(|(path, pid)| diary::read(path, *pid)).collect()
    }

    /// The lock can be acquired, and after one break only those leftovers remain whose processes nobody can know to be dead.
    fn assert_cleared(&self, tally: &str) {
        let wait = Wait::up_to(LONG);
        let (slots, base) = (self.settings.slots, self.settings.lock());
        let locks = if slots == 0 { vec![base.clone()] } else { base.slots(slots).unwrap().locks().to_vec() };
        for lock in &locks {
            lock.acquire_with(&wait).unwrap().release().unwrap();
            plant(Protocol::Link, lock.path(), long_ago());
            lock.acquire_with(&wait).unwrap().release().unwrap();
        }
        // Those who waited did so there.
        base.clean(base.leftovers().unwrap()).unwrap();
        let mut left = self.ground.names();
        // A queue that stays has tickets, which are judged as claims are.
        let queue = named("lock|queue");
        if left.contains(&queue) {
            left.retain(|name| *name != queue);
            let tickets: Vec<_> = std::fs::read_dir(self.ground.dir().join(&queue)).unwrap().collect();
            assert!(!tickets.is_empty(), "the last that leaves the queue removes it; {tally}");
            left.extend(tickets.into_iter().map(|ticket| ticket.unwrap().file_name().into_string().unwrap()));
        }
        for name in &left {
            let of_killed = self.killed.iter().any(|pid| name.contains(&named(&format!("|{pid}|"))));
            assert!(of_killed && name.contains(&named("|elsewhere-")), "{name} was not removed; {tally}");
        }
        say(&format!(
            "turmoil, {tally}; {} claims and tickets remain, all of killed processes of other hosts",
            left.len()
        ));
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // After a failed test.
        for member in &mut self.members {
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
    }
}

impl Member {
    fn doing(&self) -> Option<Doing> {
        diary::doing(&self.diary)
    }
}

/// A worker process.
pub(crate) fn take_part() {
    let settings = Settings::from_env();
    let mut diary = Diary::create(&env_value::<PathBuf>("WORKER_DIARY"));
    let mut rng = Rng::with_seed(env_value("WORKER_SEED"));
    let stop_sign: PathBuf = env_value("WORKER_STOP");
    while !stop_sign.exists() {
        diary.doing(Doing::Acquiring);
        match settings.acquire(&Wait::up_to(Duration::from_secs(1))) {
            Ok((slot, guard)) => {
                diary.begin(slot);
                hold(&settings, &mut diary, guard, &mut rng);
            }
            Err(e) => assert!(e.is_timeout(), "{e}"),
        }
    }
}

fn hold(settings: &Settings, diary: &mut Diary, guard: Guard, rng: &mut Rng) {
    let for_ms = |ms| now() + Duration::from_millis(ms);
    match rng.u8(..20) {
        0 => {
            diary.believe(&guard, now() + 2 * LIFETIME);
            std::thread::sleep(Duration::from_millis(rng.u64(..300)));
            release(settings, diary, guard);
        }
        1 => {
            diary.believe(&guard, for_ms(20));
            guard.leave();
        }
        2 => {
            diary.believe(&guard, for_ms(20));
            diary.doing(Doing::Releasing);
            drop(guard);
        }
        3 | 4 => {
            for _ in 0..4 {
                diary.believe(&guard, now() + LIFETIME / 4);
                assert_unharmed(&guard, |guard| guard.refresh());
                assert_unharmed(&guard, |guard| guard.check());
            }
            release(settings, diary, guard);
        }
        _ => {
            diary.believe(&guard, for_ms(rng.u64(..40)));
            release(settings, diary, guard);
        }
    }
}

/// The lock was not broken before its deadline.
fn assert_unharmed(guard: &Guard, ask: impl Fn(&Guard) -> Result<(), Error>) {
    let good_until = now() + guard.remaining();
    if let Err(e) = ask(guard) {
        assert!(e.is_lost(), "{e}");
        assert!(now() >= good_until, "a live lock was broken: {guard:?}: {e}");
    }
}

fn release(settings: &Settings, diary: &Diary, guard: Guard) {
    let good_until = now() + guard.remaining();
    let expired = guard.is_lost() && !settings.keep_alive;
    diary.doing(Doing::Releasing);
    match guard.release() {
        Ok(()) => assert!(!expired, "an expired lock was released as if it were held"),
        Err(e) => {
            assert!(e.error().is_lost(), "{e}");
            assert!(now() >= good_until, "a live lock was broken: {:?}: {e}", e.guard());
        }
    }
}
