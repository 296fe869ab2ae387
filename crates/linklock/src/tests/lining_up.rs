//! Where nobody asked for an order, those who wait on one machine line up all the same, so that a release does not wake them all.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::faults::{Arena, BOTH, Call, Fate, When};
use super::plain::Plain;
use crate::env::Env;
use crate::options::Protocol;
use crate::protocol::queue::Ticket;
use crate::protocol::steps;
use crate::{Cancel, Error, ErrorKind, Guard, Wait};

const LIMIT: Duration = Duration::from_secs(300);

/// It is 1.5 s at most, and what this machine is busy with. The usual poll comes after 9 s, and a ticket is valid for 60 s.
const SECONDS: Duration = Duration::from_secs(8);

fn local() -> Arena {
    let arena = Arena::new();
    arena.env.is_local.store(true, Ordering::SeqCst);
    arena
}

fn queue_of(arena: &Arena) -> PathBuf {
    arena.lock(Protocol::Link).place().path.queue().as_path().to_owned()
}

fn tickets(arena: &Arena) -> usize {
    Plain.list(&queue_of(arena)).map_or(0, |names| names.len())
}

/// What a waiter did.
#[derive(Default)]
struct Seen {
    /// How many tickets there were at each of its pauses.
    tickets: Vec<usize>,
    attempts: usize,
}

/// Each time that the waiter pauses, the lock comes to the next of these hosts; then it is free.
fn pass_on(arena: &Arena, protocol: Protocol, hosts: &[String]) -> Arc<Mutex<Seen>> {
    let mut holder: Option<Guard> = arena.rival_called("first", protocol).try_acquire();
    assert!(holder.is_some());
    let mut rivals: Vec<_> = hosts.iter().rev().map(|host| arena.rival_called(host, protocol)).collect();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (queue, path, noted) = (queue_of(arena), arena.path(), Arc::clone(&seen));
    arena.env.on_call(move |_, call, when, at| {
        let is_attempt = call == Call::Rename || call == Call::Link && at == path;
        let is_attempt = is_attempt && when == When::Before;
        noted.lock().unwrap().attempts += usize::from(is_attempt);
        if (call, when) != (Call::Wait, When::Before) {
            return Fate::GoOn;
        }
        noted.lock().unwrap().tickets.push(Plain.list(&queue).map_or(0, |names| names.len()));
        drop(holder.take());
        holder = rivals.pop().and_then(|rival| rival.try_acquire());
        // A change wakes the waiter.
        Fate::Fail(io::ErrorKind::Interrupted)
    });
    seen
}

fn acquire(arena: &Arena, protocol: Protocol) -> Guard {
    arena.lock(protocol).acquire_with(&Wait::up_to(LIMIT)).unwrap()
}

/// A contender of this process that is in the line and does not come, as one that is stopped. Nobody is before it.
fn stopped_contender(arena: &Arena) {
    let lock = arena.lock(Protocol::Link);
    let stake = steps::stage(lock.place()).unwrap();
    Ticket::draw(lock.place(), &stake, lock.place().env.now()).unwrap().unwrap();
    steps::withdraw(lock.place(), &stake.claim);
}

#[test]
fn one_waiter_takes_no_ticket() {
    for protocol in BOTH {
        let arena = local();
        let seen = pass_on(&arena, protocol, &[]);
        acquire(&arena, protocol).release().unwrap();
        assert_eq!(seen.lock().unwrap().tickets, [0], "{protocol}");
        let queue = queue_of(&arena);
        assert!(arena.env.calls(Call::Create).iter().all(|path| !path.starts_with(&queue)), "{protocol}");
    }
}

/// A worker that takes the lock again and again says little of other waiters.
#[test]
fn one_waiter_takes_no_ticket_when_the_holder_takes_the_lock_again() {
    for protocol in BOTH {
        let arena = local();
        let seen = pass_on(&arena, protocol, &["first".into(), "first".into()]);
        acquire(&arena, protocol).release().unwrap();
        assert_eq!(seen.lock().unwrap().tickets, [0, 0, 0], "{protocol}");
    }
}

