//! The processes that COMMAND started, and those that they started.
//!
//! Linux hands the orphans among them to linklock, their subreaper, so none gets away: all have linklock among their ancestors.
//! Other systems have nothing like it. There only COMMAND itself is known.

use rustix::process::{Pid, Signal};

/// A process below linklock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descendant {
    pub(super) pid: Pid,
    /// When it started: with the pid it identifies a process.
    start: u64,
    pub(super) group: i32,
    pub(super) is_stopped: bool,
}

#[cfg(target_os = "linux")]
mod system {
    use std::collections::BTreeMap;
    use std::fs;
    use std::io;

    use rustix::io::Errno;
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

    use super::super::proc::{self, Stat};
    use super::{Descendant, Pid, Signal};

    /// From here on orphans among our descendants become our children.
    pub(in super::super) fn adopt_orphans() -> io::Result<()> {
        Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
    }

    /// All that run, parents before their children. Without /proc none is known: that of another pid namespace tells of others.
    pub(in super::super) fn descendants() -> Vec<Descendant> {
        if !proc::is_own() {
            return Vec::new();
        }
        let mut children: BTreeMap<u32, Vec<Descendant>> = BTreeMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            if let Some((parent, descendant)) = pid.and_then(look) {
                children.entry(parent).or_default().push(descendant);
            }
        }
        let mut all = children.remove(&std::process::id()).unwrap_or_default();
        let mut next = 0;
        while let Some(process) = all.get(next) {
            all.extend(children.remove(&(process.pid.as_raw_nonzero().get() as u32)).unwrap_or_default());
            next += 1;
        }
        all
    }

    /// Its parent's pid, and itself; `None` if it has ended.
    fn look(pid: Pid) -> Option<(u32, Descendant)> {
        let stat = Stat::read(pid.as_raw_nonzero().get() as u32).filter(|stat| !stat.has_ended)?;
        Some((stat.parent, Descendant { pid, start: stat.start, group: stat.group, is_stopped: stat.is_stopped }))
    }

    /// Sends a signal to this process, and to no other that has its pid by now. False if linklock may not.
    pub(in super::super) fn send(process: &Descendant, signal: Signal) -> bool {
        let Ok(pidfd) = pidfd_open(process.pid, PidfdFlags::empty()) else {
            // Before Linux 5.3, or without a descriptor to spare, the pid has to do. That it became another's since the look, a
            // moment ago, takes a whole round of pids.
            return rustix::process::kill_process(process.pid, signal) != Err(Errno::PERM);
        };
        // The descriptor is of the process that had the pid when it was opened. Is that the one that was seen?
        let is_same = look(process.pid).is_some_and(|(_, now)| now.start == process.start);
        !is_same || pidfd_send_signal(&pidfd, signal) != Err(Errno::PERM)
    }

    /// Takes the statuses of adopted orphans, so that they do not stay as zombies. `command`'s is left for who waits for it.
    pub(in super::super) fn reap_orphans(command: Pid) {
        while let Some(ended) = ended_child() {
            // Its status is taken next, and then the others have their turn.
            if ended == command {
                return;
            }
            let _ = rustix::process::waitpid(Some(ended), rustix::process::WaitOptions::NOHANG);
        }
    }

    /// A child that has ended and whose status nobody has taken.
    fn ended_child() -> Option<Pid> {
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        #[expect(unsafe_code, reason = "rustix's waitid does not say which child it was")]
        // SAFETY: waitid(2) writes a siginfo_t, all of whose fields may be zero. With none to report it leaves the pid zero.
        let pid = unsafe {
            if libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) != 0 {
                return None;
            }
            info.assume_init().si_pid()
        };
        Pid::from_raw(pid)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    use rustix::io::Errno;

    use super::{Descendant, Pid, Signal};

    pub(in super::super) fn adopt_orphans() -> io::Result<()> {
        Ok(())
    }

    pub(in super::super) fn descendants() -> Vec<Descendant> {
        Vec::new()
    }

    pub(in super::super) fn send(process: &Descendant, signal: Signal) -> bool {
        rustix::process::kill_process(process.pid, signal) != Err(Errno::PERM)
    }

    pub(in super::super) fn reap_orphans(_command: Pid) {}
}

pub(super) use system::{adopt_orphans, descendants, reap_orphans, send};

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn children_and_their_children_are_found_parents_first_and_reached_by_signals() {
        let mut shell = Command::new("sh").args(["-c", "sleep 60 & wait"]).spawn().unwrap();
        let shells = Pid::from_child(&shell);
        let found = loop {
            let all = descendants();
            let at = all.iter().position(|process| process.pid == shells);
            // Other tests have children too.
            if let Some(at) = at.filter(|at| all.len() > at + 1) {
                break all[at..].to_vec();
            }
        };
        assert!(found.iter().all(|process| !process.is_stopped));
        let stale = Descendant { start: found[0].start + 1, ..found[0] };
        assert!(send(&stale, Signal::KILL), "another process that had this pid is gone, and nothing is sent");
        assert!(shell.try_wait().unwrap().is_none(), "it was not reached");
        for process in &found {
            assert!(send(process, Signal::KILL));
        }
        shell.wait().unwrap();
    }
}
