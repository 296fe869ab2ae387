//! A lock with several slots: so many holders and no more, and whoever waits hears of each of them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::faults::{Arena, BOTH, Call, Fate, GRACE, LIFETIME, When};
use super::plain::Plain;
use super::waking::{Sleeper, idle_process, without_polls};
use crate::env::Env;
use crate::protocol::queue::Ticket;
use crate::protocol::steps;
use crate::{Builder, Cancel, Error, ErrorKind, Lock, OnBehalfOf, Protocol, SLOTS_MOST, Slot, Slots, Wait};

const LONG: Duration = Duration::from_secs(600);

fn slots_of(arena: &Arena, builder: Builder, number: usize) -> Slots {
    builder.build_in(arena.env.clone()).unwrap().slots(number).unwrap()
}

fn slots(arena: &Arena, protocol: Protocol, number: usize) -> Slots {
    slots_of(arena, arena.builder(protocol), number)
}

fn take(slots: &Slots) -> Slot {
    slots.try_acquire().unwrap().expect("one is free")
}

#[test]
fn as_many_hold_one_as_there_are_and_no_more() {
    for protocol in BOTH {
        let arena = Arena::new();
        let slots = slots(&arena, protocol, 3);
        let mut held: Vec<_> = (0..3).map(|_| take(&slots)).collect();
        held.sort_by_key(Slot::number);
        assert_eq!(held.iter().map(Slot::number).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(held[1].path(), arena.path().with_file_name("job.lock.2"));
        assert!(slots.try_acquire().unwrap().is_none());
        let second = held.remove(1);
        second.check().unwrap();
        second.release().unwrap();
        assert_eq!(take(&slots).number(), 2);
        drop(held);
        assert_eq!(arena.names(), [""; 0], "{protocol}");
    }
}

#[test]
fn each_contender_begins_with_a_slot_of_its_own_choice() {
    let arena = Arena::new();
    let slots = slots(&arena, Protocol::Link, 4);
    let chosen: std::collections::BTreeSet<_> = (0..200).map(|_| take(&slots).number()).collect();
    assert_eq!(chosen.len(), 4, "{chosen:?}");
}

#[test]
fn what_can_have_no_slots_is_refused_and_nothing_is_written() {
    let arena = Arena::new();
    let lock = arena.lock(Protocol::Dir);
    let long = |length: usize| Lock::new(arena.path().with_file_name("n".repeat(length))).unwrap();
    // A name that is just short enough for a lock, but for a slot it is not.
    let longest = (1..=255).rev().find(|n| Lock::new(arena.path().with_file_name("n".repeat(*n))).is_ok()).unwrap();
    for refused in [
        lock.slots(0),
        lock.slots(SLOTS_MOST + 1),
        arena.builder(Protocol::Dir).shared(true).build().and_then(|shared| shared.slots(2)),
        long(longest).slots(1),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
    }
    long(longest - 2).slots(9).unwrap();
    assert_eq!(arena.names(), [""; 0]);
}

#[test]
fn a_time_out_says_that_all_are_held_and_by_whom_and_leaves_nothing() {
    for protocol in BOTH {
        let arena = Arena::new();
        let slots = slots(&arena, protocol, 2);
        let _held = [take(&slots), take(&slots)];
        let before = arena.names();
        for wait in [Wait::never(), Wait::up_to(Duration::from_secs(1))] {
            let error = slots.acquire_with(&wait).unwrap_err();
            assert!(error.is_timeout() && error.holder().is_some(), "{error}");
            assert!(error.to_string().contains("all 2 slots are held, one of them by "), "{error}");
            assert_eq!(arena.names(), before, "{protocol}");
        }
        let cancel = Cancel::new().unwrap();
        cancel.cancel();
        let error = slots.acquire_with(&Wait::forever().cancelled_by(&cancel)).unwrap_err();
        assert!(error.is_cancelled(), "{error}");
        assert_eq!(arena.names(), before, "{protocol}");
    }
}

#[test]
fn the_release_of_any_slot_wakes_a_waiter() {
    for protocol in BOTH {
        for queue in [false, true] {
            for released in [1, 2, 3] {
                let arena = without_polls();
                let slots = slots_of(&arena, arena.builder(protocol).queue(queue), 3);
                let mut held = [take(&slots), take(&slots), take(&slots)];
                held.sort_by_key(|slot| slot.number() == released);
                let waiting = slots.clone();
                let sleeper = Sleeper::start_with(Wait::forever(), move |wait| {
                    let slot = waiting.acquire_with(wait)?;
                    assert_eq!(slot.number(), released);
                    slot.release()
                });
                let sleeper = sleeper.soundly();
                let [_one, _other, last] = held;
                last.release().unwrap();
                sleeper.result().unwrap();
            }
        }
    }
}

#[test]
fn the_end_of_any_holder_wakes_a_waiter() {
    for protocol in BOTH {
        let arena = without_polls();
        let slots = slots(&arena, protocol, 2);
        let mut holders = [idle_process(), idle_process()];
        for holder in &holders {
            let builder = arena.builder(protocol).on_behalf_of(OnBehalfOf::Process(holder.id()));
            slots_of(&arena, builder, 2).acquire().unwrap().into_guard().leave();
        }
        for holder in &mut holders {
            let waiting = slots.clone();
            let sleeper = Sleeper::start_with(Wait::forever(), move |wait| {
                waiting.acquire_with(wait)?.into_guard().leave();
                Ok(())
            });
            let sleeper = sleeper.soundly();
            holder.kill().unwrap();
            holder.wait().unwrap();
            sleeper.result().unwrap();
        }
    }
}

#[test]
fn one_that_has_expired_is_broken() {
    for protocol in BOTH {
        let arena = Arena::new();
        let slots = slots(&arena, protocol, 3);
        let mut held: Vec<_> = (0..3).map(|_| take(&slots)).collect();
        held.sort_by_key(Slot::number);
        arena.env.sleep((LIFETIME + GRACE) / 2);
        for kept in [0, 2] {
            held[kept].refresh().unwrap();
        }
        assert!(slots.try_acquire().unwrap().is_none());
        let slot = slots.acquire_with(&Wait::up_to(LIFETIME)).unwrap();
        assert_eq!(slot.number(), 2, "{protocol}");
        assert!(held[1].check().is_err() && held[0].check().is_ok() && held[2].check().is_ok());
    }
}

#[test]
fn where_clocks_cannot_be_compared_each_is_watched_by_itself_and_broken_once_it_has_expired() {
    for protocol in BOTH {
        let arena = Arena::new();
        arena.env.stamps_are_not_known.store(true, Ordering::SeqCst);
        let slots = slots(&arena, protocol, 2);
        let _left = [0, 1].map(|_| take(&slots).into_guard().leave());
        let started = arena.env.now();
        slots.acquire_with(&Wait::up_to(2 * (LIFETIME + GRACE))).unwrap().release().unwrap();
        assert!(arena.env.now().since(started) >= LIFETIME + GRACE, "{protocol}");
        let [one, other] = [0, 1].map(|n| &slots.locks()[n].place().break_lock_unchanged);
        assert!(!Arc::ptr_eq(one, other), "each has a break lock of its own");
    }
}

/// What makes a waiter's claim vanish: clean, run by an operator whose clock is wrong.
#[test]
fn a_waiter_whose_claim_was_removed_waits_on() {
    for protocol in BOTH {
        let arena = Arena::new();
        let slots = slots(&arena, protocol, 2);
        let _held = [take(&slots), take(&slots)];
        let dir = arena.path().parent().unwrap().to_owned();
        let own = format!("job.lock{}", crate::SEPARATOR);
        arena.env.on_call(move |_, call, when, _| {
            if (call, when) == (Call::Wait, When::Before) {
                let names = Plain.list(&dir).unwrap();
                for name in names.iter().filter(|name| name.to_string_lossy().starts_with(&own)) {
                    // Of a dir claim, the entry in it.
                    let _ = Plain.unlink(&dir.join(name)).or_else(|_| Plain.unlink(&dir.join(name).join(name)));
                }
            }
            Fate::GoOn
        });
        slots.acquire_with(&Wait::up_to(LONG)).unwrap().release().unwrap();
    }
}

#[test]
fn those_who_wait_in_a_queue_get_them_in_order() {
    for protocol in BOTH {
        let arena = without_polls();
        let slots = slots_of(&arena, arena.builder(protocol).queue(true), 2);
        let held = [take(&slots), take(&slots)];
        let order = Arc::new(Mutex::new(Vec::new()));
        let sleepers: Vec<_> = (0..6)
            .map(|number| {
                let (waiting, order) = (slots.clone(), Arc::clone(&order));
                let sleeper = Sleeper::start_with(Wait::forever(), move |wait| {
                    let slot = waiting.acquire_with(wait)?;
                    order.lock().unwrap().push(number);
                    slot.release()
                });
                sleeper.soundly()
            })
            .collect();
        assert!(slots.try_acquire().unwrap().is_none());
        // One at a time, as two that have a slot each could write in any order.
        let [_kept, released] = held;
        released.release().unwrap();
        for sleeper in sleepers {
            sleeper.result().unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5], "{protocol}");
    }
}

