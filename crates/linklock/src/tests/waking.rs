//! What wakes a waiter, and at once. No poll comes in time here: a waiter without wake-ups sleeps for an hour.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use super::faults::{Arena, BOTH, pause};
use crate::{Cancel, Error, ErrorKind, Lock, OnBehalfOf, Wait};

/// A safety net: a wait that is not woken fails the test and does not keep it.
const LONG: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn without_polls() -> Arena {
    let arena = Arena::new();
    arena.env.has_real_wakeups.store(true, Ordering::SeqCst);
    arena.env.sleep(HOUR);
    arena
}

/// A thread that waits, or is about to fall asleep with its wake-ups armed. What it acquires it releases.
pub(super) struct Sleeper(Receiver<Result<(), Error>>);

impl Sleeper {
    pub(super) fn start(lock: Lock, wait: Wait) -> Self {
        let (sleeps, falls_asleep) = channel();
        let (ended, end) = channel();
        let wait = wait.reporting(move |_| {
            // Heard the first time only.
            let _ = sleeps.send(());
        });
        thread::spawn(move || {
            let acquired = lock.acquire_with(&wait);
            ended.send(acquired.and_then(|guard| guard.release().map_err(Error::from)))
        });
        falls_asleep.recv_timeout(LONG).expect("it waits");
        Self(end)
    }

    /// So that a look that it makes just after it fell asleep, for whatever reason, is not taken for a wake-up.
    fn soundly(self) -> Self {
        pause(Duration::from_millis(100));
        self
    }

    pub(super) fn result(self) -> Result<(), Error> {
        self.0.recv_timeout(LONG).expect("it was woken")
    }
}

#[test]
fn a_release_wakes_a_waiter() {
    for protocol in BOTH {
        let arena = without_polls();
        let held = arena.rival(protocol).acquire();
        let sleeper = Sleeper::start(arena.lock(protocol), Wait::forever()).soundly();
        held.release().unwrap();
        sleeper.result().unwrap();
    }
}

/// A process that ends when it is told to, or killed.
fn idle_process() -> Child {
    let mut command = if cfg!(windows) { Command::new("cmd") } else { Command::new("cat") };
    command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn the_end_of_the_holder_wakes_a_waiter() {
    for protocol in BOTH {
        let arena = without_polls();
        let mut holder = idle_process();
        let builder = arena.builder(protocol).on_behalf_of(OnBehalfOf::Process(holder.id()));
        builder.build_in(arena.env.clone()).unwrap().acquire().unwrap().leave();
        let sleeper = Sleeper::start(arena.lock(protocol), Wait::forever()).soundly();
        holder.kill().unwrap();
        holder.wait().unwrap();
        sleeper.result().unwrap();
    }
}

#[test]
fn a_cancellation_wakes_a_waiter() {
    for protocol in BOTH {
        let arena = without_polls();
        let _held = arena.rival(protocol).acquire();
        let cancel = Cancel::new().unwrap();
        let sleeper = Sleeper::start(arena.lock(protocol), Wait::forever().cancelled_by(&cancel)).soundly();
        cancel.cancel();
        assert_eq!(sleeper.result().unwrap_err().kind(), ErrorKind::Cancelled, "{protocol}");
    }
}

/// The bug: another user's lock that may not be read was polled for every five seconds.
#[cfg(target_os = "linux")] // Elsewhere nothing has to be read to be watched.
#[test]
fn what_may_not_be_read_and_so_not_be_watched_is_looked_at_soon_if_run_by_root() {
    use rustix::process::Uid;
    use rustix::thread::set_thread_res_uid;

    use super::plain::{Plain, at};
    use crate::env::os::OsEnv;
    use crate::env::{Env, Reach};

    if OsEnv.user_id() != Some(0) {
        return;
    }
    // Memory, which is this machine's own.
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let lock = dir.path().join("lock");
    Plain.create(&lock, b"").unwrap();
    Plain.chmod(&lock, 0o600).unwrap();
    Plain.chmod(dir.path(), 0o755).unwrap();
    let reach = move || {
        let mut watcher = OsEnv.watcher();
        watcher.arm(&at(&lock), None);
        watcher.reach()
    };
    assert_eq!(reach(), Reach::All);
    let as_nobody = thread::spawn(move || {
        let nobody = Uid::from_raw(65534);
        // This thread alone.
        set_thread_res_uid(nobody, nobody, nobody).unwrap();
        reach()
    });
    assert_eq!(as_nobody.join().unwrap(), Reach::NoneLocal);
}
