//! Processes whose pids mislead: in other pid namespaces, beside a /proc of another namespace, behind a /proc that hides them,
//! or with a reused pid. A live lock must never look abandoned.
#![expect(unsafe_code, reason = "fork(2), unshare(2) and mount(2) have no safe wrappers")]

use std::ffi::CStr;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use linklock::{Builder, ErrorKind, Guard, Lock, OnBehalfOf, Protocol, State, Wait};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Gid, Pid, Uid, WaitOptions, kill_process, waitpid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::common::{BOTH, Ground, HOUR, LONG, say};

/// The pid of a child that a test has forked. The child ends before the test does.
struct Forked(Pid);

/// Runs `child` in a forked process, which has one thread and a copy of this one's memory.
fn fork(child: impl FnOnce()) -> Forked {
    // SAFETY: of all that another thread may have locked at the fork, the child uses the allocator alone, and the C library
    // makes that usable in a forked child. It never returns from here.
    let pid = unsafe { libc::fork() };
    if pid != 0 {
        return Forked(Pid::from_raw(pid).expect("fork succeeds"));
    }
    // A panic has printed its message on stderr.
    let status = if catch_unwind(AssertUnwindSafe(child)).is_ok() { 0 } else { 1 };
    // SAFETY: it ends the process, and runs none of the parent's exit handlers.
    unsafe { libc::_exit(status) }
}

impl Forked {
    fn pid(&self) -> u32 {
        self.0.as_raw_nonzero().get() as u32
    }

    fn kill(self) {
        kill_process(self.0, rustix::process::Signal::KILL).unwrap();
        waitpid(Some(self.0), WaitOptions::empty()).unwrap();
    }

    /// Waits for its end, and fails if it panicked.
    fn join(self) {
        join(Some(self.0));
    }
}

/// Waits for the end of this child, or of an orphan that is now ours.
fn join(child: Option<Pid>) {
    let (_, status) = waitpid(child, WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(0), "see its message on stderr");
}

/// A process waits with it until another has reached some point.
struct Signal {
    read: PipeReader,
    write: PipeWriter,
}

impl Signal {
    fn new() -> Self {
        let (read, write) = io::pipe().unwrap();
        Self { read, write }
    }

    fn give(&self) {
        (&self.write).write_all(&[1]).unwrap();
    }

    fn wait(&self) {
        let limit = Timespec { tv_sec: LONG.as_secs() as _, tv_nsec: 0 };
        let given = poll(&mut [PollFd::new(&self.read, PollFlags::IN)], Some(&limit)).unwrap();
        assert_eq!(given, 1, "the other process has reached that point");
    }
}

