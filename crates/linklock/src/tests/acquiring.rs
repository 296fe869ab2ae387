//! Faults while a lock is acquired.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::faults::{Arena, BOTH, Call, Fate, FaultyEnv, GRACE, LIFETIME, When};
use super::plain::Plain;
use crate::env::Env;
use crate::env::os::OsEnv;
use crate::options::Protocol;
use crate::protocol::queue::Ticket;
use crate::protocol::steps;
use crate::{Cancel, ErrorKind, State, Wait};

/// The call that moves or links a claim to the lock path.
fn place_call(protocol: Protocol) -> Call {
    match protocol {
        Protocol::Link => Call::Link,
        Protocol::Dir => Call::Rename,
    }
}

#[test]
fn an_acquisition_counts_even_if_its_reply_is_lost() {
    use io::ErrorKind as E;
    for protocol in BOTH {
        for lost in
            [E::AlreadyExists, E::NotFound, E::StaleNetworkFileHandle, E::TimedOut, E::Other, E::DirectoryNotEmpty]
        {
            let arena = Arena::new();
            arena.env.once(place_call(protocol), When::After, move |_, _| Fate::Fail(lost));
            let guard = arena
                .lock(protocol)
                .acquire_with(&Wait::never())
                .unwrap_or_else(|e| panic!("{protocol}, {lost:?}: {e}"));
            assert_eq!(arena.holder(), Some(guard.token().to_string()), "{protocol}, {lost:?}");
            guard.release().unwrap();
            assert_eq!(arena.names(), [""; 0], "{protocol}, {lost:?}");
        }
    }
}

#[test]
fn an_acquisition_that_only_looks_successful_does_not_count() {
    for protocol in BOTH {
        let arena = Arena::new();
        let (rival, tokens) = (arena.rival(protocol), Arc::new(std::sync::Mutex::new(None)));
        let kept = tokens.clone();
        arena.env.once(place_call(protocol), When::Before, move |_, _| {
            *kept.lock().unwrap() = Some(rival.acquire());
            Fate::Pretend
        });
        let e = arena.lock(protocol).acquire_with(&Wait::never()).unwrap_err();
        assert!(e.is_timeout(), "{protocol}: {e}");
        let rivals = tokens.lock().unwrap().take().unwrap();
        assert_eq!(arena.holder(), Some(rivals.token().to_string()), "{protocol}: the rival still holds it");
    }
}

/// The bug (found by the simulation): a breaker had moved a linked claim aside, and the contender used the same claim for
/// another attempt. The server then reported a link that it had not made. The consequence: the claim had two links, so it
/// looked like a holder's. The mend: another claim.
#[test]
fn a_claim_that_was_reported_linked_but_is_not_at_the_lock_path_is_not_used_again() {
    let arena = Arena::new();
    arena.env.once(Call::Link, When::Before, |_, _| Fate::Pretend);
    let guard = arena.lock(Protocol::Link).acquire().unwrap();
    let claims = arena.env.calls(Call::Create);
    assert_eq!(claims.len(), 2, "{claims:?}");
    assert!(claims[1].ends_with(guard.token().as_os_str()));
    assert_eq!(arena.names().len(), 2);
}

/// A file system that lacks the flags of renameat2, such as NFS. `then` decides about the plain rename that follows; it gets
/// the path of the directory that is moved.
fn without_noreplace(arena: &Arena, mut then: impl FnMut(&FaultyEnv, &Path) -> Fate + Send + 'static) {
    let mut refused = false;
    arena.env.on_call(move |env, call, when, path| {
        if (call, when) != (Call::Rename, When::Before) {
            return Fate::GoOn;
        }
        refused = !refused;
        if refused { Fate::Fail(io::ErrorKind::InvalidInput) } else { then(env, path) }
    });
}

