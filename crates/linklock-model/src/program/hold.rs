//! What a holder does: refresh and release.

use crate::claim::FULL;
use crate::contender::{At, Reply};
use crate::run::Run;
use crate::server::Request;
use crate::state::Harm;
use crate::step::Step;

use super::{dir, link};

/// Releases the lock. From here on the holder does not trust it.
pub(super) fn release(run: &mut Run<'_>) {
    if run.me().role.is_dir() {
        run.go(At::GiveBack);
        dir::give_back(run);
    } else {
        link::release(run);
    }
}

/// Begins a refresh: the new deadline counts from here.
pub(super) fn refresh(run: &mut Run<'_>) {
    if !run.is_in_time(Step::DeadlineOfRefresh) {
        return run.go(At::Withdraw);
    }
    run.me_mut().next_deadline = FULL;
    run.go(At::RefreshSet);
}

/// Sets the expiry on the claim's own file.
pub(super) fn refresh_set(run: &mut Run<'_>) {
    let left = run.me().next_deadline;
    match run.set_expiry(left, false) {
        Reply::Done => run.go(At::RefreshLook),
        Reply::Refused => run.go(At::Withdraw),
        // The earlier deadline counts, and the holder tries again.
        Reply::Unknown => {
            let me = run.me_mut();
            me.deadline = me.deadline.min(left);
            me.next_deadline = 0;
            run.go(At::Hold);
        }
    }
}

/// The refresh counts if the lock is still ours, and if all this came back before the old deadline.
pub(super) fn refresh_look(run: &mut Run<'_>) {
    let holds = run.holds();
    if (!holds && run.keeps(Step::CheckAfterRefresh)) || !run.is_in_time(Step::DeadlineOfRefresh) {
        return run.go(At::Withdraw);
    }
    if !holds {
        run.state.harm = Some(Harm::BlindRefresh);
    }
    let me = run.me_mut();
    me.deadline = std::mem::take(&mut me.next_deadline);
    run.go(At::Hold);
}

/// Removes what is beside the lock path of a claim that is not used any more.
pub(super) fn withdraw(run: &mut Run<'_>) {
    let claim = run.claim();
    if run.state.server.beside.contains(claim) {
        run.send(Request::UnlinkBeside(claim));
    }
    run.end_claim();
}
