//! A process that is stopped, or killed, exactly before one of its system calls, for each call in turn.
//!
//! What random signals hit once in a million is here hit every time, see turmoil.rs. It needs ptrace(2) of an own child.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use linklock::{Guard, Lock, Protocol, State, Token, Wait};

use crate::common::{BOTH, Ground, HOUR, LONG, long_ago, plant, say};
use crate::puppet::Puppet;
use crate::settings::Settings;
use crate::system::now;
use crate::trace::{Call, Trace};

const CYCLE: [&str; 3] = ["acquire 0", "refresh", "release"];

/// What a puppet is told, on a lock path of its own.
#[derive(Clone, Debug)]
struct Scene {
    protocol: Protocol,
    /// Whether a peer's overdue lock is there at first.
    overdue: bool,
    /// By which protocol another holds the lock at first.
    held: Option<Protocol>,
    orders: &'static [&'static str],
    lifetime: Duration,
    recover_dead: bool,
}

/// A puppet that is stopped before a call of the last of its orders.
struct Stopped {
    // Dropped in this order: a process cannot be reaped before its tracer lets go.
    trace: Trace,
    puppet: Puppet,
    ground: Ground,
    before: Call,
    held: Option<Guard>,
    /// The puppet's.
    lifetime: Duration,
}

impl Scene {
    fn new(protocol: Protocol, orders: &'static [&'static str]) -> Self {
        Self { protocol, overdue: false, held: None, orders, lifetime: HOUR, recover_dead: true }
    }

    /// `None` if the last order makes no more than `count` calls.
    fn stop_before(&self, count: usize) -> Option<Stopped> {
        let ground = Ground::new();
        if self.overdue {
            plant(self.protocol, &ground.lock(), long_ago());
        }
        let held = self.held.map(|protocol| by(protocol, &ground).acquire_with(&Wait::never()).unwrap());
        let mut puppet = Puppet::start(&self.settings(&ground).lifetime(self.lifetime));
        // What a process does but once, such as finding out who it is, is done.
        puppet.ask("warm").unwrap();
        let began = now();
        let (last, first) = self.orders.split_last().unwrap();
        for order in first {
            puppet.ask(order).unwrap();
        }
        let trace = Trace::attach(&mut puppet).unwrap();
        puppet.tell(last);
        let before = (0..=count).map_while(|_| trace.next()).nth(count);
        if now() - began >= self.lifetime {
            // On a slow machine its time was over before it was stopped.
            return Self { lifetime: 4 * self.lifetime, ..self.clone() }.stop_before(count);
        }
        Some(Stopped { before: before?, trace, puppet, ground, held, lifetime: self.lifetime })
    }

    /// For those who contend with the puppet.
    fn settings(&self, ground: &Ground) -> Settings {
        let settings = Settings::new(&ground.lock(), self.protocol).recover_dead(self.recover_dead);
        settings.lifetime(HOUR).grace(Duration::ZERO)
    }

    /// What the puppet is stopped before, with all the stops that there are.
    fn stops(&self) -> impl Iterator<Item = (String, Stopped)> {
        let stop = |count| {
            let stopped = self.stop_before(count)?;
            let at = format!("{}: {:?} stopped before {:?}", self.protocol, self.orders, stopped.before);
            Some((at, stopped))
        };
        (0..).map_while(stop)
    }
}

impl Stopped {
    /// Lets it go on, with a look at `rival`'s lock after each call; says whether the rival held it all the time, and what
    /// the order came to.
    fn go_on(&mut self, rival: Option<&Guard>) -> (bool, Result<String, String>) {
        let mut unharmed = true;
        while self.trace.next().is_some() {
            unharmed &= rival.is_none_or(|guard| guard.check().is_ok());
        }
        self.trace.detach();
        let reply = self.puppet.reply();
        (unharmed && rival.is_none_or(|guard| guard.check().is_ok()), reply)
    }
}

fn by(protocol: Protocol, ground: &Ground) -> Lock {
    Settings::new(&ground.lock(), protocol).lifetime(HOUR).lock()
}

fn can_trace() -> bool {
    let ground = Ground::new();
    let mut puppet = Puppet::start(&Settings::new(&ground.lock(), Protocol::Link));
    match Trace::attach(&mut puppet) {
        Ok(_) => true,
        Err(e) => {
            say(&format!("not run: stops before every call: this system allows no ptrace: {e}"));
            false
        }
    }
}