#[test]
fn a_rename_onto_the_lock_path_that_only_looks_successful_does_not_count() {
    let arena = Arena::new();
    let (rival, theirs) = (arena.rival(Protocol::Dir), Arc::new(Mutex::new(None)));
    let kept = theirs.clone();
    without_noreplace(&arena, move |_, _| {
        kept.lock().unwrap().get_or_insert_with(|| rival.acquire());
        Fate::Pretend
    });
    let e = arena.lock(Protocol::Dir).acquire_with(&Wait::never()).unwrap_err();
    assert!(e.is_timeout(), "{e}");
    theirs.lock().unwrap().take().unwrap().check().unwrap();
}

#[test]
fn a_directory_that_a_cleaner_emptied_before_the_rename_is_not_our_lock() {
    let arena = Arena::new();
    let mut cleaned = false;
    without_noreplace(&arena, move |env, claim| {
        if !std::mem::replace(&mut cleaned, true) {
            Plain.unlink(&claim.join(claim.file_name().unwrap())).unwrap();
            env.sleep(Duration::from_secs(1));
        }
        Fate::GoOn
    });
    let guard = arena.lock(Protocol::Dir).acquire().unwrap();
    assert_eq!(arena.holder(), Some(guard.token().to_string()));
}

#[test]
fn a_lock_that_another_holds_when_we_check_is_not_ours() {
    for protocol in BOTH {
        let arena = Arena::new();
        let (rival, path, kept) = (arena.rival(protocol), arena.path(), Arc::new(std::sync::Mutex::new(None)));
        let keep = kept.clone();
        arena.env.once(place_call(protocol), When::After, move |_, _| {
            // Somebody breaks the lock, and the rival acquires it.
            match protocol {
                Protocol::Link => Plain.unlink(&path).unwrap(),
                Protocol::Dir => {
                    for name in Plain.list(&path).unwrap() {
                        Plain.unlink(&path.join(name)).unwrap();
                    }
                }
            }
            *keep.lock().unwrap() = Some(rival.acquire());
            Fate::GoOn
        });
        let e = arena.lock(protocol).acquire_with(&Wait::never()).unwrap_err();
        assert!(e.is_timeout(), "{protocol}: {e}");
        assert_eq!(e.holder().map(|h| h.host.as_str()), Some("rival"), "{protocol}");
        assert_eq!(
            arena.names().len(),
            if protocol == Protocol::Link { 2 } else { 1 },
            "{protocol}: {:?}",
            arena.names()
        );
    }
}

#[test]
fn another_lock_with_the_same_expiry_as_our_claim_is_not_ours() {
    let arena = Arena::new();
    let rival = arena.rival(Protocol::Link).acquire();
    let dir = arena.dir.path().to_owned();
    arena.env.once(Call::Link, When::After, move |_, lock| {
        let host = OsEnv.host_name();
        let ours = Plain.list(&dir).unwrap().into_iter().find(|name| name.to_string_lossy().contains(&host)).unwrap();
        Plain.set_expiry(lock, Plain.stat(&dir.join(ours)).unwrap().mtime).unwrap();
        Fate::GoOn
    });
    assert!(arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap_err().is_timeout());
    assert_eq!(arena.holder(), Some(rival.token().to_string()));
}

#[test]
fn a_contender_that_waited_longer_than_its_lifetime_acquires_the_lock_with_a_new_expiry() {
    for protocol in BOTH {
        let arena = Arena::new();
        let rival = arena.rival(protocol).acquire();
        let waits = AtomicU32::new(0);
        let mut rival = Some(rival);
        let path = arena.path();
        arena.env.on_call(move |env, call, when, _| {
            if (call, when) == (Call::Wait, When::Before) && waits.fetch_add(1, Ordering::SeqCst) == 0 {
                env.sleep(LIFETIME * 3);
            } else if call == Call::Touch {
                // The rival releases its lock just before the contender would break it.
                drop(rival.take());
            } else if (call, when) == (place_call(protocol), When::After) && rival.is_none() {
                let name = Plain.list(&path).ok().and_then(|names| names.into_iter().next());
                let attr = Plain.stat(&name.map_or(path.clone(), |name| path.join(name))).unwrap();
                // A file with one link is what the rival left.
                let is_taken = protocol == Protocol::Dir || attr.nlink > 1;
                assert!(!is_taken || attr.mtime > env.wall_clock(), "{protocol}: a new lock must not be expired");
            }
            Fate::GoOn
        });
        let guard = arena.lock(protocol).acquire().unwrap();
        let status = arena.lock(protocol).inspect().unwrap();
        assert_eq!(status.state, State::Held, "{protocol}: others must see a lock that has not expired");
        assert!(status.remaining.unwrap() >= guard.remaining(), "{protocol}: it expires before its holder's deadline");
        assert!(guard.remaining() > LIFETIME / 2, "{protocol}");
    }
}

