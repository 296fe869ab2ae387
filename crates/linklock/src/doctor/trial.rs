//! Locks, tried out by two contenders.

use std::sync::Arc;
use std::time::Duration;

use super::report::{Finding, Level, of};
use super::tools::{TRIAL, Workshop};
use crate::error::Error;
use crate::inspect::State;
use crate::lock::Lock;
use crate::operator::Which;
use crate::options::Protocol;
use crate::wait::Wait;

const GRACE: Duration = Duration::from_millis(500);

/// Of a lock that is used by hand.
const LONG: Duration = Duration::from_secs(30);

/// Of a lock that is left to expire: long enough for the calls that it takes, by how long they took before.
const SHORT: Duration = Duration::from_secs(1);
const TIMES_AS_LONG: u32 = 4;

/// What a contender waits for at most: whole seconds, a poll, a look at an unchanged lock.
const PATIENCE: Duration = Duration::from_secs(15);

/// So many cycles are timed, or as many as this time lasts for.
const CYCLES: usize = 25;
const TIMED_FOR: Duration = Duration::from_secs(1);

/// Nobody is early by more than clocks tick.
const TICK: Duration = Duration::from_millis(50);

pub(super) fn trial(shop: &Workshop, protocol: Protocol, separator: char) -> Result<Vec<Finding>, Error> {
    shop.may_leave(&[TRIAL]);
    let mut findings = Vec::new();
    let tried = by_hand(shop, protocol, separator, &mut findings);
    tidy(shop, protocol, separator);
    match tried {
        Err(e) if e.is_cancelled() => return Err(e),
        Err(e) => findings.push(of(protocol, "trial", Level::Fault, e.to_string())),
        Ok(()) => {}
    }
    Ok(findings)
}

/// Removes what a trial that broke off has left. Nobody else has a lock of that name.
fn tidy(shop: &Workshop, protocol: Protocol, separator: char) {
    if shop.left_of_lock().is_ok_and(|left| !left.is_empty())
        && let Ok(lock) =
            Lock::builder(shop.lock_path()).protocol(protocol).separator(separator).build_in(Arc::clone(&shop.env))
    {
        let _ = lock.break_lock(&Which::Any);
    }
}

fn by_hand(shop: &Workshop, protocol: Protocol, separator: char, findings: &mut Vec<Finding>) -> Result<(), Error> {
    let mut found = |about, level, text: String| findings.push(of(protocol, about, level, text));
    let lock = |host, lifetime| {
        let builder = Lock::builder(shop.lock_path()).protocol(protocol).separator(separator);
        // What is not known is told beside the trial.
        let builder =
            builder.lifetime(lifetime).grace(GRACE).host(host).recover_dead(false).allow_unsafe_file_system(true);
        builder.build_in(Arc::clone(&shop.env))
    };
    let (ours, rivals) = (lock("doctor", LONG)?, lock("rival", LONG)?);
    let env = shop.env.as_ref();
    let began = env.now();
    let guard = ours.acquire_with(&shop.patience(PATIENCE))?;
    match rivals.acquire_with(&Wait::never()) {
        Ok(_) => found("exclusion", Level::Fault, "two had the lock at once".into()),
        Err(e) if e.is_timeout() && e.holder().is_some_and(|holder| holder.token == *guard.token()) => {
            found("exclusion", Level::Good, "a second contender is kept out, and sees who holds the lock".into());
        }
        Err(e) => found("exclusion", Level::Fault, format!("a second contender does not see who holds the lock: {e}")),
    }
    guard.refresh()?;
    guard.check()?;
    guard.release()?;

    let lifetime = SHORT.max(env.now().since(began) * TIMES_AS_LONG).min(LONG);
    let began = env.now();
    lock("doctor", lifetime)?.acquire_with(&shop.patience(PATIENCE))?.leave();
    rivals.acquire_with(&shop.patience(PATIENCE + lifetime))?.release()?;
    let (waited, due) = (env.now().since(began), lifetime + GRACE);
    let level = if waited + TICK < due { Level::Fault } else { Level::Good };
    found("expiry", level, format!("a lock that is not refreshed is broken after {waited:.1?}, due after {due:.1?}"));

    let (mut times, began) = (Vec::new(), env.now());
    while times.len() < CYCLES && env.now().since(began) < TIMED_FOR {
        let before = env.now();
        ours.acquire_with(&shop.patience(PATIENCE))?.release()?;
        times.push(env.now().since(before));
    }
    times.sort();
    found("speed", Level::Note, format!("to acquire and release takes {:.2?}", times[times.len() / 2]));

    let mut stays = shop.left_of_lock().unwrap_or_default();
    // On NFS 4 the empty directory of a free lock stays, for the next contender.
    if ours.inspect()?.state == State::Free {
        stays.retain(|name| !ours.path().ends_with(name));
    }
    if !stays.is_empty() {
        found("leftovers", Level::Warning, format!("{stays:?}"));
    }
    Ok(())
}
