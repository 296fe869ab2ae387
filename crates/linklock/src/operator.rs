//! What an operator does with another process's lock: adopt it, break it, or ask for the server's time.

use std::time::Duration;

use crate::acquire;
use crate::claim::Claim;
use crate::error::{Error, Lost};
use crate::inspect::{Status, inspect};
use crate::lease::{Anchor, Lease};
use crate::names::bytes_of;
use crate::options::{Protocol, Wake};
use crate::printable::Printable;
use crate::protocol::identify::may_break;
use crate::protocol::judge::{Verdict, holder_is_dead, judge, log_broken};
use crate::protocol::look::look_for;
use crate::protocol::place::Place;
use crate::protocol::seen::{Seen, SeenLock, stuck};
use crate::protocol::stake::{Break, Stake};
use crate::protocol::{is_gone, leftovers, steps};
use crate::time::LocalTime;
use crate::token::Token;
use crate::wait::Wait;

/// Which lock to break, for [`Lock::break_lock`](crate::Lock::break_lock).
///
/// ```
/// use linklock::{Lock, Which};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("job.lock");
/// let lock = Lock::new(path)?;
/// let token = lock.acquire()?.leave();
///
/// // It is held, so it is not broken.
/// let error = lock.break_lock(&Which::Expired).unwrap_err();
/// assert!(error.is_timeout());
///
/// let broken = lock.break_lock(&Which::Claim(token.clone()))?.expect("it was held");
/// assert_eq!(broken.holder.unwrap().token, token);
/// # Ok::<_, linklock::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Which {
    /// The lock that this claim holds, expired or not, and no other lock.
    Claim(Token),
    /// A lock that has expired (lifetime and grace have passed on the server's clock) or is abandoned.
    Expired,
    /// Any lock. The last resort: its holder may be at work.
    Any,
}

/// See [`Lock::adopt`](crate::Lock::adopt).
pub(crate) fn adopt(place: &Place, token: &Token) -> Result<(Place, Stake), Error> {
    let env = place.env.as_ref();
    let not_held = |holder| Error::not_held(place.lock_path(), token.to_string(), holder);
    let claim = parse(place, token)?;
    let confirmed = env.now();
    let lock = match look_for(place, Some(token))? {
        Seen::Lock(lock) => lock,
        Seen::NotALock(what) => return Err(Error::not_a_lock(place.lock_path(), what)),
        Seen::Free | Seen::EmptyDirectory { .. } | Seen::Stuck { .. } => return Err(not_held(None)),
    };
    if lock.claim.as_ref() != Some(&claim) {
        return Err(not_held(lock.holder()));
    }
    // Those who wait for a slot do so at the lock path that the slots share, and only the name tells of that.
    let limit = place.limit.clone().or_else(|| if place.wake == Wake::Udp { place.named_limit() } else { None });
    let place = Place { protocol: lock.protocol, shared: claim.is_shared, limit, ..place.clone() };
    let file = place.held_file(&claim);
    let attr = match env.stat(&file) {
        Ok(attr) => attr,
        Err(e) if is_gone(&e) => return Err(Error::lost(place.lock_path(), Lost::Broken)),
        Err(e) => return Err(Error::io(place.lock_path(), "look at the claim", e)),
    };
    // The claim's expiry was set by another machine's clock, so it is not known how much is left.
    if !place.clock_is_known() && claim.host != place.host {
        return Err(Error::clock_not_known(place.lock_path(), lock.holder()));
    }
    // Asks for the server's time by another claim. A change of the held file would make a dir lock last longer, and
    // would revive one that has expired.
    let own = stage_for_nothing(&place)?;
    // The name is not enough: whoever may write to the directory can give the name of an expired lock to another file.
    // The claim that was just staged shows which user we are to the file system.
    if lock.owner != Some(own.owner) || attr.owner != own.owner {
        let what = format!("{token} of this user: the file of that name belongs to another user");
        return Err(Error::not_held(place.lock_path(), what, lock.holder()));
    }
    // Another file of ours may have been given the claim's name.
    if lock.protocol == Protocol::Link && attr.id != lock.attr.id {
        return Err(Error::lost(place.lock_path(), Lost::Broken));
    }
    let anchor = own.anchor;
    // Takes the latest that the server's clock can say, so that the rest of the lifetime is never overestimated.
    let (before, expiry) = (env.now(), lock.expiry(place.lifetime));
    let left = expiry.since(anchor.latest(before));
    if left.is_zero() {
        return Err(Error::lost(place.lock_path(), Lost::Overdue));
    }
    let lifetime = lock.lifetime_to_keep(place.lifetime);
    let lease = Lease { deadline: before + left, expiry, lifetime };
    let stake = Stake {
        claim,
        was: None,
        id: attr.id,
        owner: attr.owner,
        ctime: attr.ctime,
        anchor,
        lease,
        fresh: false,
        was_tried: true,
        confirmed,
        noreplace: false,
        fence: None,
        next: None,
    };
    Ok((place, stake))
}