#[test]
fn a_holder_that_is_stopped_before_any_call_harms_no_successor_if_ptrace_is_allowed() {
    if !can_trace() {
        return;
    }
    for protocol in BOTH {
        let mut harmful = Vec::new();
        let mut calls = 0;
        for orders in [&CYCLE[..1], &CYCLE[..2], &["acquire 0", "release"]] {
            let scene = Scene { lifetime: Duration::from_millis(400), ..Scene::new(protocol, orders) };
            let order = *orders.last().unwrap();
            // All at once, so that their lifetimes pass at once.
            let all: Vec<_> = scene.stops().collect();
            for (at, mut stopped) in all {
                calls += 1;
                let lock = scene.settings(&stopped.ground).lock();
                let was_free = lock.inspect().unwrap().state == State::Free;
                let rival = lock.acquire_with(&Wait::up_to(LONG)).unwrap();
                let (unharmed, reply) = stopped.go_on(Some(&rival));
                match reply {
                    _ if !unharmed => harmful.push((order, stopped.before.clone())),
                    Ok(_) => assert!(order == "release" && was_free, "{at}: two hold the lock"),
                    Err(said) => {
                        let expected = if order == "acquire 0" { "Timeout" } else { "Lost" };
                        assert!(said.starts_with(expected), "{at}: {said}");
                    }
                }
            }
        }
        assert!(calls > 10, "{protocol}: stopped before {calls} calls");
        let lock_is_unlinked = |call: &Call| call.is_unlink() && call.paths[0].ends_with("lock");
        match protocol {
            // The documented limit: nobody can unlink the shared name on condition that it is still his.
            Protocol::Link => {
                assert!(
                    matches!(&harmful[..], [("release", call)] if lock_is_unlinked(call)),
                    "link: harmful are {harmful:?}"
                );
            }
            _ => assert!(harmful.is_empty(), "{protocol}: harmful are {harmful:?}"),
        }
    }
}

