//! What killed contenders left beside a lock path: what goes, when, and what never does.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::breaking::{end, other_process};
use super::faults::{Arena, BOTH, Call, Fate, GRACE, LIFETIME, When};
use super::plain::{Plain, at};
use crate::claim::Claim;
use crate::env::Env;
use crate::env::os::OsEnv;
use crate::lease::Anchor;
use crate::names::bytes_of;
use crate::protocol::place::Place;
use crate::protocol::queue::Ticket;
use crate::protocol::stake::{Attempt, Stake};
use crate::protocol::{leftovers, steps};
use crate::{ErrorKind, LeftoverKind, LeftoverVerdict, Lock, OnBehalfOf, Printable, Protocol, SEPARATOR, Wait, Which};

const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

impl Arena {
    /// How a contender of another machine, or of this one, has the lock.
    fn place(&self, protocol: Protocol, host: Option<&str>) -> Place {
        let builder = self.builder(protocol);
        let builder = if let Some(host) = host { builder.host(host) } else { builder };
        builder.build_in(self.env.clone()).unwrap().place().clone()
    }

    /// The claim of a contender that waits.
    fn waits(&self, place: &Place) -> Stake {
        steps::stage(place).unwrap()
    }

    fn has(&self, stake: &Stake) -> bool {
        self.has_name(&stake.claim.token.to_string())
    }

    fn has_name(&self, name: &str) -> bool {
        self.names().iter().any(|there| there == name)
    }

    /// What is told of the one thing with this name.
    fn verdict(&self, name: &str) -> LeftoverVerdict {
        let told = self.lock(Protocol::Link).leftovers().unwrap();
        let found = told.into_iter().find(|told| told.path.file_name().unwrap() == name);
        found.unwrap_or_else(|| panic!("{name} is not told of")).verdict
    }

