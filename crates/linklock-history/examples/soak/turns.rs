//! Turns under the lock.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use linklock::{Guard, Lock, Slot, Slots, Wait};
use linklock_history::Event;

use crate::record::{Doing, Recorder};
use crate::settings::Settings;
use crate::work::{Counter, Register};

/// So that it sees the stop file in time.
const WAIT_MOST: Duration = Duration::from_secs(5);

/// Most turns are short. The others overstay, leave the lock behind, drop it, or refresh it.
const SHORT: u8 = 5;

#[derive(Debug)]
pub(crate) struct Contender {
    lock: Lock,
    slots: Option<Slots>,
    recorder: Recorder,
    register: Option<Register>,
    counter: Option<Counter>,
    stop: PathBuf,
    lifetime: Duration,
    think_ms: u64,
    shares: bool,
    is_calm: bool,
    careless: Option<u64>,
    /// It ends after so many.
    turns: Option<u64>,
}

impl Contender {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Box<dyn Error>> {
        let lock = settings.lock()?;
        let slots = settings.find("slots")?.map(|number| lock.slots(number)).transpose()?;
        Ok(Self {
            slots,
            lock,
            recorder: Recorder::new(settings)?,
            register: Register::open(settings)?,
            counter: Counter::open(settings)?,
            stop: settings.file("stop")?,
            lifetime: settings.millis("lifetime_ms")?,
            think_ms: settings.get("think_ms")?,
            shares: settings.is_on("shared")?,
            is_calm: settings.is_on("calm")?,
            careless: settings.find("careless")?,
            turns: settings.find("turns")?,
        })
    }

    pub(crate) fn take_turns(&mut self) -> Result<(), Box<dyn Error>> {
        let (mut turn, mut holds) = (0, 0);
        while !self.stop.exists() && self.turns != Some(holds) {
            self.recorder.doing(Doing::Thinking)?;
            self.think();
            turn += 1;
            if self.careless == Some(turn) {
                self.be_careless()?;
                continue;
            }
            self.recorder.doing(Doing::Acquiring)?;
            let asked = self.recorder.now();
            match self.acquire() {
                Ok((guard, lock)) => {
                    self.recorder.acquired(&guard, &lock, self.shares, asked)?;
                    self.recorder.doing(Doing::Holding)?;
                    self.hold(guard)?;
                    holds += 1;
                }
                Err(e) if e.is_timeout() || e.is_lost() => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn think(&self) {
        let until = self.recorder.now() + fastrand::u64(0..=2 * self.think_ms) * 1_000_000;
        while self.recorder.now() < until && !self.stop.exists() {
            thread::sleep(Duration::from_nanos(until - self.recorder.now().min(until)).min(Duration::from_millis(500)));
        }
    }

    fn acquire(&self) -> Result<(Guard, String), linklock::Error> {
        let wait = Wait::up_to(WAIT_MOST);
        let guard = match &self.slots {
            None => self.lock.acquire_with(&wait)?,
            Some(slots) => slots.acquire_with(&wait).map(Slot::into_guard)?,
        };
        let lock = name_of(guard.path());
        Ok((guard, lock))
    }

    fn hold(&mut self, guard: Guard) -> Result<(), Box<dyn Error>> {
        if let Some(counter) = &self.counter {
            counter.increment(&self.recorder, pause(5), || !guard.is_lost())?;
            return self.release(guard);
        }
        self.use_register(&guard)?;
        match if self.is_calm { SHORT } else { fastrand::u8(..20) } {
            0 => {
                self.stay(&guard, self.lifetime * 3 / 2)?;
                self.use_register(&guard)?;
                self.release(guard)
            }
            1 => {
                self.recorder.released(guard.token())?;
                guard.leave();
                Ok(())
            }
            2 => {
                self.recorder.released(guard.token())?;
                self.recorder.doing(Doing::Releasing)?;
                drop(guard);
                Ok(())
            }
            3 | 4 => {
                for _ in 0..3 {
                    self.stay(&guard, self.lifetime / 4)?;
                    if let Err(e) = guard.refresh() {
                        if !e.is_lost() {
                            return Err(e.into());
                        }
                        self.recorder.lost(guard.token())?;
                    }
                }
                self.use_register(&guard)?;
                self.release(guard)
            }
            SHORT.. => {
                self.stay(&guard, pause(40))?;
                self.release(guard)
            }
        }
    }

    /// Holds the lock for so long, or until it is lost.
    fn stay(&self, guard: &Guard, time: Duration) -> Result<(), Box<dyn Error>> {
        let until = self.recorder.now() + time.as_nanos() as u64;
        while self.recorder.believe(guard)? && self.recorder.now() < until {
            thread::sleep(
                Duration::from_nanos(until.saturating_sub(self.recorder.now())).min(Duration::from_millis(100)),
            );
        }
        Ok(())
    }

    /// Reads the register and, unless the lock is shared, writes the next number. It does not ask whether the lock is lost: the
    /// fencing token protects.
    fn use_register(&mut self, guard: &Guard) -> Result<(), Box<dyn Error>> {
        let (Some(register), Some(fence)) = (&mut self.register, guard.fencing_token()) else { return Ok(()) };
        if let Some(value) = register.ask(&self.recorder, fence, None, false)?.filter(|_| !self.shares) {
            thread::sleep(pause(5));
            register.ask(&self.recorder, fence, Some(value + 1), false)?;
        }
        Ok(())
    }

    fn release(&self, guard: Guard) -> Result<(), Box<dyn Error>> {
        self.recorder.released(guard.token())?;
        self.recorder.doing(Doing::Releasing)?;
        match guard.release() {
            Ok(()) => Ok(()),
            // The judge compares this with the deadline.
            Err(e) if e.error().is_lost() => self.recorder.lost(e.guard().token()),
            Err(e) => Err(linklock::Error::from(e).into()),
        }
    }

    /// Does as if it held the lock, for long enough that others hold it too.
    fn be_careless(&mut self) -> Result<(), Box<dyn Error>> {
        const LONG: Duration = Duration::from_secs(3);
        let (asked, hold) = (self.recorder.now(), format!("careless-{}", self.recorder.process));
        self.recorder.tell(&Event::Acquired {
            at: asked,
            asked,
            until: asked + LONG.as_nanos() as u64,
            lock: name_of(self.slots.as_ref().map_or(self.lock.path(), |slots| slots.locks()[0].path())),
            hold: hold.clone(),
            process: self.recorder.process.clone(),
            shares: false,
            fence: None,
        })?;
        match (&self.counter, &mut self.register) {
            (Some(counter), _) => counter.increment(&self.recorder, LONG, || true)?,
            (None, Some(register)) => {
                thread::sleep(LONG);
                register.ask(&self.recorder, 1, Some(7), true)?;
            }
            (None, None) => thread::sleep(LONG),
        }
        self.recorder.released(&hold)
    }
}

/// The lock in the history: without its directory, which has another path on each client of a file server.
fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn pause(most_ms: u64) -> Duration {
    Duration::from_micros(fastrand::u64(0..most_ms * 1000))
}