fn ok(status: libc::c_int) -> io::Result<()> {
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn unshare(what: libc::c_int) -> io::Result<()> {
    // SAFETY: it changes the calling process alone, which a test has forked.
    ok(unsafe { libc::unshare(what) })
}

/// Mounts a file system over /proc, for this process and for those that it will fork.
fn mount_over_proc(kind: &CStr, options: Option<&CStr>) -> io::Result<()> {
    let (none, root, proc) = (c"none", c"/", c"/proc");
    let options = options.map_or(std::ptr::null(), |options| options.as_ptr().cast());
    unshare(libc::CLONE_NEWNS)?;
    // SAFETY: all pointers are to text that ends in a zero, or null where that is allowed.
    unsafe {
        // Mounts from here on stay in this namespace.
        ok(libc::mount(
            none.as_ptr(),
            root.as_ptr(),
            std::ptr::null(),
            libc::MS_REC | libc::MS_PRIVATE,
            std::ptr::null(),
        ))?;
        ok(libc::mount(kind.as_ptr(), proc.as_ptr(), kind.as_ptr(), 0, options))
    }
}

fn own_proc() -> io::Result<()> {
    mount_over_proc(c"proc", None)
}

/// Shows the earlier /proc again.
fn unmount_proc() {
    // SAFETY: the text ends in a zero.
    ok(unsafe { libc::umount2(c"/proc".as_ptr(), libc::MNT_DETACH) }).unwrap();
}

const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

/// Forks a child that gets this pid in this pid namespace.
fn fork_as(pid: u32, child: impl FnOnce()) -> Forked {
    std::fs::write(LAST_PID, (pid - 1).to_string()).unwrap();
    let forked = fork(child);
    assert_eq!(forked.pid(), pid);
    forked
}

/// Runs `act` as the first process of a pid namespace, with the /proc of the surrounding one.
fn in_pid_namespace(act: impl FnOnce()) {
    fork(|| {
        unshare(libc::CLONE_NEWPID).unwrap();
        fork(act).join();
    })
    .join();
}

/// Whether this process has the rights that these tests need. Prints why not.
fn can(what: &str) -> bool {
    let try_it = || -> io::Result<()> {
        let last = std::fs::read(LAST_PID)?;
        std::fs::write(LAST_PID, last)?;
        unshare(libc::CLONE_NEWPID)?;
        own_proc()
    };
    let (mut read, mut write) = io::pipe().unwrap();
    let refused = || try_it().map_or_else(|e| e.to_string(), |()| String::new());
    fork(|| write.write_all(refused().as_bytes()).unwrap()).join();
    drop(write);
    let mut refused = String::new();
    read.read_to_string(&mut refused).unwrap();
    if !refused.is_empty() {
        say(&format!("not run: {what}: it takes root, and a kernel that allows namespaces and mounts: {refused}"));
    }
    refused.is_empty()
}

fn builder(path: &Path, protocol: Protocol) -> Builder {
    Lock::builder(path).protocol(protocol).lifetime(HOUR)
}

fn lock(ground: &Ground, protocol: Protocol) -> Lock {
    builder(&ground.lock(), protocol).build().unwrap()
}

fn assert_is_held(lock: &Lock, what: &str) {
    assert_eq!(lock.inspect().unwrap().state, State::Held, "{what}");
    let error = lock.acquire_with(&Wait::never()).map(drop).expect_err(what);
    assert_eq!(error.kind(), ErrorKind::Timeout, "{what}: {error}");
}

/// Which /proc a process sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proc {
    Own,
    /// That of the surrounding namespace.
    Around,
    /// First its own, and then that of the surrounding namespace.
    Changes,
}

/// The bug: a /proc of another pid namespace shows another process with the holder's pid. The consequence: the holder wrote that
/// process's start time into its claim, or a contender compared with it, and a live lock was broken. The mend: no process
/// trusts the /proc of another namespace.
#[test]
fn another_pid_namespaces_proc_never_gets_a_live_lock_broken() {
    if !can("a /proc of another pid namespace") {
        return;
    }
    // Both namespaces have a process with this pid.
    let pid = std::process::id();
    for protocol in BOTH {
        for holders in [Proc::Own, Proc::Around, Proc::Changes] {
            for contenders in [Proc::Own, Proc::Around, Proc::Changes] {
                let (ground, warm) = (Ground::new(), Ground::new());
                let what = format!("{protocol}: holder {holders:?}, contender {contenders:?}");
                // A process learns about itself when it acquires its first lock.
                let begin = |proc: Proc| {
                    if proc != Proc::Around {
                        own_proc().unwrap();
                    }
                    if proc == Proc::Changes {
                        lock(&warm, protocol).acquire().unwrap().release().unwrap();
                        unmount_proc();
                    }
                };
                in_pid_namespace(|| {
                    let (held, done) = (Signal::new(), Signal::new());
                    let holder = fork_as(pid, || {
                        begin(holders);
                        let guard = lock(&ground, protocol).acquire().unwrap();
                        held.give();
                        done.wait();
                        guard.check().unwrap();
                        guard.release().unwrap();
                    });
                    held.wait();
                    fork(|| {
                        begin(contenders);
                        assert_is_held(&lock(&ground, protocol), &what);
                    })
                    .join();
                    done.give();
                    holder.join();
                });
            }
        }
    }
}

