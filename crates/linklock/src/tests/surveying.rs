//! A list of all locks goes on, whatever is wrong with one of them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::faults::{Arena, BOTH, Call, Fate, When};
use super::plain::Plain;
use crate::env::Env;
use crate::env::os::OsEnv;
use crate::protocol::queue::Ticket;
use crate::protocol::steps;
use crate::{Error, Lock, SEPARATOR, Survey};

const HOUR: Duration = Duration::from_secs(3600);

/// Two locks of each protocol, one with a ticket, and a directory.
fn laid_out() -> Arena {
    let arena = Arena::new();
    for protocol in BOTH {
        for n in 1..=2 {
            let lock = Lock::builder(arena.path().with_file_name(format!("{protocol}{n}")));
            let lock = lock.protocol(protocol).lifetime(HOUR).queue(true).build_in(arena.env.clone()).unwrap();
            lock.acquire().unwrap().leave();
            if n == 1 {
                let waits = steps::stage(lock.place()).unwrap();
                Ticket::draw(lock.place(), &waits, arena.env.now()).unwrap().unwrap();
            }
        }
    }
    Plain.mkdir(&arena.path().with_file_name("below")).unwrap();
    arena
}

fn survey(arena: &Arena) -> Result<Survey, Error> {
    let env: Arc<dyn Env> = arena.env.clone();
    Lock::builder(arena.path().parent().unwrap()).survey_in(&env)
}

/// The locks, each with what is known of it.
fn told(survey: &Survey) -> Vec<(String, String)> {
    let name = |found: &crate::Surveyed| found.lock.path().file_name().unwrap().to_str().unwrap().to_owned();
    let state = |found: &crate::Surveyed| found.status.as_ref().map_or("error".into(), |seen| seen.state.to_string());
    let known = |found: &crate::Surveyed| format!("{}, {} wait", state(found), found.waiters.len());
    survey.locks.iter().map(|found| (name(found), known(found))).collect()
}

#[test]
fn a_fault_at_any_call_leaves_the_other_locks_listed() {
    let arena = laid_out();
    let calls = arena.env.calls_in_all();
    let (whole, calls) = (told(&survey(&arena).unwrap()), arena.env.calls_in_all() - calls);
    let names: Vec<_> = whole.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["dir1", "dir2", "link1", "link2"]);
    assert!(whole[0].1.ends_with("1 wait") && calls > 20, "{whole:?}, {calls} calls");
    let (mut failed, mut as_error) = (0, 0);
    for kind in [io::ErrorKind::Other, io::ErrorKind::PermissionDenied, io::ErrorKind::NotADirectory] {
        for nth in 0..calls {
            let count = AtomicUsize::new(0);
            arena.env.on_call(move |_, _, when, _| {
                match when == When::Before && count.fetch_add(1, Ordering::SeqCst) == nth {
                    true => Fate::Fail(kind),
                    false => Fate::GoOn,
                }
            });
            let at = format!("{kind}, call {nth}");
            match survey(&arena) {
                // The list itself, and the look whether names in it may be looked at.
                Err(e) => {
                    failed += 1;
                    assert!(nth < 2 && e.to_string().contains("the directory"), "{at}: {e}");
                }
                Ok(found) => {
                    let found = told(&found);
                    let differ = whole.iter().filter(|lock| !found.contains(lock)).count();
                    assert!(differ <= 1 && found.len() >= 4, "{at}: {found:?}");
                    as_error += usize::from(found.iter().any(|(_, known)| known.starts_with("error")));
                }
            }
            arena.env.on_call(|_, _, _, _| Fate::GoOn);
        }
    }
    assert_eq!(failed, 4, "the list by three errors, the look by one");
    assert!(as_error > 10, "{as_error}");
}

/// The bug: an error at the look by which a lock is known was taken for "not a lock". The consequence: on a bad disk, a lock was missing
/// from the list without a word.
#[test]
fn a_name_that_cannot_be_looked_at_is_listed_with_its_error() {
    for (kind, is_listed) in [(io::ErrorKind::Other, true), (io::ErrorKind::NotFound, false)] {
        let arena = laid_out();
        let at = arena.path().with_file_name("dir2");
        arena.env.on_call(move |_, call, when, path| match (call, when) {
            (Call::Stat, When::Before) if *path == at => Fate::Fail(kind),
            _ => Fate::GoOn,
        });
        let found = told(&survey(&arena).unwrap());
        let lock = found.iter().find(|(name, _)| name == "dir2");
        assert_eq!(lock.map(|(_, known)| known.as_str()), is_listed.then_some("error, 0 wait"), "{found:?}");
    }
}

/// The bug: to find the claim of a lock without content, the directory was listed, for each such lock.
#[test]
fn files_that_are_links_of_no_claim_have_the_directory_listed_only_so_often() {
    let arena = Arena::new();
    for n in 0..100 {
        let [one, other] = ["a", "b"].map(|name| arena.path().with_file_name(format!("{name}{n}")));
        Plain.create(&one, b"").unwrap();
        Plain.set_expiry(&one, OsEnv.wall_clock() + HOUR).unwrap();
        Plain.link(&one, &other).unwrap();
    }
    assert_eq!(survey(&arena).unwrap().locks.len(), 200);
    assert_eq!(arena.env.calls(Call::List).len(), 65);
}

/// Where reading is not to be done, as on NFS 4.0, names tell whose a link lock is. They are listed once for all locks, and once more for
/// a lock that has come since.
#[test]
fn the_directory_is_listed_once_for_all_locks_and_again_for_a_newer_one() {
    let arena = laid_out();
    let refuse = |arena: &Arena| {
        arena.env.on_call(|_, call, when, _| match (call, when) {
            (Call::Read, When::Before) => Fate::Fail(io::ErrorKind::Unsupported),
            _ => Fate::GoOn,
        });
    };
    refuse(&arena);
    let dir = arena.path().parent().unwrap().to_owned();
    let lists = || arena.env.calls(Call::List).into_iter().filter(|path| *path == dir).count();
    let before = lists();
    let found = survey(&arena).unwrap();
    assert_eq!(lists() - before, 1);
    let link = found.locks.iter().find(|found| found.lock.path().ends_with("link2")).unwrap();
    let of = |found: &crate::Surveyed| found.inspect_again().unwrap().holder.unwrap().token.to_string();
    let old = of(link);
    assert_eq!(lists() - before, 1, "the names are known");
    arena.env.on_call(|_, _, _, _| Fate::GoOn);
    let lock = Lock::builder(link.lock.path()).build_in(arena.env.clone()).unwrap();
    lock.break_lock(&crate::Which::Any).unwrap();
    let new = lock.acquire().unwrap().leave();
    refuse(&arena);
    let before = lists();
    assert_eq!((of(link), lists() - before), (new.to_string(), 1), "it was {old}");
    assert!(old.starts_with(&format!("link2{SEPARATOR}")));
}
