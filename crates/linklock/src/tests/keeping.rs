//! Guards and keep-alive in difficult situations: a log that panics, a file system that hangs, a fork, a release that fails.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tracing::span;

use super::faults::{Arena, BOTH, Call, Fate, LIFETIME, When, pause};
use super::holding::KEEPER;
use crate::options::Protocol;
use crate::{Error, ErrorKind, Guard, Lock};

/// A log that panics a set number of times when the keep-alive thread writes to it.
struct PanickingLog;

static PANICS_LEFT: AtomicU32 = AtomicU32::new(0);

impl PanickingLog {
    /// For the whole process, as a log is global. Only one test at a time may call it.
    fn panic(times: u32) {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| tracing::subscriber::set_global_default(Self).unwrap());
        PANICS_LEFT.store(times, Ordering::SeqCst);
    }
}

impl tracing::Subscriber for PanickingLog {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        let keeps = thread::current().name().is_some_and(|name| name.starts_with("linklock"));
        if keeps && PANICS_LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            panic!("the log panics on purpose");
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// A lock for which two of three refreshes fail.
fn kept_through_errors(arena: &Arena, lifetime: Duration) -> Guard {
    let mut tries = 0;
    arena.env.on_call(move |_, call, when, _| {
        if (call, when) != (Call::SetExpiry, When::Before) {
            return Fate::GoOn;
        }
        tries += 1;
        if tries % 3 == 0 { Fate::GoOn } else { Fate::Fail(io::ErrorKind::TimedOut) }
    });
    let builder = arena.builder(Protocol::Link).lifetime(lifetime).keep_alive(true);
    builder.build_in(arena.env.clone()).unwrap().acquire().unwrap()
}

/// The bug: the keep-alive thread ended when the log panicked in it. The consequence: no lock of the process was refreshed any
/// longer, and neither were later ones. The mend: the thread catches the panic.
#[test]
fn locks_are_kept_alive_through_a_log_that_panics() {
    let _alone = KEEPER.lock().unwrap_or_else(PoisonError::into_inner);
    let lifetime = Duration::from_millis(1500);
    for times in [1, u32::MAX] {
        let (arena, of_later) = (Arena::new(), Arena::new());
        PanickingLog::panic(times);
        let guard = kept_through_errors(&arena, lifetime);
        assert_eq!(guard.loss().wait_timeout(2 * lifetime), None, "{times} panics");
        assert!(PANICS_LEFT.load(Ordering::SeqCst) < times, "it has panicked");
        let later = kept_through_errors(&of_later, lifetime);
        assert_eq!(later.loss().wait_timeout(2 * lifetime), None, "{times} panics: acquired later");
        PanickingLog::panic(0);
        guard.release().unwrap();
        later.release().unwrap();
    }
}

/// The same with a panic outside of a refresh.
#[test]
fn the_keep_alive_thread_continues_after_a_panic() {
    let _alone = KEEPER.lock().unwrap_or_else(PoisonError::into_inner);
    let arena = Arena::new();
    let lifetime = Duration::from_millis(900);
    arena.env.keepers_clock_panics.store(3, Ordering::SeqCst);
    let builder = arena.builder(Protocol::Link).lifetime(lifetime).keep_alive(true);
    let guard = builder.build_in(arena.env.clone()).unwrap().acquire().unwrap();
    assert_eq!(guard.loss().wait_timeout(3 * lifetime), None);
    assert_eq!(arena.env.keepers_clock_panics.load(Ordering::SeqCst), 0, "it has panicked");
    guard.release().unwrap();
}

/// The keeper forgets guards that are gone once it has many, and no others.
#[test]
fn each_of_many_locks_is_kept_alive() {
    let _alone = KEEPER.lock().unwrap_or_else(PoisonError::into_inner);
    let arena = Arena::new();
    let kept = |number: u32| {
        let builder =
            Lock::builder(arena.dir.path().join(format!("{number}.lock"))).lifetime(LIFETIME).keep_alive(true);
        builder.build_in(arena.env.clone()).unwrap().acquire().unwrap()
    };
    let guards: Vec<_> = (0..100).map(kept).collect();
    arena.env.sleep(LIFETIME / 2);
    let are_refreshed = || guards.iter().all(|guard| guard.remaining() > LIFETIME * 2 / 3);
    for _ in 0..300 {
        if are_refreshed() {
            break;
        }
        pause(Duration::from_millis(100));
    }
    assert!(are_refreshed());
}

/// A lock whose refresh hangs in the file system until the sender is dropped. The clock is advanced so that it is due.
fn kept_by_a_refresh_that_hangs(arena: &Arena) -> (Guard, mpsc::Sender<()>) {
    let (hang, until_end) = mpsc::channel::<()>();
    let until_end = Mutex::new(until_end);
    let (hanging, is_hanging) = mpsc::channel();
    arena.env.on_call(move |_, call, when, _| {
        if (call, when) == (Call::SetExpiry, When::Before) {
            let _ = hanging.send(());
            let _ = until_end.lock().unwrap().recv();
        }
        Fate::GoOn
    });
    let builder = arena.builder(Protocol::Link).keep_alive(true);
    let guard = builder.build_in(arena.env.clone()).unwrap().acquire().unwrap();
    arena.env.sleep(LIFETIME / 2);
    is_hanging.recv().unwrap();
    (guard, hang)
}

/// A time-out, so that a failed test does not hang.
const SAFETY_NET: Duration = Duration::from_secs(20);

/// The bug: the data of a guard was protected by the mutex of its operations on the lock. The consequence: a query for the
/// lifetime took as long as the file system hung. The mend: queries do not use that mutex.
#[test]
fn a_guard_answers_queries_while_a_refresh_hangs() {
    let _alone = KEEPER.lock().unwrap_or_else(PoisonError::into_inner);
    let arena = Arena::new();
    let (guard, hang) = kept_by_a_refresh_that_hangs(&arena);
    let (sender, answers) = mpsc::channel();
    thread::scope(|scope| {
        let guard = &guard;
        scope.spawn(move || {
            let loss = guard.loss();
            let is_held = !guard.is_lost() && !loss.is_lost() && !guard.remaining().is_zero();
            let token = guard.holder().map(|holder| holder.token);
            let waited = loss.wait_timeout(Duration::ZERO);
            sender.send((is_held, token, guard.lifetime(), guard.expires_at().is_some(), waited)).unwrap();
        });
        let answer = answers.recv_timeout(SAFETY_NET);
        drop(hang);
        assert_eq!(answer, Ok((true, Some(guard.token().clone()), LIFETIME, true, None)));
    });
    guard.release().unwrap();
}

/// The bug: the same; and another thread could have locked the mutex of the loss at the time of the fork. The consequence: a
/// forked child hung for ever. The mend: a forked child waits for neither.
#[cfg(unix)]
#[test]
fn nothing_of_a_guard_hangs_in_a_forked_child() {
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::Command;
    use std::sync::Arc;

    let _alone = KEEPER.lock().unwrap_or_else(PoisonError::into_inner);
    let arena = Arena::new();
    let (guard, hang) = kept_by_a_refresh_that_hangs(&arena);
    let loss = guard.loss();
    let guard = Arc::new(Mutex::new(Some(guard)));
    let of_child = Arc::clone(&guard);
    let in_child = move || {
        let guard = of_child.lock().unwrap().take().unwrap();
        let not_held = |asked: Result<(), Error>| asked.is_err_and(|e| e.kind() == ErrorKind::NotHeld);
        let loss = guard.loss();
        guard.keep_alive().unwrap();
        let facts = [
            guard.is_lost() && loss.is_lost() && guard.remaining().is_zero(),
            loss.wait(),
            loss.wait_timeout(SAFETY_NET) == Some(true),
            guard.holder().is_some_and(|holder| &holder.token == guard.token()),
            guard.lifetime() == LIFETIME && guard.expires_at().is_some(),
            guard.fencing_token().is_none() && guard.path().is_absolute() && !format!("{guard:?} {loss:?}").is_empty(),
            not_held(guard.check()),
            not_held(guard.refresh()),
            not_held(guard.refresh_for(LIFETIME)),
            guard.release().is_err_and(|e| not_held(Err(e.into()))),
        ];
        match facts.iter().position(|fact| !fact) {
            Some(untrue) => Err(io::Error::from_raw_os_error(1 + untrue as i32)),
            None => Ok(()),
        }
    };
    let mut command = Command::new("true");
    #[expect(unsafe_code, reason = "the compiler cannot check code between fork and exec")]
    // SAFETY: of all that another thread may have locked at the fork, the child uses the allocator alone, and the C library
    // makes that usable in a forked child. The test checks that the child waits for nothing else.
    unsafe {
        command.pre_exec(move || {
            libc::alarm(SAFETY_NET.as_secs() as u32);
            in_child()
        });
    }
    // A thread that waits for a loss does this.
    let locked = loss.lock_notices();
    let outcome = command.status();
    // Before any assertion, so that a failed test does not hang.
    drop((locked, hang));
    match outcome {
        Ok(status) => assert_eq!(status.signal(), None, "the child hung"),
        Err(e) => panic!("in the child, fact {:?} (counted from 1) is false", e.raw_os_error()),
    }
    let guard = guard.lock().unwrap().take().unwrap();
    guard.check().unwrap();
    guard.release().unwrap();
}

/// The bug: when a failed release was converted to an error, its guard was dropped and released again. The consequence: the
/// release waited twice for a file system that hung, and the error described an old state. The mend: the guard is given up.
#[test]
fn a_release_error_that_is_converted_gives_up_the_guard() {
    for protocol in BOTH {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire().unwrap();
        arena.env.on_call(|_, call, when, _| match (call, when) {
            (Call::Unlink, When::Before) => Fate::Fail(io::ErrorKind::TimedOut),
            _ => Fate::GoOn,
        });
        let (loss, failed) = (guard.loss(), guard.release().unwrap_err());
        let before = arena.env.calls_in_all();
        let error = Error::from(failed);
        assert_eq!(error.kind(), ErrorKind::Io, "{protocol}");
        assert_eq!(arena.env.calls_in_all(), before, "{protocol}: nothing more is sent");
        assert!(!loss.wait(), "{protocol}: nobody holds it any longer");
        assert!(arena.rival(protocol).try_acquire().is_none(), "{protocol}: the lock stays until it expires");
    }
}

/// The bug: keep-alive continued as long as a notice of the loss existed. The consequence: a lock whose guard was dropped was
/// never free. The mend: keep-alive ends with the guard.
#[test]
fn a_lock_whose_guard_is_gone_is_not_kept_alive() {
    let _alone = KEEPER.lock().unwrap_or_else(PoisonError::into_inner);
    for is_converted in [false, true] {
        let arena = Arena::new();
        arena.env.on_call(|_, call, when, _| match (call, when) {
            (Call::Unlink, When::Before) => Fate::Fail(io::ErrorKind::TimedOut),
            _ => Fate::GoOn,
        });
        let builder = arena.builder(Protocol::Link).keep_alive(true);
        let guard = builder.build_in(arena.env.clone()).unwrap().acquire().unwrap();
        let loss = guard.loss();
        if is_converted {
            drop(Error::from(guard.release().unwrap_err()));
        } else {
            drop(guard);
        }
        // The refresh is due, since the thread looks at the clock every second.
        arena.env.sleep(LIFETIME / 2);
        pause(Duration::from_millis(1500));
        assert_eq!(arena.env.calls(Call::SetExpiry).len(), 0);
        assert!(!loss.wait());
    }
}
