//! What the process tells: events to the history, and to the driver what it is doing.

use std::error::Error;
use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use linklock::{Guard, Token};
use linklock_history::Event;
use rustix::time::{ClockId, clock_gettime};

use crate::settings::Settings;

#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// What the driver wants to know before it stops or kills a process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Doing {
    Thinking = b'T' as isize,
    Acquiring = b'A' as isize,
    Holding = b'H' as isize,
    /// It writes the counter, which no fencing token protects.
    Counting = b'C' as isize,
    Releasing = b'R' as isize,
}

#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) process: String,
    history: File,
    doing: File,
    ahead_ns: u64,
}

impl Recorder {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Box<dyn Error>> {
        let doing = File::create(settings.file("doing")?)?;
        doing.write_all_at(format!("T {}\n", std::process::id()).as_bytes(), 0)?;
        Ok(Self {
            process: settings.get("name")?,
            history: File::options().append(true).create(true).open(settings.file("history")?)?,
            doing,
            ahead_ns: settings.find("ahead_ns")?.unwrap_or(0),
        })
    }

    /// Now, on the history's clock.
    pub(crate) fn now(&self) -> u64 {
        let now = clock_gettime(CLOCK);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32).as_nanos() as u64 - self.ahead_ns
    }

    pub(crate) fn doing(&self, what: Doing) -> Result<(), Box<dyn Error>> {
        Ok(self.doing.write_all_at(&[what as u8], 0)?)
    }

    /// Appends a line by one call, since others append too.
    pub(crate) fn tell(&self, event: &Event) -> Result<(), Box<dyn Error>> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        Ok((&self.history).write_all(&line)?)
    }

    pub(crate) fn acquired(&self, guard: &Guard, lock: &str, shares: bool, asked: u64) -> Result<(), Box<dyn Error>> {
        let at = self.now();
        self.tell(&Event::Acquired {
            at,
            asked,
            until: at + guard.remaining().as_nanos() as u64,
            lock: lock.into(),
            hold: guard.token().to_string(),
            process: self.process.clone(),
            shares,
            fence: guard.fencing_token(),
        })
    }

    /// Notes the deadline, or the loss. Returns whether the lock is held.
    pub(crate) fn believe(&self, guard: &Guard) -> Result<bool, Box<dyn Error>> {
        let at = self.now();
        let left = guard.remaining();
        let is_held = !left.is_zero() && !guard.is_lost();
        if is_held {
            self.tell(&Event::Kept { at, until: at + left.as_nanos() as u64, hold: guard.token().to_string() })?;
        } else {
            self.lost(guard.token())?;
        }
        Ok(is_held)
    }

    pub(crate) fn lost(&self, token: &Token) -> Result<(), Box<dyn Error>> {
        self.tell(&Event::Lost { at: self.now(), hold: token.to_string() })
    }

    pub(crate) fn released(&self, token: &dyn Display) -> Result<(), Box<dyn Error>> {
        self.tell(&Event::Released { at: self.now(), hold: token.to_string() })
    }
}
