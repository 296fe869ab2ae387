//! What wakes a waiter, and that it does so at once. A waiter without wake-ups sleeps for an hour here, so no poll helps.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use super::faults::{Arena, BOTH, pause};
use crate::{Cancel, Error, ErrorKind, Lock, OnBehalfOf, Wait};

/// A time-out: a wait that nothing wakes fails the test and does not block it.
const LONG: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn without_polls() -> Arena {
    let arena = Arena::new();
    arena.env.has_real_wakeups.store(true, Ordering::SeqCst);
    arena.env.sleep(HOUR);
    arena
}

/// A thread that waits, or is about to fall asleep with its wake-ups armed. It releases the lock that it acquires.
pub(super) struct Sleeper(Receiver<Result<(), Error>>);

impl Sleeper {
    pub(super) fn start(lock: Lock, wait: Wait) -> Self {
        let (sleeps, falls_asleep) = channel();
        let (ended, end) = channel();
        let wait = wait.reporting(move |_| {
            // Only the first report is read.
            let _ = sleeps.send(());
        });
        thread::spawn(move || {
            let acquired = lock.acquire_with(&wait);
            ended.send(acquired.and_then(|guard| guard.release().map_err(Error::from)))
        });
        falls_asleep.recv_timeout(LONG).expect("it waits");
        Self(end)
    }

    /// Lets it settle: a look just after it fell asleep, for any reason, must not count as a wake-up.
    pub(super) fn soundly(self) -> Self {
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

/// A process that ends when its stdin is closed, or when it is killed.
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

/// The bug: another user's unreadable lock was polled only every five seconds. The consequence: its waiters noticed a release
/// late. The mend: it is polled often.
#[cfg(target_os = "linux")] // Elsewhere a file can be watched without reading it.
#[test]
fn a_lock_that_may_not_be_watched_is_polled_often_if_run_by_root() {
    use rustix::process::Uid;
    use rustix::thread::set_thread_res_uid;

    use super::plain::{Plain, at};
    use crate::env::os::OsEnv;
    use crate::env::{Env, Reach};

    if OsEnv.user_id() != Some(0) {
        return;
    }
    // tmpfs, which is local to this machine.
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
        // Only this thread changes its user.
        set_thread_res_uid(nobody, nobody, nobody).unwrap();
        reach()
    });
    assert_eq!(as_nobody.join().unwrap(), Reach::NoneLocal);
}
