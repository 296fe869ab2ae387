//! Downgrades: a holder lets others share its lock, and nobody has it for himself meanwhile.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::faults::{Arena, Call, Fate, FaultyEnv, GRACE, LIFETIME, When, sent_again};
use super::plain::Plain;
use crate::{Error, ErrorKind, Guard, Lock, Protocol, State, Token, Wait, Which};

fn lock(arena: &Arena) -> Lock {
    arena.lock(Protocol::Dir)
}

fn held(arena: &Arena) -> Guard {
    lock(arena).acquire().unwrap()
}

fn reader(arena: &Arena) -> Option<Guard> {
    lock(arena).shared().unwrap().try_acquire().unwrap()
}

fn is_free(arena: &Arena) -> bool {
    arena.names().is_empty()
}

/// What happens to the rename of a downgrade, and to no other: both of its names are in the lock's directory.
fn on_downgrade(arena: &Arena, mut act: impl FnMut(&FaultyEnv, When, &Path) -> Fate + Send + 'static) {
    let path = arena.path();
    arena.env.on_call(
        move |env, call, when, at| {
            if call == Call::Rename && at.parent() == Some(&path) { act(env, when, at) } else { Fate::GoOn }
        },
    );
}

#[test]
fn a_holder_lets_others_share_its_lock_and_nobody_have_it_alone() {
    let arena = Arena::new();
    let writer = held(&arena);
    assert!(reader(&arena).is_none());
    let (old, was) = (writer.token().clone(), Plain.stat(&arena.path().join(writer.token().as_os_str())).unwrap());
    let first = writer.downgrade().unwrap();
    let entry = Plain.stat(&arena.path().join(first.token().as_os_str())).unwrap();
    assert_eq!((entry.id, entry.mtime), (was.id, was.mtime), "the same file, which lasts as long");
    assert_eq!(first.token().as_os_str().to_str().unwrap(), format!("{}s", old.as_os_str().to_str().unwrap()));
    assert_eq!(Plain.list(&arena.path()).unwrap().len(), 1);
    let second = reader(&arena).expect("others may share it");
    for writer in [Protocol::Dir, Protocol::Link] {
        assert!(arena.lock(writer).try_acquire().unwrap().is_none(), "{writer}");
    }
    first.check().unwrap();
    first.refresh().unwrap();
    first.release().unwrap();
    assert!(lock(&arena).try_acquire().unwrap().is_none());
    second.release().unwrap();
    assert!(is_free(&arena));
    held(&arena).release().unwrap();
}

#[test]
fn the_last_to_release_a_downgraded_lock_leaves_nothing() {
    let arena = Arena::new();
    let first = held(&arena).downgrade().unwrap();
    let second = reader(&arena).unwrap();
    second.release().unwrap();
    first.release().unwrap();
    assert!(is_free(&arena));
}

/// As any reader's, since the directory is not expected to be empty.
#[test]
fn the_release_of_a_downgraded_lock_does_not_list_what_others_have_there() {
    let arena = Arena::new();
    let first = held(&arena).downgrade().unwrap();
    let second = reader(&arena).unwrap();
    let lists = arena.env.calls(Call::List).len();
    first.release().unwrap();
    assert_eq!(arena.env.calls(Call::List).len(), lists);
    second.release().unwrap();
    assert!(is_free(&arena));
}

#[test]
fn a_lock_that_is_shared_stays_as_it_is() {
    let arena = Arena::new();
    let first = reader(&arena).unwrap();
    let token = first.token().clone();
    let first = first.downgrade().unwrap().downgrade().unwrap();
    assert_eq!(*first.token(), token);
    let calls = arena.env.calls_in_all();
    let first = first.downgrade().unwrap();
    assert_eq!(arena.env.calls_in_all(), calls, "nobody is asked");
    first.release().unwrap();
}

#[test]
fn a_link_lock_cannot_be_downgraded_and_stays_held() {
    let arena = Arena::new();
    let failed = arena.lock(Protocol::Link).acquire().unwrap().downgrade().unwrap_err();
    assert_eq!(failed.error().kind(), ErrorKind::Invalid);
    assert!(failed.to_string().contains("use the dir protocol"), "{failed}");
    let (_, guard) = failed.into_parts();
    guard.check().unwrap();
    guard.release().unwrap();
}

