//! What needs the operating system itself: the only unsafe code of the program.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::signals::Inbox;

/// Whether a signal was ignored when this process began, as nohup(1) and background jobs of a script have it.
pub(crate) fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    #[expect(unsafe_code, reason = "sigaction(2) has no safe wrapper")]
    // SAFETY: with a null new action sigaction(2) only writes the present one to `action`, which has room for it. All of
    // its fields may be zero, so it is initialised even if the call fails.
    let handler = unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init().sa_sigaction
    };
    handler == libc::SIG_IGN
}

/// Has a signal put into the inbox from here on.
pub(crate) fn catch(signal: i32, inbox: Arc<Inbox>) -> io::Result<()> {
    #[expect(unsafe_code, reason = "what a signal handler may do cannot be checked")]
    // SAFETY: the action must be async-signal-safe and must not panic. Reading the siginfo is no more than that, and put()
    // stores atomics and writes to an eventfd and a pipe by bare system calls: it neither locks nor allocates. The action
    // owns the inbox and is never unregistered, so a handler cannot be the one to free it.
    unsafe {
        signal_hook_registry::register_sigaction(signal, move |info| inbox.put(signal, is_by_kernel(info)))?;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn is_by_kernel(info: &libc::siginfo_t) -> bool {
    info.si_code == libc::SI_KERNEL
}

/// Other systems do not tell: what was typed may then reach COMMAND twice.
#[cfg(not(target_os = "linux"))]
fn is_by_kernel(_info: &libc::siginfo_t) -> bool {
    false
}

/// Has the statuses of children kept, whatever our caller wanted: SIGCHLD ignored is inherited, and throws them away.
pub(crate) fn keep_statuses_of_children() {
    if is_ignored(libc::SIGCHLD) {
        #[expect(unsafe_code, reason = "signal(2) has no safe wrapper")]
        // SAFETY: no handler is installed, and nothing in this process relies on the former disposition.
        unsafe {
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        }
    }
}

/// Becomes readable when a child has ended, and leaves it to be waited for.
pub(crate) fn end_of(child: Pid) -> io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    if let Ok(fd) = rustix::process::pidfd_open(child, rustix::process::PidfdFlags::empty()) {
        return Ok(fd);
    }
    end_by_thread(child)
}

/// For systems without pidfds, and kernels before 5.3.
fn end_by_thread(child: Pid) -> io::Result<OwnedFd> {
    let (reader, writer) = io::pipe()?;
    thread::Builder::new().name("linklock-end".into()).spawn(move || {
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while waitid(WaitId::Pid(child), ended).is_err_and(|e| e == Errno::INTR) {}
        drop(writer);
    })?;
    Ok(reader.into())
}

/// Has COMMAND killed if this process ends without having waited for it.
///
/// The kernel sends the signal when the *thread* ends that started COMMAND, so it must be the main thread, which lasts as
/// long as the process.
#[cfg(target_os = "linux")]
pub(crate) fn die_with_parent(command: &mut Command) {
    use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
    let parent = getpid();
    let in_child = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // A parent that ended before the call above sends nothing any more.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    };
    #[expect(unsafe_code, reason = "what runs between fork and exec cannot be checked")]
    // SAFETY: after a fork of a process with other threads only async-signal-safe calls may be made. These are two system
    // calls, and the errors are made without an allocation.
    unsafe {
        command.pre_exec(in_child);
    }
}

/// Other systems have nothing like it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn die_with_parent(_command: &mut Command) {}

/// The process that runs the script which called us.
///
/// That is our parent, unless it is a subshell: in `$(linklock acquire ... || exit)` the parent ends as soon as we do, and
/// the lock would be a dead process's. A subshell is forked without an exec, which the kernel tells; the shell itself was
/// executed. Where that is wrong, and a subshell is the script, the lock names a process that lasts longer: then it is not
/// recovered before its expiry, but never taken from a script that is at work.
pub(crate) fn calling_shell() -> Option<u32> {
    let mut pid = rustix::process::getppid()?.as_raw_nonzero().get() as u32;
    while let Some(Ancestry { parent, forked_without_exec: true }) = Ancestry::read(pid) {
        if parent == 0 {
            break;
        }
        pid = parent;
    }
    Some(pid)
}

struct Ancestry {
    parent: u32,
    forked_without_exec: bool,
}

impl Ancestry {
    /// From proc_pid_stat(5); `None` on systems that have no such file.
    fn read(pid: u32) -> Option<Self> {
        /// The kernel's own flag of a task, PF_FORKNOEXEC.
        const FORKED_WITHOUT_EXEC: u32 = 0x40;
        let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The command's name, in parentheses, may hold anything: start behind the last one.
        let end = text.iter().rposition(|b| *b == b')')?;
        let fields: Vec<&str> = std::str::from_utf8(&text[end + 1..]).ok()?.split_ascii_whitespace().collect();
        let flags: u32 = fields.get(6)?.parse().ok()?;
        Some(Self { parent: fields.get(1)?.parse().ok()?, forked_without_exec: flags & FORKED_WITHOUT_EXEC != 0 })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn is_readable(fd: &OwnedFd, secs: i64) -> bool {
        poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&Timespec { tv_sec: secs, tv_nsec: 0 })).unwrap() == 1
    }

    #[test]
    fn the_end_of_a_child_is_seen_with_a_pidfd_and_without() {
        for end_of in [end_of, end_by_thread] {
            let mut child = Command::new("sleep").arg("60").spawn().unwrap();
            let end = end_of(Pid::from_child(&child)).unwrap();
            assert!(!is_readable(&end, 0), "it still runs");
            child.kill().unwrap();
            assert!(is_readable(&end, 30), "it has ended");
            assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL), "its status was left for us");
        }
    }
}
