//! Shared locks: readers side by side, and nobody beside a writer.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::faults::{Arena, Call, Fate, GRACE, LIFETIME, When, sent_again};
use super::plain::Plain;
use crate::{ErrorKind, Guard, Lock, Protocol, State, Wait, Which};

fn lock(arena: &Arena) -> Lock {
    arena.lock(Protocol::Dir)
}

fn reader(arena: &Arena) -> Lock {
    lock(arena).shared().unwrap()
}

fn read(arena: &Arena) -> Guard {
    reader(arena).try_acquire().unwrap().expect("it is free to be shared")
}

fn free(arena: &Arena) -> bool {
    arena.names().is_empty()
}

#[test]
fn readers_hold_it_side_by_side_and_a_writer_alone() {
    let arena = Arena::new();
    let readers: Vec<_> = (0..3).map(|_| read(&arena)).collect();
    for writer in [Protocol::Dir, Protocol::Link] {
        assert!(arena.lock(writer).try_acquire().unwrap().is_none(), "{writer}");
    }
    for reader in readers {
        assert!(!reader.is_lost());
        reader.check().unwrap();
        reader.refresh().unwrap();
        reader.release().unwrap();
    }
    assert!(free(&arena));
    for writer in [Protocol::Dir, Protocol::Link] {
        let writer = arena.lock(writer).try_acquire().unwrap().expect("all readers have gone");
        let before = arena.names();
        assert!(reader(&arena).try_acquire().unwrap().is_none());
        assert_eq!(arena.names(), before, "while it is held, nothing is changed at the lock path");
        writer.release().unwrap();
    }
    assert!(free(&arena));
}

#[test]
fn of_readers_that_break_or_clear_only_one_has_its_turn() {
    let arena = Arena::new();
    let turn = reader(&arena).place().of_break_lock();
    crate::acquire::acquire(&turn, &Wait::never()).unwrap();
    assert!(crate::acquire::acquire(&turn, &Wait::never()).unwrap_err().is_timeout());
}

/// An NFS client may know another directory by that name, which is gone.
#[test]
fn the_directory_that_the_last_reader_leaves_is_removed_even_if_its_client_first_says_that_there_is_none() {
    let arena = Arena::new();
    let guard = read(&arena);
    arena.env.once(Call::RmDir, When::Before, |_, _| Fate::Fail(io::ErrorKind::StaleNetworkFileHandle));
    guard.release().unwrap();
    assert!(free(&arena), "{:?}", arena.names());
}

/// As a look that fails: the first list is a look's, the second is of the readers.
#[test]
fn readers_that_cannot_be_listed_are_an_error_only_if_their_directory_is_still_there() {
    for is_gone in [false, true] {
        let arena = Arena::new();
        let reader = read(&arena);
        let mut lists = 0;
        arena.env.on_call(move |_, call, when, dir| {
            lists += usize::from((call, when) == (Call::List, When::Before));
            if (call, when, lists) != (Call::List, When::Before, 2) {
                return Fate::GoOn;
            }
            if is_gone {
                Plain.rename(dir, &dir.with_extension("away")).unwrap();
            }
            Fate::Fail(io::ErrorKind::Other)
        });
        let status = lock(&arena).inspect();
        match is_gone {
            true => assert_eq!(status.unwrap().readers.len(), 0),
            false => assert_eq!(status.unwrap_err().kind(), ErrorKind::Io),
        }
        reader.leave();
    }
}