#[test]
fn what_is_told_of_a_lock_goes_on_through_its_downgrade() {
    let arena = Arena::new();
    let fenced = arena.builder(Protocol::Dir).fence(true).build_in(arena.env.clone()).unwrap();
    let writer = fenced.acquire().unwrap();
    let (loss, number, until) = (writer.loss(), writer.fencing_token(), writer.expires_at());
    let guard = writer.downgrade().unwrap();
    assert_eq!((guard.fencing_token(), guard.expires_at()), (number, until));
    assert!(number.is_some() && number < fenced.shared().unwrap().acquire().unwrap().fencing_token());
    let status = lock(&arena).inspect().unwrap();
    assert_eq!((status.state, status.holder.unwrap().token), (State::Held, guard.token().clone()));
    assert!(!loss.is_lost());
    arena.env.sleep(LIFETIME);
    assert!(loss.is_lost() && guard.is_lost(), "a notice from before tells of the loss");
}

#[test]
fn a_lock_that_is_kept_alive_is_kept_alive_after_its_downgrade() {
    let arena = Arena::new();
    let short = Duration::from_millis(600);
    let kept = arena.builder(Protocol::Dir).lifetime(short).keep_alive(true).build_in(arena.env.clone()).unwrap();
    let guard = kept.acquire().unwrap().downgrade().unwrap();
    super::faults::pause(3 * short);
    guard.check().unwrap();
    assert!(!guard.is_lost());
    guard.release().unwrap();
    assert!(is_free(&arena));
}

#[test]
fn the_new_token_is_adopted_and_broken_and_the_old_one_holds_nothing() {
    let arena = Arena::new();
    let writer = held(&arena);
    let old = writer.token().clone();
    let new = writer.downgrade().unwrap().leave();
    assert_eq!(lock(&arena).adopt(&old).unwrap_err().kind(), ErrorKind::NotHeld);
    let adopted = lock(&arena).adopt(&new).unwrap();
    adopted.refresh().unwrap();
    let second = reader(&arena).unwrap();
    assert!(lock(&arena).break_lock(&Which::Claim(old)).is_err());
    lock(&arena).break_lock(&Which::Claim(new)).unwrap().expect("it was held");
    assert!(adopted.check().unwrap_err().is_lost());
    second.release().unwrap();
    assert!(is_free(&arena));
}

#[test]
fn an_adopted_lock_is_downgraded_too() {
    let arena = Arena::new();
    let token = held(&arena).leave();
    let guard = lock(&arena).adopt(&token).unwrap().downgrade().unwrap();
    reader(&arena).unwrap().release().unwrap();
    guard.release().unwrap();
    assert!(is_free(&arena));
}

#[test]
fn a_lost_reply_makes_no_difference() {
    let arena = Arena::new();
    for answer in [io::ErrorKind::NotFound, io::ErrorKind::TimedOut] {
        let writer = held(&arena);
        on_downgrade(&arena, move |env, when, _| match when {
            When::After if answer == io::ErrorKind::NotFound => sent_again(env, answer),
            When::After => Fate::Fail(answer),
            When::Before => Fate::GoOn,
        });
        let guard = writer.downgrade().unwrap();
        reader(&arena).expect("it was carried out").release().unwrap();
        guard.release().unwrap();
        assert!(is_free(&arena));
    }
}

/// The bug, found by the simulation: an NFS client remembered that the lock path was absent, or a link lock there. The
/// consequence: a downgrade failed, although the lock was held and the server well. The mend: it is tried again.
#[test]
fn a_client_that_does_not_know_of_the_lock_path_asks_and_tries_again() {
    let arena = Arena::new();
    for answer in [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory] {
        let writer = held(&arena);
        let mut tries = 0;
        on_downgrade(&arena, move |_, when, _| {
            tries += u32::from(when == When::Before);
            if tries < 3 { Fate::Fail(answer) } else { Fate::GoOn }
        });
        writer.downgrade().unwrap().release().unwrap();
        assert!(is_free(&arena));
    }
}

