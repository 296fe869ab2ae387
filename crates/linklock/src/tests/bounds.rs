//! Numbers, counts and times that others can set: they cost a bounded share of time and memory, and block nobody for longer
//! than a lock may.

use std::ffi::OsString;
use std::io;
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[cfg(unix)]
use rustix::fs::{CWD, FileType};

#[cfg(unix)]
use super::breaking::{end, other_process};
use super::faults::{Arena, BOTH, Call, Fate, GRACE, LIFETIME, When};
use super::plain::Plain;
#[cfg(unix)]
use crate::OnBehalfOf;
use crate::env::Env;
use crate::env::os::OsEnv;
use crate::options::Protocol;
use crate::protocol::leftovers;
#[cfg(unix)]
use crate::protocol::place::Place;
use crate::protocol::queue::{self, Ticket};
use crate::protocol::steps;
use crate::time::ServerTime;
use crate::{ErrorKind, Lock, SEPARATOR, State, Wait, Which};

const MINUTE: Duration = Duration::from_secs(60);

/// How many names of directories `act` listed.
fn shown<T>(arena: &Arena, act: impl FnOnce() -> T) -> (T, u64) {
    let before = arena.env.shown.load(Ordering::SeqCst);
    let done = act();
    (done, arena.env.shown.load(Ordering::SeqCst) - before)
}

/// The bug: each look of each waiter listed the whole directory at the lock path. The consequence: a large directory there
/// kept all waiters busy. The mend: a look ends as soon as it knows that the directory is not a lock.
#[test]
fn a_look_at_a_directory_reads_only_enough_names_to_see_that_it_is_not_a_lock() {
    for (mode, name, most) in [(0o755, "", 2), (0o1755, "", 2), (0o1755, ".nfs", 1001)] {
        let arena = Arena::new();
        Plain.mkdir(&arena.path()).unwrap();
        for number in 0..1200 {
            Plain.create(&arena.path().join(format!("{name}{number}")), b"").unwrap();
        }
        Plain.chmod(&arena.path(), mode).unwrap();
        for protocol in BOTH {
            let (status, shown) = shown(&arena, || arena.lock(protocol).inspect().unwrap());
            assert_eq!(status.state, State::NotALock, "{protocol}, {mode:o}, {name}");
            assert!(shown <= most, "{protocol}, {mode:o}, {name}: {shown}");
        }
    }
}

fn queued(arena: &Arena, host: &str) -> Lock {
    arena.builder(Protocol::Link).queue(true).host(host).build_in(arena.env.clone()).unwrap()
}

fn queue_of(arena: &Arena) -> PathBuf {
    queued(arena, "any").place().path.queue().as_path().to_owned()
}

/// A contender on another machine takes a ticket and then disappears.
fn left_ticket(arena: &Arena) {
    let rival = queued(arena, "rival");
    let stake = steps::stage(rival.place()).unwrap();
    Ticket::draw(rival.place(), &stake, rival.place().env.now()).unwrap().unwrap();
    steps::withdraw(rival.place(), &stake.claim);
}

fn refuse(arena: &Arena, refused: Call) {
    let queue = queue_of(arena);
    arena.env.on_call(move |_, call, when, at| match (call, when) {
        (call, When::Before) if call == refused && at.starts_with(&queue) => {
            Fate::Fail(io::ErrorKind::PermissionDenied)
        }
        _ => Fate::GoOn,
    });
}

/// Acquires the lock, which is free, within `limit` on the arena's clocks.
fn acquire_within(arena: &Arena, limit: Duration) {
    let start = arena.env.now();
    let guard = queued(arena, "here").acquire_with(&Wait::up_to(100 * MINUTE)).unwrap();
    let waited = arena.env.now().since(start);
    assert!(waited < limit, "{waited:?}");
    guard.release().unwrap();
}

/// The bug: one user's leftover ticket in a sticky directory was an error for all others. The consequence: they could not
/// acquire the lock. The mend: a waiter passes such a ticket.
#[test]
fn a_leftover_ticket_that_cannot_be_removed_is_passed() {
    let arena = Arena::new();
    left_ticket(&arena);
    arena.env.sleep(queue::LIFETIME + MINUTE);
    refuse(&arena, Call::Unlink);
    acquire_within(&arena, MINUTE);
    let left = Plain.list(&queue_of(&arena)).unwrap();
    assert!(left.iter().any(|name| name.to_string_lossy().contains("rival")), "{left:?}");
}