#[test]
fn the_link_protocol_has_no_shared_locks() {
    let arena = Arena::new();
    assert_eq!(arena.lock(Protocol::Link).shared().unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(arena.builder(Protocol::Link).shared(true).build().unwrap_err().kind(), ErrorKind::Invalid);
}

/// A writer comes when the reader has seen that only readers have the lock.
#[test]
fn a_reader_steps_back_from_a_writer_that_came_before_its_entry() {
    let arena = Arena::new();
    let first = read(&arena);
    let writer = Arc::new(Mutex::new(None));
    let (known, rival) = (Arc::clone(&writer), arena.rival(Protocol::Dir));
    let mut first = Some(first);
    arena.env.on_call(move |_, call, when, path| {
        // The move of its entry, which has the claim's directory's name before its own.
        let is_move = path.parent().is_some_and(|dir| dir.to_string_lossy().contains("job.lock|"));
        if (call, when) == (Call::Rename, When::Before)
            && is_move
            && let Some(first) = first.take()
        {
            first.release().unwrap();
            *known.lock().unwrap() = rival.try_acquire();
        }
        Fate::GoOn
    });
    assert!(reader(&arena).try_acquire().unwrap().is_none());
    let writer = writer.lock().unwrap().take().expect("the writer came");
    writer.check().unwrap();
    assert_eq!(arena.names().len(), 1, "nothing but the writer's lock");
    writer.release().unwrap();
    assert!(free(&arena));
}

#[test]
fn a_reader_holds_it_if_the_reply_to_its_move_is_lost() {
    let arena = Arena::new();
    let first = read(&arena);
    arena.env.on_call(move |env, call, when, path| {
        let is_move = path.parent().is_some_and(|dir| dir.to_string_lossy().contains("job.lock|"));
        if (call, when) == (Call::Rename, When::After) && is_move {
            sent_again(env, std::io::ErrorKind::NotFound)
        } else {
            Fate::GoOn
        }
    });
    let second = read(&arena);
    second.check().unwrap();
    first.release().unwrap();
    second.release().unwrap();
    assert!(free(&arena));
}

/// Or a writer might wait for ever.
#[test]
fn newcomers_wait_while_a_writer_waits() {
    let arena = Arena::new();
    let first = read(&arena);
    let newcomer = arena.builder(Protocol::Dir).shared(true).build_in(arena.env.clone()).unwrap();
    let (mut first, mut pauses, came) = (Some(first), 0, Arc::new(Mutex::new(Vec::new())));
    let known = Arc::clone(&came);
    arena.env.on_call(move |_, call, when, _| {
        if (call, when) == (Call::Wait, When::Before) {
            pauses += 1;
            match pauses {
                1 => known.lock().unwrap().push(newcomer.try_acquire().unwrap().is_some()),
                2 => first.take().unwrap().release().unwrap(),
                _ => {}
            }
        }
        Fate::GoOn
    });
    let writer = lock(&arena).acquire_with(&Wait::up_to(LIFETIME)).unwrap();
    assert_eq!(*came.lock().unwrap(), [false]);
    writer.release().unwrap();
    arena.env.on_call(|_, _, _, _| Fate::GoOn);
    read(&arena).release().unwrap();
    assert!(free(&arena));
}

#[test]
fn a_writer_that_gives_up_holds_no_newcomer_back_and_a_dead_ones_bell_for_a_minute() {
    let arena = Arena::new();
    let first = read(&arena);
    assert!(lock(&arena).acquire_with(&Wait::up_to(Duration::from_secs(2))).unwrap_err().is_timeout());
    let second = read(&arena);
    // As one on another machine has left it.
    let bell = arena.dir.path().join("job.lock|bell");
    std::os::unix::fs::symlink("job.lock|elsewhere|1|7", bell).unwrap();
    assert!(reader(&arena).try_acquire().unwrap().is_none());
    arena.env.sleep(Duration::from_secs(70));
    // The others have expired by now, and are in a reader's way no more than live ones.
    read(&arena).release().unwrap();
    assert!(first.is_lost() && second.is_lost());
}

#[test]
fn a_writer_removes_the_entries_of_readers_that_have_expired_and_no_others() {
    let arena = Arena::new();
    let dead: Vec<_> = (0..2).map(|_| reader(&arena).acquire().unwrap().leave()).collect();
    let long = arena.builder(Protocol::Dir).lifetime(20 * LIFETIME).shared(true).build_in(arena.env.clone()).unwrap();
    let alive = long.acquire().unwrap();
    arena.env.sleep(LIFETIME + 2 * GRACE);
    assert!(lock(&arena).acquire_with(&Wait::up_to(Duration::from_secs(3))).unwrap_err().is_timeout());
    alive.check().unwrap();
    let left = arena.lock(Protocol::Dir).inspect().unwrap();
    assert!(left.readers.iter().any(|reader| reader.token == *alive.token()), "{left:?}");
    alive.release().unwrap();
    lock(&arena).try_acquire().unwrap().expect("nobody else is left").release().unwrap();
    assert!(free(&arena), "{dead:?}: {:?}", arena.names());
}

#[test]
fn another_users_readers_are_waited_for() {
    let arena = Arena::new();
    let first = read(&arena);
    let directory = super::plain::Plain.stat(&arena.path()).unwrap();
    arena.env.others.lock().unwrap().push(directory.id);
    assert!(reader(&arena).try_acquire().unwrap().is_none());
    arena.env.others.lock().unwrap().clear();
    first.release().unwrap();
    assert!(free(&arena));
}

#[test]
fn the_status_lists_all_readers_and_each_is_its_own_holder() {
    let arena = Arena::new();
    let readers: Vec<_> = (0..3).map(|_| read(&arena)).collect();
    let status = lock(&arena).inspect().unwrap();
    assert_eq!(status.state, State::Held);
    let mut shown: Vec<_> = status.readers.iter().map(|reader| reader.token.clone()).collect();
    let mut tokens: Vec<_> = readers.iter().map(|reader| reader.token().clone()).collect();
    shown.sort();
    tokens.sort();
    assert_eq!(shown, tokens);
    for reader in readers {
        reader.leave();
    }
    for token in &tokens {
        let adopted = lock(&arena).adopt(token).unwrap();
        assert_eq!(adopted.token(), token);
        adopted.release().unwrap();
    }
    assert!(free(&arena));
}

#[test]
fn an_operator_breaks_one_readers_lock_or_all() {
    let arena = Arena::new();
    let readers: Vec<_> = (0..3).map(|_| read(&arena)).collect();
    lock(&arena).break_lock(&Which::Claim(readers[1].token().clone())).unwrap().expect("it was held");
    assert!(readers[1].check().unwrap_err().is_lost());
    readers[0].check().unwrap();
    assert!(lock(&arena).break_lock(&Which::Expired).unwrap_err().is_timeout());
    lock(&arena).break_lock(&Which::Any).unwrap().expect("two held it");
    assert!(readers.iter().all(|reader| reader.check().unwrap_err().is_lost()));
    assert!(free(&arena));
}

/// The bug, found by the model: a reader whose move had failed removed its entry and used the same claim again. The consequence: a copy
/// of that removal that an NFS server carried out late removed its live entry. The mend: a claim that may have been moved is not used again.
#[test]
fn a_reader_whose_move_failed_uses_another_claim() {
    let arena = Arena::new();
    let first = read(&arena);
    let mut renames = 0;
    arena.env.on_call(move |_, call, when, _| {
        renames += u32::from((call, when) == (Call::Rename, When::Before));
        // The first is to the lock path, and the second into the directory there.
        let is_move = (call, when, renames) == (Call::Rename, When::Before, 2);
        if is_move { Fate::Fail(std::io::ErrorKind::StorageFull) } else { Fate::GoOn }
    });
    let before = arena.env.calls(Call::MkDir).len();
    let second = reader(&arena).acquire_with(&Wait::up_to(LIFETIME)).unwrap();
    assert_eq!(arena.env.calls(Call::MkDir).len() - before, 2);
    second.release().unwrap();
    first.release().unwrap();
    assert!(free(&arena));
}
