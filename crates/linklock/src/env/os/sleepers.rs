//! The tasks that sleep. One thread of the process waits for all of them, so that none needs a thread of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use super::platform::wakes::{Wakes, Woken};
use super::platform::{Bell, Event, OsEnv, wait_for_any};
use crate::env::per_process::PerProcess;
use crate::env::world::{Env, Watcher};
use crate::time::LocalTime;

/// So long the thread stays after the last sleeper woke up, who may only look and sleep again.
const LINGER: Duration = Duration::from_secs(1);

/// So long a new sleeper may be left out where there is no descriptor to tell the thread of it.
const WITHOUT_BELL: Duration = Duration::from_millis(100);

/// Each process has sleepers of its own; a forked child finds none.
struct Sleepers {
    process: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether the thread is there.
    is_running: bool,
    /// Rouses it.
    bell: Option<Arc<Bell>>,
    joined: u64,
    sleepers: BTreeMap<u64, Sleeper>,
}

struct Sleeper {
    watcher: Box<dyn Watcher>,
    until: LocalTime,
    cancel: Option<Arc<Event>>,
    /// What is to wake it. `None`: it is new, or was woken for nothing.
    wakes: Option<Arc<Wakes>>,
    is_awake: bool,
    waker: Option<Waker>,
}

/// One that sleeps, as the thread waits for it.
struct Asleep {
    number: u64,
    /// Whatever becomes of the sleeper meanwhile, no descriptor is closed that the thread waits for.
    wakes: Arc<Wakes>,
    cancel: Option<Arc<Event>>,
}

/// The sleep of a watcher. To drop it ends it.
pub(crate) struct Slumber(Inner);

enum Inner {
    Asleep {
        sleepers: &'static Sleepers,
        number: u64,
    },
    /// With the watcher, until that is given back.
    Over(Option<Box<dyn Watcher>>),
}

/// As [`Watcher::wait`], for a task: the watcher comes back when it wakes, and no thread waits for it alone.
pub(crate) fn sleep(watcher: Box<dyn Watcher>, until: LocalTime, cancel: Option<Arc<Event>>) -> Slumber {
    let sleepers = Sleepers::of_process();
    let Some(mut state) = sleepers.lock() else { return Slumber::over(watcher) };
    if !state.is_running {
        let spawned = thread::Builder::new().name("linklock-wait".into()).spawn(|| sleepers.run_through_panics());
        if let Err(e) = spawned {
            drop(state);
            return wait_here(watcher, until, cancel.as_deref(), &e);
        }
        state.is_running = true;
    }
    state.joined += 1;
    let number = state.joined;
    let sleeper = Sleeper { watcher, until, cancel, wakes: None, is_awake: false, waker: None };
    state.sleepers.insert(number, sleeper);
    let bell = state.bell.clone();
    drop(state);
    if let Some(bell) = bell {
        bell.ring();
    }
    Slumber(Inner::Asleep { sleepers, number })
}

/// Where no other thread can be had, this one has to do.
fn wait_here(mut watcher: Box<dyn Watcher>, until: LocalTime, cancel: Option<&Event>, why: &std::io::Error) -> Slumber {
    tracing::warn!(error = %why, "no thread to wait for locks for tasks: a task that waits blocks a thread of its runtime's pool");
    watcher.wait(until, cancel);
    Slumber::over(watcher)
}

impl Sleepers {
    fn of_process() -> &'static Self {
        static SLEEPERS: PerProcess<Sleepers> = PerProcess::new();
        let process = OsEnv.generation();
        SLEEPERS.get(process, || Self { process, state: Mutex::default() })
    }

    /// `None` in a forked child, where it may be locked for ever.
    fn lock(&self) -> Option<MutexGuard<'_, State>> {
        let is_ours = self.process == OsEnv.generation();
        is_ours.then(|| self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins again after a panic, which would leave all tasks of the process asleep.
    fn run_through_panics(&self) {
        while !ends(|| self.run()) {}
    }

    /// Ends when nobody has slept for a while; the next sleeper starts it again.
    fn run(&self) {
        let (mut asleep, mut woken, mut idle) = (Vec::new(), Vec::new(), None);
        loop {
            let Some(mut state) = self.lock() else { return };
            state.wake_up(&asleep, woken);
            let awake = state.settle();
            asleep = state.asleep();
            let now = OsEnv.now();
            let first = asleep.iter().map(|one: &Asleep| one.wakes.until()).min();
            idle = first.is_none().then(|| idle.unwrap_or(now + LINGER));
            let until = first.or(idle).unwrap_or(now);
            state.is_running = idle.is_none() || now < until;
            let (is_running, bell) = (state.is_running, state.bell_or_new());
            drop(state);
            // One that panics, such as an application's, keeps nobody else asleep.
            for waker in awake {
                let _ = ends(|| waker.wake());
            }
            if !is_running {
                return;
            }
            let until = if bell.is_some() { until } else { until.min(now + WITHOUT_BELL) };
            let wakes: Vec<_> = asleep.iter().map(|one| (&*one.wakes, one.cancel.as_deref())).collect();
            woken = wait_for_any(bell.as_deref(), &wakes, until.since(OsEnv.now()));
        }
    }
}