/// A lock whose downgrade failed before it was carried out; and the names of its entry, before and after.
fn in_doubt(arena: &Arena) -> (Error, Guard, Token) {
    let writer = held(arena);
    let old = writer.token().clone();
    on_downgrade(
        arena,
        |_, when, _| if when == When::Before { Fate::Fail(io::ErrorKind::TimedOut) } else { Fate::GoOn },
    );
    let (error, guard) = writer.downgrade().unwrap_err().into_parts();
    arena.env.on_call(|_, _, _, _| Fate::GoOn);
    (error, guard, old)
}

/// The request that was thought to have failed is carried out after all.
fn carry_out(arena: &Arena, old: &Token, new: &Token) {
    let at = |token: &Token| arena.path().join(token.as_os_str());
    Plain.rename(&at(old), &at(new)).unwrap();
}

#[test]
fn a_downgrade_in_doubt_can_be_tried_again_whether_it_was_carried_out_or_not() {
    for is_carried_out in [false, true] {
        let arena = Arena::new();
        let (error, guard, old) = in_doubt(&arena);
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("try again, or release it"), "{error}");
        assert!(!guard.is_lost());
        if is_carried_out {
            carry_out(&arena, &old, guard.token());
        }
        let guard = guard.downgrade().unwrap();
        reader(&arena).expect("it is shared").release().unwrap();
        guard.release().unwrap();
        assert!(is_free(&arena));
    }
}

/// When a request that was thought to have failed is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    Never,
    Before,
    /// Right before or after the first call on the entry by its old name.
    Meanwhile(When),
}

#[test]
fn a_lock_whose_downgrade_is_in_doubt_is_checked_refreshed_and_released_by_either_name() {
    type Act = fn(&Guard) -> Result<(), Error>;
    let acts: [(&str, Act); 2] = [("check", Guard::check), ("refresh", Guard::refresh)];
    for late in [Late::Never, Late::Before, Late::Meanwhile(When::Before), Late::Meanwhile(When::After)] {
        for (what, act) in acts.into_iter().map(|(what, act)| (what, Some(act))).chain([("release", None)]) {
            let arena = Arena::new();
            let (_, guard, old) = in_doubt(&arena);
            let new = guard.token().clone();
            // A release then looks first.
            arena.env.sleep(Duration::from_secs(1));
            match late {
                Late::Never => {}
                Late::Before => carry_out(&arena, &old, &new),
                Late::Meanwhile(moment) => {
                    let (mut pair, entry) = (Some((old.clone(), new)), arena.path().join(old.as_os_str()));
                    let dir = arena.path();
                    arena.env.on_call(move |_, _, when, at| {
                        if (when, at) == (moment, entry.as_path())
                            && let Some((old, new)) = pair.take()
                        {
                            let _ = Plain.rename(&dir.join(old.as_os_str()), &dir.join(new.as_os_str()));
                        }
                        Fate::GoOn
                    });
                }
            }
            if let Some(act) = act {
                act(&guard).unwrap_or_else(|e| panic!("{what}, {late:?}: {e}"));
            }
            guard.release().unwrap_or_else(|e| panic!("{what}, then release, {late:?}: {e}"));
            assert!(is_free(&arena), "{what}, {late:?}: {:?}", arena.names());
        }
    }
}

/// The bug: a lock was left by its old token after a downgrade in doubt. The consequence: whoever adopted it had it alone, and a reader
/// joined when the request was carried out. The mend: it has the new token.
/// An NFS client may remember the names from before the request was carried out.
#[test]
fn a_lock_whose_downgrade_is_in_doubt_is_looked_for_afresh() {
    let arena = Arena::new();
    let (_, guard, _) = in_doubt(&arena);
    let asked = || arena.env.calls(Call::Stat).iter().filter(|at| *at == arena.dir.path()).count();
    let before = asked();
    guard.check().unwrap();
    assert!(asked() > before);
}

#[test]
fn a_lock_whose_downgrade_is_in_doubt_is_nobodys_alone() {
    let arena = Arena::new();
    let (_, guard, old) = in_doubt(&arena);
    assert_ne!(*guard.token(), old);
    assert_ne!(guard.holder().unwrap().token, old);
    let left = guard.leave();
    assert_ne!(left, old);
    assert_eq!(lock(&arena).adopt(&left).unwrap_err().kind(), ErrorKind::NotHeld);
    carry_out(&arena, &old, &left);
    lock(&arena).adopt(&left).unwrap().release().unwrap();
    assert!(is_free(&arena));
}

