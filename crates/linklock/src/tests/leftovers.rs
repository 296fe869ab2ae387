//! What killed contenders leave beside a lock path: what is removed, when, and what always stays.

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
    /// The lock of a contender on another machine, or on this one.
    fn place(&self, protocol: Protocol, host: Option<&str>) -> Place {
        let builder = self.builder(protocol);
        let builder = if let Some(host) = host { builder.host(host) } else { builder };
        builder.build_in(self.env.clone()).unwrap().place().clone()
    }

    /// The claim of a contender that waits.
    fn staged(&self, place: &Place) -> Stake {
        steps::stage(place).unwrap()
    }

    fn has(&self, stake: &Stake) -> bool {
        self.has_name(&stake.claim.token.to_string())
    }

    fn has_name(&self, name: &str) -> bool {
        self.names().iter().any(|there| there == name)
    }

    /// The verdict on the one leftover with this name.
    fn verdict(&self, name: &str) -> LeftoverVerdict {
        let all = self.lock(Protocol::Link).leftovers().unwrap();
        let found = all.into_iter().find(|leftover| leftover.path.file_name().unwrap() == name);
        found.unwrap_or_else(|| panic!("{name} is not reported")).verdict
    }

    /// Removes all removable leftovers and returns their names.
    fn clean(&self) -> Vec<String> {
        let lock = self.lock(Protocol::Link);
        let done = lock.clean(lock.leftovers().unwrap()).unwrap();
        let removed = done.into_iter().filter(|done| matches!(done.verdict, LeftoverVerdict::Removed));
        removed.map(|done| done.path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    /// Leaves an expired lock and breaks it.
    fn break_a_lock(&self, protocol: Protocol) {
        self.rival(protocol).acquire().leave();
        self.env.sleep(LIFETIME + GRACE + Duration::from_secs(3));
        self.lock(protocol).acquire_with(&Wait::never()).unwrap().release().unwrap();
    }
}

/// The bug: no code ever looked at a claim's expiry. The consequence: the leftovers of a machine that no longer exists stayed
/// for ever. The mend: a break removes them a day after their expiry.
#[test]
fn a_break_removes_old_leftovers_of_another_machine_and_keeps_recent_ones() {
    for (protocol, of) in BOTH.into_iter().flat_map(|one| BOTH.map(|other| (one, other))) {
        let arena = Arena::new();
        let place = arena.place(of, Some("elsewhere"));
        let old = arena.staged(&place);
        arena.env.sleep(2 * HOUR);
        let recent = arena.staged(&place);
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
        let waits = arena.staged(&place);
        arena.env.sleep(105 * DAY);
        assert!(arena.clean().is_empty(), "{protocol}");
        assert!(matches!(arena.verdict(&waits.claim.token.to_string()), LeftoverVerdict::Recent { .. }), "{protocol}");
        arena.env.sleep(10 * DAY);
        assert_eq!(arena.clean(), [waits.claim.token.to_string()], "{protocol}");
    }
}

/// Whether a process of this machine lives does not depend on a clock.
#[test]
fn a_dead_waiters_claim_is_removed_and_a_live_ones_stays_at_any_age() {
    for protocol in BOTH {
        let arena = Arena::new();
        let own = arena.staged(&arena.place(protocol, None));
        let ended = other_process();
        let place = Place { on_behalf_of: OnBehalfOf::Process(ended.id()), ..arena.place(protocol, None) };
        let dead = arena.staged(&place);
        arena.break_a_lock(protocol);
        assert!(arena.has(&own) && arena.has(&dead), "{protocol}: both processes live");
        end(ended);
        arena.env.sleep(3 * DAY);
        arena.break_a_lock(protocol);
        assert!(arena.has(&own), "{protocol}: its process lives");
        assert!(!arena.has(&dead), "{protocol}: its process has ended");
        assert!(matches!(arena.verdict(&own.claim.token.to_string()), LeftoverVerdict::Alive), "{protocol}");
    }
}

/// The bug: a break that found the lock free removed no leftovers. The consequence: where a lock was always released in
/// order, the claims of killed waiters stayed for ever, even after breaks. The mend: an operator's break always sweeps.
#[test]
fn a_break_of_a_free_lock_removes_the_leftovers_beside_it() {
    for (protocol, which) in BOTH.into_iter().flat_map(|one| [(one, Which::Any), (one, Which::Expired)]) {
        let arena = Arena::new();
        let ended = other_process();
        let place = Place { on_behalf_of: OnBehalfOf::Process(ended.id()), ..arena.place(protocol, None) };
        arena.staged(&place);
        arena.staged(&arena.place(protocol, Some("elsewhere")));
        end(ended);
        arena.env.sleep(2 * DAY);
        assert!(arena.lock(protocol).break_lock(&which).unwrap().is_none(), "{protocol}: it is free");
        assert_eq!(arena.names(), [""; 0], "{protocol}: {:?}", arena.lock(protocol).leftovers());
    }
}

/// The bug: a directory could not be listed through a symbolic link. The consequence: no leftover was ever removed in a
/// directory such as /var/lock, which is such a link. The mend: links in the path that the user gave are followed, links
/// among the names in the directory never are.
#[cfg(unix)]
#[test]
fn leftovers_in_a_directory_behind_a_symbolic_link_are_removed_too() {
    let arena = Arena::new();
    arena.staged(&arena.place(Protocol::Link, Some("elsewhere")));
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(arena.dir.path(), &link).unwrap();
    arena.env.sleep(2 * DAY);
    assert_eq!(Lock::paths_in(&link, SEPARATOR).unwrap(), [link.join("job.lock")]);
    let lock = Lock::builder(link.join("job.lock")).build_in(arena.env.clone()).unwrap();
    lock.break_lock(&Which::Any).unwrap();
    assert_eq!(arena.names(), [""; 0]);
}

#[cfg(unix)] // Elsewhere a crashed release looks like a user's directory.
#[test]
fn clearing_the_lock_path_after_a_crash_removes_the_leftovers_beside_it() {
    for (protocol, slept, left) in BOTH.into_iter().flat_map(|one| [(one, HOUR, 0), (one, Duration::ZERO, 1)]) {
        let arena = Arena::new();
        arena.staged(&arena.place(protocol, Some("elsewhere")));
        arena.env.sleep(2 * DAY);
        Plain.mkdir(&arena.path()).unwrap();
        Plain.chmod(&arena.path(), 0o1755).unwrap();
        arena.env.sleep(slept);
        arena.lock(protocol).acquire_with(&Wait::never()).unwrap().release().unwrap();
        assert_eq!(arena.names().len(), left, "{protocol}: it may be a release that is about to end");
    }
}

/// Many may wait for the lock on other machines. The sweep must not delay the breaker.
#[test]
fn one_sweep_looks_at_some_of_many_claims_and_later_ones_at_the_rest() {
    let arena = Arena::new();
    let place = arena.place(Protocol::Link, Some("elsewhere"));
    let anchor = [(); 100].map(|()| arena.staged(&place).anchor).last().copied();
    arena.env.sleep(2 * DAY);
    leftovers::sweep(arena.lock(Protocol::Link).place(), || anchor);
    assert_eq!(arena.names().len(), 36);
    let old = arena.names();
    // A claim that was made after those of all waiters, which are looked at too.
    let late = Place { host: "z".into(), ..place.clone() };
    let late = arena.staged(&late);
    arena.env.sleep(2 * DAY);
    let anchor = [(); 100].map(|()| arena.staged(&place).anchor).last().copied();
    for _ in 0..200 {
        leftovers::sweep(arena.lock(Protocol::Link).place(), || anchor);
    }
    assert!(!arena.has(&late), "the sweep gets to each claim");
    assert!(!old.iter().any(|name| arena.has_name(name)));
    assert_eq!(arena.names().len(), 100);
}

#[test]
fn the_claim_at_the_lock_path_stays_at_any_age_even_if_its_process_has_ended() {
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

/// Without this, the holder would lose its lock. Two holders would not be possible.
#[test]
fn a_claim_that_reached_the_lock_path_after_its_verdict_stays() {
    let arena = Arena::new();
    let old = arena.staged(&arena.place(Protocol::Link, Some("elsewhere")));
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
    let left = lock.leftovers().unwrap();
    assert!(matches!(left[0].verdict, LeftoverVerdict::Held), "{left:?}");
    Plain.unlink(&arena.path()).unwrap();
    arena.env.on_call(|_, _, _, _| Fate::GoOn);
    let left = lock.leftovers().unwrap();
    assert!(matches!(left[0].verdict, LeftoverVerdict::FarPast), "{left:?}");
    let (at, path) = (claim.clone(), arena.path());
    arena.env.on_call(move |_, call, when, looked_at| {
        if (call, when) == (Call::Stat, When::After) && looked_at == at {
            let _ = Plain.link(&at, &path);
        }
        Fate::GoOn
    });
    let done = lock.clean(left).unwrap();
    assert!(matches!(done[0].verdict, LeftoverVerdict::Held), "{done:?}");
    assert!(arena.has(&old));
}

/// Without this, two holders would be possible on NFS: a client that knows the claim's directory may unlink the claim's
/// entry by an old name, and so reach the entry even after the directory was moved to the lock path. So a claim must not
/// come there once others may remove it.
#[test]
fn a_contender_that_did_not_use_its_claim_for_half_a_day_makes_another() {
    for protocol in BOTH {
        let arena = Arena::new();
        let place = arena.place(protocol, Some("elsewhere"));
        let attempt = |stake: &mut Stake| steps::attempt(&place, stake).unwrap();
        let held = arena.rival(protocol).acquire();
        let mut waits = arena.staged(&place);
        assert_eq!(attempt(&mut waits), Attempt::Failed, "{protocol}");
        arena.env.sleep(11 * HOUR);
        assert_eq!(attempt(&mut waits), Attempt::Failed, "{protocol}: it is not old enough");
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
                let claims = done.filter(|done| done.kind == LeftoverKind::Claim);
                let removed = claims.filter(|done| matches!(done.verdict, LeftoverVerdict::Removed)).count();
                assert_eq!(removed, 1, "the waiter's claim, in {:?}: {cleaned:?}", Plain.list(&dir));
            }
            Fate::GoOn
        });
        let guard = arena.lock(protocol).acquire_with(&Wait::up_to(30 * DAY)).unwrap();
        assert_eq!(arena.holder(), Some(guard.token().to_string()), "{protocol}");
        guard.release().unwrap();
        assert_eq!(arena.names(), [""; 0], "{protocol}");
    }
}