/// The bug: a waiter remembered only one unchanged ticket. The consequence: two leftover tickets kept it waiting for ever. The
/// mend: it remembers all of them.
#[test]
fn many_leftover_tickets_delay_nobody_longer_than_one_even_without_a_common_clock() {
    let arena = Arena::new();
    arena.env.stamps_are_not_known.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        left_ticket(&arena);
    }
    refuse(&arena, Call::Unlink);
    acquire_within(&arena, queue::LIFETIME + MINUTE);
}

#[test]
fn a_ticket_with_any_mtime_delays_nobody_longer_than_another() {
    let arena = Arena::new();
    left_ticket(&arena);
    let ticket = Plain.list(&queue_of(&arena)).unwrap().remove(0);
    for time in ["0", "9"] {
        let ticket = queue_of(&arena).join(time.repeat(20) + &ticket.to_str().unwrap()[20..]);
        Plain.create(&ticket, b"").unwrap();
        // Anybody can set an mtime, so it proves nothing.
        Plain.set_expiry(&ticket, far()).unwrap();
    }
    acquire_within(&arena, queue::LIFETIME + MINUTE);
}

#[test]
fn a_file_that_only_has_the_name_of_a_ticket_is_passed_and_left_alone() {
    let arena = Arena::new();
    left_ticket(&arena);
    let ticket = queue_of(&arena).join(Plain.list(&queue_of(&arena)).unwrap().remove(0));
    Plain.unlink(&ticket).unwrap();
    Plain.mkdir(&ticket).unwrap();
    acquire_within(&arena, MINUTE);
    assert!(Plain.stat(&ticket).is_ok());
}

/// The bug, found by fuzzing: if the process in a ticket's name had ended, a waiter did not look at what has that name. The consequence:
/// it removed a file with content, a symbolic link or a pipe, and a file beside the ticket. The mend: it removes tickets alone.
#[cfg(unix)]
#[test]
fn what_only_has_the_name_of_an_ended_contenders_ticket_is_left_alone() {
    let makes: [fn(&Path); 3] = [
        |at| _ = Plain.create(at, b"precious").unwrap(),
        |at| std::os::unix::fs::symlink("precious", at).unwrap(),
        |at| rustix::fs::mknodat(CWD, at, FileType::Fifo, 0o600.into(), 0).unwrap(),
    ];
    for make in makes {
        let arena = Arena::new();
        let ended = other_process();
        let place = Place { on_behalf_of: OnBehalfOf::Process(ended.id()), ..queued(&arena, "here").place().clone() };
        let stake = steps::stage(&place).unwrap();
        Ticket::draw(&place, &stake, place.env.now()).unwrap().unwrap();
        steps::withdraw(&place, &stake.claim);
        end(ended);
        let ticket = queue_of(&arena).join(Plain.list(&queue_of(&arena)).unwrap().remove(0));
        Plain.unlink(&ticket).unwrap();
        make(&ticket);
        acquire_within(&arena, MINUTE);
        assert!(Plain.stat(&ticket).is_ok());

        // A ticket, and beside it what only has the name of a waiter's link.
        Plain.unlink(&ticket).unwrap();
        Plain.create(&ticket, b"").unwrap();
        let next = PathBuf::from(format!("{}.next", ticket.to_str().unwrap()));
        Plain.create(&next, b"precious").unwrap();
        acquire_within(&arena, MINUTE);
        assert!(Plain.stat(&ticket).is_err() && Plain.stat(&next).is_ok());
    }
}

#[test]
fn a_queue_that_cannot_be_seen_is_not_taken_for_an_empty_one() {
    let arena = Arena::new();
    left_ticket(&arena);
    let ours = queued(&arena, "here");
    let stake = steps::stage(ours.place()).unwrap();
    let mut ticket = Ticket::draw(ours.place(), &stake, ours.place().env.now()).unwrap().unwrap();
    let queue = queue_of(&arena);
    for (hidden, is_empty) in [(Call::Stat, Some(false)), (Call::List, None)] {
        let queue = queue.clone();
        arena.env.on_call(move |_, call, when, at| match (call, when) {
            (call, When::Before) if call == hidden && at == queue => Fate::Fail(io::ErrorKind::TimedOut),
            _ => Fate::GoOn,
        });
        assert_eq!(queue::is_empty(ours.place()).ok(), is_empty, "{hidden:?}");
        let ahead = ticket.ahead(ours.place(), &stake.anchor).map(|ahead| ahead.is_none());
        assert_eq!(ahead.ok(), is_empty, "{hidden:?}");
    }
}

