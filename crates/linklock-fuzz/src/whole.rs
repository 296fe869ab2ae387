//! Contenders and operators on a lock path at and around which anything may be. Nothing that is not a lock's changes, nothing
//! waits for longer than it was told to, and no two hold the lock.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use arbitrary::Unstructured;
use linklock::{Guard, LeftoverKind, Lock, OnBehalfOf, Protocol, Slot, Token, Wait, Which};

use crate::ground::Ground;
use crate::rules;
use crate::shown::assert_harmless;
use crate::things::{LOCK, Planter};

const ACTS: usize = 6;

/// How long a contender is told to wait.
const SHORT: Duration = Duration::from_millis(2);

/// Then a `dir` lock with the shortest lifetime has expired: its 10 ms, and the resolution of a ctime.
const UNTIL_EXPIRED: Duration = Duration::from_millis(30);

/// How much later an act may end: the machine may do other things. A wait that nobody asked for is longer.
const LATE: Duration = Duration::from_secs(5);

/// An act is three bytes: the settings of the lock, what is done, and with which of the names that are there.
type Act = [u8; 3];

pub(crate) fn fuzz(data: &[u8]) {
    let ground = Ground::new();
    let mut draw = Unstructured::new(data);
    // Beyond its end, an input is zeros.
    let acts: [Act; ACTS] = draw.arbitrary().unwrap_or_default();
    let names = Planter::new(&ground, &mut draw).plant();
    let before = ground.scan();
    let mut stage = Stage { ground: &ground, names, held: Vec::new(), fence: BTreeMap::new(), may_be_broken: false };
    acts.into_iter().for_each(|act| stage.act(act));
    drop(stage);
    let now = ground.scan();
    let found = rules::violations(&before, &now);
    assert!(found.is_empty(), "{found:#?}\nbefore:\n{}", rules::told(&before));
}

struct Stage<'a> {
    ground: &'a Ground,
    names: Vec<OsString>,
    held: Vec<(Guard, bool)>,
    /// The last number of each lock path.
    fence: BTreeMap<PathBuf, u64>,
    /// Whether an operator has ordered to break whatever there is.
    may_be_broken: bool,
}