/// The same for a contender whose own pid exists in both namespaces.
#[test]
fn a_contender_does_not_trust_another_namespaces_proc_that_shows_its_own_pid() {
    if !can("a pid that is the same in two namespaces") {
        return;
    }
    const HOLDER: u32 = 6000;
    const CONTENDER: u32 = 5000;
    for protocol in BOTH {
        let ground = Ground::new();
        in_pid_namespace(|| {
            own_proc().unwrap();
            let [begun, held, ready, done] = [Signal::new(), Signal::new(), Signal::new(), Signal::new()];
            let around = fork(|| {
                let another = fork_as(HOLDER, || done.wait());
                begun.give();
                held.wait();
                // The contender comes next.
                std::fs::write(LAST_PID, (CONTENDER - 1).to_string()).unwrap();
                ready.give();
                another.join();
            });
            begun.wait();
            in_pid_namespace(|| {
                // It must not start in the same tick of the kernel's clock as the other process with this pid.
                std::thread::sleep(Duration::from_millis(50));
                let (acquired, checked) = (Signal::new(), Signal::new());
                let holder = fork_as(HOLDER, || {
                    own_proc().unwrap();
                    let guard = lock(&ground, protocol).acquire().unwrap();
                    acquired.give();
                    checked.wait();
                    guard.release().unwrap();
                });
                acquired.wait();
                held.give();
                ready.wait();
                fork_as(CONTENDER, || {
                    assert_eq!(std::fs::read_link("/proc/self").unwrap(), Path::new(&CONTENDER.to_string()));
                    assert_is_held(&lock(&ground, protocol), &protocol.to_string());
                })
                .join();
                checked.give();
                holder.join();
            });
            done.give();
            around.join();
        });
    }
}

#[test]
fn a_contender_in_the_same_pid_namespace_recovers_a_dead_holders_lock() {
    if !can("a pid namespace") {
        return;
    }
    let recovered = |proc: Proc| proc != Proc::Around;
    for protocol in BOTH {
        for holders in [Proc::Own, Proc::Around] {
            for contenders in [Proc::Own, Proc::Around, Proc::Changes] {
                let (ground, warm) = (Ground::new(), Ground::new());
                let what = format!("{protocol}: holder {holders:?}, contender {contenders:?}");
                in_pid_namespace(|| {
                    fork(|| {
                        if holders == Proc::Own {
                            own_proc().unwrap();
                        }
                        lock(&ground, protocol).acquire().unwrap().leave();
                    })
                    .join();
                    fork(|| {
                        if contenders != Proc::Around {
                            own_proc().unwrap();
                        }
                        if contenders == Proc::Changes {
                            // The kernel itself answers that there is no such process.
                            lock(&warm, protocol).acquire().unwrap().release().unwrap();
                            unmount_proc();
                        }
                        let lock = lock(&ground, protocol);
                        if recovered(holders) && recovered(contenders) {
                            lock.acquire_with(&Wait::never()).expect(&what).release().unwrap();
                        } else {
                            assert_is_held(&lock, &what);
                        }
                    })
                    .join();
                });
            }
        }
    }
}