    /// Removes all that may go, and gives the names of it.
    fn clean(&self) -> Vec<String> {
        let lock = self.lock(Protocol::Link);
        let done = lock.clean(lock.leftovers().unwrap()).unwrap();
        let removed = done.into_iter().filter(|done| matches!(done.verdict, LeftoverVerdict::Removed));
        removed.map(|done| done.path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    /// A lock that is over, and breaks it.
    fn break_a_lock(&self, protocol: Protocol) {
        self.rival(protocol).acquire().leave();
        self.env.sleep(LIFETIME + GRACE + Duration::from_secs(3));
        self.lock(protocol).acquire_with(&Wait::never()).unwrap().release().unwrap();
    }
}

/// The bug: nothing ever looked at a claim's expiry. The consequence: what a machine left that is no more stayed for ever. The
/// mend: it goes at a break, a day after its expiry.
#[test]
fn a_break_removes_what_another_machine_left_long_ago_and_keeps_what_is_recent() {
    for (protocol, of) in BOTH.into_iter().flat_map(|one| BOTH.map(|other| (one, other))) {
        let arena = Arena::new();
        let place = arena.place(of, Some("elsewhere"));
        let old = arena.waits(&place);
        arena.env.sleep(2 * HOUR);
        let recent = arena.waits(&place);
        arena.env.sleep(DAY - HOUR);
        arena.break_a_lock(protocol);
        assert!(!arena.has(&old), "{protocol}, {of}: expired a day and an hour ago");
        assert!(arena.has(&recent), "{protocol}, {of}: expired 23 h ago");
        assert_eq!(arena.names().len(), 1, "{protocol}, {of}: {:?}", arena.names());
    }
}

#[test]
fn a_claim_is_kept_for_ten_of_its_own_lifetimes() {
    for protocol in BOTH {
        let arena = Arena::new();
        let place = Place { lifetime: 10 * DAY, ..arena.place(protocol, Some("elsewhere")) };
        let waits = arena.waits(&place);
        arena.env.sleep(105 * DAY);
        assert!(arena.clean().is_empty(), "{protocol}");
        assert!(matches!(arena.verdict(&waits.claim.token.to_string()), LeftoverVerdict::Recent { .. }), "{protocol}");
        arena.env.sleep(10 * DAY);
        assert_eq!(arena.clean(), [waits.claim.token.to_string()], "{protocol}");
    }
}

/// Whether a process of this machine lives needs no clock.
#[test]
fn a_live_waiters_claim_stays_and_a_dead_ones_goes_however_old_they_are() {
    for protocol in BOTH {
        let arena = Arena::new();
        let own = arena.waits(&arena.place(protocol, None));
        let ended = other_process();
        let place = Place { on_behalf_of: OnBehalfOf::Process(ended.id()), ..arena.place(protocol, None) };
        let dead = arena.waits(&place);
        arena.break_a_lock(protocol);
        assert!(arena.has(&own) && arena.has(&dead), "{protocol}: both live");
        end(ended);
        arena.env.sleep(3 * DAY);
        arena.break_a_lock(protocol);
        assert!(arena.has(&own), "{protocol}: it lives");
        assert!(!arena.has(&dead), "{protocol}: it does not");
        assert!(matches!(arena.verdict(&own.claim.token.to_string()), LeftoverVerdict::Alive), "{protocol}");
    }
}

/// The bug: a break that found the lock free swept nothing. The consequence: waiters that were killed beside a lock that is
/// always released in order left their claims for ever, through breaks too. The mend: an operator's break sweeps either way.
#[test]
fn a_break_of_a_free_lock_removes_what_is_left_beside_it() {
    for (protocol, which) in BOTH.into_iter().flat_map(|one| [(one, Which::Any), (one, Which::Expired)]) {
        let arena = Arena::new();
        let ended = other_process();
        let place = Place { on_behalf_of: OnBehalfOf::Process(ended.id()), ..arena.place(protocol, None) };
        arena.waits(&place);
        arena.waits(&arena.place(protocol, Some("elsewhere")));
        end(ended);
        arena.env.sleep(2 * DAY);
        assert!(arena.lock(protocol).break_lock(&which).unwrap().is_none(), "{protocol}: it is free");
        assert_eq!(arena.names(), [""; 0], "{protocol}: {:?}", arena.lock(protocol).leftovers());
    }
}

/// The bug: a directory that was reached by a symbolic link could not be listed. The consequence: nothing was ever swept there,
/// as in /var/lock, which is one. The mend: what the user has named is followed; names in it never are.
#[cfg(unix)]
#[test]
fn what_is_left_in_a_directory_behind_a_symbolic_link_goes_too() {
    let arena = Arena::new();
    arena.waits(&arena.place(Protocol::Link, Some("elsewhere")));
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(arena.dir.path(), &link).unwrap();
    arena.env.sleep(2 * DAY);
    assert_eq!(Lock::paths_in(&link, SEPARATOR).unwrap(), [link.join("job.lock")]);
    let lock = Lock::builder(link.join("job.lock")).build_in(arena.env.clone()).unwrap();
    lock.break_lock(&Which::Any).unwrap();
    assert_eq!(arena.names(), [""; 0]);
}

#[cfg(unix)] // Elsewhere a release that crashed can't be told from a user's directory.
#[test]
fn whoever_clears_what_a_crash_left_at_the_lock_path_removes_what_is_beside_it() {
    for (protocol, slept, left) in BOTH.into_iter().flat_map(|one| [(one, HOUR, 0), (one, Duration::ZERO, 1)]) {
        let arena = Arena::new();
        arena.waits(&arena.place(protocol, Some("elsewhere")));
        arena.env.sleep(2 * DAY);
        Plain.mkdir(&arena.path()).unwrap();
        Plain.chmod(&arena.path(), 0o1755).unwrap();
        arena.env.sleep(slept);
        arena.lock(protocol).acquire_with(&Wait::never()).unwrap().release().unwrap();
        assert_eq!(arena.names().len(), left, "{protocol}: a release that is about to end is no crash");
    }
}

/// The breaker of a lock that many wait for, on other machines, is not kept by its sweep.
#[test]
fn one_sweep_looks_at_some_of_many_claims_and_the_next_ones_at_the_others() {
    let arena = Arena::new();
    let place = arena.place(Protocol::Link, Some("elsewhere"));
    let anchor = [(); 100].map(|()| arena.waits(&place).anchor).last().copied();
    arena.env.sleep(2 * DAY);
    leftovers::sweep(arena.lock(Protocol::Link).place(), || anchor);
    assert_eq!(arena.names().len(), 36);
    let old = arena.names();
    // One that comes after all of those that wait, whose claims are looked at too.
    let late = Place { host: "z".into(), ..place.clone() };
    let late = arena.waits(&late);
    arena.env.sleep(2 * DAY);
    let anchor = [(); 100].map(|()| arena.waits(&place).anchor).last().copied();
    for _ in 0..200 {
        leftovers::sweep(arena.lock(Protocol::Link).place(), || anchor);
    }
    assert!(!arena.has(&late), "each has its turn");
    assert!(!old.iter().any(|name| arena.has_name(name)));
    assert_eq!(arena.names().len(), 100);
}

#[test]
fn the_claim_at_the_lock_path_stays_whatever_its_age_and_whoever_has_ended() {
    for protocol in BOTH {
        let arena = Arena::new();
        let ended = other_process();
        let builder = arena.builder(protocol).on_behalf_of(OnBehalfOf::Process(ended.id()));
        builder.build_in(arena.env.clone()).unwrap().acquire().unwrap().leave();
        end(ended);
        arena.env.sleep(1000 * DAY);
        let before = arena.names();
        assert!(arena.clean().is_empty(), "{protocol}");
        leftovers::sweep(arena.lock(protocol).place(), || None);
        assert_eq!(arena.names(), before, "{protocol}");
        if protocol == Protocol::Link {
            let claim = before.iter().find(|name| *name != "job.lock").unwrap();
            assert!(matches!(arena.verdict(claim), LeftoverVerdict::Held));
        }
    }
}

/// Two holders are not at stake: but the holder would lose its lock.
#[test]
fn a_claim_that_came_to_the_lock_path_after_it_was_judged_stays() {
    let arena = Arena::new();
    let old = arena.waits(&arena.place(Protocol::Link, Some("elsewhere")));
    arena.env.sleep(2 * DAY);
    let (claim, path) = (arena.dir.path().join(old.claim.token.as_os_str()), arena.path());
    let at = claim.clone();
    arena.env.on_call(move |_, call, when, looked_at| {
        if (call, when) == (Call::Stat, When::After) && looked_at == at {
            let _ = Plain.link(&at, &path);
        }
        Fate::GoOn
    });
    let lock = arena.lock(Protocol::Link);
    let told = lock.leftovers().unwrap();
    assert!(matches!(told[0].verdict, LeftoverVerdict::Held), "{told:?}");
    Plain.unlink(&arena.path()).unwrap();
    arena.env.on_call(|_, _, _, _| Fate::GoOn);
    let told = lock.leftovers().unwrap();
    assert!(matches!(told[0].verdict, LeftoverVerdict::FarPast), "{told:?}");
    let (at, path) = (claim.clone(), arena.path());
    arena.env.on_call(move |_, call, when, looked_at| {
        if (call, when) == (Call::Stat, When::After) && looked_at == at {
            let _ = Plain.link(&at, &path);
        }
        Fate::GoOn
    });
    let done = lock.clean(told).unwrap();
    assert!(matches!(done[0].verdict, LeftoverVerdict::Held), "{done:?}");
    assert!(arena.has(&old));
}

/// Two holders are at stake on NFS: an unlink of a claim's entry, by a client that knows the claim's directory, reaches the entry
/// in the lock path too once the directory was moved there. So no claim may come there once others may remove it.
#[test]
fn an_owner_that_has_left_its_claim_alone_for_half_a_day_makes_another() {
    for protocol in BOTH {
        let arena = Arena::new();
        let place = arena.place(protocol, Some("elsewhere"));
        let attempt = |stake: &mut Stake| steps::attempt(&place, stake).unwrap();
        let held = arena.rival(protocol).acquire();
        let mut waits = arena.waits(&place);
        assert_eq!(attempt(&mut waits), Attempt::Failed, "{protocol}");
        arena.env.sleep(11 * HOUR);
        assert_eq!(attempt(&mut waits), Attempt::Failed, "{protocol}: it is not old yet");
        arena.env.sleep(13 * HOUR);
        arena.lock(protocol).break_lock(&Which::Any).unwrap();
        drop(held);
        assert_eq!(attempt(&mut waits), Attempt::Void, "{protocol}");
    }
}

#[test]
fn a_waiter_whose_claim_was_removed_makes_another_and_gets_the_lock() {
    for protocol in BOTH {
        let arena = Arena::new();
        arena.rival(protocol).acquire().leave();
        let dir = arena.dir.path().to_owned();
        let (mut cleaned, path) = (None, arena.path());
        arena.env.on_call(move |env, call, when, _| {
            if (call, when) == (Call::Wait, When::Before) && cleaned.is_none() {
                env.sleep(3 * DAY);
                let lock = Lock::builder(&path).host("cleaner").build_in(env.this()).unwrap();
                cleaned = Some(lock.clean(lock.leftovers().unwrap()).unwrap());
                let done = cleaned.iter().flatten();
                let removed = done.filter(|done| matches!(done.verdict, LeftoverVerdict::Removed)).count();
                assert_eq!(removed, 1, "the waiter's, in {:?}: {cleaned:?}", Plain.list(&dir));
            }
            Fate::GoOn
        });
        let guard = arena.lock(protocol).acquire_with(&Wait::up_to(30 * DAY)).unwrap();
        assert_eq!(arena.holder(), Some(guard.token().to_string()), "{protocol}");
        guard.release().unwrap();
        assert_eq!(arena.names(), [""; 0], "{protocol}");
    }
}

/// No wall clock decides what is removed.
#[test]
fn what_is_far_past_by_this_machines_clock_alone_stays() {
    let arena = Arena::new();
    let waits = arena.waits(&arena.place(Protocol::Link, Some("elsewhere")));
    let stood_still = Anchor::new(waits.lease.expiry + (DAY - HOUR), arena.env.now(), arena.env.now() + 2 * DAY);
    arena.env.sleep(2 * DAY);
    let lock = arena.lock(Protocol::Link);
    let told = lock.leftovers().unwrap();
    assert!(matches!(told[0].verdict, LeftoverVerdict::FarPast), "{told:?}");
    let done = leftovers::clean(lock.place(), told, || Ok(stood_still)).unwrap();
    assert!(matches!(done[0].verdict, LeftoverVerdict::Recent { .. }), "{done:?}");
    assert!(arena.has(&waits));
}

#[test]
fn where_the_servers_clock_cannot_be_asked_only_the_dead_go() {
    let arena = Arena::new();
    let ended = other_process();
    let place = Place { on_behalf_of: OnBehalfOf::Process(ended.id()), ..arena.place(Protocol::Link, None) };
    let dead = arena.waits(&place);
    end(ended);
    let waits = arena.waits(&arena.place(Protocol::Link, Some("elsewhere")));
    arena.env.sleep(2 * DAY);
    arena.env.on_call(|_, call, when, _| match (call, when) {
        (Call::Create, When::Before) => Fate::Fail(io::ErrorKind::StorageFull),
        _ => Fate::GoOn,
    });
    let lock = arena.lock(Protocol::Link);
    let done = lock.clean(lock.leftovers().unwrap()).unwrap();
    assert!(arena.has(&waits) && !arena.has(&dead), "{done:?}");
    let failed = done.iter().find(|done| done.path.ends_with(waits.claim.token.as_os_str())).unwrap();
    let LeftoverVerdict::Failed(e) = &failed.verdict else { panic!("{failed:?}") };
    assert!(e.to_string().contains("clock cannot be asked"), "{e}");
}

#[test]
fn a_leftover_that_cannot_be_removed_is_an_error_that_names_it() {
    let arena = Arena::new();
    let waits = arena.waits(&arena.place(Protocol::Link, Some("elsewhere")));
    arena.env.sleep(2 * DAY);
    let lock = arena.lock(Protocol::Link);
    let told = lock.leftovers().unwrap();
    let name = waits.claim.token.as_os_str().to_owned();
    arena.env.on_call(move |_, call, when, path| match (call, when) {
        (Call::Unlink, When::Before) if path.ends_with(&name) => Fate::Fail(io::ErrorKind::PermissionDenied),
        _ => Fate::GoOn,
    });
    let done = lock.clean(told).unwrap();
    let LeftoverVerdict::Failed(e) = &done[0].verdict else { panic!("{done:?}") };
    assert_eq!((e.kind(), e.path()), (ErrorKind::Permission, Some(done[0].path.as_path())), "{e}");
}

/// A flufl.lock that waits fails if its claim is gone: that is for an operator to decide.
#[test]
fn a_peers_old_claim_stays_at_a_break_and_goes_when_an_operator_says_so() {
    let arena = Arena::new();
    let peers = here("job.lock|elsewhere|12|9223372036854775807");
    put_claim(&arena, &peers);
    arena.env.sleep(2 * DAY);
    arena.break_a_lock(Protocol::Link);
    assert_eq!(arena.names(), std::slice::from_ref(&peers));
    assert_eq!(arena.clean(), [peers]);
    assert_eq!(arena.names(), [""; 0]);
}

#[test]
fn tickets_and_the_break_lock_of_dead_and_of_long_gone_contenders_go() {
    for dead in [true, false] {
        let arena = Arena::new();
        let ended = other_process();
        let mut place = arena.place(Protocol::Link, (!dead).then_some("elsewhere"));
        if dead {
            place.on_behalf_of = OnBehalfOf::Process(ended.id());
        }
        let stake = arena.waits(&place);
        Ticket::draw(&place, &stake).unwrap().unwrap();
        let guard = Place { path: place.path.of_break_lock(), protocol: Protocol::Dir, ..place.clone() };
        let mut turn = arena.waits(&guard);
        assert_eq!(steps::attempt(&guard, &mut turn).unwrap(), Attempt::Won);
        arena.waits(&guard);
        let kinds = |arena: &Arena| {
            let told = arena.lock(Protocol::Link).leftovers().unwrap();
            let mut kinds: Vec<_> = told.iter().map(|told| told.kind.to_string()).collect();
            kinds.sort();
            kinds.dedup();
            kinds
        };
        assert_eq!(kinds(&arena), ["break lock", "claim", "claim of the break lock", "ticket"], "dead: {dead}");
        let before = arena.names();
        if dead {
            assert!(arena.clean().is_empty(), "it lives");
            assert_eq!(arena.names(), before);
        }
        end(ended);
        if !dead {
            arena.env.sleep(2 * DAY);
        }
        arena.lock(Protocol::Link).break_lock(&Which::Any).unwrap();
        assert_eq!(arena.names(), [""; 0], "dead: {dead}");
    }
}

#[test]
fn what_a_breaker_moved_aside_and_left_goes_after_its_own_day() {
    let arena = Arena::new();
    let place = arena.place(Protocol::Link, Some("elsewhere"));
    let broken = arena.waits(&place);
    arena.env.sleep(2 * DAY);
    let (claim, aside) = (place.path.beside(&broken.claim.token), arena.waits(&place));
    // Moved there by a breaker, just now.
    let aside = place.path.beside(&aside.claim.token);
    Plain.unlink(&aside).unwrap();
    Plain.rename(&claim, &aside).unwrap();
    Plain.chmod(&aside, 0o644).unwrap(); // Not every file system sees a rename as a change.
    assert!(arena.clean().is_empty(), "its breaker may be at it");
    arena.env.sleep(2 * DAY);
    let told = arena.lock(Protocol::Link).leftovers().unwrap();
    assert_eq!(told[0].kind, LeftoverKind::BrokenClaim);
    assert_eq!(arena.clean().len(), 1);
}

/// The claim of a process that has ended, by every name and of every kind that is not ours.
#[test]
fn what_only_has_the_name_of_a_claim_stays() {
    let arena = Arena::new();
    let ended = other_process();
    let place = Place { on_behalf_of: OnBehalfOf::Process(ended.id()), ..arena.place(Protocol::Link, None) };
    let names: Vec<PathBuf> = (0..7).map(|_| fresh(&place)).collect();
    let name = |of: &Path| of.file_name().unwrap().to_owned();
    end(ended);
    let write = |path: &Path, content: &[u8]| Plain.create(path, content).unwrap();
    // A user's file.
    write(&names[0], b"my notes");
    // Longer than any path.
    write(&names[1], &[0; 9000]);
    // Directories with a stranger, with one more, with a directory.
    Plain.mkdir(&names[2]).unwrap();
    write(&names[2].join("x"), b"");
    Plain.mkdir(&names[3]).unwrap();
    write(&names[3].join(name(&names[3])), b"{}");
    write(&names[3].join("x"), b"");
    Plain.mkdir(&names[4]).unwrap();
    Plain.mkdir(&names[4].join(name(&names[4]))).unwrap();
    // The claim of another lock, and one of the break lock that is a file.
    write(&arena.dir.path().join(here("other|h|1|00000000000000000001")), b"");
    let guards = Place { path: place.path.of_break_lock(), ..place.clone() };
    let of_guard = guards.path.beside(&names_claim(&guards, &fresh_name(&names[5], "break")).token);
    write(of_guard.as_path(), b"");
    // The counter of fencing tokens, and what is no claim at all.
    Plain.mkdir(&arena.dir.path().join(here("job.lock|fence"))).unwrap();
    write(&arena.dir.path().join(here("job.lock|queue")), b"");
    write(&arena.dir.path().join(here("job.lock|x|y|z")), b"");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&names[0], &names[6]).unwrap();
    }
    let before = arena.names();
    let entries = |path: &Path| Plain.list(path).unwrap().len();
    assert!(arena.clean().is_empty());
    leftovers::sweep(arena.lock(Protocol::Link).place(), || None);
    assert_eq!(arena.names(), before);
    assert_eq!([2, 3, 4].map(|n: usize| entries(&names[n])), [1, 2, 1]);
    for told in arena.lock(Protocol::Link).leftovers().unwrap() {
        assert!(matches!(told.verdict, LeftoverVerdict::NotAClaim(_)), "{told:?}");
    }
}

