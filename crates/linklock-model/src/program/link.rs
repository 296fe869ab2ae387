//! The steps of the `link` protocol alone.

use crate::contender::{At, Reply, Seen};
use crate::run::Run;
use crate::server::{Request, Thing};
use crate::step::Step;

/// Breakers take turns.
pub(super) fn take_turn(run: &mut Run<'_>) {
    let has_turn = !run.keeps(Step::BreakersGuard) || run.take_turn();
    if has_turn {
        return run.go(At::LookAgain);
    }
    run.me_mut().seen = None;
    run.go(At::Look);
}

/// In its turn a breaker looks again: the same claim with the same mtime. Last it sees that it is still its turn.
pub(super) fn look_again(run: &mut Run<'_>, seen: Seen) {
    let is_same = is_the_lock(run, run.path(), seen) || !run.keeps(Step::LookAgain);
    let is_our_turn = run.is_our_turn() || !run.keeps(Step::BreakersGuard);
    if is_same && is_our_turn { run.go(At::MoveAside) } else { look_anew(run) }
}

fn is_the_lock(run: &Run<'_>, thing: Thing, seen: Seen) -> bool {
    thing == Thing::File(seen.claim) && run.state.server.left[seen.claim.index()] == seen.left
}

fn look_anew(run: &mut Run<'_>) {
    run.end_turn();
    run.go(At::Look);
}

/// Moves the lock path aside: whatever has that name.
pub(super) fn move_aside(run: &mut Run<'_>) {
    match run.send(Request::MoveAside(run.who)) {
        Reply::Done => run.go(At::LookAside),
        Reply::Refused | Reply::Unknown => look_anew(run),
    }
}

/// What was moved decides.
pub(super) fn look_aside(run: &mut Run<'_>, seen: Seen) {
    let is_the_lock = is_the_lock(run, run.state.server.aside[run.who], seen);
    run.go(if is_the_lock { At::UnlinkBroken } else { At::PutBack });
}

/// Undoes the move. It replaces nothing.
pub(super) fn put_back(run: &mut Run<'_>) {
    run.send(Request::PutBack(run.who));
    run.go(At::UnlinkAside);
}

/// The claim's own name goes first, so that no late link brings the lock back.
pub(super) fn unlink_broken(run: &mut Run<'_>, seen: Seen) {
    run.send(Request::UnlinkBeside(seen.claim));
    run.go(At::UnlinkAside);
}

/// Then the name aside; and the turn ends.
pub(super) fn unlink_aside(run: &mut Run<'_>) {
    run.send(Request::UnlinkAside(run.who));
    look_anew(run);
}

/// Begins the release: sees that the lock is ours, and that the deadline has not passed.
pub(super) fn release(run: &mut Run<'_>) {
    let is_ours = run.holds() || !run.keeps(Step::CheckBeforeRelease);
    let is_in_time = run.is_in_time(Step::DeadlineBeforeRelease);
    run.go(match (is_ours, is_in_time) {
        (true, _) if run.world.on_behalf && run.keeps(Step::ReleaseInTurn) => At::ReleaseTurn,
        (true, true) => At::ReleaseUnlink,
        _ => At::Withdraw,
    });
}

/// A lock that is held for another process is released in turn. If another has its turn, our claim expires at once instead.
pub(super) fn release_turn(run: &mut Run<'_>) {
    if run.take_turn() {
        return run.go(At::ReleaseLook);
    }
    run.set_expiry(0, true);
    run.go(At::Withdraw);
}

/// Looks once more, in turn.
pub(super) fn release_look(run: &mut Run<'_>) {
    if run.holds() && run.is_our_turn() && run.is_in_time(Step::DeadlineBeforeRelease) {
        return run.go(At::ReleaseUnlink);
    }
    run.end_turn();
    run.go(At::Withdraw);
}

/// Removes the lock path: whatever has that name.
pub(super) fn release_unlink(run: &mut Run<'_>) {
    run.send(Request::UnlinkPath);
    run.end_turn();
    run.go(At::Withdraw);
}
