//! The bell, and hints: which waiter is to be the next holder on a shared file system, and how it learns of a release.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::faults::{Arena, BOTH, Call, Fate, FaultyEnv, When, sent_again};
use super::plain::{Plain, at};
use crate::env::Env;
use crate::env::os::OsEnv;
use crate::hint::Ear;
use crate::{Builder, Cancel, Guard, Lock, Protocol, Wait, Wake};

const PORT: u16 = 4711;

fn bell(arena: &Arena) -> PathBuf {
    arena.dir.path().join("job.lock|bell")
}

fn text(path: &Path) -> String {
    OsEnv.read_symlink(&at(path)).unwrap().into_string().unwrap()
}

fn symlink(text: impl AsRef<OsStr>, path: impl AsRef<Path>) -> io::Result<()> {
    OsEnv.symlink(text.as_ref(), &at(&path))
}

fn lock(arena: &Arena, builder: Builder) -> Lock {
    builder.build_in(arena.env.clone()).unwrap()
}

/// Lets the contender wait, does this before the nth of its pauses, counted from 1, and releases the lock that it acquires.
fn waits(arena: &Arena, lock: &Lock, wait: &Wait, mut at_pause: impl FnMut(&FaultyEnv, u32) + Send + 'static) -> bool {
    let mut pauses = 0;
    arena.env.on_call(move |env, call, when, _| {
        if (call, when) == (Call::Wait, When::Before) {
            pauses += 1;
            at_pause(env, pauses);
        }
        Fate::GoOn
    });
    let acquired = lock.acquire_with(wait);
    arena.env.on_call(|_, _, _, _| Fate::GoOn);
    acquired.map(|guard| guard.release().unwrap()).is_ok()
}

fn release_at(pause: u32, held: Guard) -> impl FnMut(&FaultyEnv, u32) + Send + 'static {
    let mut held = Some(held);
    move |_, n| {
        if n == pause {
            held.take().unwrap().release().unwrap();
        }
    }
}

#[test]
fn a_waiter_hangs_a_bell_that_names_its_claim_and_takes_it_down_when_it_has_the_lock() {
    for protocol in BOTH {
        let arena = Arena::new();
        let mut release = release_at(3, arena.rival(protocol).acquire());
        let (path, seen) = (bell(&arena), Arc::new(Mutex::new(Vec::new())));
        let known = Arc::clone(&seen);
        let acquired = waits(&arena, &arena.lock(protocol), &Wait::forever(), move |env, n| {
            known.lock().unwrap().push(text(&path));
            release(env, n);
        });
        assert!(acquired);
        let seen = seen.lock().unwrap();
        assert!(seen.iter().all(|text| text == &seen[0] && text.starts_with("job.lock|")), "{seen:?}");
        assert_eq!(arena.names(), [""; 0]);
    }
}

#[test]
fn a_waiter_that_gives_up_or_is_cancelled_takes_its_bell_down() {
    let arena = Arena::new();
    let _held = arena.rival(Protocol::Link).acquire();
    let before = arena.names();
    assert!(!waits(&arena, &arena.lock(Protocol::Link), &Wait::up_to(Duration::from_secs(5)), |_, _| {}));
    assert_eq!(arena.names(), before, "it gave up");
    let cancel = Cancel::new().unwrap();
    let wait = Wait::forever().cancelled_by(&cancel);
    assert!(!waits(&arena, &arena.lock(Protocol::Link), &wait, move |_, _| cancel.cancel()));
    assert_eq!(arena.names(), before, "it was cancelled");
    assert!(arena.lock(Protocol::Link).try_acquire().unwrap().is_none());
    assert_eq!(arena.env.calls(Call::Symlink).len(), 2, "one try hangs none");
}

/// A release between the last look and the bell would be heard by nobody.
#[test]
fn the_lock_is_looked_at_again_once_the_bell_hangs() {
    let arena = Arena::new();
    let held = arena.rival(Protocol::Link).acquire();
    arena.env.once(Call::Symlink, When::After, move |_, _| {
        held.release().unwrap();
        Fate::GoOn
    });
    arena.lock(Protocol::Link).acquire().unwrap().release().unwrap();
    assert_eq!(arena.env.calls(Call::Wait).len(), 0, "it did not pause");
    assert_eq!(arena.names(), [""; 0]);
}

/// How long the pauses of a waiter last, in a minute in which the lock is held.
fn pauses_of_a_minute(arena: &Arena) -> Vec<Duration> {
    let began = Arc::new(Mutex::new(Vec::new()));
    let known = Arc::clone(&began);
    let wait = Wait::up_to(Duration::from_secs(60));
    waits(arena, &arena.lock(Protocol::Link), &wait, move |env, _| known.lock().unwrap().push(env.now()));
    let began = began.lock().unwrap();
    began.windows(2).map(|two| two[1].since(two[0])).collect()
}