#[test]
fn a_downgrade_that_returns_after_the_deadline_does_not_count() {
    let arena = Arena::new();
    for when in [When::Before, When::After] {
        let writer = held(&arena);
        on_downgrade(&arena, move |env, now, _| {
            if now == when {
                env.sleep(LIFETIME);
            }
            Fate::GoOn
        });
        let (error, guard) = writer.downgrade().unwrap_err().into_parts();
        assert!(error.is_lost() && guard.is_lost(), "{error}");
        arena.env.on_call(|_, _, _, _| Fate::GoOn);
        drop(guard);
        arena.env.sleep(LIFETIME + 2 * GRACE);
        lock(&arena).try_acquire().unwrap().expect("it has expired").release().unwrap();
    }
}

#[test]
fn a_downgrade_does_not_count_if_another_thread_has_seen_the_deadline_pass() {
    let arena = Arena::new();
    let guard = held(&arena);
    let loss = guard.loss();
    on_downgrade(&arena, move |env, when, _| {
        assert!(when == When::Before || env.later(LIFETIME, || loss.is_lost()));
        Fate::GoOn
    });
    assert!(guard.downgrade().unwrap_err().error().is_lost());
}

#[test]
fn a_downgrade_after_the_deadline_changes_nothing() {
    let arena = Arena::new();
    let writer = held(&arena);
    let token = writer.token().clone();
    arena.env.sleep(LIFETIME);
    let (error, guard) = writer.downgrade().unwrap_err().into_parts();
    assert!(error.is_lost(), "{error}");
    assert_eq!(*guard.token(), token);
    assert_eq!(arena.env.calls(Call::Rename).len(), 1, "no rename but that of the acquisition");
}

#[test]
fn of_a_breaker_and_a_downgrade_one_comes_too_late() {
    // The breaker looks at an expired lock, and the rename of its holder, which was stopped, is carried out before the break.
    let arena = Arena::new();
    let writer = held(&arena);
    let old = writer.token().clone();
    let new = Token::new(format!("{}s", old.as_os_str().to_str().unwrap()));
    arena.env.sleep(LIFETIME + 2 * GRACE);
    let path = arena.path();
    let (from, to) = (path.join(old.as_os_str()), path.join(new.as_os_str()));
    let mut is_late = true;
    arena.env.on_call(move |_, call, when, at| {
        if (call, when) == (Call::Unlink, When::Before) && at == from && std::mem::take(&mut is_late) {
            Plain.rename(&from, &to).unwrap();
        }
        Fate::GoOn
    });
    assert!(lock(&arena).try_acquire().unwrap().is_none(), "its entry has changed, and lasts from there");
    assert!(writer.is_lost());
    arena.env.on_call(|_, _, _, _| Fate::GoOn);
    arena.env.sleep(LIFETIME + 2 * GRACE);
    held(&arena).release().unwrap();
    drop(writer);
    assert!(is_free(&arena));

    // An operator breaks it before the rename.
    let writer = held(&arena);
    let (rival, broken) = (arena.rival(Protocol::Dir), Arc::new(Mutex::new(None)));
    let known = Arc::clone(&broken);
    let operator = arena.builder(Protocol::Dir).build().unwrap();
    on_downgrade(&arena, move |_, when, _| {
        if when == When::Before {
            operator.break_lock(&Which::Any).unwrap().expect("it was held");
            *known.lock().unwrap() = rival.try_acquire();
        }
        Fate::GoOn
    });
    let (error, guard) = writer.downgrade().unwrap_err().into_parts();
    assert!(error.is_lost() && guard.is_lost(), "{error}");
    drop(guard);
    let rival = broken.lock().unwrap().take().expect("it has the lock now");
    rival.check().unwrap();
    rival.release().unwrap();
    assert!(is_free(&arena));
}

