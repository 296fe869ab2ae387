//! The bell: a sign beside the lock path that somebody on another machine may be waiting for the lock.
//!
//! It is a symbolic link at `LOCKPATH|bell`, which nobody follows: what it says is the claim of its owner and, if it listens for
//! hints, where. Of all waiters its owner looks most often, so that one of them is quick and the file server has little to do. The
//! bell gives speed and nothing else. Only the lock path says who holds the lock, and whatever is wrong with a bell costs a waiter
//! the time until its next poll.
//!
//! Whoever renews or removes it may hit the bell of another, if it was late. So nothing is done about a bell of one's own that
//! others may have taken for abandoned.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::time::Duration;

use super::io_error::is_gone;
use super::place::Place;
use super::seen::{SeenLock, Sighted};
use super::stake::Stake;
use crate::claim::Claim;
use crate::env::{Attr, FileKind, Liveness, Meant};
use crate::hint::Ear;
use crate::names::bytes_of;
use crate::options::Wake;
use crate::printable::Printable;
use crate::time::{LocalTime, ServerTime};

/// How long a bell is valid after its last change. So long nobody else looks more often than usual if its owner is stopped or dies.
pub(crate) const LIFETIME: Duration = Duration::from_secs(60);
const RENEW_EVERY: Duration = Duration::from_secs(20);

/// How often a waiter asks whether another's bell is still there, while the lock stays with one holder. A bell goes with a hand-off,
/// or because its owner gave up.
const ASK_EVERY: Duration = Duration::from_secs(30);

/// What stands between the parts of what a bell says. No claim's name can hold it.
const SLASH: u8 = b'/';

/// A waiter's bell, or what it knows of another's.
#[derive(Debug)]
pub(crate) struct Bell {
    state: State,
    /// Where its owner listens.
    ear: Option<Ear>,
}

#[derive(Debug)]
enum State {
    NotKnown,
    Ours {
        text: OsString,
        renewed: LocalTime,
    },
    Anothers(Anothers),
    /// None can be hung here, or not by this user.
    Impossible,
}

#[derive(Debug)]
struct Anothers {
    /// The lock that was held when it was seen.
    lock: Sighted,
    asked: LocalTime,
    ctime: ServerTime,
    /// Since when this ctime is known.
    since: LocalTime,
}

impl Bell {
    pub(crate) fn new(ear: Option<Ear>) -> Self {
        Self { state: State::NotKnown, ear }
    }

    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.state, State::Ours { .. })
    }

    /// Hangs the bell if there is none, renews our own, and removes one that is abandoned. True if it was hung just now: the lock may
    /// have been released right before, so that nobody has heard it.
    pub(crate) fn tend(&mut self, place: &Place, stake: &Stake, lock: &SeenLock) -> bool {
        let now = place.env.now();
        let this = lock.sighted();
        match &self.state {
            State::Impossible => return false,
            State::Anothers(bell) if bell.lock == this && now.since(bell.asked) < ASK_EVERY => return false,
            State::Ours { renewed, .. } if now.since(*renewed) < RENEW_EVERY => return false,
            // After its lifetime, another may have replaced it.
            State::Ours { text, renewed }
                if now.since(*renewed) < LIFETIME
                    || place.env.read_symlink(&place.path.bell()).is_ok_and(|there| there == *text) =>
            {
                let meant = Meant { id: None, owner: stake.owner, is_alone: true };
                if place.env.touch(&place.path.bell(), meant).is_ok() {
                    self.state = State::Ours { text: text.clone(), renewed: now };
                    return false;
                }
                // Not every file system changes the times of a symbolic link.
                let _ = place.env.unlink(&place.path.bell());
            }
            State::NotKnown | State::Ours { .. } | State::Anothers(_) => {}
        }
        self.hang(place, stake, this)
    }

    fn hang(&mut self, place: &Place, stake: &Stake, lock: Sighted) -> bool {
        let at = place.path.bell();
        let text = text(&stake.claim, self.ear.as_ref());
        let known = if let State::Anothers(bell) = &self.state { Some((bell.ctime, bell.since)) } else { None };
        let asked = place.env.now();
        let mut seen = place.env.stat(&at);
        if let Ok(attr) = &seen
            && attr.kind == FileKind::Symlink
            && is_abandoned(place, stake, attr, known, asked)
        {
            // In a sticky directory, only its owner can remove it.
            match place.env.unlink(&at) {
                Err(e) if !is_gone(&e) => {}
                _ => seen = Err(ErrorKind::NotFound.into()),
            }
        }
        let hung = match seen {
            Ok(attr) if attr.kind == FileKind::Symlink => {
                let since = known.filter(|(ctime, _)| *ctime == attr.ctime).map_or(place.env.now(), |(_, since)| since);
                self.state = State::Anothers(Anothers { lock, asked, ctime: attr.ctime, since });
                return false;
            }
            Err(e) if is_gone(&e) => place.env.symlink(&text, &at),
            // Something else has this name.
            _ => Err(ErrorKind::Unsupported.into()),
        };
        self.state = match hung {
            Ok(()) => State::Ours { text, renewed: asked },
            // It was made, and the reply was lost; or another was first.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                let is_ours = place.env.read_symlink(&at).is_ok_and(|there| there == text);
                let anothers = || State::Anothers(Anothers { lock, asked, ctime: ServerTime::MIN, since: asked });
                if is_ours { State::Ours { text, renewed: asked } } else { anothers() }
            }
            Err(e) => {
                tracing::debug!(bell = %Printable::new(at.as_path()), error = %e, "cannot hang a bell here");
                State::Impossible
            }
        };
        self.is_ours()
    }

    /// Removes the bell if it is ours. Returns whether there was anything to do.
    pub(crate) fn take_down(&mut self, place: &Place) -> bool {
        let State::Ours { text, renewed } = std::mem::replace(&mut self.state, State::NotKnown) else { return false };
        let at = place.path.bell();
        // Nobody else has removed it before its lifetime was over.
        let is_ours =
            place.env.now().since(renewed) < LIFETIME || place.env.read_symlink(&at).is_ok_and(|there| there == text);
        if is_ours
            && let Err(e) = place.remove_afresh(|| place.env.unlink(&at))
            && !is_gone(&e)
        {
            tracing::warn!(bell = %Printable::new(at.as_path()), error = %e, "could not remove a bell");
        }
        true
    }
}

