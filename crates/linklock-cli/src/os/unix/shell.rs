//! The caller of linklock.

/// The process that runs the script which called us.
///
/// That is linklock's parent, unless the parent is a subshell: in `$(linklock acquire ... || exit)` the parent ends right
/// after linklock, and the lock would be abandoned at once. A shell forks a subshell without an exec, which the kernel
/// reports; the shell itself was executed. If the guess is wrong, and a subshell is the script, the lock names a process
/// that lasts longer. That is safe: nobody takes the lock from a working script, it only lasts until its expiry.
pub(crate) fn calling_shell() -> Option<u32> {
    let mut pid = rustix::process::getppid()?.as_raw_nonzero().get() as u32;
    while let Some(Ancestry { parent, forked_without_exec: true }) = Ancestry::read(pid).filter(|_| is_own_proc()) {
        if parent == 0 {
            break;
        }
        pid = parent;
    }
    Some(pid)
}

/// The command line of a process, if /proc has it.
pub(crate) fn command_line(pid: u32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|line| !line.is_empty() && is_own_proc())?;
    let words = line.strip_suffix(b"\0").unwrap_or(&line).split(|byte| *byte == 0);
    Some(words.map(String::from_utf8_lossy).collect::<Vec<_>>().join(" "))
}

/// Whether /proc shows the pids of this process's own namespace. In those of a namespace around it, our pids mean other
/// processes. See proc_pid_status(5).
fn is_own_proc() -> bool {
    let own = std::process::id().to_string();
    let status = std::fs::read("/proc/self/status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let pids = status.lines().find_map(|line| line.strip_prefix("NStgid:"));
    std::fs::read_link("/proc/self").is_ok_and(|link| link.as_os_str() == own.as_str())
        && pids.is_some_and(|pids| pids.split_ascii_whitespace().eq([own.as_str()]))
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
        // The command's name, in parentheses, may contain anything: start after the last one.
        let end = text.iter().rposition(|b| *b == b')')?;
        let fields: Vec<&str> = std::str::from_utf8(&text[end + 1..]).ok()?.split_ascii_whitespace().collect();
        let flags: u32 = fields.get(6)?.parse().ok()?;
        Some(Self { parent: fields.get(1)?.parse().ok()?, forked_without_exec: flags & FORKED_WITHOUT_EXEC != 0 })
    }
}