/// Waiting out of order is better than failing.
#[test]
fn where_no_queue_is_possible_contenders_wait_out_of_order() {
    for refused in [Some(Call::Create), Some(Call::List), None] {
        let arena = Arena::new();
        match refused {
            Some(call) => {
                left_ticket(&arena);
                refuse(&arena, call);
            }
            None => drop(Plain.create(&queue_of(&arena), b"").unwrap()),
        }
        // The lock is held, so that there is a reason to queue. Then it expires.
        arena.rival(Protocol::Link).acquire().leave();
        acquire_within(&arena, LIFETIME + GRACE + MINUTE);
    }
}

/// A neighbour's own directory at the queue's path, which only he may write.
#[cfg(unix)]
#[test]
fn nobody_queues_in_a_directory_that_fewer_users_may_write_than_the_locks() {
    let arena = Arena::new();
    Plain.chmod(arena.dir.path(), 0o1777).unwrap();
    Plain.mkdir(&queue_of(&arena)).unwrap();
    Plain.create(&queue_of(&arena).join("his"), b"").unwrap();
    arena.rival(Protocol::Link).acquire().leave();
    let before = Plain.stat(&queue_of(&arena)).unwrap();
    acquire_within(&arena, LIFETIME + GRACE + MINUTE);
    assert_eq!(Plain.stat(&queue_of(&arena)).unwrap(), before, "nothing in it was created or removed");
    assert!(arena.env.calls(Call::Create).iter().any(|path| path.starts_with(queue_of(&arena))), "it tried");
}

#[test]
fn a_queue_of_any_size_takes_a_bounded_share_of_time_and_memory() {
    let arena = Arena::new();
    let name = |number| {
        let name = format!("{number:020}job.lock{SEPARATOR}h{SEPARATOR}1{SEPARATOR}{number}");
        (OsString::from(name), 0)
    };
    left_ticket(&arena);
    for (crowd, looks_most) in [(1_000, 64 + 8), (200_000, 8)] {
        *arena.env.listing.lock().unwrap() = Some((0..crowd).map(name).collect());
        let rival = queued(&arena, "rival");
        let stake = steps::stage(rival.place()).unwrap();
        let mut ticket = Ticket::draw(rival.place(), &stake, rival.place().env.now()).unwrap().unwrap();
        let looks = arena.env.calls(Call::Stat).len();
        let (ahead, shown) = shown(&arena, || ticket.ahead(rival.place(), &stake.anchor).unwrap());
        assert!(ahead.is_none(), "the listed tickets do not exist: {ahead:?}");
        let looks = arena.env.calls(Call::Stat).len() - looks;
        assert!(looks <= looks_most && shown <= 1 << 16, "{crowd}: {looks} looks, {shown} names");
    }
}

fn counter(arena: &Arena) -> PathBuf {
    queued(arena, "any").place().path.fence().as_path().to_owned()
}

fn draw(arena: &Arena) -> Result<u64, crate::Error> {
    let guard = arena.builder(Protocol::Dir).fence(true).build_in(arena.env.clone()).unwrap().acquire()?;
    let number = guard.fencing_token().unwrap();
    guard.release().unwrap();
    Ok(number)
}

