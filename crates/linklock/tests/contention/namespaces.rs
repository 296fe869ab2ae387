//! Processes whose pids are not what they seem: in pid namespaces of their own, beside a /proc of another namespace, behind
//! one that hides them, or with a pid that came again. A live lock must never be taken for a dead process's.
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

/// Of a child that a test has forked, and that ends before the test does.
struct Forked(Pid);

/// Runs `child` in a forked process, which has one thread and shares nothing with this one but its past.
fn fork(child: impl FnOnce()) -> Forked {
    // SAFETY: of what other threads may have locked at the fork, the child touches the allocator alone, and the C library sees
    // to it that a forked child can use that. It never returns from here.
    let pid = unsafe { libc::fork() };
    if pid != 0 {
        return Forked(Pid::from_raw(pid).expect("another process can be had"));
    }
    // A panic has said on stderr what is wrong.
    let status = if catch_unwind(AssertUnwindSafe(child)).is_ok() { 0 } else { 1 };
    // SAFETY: it ends the process, and runs nothing that is the parent's.
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

    /// Waits for its end. It ends well only if it did not panic.
    fn join(self) {
        join(Some(self.0));
    }
}

/// Waits for the end of this child, or of one that was left to us by its parent.
fn join(child: Option<Pid>) {
    let (_, status) = waitpid(child, WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(0), "what is wrong stands on stderr");
}

/// For a process to wait until another has come to some point.
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
        assert_eq!(given, 1, "the other process has come so far");
    }
}

fn ok(status: libc::c_int) -> io::Result<()> {
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn unshare(what: libc::c_int) -> io::Result<()> {
    // SAFETY: what it changes is this process's own, which is one that a test has forked.
    ok(unsafe { libc::unshare(what) })
}

/// Mounts it over /proc, for this process and those that it will fork.
fn mount_over_proc(kind: &CStr, options: Option<&CStr>) -> io::Result<()> {
    let (none, root, proc) = (c"none", c"/", c"/proc");
    let options = options.map_or(std::ptr::null(), |options| options.as_ptr().cast());
    unshare(libc::CLONE_NEWNS)?;
    // SAFETY: all of it is text that ends in a zero, or null where that stands for nothing.
    unsafe {
        // What is mounted from here on stays in this namespace.
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

/// Shows again what was at /proc before.
fn unmount_proc() {
    // SAFETY: the text ends in a zero.
    ok(unsafe { libc::umount2(c"/proc".as_ptr(), libc::MNT_DETACH) }).unwrap();
}

const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

/// Sees to it that the next process of this pid namespace gets this pid.
fn fork_as(pid: u32, child: impl FnOnce()) -> Forked {
    std::fs::write(LAST_PID, (pid - 1).to_string()).unwrap();
    let forked = fork(child);
    assert_eq!(forked.pid(), pid);
    forked
}

/// Runs `act` as the first process of a pid namespace, with the /proc of the one around it.
fn in_pid_namespace(act: impl FnOnce()) {
    fork(|| {
        unshare(libc::CLONE_NEWPID).unwrap();
        fork(act).join();
    })
    .join();
}

/// Whether this process may do what these tests need; if not, says so.
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
        say(&format!("not run: {what}: root may make namespaces and mounts, where the kernel lets it: {refused}"));
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

/// Which /proc a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proc {
    Own,
    /// That of the namespace around its own.
    Around,
    /// At first its own, and then that of the namespace around.
    Changes,
}

/// The bug: a /proc of another pid namespace shows another process under a holder's pid. The consequence: the holder
/// claimed with the start of that other process, or a contender compared with it, and a live lock was broken.
#[test]
fn a_live_lock_is_not_broken_by_the_word_of_another_pid_namespaces_proc() {
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
                // What a process knows of itself, it learns at its first lock.
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

/// As above, of a contender whose own pid is the same in both namespaces.
#[test]
fn a_contender_that_finds_its_own_pid_in_another_namespaces_proc_does_not_trust_that() {
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
                // Its start shall not fall into the same tick of the kernel's clock as that of the other with this pid.
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
fn a_dead_holder_is_recovered_by_who_knows_its_pid_namespace() {
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
                            // That there is no such process, the kernel itself says.
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

/// The bug: what a process knew of itself was kept by its pid. The consequence: a child's child that got the pid of its
/// grandparent claimed with the start of that one, which had ended, and so its live lock was broken. It took its
/// grandparent's guard for its own, too, and waited for its grandparent's thread to keep its locks alive.
#[test]
fn a_process_with_the_pid_of_the_one_that_it_descends_from_is_another() {
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
                assert!(of_grandparent.is_lost(), "{protocol}: it is the grandparent's");
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
                    // Its start shall not fall into the same tick of the kernel's clock.
                    std::thread::sleep(Duration::from_millis(50));
                    fork_as(PID, || child_of_child(&guard)).join();
                });
                guard.leave();
            })
            .join();
            has_ended.give();
            held.wait();
            assert_is_held(&lock(&ground, protocol), &format!("{protocol}: the pid is alive again"));
            done.give();
            join(None);
        });
    }
}

/// How a process can be hidden from another that may not even know that it is there.
#[derive(Clone, Copy, Debug)]
enum Hidden {
    /// It is another user's, and /proc shows one's own processes alone.
    ByUser,
    /// Nothing is mounted at /proc.
    NoProc,
}

/// The bug: a process of which /proc tells nothing was taken for one that is not there. The consequence: to acquire on behalf
/// of it was refused.
#[test]
fn a_lock_can_be_taken_on_behalf_of_a_process_that_proc_does_not_show() {
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
            assert_is_held(&lock(&ground, protocol), &format!("{what}: of its end nothing can be known"));
        }
    }
}

fn become_nobody() {
    let (uid, gid) = (Uid::from_raw(65534), Gid::from_raw(65534));
    set_thread_groups(&[]).unwrap();
    set_thread_res_gid(gid, gid, gid).unwrap();
    set_thread_res_uid(uid, uid, uid).unwrap();
}
