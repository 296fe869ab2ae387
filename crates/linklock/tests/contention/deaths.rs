//! Holders that end without a release.

use std::time::Duration;

use linklock::{ErrorKind, OnBehalfOf, SEPARATOR, State, Wait};

use crate::common::{BOTH, Ground, HOUR, LONG, named};
use crate::puppet::Puppet;
use crate::settings::Settings;

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn a_killed_holders_lock_is_recovered_long_before_it_expires() {
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
        assert_eq!(ground.names(), [""; 0], "{protocol}: the leftovers of the killed process are removed");
    }
}

#[test]
fn a_killed_holder_is_dead_even_as_a_zombie() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol).lifetime(HOUR);
        let mut holder = Puppet::start(&settings);
        holder.acquire();
        holder.kill();
        // Its end takes a moment. That it then stays a zombie, or can still be opened, is due to this test.
        let guard = settings.lock().acquire_with(&Wait::up_to(LONG)).unwrap();
        guard.release().unwrap();
        #[cfg(target_os = "linux")]
        let status = std::fs::read_to_string(format!("/proc/{}/status", holder.pid())).unwrap();
        #[cfg(target_os = "linux")]
        assert!(status.contains("State:\tZ"), "{protocol}: it is still a zombie: {status}");
    }
}

#[test]
fn a_waiter_gets_the_lock_when_the_holder_is_killed_during_the_wait() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol).lifetime(HOUR);
        let mut holder = Puppet::start(&settings);
        let mut waiter = Puppet::start(&settings);
        holder.acquire();
        waiter.tell("acquire 60000");
        // A waiter has a claim beside the lock's.
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
fn a_dead_holder_keeps_its_lock_if_recovery_is_switched_off() {
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
fn a_lock_on_behalf_of_a_process_is_abandoned_when_it_ends() {
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
        assert_eq!(error.kind(), ErrorKind::Invalid, "{protocol}: that process has ended: {error}");
        let nobodys = builder().on_behalf_of(OnBehalfOf::Nobody).build().unwrap();
        nobodys.acquire().unwrap().leave();
        assert_eq!(nobodys.inspect().unwrap().state, State::Held, "{protocol}: it depends on no process");
    }
}

/// The bug: a break that found the lock free removed no leftovers. The consequence: where a lock was always released in
/// order, the claims of killed waiters stayed for ever. The mend: such a break removes them too.
#[test]
fn one_break_of_a_free_lock_removes_the_leftovers_of_forty_killed_waiters() {
    for protocol in BOTH {
        let ground = Ground::new();
        let settings = Settings::new(&ground.lock(), protocol).lifetime(HOUR);
        let held = settings.lock().acquire().unwrap();
        // Where they line up, there is a queue beside their claims.
        let claims = || ground.names().into_iter().filter(|name| *name != named("lock|queue")).count();
        let names = claims();
        let mut waiters: Vec<_> = (0..40).map(|_| Puppet::start(&settings)).collect();
        for waiter in &mut waiters {
            waiter.tell("acquire 60000");
        }
        while claims() < names + waiters.len() {
            std::thread::yield_now();
        }
        for waiter in &mut waiters {
            waiter.kill();
            waiter.reap();
        }
        // One that was killed while it made the queue leaves the directory that it made for it.
        let left = claims() - names;
        assert!(left >= 40, "{protocol}: each killed waiter leaves its claim");
        held.release().unwrap();
        settings.lock().acquire().unwrap().release().unwrap();
        assert_eq!(claims(), left, "{protocol}: a cycle without a break does not list the directory");
        assert!(settings.lock().break_lock(&linklock::Which::Expired).unwrap().is_none(), "{protocol}: it is free");
        assert_eq!(ground.names(), [""; 0], "{protocol}");
    }
}
