//! Waiting for a lock without taking it.

use super::pace::{Pace, run};
use super::waiter::Waiter;
use crate::error::Error;
use crate::protocol::judge::{Judgement, Verdict, grace, judge};
use crate::protocol::place::Place;
use crate::protocol::seen::Seen;
use crate::wait::Wait;

/// Waits until the next contender could have the lock at once, and takes nothing. Judged as [`Lock::inspect`] judges.
///
/// [`Lock::inspect`]: crate::Lock::inspect
pub(crate) fn wait_until_free(place: &Place, wait: &Wait) -> Result<(), Error> {
    run(until_free(place, wait))
}

async fn until_free(place: &Place, wait: &Wait) -> Result<(), Error> {
    let mut waiter = Waiter::new(place, wait, Pace::Thread);
    loop {
        let seen = match waiter.look(false) {
            Ok(seen) => seen,
            Err(e) => {
                waiter.bear(e).await?;
                continue;
            }
        };
        let server_now = place.env.wall_clock();
        let lock = match &seen {
            Seen::Free | Seen::EmptyDirectory { ours: true } => return Ok(()),
            Seen::EmptyDirectory { ours: false } => {
                waiter.doubt_directory().await?;
                continue;
            }
            Seen::Stuck { since, .. } => {
                waiter.wait_for_removal(*since).await?;
                continue;
            }
            Seen::NotALock(what) => {
                waiter.doubt(what).await?;
                continue;
            }
            Seen::Lock(lock) => lock,
        };
        let looked = waiter.lookout.looked;
        let judged = waiter.judge.watch(lock, looked).unwrap_or_else(|| {
            let expired_at = lock.expiry(place.lifetime) + grace(place);
            let expires = place.env.now() + expired_at.since(server_now);
            Judgement { verdict: judge(place, lock, server_now), expires }
        });
        if judged.verdict != Verdict::Live && lock.is_certain {
            if waiter.lookout.must_look_again() {
                continue;
            }
            return Ok(());
        }
        if waiter.pause(Some(lock), Some(judged.expires)).await?.is_break() {
            return Err(waiter.timed_out(lock.holder()));
        }
    }
}