/// A short hold is followed by a short pause, and a long one by pauses as usual.
#[test]
fn the_owner_of_the_bell_looks_often_at_first_and_others_as_usual() {
    let arena = Arena::new();
    let _held = arena.rival(Protocol::Link).acquire();
    let owners = pauses_of_a_minute(&arena);
    assert!(owners[0] < Duration::from_millis(50), "{owners:?}");
    assert!(owners.iter().all(|pause| *pause < Duration::from_millis(2100)), "{owners:?}");
    assert!((55..85).contains(&owners.len()), "{} looks: {owners:?}", owners.len());
    symlink("job.lock|elsewhere|1|7", bell(&arena)).unwrap();
    let others = pauses_of_a_minute(&arena);
    assert!(others.iter().all(|pause| *pause > Duration::from_secs(1)), "{others:?}");
}

/// Where it is not known whose clock stamps files, it is watched for its lifetime.
#[test]
fn anothers_bell_stays_until_it_is_abandoned() {
    for (clock_is_known, age_s) in [(true, 0), (true, 70), (false, 70)] {
        let arena = Arena::new();
        arena.env.stamps_are_not_known.store(!clock_is_known, Ordering::SeqCst);
        let _held = lock(&arena, arena.builder(Protocol::Link).lifetime(Duration::from_secs(600))).acquire();
        let anothers = "job.lock|elsewhere|1|7";
        symlink(anothers, bell(&arena)).unwrap();
        arena.env.sleep(Duration::from_secs(age_s));
        let (path, stayed) = (bell(&arena), Arc::new(Mutex::new(Duration::ZERO)));
        let known = Arc::clone(&stayed);
        let began = arena.env.now();
        waits(&arena, &arena.lock(Protocol::Link), &Wait::up_to(Duration::from_secs(150)), move |env, _| {
            if text(&path) == anothers {
                *known.lock().unwrap() = env.now().since(began);
            }
        });
        let stayed = stayed.lock().unwrap().as_secs();
        let expected = if clock_is_known && age_s > 60 { 0..1 } else { 55..130 };
        assert!(expected.contains(&stayed), "{clock_is_known}, {age_s} s old: {stayed} s");
    }
}

#[test]
fn a_bell_is_renewed_and_does_not_go_while_its_owner_waits() {
    let arena = Arena::new();
    let _held = lock(&arena, arena.builder(Protocol::Link).lifetime(Duration::from_secs(600))).acquire();
    let path = bell(&arena);
    let wait = Wait::up_to(Duration::from_secs(150));
    waits(&arena, &arena.lock(Protocol::Link), &wait, move |_, _| drop(text(&path)));
    assert_eq!(arena.env.calls(Call::Symlink).len(), 1);
    let renewed = arena.env.calls(Call::Touch).into_iter().filter(|path| *path == bell(&arena)).count();
    assert!((5..=8).contains(&renewed), "{renewed} times");
}

#[test]
fn a_bell_whose_owner_was_stopped_for_longer_than_it_lasts_is_taken_down_if_it_still_is_the_owners() {
    for is_replaced in [false, true] {
        let arena = Arena::new();
        let held = lock(&arena, arena.builder(Protocol::Link).lifetime(Duration::from_secs(600))).acquire().unwrap();
        let (path, mut release) = (bell(&arena), release_at(2, held));
        let acquired = waits(&arena, &arena.lock(Protocol::Link), &Wait::forever(), move |env, pause| {
            if pause == 2 {
                env.sleep(Duration::from_secs(120));
                if is_replaced {
                    Plain.unlink(&path).unwrap();
                    symlink("job.lock|elsewhere|1|7", &path).unwrap();
                }
            }
            release(env, pause);
        });
        assert!(acquired);
        assert_eq!(arena.names(), vec!["job.lock|bell"; usize::from(is_replaced)]);
    }
}

#[test]
fn a_bell_is_ours_if_the_reply_was_lost() {
    let arena = Arena::new();
    let held = arena.rival(Protocol::Link).acquire();
    let (mut release, mut pauses) = (release_at(2, held), 0);
    arena.env.on_call(move |env, call, when, _| {
        match (call, when) {
            (Call::Symlink, When::After) => return sent_again(env, io::ErrorKind::AlreadyExists),
            (Call::Wait, When::Before) => {
                pauses += 1;
                release(env, pauses);
            }
            _ => {}
        }
        Fate::GoOn
    });
    arena.lock(Protocol::Link).acquire().unwrap().release().unwrap();
    assert_eq!(arena.env.calls(Call::Wait).len(), 2);
    assert_eq!(arena.names(), [""; 0]);
}

#[test]
fn what_is_no_bell_stays_and_does_no_harm() {
    type Make = fn(&Path);
    let others: [Make; 3] = [
        |path| {
            Plain.create(path, b"mine").unwrap();
        },
        |path| Plain.mkdir(path).unwrap(),
        |path| symlink("mine", path).unwrap(),
    ];
    for make in others {
        let arena = Arena::new();
        make(&bell(&arena));
        let held = lock(&arena, arena.builder(Protocol::Link).wake(Wake::Udp)).acquire().unwrap();
        let acquired = waits(&arena, &arena.lock(Protocol::Link), &Wait::forever(), release_at(2, held));
        assert!(acquired);
        assert_eq!(arena.names(), ["job.lock|bell"]);
        assert_eq!(*arena.env.hints.lock().unwrap(), []);
    }
}