/// False if it panicked, which the panic hook has told.
fn ends(act: impl FnOnce()) -> bool {
    // To drop what a program has panicked with could panic again.
    panic::catch_unwind(AssertUnwindSafe(act)).map_err(mem::forget).is_ok()
}

impl State {
    fn bell_or_new(&mut self) -> Option<Arc<Bell>> {
        if !self.bell.as_ref().is_some_and(|bell| bell.is_whole()) {
            self.bell = Bell::new().ok().map(Arc::new);
        }
        self.bell.clone()
    }

    /// After a wait: those that it has woken, or whose time is up, are awake, or fall asleep again.
    fn wake_up(&mut self, asleep: &[Asleep], woken: Vec<Woken>) {
        let now = OsEnv.now();
        for (one, woken) in asleep.iter().zip(woken) {
            let Some(sleeper) =
                self.sleepers.get_mut(&one.number).filter(|_| woken.is_any() || now >= one.wakes.until())
            else {
                continue;
            };
            sleeper.wakes = None;
            sleeper.is_awake = sleeper.watcher.wake_up(woken, one.cancel.as_deref());
        }
    }

    /// Those that are not awake fall asleep, unless there is a reason to look. Gives those to wake, who are to be woken once
    /// nothing is locked any more.
    fn settle(&mut self) -> Vec<Waker> {
        for sleeper in self.sleepers.values_mut().filter(|sleeper| !sleeper.is_awake && sleeper.wakes.is_none()) {
            let wakes = sleeper.watcher.fall_asleep(sleeper.until, sleeper.cancel.as_deref());
            sleeper.is_awake = wakes.is_none();
            sleeper.wakes = wakes.map(Arc::new);
        }
        self.sleepers
            .values_mut()
            .filter(|sleeper| sleeper.is_awake)
            .filter_map(|sleeper| sleeper.waker.take())
            .collect()
    }

    fn asleep(&self) -> Vec<Asleep> {
        let asleep = |(number, sleeper): (&u64, &Sleeper)| {
            let wakes = Arc::clone(sleeper.wakes.as_ref().filter(|_| !sleeper.is_awake)?);
            Some(Asleep { number: *number, wakes, cancel: sleeper.cancel.clone() })
        };
        self.sleepers.iter().filter_map(asleep).collect()
    }
}

impl Slumber {
    /// One that is over.
    fn over(watcher: Box<dyn Watcher>) -> Self {
        Self(Inner::Over(Some(watcher)))
    }
}

impl Future for Slumber {
    type Output = Box<dyn Watcher>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (sleepers, number) = match &mut self.0 {
            Inner::Over(watcher) => return watcher.take().map_or(Poll::Pending, Poll::Ready),
            Inner::Asleep { sleepers, number } => (*sleepers, *number),
        };
        let Some(mut state) = sleepers.lock() else { return Poll::Pending };
        if let Some(sleeper) = state.sleepers.get_mut(&number).filter(|sleeper| !sleeper.is_awake) {
            sleeper.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let sleeper = state.sleepers.remove(&number);
        drop(state);
        self.0 = Inner::Over(None);
        sleeper.map_or(Poll::Pending, |sleeper| Poll::Ready(sleeper.watcher))
    }
}

impl Drop for Slumber {
    fn drop(&mut self) {
        let Inner::Asleep { sleepers, number } = &self.0 else { return };
        let Some(mut state) = sleepers.lock() else { return };
        let sleeper = state.sleepers.remove(number);
        let bell = state.bell.clone();
        drop(state);
        // Its watch may be the last on a file that is gone, which a file server has to be told.
        drop(sleeper);
        if let Some(bell) = bell {
            bell.ring();
        }
    }
}

impl fmt::Debug for Slumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slumber")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_that_is_dropped_is_forgotten() {
        let until = OsEnv.now() + Duration::from_secs(3600);
        let slumber = sleep(OsEnv.watcher_for_task(), until, None);
        let Inner::Asleep { sleepers, number } = slumber.0 else { panic!("it sleeps") };
        let is_known = || sleepers.lock().unwrap().sleepers.contains_key(&number);
        assert!(is_known());
        drop(slumber);
        assert!(!is_known());
    }
}