/// The bug: a user could create the greatest possible number, and none followed; or a very large one, and the counter went on
/// from there. The consequence: once the counter had been removed, a resource that had seen such a number refused all later
/// ones, for centuries. The mend: a number that is more than ten years ahead is an error.
#[test]
fn a_foreign_number_advances_the_counter_by_ten_years_at_most_or_is_a_named_error() {
    let year = 365 * 24 * 3600 * 1_000_000;
    let arena = Arena::new();
    let first = draw(&arena).unwrap();
    for (ahead, is_used) in [(9 * year, true), (11 * year, false), (i64::MAX as u64 - first, false)] {
        let (number, counter) = (first + ahead, counter(&arena));
        Plain.mkdir(&counter.join(number.to_string())).unwrap();
        if is_used {
            assert_eq!(draw(&arena).unwrap(), number + 1);
            continue;
        }
        let last = Plain.list(&counter).unwrap();
        let e = draw(&arena).unwrap_err().to_string();
        assert!(
            e.contains(counter.to_str().unwrap()) && e.contains(&number.to_string()) && e.contains("remove"),
            "{e}"
        );
        assert_eq!(Plain.list(&counter).unwrap(), last, "a user must decide about it");
        assert_eq!(arena.holder(), None, "the lock is free");
        Plain.rmdir(&counter.join(number.to_string())).unwrap();
        let next = draw(&arena).unwrap();
        assert!(next > first + 9 * year && next < first + 10 * year, "{next} is less than ten years after {first}");
    }
}

#[test]
fn a_name_in_the_counter_that_is_not_a_number_is_ignored_and_stays() {
    let arena = Arena::new();
    let first = draw(&arena).unwrap();
    let large = u64::MAX.to_string();
    let others =
        ["-1", "+99999999999999999999", "0999999999999999999", "1e30", "0x7f", "\u{663}", &large, &"9".repeat(200)];
    for name in others {
        Plain.mkdir(&counter(&arena).join(name)).unwrap();
    }
    // A file with a number as its name counts: no directory can be created in its place, and rmdir does not remove it.
    let file = first + 1_000_000_000;
    Plain.create(&counter(&arena).join(file.to_string()), b"").unwrap();
    assert_eq!(draw(&arena).unwrap(), file + 1);
    assert_eq!(Plain.list(&counter(&arena)).unwrap().len(), others.len() + 2);
}

#[test]
fn a_counter_of_any_size_takes_a_bounded_share_of_memory_and_requests() {
    let arena = Arena::new();
    let first = draw(&arena).unwrap();
    for number in 1..1500 {
        Plain.mkdir(&counter(&arena).join((first - number).to_string())).unwrap();
    }
    draw(&arena).unwrap();
    let left = Plain.list(&counter(&arena)).unwrap().len();
    assert_eq!(left, 501, "a thousand were removed; later acquisitions remove the rest");
    draw(&arena).unwrap();
    assert_eq!(Plain.list(&counter(&arena)).unwrap().len(), 1);
}

/// The last second of the year 9999.
fn far() -> ServerTime {
    ServerTime::from_parts(253_402_300_799, 0)
}

/// Creates a break lock that claims a longer lifetime than any break lock has.
fn plant_break_lock(arena: &Arena, mtime: ServerTime) -> PathBuf {
    let break_lock = arena.dir.path().join(format!("job.lock{SEPARATOR}break"));
    // All lifetime bits in the name of its claim are set.
    let claim = format!("job.lock{SEPARATOR}break{SEPARATOR}h{SEPARATOR}1{SEPARATOR}{}", "0000000000000fff".repeat(2));
    Plain.mkdir(&break_lock).unwrap();
    Plain.chmod(&break_lock, 0o1755).unwrap();
    let json = br#"{"version":1,"lifetime_ms":315360000000}"#;
    Plain.create(&break_lock.join(&claim), json).unwrap();
    Plain.set_expiry(&break_lock.join(&claim), mtime).unwrap();
    break_lock
}

/// The bug: breakers believed the lifetime in the entry of a break lock. The consequence: such an entry kept everybody from
/// breaking any lock. The mend: a break lock has a limit.
#[test]
fn a_break_lock_has_a_maximum_lifetime_whatever_its_entry_says() {
    for mtime in [OsEnv.wall_clock(), far()] {
        for is_operator in [true, false] {
            let arena = Arena::new();
            arena.rival(Protocol::Link).acquire().leave();
            arena.env.sleep(LIFETIME + GRACE + MINUTE);
            plant_break_lock(&arena, mtime);
            let start = arena.env.now();
            let lock = arena.lock(Protocol::Link);
            if is_operator {
                lock.break_lock(&Which::Any).unwrap();
            } else {
                lock.acquire_with(&Wait::up_to(100 * MINUTE)).unwrap().release().unwrap();
            }
            let waited = arena.env.now().since(start);
            assert!(waited < MINUTE && waited > GRACE, "{waited:?}: it may be a new break lock");
            assert_eq!(arena.names(), [""; 0], "operator: {is_operator}");
        }
    }
}