#[test]
fn a_lock_acquired_after_a_pause_beyond_its_deadline_is_not_trusted() {
    for protocol in BOTH {
        for (call, when) in
            [(place_call(protocol), When::Before), (place_call(protocol), When::After), (Call::Stat, When::After)]
        {
            let arena = Arena::new();
            arena.env.once(call, when, |env, _| {
                env.sleep(LIFETIME * 2);
                Fate::GoOn
            });
            let guard = arena.lock(protocol).acquire().unwrap();
            assert!(!guard.is_lost(), "{protocol}, {call:?} {when:?}");
            assert_eq!(arena.holder(), Some(guard.token().to_string()), "{protocol}, {call:?} {when:?}");
            guard.release().unwrap();
            assert_eq!(arena.names(), [""; 0], "{protocol}, {call:?} {when:?}");
        }
    }
}

#[test]
fn a_contender_replaces_a_claim_that_a_cleaner_removed() {
    for protocol in BOTH {
        for released in [true, false] {
            let arena = Arena::new();
            let mut rival = Some(arena.rival(protocol).acquire());
            let dir = arena.dir.path().to_owned();
            arena.env.once(Call::Wait, When::Before, move |_, _| {
                remove_claims_of_this_host(&dir);
                let rival = rival.take().unwrap();
                if released {
                    rival.release().unwrap()
                } else {
                    drop(rival.leave())
                }
                Fate::GoOn
            });
            // The lock was released, or it is broken once it has expired.
            let guard = arena.lock(protocol).acquire_with(&Wait::up_to(LIFETIME * 3)).unwrap();
            assert_eq!(arena.holder(), Some(guard.token().to_string()), "{protocol}, {released}");
        }
    }
}

fn remove_claims_of_this_host(dir: &std::path::Path) {
    let host = OsEnv.host_name();
    for name in Plain.list(dir).unwrap() {
        let path = dir.join(&name);
        if name.to_string_lossy().contains(&host) && Plain.unlink(&path).is_err() {
            Plain.unlink(&path.join(&name)).unwrap();
            Plain.rmdir(&path).unwrap();
        }
    }
}

/// The bug: the creation of a claim took long, so the request that set its expiry was already old when it was sent. The
/// consequence: the server carried that request out again after a newer one; the live lock looked expired and was broken.
/// The mend: the contender gives such a claim up.
#[test]
fn a_contender_replaces_a_claim_whose_creation_took_long() {
    for (slow, made) in [(0, 1), (1, 2), (9, 3)] {
        let arena = Arena::new();
        let mut left = slow;
        arena.env.on_call(move |env, call, when, _| {
            if (call, when) == (Call::Create, When::After) && left > 0 {
                left -= 1;
                env.sleep(Duration::from_secs(2));
            }
            Fate::GoOn
        });
        let guard = arena.lock(Protocol::Link).acquire().unwrap();
        assert_eq!(arena.env.calls(Call::Create).len(), made);
        assert_eq!(arena.names().len(), 2, "the lock and its claim: {:?}", arena.names());
        guard.release().unwrap();
    }
}