/// A claim's name is trimmed where it is read from a claim's content: that is another file's.
#[cfg(unix)]
#[test]
fn a_name_with_a_blank_is_not_that_of_the_claim() {
    let arena = Arena::new();
    let ended = other_process();
    let place = Place { on_behalf_of: OnBehalfOf::Process(ended.id()), ..arena.place(Protocol::Link, None) };
    let dead = arena.waits(&place).claim.token.to_string();
    end(ended);
    let other = format!("{dead} ");
    Plain.create(&arena.dir.path().join(&other), b"").unwrap();
    assert_eq!(arena.lock(Protocol::Link).leftovers().unwrap().len(), 1);
    assert_eq!(arena.clean(), [dead]);
    assert_eq!(arena.names(), [other]);
}

#[test]
fn what_a_crash_left_empty_goes() {
    for content in [&b""[..], &[0; 60]] {
        let arena = Arena::new();
        let ended = other_process();
        let place = Place { on_behalf_of: OnBehalfOf::Process(ended.id()), ..arena.place(Protocol::Link, None) };
        let (file, dir) = (fresh(&place), fresh(&place));
        end(ended);
        Plain.create(&file, content).unwrap();
        Plain.mkdir(&dir).unwrap();
        for empty in ["job.lock|queue", "job.lock|break"] {
            Plain.mkdir(&arena.dir.path().join(here(empty))).unwrap();
        }
        assert_eq!(arena.clean().len(), 4);
        assert_eq!(arena.names(), [""; 0]);
    }
}