/// The bug: a process is stopped between its fresh expiry and the moment in which it sees that it has the lock, or has it
/// still, and believes in a lock that is overdue by then.
#[test]
fn whoever_is_stopped_before_any_call_until_its_lifetime_is_over_gets_no_overdue_lock_if_ptrace_is_allowed() {
    if !can_trace() {
        return;
    }
    for protocol in BOTH {
        for orders in [&CYCLE[..1], &CYCLE[..2]] {
            let scene = Scene { lifetime: Duration::from_secs(1), ..Scene::new(protocol, orders) };
            let all: Vec<_> = scene.stops().collect();
            std::thread::sleep(all.iter().map(|(_, stopped)| stopped.lifetime).max().unwrap());
            for (at, mut stopped) in all {
                match (orders.len(), stopped.go_on(None).1) {
                    // It began anew, in time.
                    (1, Ok(said)) => assert!(!said.ends_with("lost"), "{at}: it acquired an overdue lock"),
                    (1, Err(said)) => assert!(said.starts_with("Timeout"), "{at}: {said}"),
                    (_, reply) => {
                        let said = reply.expect_err(&format!("{at}: a refresh came too late"));
                        assert!(said.starts_with("Lost"), "{at}: {said}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_breaker_that_is_stopped_before_any_call_harms_nobody_if_ptrace_is_allowed() {
    if !can_trace() {
        return;
    }
    for protocol in BOTH {
        let scene = Scene { overdue: true, ..Scene::new(protocol, &CYCLE[..1]) };
        let mut calls = 0;
        for (at, mut stopped) in scene.stops() {
            calls += 1;
            let rival = scene.settings(&stopped.ground).lock().acquire_with(&Wait::never());
            let (unharmed, reply) = stopped.go_on(rival.as_ref().ok());
            assert!(unharmed, "{at}: the rival's lock was moved");
            match rival {
                Ok(_) => {
                    let said = reply.expect_err(&format!("{at}: two hold the lock"));
                    assert!(said.starts_with("Timeout"), "{at}: {said}");
                }
                Err(e) => {
                    assert!(e.is_timeout(), "{at}: {e}");
                    reply.unwrap_or_else(|e| panic!("{at}: neither of two breakers got the lock: {e}"));
                    stopped.puppet.ask("check").unwrap();
                }
            }
        }
        assert!(calls > 15, "{protocol}: stopped before {calls} calls");
    }
}

#[test]
fn a_process_that_is_killed_before_any_call_leaves_nothing_that_lasts_if_ptrace_is_allowed() {
    if !can_trace() {
        return;
    }
    for protocol in BOTH {
        let scenes = [&CYCLE[..1], &CYCLE[..2], &CYCLE].map(|orders| Scene::new(protocol, orders));
        let breaker = Scene { overdue: true, ..scenes[0].clone() };
        for scene in scenes.iter().chain([&breaker]) {
            for (at, stopped) in scene.stops() {
                let Stopped { ground, mut puppet, trace, .. } = stopped;
                trace.kill(&mut puppet);
                let lock = scene.settings(&ground).lock();
                let next = lock
                    .acquire_with(&Wait::never())
                    .unwrap_or_else(|e| panic!("{at} and killed: not recovered at once: {e}"));
                next.release().unwrap_or_else(|e| panic!("{at} and killed: {e}"));
                // Whoever waited in vain left his claim; the next break clears it away.
                plant(protocol, &ground.lock(), long_ago());
                lock.acquire_with(&Wait::never()).unwrap().release().unwrap();
                assert_eq!(ground.names(), [""; 0], "{at} and killed: left over");
            }
        }
    }
}

/// The bug: a breaker clears away what dead processes left, and with it the claim of a lock whose holder has ended but
/// whose lock is to last.
#[test]
fn where_recovery_is_off_a_breaker_clears_away_no_lock_that_was_left_if_ptrace_is_allowed() {
    if !can_trace() {
        return;
    }
    for protocol in BOTH {
        let scene = Scene { overdue: true, recover_dead: false, ..Scene::new(protocol, &CYCLE[..1]) };
        for (at, mut stopped) in scene.stops() {
            let settings = scene.settings(&stopped.ground);
            let mut rival = Puppet::start(&settings);
            if let Ok(token) = rival.ask("acquire 0") {
                rival.ask("leave").unwrap();
                rival.kill();
                rival.reap();
                let (_, reply) = stopped.go_on(None);
                assert!(reply.is_err(), "{at}: two hold the lock");
                let left = settings.lock().adopt(&Token::new(token)).unwrap_or_else(|e| panic!("{at}: {e}"));
                left.check().unwrap_or_else(|e| panic!("{at}: {e}"));
            }
        }
    }
}

/// The bug: between two steps of a look at the lock, a file becomes a directory or the reverse, and the look fails. The mend:
/// it looks again.
#[test]
fn a_contender_stopped_before_any_call_sees_the_lock_change_hands_and_protocol_if_ptrace_is_allowed() {
    if !can_trace() {
        return;
    }
    for protocol in BOTH {
        for (first, second) in [(BOTH[0], BOTH[1]), (BOTH[1], BOTH[0])] {
            let scene = Scene { held: Some(first), ..Scene::new(protocol, &CYCLE[..1]) };
            for (at, mut stopped) in scene.stops() {
                stopped.held.take().unwrap().release().unwrap();
                let rival =
                    by(second, &stopped.ground).acquire_with(&Wait::never()).unwrap_or_else(|e| panic!("{at}: {e}"));
                let (unharmed, reply) = stopped.go_on(Some(&rival));
                assert!(unharmed, "{at}: from {first} to {second}");
                let said = reply.expect_err(&at);
                assert!(said.starts_with("Timeout"), "{at}: from {first} to {second}: {said}");
            }
        }
    }
}

/// The bug: a breaker looks, a peer that knows no guard replaces the lock, the breaker moves the peer's away. The mend: it
/// looks at what it moved, and puts it back.
#[test]
fn a_peer_that_knows_no_guard_gets_its_lock_back_if_ptrace_is_allowed() {
    if !can_trace() {
        return;
    }
    let mut stopped = breaker_before_its_rename();
    let claim = replace_by_live_lock(&stopped.ground);
    let (_, reply) = stopped.go_on(None);
    let said = reply.expect_err("the peer holds the lock");
    assert!(said.starts_with("Timeout"), "{said}");
    let lock = fs::metadata(stopped.ground.lock()).unwrap();
    assert_eq!((lock.ino(), lock.nlink()), (fs::metadata(claim).unwrap().ino(), 2), "the peer's lock is where it was");
    assert_eq!(stopped.ground.names().len(), 2, "nothing else is left: {:?}", stopped.ground.names());
}

#[test]
fn what_a_breaker_puts_back_replaces_no_lock_taken_meanwhile_if_ptrace_is_allowed() {
    if !can_trace() {
        return;
    }
    let mut stopped = breaker_before_its_rename();
    let path = stopped.ground.lock();
    replace_by_live_lock(&stopped.ground);
    let back = std::iter::from_fn(|| stopped.trace.next()).find(|call| call.is_link() && call.paths[1] == path);
    assert!(back.is_some(), "it puts the lock back");
    let third = by(Protocol::Link, &stopped.ground).acquire_with(&Wait::never()).unwrap();
    let (unharmed, reply) = stopped.go_on(Some(&third));
    assert!(unharmed, "the lock that was taken meanwhile stays");
    assert!(reply.is_err(), "the third holds it");
}

/// A breaker that has its turn and has looked again, and is about to move a peer's overdue lock.
fn breaker_before_its_rename() -> Stopped {
    let scene = Scene { overdue: true, ..Scene::new(Protocol::Link, &CYCLE[..1]) };
    let mut stopped = scene.stop_before(0).unwrap();
    while !(stopped.before.is_rename() && stopped.before.paths[0] == stopped.ground.lock()) {
        stopped.before = stopped.trace.next().expect("a breaker renames the lock path");
    }
    stopped
}

/// As a peer would have it that breaks and acquires at this moment: with another file, which is over in an hour. Gives
/// the claim.
fn replace_by_live_lock(ground: &Ground) -> PathBuf {
    for name in ground.names().iter().filter(|name| *name == "lock" || name.contains("|elsewhere.example|")) {
        fs::remove_file(ground.dir().join(name)).unwrap();
    }
    ground.dir().join(plant(Protocol::Link, &ground.lock(), SystemTime::now() + HOUR).as_os_str())
}