/// The bug: a contender that had waited renewed the expiry of its claim, and the request took long, so it was already old
/// when it was sent. The consequence and the mend: as above.
#[test]
fn a_contender_replaces_a_claim_whose_new_expiry_took_long_to_set() {
    for (protocol, made) in [(Protocol::Link, 2), (Protocol::Dir, 1)] {
        let arena = Arena::new();
        let (mut first, mut slow) = (true, true);
        arena.env.on_call(move |env, call, when, _| {
            if when == When::Before && call == place_call(protocol) && std::mem::take(&mut first) {
                return Fate::Fail(io::ErrorKind::AlreadyExists);
            }
            if (call, when) == (Call::SetExpiry, When::Before) && std::mem::take(&mut slow) {
                env.sleep(Duration::from_secs(2));
            }
            Fate::GoOn
        });
        let guard = arena.lock(protocol).acquire().unwrap();
        assert_eq!(arena.env.calls(Call::Create).len(), made, "{protocol}");
        assert_eq!(arena.env.calls(Call::SetExpiry).len(), 1, "{protocol}: the new claim needs no new expiry");
        guard.release().unwrap();
        assert_eq!(arena.names(), [""; 0], "{protocol}");
    }
}

/// Two bugs. First, a claim already had a second link: the reply to an old link call came after a breaker had moved the lock
/// and was stopped. The consequence: when the server then reported a link that it had not made, the contender believed it,
/// since the claim had two links. Second, the claim had been removed, and a late request created an empty file of the same
/// name. The consequence: the empty file came to the lock path, where it was not a lock. The mend for both: the contender
/// gives such a claim up before the attempt.
#[test]
fn a_contender_replaces_a_claim_that_was_changed() {
    type Spoil = fn(&Path);
    let spoils: [(Spoil, &[&str]); 2] = [
        (|claim| Plain.link(claim, &claim.with_file_name("aside")).unwrap(), &["aside"]),
        (
            |claim| {
                Plain.unlink(claim).unwrap();
                Plain.create(claim, b"").unwrap();
            },
            &[],
        ),
    ];
    for (spoil, left) in spoils {
        let arena = Arena::new();
        let mut first = true;
        arena.env.on_call(move |_, call, when, lock| {
            if (call, when) != (Call::Link, When::Before) || !std::mem::take(&mut first) {
                return Fate::GoOn;
            }
            let dir = lock.parent().unwrap();
            spoil(&dir.join(Plain.list(dir).unwrap().remove(0)));
            Fate::Fail(io::ErrorKind::AlreadyExists)
        });
        let guard = arena.lock(Protocol::Link).acquire().unwrap();
        assert_eq!(arena.env.calls(Call::Create).len(), 2);
        guard.release().unwrap();
        assert_eq!(arena.names(), left);
    }
}

#[test]
fn a_file_that_already_has_the_claims_name_is_left_alone() {
    for protocol in BOTH {
        let arena = Arena::new();
        arena.env.once(Call::Create, When::Before, |_, _| Fate::Fail(io::ErrorKind::AlreadyExists));
        arena.lock(protocol).acquire().unwrap().release().unwrap();
        assert_eq!(arena.names(), [""; 0], "{protocol}");
    }
}

#[test]
fn the_error_for_a_file_system_without_hard_links_recommends_the_dir_protocol() {
    let arena = Arena::new();
    arena.env.once(Call::Link, When::Before, |_, _| Fate::Fail(io::ErrorKind::Unsupported));
    let e = arena.lock(Protocol::Link).acquire().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.to_string().contains("dir protocol"), "{e}");
    assert!(e.to_string().contains("job.lock"), "{e}");
    assert_eq!(arena.names(), [""; 0]);
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    for protocol in BOTH {
        let arena = Arena::new();
        arena.env.once(Call::Create, When::Before, |_, _| Fate::Fail(io::ErrorKind::StorageFull));
        let e = arena.lock(protocol).acquire().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::CannotCreate, "{e}");
        assert!(e.to_string().contains("room"), "{e}");
        assert_eq!(arena.names(), [""; 0], "{protocol}");
    }
}