#[test]
fn whoever_releases_sends_a_hint_to_the_owner_of_the_bell_if_both_want_it() {
    for protocol in BOTH {
        for (releases, waiter, hinted) in
            [(Wake::Udp, Wake::Udp, true), (Wake::Udp, Wake::Poll, false), (Wake::Poll, Wake::Udp, false)]
        {
            let arena = Arena::new();
            arena.env.port.store(PORT, Ordering::SeqCst);
            let held = lock(&arena, arena.builder(protocol).wake(releases)).acquire().unwrap();
            let mut release = release_at(2, held);
            let (path, said) = (bell(&arena), Arc::new(Mutex::new(None)));
            let known = Arc::clone(&said);
            let waiting = lock(&arena, arena.builder(protocol).wake(waiter));
            assert!(waits(&arena, &waiting, &Wait::forever(), move |env, n| {
                if n == 1 {
                    *known.lock().unwrap() = Some(text(&path));
                }
                release(env, n);
            }));
            let said = said.lock().unwrap().clone().unwrap();
            let ear = said.split_once('/').map(|(_, ear)| Ear::parse(ear).unwrap());
            assert_eq!(ear.is_some(), waiter == Wake::Udp, "{said}");
            // Then the waiter releases, and nobody waits.
            let hints = arena.env.hints.lock().unwrap();
            assert_eq!(*hints, ear.filter(|_| hinted).into_iter().collect::<Vec<_>>(), "{protocol}");
            assert_eq!(arena.names(), [""; 0]);
        }
    }
}

#[test]
fn in_a_queue_each_is_told_by_the_one_before_it_and_the_bell_is_the_firsts() {
    let arena = Arena::new();
    arena.env.port.store(PORT, Ordering::SeqCst);
    let udp = || lock(&arena, arena.builder(Protocol::Link).queue(true).wake(Wake::Udp));
    let held = udp().acquire().unwrap();
    let queue = arena.dir.path().join("job.lock|queue");
    let links = move || Plain.list(&queue).unwrap();
    // The second comes while the first waits, and gives up.
    let second = udp();
    let (mut held, mut second, path) = (Some(held), Some(second), bell(&arena));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let known = Arc::clone(&seen);
    let first = udp();
    let acquired = waits(&arena, &first, &Wait::forever(), move |_, n| match n {
        1 => {
            let second = second.take().unwrap();
            let timed_out = second.acquire_with(&Wait::up_to(Duration::from_secs(3)));
            assert!(timed_out.unwrap_err().is_timeout());
        }
        2 => {
            *known.lock().unwrap() = links();
            assert!(text(&path).contains(":4711/"));
            held.take().unwrap().release().unwrap();
        }
        _ => {}
    });
    assert!(acquired);
    assert_eq!(seen.lock().unwrap().len(), 1, "the second took its ticket and its link with it: {seen:?}");
    let called = arena.env.calls(Call::Symlink);
    assert!(called.iter().any(|path| path.to_str().unwrap().ends_with(".next")), "{called:?}");
    assert_eq!(arena.env.hints.lock().unwrap().len(), 1, "of the release, to the first");
    assert_eq!(arena.names(), [""; 0]);
}

#[test]
fn without_hints_a_queue_has_no_bell() {
    let arena = Arena::new();
    let held = arena.rival(Protocol::Link).acquire();
    let queued = lock(&arena, arena.builder(Protocol::Link).queue(true));
    assert!(waits(&arena, &queued, &Wait::forever(), release_at(3, held)));
    assert_eq!(arena.env.calls(Call::Symlink).len(), 0);
}

#[test]
fn an_old_bell_is_a_leftover_and_a_link_of_somebody_elses_is_none() {
    let arena = Arena::new();
    let lock = arena.lock(Protocol::Link);
    let queue = arena.dir.path().join("job.lock|queue");
    Plain.mkdir(&queue).unwrap();
    let claim = |nonce: u32| format!("job.lock|elsewhere|1|{nonce}");
    symlink(format!("{}/192.0.2.7:4000/00000000000000ab", claim(7)), bell(&arena)).unwrap();
    let next = queue.join(format!("{:020}{}.next", 5, claim(8)));
    symlink(claim(9), &next).unwrap();
    let kept = lock.clean(lock.leftovers().unwrap()).unwrap();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(
        kept.iter().all(|left| left.kind == crate::LeftoverKind::Bell && left.host.as_deref() == Some("elsewhere")),
        "{kept:?}"
    );
    arena.env.sleep(Duration::from_secs(25 * 3600));
    lock.clean(lock.leftovers().unwrap()).unwrap();
    assert_eq!(arena.names(), [""; 0]);
    symlink("mine", bell(&arena)).unwrap();
    lock.clean(lock.leftovers().unwrap()).unwrap();
    assert_eq!(arena.names(), ["job.lock|bell"]);
}