/// This machine's wall clock does not decide what is removed.
#[test]
fn a_claim_that_is_old_by_this_machines_clock_alone_stays() {
    let arena = Arena::new();
    let waits = arena.staged(&arena.place(Protocol::Link, Some("elsewhere")));
    let stood_still = Anchor::new(waits.lease.expiry + (DAY - HOUR), arena.env.now(), arena.env.now() + 2 * DAY);
    arena.env.sleep(2 * DAY);
    let lock = arena.lock(Protocol::Link);
    let left = lock.leftovers().unwrap();
    assert!(matches!(left[0].verdict, LeftoverVerdict::FarPast), "{left:?}");
    let done = leftovers::clean(lock.place(), left, || Ok(stood_still)).unwrap();
    assert!(matches!(done[0].verdict, LeftoverVerdict::Recent { .. }), "{done:?}");
    assert!(arena.has(&waits));
}

#[test]
fn only_dead_contenders_claims_are_removed_if_the_servers_clock_cannot_be_asked() {
    let arena = Arena::new();
    let ended = other_process();
    let place = Place { on_behalf_of: OnBehalfOf::Process(ended.id()), ..arena.place(Protocol::Link, None) };
    let dead = arena.staged(&place);
    end(ended);
    let waits = arena.staged(&arena.place(Protocol::Link, Some("elsewhere")));
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
fn the_error_for_a_leftover_that_cannot_be_removed_names_it() {
    let arena = Arena::new();
    let waits = arena.staged(&arena.place(Protocol::Link, Some("elsewhere")));
    arena.env.sleep(2 * DAY);
    let lock = arena.lock(Protocol::Link);
    let left = lock.leftovers().unwrap();
    let name = waits.claim.token.as_os_str().to_owned();
    arena.env.on_call(move |_, call, when, path| match (call, when) {
        (Call::Unlink, When::Before) if path.ends_with(&name) => Fate::Fail(io::ErrorKind::PermissionDenied),
        _ => Fate::GoOn,
    });
    let done = lock.clean(left).unwrap();
    let LeftoverVerdict::Failed(e) = &done[0].verdict else { panic!("{done:?}") };
    assert_eq!((e.kind(), e.path()), (ErrorKind::Permission, Some(done[0].path.as_path())), "{e}");
}

/// A waiting flufl.lock fails if its claim is missing, so an operator decides.
#[test]
fn a_flufl_lock_peers_old_claim_survives_a_break_but_an_operator_can_remove_it() {
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
fn tickets_and_break_locks_of_dead_or_long_absent_contenders_are_removed() {
    for dead in [true, false] {
        let arena = Arena::new();
        let ended = other_process();
        let mut place = arena.place(Protocol::Link, (!dead).then_some("elsewhere"));
        if dead {
            place.on_behalf_of = OnBehalfOf::Process(ended.id());
        }
        let stake = arena.staged(&place);
        Ticket::draw(&place, &stake, place.env.now()).unwrap().unwrap();
        let break_lock = Place { path: place.path.of_break_lock(), protocol: Protocol::Dir, ..place.clone() };
        let mut turn = arena.staged(&break_lock);
        assert_eq!(steps::attempt(&break_lock, &mut turn).unwrap(), Attempt::Won);
        arena.staged(&break_lock);
        let kinds = |arena: &Arena| {
            let leftovers = arena.lock(Protocol::Link).leftovers().unwrap();
            let mut kinds: Vec<_> = leftovers.iter().map(|leftover| leftover.kind.to_string()).collect();
            kinds.sort();
            kinds.dedup();
            kinds
        };
        assert_eq!(kinds(&arena), ["break lock", "claim", "claim of the break lock", "ticket"], "dead: {dead}");
        let before = arena.names();
        if dead {
            assert!(arena.clean().is_empty(), "its process lives");
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
fn a_lock_that_a_dead_breaker_moved_aside_is_removed_after_a_day() {
    let arena = Arena::new();
    let place = arena.place(Protocol::Link, Some("elsewhere"));
    let broken = arena.staged(&place);
    arena.env.sleep(2 * DAY);
    let (claim, aside) = (place.path.beside(&broken.claim.token), arena.staged(&place));
    // A breaker has just moved it there.
    let aside = place.path.beside(&aside.claim.token);
    Plain.unlink(&aside).unwrap();
    Plain.rename(&claim, &aside).unwrap();
    Plain.chmod(&aside, 0o644).unwrap(); // On some file systems a rename does not count as a change.
    assert!(arena.clean().is_empty(), "its breaker may still need it");
    arena.env.sleep(2 * DAY);
    let leftovers = arena.lock(Protocol::Link).leftovers().unwrap();
    assert_eq!(leftovers[0].kind, LeftoverKind::BrokenClaim);
    assert_eq!(arena.clean().len(), 1);
}

/// Files and directories that have the name of a dead process's claim, but are not one.
#[test]
fn a_file_that_only_has_the_name_of_a_claim_stays() {
    let arena = Arena::new();
    let ended = other_process();
    let place = Place { on_behalf_of: OnBehalfOf::Process(ended.id()), ..arena.place(Protocol::Link, None) };
    let names: Vec<PathBuf> = (0..7).map(|_| fresh(&place)).collect();
    let name = |of: &Path| of.file_name().unwrap().to_owned();
    end(ended);
    let write = |path: &Path, content: &[u8]| Plain.create(path, content).unwrap();
    // A user's file.
    write(&names[0], b"my notes");
    // A file longer than any path.
    write(&names[1], &[0; 9000]);
    // A directory with a foreign file, one with a second file, one with a directory.
    Plain.mkdir(&names[2]).unwrap();
    write(&names[2].join("x"), b"");
    Plain.mkdir(&names[3]).unwrap();
    write(&names[3].join(name(&names[3])), b"{}");
    write(&names[3].join("x"), b"");
    Plain.mkdir(&names[4]).unwrap();
    Plain.mkdir(&names[4].join(name(&names[4]))).unwrap();
    // The claim of another lock, and a break lock's claim that is a file.
    write(&arena.dir.path().join(here("other|h|1|00000000000000000001")), b"");
    let break_lock = Place { path: place.path.of_break_lock(), ..place.clone() };
    let its_claim = break_lock.path.beside(&names_claim(&break_lock, &fresh_name(&names[5], "break")).token);
    write(its_claim.as_path(), b"");
    // The counter of fencing tokens, and names that are not a claim's.
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
    for leftover in arena.lock(Protocol::Link).leftovers().unwrap() {
        assert!(matches!(leftover.verdict, LeftoverVerdict::NotAClaim(_)), "{leftover:?}");
    }
}

/// A name that is read from a claim's content is trimmed. With a blank at its end it is another file's name.
#[cfg(unix)]
#[test]
fn a_name_with_a_blank_at_its_end_is_not_the_claims() {
    let arena = Arena::new();
    let ended = other_process();
    let place = Place { on_behalf_of: OnBehalfOf::Process(ended.id()), ..arena.place(Protocol::Link, None) };
    let dead = arena.staged(&place).claim.token.to_string();
    end(ended);
    let other = format!("{dead} ");
    Plain.create(&arena.dir.path().join(&other), b"").unwrap();
    assert_eq!(arena.lock(Protocol::Link).leftovers().unwrap().len(), 1);
    assert_eq!(arena.clean(), [dead]);
    assert_eq!(arena.names(), [other]);
}

#[test]
fn an_empty_leftover_of_a_crash_is_removed() {
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
fn the_names_in_a_directory_show_its_locks() {
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
fn a_verdict_is_one_line_without_terminal_commands() {
    let forged = "a\nb\x1b[2J\u{9b}\u{202e}";
    for verdict in [LeftoverVerdict::NotAClaim(forged.into()), LeftoverVerdict::Unreadable(forged.into())] {
        let text = verdict.to_string();
        assert!(text.contains("a\\nb\\u{1b}[2J") && !text.contains(Printable::escapes), "{text:?}");
    }
}

fn here(name: &str) -> String {
    name.replace('|', &SEPARATOR.to_string())
}

/// A claim's path that is not in use.
fn fresh(place: &Place) -> PathBuf {
    let stake = steps::stage(place).unwrap();
    steps::withdraw(place, &stake.claim);
    place.path.beside(&stake.claim.token).as_path().to_owned()
}

/// A name for a claim of the break lock, derived from a claim of the lock.
fn fresh_name(claim: &Path, part: &str) -> String {
    let name = claim.file_name().unwrap().to_str().unwrap();
    name.replacen(SEPARATOR, &here(&format!("|{part}|")), 1)
}

fn names_claim(place: &Place, name: &str) -> Claim {
    place.path.parse(name.as_bytes()).unwrap()
}

/// A claim as flufl.lock creates it, which expires soon.
fn put_claim(arena: &Arena, name: &str) {
    let path = arena.dir.path().join(name);
    let expiry = arena.env.wall_clock() + LIFETIME;
    OsEnv.create(&at(&path), bytes_of(&path), 0o644, &mut |_| Some(expiry)).unwrap();
}