#[test]
fn the_locks_of_a_directory_are_told_by_the_names_in_it() {
    let arena = Arena::new();
    let dir = arena.dir.path();
    for name in ["b|h|1|2", "a|h|1|00000000000000000002", "a|h|1|3", "c|h|x|2", "d", "e|fence", "|h|1|2"] {
        Plain.create(&dir.join(here(name)), b"").unwrap();
    }
    for (of, entry) in [
        ("f|break", "f|break|h|1|00000000000000000002"),
        ("g|queue", "00000000000000000001g|h|1|2"),
        ("notes|queue", "monday"),
        ("notes|break", "monday"),
    ] {
        Plain.mkdir(&dir.join(here(of))).unwrap();
        Plain.create(&dir.join(here(of)).join(here(entry)), b"").unwrap();
    }
    let paths = Lock::paths_in(dir, SEPARATOR).unwrap();
    assert_eq!(paths, ["a", "b", "f", "g"].map(|name| dir.join(name)));
    assert_eq!(Lock::paths_in(dir, '~').unwrap(), [""; 0].map(PathBuf::from));
    let e = Lock::paths_in(dir.join("none"), SEPARATOR).unwrap_err();
    assert!(e.kind() == ErrorKind::Io && e.to_string().contains("no such directory"), "{e}");
}