/// A reader lists the directory while the entry gets its new name: it sees the one or the other.
#[test]
fn a_reader_that_looks_meanwhile_joins_or_waits() {
    for when in [When::Before, When::After] {
        let arena = Arena::new();
        let writer = held(&arena);
        let (joined, rival) = (Arc::new(Mutex::new(None)), arena.builder(Protocol::Dir).shared(true).build().unwrap());
        let known = Arc::clone(&joined);
        on_downgrade(&arena, move |_, now, _| {
            if now == when {
                *known.lock().unwrap() = rival.try_acquire().unwrap();
            }
            Fate::GoOn
        });
        let guard = writer.downgrade().unwrap();
        let joined = joined.lock().unwrap().take();
        assert_eq!(joined.is_some(), when == When::After);
        guard.check().unwrap();
        drop(joined);
        guard.release().unwrap();
        assert!(is_free(&arena));
    }
}

#[test]
fn a_waiting_writer_holds_newcomers_back_after_a_downgrade_as_before_any_reader() {
    let arena = Arena::new();
    let mut writer = Some(held(&arena));
    let (mut first, mut pauses, came) = (None, 0, Arc::new(Mutex::new(Vec::new())));
    let (known, newcomer) = (Arc::clone(&came), arena.builder(Protocol::Dir).shared(true));
    let newcomer = newcomer.build_in(arena.env.clone()).unwrap();
    arena.env.on_call(move |_, call, when, _| {
        if (call, when) == (Call::Wait, When::Before) {
            pauses += 1;
            match pauses {
                1 => first = Some(writer.take().unwrap().downgrade().unwrap()),
                // It has looked since.
                2 => known.lock().unwrap().push(newcomer.try_acquire().unwrap().is_some()),
                3 => first.take().unwrap().release().unwrap(),
                _ => {}
            }
        }
        Fate::GoOn
    });
    let next = lock(&arena).acquire_with(&Wait::up_to(LIFETIME)).unwrap();
    assert_eq!(*came.lock().unwrap(), [false]);
    next.release().unwrap();
    arena.env.on_call(|_, _, _, _| Fate::GoOn);
    reader(&arena).unwrap().release().unwrap();
    assert!(is_free(&arena));
}

/// The waiter sleeps for an hour, so no poll helps.
#[cfg(target_os = "linux")] // Elsewhere a waiter polls.
#[test]
fn a_downgrade_wakes_those_who_wait_as_readers() {
    use super::waking::{Sleeper, without_polls};

    let arena = without_polls();
    let writer = arena.builder(Protocol::Dir).lifetime(Duration::from_secs(600)).build().unwrap().acquire().unwrap();
    let sleepers: Vec<_> =
        (0..3).map(|_| Sleeper::start(lock(&arena).shared().unwrap(), Wait::forever()).soundly()).collect();
    let guard = writer.downgrade().unwrap();
    for sleeper in sleepers {
        sleeper.result().unwrap();
    }
    guard.release().unwrap();
    assert!(is_free(&arena));
}

#[test]
fn a_downgrade_hints_to_whom_a_release_hints() {
    let arena = Arena::new();
    let udp = arena.builder(Protocol::Dir).wake(crate::Wake::Udp).build_in(arena.env.clone()).unwrap();
    let writer = udp.acquire().unwrap();
    let bell = format!("{}/127.0.0.1:4711/0000000000000007", writer.token());
    std::os::unix::fs::symlink(bell, arena.dir.path().join("job.lock|bell")).unwrap();
    let sent = || arena.env.hints.lock().unwrap().len();
    let guard = writer.downgrade().unwrap();
    assert_eq!(sent(), 1);
    guard.release().unwrap();
    assert_eq!(sent(), 2);
}

#[test]
fn where_clocks_cannot_be_compared_a_downgraded_lock_is_watched_anew() {
    let arena = Arena::new();
    arena.env.stamps_are_not_known.store(true, Ordering::SeqCst);
    let writer = held(&arena);
    let contender = lock(&arena);
    assert!(contender.try_acquire().unwrap().is_none());
    arena.env.sleep(LIFETIME / 2);
    let guard = writer.downgrade().unwrap();
    guard.refresh().unwrap();
    arena.env.sleep(LIFETIME / 2 + 2 * GRACE);
    assert!(contender.try_acquire().unwrap().is_none());
    arena.env.sleep(LIFETIME + 2 * GRACE);
    assert!(guard.is_lost());
    contender.try_acquire().unwrap().expect("it was watched for its lifetime").release().unwrap();
}