#[test]
fn a_waiter_that_sees_the_claim_of_another_takes_a_ticket_before_it_waits() {
    for protocol in BOTH {
        let arena = local();
        let lock = arena.lock(protocol);
        let other = steps::stage(lock.place()).unwrap();
        let seen = pass_on(&arena, protocol, &[]);
        acquire(&arena, protocol).release().unwrap();
        assert_eq!(seen.lock().unwrap().tickets, [1], "{protocol}");
        steps::withdraw(lock.place(), &other.claim);
        assert_eq!(arena.names(), [""; 0], "{protocol}");
    }
}

#[test]
fn a_waiter_that_was_woken_in_vain_takes_a_ticket_and_nothing_of_it_is_left() {
    for protocol in BOTH {
        let arena = local();
        let seen = pass_on(&arena, protocol, &["second".into()]);
        acquire(&arena, protocol).release().unwrap();
        assert_eq!(seen.lock().unwrap().tickets, [0, 1], "{protocol}");
        assert_eq!(arena.names(), [""; 0], "{protocol}");
    }
}

/// As where the lock is shared by threads: all holders have one pid.
#[test]
fn a_waiter_that_was_woken_in_vain_again_and_again_takes_a_ticket_whoever_the_holders_are() {
    let arena = local();
    let seen = pass_on(&arena, Protocol::Link, &vec!["first".into(); 6]);
    acquire(&arena, Protocol::Link).release().unwrap();
    assert_eq!(seen.lock().unwrap().tickets, [0, 0, 0, 0, 1, 1, 1]);
}

#[test]
fn elsewhere_than_on_a_file_system_of_this_machine_nobody_lines_up() {
    let arena = Arena::new();
    let seen = pass_on(&arena, Protocol::Link, &["second".into(), "third".into()]);
    acquire(&arena, Protocol::Link).release().unwrap();
    assert_eq!(seen.lock().unwrap().tickets, [0, 0, 0]);
}

#[test]
fn a_waiter_behind_another_makes_no_attempt_however_often_the_lock_changes_hands() {
    for protocol in BOTH {
        let arena = local();
        stopped_contender(&arena);
        let hosts: Vec<_> = (0..20).map(|number| format!("host{number}")).collect();
        let seen = pass_on(&arena, protocol, &hosts);
        acquire(&arena, protocol).release().unwrap();
        let seen = seen.lock().unwrap();
        assert!(seen.tickets.iter().all(|tickets| *tickets > 0), "{protocol}: it lines up at once, behind the other");
        assert_eq!(seen.attempts, 2, "{protocol}: one when it came, and one when the lock stayed free");
    }
}

/// A ticket is valid for a minute, and would delay those behind it for so long.
#[test]
fn a_first_waiter_that_does_not_come_delays_the_next_ones_by_seconds_and_not_by_a_tickets_lifetime() {
    for protocol in BOTH {
        let arena = local();
        stopped_contender(&arena);
        let mut held = arena.rival(protocol).try_acquire();
        let mut pauses = 0;
        arena.env.on_call(move |_, call, when, _| {
            pauses += u32::from((call, when) == (Call::Wait, When::Before));
            if pauses == 1 {
                drop(held.take());
            }
            Fate::GoOn
        });
        let started = arena.env.now();
        let guard = acquire(&arena, protocol);
        let waited = arena.env.now().since(started);
        assert!(waited < SECONDS, "{protocol}: {waited:?}");
        guard.release().unwrap();
        assert_eq!(
            tickets(&arena),
            0,
            "{protocol}: it has lost its place, so that it does not delay all others in turn"
        );
    }
}