#[test]
fn a_lock_whose_content_did_not_reach_the_disk_is_given_up() {
    let arena = Arena::new();
    arena.env.loses_content.store(true, Ordering::SeqCst);
    let e = arena.lock(Protocol::Link).acquire().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Io, "{e}");
    assert_eq!(arena.names(), [""; 0], "the file names no holder, so it must not stay");
}

#[test]
fn an_error_after_the_acquisition_does_not_leave_the_lock_held() {
    let arena = Arena::new();
    // Neither the client's cache nor the server answers.
    let mut failures = 2;
    arena.env.on_call(move |_, call, when, _| {
        if (call, when) != (Call::Stat, When::Before) || failures == 0 {
            return Fate::GoOn;
        }
        failures -= 1;
        Fate::Fail(io::ErrorKind::TimedOut)
    });
    let e = arena.lock(Protocol::Link).acquire().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Io, "{e}");
    assert_eq!(arena.names(), [""; 0]);
}

#[test]
fn a_waiting_contender_makes_no_change_on_disk() {
    for protocol in BOTH {
        let arena = Arena::new();
        let _rival = arena.rival(protocol).acquire();
        let e = arena.lock(protocol).acquire_with(&Wait::up_to(Duration::from_secs(20))).unwrap_err();
        assert!(e.is_timeout(), "{e}");
        assert!(arena.env.calls(Call::Wait).len() > 5, "it waited several times");
        assert_eq!(arena.env.calls(place_call(protocol)).len(), 2, "{protocol}: the rival's attempt and ours");
        assert_eq!(arena.env.calls(Call::SetExpiry).len(), 0, "{protocol}");
        assert_eq!(arena.env.calls(Call::Touch).len(), 0, "{protocol}");
    }
}

#[test]
fn a_waiter_watches_a_new_lock_even_if_it_reuses_the_inode_number_of_the_last() {
    for (protocol, sees_end) in BOTH.into_iter().flat_map(|protocol| [(protocol, false), (protocol, true)]) {
        let arena = Arena::new();
        arena.env.has_one_number.store(true, Ordering::SeqCst);
        arena.env.sees_end.store(sees_end, Ordering::SeqCst);
        let rival = arena.rival(protocol);
        let mut held = Some(rival.acquire());
        // How many locks there were, how many there were at the last arming, and how many waits were not armed for the lock.
        let (mut locks, mut armed_for, mut is_due) = (1, 0, false);
        let unarmed = Arc::new(AtomicU32::new(0));
        let seen_unarmed = Arc::clone(&unarmed);
        arena.env.on_call(move |_, call, when, _| {
            match (call, when) {
                (Call::Arm, When::Before) => armed_for = locks,
                (Call::Stat, When::Before) if std::mem::take(&mut is_due) => {
                    held.take().unwrap().release().unwrap();
                    held = Some(rival.acquire());
                    locks += 1;
                }
                (Call::Wait, When::Before) => {
                    seen_unarmed.fetch_add(u32::from(armed_for != locks), Ordering::SeqCst);
                    is_due = true;
                }
                _ => {}
            }
            Fate::GoOn
        });
        let e = arena.lock(protocol).acquire_with(&Wait::up_to(GRACE)).unwrap_err();
        assert!(e.is_timeout(), "{e}");
        assert!(arena.env.calls(Call::Wait).len() > 2, "{protocol}: it waited several times");
        assert_eq!(unarmed.load(Ordering::SeqCst), 0, "{protocol}: waits that no change could end");
    }
}

#[test]
fn a_contender_that_keeps_failing_on_a_free_lock_tries_a_few_times_a_second() {
    for protocol in BOTH {
        let arena = Arena::new();
        arena.env.on_call(move |_, call, when, _| match (call, when) == (place_call(protocol), When::Before) {
            true => Fate::Fail(io::ErrorKind::AlreadyExists),
            false => Fate::GoOn,
        });
        let e = arena.lock(protocol).acquire_with(&Wait::up_to(Duration::from_secs(3))).unwrap_err();
        assert!(e.is_timeout(), "{e}");
        // The time that the test itself takes counts too: a busy machine sees fewer pauses. One would be a contender that gave up.
        let waits = arena.env.calls(Call::Wait).len();
        assert!((2..=60).contains(&waits), "{protocol}: {waits} pauses in three seconds");
    }
}

