//! What contenders do, step by step. Between two steps anything may happen.

mod acquire;
mod dir;
mod fence;
mod flufl;
mod hold;
mod link;

use crate::contender::{At, Role};
use crate::run::Run;

/// The next step of a contender. A holder releases its lock.
pub fn step(run: &mut Run<'_>) {
    let me = *run.me();
    let is_flufl = me.role == Role::Flufl;
    match (me.at, me.seen) {
        (At::Stage, _) => acquire::stage(run),
        (At::Freshen, _) => acquire::freshen(run),
        (At::SeeIfEarly, _) => acquire::see_if_early(run),
        (At::Attempt, _) if is_flufl => flufl::attempt(run),
        (At::Attempt, _) => acquire::attempt(run),
        (At::Confirm(reply), _) => acquire::confirm(run, reply),
        (At::JoinLook, _) => dir::join_look(run),
        (At::JoinMove, _) => dir::join_move(run),
        (At::JoinLookAgain(reply), _) => dir::join_look_again(run, reply),
        (At::JoinUndo(reply), _) => dir::join_undo(run, reply),
        (At::GiveBack, _) => hold::release(run),
        (At::Look, _) if is_flufl => flufl::look(run),
        (At::Look, _) => acquire::look(run),
        (At::Judge, Some(seen)) => acquire::judge(run, seen),
        (At::BreakEntry, Some(seen)) => dir::break_entry(run, seen),
        (At::ClearThenTry, _) => dir::clear(run, At::Freshen),
        (At::ClearThenEnd, _) => dir::clear(run, At::Withdraw),
        (At::ClearTurn, _) => dir::clear_turn(run),
        (At::ClearLook, _) => dir::clear_look(run),
        (At::ClearRmdir, _) => dir::clear_rmdir(run),
        (At::TakeTurn, _) => link::take_turn(run),
        (At::LookAgain, Some(seen)) => link::look_again(run, seen),
        (At::MoveAside, _) => link::move_aside(run),
        (At::LookAside, Some(seen)) => link::look_aside(run, seen),
        (At::PutBack, _) => link::put_back(run),
        (At::UnlinkBroken, Some(seen)) => link::unlink_broken(run, seen),
        (At::UnlinkAside, _) => link::unlink_aside(run),
        (At::FenceList, _) => fence::list(run),
        (At::FenceMake, _) => fence::make(run),
        (At::FenceSee, _) => fence::see(run),
        (At::FenceLookAgain, _) => fence::look_again(run),
        (At::FenceRemove, _) => fence::remove(run),
        (At::Hold, _) if is_flufl => flufl::release(run),
        (At::Hold, _) => hold::release(run),
        (At::RefreshSet, _) => hold::refresh_set(run),
        (At::RefreshLook, _) => hold::refresh_look(run),
        (At::ReleaseTurn, _) => link::release_turn(run),
        (At::ReleaseLook, _) => link::release_look(run),
        (At::ReleaseUnlink, _) => link::release_unlink(run),
        (At::Withdraw, _) => hold::withdraw(run),
        (At::FluflTouch, _) => flufl::touch(run),
        (At::FluflBreakTouch, _) => flufl::break_touch(run),
        (At::FluflBreakRead, _) => flufl::break_read(run),
        (At::FluflBreakUnlink, _) => flufl::break_unlink(run),
        (At::FluflBreakUnlinkClaim, _) => flufl::break_unlink_claim(run),
        // A breaker always has a lock that it saw; and who has ended takes no step.
        (At::Judge | At::BreakEntry | At::LookAgain | At::LookAside | At::UnlinkBroken, None)
        | (At::Done | At::Crashed | At::NotYet, _) => {}
    }
}

/// A holder refreshes its lock.
pub fn refresh(run: &mut Run<'_>) {
    hold::refresh(run);
}