#[test]
fn a_newcomer_passes_nobody_who_waits_in_a_queue_unless_it_does_not_wait() {
    let arena = Arena::new();
    let base = arena.builder(Protocol::Link).host("other").build_in(arena.env.clone()).unwrap();
    let stake = steps::stage(base.place()).unwrap();
    Ticket::draw(base.place(), &stake, base.place().env.now()).unwrap().unwrap();
    let ordered = slots_of(&arena, arena.builder(Protocol::Link).queue(true), 2);
    // A ticket lasts for a minute, and a busy machine adds to what the clocks jump.
    assert!(ordered.acquire_with(&Wait::up_to(Duration::from_secs(20))).unwrap_err().is_timeout());
    take(&ordered).release().unwrap();
    slots(&arena, Protocol::Link, 2).acquire().unwrap().release().unwrap();
    ordered.acquire_with(&Wait::up_to(LONG)).unwrap().release().unwrap();
}

#[cfg(unix)] // Windows has no symbolic links for every user.
#[test]
fn whoever_releases_a_slot_tells_the_owner_of_the_bell_that_all_slots_share() {
    for protocol in BOTH {
        let arena = Arena::new();
        arena.env.port.store(4711, std::sync::atomic::Ordering::SeqCst);
        let slots = slots_of(&arena, arena.builder(protocol).wake(crate::Wake::Udp), 2);
        let mut held = vec![take(&slots), take(&slots)];
        let mut pauses = 0;
        arena.env.on_call(move |_, call, when, _| {
            pauses += usize::from((call, when) == (Call::Wait, When::Before));
            if pauses == 2 {
                held.truncate(1);
            }
            Fate::GoOn
        });
        slots.acquire_with(&Wait::up_to(LONG)).unwrap().release().unwrap();
        assert_eq!(arena.env.hints.lock().unwrap().len(), 1, "{protocol}");
    }
}

