//! Looking at a lock path so that no change is missed: what wakes us is armed before the look.

use super::pace::Pace;
use crate::env::{FileId, Location, Watcher};
use crate::error::Error;
use crate::protocol::judge::holder_pid;
use crate::protocol::look::{is_still_there, look};
use crate::protocol::place::Place;
use crate::protocol::seen::{Seen, SeenLock};
use crate::time::LocalTime;
use crate::token::Token;
use crate::wait::Cancel;

/// Which lock is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    file: FileId,
    claim: Option<Token>,
    /// Its holder, if it is of this machine and its end can be seen.
    pid: Option<u32>,
}

/// For what the wake-ups are armed.
#[derive(Debug)]
enum Alarm {
    /// For nothing that is known.
    Off,
    /// For this lock and the end of its holder. Whether it was still there then is not known.
    Set(Target),
    /// And it was seen since: whatever happens to it wakes us.
    Proved(Target),
}

impl Alarm {
    fn target(&self) -> Option<&Target> {
        match self {
            Self::Off => None,
            Self::Set(target) | Self::Proved(target) => Some(target),
        }
    }

    fn pid(&self) -> Option<u32> {
        self.target().and_then(|target| target.pid)
    }
}

/// The lock that was seen last.
#[derive(Debug)]
enum Sight {
    None,
    Whole(SeenLock),
    /// It was only asked whether it is still there, see [`is_still_there`]: enough to go on waiting, and not to act on it.
    StillThere(SeenLock),
}

impl Sight {
    fn take(&mut self) -> Option<SeenLock> {
        match std::mem::replace(self, Self::None) {
            Self::None => None,
            Self::Whole(lock) | Self::StillThere(lock) => Some(lock),
        }
    }
}

/// Looks at a lock path, or waits for changes elsewhere.
pub(super) struct Lookout<'a> {
    place: &'a Place,
    pace: Pace,
    watcher: Option<Box<dyn Watcher>>,
    /// The number of the hints that wake us.
    nonce: Option<u64>,
    alarm: Alarm,
    sight: Sight,
    /// A moment before the last look.
    pub(super) looked: LocalTime,
}

impl<'a> Lookout<'a> {
    pub(super) fn new(place: &'a Place, pace: Pace) -> Self {
        Self { place, pace, watcher: None, nonce: None, alarm: Alarm::Off, sight: Sight::None, looked: place.env.now() }
    }

    /// Looks at the lock path, with the wake-ups for what is there armed before the look: no change falls in between.
    pub(super) fn look(&mut self) -> Result<Seen, Error> {
        let (place, pace, nonce) = (self.place, self.pace, self.nonce);
        let watcher = self.watcher.get_or_insert_with(|| watcher(place, pace, nonce));
        loop {
            // What is still there is still armed for; and to ask for a process costs as much as to wake up.
            let is_armed = matches!(self.alarm, Alarm::Proved(_)) && watcher.sees_end();
            if !is_armed {
                watcher.arm(place.location(), self.alarm.pid());
            }
            self.looked = place.env.now();
            let remembered = self.sight.take().filter(|lock| is_still_there(place, lock));
            let is_remembered = remembered.is_some();
            let seen = remembered.map_or_else(|| look(place), |lock| Ok(Seen::Lock(lock)))?;
            let Seen::Lock(lock) = &seen else { return Ok(seen) };
            self.sight = if is_remembered { Sight::StillThere(lock.clone()) } else { Sight::Whole(lock.clone()) };
            if is_armed && is_remembered {
                return Ok(seen);
            }
            let target = target(place, lock);
            // Another lock than before may have come after the wake-ups were armed; it can have the number of that one's file.
            if self.alarm.target() == Some(&target) {
                self.alarm = Alarm::Proved(target);
                return Ok(seen);
            }
            self.alarm = Alarm::Set(target);
            // What a hint may have said was true.
            if let Some(nonce) = nonce {
                watcher.listen(nonce);
            }
        }
    }

    /// Wakes on hints with this number too, from now on.
    pub(super) fn listen(&mut self, nonce: u64) {
        self.nonce = Some(nonce);
        self.watcher().listen(nonce);
    }

    /// Looks at the lock path, and leaves the wake-ups armed for what they are.
    pub(super) fn look_aside(&mut self) -> Result<Seen, Error> {
        self.looked = self.place.env.now();
        let seen = look(self.place)?;
        self.sight = if let Seen::Lock(lock) = &seen { Sight::Whole(lock.clone()) } else { Sight::None };
        Ok(seen)
    }

    /// Whether the holder of the lock that was seen last was alive then, and its end would wake us.
    pub(super) fn sees_holder(&self) -> bool {
        self.alarm.pid().is_some()
    }

    /// Whether the lock that was seen last is one that this user may not look into.
    pub(super) fn sees_hidden(&self) -> bool {
        matches!(&self.sight, Sight::Whole(lock) | Sight::StillThere(lock) if lock.is_hidden())
    }

    /// Makes the next look a whole one, if the last was not. To be asked before anything is done about a lock.
    pub(super) fn must_look_again(&mut self) -> bool {
        matches!(std::mem::replace(&mut self.sight, Sight::None), Sight::StillThere(_))
    }

    /// Wakes on a change there, and on the end of process `pid`, instead of what the looks arm for. The next of these arms anew.
    pub(super) fn arm(&mut self, at: &Location, pid: Option<u32>) {
        self.alarm = Alarm::Off;
        self.watcher().arm(at, pid);
    }

    /// The same, beside what the wake-ups are armed for already.
    pub(super) fn also_arm(&mut self, at: &Location, pid: Option<u32>) {
        self.watcher().also_arm(at, pid);
    }

    /// Whether the wake-ups are as they were armed.
    pub(super) fn is_armed(&self) -> bool {
        self.watcher.is_some()
    }

    /// Whatever the next look finds, the wake-ups are armed for it again.
    pub(super) fn disarm(&mut self) {
        (self.watcher, self.alarm) = (None, Alarm::Off);
    }

    pub(super) fn watcher(&mut self) -> &mut dyn Watcher {
        self.watcher.get_or_insert_with(|| watcher(self.place, self.pace, self.nonce)).as_mut()
    }

    /// Sleeps until what the wake-ups are armed for, a cancellation, or until `until`.
    pub(super) async fn sleep(&mut self, until: LocalTime, cancel: Option<&Cancel>) {
        let watcher = self.watcher.take().unwrap_or_else(|| watcher(self.place, self.pace, self.nonce));
        self.watcher = Some(self.pace.sleep(watcher, until, cancel).await);
    }

    /// Sleeps until `until` or a cancellation, whatever changes meanwhile. The next look arms the wake-ups again.
    pub(super) async fn rest(&mut self, until: LocalTime, cancel: Option<&Cancel>) {
        self.disarm();
        let mut deaf = self.pace.watcher(self.place.env.as_ref());
        while self.place.env.now() < until && !cancel.is_some_and(Cancel::is_cancelled) {
            deaf = self.pace.sleep(deaf, until, cancel).await;
        }
    }
}

fn watcher(place: &Place, pace: Pace, nonce: Option<u64>) -> Box<dyn Watcher> {
    let mut watcher = pace.watcher(place.env.as_ref());
    if let Some(nonce) = nonce {
        watcher.listen(nonce);
    }
    watcher
}

/// Whom a contender that has seen this lock waits for.
fn target(place: &Place, lock: &SeenLock) -> Target {
    Target { file: lock.attr.id, claim: lock.token().cloned(), pid: holder_pid(place, lock) }
}
