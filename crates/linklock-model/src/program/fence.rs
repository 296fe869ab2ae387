//! Fencing tokens: after the lock is won, and before it is trusted.

use crate::contender::{At, Reply};
use crate::run::Run;
use crate::server::Request;
use crate::step::Step;

/// Chooses a number that is greater than all in the counter. The first list may be an old one, from before there was any number.
pub(super) fn list(run: &mut Run<'_>) {
    let is_old = run.world.remembers_names && run.me().number == 0;
    run.me_mut().number = if is_old { 1 } else { run.state.server.greatest() + 1 };
    run.go(At::FenceMake);
}

/// Makes the number. If it exists, starts again.
pub(super) fn make(run: &mut Run<'_>) {
    let number = run.me().number;
    let reply = run.send(Request::MakeNumber(number));
    run.go(if reply == Reply::Done { At::FenceSee } else { At::FenceList });
}

/// Sees that the lock is still ours, now that the number is there.
pub(super) fn see(run: &mut Run<'_>) {
    let goes_on = run.holds() || !run.keeps(Step::FenceSeesLock);
    run.go(if goes_on { At::FenceLookAgain } else { At::GiveBack });
}

/// Sees that no greater number is there.
pub(super) fn look_again(run: &mut Run<'_>) {
    let greatest = run.state.server.greatest();
    if greatest <= run.me().number || !run.keeps(Step::FenceLooksAgain) {
        return run.go(At::FenceRemove);
    }
    run.me_mut().number = greatest + 1;
    run.go(At::FenceMake);
}

/// Removes the smaller numbers, and sees that the deadline has not passed.
pub(super) fn remove(run: &mut Run<'_>) {
    let number = std::mem::take(&mut run.me_mut().number);
    run.send(Request::RemoveNumbersBelow(number));
    if run.me().deadline == 0 {
        return run.go(At::GiveBack);
    }
    let claim = run.claim();
    run.state.give_token(claim, number);
    run.acquired();
}
