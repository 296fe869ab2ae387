//! What /proc says of processes.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags, PROC_SUPER_MAGIC, openat, readlinkat};
use rustix::io::{Errno, retry_on_intr};

use super::super::content::read_all;
use super::super::own::process_id;

/// The name of a process.
pub(crate) fn command(pid: u32) -> Option<String> {
    let proc = Proc::open()?;
    let name = if pid == process_id() {
        proc.read("self/comm")?
    } else if proc.is_ours() {
        proc.read(&format!("{pid}/comm"))?
    } else {
        return None;
    };
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

/// What is mounted at /proc, opened once: all that is asked of it comes from one and the same file system.
pub(crate) struct Proc(OwnedFd);

impl Proc {
    pub(crate) fn open() -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        retry_on_intr(|| rustix::fs::open("/proc", flags, Mode::empty())).ok().map(Self)
    }

    /// Whether it shows the pids of our own namespace. It may be another's: nsenter(1) and unshare(1) change the namespace and
    /// leave /proc as it is unless told otherwise. There our pids are other processes.
    pub(crate) fn is_ours(&self) -> bool {
        let is_proc = rustix::fs::fstatfs(&self.0).is_ok_and(|fs| fs.f_type == PROC_SUPER_MAGIC);
        let own = rustix::process::getpid().as_raw_nonzero().to_string();
        let named = readlinkat(&self.0, "self", Vec::new()).is_ok_and(|link| link.as_bytes() == own.as_bytes());
        // In the namespace of an ancestor, our pid there may be the same by chance.
        is_proc && named && self.read("self/status").is_some_and(|status| has_one_pid(&status, &own))
    }

    /// The boot, and the namespaces in which a pid and a start time mean what they mean here: a process in another time
    /// namespace reads other start times, see time_namespaces(7).
    pub(crate) fn boot_and_namespaces(&self) -> Option<Vec<u8>> {
        let mut identity = self.read("sys/kernel/random/boot_id")?;
        for namespace in ["self/ns/pid", "self/ns/time"] {
            let inode = match rustix::fs::statat(&self.0, namespace, AtFlags::empty()) {
                Ok(stat) => stat.st_ino,
                // A kernel without such namespaces has no such file, and then every process is in the same one.
                Err(Errno::NOENT) => 0,
                // One that may not be known could be any: it must not look the same as another.
                Err(_) => return None,
            };
            identity.extend(inode.to_le_bytes());
        }
        Some(identity)
    }

    pub(crate) fn stat(&self, pid: u32) -> Option<ProcessStat> {
        ProcessStat::parse(&self.read(&format!("{pid}/stat"))?)
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let file = retry_on_intr(|| openat(&self.0, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())).ok()?;
        read_all(file.into())
    }
}

/// Whether /proc/PID/status, see proc_pid_status(5), names no pid of the process but `own`. Seen from the namespace of an
/// ancestor, it has one in each namespace from there to its own.
fn has_one_pid(status: &[u8], own: &str) -> bool {
    let field = |name: &str| {
        let mut lines = status.split(|b| *b == b'\n');
        lines.find_map(|line| line.strip_prefix(name.as_bytes())).and_then(|pids| std::str::from_utf8(pids).ok())
    };
    // Kernels before 4.1 tell nothing.
    let pids = field("NStgid:").or_else(|| field("NSpid:"));
    pids.is_some_and(|pids| pids.split_ascii_whitespace().eq([own]))
}

/// What /proc/PID/stat says, see proc_pid_stat(5).
pub(crate) struct ProcessStat {
    pub(crate) start: u64,
    /// It has ended and only waits to be reaped. A leader that ended before its other threads is a zombie too, but counts
    /// them, and they may still work under the lock.
    pub(crate) ended: bool,
}

impl ProcessStat {
    fn parse(text: &[u8]) -> Option<Self> {
        // The command's name, in parentheses, may hold anything: start behind the last one.
        let end = text.iter().rposition(|b| *b == b')')?;
        let fields: Vec<&str> = std::str::from_utf8(&text[end + 1..]).ok()?.split_ascii_whitespace().collect();
        // Counted from field 3, the state.
        let state = *fields.first()?;
        let threads: u64 = fields.get(17)?.parse().ok()?;
        Some(Self { start: fields.get(19)?.parse().ok()?, ended: matches!(state, "Z" | "X") && threads <= 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_with_our_one_pid_is_seen_from_our_own_namespace() {
        let told =
            |field: &str| has_one_pid(format!("Name:\tNStgid: 7\nTgid:\t7\n{field}\nThreads:\t1\n").as_bytes(), "7");
        for ours in ["NStgid:\t7", "NStgid:\t7\nNSpid:\t8", "NSpid:\t7"] {
            assert!(told(ours), "{ours:?}");
        }
        for another in
            ["NStgid:\t7\t1", "NStgid:\t1\t7", "NStgid:\t77", "NStgid:", "Pid:\t7", "NStgid:\t7\t1\nNSpid:\t7"]
        {
            assert!(!told(another), "{another:?}");
        }
    }
}
