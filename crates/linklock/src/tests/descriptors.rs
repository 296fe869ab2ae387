//! The file descriptors of waiters: there are few, and a waiter never uses another's descriptor as its own. Each scene runs in
//! its own process, which counts and closes descriptors. No poll comes in time there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::PipeReader;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use super::faults::{Arena, BOTH};
use super::waking::{Sleeper, without_polls};
use crate::options::Protocol;
use crate::{Cancel, ErrorKind, Wait};

const SCENE: &str = "LINKLOCK_TEST_SCENE";

/// Runs the scene in a process of its own.
fn play(scene: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "tests::descriptors::scene", "--ignored", "--nocapture"]).env(SCENE, scene);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{scene}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "a process of its own: the other tests start it"]
fn scene() {
    match std::env::var(SCENE).as_deref() {
        Ok("herd") => herd(),
        Ok("become a daemon") => become_daemon(),
        Ok("fork a daemon") => assert_eq!(in_forked_child(become_daemon), 0, "what it says on stderr"),
        Ok("a number again") => a_number_again(),
        Ok("few descriptors") => few_descriptors(),
        Ok("no descriptors") => no_descriptors(),
        Ok(scene) => panic!("no such scene: {scene}"),
        // Somebody ran all ignored tests by hand.
        Err(_) => {}
    }
}

#[test]
fn all_waiters_of_a_process_share_one_inotify_instance_and_each_is_woken() {
    play("herd");
}

/// The bug: a thread kept the number of its inotify instance. The consequence: when an application closed all descriptors to
/// become a daemon, its next file got that number, and the library replaced or closed it. The mend: the number is checked.
#[test]
fn a_file_that_reuses_a_closed_descriptors_number_is_left_alone() {
    play("become a daemon");
    play("fork a daemon");
}

#[test]
fn a_cancellation_whose_event_number_was_reused_wakes_other_waiters_once_at_most() {
    play("a number again");
}

#[test]
fn more_waiters_than_descriptors_all_get_the_lock() {
    play("few descriptors");
}

#[test]
fn a_waiter_without_free_descriptors_keeps_waiting() {
    play("no descriptors");
}

/// The open descriptors by number, with all that the kernel shows of each: a file's position, an eventfd's count, the watches
/// of an inotify instance.
fn descriptors() -> BTreeMap<i32, String> {
    let mut found = BTreeMap::new();
    for number in 3..LIMIT {
        let Ok(link) = fs::read_link(format!("/proc/self/fd/{number}")) else { continue };
        let mut shown = link.to_string_lossy().into_owned();
        write!(shown, "\n{}", read(&format!("/proc/self/fdinfo/{number}"))).unwrap();
        found.insert(number, shown);
    }
    found
}

const LIMIT: i32 = 1024;

#[expect(clippy::disallowed_methods, reason = "it reads what the kernel shows of this process")]
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap()
}

fn count(kind: &str) -> usize {
    descriptors().values().filter(|shown| shown.starts_with(kind)).count()
}

fn herd() {
    const EACH: usize = 24;
    let inherited: Vec<i32> = descriptors().into_keys().collect();
    for protocol in BOTH {
        let one = without_polls();
        let arenas: Vec<Arena> = (0..EACH).map(|_| without_polls()).collect();
        let all = || arenas.iter().chain([&one]);
        // This process holds it, and the waiters also wait for its end.
        let held: Vec<_> = all().map(|arena| arena.lock(protocol).acquire().unwrap()).collect();
        let before = descriptors().len();
        let sleepers: Vec<_> = all()
            .chain((1..EACH).map(|_| &one))
            .map(|arena| Sleeper::start(arena.lock(protocol), Wait::forever()))
            .collect();
        assert_eq!(count("anon_inode:inotify"), 1, "{protocol}");
        assert!(count("anon_inode:[eventfd]") < sleepers.len(), "{protocol}: the leader needs no eventfd");
        // One more is for the end of the holder.
        assert!(descriptors().len() <= before + sleepers.len() + 2, "{protocol}: {:#?}", descriptors());
        let mut sleepers = sleepers.into_iter();
        // The first waiter leads, then the one to which it hands over, and so on.
        for (guard, sleeper) in held.into_iter().zip(&mut sleepers) {
            guard.release().unwrap();
            sleeper.result().unwrap();
        }
        for sleeper in sleepers {
            sleeper.result().unwrap();
        }
        let left = descriptors().into_iter().filter(|(number, _)| !inherited.contains(number));
        let left: Vec<_> = left.map(|(_, shown)| shown).collect();
        assert!(left.len() == 1 && left[0].starts_with("anon_inode:inotify"), "{protocol}: {left:#?}");
    }
}

/// Closes all descriptors and opens other files, which get the numbers.
fn close_all_and_open_others(dir: &std::path::Path) -> Vec<OwnedFd> {
    (3..LIMIT).for_each(close);
    let mut opened: Vec<OwnedFd> = Vec::new();
    for round in 0..6 {
        let mut options = File::options();
        options.read(true).create(true).append(round % 2 == 0).write(true);
        if round % 3 == 0 {
            std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
        }
        #[expect(clippy::disallowed_methods, reason = "the application's own file")]
        opened.push(options.open(dir.join(format!("own.{round}"))).unwrap().into());
        let (reader, writer) = std::io::pipe().unwrap();
        let (one, other) = UnixStream::pair().unwrap();
        opened.extend([OwnedFd::from(reader as PipeReader), writer.into(), one.into(), other.into()]);
        // SAFETY: each call returns a new descriptor, which has no other owner.
        #[expect(unsafe_code, reason = "these calls have no safe functions")]
        unsafe {
            opened.push(OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK)));
            opened.push(OwnedFd::from_raw_fd(libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK)));
        }
    }
    opened
}

