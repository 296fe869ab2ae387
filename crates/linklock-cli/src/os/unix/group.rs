//! Process groups.

use rustix::process::{Pid, getpid};

/// The process group of a process that is there. It is 0 if its leader is in a pid namespace around ours, for which rustix's own
/// function has no value.
pub(super) fn group_of(pid: Pid) -> i32 {
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: getpgid(2) takes a number and returns one.
    unsafe {
        libc::getpgid(pid.as_raw_nonzero().get())
    }
}

pub(super) fn own_group() -> i32 {
    group_of(getpid())
}