#[test]
fn a_verdict_is_one_line_and_commands_no_terminal() {
    let forged = "a\nb\x1b[2J\u{9b}\u{202e}";
    for verdict in [LeftoverVerdict::NotAClaim(forged.into()), LeftoverVerdict::Unreadable(forged.into())] {
        let told = verdict.to_string();
        assert!(told.contains("a\\nb\\u{1b}[2J") && !told.contains(Printable::escapes), "{told:?}");
    }
}

fn here(name: &str) -> String {
    name.replace('|', &SEPARATOR.to_string())
}

/// A claim's path that is not used.
fn fresh(place: &Place) -> PathBuf {
    let stake = steps::stage(place).unwrap();
    steps::withdraw(place, &stake.claim);
    place.path.beside(&stake.claim.token).as_path().to_owned()
}

/// The name of a claim of the lock's guard, by one of the lock.
fn fresh_name(claim: &Path, guard: &str) -> String {
    let name = claim.file_name().unwrap().to_str().unwrap();
    name.replacen(SEPARATOR, &here(&format!("|{guard}|")), 1)
}

fn names_claim(place: &Place, name: &str) -> Claim {
    place.path.parse(name.as_bytes()).unwrap()
}

/// As flufl.lock makes it, with an expiry soon.
fn put_claim(arena: &Arena, name: &str) {
    let path = arena.dir.path().join(name);
    let expiry = arena.env.wall_clock() + LIFETIME;
    OsEnv.create(&at(&path), bytes_of(&path), 0o644, &mut |_| Some(expiry)).unwrap();
}