#[test]
fn an_old_leftover_break_lock_is_broken_at_once_whatever_its_entry_says() {
    let arena = Arena::new();
    arena.rival(Protocol::Link).acquire().leave();
    plant_break_lock(&arena, OsEnv.wall_clock());
    arena.env.sleep(LIFETIME + GRACE + MINUTE);
    arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap().release().unwrap();
    assert_eq!(arena.names(), [""; 0]);
}

#[test]
fn a_leftover_break_lock_from_the_future_is_cleaned() {
    let arena = Arena::new();
    plant_break_lock(&arena, far());
    assert!(arena.lock(Protocol::Link).leftovers().unwrap().iter().all(|left| !left.verdict.is_removable()));
    arena.env.sleep(3 * 24 * 60 * MINUTE);
    let left = arena.lock(Protocol::Link).leftovers().unwrap();
    arena.lock(Protocol::Link).clean(left).unwrap();
    assert_eq!(arena.names(), [""; 0]);
}

/// The bug: a file at the break lock's path was taken for a lock of the link protocol. The consequence: nobody could break
/// it. The mend: an error that names the file.
#[test]
fn the_error_for_a_file_in_place_of_the_break_lock_names_it() {
    let arena = Arena::new();
    arena.rival(Protocol::Link).acquire().leave();
    arena.env.sleep(LIFETIME + GRACE + MINUTE);
    let break_lock = arena.dir.path().join(format!("job.lock{SEPARATOR}break"));
    let claim = format!("job.lock{SEPARATOR}break{SEPARATOR}h{SEPARATOR}1{SEPARATOR}2");
    Plain.create(&break_lock, claim.as_bytes()).unwrap();
    Plain.set_expiry(&break_lock, far()).unwrap();
    let lock = arena.lock(Protocol::Link);
    for e in
        [lock.break_lock(&Which::Any).map(drop).unwrap_err(), lock.acquire_with(&Wait::never()).map(drop).unwrap_err()]
    {
        assert!(e.kind() == ErrorKind::NotALock && e.to_string().contains(break_lock.to_str().unwrap()), "{e}");
    }
    Plain.unlink(&break_lock).unwrap();
    lock.break_lock(&Which::Any).unwrap();
    assert_eq!(arena.names(), [""; 0]);
}

/// How often `lock` looks during a wait of two seconds in which it is woken every millisecond.
fn looks_at_flood(arena: &Arena, lock: &Lock) -> usize {
    arena.env.on_call(|env, call, when, _| match (call, when) {
        (Call::Wait, When::Before) => {
            env.sleep(Duration::from_millis(1));
            Fate::Fail(io::ErrorKind::Interrupted)
        }
        _ => Fate::GoOn,
    });
    let before = arena.env.calls(Call::Stat).len();
    let e = lock.acquire_with(&Wait::up_to(Duration::from_secs(2))).unwrap_err();
    assert!(e.is_timeout(), "{e}");
    arena.env.calls(Call::Stat).len() - before
}

/// The bug: each change of the lock file, such as utimes(2) by its owner, woke all waiters. The consequence: each waiter kept
/// a processor busy. The mend: a waiter looks a few dozen times a second at most.
#[test]
fn a_waiter_that_is_woken_needlessly_looks_a_few_dozen_times_a_second_at_most() {
    for protocol in BOTH {
        let arena = Arena::new();
        let held = arena.rival(protocol).acquire();
        let looks = looks_at_flood(&arena, &arena.lock(protocol));
        assert!(looks < 300, "{protocol}: {looks}");
        held.release().unwrap();
    }
    let arena = Arena::new();
    left_ticket(&arena);
    let looks = looks_at_flood(&arena, &queued(&arena, "here"));
    assert!(looks < 500, "in the queue: {looks}");
}

