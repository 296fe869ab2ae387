//! flufl.lock's algorithm, as crates/linklock-sim/src/flufl.rs has it: to see that the model finds its races.

use crate::claim::FULL;
use crate::contender::{At, Reply, Seen};
use crate::run::Run;
use crate::server::{Request, Thing};

/// Links its claim, and trusts the answer.
pub(super) fn attempt(run: &mut Run<'_>) {
    let claim = run.claim();
    if run.send(Request::Link(claim)) != Reply::Done {
        return run.go(At::Look);
    }
    run.me_mut().begin_lease();
    run.go(At::FluflTouch);
}

/// It sets the expiry only now: for a moment the lock had the one from before the wait.
pub(super) fn touch(run: &mut Run<'_>) {
    run.set_expiry(FULL, true);
    run.go(At::Hold);
}

/// Waits for an expired lock.
pub(super) fn look(run: &mut Run<'_>) {
    match run.path() {
        Thing::File(claim) if run.state.server.left[claim.index()] > 0 => {}
        Thing::File(_) => run.go(At::FluflBreakTouch),
        Thing::Nothing | Thing::Dir(_) => run.go(At::Attempt),
    }
}

/// Sets the expiry of whatever has the shared name, so that other breakers wait.
pub(super) fn break_touch(run: &mut Run<'_>) {
    if let Thing::File(claim) = run.path() {
        run.send(Request::SetExpiry { claim, left: FULL, from_change: false });
    }
    run.go(At::FluflBreakRead);
}

/// Reads whose claim it is.
pub(super) fn break_read(run: &mut Run<'_>) {
    if let Thing::File(claim) = run.path() {
        run.me_mut().seen = Some(Seen { claim, left: 0 });
    }
    run.go(At::FluflBreakUnlink);
}

/// Removes the shared name: it does not look again.
pub(super) fn break_unlink(run: &mut Run<'_>) {
    run.send(Request::UnlinkPath);
    run.go(At::FluflBreakUnlinkClaim);
}

/// Removes the claim that it read.
pub(super) fn break_unlink_claim(run: &mut Run<'_>) {
    if let Some(seen) = run.me_mut().seen.take() {
        run.send(Request::UnlinkBeside(seen.claim));
    }
    run.go(At::Attempt);
}

/// Before a release it looks whether the lock has its claim and two links, and asks no clock.
pub(super) fn release(run: &mut Run<'_>) {
    run.set_expiry(FULL, true);
    let claim = run.claim();
    let is_ours = run.path() == Thing::File(claim) && run.state.server.links(claim) == 2;
    run.go(if is_ours { At::ReleaseUnlink } else { At::Withdraw });
}