#[test]
fn a_cancelled_wait_leaves_no_claim() {
    for protocol in BOTH {
        let arena = Arena::new();
        let _rival = arena.rival(protocol).acquire();
        let before = arena.names();
        let cancel = Cancel::new().unwrap();
        let canceller = cancel.clone();
        arena.env.once(Call::Wait, When::Before, move |_, _| {
            canceller.cancel();
            Fate::GoOn
        });
        let e = arena.lock(protocol).acquire_with(&Wait::forever().cancelled_by(&cancel)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Cancelled, "{e}");
        assert_eq!(arena.names(), before, "{protocol}");
    }
}

#[test]
fn locks_of_both_protocols_exclude_each_other() {
    for (held, wanted) in [(Protocol::Link, Protocol::Dir), (Protocol::Dir, Protocol::Link)] {
        let arena = Arena::new();
        let rival = arena.rival(held).acquire();
        let e = arena.lock(wanted).acquire_with(&Wait::up_to(GRACE)).unwrap_err();
        assert!(e.is_timeout(), "{wanted} while {held} is held: {e}");
        assert_eq!(e.holder().map(|h| h.host.as_str()), Some("rival"));
        rival.release().unwrap();
        arena.lock(wanted).acquire_with(&Wait::never()).unwrap().release().unwrap();
        assert_eq!(arena.names(), [""; 0]);
    }
}

#[test]
fn an_expired_lock_is_broken_by_either_protocol() {
    for (held, wanted) in [(Protocol::Link, Protocol::Dir), (Protocol::Dir, Protocol::Link)] {
        let arena = Arena::new();
        arena.rival(held).acquire().leave();
        arena.env.sleep(LIFETIME + GRACE + Duration::from_secs(3));
        arena.lock(wanted).acquire_with(&Wait::never()).unwrap().release().unwrap();
        assert_eq!(arena.names(), [""; 0]);
    }
}

#[test]
fn a_ticket_lasts_a_minute_and_its_waiter_renews_it() {
    for protocol in BOTH {
        let arena = Arena::new();
        let queue = arena.dir.path().join(format!("job.lock{}queue", crate::SEPARATOR));
        // A contender on another machine takes a ticket and then disappears.
        let rival = arena.builder(protocol).queue(true).host("rival").build_in(arena.env.clone()).unwrap();
        let stake = steps::stage(rival.place()).unwrap();
        Ticket::draw(rival.place(), &stake, rival.place().env.now()).unwrap().unwrap();
        let lock = arena.builder(protocol).queue(true).build_in(arena.env.clone()).unwrap();
        let started = arena.env.now();
        let guard = lock.acquire_with(&Wait::up_to(Duration::from_secs(600))).unwrap();
        let waited = arena.env.now().since(started);
        assert!((59..90).contains(&waited.as_secs()), "{protocol}: {waited:?}");
        let renewed = arena.env.calls(Call::Touch).iter().filter(|path| path.starts_with(&queue)).count();
        assert!((2..=3).contains(&renewed), "{protocol}: its own ticket, every 20 s: {renewed}");
        assert!(!queue.exists(), "{protocol}: nobody waits any longer");
        guard.release().unwrap();
    }
}

#[test]
fn a_lock_is_not_trusted_if_leaving_the_queue_took_too_long() {
    for protocol in BOTH {
        let arena = Arena::new();
        let mut held = Some(arena.rival(protocol).acquire());
        let lock = arena.builder(protocol).queue(true).build_in(arena.env.clone()).unwrap();
        let (queue, mut slow) = (lock.place().path.queue(), true);
        arena.env.on_call(move |env, call, when, at| {
            match (call, when) {
                (Call::Wait, When::Before) => drop(held.take()),
                (Call::Unlink, When::After) if at.starts_with(&queue) && std::mem::take(&mut slow) => {
                    env.sleep(LIFETIME);
                }
                _ => {}
            }
            Fate::GoOn
        });
        let guard = lock.acquire_with(&Wait::up_to(10 * LIFETIME)).unwrap();
        assert!(!guard.is_lost(), "{protocol}");
        guard.check().unwrap();
        guard.release().unwrap();
    }
}