/// The bug: whoever releases a slot by its token knew of no lock path but the slot's. The consequence: those who wait at the one that the
/// slots share were told nothing.
#[cfg(unix)] // Windows has no symbolic links for every user.
#[test]
fn whoever_releases_a_slot_by_its_token_tells_who_waits_for_any_slot_and_who_waits_for_this_one() {
    for (protocol, who_waits) in BOTH.into_iter().flat_map(|protocol| [(protocol, "any"), (protocol, "this one")]) {
        let arena = Arena::new();
        arena.env.port.store(4711, std::sync::atomic::Ordering::SeqCst);
        let builder = || arena.builder(protocol).wake(crate::Wake::Udp);
        let slots = slots_of(&arena, builder(), 2);
        let [one, _other] = [take(&slots), take(&slots)];
        let path = one.path().to_owned();
        let token = one.into_guard().leave();
        let mut by_token = Lock::builder(&path).wake(crate::Wake::Udp).build_in(arena.env.clone()).ok();
        let mut pauses = 0;
        arena.env.on_call(move |_, call, when, _| {
            pauses += usize::from((call, when) == (Call::Wait, When::Before));
            if pauses == 2
                && let Some(lock) = by_token.take()
            {
                lock.adopt(&token).unwrap().release().unwrap();
            }
            Fate::GoOn
        });
        match who_waits {
            "any" => slots.acquire_with(&Wait::up_to(LONG)).unwrap().release().unwrap(),
            _ => {
                let this = Lock::builder(&path).protocol(protocol).wake(crate::Wake::Udp);
                this.build_in(arena.env.clone()).unwrap().acquire_with(&Wait::up_to(LONG)).unwrap().release().unwrap();
            }
        }
        assert_eq!(arena.env.hints.lock().unwrap().len(), 1, "{protocol}, {who_waits}");
    }
}

