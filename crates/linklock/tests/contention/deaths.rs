//! Holders that end without a release.

use std::time::Duration;

use linklock::{ErrorKind, OnBehalfOf, SEPARATOR, State, Wait};

use crate::common::{BOTH, Ground, HOUR, LONG};
use crate::puppet::Puppet;
use crate::settings::Settings;

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn a_lock_whose_holder_was_killed_is_recovered_long_before_its_lifetime_is_over() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol).lifetime(HOUR);
        let mut holder = Puppet::start(&settings);
        holder.acquire();
        holder.kill();
        holder.reap();
        let lock = settings.lock();
        assert_eq!(lock.inspect().unwrap().state, State::Abandoned, "{protocol}");
        lock.acquire_with(&Wait::never()).unwrap().release().unwrap();
        assert_eq!(ground.names(), [""; 0], "{protocol}: what the killed process left is swept away");
    }
}

#[test]
fn a_killed_holder_that_nobody_has_reaped_is_dead_too() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol).lifetime(HOUR);
        let mut holder = Puppet::start(&settings);
        holder.acquire();
        holder.kill();
        // Its end is not instantaneous; that it is a zombie then, and stays one, or that it can still be opened, is our doing.
        let guard = settings.lock().acquire_with(&Wait::up_to(LONG)).unwrap();
        guard.release().unwrap();
        #[cfg(target_os = "linux")]
        let status = std::fs::read_to_string(format!("/proc/{}/status", holder.pid())).unwrap();
        #[cfg(target_os = "linux")]
        assert!(status.contains("State:\tZ"), "{protocol}: still not reaped: {status}");
    }
}

#[test]
fn a_waiter_gets_the_lock_when_the_holder_is_killed_under_its_eyes() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol).lifetime(HOUR);
        let mut holder = Puppet::start(&settings);
        let mut waiter = Puppet::start(&settings);
        holder.acquire();
        waiter.tell("acquire 60000");
        // A contender that waits has a claim beside the lock's.
        let claims = |ground: &Ground| ground.names().iter().filter(|n| n.contains(SEPARATOR)).count();
        while claims(&ground) < if protocol == linklock::Protocol::Link { 2 } else { 1 } {
            std::thread::yield_now();
        }
        std::thread::sleep(SHORT);
        holder.kill();
        waiter.reply().unwrap_or_else(|e| panic!("{protocol}: {e}"));
    }
}

#[test]
fn a_dead_holder_keeps_its_lock_where_recovery_is_switched_off() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol).lifetime(HOUR);
        let mut holder = Puppet::start(&settings);
        let token = holder.acquire();
        holder.kill();
        holder.reap();
        let lock = settings.clone().recover_dead(false).lock();
        let error = lock.acquire_with(&Wait::up_to(SHORT)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{protocol}: {error}");
        assert_eq!(error.holder().unwrap().token.to_string(), token, "{protocol}");
        assert_eq!(lock.inspect().unwrap().state, State::Held, "{protocol}");
        assert_eq!(settings.lock().inspect().unwrap().state, State::Abandoned, "{protocol}: with recovery");
    }
}

#[test]
fn a_dead_holder_of_another_host_keeps_its_lock() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol).lifetime(HOUR);
        let mut holder = Puppet::start(&settings.clone().host("elsewhere.example"));
        holder.acquire();
        holder.kill();
        holder.reap();
        let error = settings.lock().acquire_with(&Wait::up_to(SHORT)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{protocol}: {error}");
        assert!(error.to_string().contains("elsewhere.example"), "{protocol}: {error}");
    }
}

#[test]
fn a_lock_on_behalf_of_a_process_dies_with_that_process() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol).lifetime(HOUR);
        let mut other = Puppet::start(&settings);
        let builder = || linklock::Lock::builder(ground.lock()).protocol(protocol).lifetime(HOUR);
        let lock = builder().on_behalf_of(OnBehalfOf::Process(other.pid())).build().unwrap();
        lock.acquire().unwrap().leave();
        assert!(settings.lock().acquire_with(&Wait::never()).is_err(), "{protocol}: that process lives");
        other.kill();
        other.reap();
        settings.lock().acquire_with(&Wait::never()).unwrap().release().unwrap();

        let error = lock.acquire_with(&Wait::never()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{protocol}: for a process that is no more: {error}");
        let nobodys = builder().on_behalf_of(OnBehalfOf::Nobody).build().unwrap();
        nobodys.acquire().unwrap().leave();
        assert_eq!(nobodys.inspect().unwrap().state, State::Held, "{protocol}: outlives every process");
    }
}

/// The bug: a break that found the lock free removed nothing. The consequence: what killed waiters left beside a lock that was
/// released in order was never removed. The mend: such a break removes it too.
#[test]
fn what_forty_killed_waiters_left_is_gone_after_one_break_of_a_free_lock() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol).lifetime(HOUR);
        let held = settings.lock().acquire().unwrap();
        let names = ground.names().len();
        let mut waiters: Vec<_> = (0..40).map(|_| Puppet::start(&settings)).collect();
        for waiter in &mut waiters {
            waiter.tell("acquire 60000");
        }
        while ground.names().len() < names + waiters.len() {
            std::thread::yield_now();
        }
        for waiter in &mut waiters {
            waiter.kill();
            waiter.reap();
        }
        assert_eq!(ground.names().len(), names + 40, "{protocol}: whoever is killed leaves its claim");
        held.release().unwrap();
        settings.lock().acquire().unwrap().release().unwrap();
        assert_eq!(ground.names().len(), 40, "{protocol}: a cycle with no break does not list the directory");
        assert!(settings.lock().break_lock(&linklock::Which::Expired).unwrap().is_none(), "{protocol}: it is free");
        assert_eq!(ground.names(), [""; 0], "{protocol}");
    }
}