/// The bug: a process stored the facts about itself under its pid. The consequence: a grandchild that got its ended
/// grandparent's pid wrote the grandparent's start time into its claim, and its live lock was broken. It also took its
/// grandparent's guard for its own, and waited for its grandparent's thread to keep its locks alive. The mend: a fork makes a
/// process forget these facts.
#[test]
fn a_process_that_reuses_its_grandparents_pid_is_another_process() {
    if !can("a pid that comes again") {
        return;
    }
    const PID: u32 = 5000;
    for protocol in BOTH {
        let (ground, of_grandparent, kept) = (Ground::new(), Ground::new(), Ground::new());
        in_pid_namespace(|| {
            own_proc().unwrap();
            let (has_ended, held, done) = (Signal::new(), Signal::new(), Signal::new());
            let keeping = |ground: &Ground, lifetime| {
                let lock = builder(&ground.lock(), protocol).lifetime(lifetime).keep_alive(true).build().unwrap();
                lock.acquire().unwrap()
            };
            let child_of_child = |of_grandparent: &Guard| {
                assert!(of_grandparent.is_lost(), "{protocol}: it belongs to the grandparent");
                assert_eq!(of_grandparent.check().unwrap_err().kind(), ErrorKind::NotHeld, "{protocol}");
                let guard = lock(&ground, protocol).acquire().unwrap();
                held.give();
                done.wait();
                guard.release().unwrap();
                let lifetime = Duration::from_millis(900);
                let kept = keeping(&kept, lifetime);
                assert_eq!(kept.loss().wait_timeout(2 * lifetime), None, "{protocol}: it is kept alive");
            };
            fork_as(PID, || {
                let guard = keeping(&of_grandparent, HOUR);
                fork(|| {
                    has_ended.wait();
                    // It must not start in the same tick of the kernel's clock.
                    std::thread::sleep(Duration::from_millis(50));
                    fork_as(PID, || child_of_child(&guard)).join();
                });
                guard.leave();
            })
            .join();
            has_ended.give();
            held.wait();
            assert_is_held(&lock(&ground, protocol), &format!("{protocol}: the pid is in use again"));
            done.give();
            join(None);
        });
    }
}

/// How a process can be hidden from another one.
#[derive(Clone, Copy, Debug)]
enum Hidden {
    /// It belongs to another user, and /proc shows only one's own processes.
    ByUser,
    /// Nothing is mounted at /proc.
    NoProc,
}

/// The bug: a process that /proc does not show was taken for one that does not exist. The consequence: nobody could acquire a
/// lock on behalf of it. The mend: the kernel answers whether it exists.
#[test]
fn a_lock_can_be_acquired_on_behalf_of_a_process_that_proc_hides() {
    if !can("a /proc that hides processes") {
        return;
    }
    let ended = fork(|| {});
    let no_process = ended.pid();
    ended.join();
    for protocol in BOTH {
        for hidden in [Hidden::ByUser, Hidden::NoProc] {
            let (ground, what) = (Ground::new(), format!("{protocol}, {hidden:?}"));
            std::fs::set_permissions(ground.dir(), PermissionsExt::from_mode(0o777)).unwrap();
            let shown = fork(|| std::thread::sleep(LONG));
            let on_behalf_of =
                |pid| builder(&ground.lock(), protocol).on_behalf_of(OnBehalfOf::Process(pid)).build().unwrap();
            fork(|| {
                match hidden {
                    Hidden::ByUser => mount_over_proc(c"proc", Some(c"hidepid=2")).unwrap(),
                    Hidden::NoProc => mount_over_proc(c"tmpfs", None).unwrap(),
                }
                become_nobody();
                assert!(!Path::new(&format!("/proc/{}", shown.pid())).exists(), "{what}: it is hidden");
                let error = on_behalf_of(no_process).acquire_with(&Wait::never()).map(drop).expect_err(&what);
                assert_eq!(error.kind(), ErrorKind::Invalid, "{what}: {error}");
                on_behalf_of(shown.pid()).acquire_with(&Wait::never()).expect(&what).leave();
            })
            .join();
            let holder = lock(&ground, protocol).inspect().unwrap().holder.unwrap();
            assert_eq!(holder.pid, shown.pid(), "{what}");
            assert_is_held(&lock(&ground, protocol), &what);
            shown.kill();
            assert_is_held(&lock(&ground, protocol), &format!("{what}: its end cannot be known"));
        }
    }
}

fn become_nobody() {
    let (uid, gid) = (Uid::from_raw(65534), Gid::from_raw(65534));
    set_thread_groups(&[]).unwrap();
    set_thread_res_gid(gid, gid, gid).unwrap();
    set_thread_res_uid(uid, uid, uid).unwrap();
}
