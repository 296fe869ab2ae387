//! The empty directory of a free `dir` lock, which stays at the lock path on NFS 4.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::faults::{Arena, BOTH, Call, Fate, GRACE, LIFETIME, When};
use super::plain::Plain;
use crate::lock_path::LockPath;
use crate::options::Protocol;
use crate::{LeftoverKind, LeftoverVerdict, SEPARATOR, State, Wait, Which};

const MOMENT: Duration = Duration::from_secs(3);

impl Arena {
    /// Acquires and releases a `dir` lock, and returns what is left.
    fn names_after_release(&self) -> Vec<String> {
        self.lock(Protocol::Dir).acquire_with(&Wait::never()).unwrap().release().unwrap();
        self.names()
    }

    /// How many turns were taken: each begins with a claim of the break lock.
    fn turns(&self) -> usize {
        let begin = format!("{SEPARATOR}break{SEPARATOR}");
        self.env.calls(Call::MkDir).iter().filter(|at| at.to_string_lossy().contains(&begin)).count()
    }

    fn cleaned(&self) -> Vec<(LeftoverKind, LeftoverVerdict)> {
        let lock = self.lock(Protocol::Link);
        let done = lock.clean(lock.leftovers().unwrap()).unwrap();
        done.into_iter().map(|leftover| (leftover.kind, leftover.verdict)).collect()
    }
}

#[test]
fn after_a_release_or_a_break_the_directory_is_a_free_lock_and_the_next_claim_replaces_it() {
    let arena = Arena::on_nfs_4();
    assert_eq!(arena.names_after_release(), ["job.lock"]);
    let lock = arena.lock(Protocol::Dir);
    let status = lock.inspect().unwrap();
    assert!(status.state == State::Free && status.available, "{status:?}");
    lock.wait_until_free(&Wait::never()).unwrap();
    assert!(lock.break_lock(&Which::Any).unwrap().is_none());
    arena.rival(Protocol::Dir).acquire().leave();
    arena.env.sleep(LIFETIME + GRACE + MOMENT);
    lock.break_lock(&Which::Expired).unwrap().unwrap();
    assert_eq!(arena.names(), ["job.lock"]);
    arena.rival(Protocol::Dir).acquire().leave();
    arena.env.sleep(LIFETIME + GRACE + MOMENT);
    assert_eq!(arena.names_after_release(), ["job.lock"], "after a waiter's break");
    assert!(!arena.env.calls(Call::RmDir).contains(&arena.path()) && arena.turns() == 0, "nobody clears it");
}

#[test]
fn a_link_contender_clears_it_in_turn_and_acquires_the_lock_at_once() {
    let arena = Arena::on_nfs_4();
    for age in [Duration::ZERO, LIFETIME] {
        arena.names_after_release();
        arena.env.sleep(age);
        let turns = arena.turns();
        let guard = arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap();
        assert_eq!(arena.turns(), turns + 1);
        guard.release().unwrap();
        assert_eq!(arena.names(), [""; 0]);
    }
    // One that breaks a `dir` lock needs the room too.
    arena.rival(Protocol::Dir).acquire().leave();
    arena.lock(Protocol::Link).break_lock(&Which::Any).unwrap().unwrap();
    assert_eq!(arena.names(), [""; 0]);
}

#[test]
fn it_is_cleared_where_it_would_be_in_somebodys_way() {
    const NFS: Option<&str> = Some("NFS");
    // The mode of the lock's directory, the mode of the lock, the kind of the file system, whether that keeps the mark,
    // and whether a removal there is by name alone.
    for (parent, mode, kind, keeps, by_name, stays) in [
        (0o700, 0o644, NFS, true, true, true),
        (0o755, 0o644, NFS, true, true, true),
        (0o777, 0o644, NFS, true, true, true),
        (0o700, 0o600, NFS, true, true, true),
        // Other users can neither replace nor remove it.
        (0o1777, 0o644, NFS, true, true, false),
        // Others could not look into it, and would take it for a lock.
        (0o755, 0o600, NFS, true, true, false),
        (0o750, 0o640, NFS, true, true, false),
        // Nothing tells it from somebody's own directory.
        (0o700, 0o644, NFS, false, true, false),
        // Nobody knows whether a rename replaces it.
        (0o700, 0o644, Some("none that is known"), true, true, false),
        (0o700, 0o644, NFS, true, false, false),
    ] {
        let arena = Arena::on_nfs_4();
        Plain.chmod(arena.dir.path(), parent).unwrap();
        *arena.env.kind.lock().unwrap() = kind;
        arena.env.keeps_no_sticky_bit.store(!keeps, Ordering::SeqCst);
        arena.env.removes_by_name_alone.store(by_name, Ordering::SeqCst);
        let lock = arena.builder(Protocol::Dir).mode(mode).build_in(arena.env.clone()).unwrap();
        let what = format!("{parent:o}, {mode:o}, {kind:?}, {keeps}, {by_name}");
        lock.acquire_with(&Wait::never()).unwrap().release().unwrap();
        assert_eq!(arena.path().exists(), stays, "{what}, released");
        lock.acquire_with(&Wait::never()).unwrap().leave();
        lock.break_lock(&Which::Any).unwrap().unwrap();
        assert_eq!(arena.path().exists(), stays, "{what}, broken");
    }
}

