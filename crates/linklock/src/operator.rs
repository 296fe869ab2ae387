//! What an operator does with a lock that another process has: takes it over, breaks it, asks the server's clock.

use std::time::Duration;

use crate::acquire;
use crate::claim::Claim;
use crate::error::{Error, Lost};
use crate::inspect::{Status, inspect};
use crate::lease::{Anchor, Lease};
use crate::names::bytes_of;
use crate::options::Protocol;
use crate::printable::Printable;
use crate::protocol::identify::may_break;
use crate::protocol::judge::{Verdict, holder_is_dead, judge, log_broken};
use crate::protocol::look::look;
use crate::protocol::place::Place;
use crate::protocol::seen::{Seen, SeenLock, stuck};
use crate::protocol::stake::{Break, Stake};
use crate::protocol::{is_gone, leftovers, steps};
use crate::time::LocalTime;
use crate::token::Token;
use crate::wait::Wait;

/// Which lock an operator wants broken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Which {
    /// The one that this claim holds, live or not, and no other.
    Claim(Token),
    /// Whatever has expired: lifetime and grace have passed by the server's clock, or the holder is known to be dead.
    Expired,
    /// Whatever lock is there. The last resort: its holder may be at work.
    Any,
}

/// Takes over a lock that another process of this user acquired and left; see [`Lock::adopt`](crate::Lock::adopt).
pub(crate) fn adopt(place: &Place, token: &Token) -> Result<(Place, Stake), Error> {
    let env = place.env.as_ref();
    let not_held = |holder| Error::not_held(place.lock_path(), token.to_string(), holder);
    let claim = parse(place, token)?;
    let confirmed = env.now();
    let lock = match look(place)? {
        Seen::Lock(lock) => lock,
        Seen::NotALock(what) => return Err(Error::not_a_lock(place.lock_path(), what)),
        Seen::Free | Seen::EmptyDirectory { .. } | Seen::Stuck { .. } => return Err(not_held(None)),
    };
    if lock.claim.as_ref() != Some(&claim) {
        return Err(not_held(lock.holder()));
    }
    let place = Place { protocol: lock.protocol, ..place.clone() };
    let file = place.held_file(&claim);
    let attr = match env.stat(&file) {
        Ok(attr) => attr,
        Err(e) if is_gone(&e) => return Err(Error::lost(place.lock_path(), Lost::Broken)),
        Err(e) => return Err(Error::io(place.lock_path(), "look at the claim", e)),
    };
    // By another machine's clock it cannot be told how much is left.
    if !place.clock_is_known() && claim.host != place.host {
        return Err(Error::clock_not_known(place.lock_path(), lock.holder()));
    }
    // Not of the held file: each change of that makes a dir lock last longer, and one that is over would come to life.
    let own = stage_for_nothing(&place)?;
    // A name is not enough: that of a lock which is over can be given to another file, by whoever may write the directory. What
    // we have staged there only now tells who we are to the file system.
    if lock.owner != Some(own.owner) || attr.owner != own.owner {
        let what = format!("{token} of this user: the file of that name belongs to another user");
        return Err(Error::not_held(place.lock_path(), what, lock.holder()));
    }
    // Whatever else is ours may have got the claim's name.
    if lock.protocol == Protocol::Link && attr.id != lock.attr.id {
        return Err(Error::lost(place.lock_path(), Lost::Broken));
    }
    let anchor = own.anchor;
    // By the latest that the server's clock can say: what is left is never overrated.
    let (before, expiry) = (env.now(), lock.expiry(place.lifetime));
    let left = expiry.since(anchor.latest(before));
    if left.is_zero() {
        return Err(Error::lost(place.lock_path(), Lost::Overdue));
    }
    let lease = Lease { deadline: before + left, expiry, lifetime: place.lifetime };
    let stake = Stake {
        claim,
        id: attr.id,
        owner: attr.owner,
        ctime: attr.ctime,
        anchor,
        lease,
        fresh: false,
        confirmed,
        noreplace: false,
        fence: None,
    };
    Ok((place, stake))
}

/// Takes the lock from its holder; see [`Lock::break_lock`](crate::Lock::break_lock).
pub(crate) fn break_lock(place: &Place, which: &Which) -> Result<Option<Status>, Error> {
    if let Which::Claim(token) = which {
        parse(place, token)?;
    }
    let mut waited = false;
    // A change of the lock between our look and our act means that somebody made progress: look again.
    loop {
        let status = inspect(place)?;
        let looked = place.env.now();
        let seen = look(place)?;
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
                    // Free or not: whoever has to break it sweeps, and there may be no break for long.
                    sweep(place);
                    return Ok(None);
                }
            },
        };
        match which {
            Which::Claim(token) if lock.claim.as_ref().map(|c| &c.token) != Some(token) => {
                return Err(Error::not_held(place.lock_path(), token.to_string(), lock.holder()));
            }
            Which::Expired => match judge_by_server(place, &lock, looked)? {
                Some(Verdict::Live) => {
                    return Err(Error::timeout(place.lock_path(), Duration::ZERO, lock.holder(), None));
                }
                None => return Err(Error::clock_not_known(place.lock_path(), lock.holder())),
                Some(Verdict::Expired | Verdict::Dead) => {}
            },
            _ => {}
        }
        // To remove the name of an empty file loses nothing else.
        let is_any = *which == Which::Any && lock.attr.len == 0 && !lock.is_hidden();
        if !is_any && !may_break(place, &lock)? {
            return Err(Error::timeout(place.lock_path(), Duration::ZERO, lock.holder(), None));
        }
        match steps::break_lock(place, &lock)? {
            Break::Done => {
                log_broken(place, &lock, "an operator said so");
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

/// Waits until no other breaker has its turn: for as long as one that has died, or whatever only looks like one, is in the way.
fn wait_for_turn(place: &Place) -> Result<(), Error> {
    let break_lock = place.of_break_lock();
    let stake = acquire::acquire(&break_lock, &Wait::up_to(place.turn_most()))?;
    if let Err(e) = steps::release(&break_lock, &stake) {
        tracing::warn!(break_lock = %Printable::new(break_lock.lock_path()), error = %e, "the break lock could not be released");
    }
    Ok(())
}

/// Judges a lock by what the server's clock said at `looked`, before it was looked at; `None` where that cannot be known.
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

/// Learns what the server's clock says, which only a change can tell.
pub(crate) fn ask_server(place: &Place) -> Result<Anchor, Error> {
    Ok(stage_for_nothing(place)?.anchor)
}

/// A claim that contends for nothing, and is gone again.
fn stage_for_nothing(place: &Place) -> Result<Stake, Error> {
    let stake = steps::stage(place)?;
    steps::withdraw(place, &stake.claim);
    Ok(stake)
}

fn parse(place: &Place, token: &Token) -> Result<Claim, Error> {
    place.path.parse(bytes_of(token.as_os_str())).ok_or_else(|| {
        Error::invalid(format!(
            "{}: {token} is no token of this lock; a token is printed when the lock is acquired",
            Printable::new(place.lock_path())
        ))
    })
}
