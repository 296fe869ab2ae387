//! Judges whether a lock that was seen may be broken.

use std::time::Duration;

use super::expiry::ask_clock_by;
use super::io_error::is_gone;
use super::place::Place;
use super::seen::SeenLock;
use super::stake::Stake;
use crate::env::{Liveness, Step};
use crate::error::Error;
use crate::printable::Printable;
use crate::time::{LocalTime, ServerTime};
use crate::token::Token;

/// The result of judging a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Live,
    /// Its lifetime and the grace have passed.
    Expired,
    /// Its holder's process has ended.
    Dead,
}

impl Verdict {
    /// Why a lock that is not live is broken.
    pub(crate) fn why(self) -> &'static str {
        if self == Self::Dead { "its holder has ended" } else { "its lifetime and the grace have passed" }
    }
}

/// Logs that a lock was broken.
pub(crate) fn log_broken(place: &Place, lock: &SeenLock, why: &str) {
    let holder = lock.holder().map(|holder| holder.to_string());
    let claim = lock.token().map(Token::to_string);
    tracing::warn!(target: "linklock::broken", lock = %Printable::new(place.lock_path()), holder, claim, why, "broke the lock");
}

/// Judges a lock by the earliest that the server's clock can have said when the lock was looked at.
pub(crate) fn judge(place: &Place, seen: &SeenLock, server_now: ServerTime) -> Verdict {
    if holder_is_dead(place, seen) { Verdict::Dead } else { judge_living(place, seen, server_now) }
}

/// Same as `judge`, for a lock whose holder's process has not ended.
fn judge_living(place: &Place, seen: &SeenLock, server_now: ServerTime) -> Verdict {
    let expiry = if place.keeps(Step::ExpiryFromChange) { seen.expiry(place.lifetime) } else { seen.attr.mtime };
    let has_expired = !seen.is_hidden() && server_now > expiry + grace(place);
    if has_expired { Verdict::Expired } else { Verdict::Live }
}

/// For how long after the expiry a lock is left alone. What a look shows may be as old as this machine's cache: the holder may have
/// refreshed since.
pub(crate) fn grace(place: &Place) -> Duration {
    let grace = if place.keeps(Step::Grace) { place.grace } else { Duration::ZERO };
    grace + place.cached_for()
}

pub(crate) fn holder_is_dead(place: &Place, seen: &SeenLock) -> bool {
    seen.claim.as_ref().is_some_and(|claim| place.liveness(claim) == Liveness::Dead)
}

/// The holder's pid, if it is on this machine and linklock can see it end.
pub(crate) fn holder_pid(place: &Place, seen: &SeenLock) -> Option<u32> {
    seen.claim.as_ref().and_then(|claim| place.living_process(claim))
}

/// By the rule that needs no clock but ours (see [`unchanged`](super::unchanged)): for how much longer the lock must be
/// seen unchanged. It was just seen, by a look that began at `looked`.
fn left_to_watch(place: &Place, lock: &SeenLock, looked: LocalTime) -> Duration {
    // All break locks have the same lifetime, whatever times others give them.
    let is_own = place.keeps(Step::OwnLifetime) && !place.path.is_break_lock;
    let own = if is_own { lock.own_lifetime(place.lifetime) } else { place.lifetime };
    let needed = own + grace(place) + lock.attr.ctime.rounding();
    place.unchanged.time_left(lock, needed, looked, place.env.now())
}

/// A contender's judgement of a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    /// When the lock may have expired, with the grace, if nothing changes.
    pub(crate) expires: LocalTime,
}

/// Judges locks for a contender that waits.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    place: &'a Place,
    /// Not asked until a lock is in the way.
    clock_is_known: Option<bool>,
    /// For how much longer the lock must be seen unchanged, where clocks cannot be compared.
    pub(crate) must_watch: Option<Duration>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(place: &'a Place) -> Self {
        Self { place, clock_is_known: None, must_watch: None }
    }

    /// Where clocks cannot be compared: judges the lock that was just seen, by a look that began at `looked`.
    pub(crate) fn watch(&mut self, lock: &SeenLock, looked: LocalTime) -> Option<Judgement> {
        let place = self.place;
        if lock.is_hidden() || *self.clock_is_known.get_or_insert_with(|| place.clock_is_known()) {
            return None;
        }
        let left = left_to_watch(place, lock, looked);
        if self.must_watch.replace(left).is_none() {
            tracing::info!(lock = %Printable::new(place.lock_path()), left_ms = left.as_millis() as u64,
                "clocks cannot be compared on this file system: the lock has expired when it was seen unchanged for its lifetime and the grace");
        }
        let verdict = match holder_is_dead(place, lock) {
            true => Verdict::Dead,
            false if left.is_zero() => Verdict::Expired,
            false => Verdict::Live,
        };
        Some(Judgement { verdict, expires: place.env.now() + left })
    }

    /// Judges the lock that was just seen, by a look that began at `looked`. `lives`: its holder's process was just
    /// seen alive. `None` if somebody removed our claim, by which we ask for the server's time.
    pub(crate) fn judge(
        &mut self,
        stake: &mut Stake,
        lock: &SeenLock,
        looked: LocalTime,
        lives: bool,
    ) -> Result<Option<Judgement>, Error> {
        let (place, env) = (self.place, self.place.env.as_ref());
        if let Some(watched) = self.watch(lock, looked) {
            return Ok(Some(watched));
        }
        // By the server's time at the look. A lock that had expired by then cannot be refreshed any more, however long
        // we are delayed before we act on it. The holder of a lock that expired only afterwards may have moved the
        // expiry on.
        let judged_at = || if place.keeps(Step::JudgeByLook) { looked } else { env.now() };
        let expired_at = lock.expiry(place.lifetime) + grace(place);
        let server_then = stake.anchor.earliest(judged_at());
        let verdict = if lives { judge_living(place, lock, server_then) } else { judge(place, lock, server_then) };
        if verdict == Verdict::Live && place.path.is_break_lock && !lock.is_hidden() {
            // Whatever its times say, a break lock has expired when it was seen unchanged for as long as any break lock
            // lasts.
            let left = left_to_watch(place, lock, looked);
            let verdict = if left.is_zero() { Verdict::Expired } else { Verdict::Live };
            let expires = stake.anchor.surely_past(expired_at).min(env.now() + left);
            return Ok(Some(Judgement { verdict, expires }));
        }
        if verdict != Verdict::Expired || !place.keeps(Step::AskClock) {
            return Ok(Some(Judgement { verdict, expires: stake.anchor.surely_past(expired_at) }));
        }
        // What we know about the server's clock may be old. Ask for its time before we act on it.
        match ask_clock_by(place, stake) {
            Ok(anchor) => stake.anchor = anchor.unwrap_or(stake.anchor),
            Err(e) if is_gone(&e) => return Ok(None),
            Err(e) => return Err(Error::io(place.lock_path(), "ask for the server's time", e)),
        }
        let verdict = judge(place, lock, stake.anchor.earliest(judged_at()));
        Ok(Some(Judgement { verdict, expires: stake.anchor.surely_past(expired_at) }))
    }
}