/// A claim is renamed onto no empty directory that somebody else made.
#[test]
fn a_directory_without_the_mark_is_not_taken_for_it() {
    let arena = Arena::on_nfs_4();
    arena.names_after_release();
    Plain.chmod(&arena.path(), 0o755).unwrap();
    for protocol in BOTH {
        let refused = arena.lock(protocol).acquire_with(&Wait::up_to(LIFETIME)).unwrap_err();
        assert!(refused.to_string().contains("an empty directory"), "{protocol}: {refused}");
    }
    assert!(arena.cleaned().is_empty() && arena.path().exists());
}

/// The bug: an old empty directory was taken for a crash's. The consequence, if it is the usual state: every contender that
/// waited lists the directory.
#[test]
fn a_waiter_that_finds_it_old_does_not_search_for_leftovers() {
    for protocol in BOTH {
        let arena = Arena::on_nfs_4();
        let held = Mutex::new(Some(arena.rival(Protocol::Dir).acquire()));
        arena.env.on_call(move |env, call, when, _| {
            if (call, when) == (Call::Wait, When::Before)
                && let Some(held) = held.lock().unwrap().take()
            {
                held.release().unwrap();
                env.sleep(LIFETIME);
            }
            Fate::GoOn
        });
        arena.lock(protocol).acquire_with(&Wait::up_to(3 * LIFETIME)).unwrap().release().unwrap();
        let listed = arena.env.calls(Call::List);
        assert!(!listed.iter().any(|at| at == arena.dir.path()), "{protocol}: {listed:?}");
    }
}

#[test]
fn a_cleaner_removes_it_in_turn_and_a_sweep_leaves_it() {
    let arena = Arena::on_nfs_4();
    let held = arena.lock(Protocol::Dir).acquire_with(&Wait::never()).unwrap();
    assert!(arena.cleaned().is_empty(), "the lock is held");
    held.release().unwrap();
    crate::protocol::leftovers::sweep(arena.lock(Protocol::Dir).place(), || None);
    assert_eq!(arena.names(), ["job.lock"]);
    let listed = arena.lock(Protocol::Link).leftovers().unwrap();
    assert!(matches!(listed[0].verdict, LeftoverVerdict::Empty), "{listed:?}");
    assert_eq!(listed[0].path, arena.path());

    let turn = arena.turn_of_another();
    let [(LeftoverKind::FreeLock, LeftoverVerdict::Failed(e)), (LeftoverKind::BreakLock, _)] = &arena.cleaned()[..]
    else {
        panic!("another has its turn")
    };
    assert!(e.to_string().contains("another contender has its turn"), "{e}");
    assert_eq!(arena.names().first().map(String::as_str), Some("job.lock"));
    turn();

    let turns = arena.turns();
    let [(LeftoverKind::FreeLock, LeftoverVerdict::Removed)] = arena.cleaned()[..] else { panic!("it is free") };
    assert_eq!((arena.names(), arena.turns()), (vec![], turns + 1));
}

/// NFS 4 has one request that removes both files and empty directories.
#[test]
fn a_cleaner_removes_no_link_lock_that_came_meanwhile() {
    let arena = Arena::on_nfs_4();
    arena.names_after_release();
    let (path, rival, theirs) = (arena.path(), arena.rival(Protocol::Link), Arc::new(Mutex::new(None)));
    let taken = theirs.clone();
    arena.env.on_call(move |_, call, when, at: &Path| {
        if (call, when) == (Call::RmDir, When::Before) && at == path {
            *taken.lock().unwrap() = rival.try_acquire();
        }
        Fate::GoOn
    });
    arena.cleaned();
    if let Some(theirs) = theirs.lock().unwrap().take() {
        theirs.check().unwrap();
    }
}

impl Arena {
    /// Another breaker takes its turn, until the result is called.
    fn turn_of_another(&self) -> impl FnOnce() + use<> {
        let place = crate::protocol::place::Place {
            path: LockPath::new(&self.path(), SEPARATOR).unwrap().of_break_lock(),
            protocol: Protocol::Dir,
            host: "rival".into(),
            ..self.lock(Protocol::Dir).place().clone()
        };
        let turn = crate::acquire::acquire(&place, &Wait::never()).unwrap();
        move || crate::protocol::steps::release(&place, &turn).unwrap()
    }
}
