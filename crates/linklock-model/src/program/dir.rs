//! The steps of the `dir` protocol alone.

use crate::contender::{At, Reply, Role, Seen};
use crate::run::Run;
use crate::server::{Request, Thing};
use crate::step::Step;

use super::acquire::won;

/// Whether readers alone are at the lock path, at least one.
fn are_readers_alone(run: &Run<'_>) -> bool {
    let Thing::Dir(entries) = run.path() else { return false };
    let is_reader = |who: usize| run.state.contenders[who].role == Role::Reader;
    !entries.is_empty() && entries.iter().all(|claim| is_reader(claim.owner()))
}

/// Before a reader joins others, it looks: beside a writer it changes nothing.
pub(super) fn join_look(run: &mut Run<'_>) {
    run.go(if are_readers_alone(run) { At::JoinMove } else { At::Look });
}

/// Moves the entry into the directory that is there.
pub(super) fn join_move(run: &mut Run<'_>) {
    let reply = run.send(Request::MoveEntry(run.claim()));
    run.go(At::JoinLookAgain(reply));
}

/// Whatever the reply said: a reader holds the lock if its entry is there, and only readers'.
pub(super) fn join_look_again(run: &mut Run<'_>, reply: Reply) {
    let looks = run.keeps(Step::ReaderLooksAgain);
    let holds = if looks { run.holds() && are_readers_alone(run) } else { reply == Reply::Done };
    if holds && run.is_in_time(Step::DeadlineOnceWon) { won(run) } else { run.go(At::JoinUndo(reply)) }
}

/// Removes our entry again. A claim that may have been moved is not used any more.
pub(super) fn join_undo(run: &mut Run<'_>, moved: Reply) {
    // No directory: nothing was moved, and nothing can be removed.
    if moved == Reply::Refused && matches!(run.path(), Thing::File(_)) {
        return run.go(At::Look);
    }
    let reply = run.send(Request::UnlinkEntry(run.claim()));
    let is_kept = moved == Reply::Unknown && reply != Reply::Done && run.world.keeps_claim_after_error;
    run.go(match reply {
        Reply::Done => leave_path(run),
        _ if is_kept => At::Look,
        _ => At::Withdraw,
    });
}

/// Removes our own entry, which is safe at any time.
pub(super) fn give_back(run: &mut Run<'_>) {
    let is_done = run.send(Request::UnlinkEntry(run.claim())) == Reply::Done;
    run.go(if is_done { leave_path(run) } else { At::Withdraw });
}

/// On NFS 4 the empty directory stays.
fn leave_path(run: &Run<'_>) -> At {
    if run.world.one_remove { At::Withdraw } else { At::ClearThenEnd }
}

/// Removes the entry that was seen: that one or nothing, however late.
pub(super) fn break_entry(run: &mut Run<'_>, seen: Seen) {
    let reply = run.send(Request::UnlinkEntry(seen.claim));
    run.me_mut().seen = None;
    let clears = reply != Reply::Refused && run.me().role.is_dir() && !run.world.one_remove;
    run.go(if clears { At::ClearThenTry } else { At::Look });
}

/// rmdir of the lock path.
pub(super) fn clear(run: &mut Run<'_>, then: At) {
    let any = run.world.one_remove;
    run.send(Request::Rmdir { any });
    run.go(then);
}

/// Takes the break lock to clear the lock path.
pub(super) fn clear_turn(run: &mut Run<'_>) {
    let has_turn = run.take_turn();
    run.go(if has_turn { At::ClearLook } else { At::Look });
}

/// Looks once more, in turn.
pub(super) fn clear_look(run: &mut Run<'_>) {
    if matches!(run.path(), Thing::Dir(_)) && run.is_our_turn() {
        return run.go(At::ClearRmdir);
    }
    run.end_turn();
    run.go(At::Look);
}

/// Removes the directory, if it is empty, in turn.
pub(super) fn clear_rmdir(run: &mut Run<'_>) {
    clear(run, At::Look);
    run.end_turn();
}
