//! What both protocols have in common: stage a claim, attempt, confirm, look, judge.

use crate::claim::FULL;
use crate::contender::{At, Reply, Role, Seen};
use crate::run::Run;
use crate::server::{Request, Thing};
use crate::step::Step;

/// Puts a claim beside the lock path. Nobody else knows its name yet, so this is one step.
pub(super) fn stage(run: &mut Run<'_>) {
    let claim = run.claim();
    run.state.server.beside.insert(claim);
    run.state.server.left[claim.index()] = FULL;
    run.me_mut().begin_lease();
    run.go(At::Attempt);
}

/// Before every further attempt, sets a fresh expiry.
pub(super) fn freshen(run: &mut Run<'_>) {
    if !run.keeps(Step::FreshExpiry) {
        return run.go(At::Attempt);
    }
    let reply = run.set_expiry(FULL, true);
    run.me_mut().begin_lease();
    let is_link = run.me().role == Role::Link;
    // A second link may be one that was made without our knowledge.
    let is_as_made = !is_link || run.state.server.links(run.claim()) == 1;
    run.go(match (reply == Reply::Done && is_as_made, is_link) {
        (true, true) => At::Attempt,
        (true, false) => At::SeeIfEarly,
        (false, _) => At::Withdraw,
    });
}

/// A copy of an earlier rename may have brought the claim to the lock path before its expiry was made fresh, and others may have judged
/// it by the old one.
pub(super) fn see_if_early(run: &mut Run<'_>) {
    let is_early = run.keeps(Step::EarlyArrival) && run.holds();
    run.go(if is_early { At::GiveBack } else { At::Attempt });
}

/// Brings the claim to the lock path.
pub(super) fn attempt(run: &mut Run<'_>) {
    let claim = run.claim();
    let is_dir = run.me().role.is_dir();
    let reply = run.send(if is_dir { Request::Rename(claim) } else { Request::Link(claim) });
    if run.keeps(Step::DecideByDisk) {
        run.go(At::Confirm(reply));
    } else if reply == Reply::Done {
        won(run);
    } else {
        run.go(At::Look);
    }
}

/// Whatever the reply said: the lock is ours if our claim is there and our deadline has not passed.
pub(super) fn confirm(run: &mut Run<'_>, reply: Reply) {
    let claim = run.claim();
    let is_dir = run.me().role.is_dir();
    let is_ours = run.holds() && (is_dir || run.state.server.links(claim) > 1);
    if is_ours && run.is_in_time(Step::DeadlineOnceWon) {
        return won(run);
    }
    let is_beside = run.state.server.beside.contains(claim);
    let is_void = reply == Reply::Done || !is_beside;
    run.go(match run.me().role {
        // Too late. To remove our own entry is safe at any time; to remove the lock path is not.
        Role::Dir | Role::Reader if is_ours => At::GiveBack,
        _ if is_ours || is_void => At::Withdraw,
        Role::Reader => At::JoinLook,
        _ => At::Look,
    });
}

pub(super) fn won(run: &mut Run<'_>) {
    if run.world.fence { run.go(At::FenceList) } else { run.acquired() }
}

/// Looks at the lock path, until another attempt may succeed or the lock may be broken. Whoever looks changes nothing.
pub(super) fn look(run: &mut Run<'_>) {
    let path = run.path();
    match path {
        Thing::Nothing => return run.go(At::Freshen),
        Thing::Dir(entries) if entries.is_empty() => {
            // A directory can be replaced by a directory, not by a file.
            let is_dir = run.me().role.is_dir();
            let in_turn = run.world.one_remove && run.keeps(Step::ClearInTurn);
            return run.go(match (is_dir, in_turn) {
                (true, _) => At::Freshen,
                (false, true) => At::ClearTurn,
                (false, false) => At::ClearThenTry,
            });
        }
        Thing::Dir(_) | Thing::File(_) => {}
    }
    let left = run.state.server.left;
    let mut locks = path.claims().iter().map(|claim| Seen { claim, left: left[claim.index()] });
    // By the clock at the look: whatever passes from here on does not count.
    if run.keeps(Step::JudgeByLook) {
        if let Some(lock) = locks.find(|lock| run.may_break(*lock)) {
            run.me_mut().seen = Some(lock);
            break_seen(run, lock);
        }
    } else {
        run.me_mut().seen = locks.next();
        run.go(At::Judge);
    }
}

/// Without its safety step: judges the lock by what the clock says now.
pub(super) fn judge(run: &mut Run<'_>, seen: Seen) {
    if run.may_break(seen) {
        return break_seen(run, seen);
    }
    run.me_mut().seen = None;
    run.go(At::Look);
}

/// A lock is broken by the rules of the protocol that put it there.
fn break_seen(run: &mut Run<'_>, seen: Seen) {
    let is_of_dir = run.state.contenders[seen.claim.owner()].role.is_dir();
    run.go(if is_of_dir { At::BreakEntry } else { At::TakeTurn });
}