impl Stage<'_> {
    fn act(&mut self, [settings, what, name]: Act) {
        let (lock, is_shared) = self.lock(settings);
        let began = Instant::now();
        let asked = match what % 32 {
            0..=3 => self.acquire(&lock, is_shared, &Wait::never()),
            4..=6 => self.acquire(&lock, is_shared, &Wait::up_to(SHORT)),
            7 => self.acquire_slot(&lock),
            8 => self.harmless(lock.inspect()),
            9 => self.harmless(lock.survey()),
            10 => self.harmless(Lock::builder(self.ground.shared()).survey()),
            11 => self.harmless(lock.leftovers()),
            12..=15 => {
                let leftovers = lock.leftovers().unwrap_or_default();
                self.harmless(lock.clean(leftovers))
            }
            16..=18 => self.break_lock(&lock, &Which::Expired),
            19 | 20 => self.break_lock(&lock, &Which::Any),
            21 => self.break_lock(&lock, &Which::Claim(self.token(&lock, name))),
            22 => {
                if let Ok(guard) = lock.adopt(&self.token(&lock, name)) {
                    // It is the same lock, and not another holder.
                    let _ = guard.leave();
                }
                Duration::ZERO
            }
            23 => {
                self.harmless(lock.wait_until_free(&Wait::up_to(SHORT)));
                SHORT
            }
            24 => {
                sleep(UNTIL_EXPIRED);
                UNTIL_EXPIRED
            }
            25..=27 => self.release(),
            28..=30 => self.tend(name),
            _ => {
                if let Some((guard, _)) = self.held.pop() {
                    let _ = guard.leave();
                }
                Duration::ZERO
            }
        };
        let took = began.elapsed();
        assert!(took < asked + LATE, "{lock:?}: an act took {took:?}");
    }

    fn lock(&self, bits: u8) -> (Lock, bool) {
        let has = |bit: u8| bits & (1 << bit) != 0;
        let protocol = if has(0) || has(1) { Protocol::Dir } else { Protocol::Link };
        let mut builder = Lock::builder(self.ground.shared().join(LOCK)).protocol(protocol).shared(has(1));
        builder = builder.fence(has(2)).queue(has(3)).recover_dead(!has(4));
        if has(5) {
            builder = builder.grace(Duration::ZERO);
        }
        if has(6) {
            builder = builder.lifetime(Duration::from_millis(10));
        }
        if has(7) {
            builder = builder.on_behalf_of(OnBehalfOf::Nobody).host("another.example");
        }
        (builder.build().expect("the settings are valid"), has(1))
    }

    fn acquire(&mut self, lock: &Lock, is_shared: bool, wait: &Wait) -> Duration {
        match lock.acquire_with(wait) {
            Ok(guard) => self.hold(guard, is_shared),
            Err(e) => assert_harmless(&e.to_string(), false),
        }
        SHORT
    }

    fn acquire_slot(&mut self, lock: &Lock) -> Duration {
        if let Ok(slot) = lock.slots(2).and_then(|slots| slots.acquire_with(&Wait::up_to(SHORT))) {
            self.hold(Slot::into_guard(slot), false);
        }
        SHORT
    }

    fn hold(&mut self, guard: Guard, is_shared: bool) {
        if let Some(number) = guard.fencing_token() {
            let last = self.fence.insert(guard.path().to_owned(), number);
            assert!(last < Some(number), "{number} came after {last:?}");
        }
        let other = self.held.iter().find(|(other, others_is_shared)| {
            other.path() == guard.path() && !(is_shared && *others_is_shared) && !other.is_lost()
        });
        assert!(other.is_none() || self.may_be_broken, "{guard:?} and {other:?} hold the lock");
        self.held.push((guard, is_shared));
    }

    /// Any result is fine that can be shown.
    fn harmless<T>(&self, result: Result<T, linklock::Error>) -> Duration {
        if let Err(e) = result {
            assert_harmless(&e.to_string(), false);
        }
        Duration::ZERO
    }

    fn break_lock(&mut self, lock: &Lock, which: &Which) -> Duration {
        // An operator waits for the turn of another breaker, which may take as long as a break lock's lifetime.
        let leftovers = lock.leftovers().unwrap_or_default();
        let is_busy = |kind, is_removable: bool| kind == LeftoverKind::BreakLock && !is_removable;
        if leftovers.iter().any(|leftover| is_busy(leftover.kind, leftover.verdict.is_removable())) {
            return Duration::ZERO;
        }
        self.may_be_broken |= !matches!(which, Which::Expired);
        self.harmless(lock.break_lock(which))
    }

    /// Of the holder, or a name that is there.
    fn token(&self, lock: &Lock, number: u8) -> Token {
        let holder = lock.inspect().ok().and_then(|status| status.holder).filter(|_| number.is_multiple_of(2));
        let named = || Token::new(&self.names[usize::from(number) % self.names.len()]);
        holder.map_or_else(named, |holder| holder.token)
    }

    fn release(&mut self) -> Duration {
        if let Some((guard, _)) = self.held.pop() {
            self.harmless(guard.release().map_err(Into::into));
        }
        Duration::ZERO
    }

    fn tend(&mut self, how: u8) -> Duration {
        let Some((guard, is_shared)) = self.held.pop() else { return Duration::ZERO };
        match how % 3 {
            0 => self.harmless(guard.refresh()),
            1 => self.harmless(guard.check()),
            _ => match guard.downgrade() {
                Ok(guard) => {
                    self.held.push((guard, true));
                    return Duration::ZERO;
                }
                Err(e) => {
                    self.held.push((e.into_parts().1, is_shared));
                    return Duration::ZERO;
                }
            },
        };
        self.held.push((guard, is_shared));
        Duration::ZERO
    }
}