#[test]
fn a_waiter_notices_each_of_many_holders_at_once() {
    let arena = Arena::new();
    let rival = arena.rival(Protocol::Dir);
    let mut held = Some(rival.acquire());
    let mut left = 200;
    arena.env.on_call(move |_, call, when, _| match (call, when) {
        (Call::Wait, When::Before) => {
            held.take().unwrap().release().unwrap();
            left -= 1;
            if left > 0 {
                held = Some(rival.acquire());
            }
            Fate::Fail(io::ErrorKind::Interrupted)
        }
        _ => Fate::GoOn,
    });
    let lock = arena.lock(Protocol::Dir);
    lock.acquire_with(&Wait::up_to(MINUTE)).unwrap().release().unwrap();
    assert!(!arena.env.has_slept(), "no wait took any time on the arena's clocks");
}

/// The bug: a lock that was created with umask 077 was an error for other users, who should wait for it. The mend: they wait.
/// A user who may not read the lock does not know when it expires, so he must not break it.
#[test]
fn a_lock_that_may_not_be_read_is_waited_for_and_never_broken() {
    for (refused, clock_is_known) in [(Call::List, true), (Call::List, false), (Call::Stat, true)] {
        let arena = Arena::new();
        arena.env.stamps_are_not_known.store(!clock_is_known, Ordering::SeqCst);
        let held = arena.rival(Protocol::Dir).acquire();
        let (token, path) = (held.token().clone(), arena.path());
        arena.env.on_call(move |_, call, when, at| {
            let is_inside = at == path || at.parent() == Some(&path);
            let is_refused = call == refused || (refused, call) == (Call::Stat, Call::Read);
            match when {
                When::Before if is_refused && is_inside && (call == Call::List || at != path) => {
                    Fate::Fail(io::ErrorKind::PermissionDenied)
                }
                _ => Fate::GoOn,
            }
        });
        for protocol in BOTH {
            let lock = arena.lock(protocol);
            let e = lock.acquire_with(&Wait::up_to(2 * (LIFETIME + GRACE))).unwrap_err();
            assert!(e.is_timeout() && e.to_string().contains("may not read by whom"), "{protocol}: {e}");
            let e = lock.break_lock(&Which::Any).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::CannotBreak, "{protocol}: {e}");
            let e = lock.break_lock(&Which::Expired).unwrap_err();
            assert_ne!(e.kind(), ErrorKind::Io, "{protocol}: {e}");
            let status = lock.inspect().unwrap();
            assert_eq!((status.state, status.expires_at, status.available), (State::Held, None, false));
        }
        assert!(Plain.stat(&arena.path().join(token.as_os_str())).is_ok());
        // Its holder releases it late.
        let (entry, mut is_held) = (arena.path().join(token.as_os_str()), true);
        arena.env.on_call(move |_, call, when, at| {
            if call == Call::Wait && std::mem::take(&mut is_held) {
                Plain.unlink(&entry).unwrap();
            }
            match is_held && when == When::Before && call == Call::List && entry.starts_with(at) {
                true => Fate::Fail(io::ErrorKind::PermissionDenied),
                false => Fate::GoOn,
            }
        });
        arena.lock(Protocol::Link).acquire_with(&Wait::up_to(MINUTE)).unwrap().release().unwrap();
        drop(held);
    }
}

/// A server may map our user to another one: then a directory of our own looks like another user's.
#[cfg(unix)]
#[test]
fn an_empty_directory_in_place_of_the_break_lock_is_removed_if_it_is_ours_and_waited_for_if_not() {
    for is_anothers in [false, true] {
        let arena = Arena::new();
        Plain.chmod(arena.dir.path(), 0o1777).unwrap();
        arena.env.user_id.store(12345, Ordering::SeqCst);
        arena.rival(Protocol::Link).acquire().leave();
        arena.env.sleep(LIFETIME + GRACE + MINUTE);
        let lock = arena.lock(Protocol::Link);
        let left = lock.place().of_break_lock().lock_path().to_owned();
        Plain.mkdir(&left).unwrap();
        Plain.chmod(&left, 0o1755).unwrap();
        if is_anothers {
            arena.env.others.lock().unwrap().push(Plain.stat(&left).unwrap().id);
        }
        let acquired = lock.acquire_with(&Wait::never());
        assert_eq!((acquired.is_ok(), Plain.stat(&left).is_ok()), (!is_anothers, is_anothers), "{acquired:?}");
    }
}