#[test]
fn contenders_that_name_different_numbers_do_no_harm() {
    let arena = Arena::new();
    let (two, four) = (slots(&arena, Protocol::Link, 2), slots(&arena, Protocol::Dir, 4));
    let of_two = [take(&two), take(&two)];
    let of_four = [take(&four), take(&four)];
    assert!(of_four.iter().all(|slot| slot.number() > 2));
    assert!(two.try_acquire().unwrap().is_none() && four.try_acquire().unwrap().is_none());
    drop(of_two);
    let _of_four = [take(&four), take(&four)];
    assert!(two.try_acquire().unwrap().is_none());
    // The lock path itself has nothing to do with them.
    assert!(arena.lock(Protocol::Link).try_acquire().unwrap().is_some());
}

#[test]
fn what_is_no_lock_is_an_error_and_stays() {
    let arena = Arena::new();
    let slots = slots(&arena, Protocol::Dir, 1);
    let in_the_way = slots.locks()[0].path().to_owned();
    Plain.create(&in_the_way, b"a file of somebody").unwrap();
    for wait in [Wait::never(), Wait::up_to(LONG)] {
        assert_eq!(slots.acquire_with(&wait).unwrap_err().kind(), ErrorKind::NotALock);
    }
    assert_eq!(arena.names(), ["job.lock.1"]);
}

/// An attempt that fails again and again although the slot looks free must not keep a processor busy.
#[test]
fn attempts_in_vain_make_pauses() {
    let arena = Arena::new();
    let slots = slots(&arena, Protocol::Link, 2);
    let other = Arc::new(Mutex::new(0));
    let (counted, fails) = (Arc::clone(&other), arena.path());
    arena.env.on_call(move |_, call, when, at| {
        let is_attempt = call == Call::Link && at.starts_with(fails.parent().unwrap());
        if is_attempt && when == When::Before {
            *counted.lock().unwrap() += 1;
            return Fate::Fail(std::io::ErrorKind::AlreadyExists);
        }
        Fate::GoOn
    });
    let error = slots.acquire_with(&Wait::up_to(Duration::from_secs(10))).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    let attempts = *other.lock().unwrap();
    assert!((20..2000).contains(&attempts), "{attempts} attempts in ten seconds");
}

/// Between the win and the guard, everything of the waiter's is taken from the disk; if that takes too long, the slot is given back.
#[test]
fn a_slot_that_was_overdue_before_it_was_given_is_released_and_another_is_tried() {
    for protocol in BOTH {
        let arena = Arena::new();
        let slots = slots_of(&arena, arena.builder(protocol).queue(true), 1);
        let held = Mutex::new(Some(take(&slots)));
        let mut delays = 1;
        arena.env.on_call(move |env, call, when, at| {
            if (call, when) == (Call::Wait, When::Before) {
                drop(held.lock().unwrap().take());
            }
            // The ticket.
            let is_ticket = at.parent().is_some_and(|dir| dir.to_string_lossy().ends_with("queue"));
            if (call, when) == (Call::Unlink, When::Before) && is_ticket && delays > 0 {
                delays -= 1;
                env.sleep(2 * LIFETIME);
            }
            Fate::GoOn
        });
        let slot = slots.acquire_with(&Wait::up_to(LONG)).unwrap();
        assert!(!slot.is_lost(), "{protocol}");
        slot.release().unwrap();
        assert_eq!(arena.names(), [""; 0], "{protocol}");
    }
}

#[test]
fn a_slot_that_cannot_be_looked_at_is_an_error() {
    let arena = Arena::new();
    let slots = slots(&arena, Protocol::Link, 2);
    let _held = [take(&slots), take(&slots)];
    let at = slots.locks()[1].path().to_owned();
    arena.env.on_call(move |_, call, when, path| {
        let fails = (call, when) == (Call::Stat, When::Before) && path == at;
        if fails { Fate::Fail(std::io::ErrorKind::PermissionDenied) } else { Fate::GoOn }
    });
    let error: Error = slots.acquire_with(&Wait::up_to(LONG)).unwrap_err();
    assert_eq!(error.io_error().map(std::io::Error::kind), Some(std::io::ErrorKind::PermissionDenied), "{error}");
}