fn become_daemon() {
    let arena = Arena::new();
    arena.env.has_real_wakeups.store(true, Ordering::SeqCst);
    let (unused, used) = (Cancel::new().unwrap(), Cancel::new().unwrap());
    let held = arena.rival(Protocol::Link).acquire();
    let wait = Wait::up_to(Duration::from_millis(20)).cancelled_by(&used);
    assert!(arena.lock(Protocol::Link).acquire_with(&wait).unwrap_err().is_timeout());
    held.release().unwrap();

    let opened = close_all_and_open_others(arena.dir.path());
    let before = descriptors();
    assert_eq!(before.len(), opened.len());
    unused.cancel();
    drop(unused);
    assert_eq!(descriptors(), before, "a cancellation writes to our own descriptors alone");

    arena.env.sleep(Duration::from_secs(3600));
    for protocol in BOTH {
        let held = arena.rival(protocol).acquire();
        let sleepers = [(); 3].map(|()| Sleeper::start(arena.lock(protocol), Wait::forever().cancelled_by(&used)));
        held.release().unwrap();
        for sleeper in sleepers {
            sleeper.result().unwrap();
        }
        assert_eq!(
            count("anon_inode:inotify"),
            before.values().filter(|t| t.starts_with("anon_inode:inotify")).count() + 1
        );
    }
    let held = arena.rival(Protocol::Link).acquire();
    let sleeper = Sleeper::start(arena.lock(Protocol::Link), Wait::forever().cancelled_by(&used));
    used.cancel();
    assert_eq!(sleeper.result().unwrap_err().kind(), ErrorKind::Cancelled, "an older cancellation still wakes");
    drop((held, used));

    let mut after = descriptors();
    after.retain(|number, _| before.contains_key(number));
    assert_eq!(after, before, "the application's own descriptors are unchanged");
    drop(opened);
}

fn a_number_again() {
    let arena = without_polls();
    let before = descriptors();
    let early = Cancel::new().unwrap();
    let number = descriptors().into_keys().find(|number| !before.contains_key(number)).unwrap();
    close(number);
    let late = Cancel::new().unwrap();
    assert!(descriptors().contains_key(&number), "the lowest free number is reused");
    let _held = arena.rival(Protocol::Link).acquire();
    let looks = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&looks);
    let wait = Wait::forever().cancelled_by(&late).reporting(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let (lock, (ended, end)) = (arena.lock(Protocol::Link), channel());
    std::thread::spawn(move || ended.send(lock.acquire_with(&wait).map(drop)));
    early.cancel();
    // Without a sleep it would look thousands of times.
    assert!(end.recv_timeout(Duration::from_millis(300)).is_err(), "it keeps waiting");
    assert!(looks.load(Ordering::SeqCst) < 10, "it sleeps: {looks:?} looks");
    late.cancel();
    assert_eq!(end.recv().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
}

fn close(number: i32) {
    // SAFETY: the test checks what happens when a descriptor of others is closed.
    #[expect(unsafe_code, reason = "an application does this to the descriptors of its libraries")]
    unsafe {
        libc::close(number);
    }
}

/// Runs `child` in a forked process and returns its exit status.
fn in_forked_child(child: fn()) -> i32 {
    let mut status = 0;
    // SAFETY: the only other thread of this process is the test harness's, and it waits.
    #[expect(unsafe_code, reason = "fork(2) has no safe wrapper")]
    unsafe {
        match libc::fork() {
            0 => {
                let done = std::panic::catch_unwind(child);
                libc::_exit(i32::from(done.is_err()))
            }
            pid => assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid),
        }
    }
    status
}

fn may_have_descriptors(number: u64) {
    let limit = libc::rlimit { rlim_cur: number, rlim_max: number };
    // SAFETY: it reads one value.
    #[expect(unsafe_code, reason = "it has no safe function")]
    unsafe {
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
}

fn few_descriptors() {
    const FEW: usize = 64;
    may_have_descriptors(FEW as u64);
    let arena = Arena::new();
    arena.env.has_real_wakeups.store(true, Ordering::SeqCst);
    let held = arena.rival(Protocol::Link).acquire();
    let sleepers: Vec<_> = (0..FEW + 8).map(|_| Sleeper::start(arena.lock(Protocol::Link), Wait::forever())).collect();
    held.release().unwrap();
    for sleeper in sleepers {
        sleeper.result().unwrap();
    }
}

fn no_descriptors() {
    for protocol in BOTH {
        let arena = Arena::new();
        arena.env.has_real_wakeups.store(true, Ordering::SeqCst);
        let held = arena.rival(protocol).acquire();
        let (report, reports) = channel();
        let lock = arena.lock(protocol);
        let wait = Wait::forever().reporting(move |waiting| report.send(waiting.holder.is_some()).unwrap_or_default());
        let waiter = std::thread::spawn(move || lock.acquire_with(&wait));
        assert_eq!(reports.recv(), Ok(true), "it waits");
        may_have_descriptors(64);
        #[expect(clippy::disallowed_methods, reason = "any file will do")]
        let first = File::open("/dev/null").unwrap();
        let taken: Vec<File> = std::iter::from_fn(|| first.try_clone().ok()).collect();
        // It makes the waiter look, and read.
        held.refresh().unwrap();
        while reports.recv().expect("it keeps waiting and does not fail") {}
        drop((taken, first));
        held.release().unwrap();
        waiter.join().unwrap().unwrap().release().unwrap();
    }
}