#[test]
fn the_time_out_for_an_expired_lock_names_the_break_lock_in_the_way() {
    let arena = Arena::new();
    arena.rival(Protocol::Link).acquire().leave();
    arena.env.sleep(LIFETIME + GRACE + MINUTE);
    let break_lock = plant_break_lock(&arena, far());
    let e = arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap_err();
    assert!(e.is_timeout() && e.to_string().contains(break_lock.to_str().unwrap()), "{e}");
}

/// The bug: in a sticky directory, a crash in a release left another user's empty directory. The library reported the lock as
/// free. The consequence: no other user could acquire it. The mend: it is reported as not a lock, unless this user may remove it.
#[cfg(unix)] // Elsewhere there is no sticky bit.
#[test]
fn an_empty_directory_that_only_another_user_may_remove_is_reported_if_it_stays() {
    const ANOTHER: u64 = 12_345;
    for (mode, user, is_stuck) in [(0o1777, ANOTHER, true), (0o777, ANOTHER, false), (0o1777, 0, false)] {
        let arena = Arena::new();
        Plain.chmod(arena.dir.path(), mode).unwrap();
        Plain.mkdir(&arena.path()).unwrap();
        Plain.chmod(&arena.path(), 0o1755).unwrap();
        arena.env.user_id.store(user, Ordering::SeqCst);
        let lock = arena.lock(Protocol::Dir);
        assert_eq!(lock.inspect().unwrap().state, State::Free, "it may be a release");
        // A claim with the same owner as the directory makes it ours, as on a server that maps our user to another.
        lock.acquire_with(&Wait::never()).unwrap().release().unwrap();
        Plain.mkdir(&arena.path()).unwrap();
        Plain.chmod(&arena.path(), 0o1755).unwrap();
        arena.env.sleep(MINUTE);
        let status = lock.inspect().unwrap();
        let waited = lock.wait_until_free(&Wait::up_to(MINUTE)).map_err(|e| e.to_string());
        let broken = lock.break_lock(&Which::Any).map_err(|e| e.to_string());
        if is_stuck {
            assert!(status.state == State::NotALock && status.what.unwrap().contains("another user"), "{mode:o}");
            assert!(waited.is_err_and(|e| e.contains("another user")) && broken.is_err(), "{mode:o}");
        } else {
            assert_eq!((status.state, waited, broken.map(|_| ())), (State::Free, Ok(()), Ok(())), "{mode:o}, {user}");
        }
    }
}

#[cfg(unix)]
#[test]
fn another_users_release_in_a_sticky_directory_is_waited_for_if_run_by_root() {
    if OsEnv.user_id() != Some(0) {
        return;
    }
    for (age, is_stuck) in [(Duration::ZERO, false), (MINUTE, true)] {
        let arena = Arena::new();
        Plain.chmod(arena.dir.path(), 0o1777).unwrap();
        Plain.mkdir(&arena.path()).unwrap();
        Plain.chmod(&arena.path(), 0o1755).unwrap();
        let another = rustix::fs::Uid::from_raw(1);
        rustix::fs::chown(arena.path(), Some(another), None).unwrap();
        arena.env.user_id.store(12_345, Ordering::SeqCst);
        arena.env.sleep(age);
        for protocol in BOTH {
            // Root would be allowed to take it, so the test gives the kernel's answer to another user.
            arena.env.on_call(|_, call, when, at| match (call, when) {
                (Call::Rename, When::Before) if at.file_name().is_some_and(|name| name != "job.lock") => {
                    Fate::Fail(io::ErrorKind::PermissionDenied)
                }
                _ => Fate::GoOn,
            });
            let e = arena.lock(protocol).acquire_with(&Wait::never()).unwrap_err();
            let kind = if is_stuck { ErrorKind::NotALock } else { ErrorKind::Timeout };
            assert_eq!(e.kind(), kind, "{protocol}: {e}");
        }
    }
}

