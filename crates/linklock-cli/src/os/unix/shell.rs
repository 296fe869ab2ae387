//! The caller of linklock.

use super::proc::{self, Stat};

/// The process that runs the script which called us.
///
/// That is linklock's parent, unless the parent is a subshell: in `$(linklock acquire ... || exit)` the parent ends right
/// after linklock, and the lock would be abandoned at once. A shell forks a subshell without an exec, which the kernel
/// reports; the shell itself was executed. If the guess is wrong, and a subshell is the script, the lock names a process
/// that lasts longer. That is safe: nobody takes the lock from a working script, it only lasts until its expiry.
pub(crate) fn calling_shell() -> Option<u32> {
    let mut pid = rustix::process::getppid()?.as_raw_nonzero().get() as u32;
    while let Some(Stat { parent, forked_without_exec: true, .. }) = Stat::read(pid).filter(|_| proc::is_own()) {
        if parent == 0 {
            break;
        }
        pid = parent;
    }
    Some(pid)
}

/// The command line of a process, if /proc has it.
pub(crate) fn command_line(pid: u32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|line| !line.is_empty() && proc::is_own())?;
    let words = line.strip_suffix(b"\0").unwrap_or(&line).split(|byte| *byte == 0);
    Some(words.map(String::from_utf8_lossy).collect::<Vec<_>>().join(" "))
}