/// Whether a bell has not changed for its lifetime, by the clock that stamps it or by ours. Because of ours, one with a time in the
/// future is in the way for no longer.
fn is_abandoned(
    place: &Place,
    stake: &Stake,
    attr: &Attr,
    known: Option<(ServerTime, LocalTime)>,
    looked: LocalTime,
) -> bool {
    let lasts = attr.ctime.rounding() + LIFETIME;
    let by_server = place.clock_is_known() && stake.anchor.earliest(looked) > attr.ctime + lasts;
    by_server || known.is_some_and(|(ctime, since)| ctime == attr.ctime && looked.since(since) > lasts)
}

/// What a link says by which a waiter shows where it listens.
pub(super) fn text(claim: &Claim, ear: Option<&Ear>) -> OsString {
    let mut text = claim.token.as_os_str().to_owned();
    if let Some(ear) = ear {
        text.push(format!("/{ear}"));
    }
    text
}

/// The claim in such a text, and where its owner listens. `None` if it is no such text.
pub(super) fn parse(place: &Place, text: &OsStr) -> Option<(Claim, Option<Ear>)> {
    let text = bytes_of(text);
    let (name, rest) = match text.iter().position(|byte| *byte == SLASH) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let ear = rest.and_then(|rest| Ear::parse(std::str::from_utf8(rest).ok()?));
    Some((place.path.parse(name)?, ear))
}

/// Whether somebody waits who wants the lock for himself, as its bell says: then newcomers do not share the lock with those that have
/// it, or he might wait for ever.
pub(crate) fn writer_waits(place: &Place, stake: &Stake) -> bool {
    let at = place.path.bell();
    let Some(claim) = place.env.read_symlink(&at).ok().and_then(|text| claim(place, &text)) else { return false };
    let looked = place.env.now();
    !claim.is_shared
        && place.liveness(&claim) != Liveness::Dead
        && place.env.stat(&at).is_ok_and(|attr| !is_abandoned(place, stake, &attr, None, looked))
}

/// The claim of a bell's owner.
pub(super) fn claim(place: &Place, text: &OsStr) -> Option<Claim> {
    parse(place, text).map(|(claim, _)| claim)
}

/// Tells the next waiter that the lock is free: the one whose bell it is, else the one that was next in the queue. To be called right
/// after this machine's own removal at the lock path: then its client knows whether there is a bell, and asks nobody.
pub(super) fn ring(place: &Place, stake: &Stake) {
    if place.wake != Wake::Udp {
        return;
    }
    // Those who wait for any of several locks have one bell. Others may wait for this one alone.
    let of = |at: &Place| parse(at, &at.env.read_symlink(&at.path.bell()).ok()?)?.1;
    let of_limit = place.limit.as_deref().and_then(of);
    let ears = [of_limit, of(place)];
    let next = stake.next.filter(|_| ears == [None; 2]);
    ears.into_iter().chain([next]).flatten().for_each(|ear| place.env.hint(&ear));
}