#[test]
fn with_any_times_on_disk_an_attempt_fails_only_if_the_lock_is_held() {
    // Windows counts from the year 1601, and accepts no earlier time.
    let least = if cfg!(windows) { -11_644_473_600 } else { i64::MIN };
    let times = [least, -2_177_452_800, -1, 0, far().to_parts().0, i64::MAX];
    for (secs, protocol) in times.into_iter().flat_map(|secs| BOTH.map(|protocol| (secs, protocol))) {
        for clock_is_known in [true, false] {
            let arena = Arena::new();
            arena.env.stamps_are_not_known.store(!clock_is_known, Ordering::SeqCst);
            let token = arena.rival(protocol).acquire().leave();
            let file = match protocol {
                Protocol::Link => arena.path(),
                Protocol::Dir => arena.path().join(token.as_os_str()),
            };
            Plain.set_expiry(&file, ServerTime::from_parts(secs, 999_999_999)).unwrap();
            let lock = arena.lock(protocol);
            let what = format!("{protocol}, {secs}, {clock_is_known}");
            lock.inspect().unwrap();
            lock.leftovers().unwrap();
            lock.clean(lock.leftovers().unwrap()).unwrap();
            match lock.acquire_with(&Wait::up_to(MINUTE)) {
                Ok(guard) => guard.release().unwrap(),
                Err(e) => assert!(e.is_timeout(), "{what}: {e}"),
            }
            lock.break_lock(&Which::Any).unwrap();
            lock.acquire_with(&Wait::never()).unwrap().release().unwrap();
            assert_eq!(arena.names(), [""; 0], "{what}");
        }
    }
}

/// A sparse file needs no disk space, however long it is.
#[test]
#[expect(clippy::disallowed_methods, reason = "the library has no call that creates such a file")]
fn content_of_any_length_is_read_only_up_to_a_locks_greatest_length() {
    for protocol in BOTH {
        for in_place_of_content in [true, false] {
            let arena = Arena::new();
            let token = arena.rival(protocol).acquire().leave();
            let file = match protocol {
                Protocol::Link => arena.path(),
                Protocol::Dir => arena.path().join(token.as_os_str()),
            };
            let open = std::fs::File::options().write(true).truncate(in_place_of_content).open(&file).unwrap();
            open.set_len(1 << 40).unwrap();
            let status = arena.lock(protocol).inspect().unwrap();
            // The content of a link lock ends after its path; a power failure leaves zeros.
            let is_lock = protocol == Protocol::Dir || in_place_of_content;
            assert_eq!(status.state == State::NotALock, !is_lock, "{protocol}, {in_place_of_content}: {status:?}");
            arena.lock(protocol).leftovers().unwrap();
        }
    }
}

/// How many names were listed, and how many files were looked at.
fn costs<T>(arena: &Arena, act: impl FnOnce() -> T) -> (u64, usize) {
    let looks = arena.env.calls(Call::Stat).len();
    let (_, shown) = shown(arena, act);
    (shown, arena.env.calls(Call::Stat).len() - looks)
}

#[test]
fn any_number_of_names_beside_the_lock_takes_a_bounded_share_of_time_and_memory() {
    let arena = Arena::new();
    let held = arena.rival(Protocol::Link).acquire();
    let name = |number| (OsString::from(format!("job.lock{SEPARATOR}h{SEPARATOR}1{SEPARATOR}{number}")), 0);
    let ours = |number| (OsString::from(format!("job.lock{SEPARATOR}h{SEPARATOR}1{SEPARATOR}{number:032x}")), 0);
    let lock = arena.lock(Protocol::Link);

    // A lock whose content may not be read: who holds it?
    *arena.env.listing.lock().unwrap() = Some((0..50_000).map(name).collect());
    arena.env.on_call(|_, call, when, _| match (call, when) {
        (Call::Read, When::Before) => Fate::Fail(io::ErrorKind::PermissionDenied),
        _ => Fate::GoOn,
    });
    let (_, looks) = costs(&arena, || assert_eq!(lock.inspect().unwrap().holder, None));
    assert!(looks < 10, "{looks}");

    // The leftovers, for a contender and for an operator.
    *arena.env.listing.lock().unwrap() = Some((0..150_000).map(ours).collect());
    let (shown, looks) = costs(&arena, || leftovers::sweep(lock.place(), || None));
    assert!(shown <= 4096 && looks < 100, "{shown} names, {looks} looks");
    let (shown, looks) = costs(&arena, || assert!(lock.leftovers().unwrap().is_empty(), "none of them exists"));
    assert!(shown <= 100_000 && looks < 100_010, "{shown} names, {looks} looks");
    *arena.env.listing.lock().unwrap() = None;
    held.release().unwrap();
}