/// It may be of another pid namespace. So its ticket stays until it expires.
#[test]
fn a_first_waiter_of_which_nothing_is_known_keeps_its_ticket_and_still_does_not_keep_the_lock_free() {
    let arena = local();
    let lock = arena.builder(Protocol::Link).host("other").build_in(arena.env.clone()).unwrap();
    let stake = steps::stage(lock.place()).unwrap();
    Ticket::draw(lock.place(), &stake, lock.place().env.now()).unwrap().unwrap();
    let mut held = arena.rival(Protocol::Link).try_acquire();
    arena.env.on_call(move |_, call, when, _| {
        if (call, when) == (Call::Wait, When::Before) {
            drop(held.take());
        }
        Fate::GoOn
    });
    let started = arena.env.now();
    let guard = acquire(&arena, Protocol::Link);
    let waited = arena.env.now().since(started);
    assert!(waited < SECONDS, "{waited:?}");
    guard.release().unwrap();
    assert_eq!(tickets(&arena), 1);
}

#[test]
fn a_wait_that_ends_leaves_no_ticket() {
    for protocol in BOTH {
        for is_cancelled in [false, true] {
            let arena = local();
            let hosts: Vec<_> = (0..6).map(|number| format!("host{number}")).collect();
            let mut holder = arena.rival(protocol).try_acquire();
            let mut rivals: Vec<_> = hosts.iter().map(|host| arena.rival_called(host, protocol)).collect();
            let (cancel, cancelled) = (Cancel::new().unwrap(), Arc::new(Mutex::new(0)));
            let (queue, most) = (queue_of(&arena), Arc::clone(&cancelled));
            let ends = is_cancelled.then(|| cancel.clone());
            arena.env.on_call(move |_, call, when, _| {
                if (call, when) == (Call::Wait, When::Before) {
                    let tickets = Plain.list(&queue).map_or(0, |names| names.len());
                    *most.lock().unwrap() += tickets;
                    if let Some(ends) = ends.as_ref().filter(|_| tickets > 0) {
                        ends.cancel();
                    }
                    if let Some(rival) = rivals.pop() {
                        drop(holder.take());
                        holder = rival.try_acquire();
                    }
                }
                Fate::GoOn
            });
            let wait = Wait::up_to(Duration::from_secs(40)).cancelled_by(&cancel);
            let e: Error = arena.lock(protocol).acquire_with(&wait).unwrap_err();
            let expected = if is_cancelled { ErrorKind::Cancelled } else { ErrorKind::Timeout };
            assert_eq!(e.kind(), expected, "{protocol}: {e}");
            assert!(*cancelled.lock().unwrap() > 0, "{protocol}: it had a ticket");
            assert_eq!(tickets(&arena), 0, "{protocol}, {is_cancelled}");
            assert!(!queue_of(&arena).exists(), "{protocol}, {is_cancelled}");
        }
    }
}

#[test]
fn where_nobody_can_line_up_a_waiter_watches_the_lock_path() {
    for refused in [Call::Create, Call::List, Call::Stat, Call::Touch] {
        let arena = local();
        let queue = queue_of(&arena);
        let mut holder = arena.rival(Protocol::Link).try_acquire();
        let mut rivals =
            vec![arena.rival_called("third", Protocol::Link), arena.rival_called("second", Protocol::Link)];
        arena.env.on_call(move |_, call, when, at| {
            if (call, when) == (Call::Wait, When::Before) {
                drop(holder.take());
                holder = rivals.pop().and_then(|rival| rival.try_acquire());
                return Fate::Fail(io::ErrorKind::Interrupted);
            }
            if (call, when) == (refused, When::Before) && at.starts_with(&queue) {
                return Fate::Fail(io::ErrorKind::PermissionDenied);
            }
            Fate::GoOn
        });
        acquire(&arena, Protocol::Link).release().unwrap();
        assert_eq!(tickets(&arena), 0, "{refused:?}");
    }
}
