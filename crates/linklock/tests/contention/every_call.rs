//! A process that is stopped or killed exactly before one of its system calls, for each call in turn.
//!
//! Random signals hit such a point once in a million runs, see turmoil.rs; here each point is hit. It needs ptrace(2) of a
//! child process.

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
/// Only with `dir`.
const DOWNGRADE: [&str; 3] = ["acquire 0", "downgrade", "release"];

/// The orders for a puppet, on a lock path of its own.
#[derive(Clone, Debug)]
struct Scene {
    protocol: Protocol,
    /// Whether a peer's expired lock is there at first.
    expired: bool,
    /// The protocol by which another process holds the lock at first.
    held: Option<Protocol>,
    orders: &'static [&'static str],
    lifetime: Duration,
    recover_dead: bool,
}

/// A puppet that is stopped before a system call of its last order.
struct Stopped {
    // Dropped in this order: the tracer must detach before a process can be reaped.
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
        Self { protocol, expired: false, held: None, orders, lifetime: HOUR, recover_dead: true }
    }

    /// `None` if the last order makes no more than `count` calls.
    fn stop_before(&self, count: usize) -> Option<Stopped> {
        let ground = Ground::new();
        if self.expired {
            plant(self.protocol, &ground.lock(), long_ago());
        }
        let held = self.held.map(|protocol| by(protocol, &ground).acquire_with(&Wait::never()).unwrap());
        let mut puppet = Puppet::start(&self.settings(&ground).lifetime(self.lifetime));
        // A process looks up some facts about itself only once. That is done here.
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
            // On a slow machine its lifetime had passed before it was stopped.
            return Self { lifetime: 4 * self.lifetime, ..self.clone() }.stop_before(count);
        }
        Some(Stopped { before: before?, trace, puppet, ground, held, lifetime: self.lifetime })
    }

    /// The settings of those who contend with the puppet.
    fn settings(&self, ground: &Ground) -> Settings {
        let settings = Settings::new(&ground.lock(), self.protocol).recover_dead(self.recover_dead);
        settings.lifetime(HOUR).grace(Duration::ZERO)
    }

    /// All stops of the puppet, each with a description.
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
    /// Lets it continue, and looks at `rival`'s lock after each call. Returns whether the rival held it all the time, and the
    /// result of the order.
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
        let downgrades: &[&[_]] = if protocol == Protocol::Dir { &[&DOWNGRADE[..2], &DOWNGRADE] } else { &[] };
        for orders in
            [&CYCLE[..1], &CYCLE[..2], &["acquire 0", "release"]].into_iter().chain(downgrades.iter().copied())
        {
            let scene = Scene { lifetime: Duration::from_millis(400), ..Scene::new(protocol, orders) };
            let order = *orders.last().unwrap();
            // All are stopped at once, so that their lifetimes pass at the same time.
            let all: Vec<_> = scene.stops().collect();
            for (at, mut stopped) in all {
                calls += 1;
                let lock = scene.settings(&stopped.ground).lock();
                let was_free = lock.inspect().unwrap().state == State::Free;
                let rival = lock.acquire_with(&Wait::up_to(LONG)).unwrap();
                let (unharmed, reply) = stopped.go_on(Some(&rival));
                match reply {
                    _ if !unharmed => harmful.push((order, stopped.before.clone())),
                    Ok(_) => assert!(order == "release" && was_free, "{at}: two processes hold the lock"),
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
            // The documented limit: nobody can unlink the shared name on the condition that it is still his.
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

/// The bug: a process is stopped between setting its expiry and confirming that it holds the lock. The consequence: it trusts a
/// lock that has expired. The mend: it looks at its deadline after the confirmation.
#[test]
fn a_process_that_is_stopped_before_any_call_trusts_no_expired_lock_if_ptrace_is_allowed() {
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
                    // It started again in time.
                    (1, Ok(said)) => assert!(!said.ends_with("lost"), "{at}: it acquired an expired lock"),
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
        let scene = Scene { expired: true, ..Scene::new(protocol, &CYCLE[..1]) };
        let mut calls = 0;
        for (at, mut stopped) in scene.stops() {
            calls += 1;
            let rival = scene.settings(&stopped.ground).lock().acquire_with(&Wait::never());
            let (unharmed, reply) = stopped.go_on(rival.as_ref().ok());
            assert!(unharmed, "{at}: the rival's lock was moved");
            match rival {
                Ok(_) => {
                    let said = reply.expect_err(&format!("{at}: two processes hold the lock"));
                    assert!(said.starts_with("Timeout"), "{at}: {said}");
                }
                Err(e) => {
                    assert!(e.is_timeout(), "{at}: {e}");
                    reply.unwrap_or_else(|e| panic!("{at}: neither of two breakers acquired the lock: {e}"));
                    stopped.puppet.ask("check").unwrap();
                }
            }
        }
        assert!(calls > 15, "{protocol}: stopped before {calls} calls");
    }
}

#[test]
fn a_process_that_is_killed_before_any_call_leaves_nothing_for_ever_if_ptrace_is_allowed() {
    if !can_trace() {
        return;
    }
    for protocol in BOTH {
        let downgrades: &[&[_]] = if protocol == Protocol::Dir { &[&DOWNGRADE[..2], &DOWNGRADE] } else { &[] };
        let orders = [&CYCLE[..1], &CYCLE[..2], &CYCLE].into_iter().chain(downgrades.iter().copied());
        let scenes: Vec<_> = orders.map(|orders| Scene::new(protocol, orders)).collect();
        let breaker = Scene { expired: true, ..scenes[0].clone() };
        for scene in scenes.iter().chain([&breaker]) {
            for (at, stopped) in scene.stops() {
                let Stopped { ground, mut puppet, trace, .. } = stopped;
                trace.kill(&mut puppet);
                let lock = scene.settings(&ground).lock();
                let next = lock
                    .acquire_with(&Wait::never())
                    .unwrap_or_else(|e| panic!("{at} and killed: not recovered at once: {e}"));
                next.release().unwrap_or_else(|e| panic!("{at} and killed: {e}"));
                // A waiter that failed has left its claim; the next break removes it.
                plant(protocol, &ground.lock(), long_ago());
                lock.acquire_with(&Wait::never()).unwrap().release().unwrap();
                assert_eq!(ground.names(), [""; 0], "{at} and killed: leftovers");
            }
        }
    }
}

/// A writer never comes in, and a reader does once the entry has its new name. The holder goes on in any case.
#[test]
fn a_holder_that_is_stopped_before_any_call_of_its_downgrade_is_beside_readers_alone_if_ptrace_is_allowed() {
    if !can_trace() {
        return;
    }
    let scene = Scene::new(Protocol::Dir, &DOWNGRADE[..2]);
    let (mut shared, mut alone) = (0, 0);
    for (at, mut stopped) in scene.stops() {
        let lock = scene.settings(&stopped.ground).lock();
        for protocol in BOTH {
            let writer = by(protocol, &stopped.ground).try_acquire().unwrap_or_else(|e| panic!("{at}: {e}"));
            assert!(writer.is_none(), "{at}: a writer of {protocol} beside the holder");
        }
        let is_renamed = ground_has_reader(&stopped.ground);
        let reader = lock.shared().unwrap().try_acquire().unwrap_or_else(|e| panic!("{at}: {e}"));
        assert_eq!(reader.is_some(), is_renamed, "{at}");
        *(if is_renamed { &mut shared } else { &mut alone }) += 1;
        let (unharmed, reply) = stopped.go_on(reader.as_ref());
        assert!(unharmed, "{at}");
        reply.unwrap_or_else(|e| panic!("{at}: {e}"));
        stopped.puppet.ask("check").unwrap();
        stopped.puppet.ask("release").unwrap();
        drop(reader);
        assert_eq!(stopped.ground.names(), [""; 0], "{at}: leftovers");
    }
    assert!(shared > 0 && alone > 0, "stopped before {alone} calls up to the rename, and {shared} after it");
}

fn ground_has_reader(ground: &Ground) -> bool {
    let mut entries = fs::read_dir(ground.lock()).unwrap();
    entries.any(|entry| entry.unwrap().file_name().to_string_lossy().ends_with('s'))
}

/// The bug: a breaker removed the leftovers of dead processes. The consequence: it also removed the claim of a left lock, which
/// must last although its process has ended. The mend: it keeps the claim at the lock path.
#[test]
fn without_recovery_a_breaker_removes_no_left_lock_if_ptrace_is_allowed() {
    if !can_trace() {
        return;
    }
    for protocol in BOTH {
        let scene = Scene { expired: true, recover_dead: false, ..Scene::new(protocol, &CYCLE[..1]) };
        for (at, mut stopped) in scene.stops() {
            let settings = scene.settings(&stopped.ground);
            let mut rival = Puppet::start(&settings);
            if let Ok(token) = rival.ask("acquire 0") {
                rival.ask("leave").unwrap();
                rival.kill();
                rival.reap();
                let (_, reply) = stopped.go_on(None);
                assert!(reply.is_err(), "{at}: two processes hold the lock");
                let left = settings.lock().adopt(&Token::new(token)).unwrap_or_else(|e| panic!("{at}: {e}"));
                left.check().unwrap_or_else(|e| panic!("{at}: {e}"));
            }
        }
    }
}

/// The bug: between two steps of a look, the file at the lock path became a directory or the reverse. The consequence: the look
/// failed. The mend: the contender looks again.
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

/// The bug: between the look and the move of a breaker, a peer that knows no break lock replaces the lock. The consequence: the
/// breaker moves the peer's live lock away. The mend: it looks at the moved lock, and puts it back.
#[test]
fn a_peer_that_knows_no_break_lock_gets_its_lock_back_if_ptrace_is_allowed() {
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
    assert_eq!(stopped.ground.names().len(), 2, "there are no leftovers: {:?}", stopped.ground.names());
}

#[test]
fn a_lock_that_a_breaker_puts_back_replaces_no_new_lock_if_ptrace_is_allowed() {
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
    assert!(unharmed, "the newly acquired lock stays");
    assert!(reply.is_err(), "a third process holds it");
}

/// A breaker that has its turn, has looked again, and is about to move a peer's expired lock.
fn breaker_before_its_rename() -> Stopped {
    let scene = Scene { expired: true, ..Scene::new(Protocol::Link, &CYCLE[..1]) };
    let mut stopped = scene.stop_before(0).unwrap();
    while !(stopped.before.is_rename() && stopped.before.paths[0] == stopped.ground.lock()) {
        stopped.before = stopped.trace.next().expect("a breaker renames the lock path");
    }
    stopped
}

/// Acts for a peer that breaks the lock and acquires it at this moment: another file, which expires in an hour. Returns the
/// claim.
fn replace_by_live_lock(ground: &Ground) -> PathBuf {
    for name in ground.names().iter().filter(|name| *name == "lock" || name.contains("|elsewhere.example|")) {
        fs::remove_file(ground.dir().join(name)).unwrap();
    }
    ground.dir().join(plant(Protocol::Link, &ground.lock(), SystemTime::now() + HOUR).as_os_str())
}