/// See [`Lock::break_lock`](crate::Lock::break_lock).
pub(crate) fn break_lock(place: &Place, which: &Which) -> Result<Option<Status>, Error> {
    if let Which::Claim(token) = which {
        parse(place, token)?;
    }
    let (mut waited, mut broken) = (false, None);
    let wanted = if let Which::Claim(token) = which { Some(token) } else { None };
    // If the lock changed between the look and the break, somebody made progress: look again.
    loop {
        let status = inspect(place)?;
        let looked = place.env.now();
        let seen = look_for(place, wanted)?;
        if let Seen::Stuck { since, .. } = seen
            && let Some(what) = stuck(place.env.as_ref(), since)
        {
            return Err(Error::not_a_lock(place.lock_path(), what));
        }
        let lock = match seen {
            Seen::Lock(lock) => lock,
            Seen::NotALock(what) => return Err(Error::not_a_lock(place.lock_path(), what)),
            Seen::EmptyDirectory { ours: false } => {
                return Err(Error::not_a_lock(place.lock_path(), "an empty directory"));
            }
            Seen::Free | Seen::EmptyDirectory { ours: true } | Seen::Stuck { .. } => match which {
                Which::Claim(token) => return Err(Error::not_held(place.lock_path(), token.to_string(), None)),
                Which::Expired | Which::Any => {
                    // Sweeps although the lock is free. Otherwise a contender that breaks a lock sweeps, and that may
                    // not happen for long.
                    sweep(place);
                    return Ok(broken);
                }
            },
        };
        let mut why = "an operator ordered it";
        match which {
            Which::Claim(token) if lock.claim.as_ref().map(|c| &c.token) != Some(token) => {
                return Err(Error::not_held(place.lock_path(), token.to_string(), lock.holder()));
            }
            Which::Expired => match judge_by_server(place, &lock, looked)? {
                Some(Verdict::Live) => {
                    return Err(Error::timeout(place.lock_path(), Duration::ZERO, lock.holder(), None));
                }
                None => return Err(Error::clock_not_known(place.lock_path(), lock.holder())),
                Some(verdict @ (Verdict::Expired | Verdict::Dead)) => why = verdict.why(),
            },
            _ => {}
        }
        // Removing the name of an empty file loses nothing else.
        let is_any = *which == Which::Any && lock.attr.len == 0 && !lock.is_hidden();
        if !is_any && !may_break(place, &lock)? {
            return Err(Error::timeout(place.lock_path(), Duration::ZERO, lock.holder(), None));
        }
        match steps::break_lock(place, &lock)? {
            Break::Done => {
                log_broken(place, &lock, why);
                let status = broken.take().unwrap_or(status);
                // All who share the lock are its holders.
                if lock.readers > 1 && wanted.is_none() {
                    broken = Some(status);
                    continue;
                }
                sweep(place);
                return Ok(Some(status));
            }
            Break::Changed => {}
            Break::Busy if waited => {
                return Err(Error::timeout(place.lock_path(), Duration::ZERO, lock.holder(), None));
            }
            Break::Busy => {
                wait_for_turn(place)?;
                waited = true;
            }
        }
    }
}

/// Waits until no other breaker has the break lock. One that died, or something that only looks like a break lock, can
/// keep it for [`Place::turn_most`].
fn wait_for_turn(place: &Place) -> Result<(), Error> {
    let break_lock = place.of_break_lock();
    let stake = acquire::acquire(&break_lock, &Wait::up_to(place.turn_most()))?;
    if let Err(e) = steps::release(&break_lock, &stake) {
        tracing::warn!(break_lock = %Printable::new(break_lock.lock_path()), error = %e, "could not release the break lock");
    }
    Ok(())
}

/// Judges a lock by the server's time at `looked`, before the look. `None` where clocks cannot be compared.
fn judge_by_server(place: &Place, lock: &SeenLock, looked: LocalTime) -> Result<Option<Verdict>, Error> {
    if holder_is_dead(place, lock) {
        return Ok(Some(Verdict::Dead));
    }
    if !place.clock_is_known() {
        return Ok(None);
    }
    let anchor = ask_server(place)?;
    Ok(Some(judge(place, lock, anchor.earliest(looked))))
}

fn sweep(place: &Place) {
    leftovers::sweep(place, || ask_server(place).ok());
}

/// Asks for the server's time. Only a change on disk can tell it.
pub(crate) fn ask_server(place: &Place) -> Result<Anchor, Error> {
    Ok(stage_for_nothing(place)?.anchor)
}

/// Stages a claim and withdraws it without an attempt.
fn stage_for_nothing(place: &Place) -> Result<Stake, Error> {
    let stake = steps::stage(place)?;
    steps::withdraw(place, &stake.claim);
    Ok(stake)
}

fn parse(place: &Place, token: &Token) -> Result<Claim, Error> {
    place.path.parse(bytes_of(token.as_os_str())).ok_or_else(|| {
        Error::invalid(format!(
            "{}: {token} is not a token of this lock; a token is printed when the lock is acquired",
            Printable::new(place.lock_path())
        ))
    })
}
