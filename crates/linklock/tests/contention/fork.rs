//! A guard that a forked child has inherited is not the child's.
#![expect(unsafe_code, reason = "fork(2) has no safe wrapper")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use linklock::{ErrorKind, Guard, State, Token, Wait};
use tracing::span;

use crate::common::{BOTH, Ground, HOUR};
use crate::settings::Settings;

/// Runs `child` in a forked process, which shares nothing with this one but its past. What it gives is the number of what
/// went wrong there, 0 for nothing.
fn in_forked_child(mut child: impl FnMut() -> i32 + Send + Sync + 'static) -> i32 {
    let mut command = Command::new("true");
    let forked = move || match child() {
        0 => Ok(()),
        wrong => Err(io::Error::from_raw_os_error(wrong)),
    };
    // SAFETY: of what other threads may have locked at the fork, the child touches the allocator alone, and the C library
    // sees to it that a forked child can use that.
    unsafe { command.pre_exec(forked) };
    match command.status() {
        Ok(_) => 0,
        Err(e) => e.raw_os_error().unwrap(),
    }
}

/// The number of the first that is not so, from 1.
fn first_untrue(facts: &[bool]) -> i32 {
    facts.iter().position(|fact| !fact).map_or(0, |at| at as i32 + 1)
}

#[test]
fn a_guard_in_a_forked_child_neither_refreshes_nor_releases_the_parents_lock() {
    for protocol in BOTH {
        for keep_alive in [false, true] {
            let ground = Ground::new();
            let settings = Settings::new(&ground.lock(), protocol).lifetime(HOUR).keep_alive(keep_alive);
            let guard = settings.lock().acquire().unwrap();
            let before = settings.lock().inspect().unwrap();
            let (token, loss) = (guard.token().clone(), guard.loss());

            let shared = Arc::new(Mutex::new(Some(guard)));
            let inherited = Arc::clone(&shared);
            let wrong = in_forked_child(move || {
                let guard = inherited.lock().unwrap().take().unwrap();
                let not_held =
                    |result: Result<(), linklock::Error>| result.is_err_and(|e| e.kind() == ErrorKind::NotHeld);
                let facts = [
                    guard.is_lost(),
                    guard.loss().is_lost(),
                    guard.remaining().is_zero(),
                    not_held(guard.check()),
                    not_held(guard.refresh()),
                    guard.loss().wait(),
                ];
                let Err(refused) = guard.release() else { return 100 };
                let refused_as_not_held = refused.error().kind() == ErrorKind::NotHeld;
                drop(refused.into_parts().1);
                first_untrue(&[&facts[..], &[refused_as_not_held]].concat())
            });
            assert_eq!(wrong, 0, "{protocol}: what is not so in the child, counted from 1");

            let guard: Guard = shared.lock().unwrap().take().unwrap();
            let after = settings.lock().inspect().unwrap();
            assert_eq!(after.holder, before.holder, "{protocol}: not released, not refreshed");
            assert_eq!((guard.is_lost(), loss.is_lost()), (false, false), "{protocol}");
            assert_eq!(guard.token(), &token);
            guard.check().unwrap();
            guard.release().unwrap();
        }
    }
}

/// Counts what is written to the log.
struct Log(AtomicUsize);

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn a_guard_that_is_dropped_in_a_forked_child_neither_releases_nor_complains() {
    for protocol in BOTH {
        for keep_alive in [false, true] {
            let ground = Ground::new();
            let settings = Settings::new(&ground.lock(), protocol).lifetime(HOUR).keep_alive(keep_alive);
            let guard = settings.lock().acquire().unwrap();
            let before = settings.lock().inspect().unwrap();
            let shared = Arc::new(Mutex::new(Some(guard)));
            let inherited = Arc::clone(&shared);
            let wrong = in_forked_child(move || {
                let guard = inherited.lock().unwrap().take().unwrap();
                let log = Arc::new(Log(AtomicUsize::new(0)));
                tracing::subscriber::with_default(Arc::clone(&log), || drop(guard));
                first_untrue(&[log.0.load(Ordering::SeqCst) == 0])
            });
            assert_eq!(wrong, 0, "{protocol}: to drop it is no failed release");
            let guard = shared.lock().unwrap().take().unwrap();
            assert_eq!(settings.lock().inspect().unwrap().holder, before.holder, "{protocol}");
            guard.check().unwrap();
            guard.release().unwrap();
            assert_eq!(ground.names(), [""; 0], "{protocol}");
        }
    }
}

#[test]
fn a_guard_that_is_left_in_a_forked_child_stays_with_the_parent() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol).lifetime(HOUR);
        let shared = Arc::new(Mutex::new(Some(settings.lock().acquire().unwrap())));
        let inherited = Arc::clone(&shared);
        let wrong = in_forked_child(move || {
            let left = inherited.lock().unwrap().take().unwrap().leave();
            first_untrue(&[left != Token::new("")])
        });
        assert_eq!(wrong, 0);
        let guard = shared.lock().unwrap().take().unwrap();
        guard.refresh().unwrap();
        guard.release().unwrap();
    }
}

#[test]
fn a_forked_child_contends_in_its_own_name() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol).lifetime(HOUR);
        let lock = settings.lock();
        let guard = lock.acquire().unwrap();
        let contender = lock.clone();
        let wrong = in_forked_child(move || {
            first_untrue(&[contender
                .acquire_with(&Wait::never())
                .is_err_and(|e| e.holder().is_some_and(|h| h.pid != std::process::id()))])
        });
        assert_eq!(wrong, 0, "{protocol}: the parent excludes the child");
        guard.release().unwrap();

        let contender = lock.clone();
        let wrong = in_forked_child(move || {
            let Ok(guard) = contender.acquire_with(&Wait::never()) else { return 1 };
            let own = guard.holder().is_some_and(|holder| holder.pid == std::process::id());
            guard.leave();
            first_untrue(&[true, own])
        });
        assert_eq!(wrong, 0, "{protocol}: the child's claim names the child");
        assert_eq!(lock.inspect().unwrap().state, State::Abandoned, "{protocol}: the lock dies with the child");
    }
}