#[test]
fn a_waiter_that_returns_from_the_queue_watches_the_lock_again() {
    let arena = Arena::new();
    arena.env.sees_end.store(true, Ordering::SeqCst);
    let held = arena.rival(Protocol::Link).acquire();
    // Without its claim the lock has one link, so the waiter makes one more attempt. Then it is in the queue again.
    Plain.unlink(&arena.dir.path().join(held.token().as_os_str())).unwrap();
    let rival = arena.builder(Protocol::Link).queue(true).host("rival").build_in(arena.env.clone()).unwrap();
    let stake = steps::stage(rival.place()).unwrap();
    Ticket::draw(rival.place(), &stake, rival.place().env.now()).unwrap().unwrap();
    let queue = rival.place().path.queue();
    let ticket = queue.inside(&Plain.list(&queue).unwrap()[0]);
    let (path, aside) = (arena.path(), arena.dir.path().join("aside"));
    Plain.rename(&ticket, &aside).unwrap();
    let (mut links, mut armed) = (0, PathBuf::new());
    let waits = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&waits);
    arena.env.on_call(move |_, call, when, at| {
        match (call, when) {
            (Call::Arm, When::Before) => armed = at.to_owned(),
            // Just before that attempt the waiter sees the ticket of an earlier contender,
            (Call::Link, When::Before) => {
                links += 1;
                if links == 2 {
                    Plain.rename(&aside, &ticket).unwrap();
                }
            }
            // and the ticket is gone after the wait.
            (Call::Wait, When::Before) => {
                seen.lock().unwrap().push(armed == path);
                let _ = Plain.unlink(&ticket);
            }
            _ => {}
        }
        Fate::GoOn
    });
    let lock = arena.builder(Protocol::Link).queue(true).build_in(arena.env.clone()).unwrap();
    let e = lock.acquire_with(&Wait::up_to(GRACE)).unwrap_err();
    assert!(e.is_timeout(), "{e}");
    let waits = waits.lock().unwrap();
    assert!(!waits[0] && waits.len() > 1 && waits[1..].iter().all(|for_the_lock| *for_the_lock), "{waits:?}");
}

/// The bug (found by the attacker's tests): the entry of a dir claim was identified by its name and its owner alone. The
/// consequence: a user who can write the directory of the claim, such as that of a break lock, could have the times of any
/// file of that owner set. The mend: the file itself must be the one that was created.
#[test]
fn a_link_to_another_file_in_place_of_a_dir_claims_entry_is_left_unchanged() {
    let arena = Arena::new();
    let mut held = Some(arena.rival(Protocol::Link).acquire());
    let (dir, victim) = (arena.dir.path().to_owned(), arena.dir.path().join("victim"));
    Plain.create(&victim, b"precious").unwrap();
    let before = Plain.stat(&victim).unwrap().mtime;
    let host = OsEnv.host_name();
    let path = victim.clone();
    arena.env.on_call(move |_, call, when, _| {
        if (call, when) == (Call::Wait, When::Before)
            && let Some(held) = held.take()
        {
            let claim =
                Plain.list(&dir).unwrap().into_iter().find(|name| name.to_string_lossy().contains(&host)).unwrap();
            let entry = dir.join(&claim).join(&claim);
            Plain.unlink(&entry).unwrap();
            // A new link changes the ctime, and nothing else.
            Plain.link(&path, &entry).unwrap();
            held.release().unwrap();
            return Fate::Fail(io::ErrorKind::Interrupted);
        }
        Fate::GoOn
    });
    let _ = arena.lock(Protocol::Dir).acquire_with(&Wait::up_to(GRACE));
    assert_eq!(Plain.stat(&victim).unwrap().mtime, before);
}
