//! A thread to which the kernel or the file system refuses something.
#![expect(unsafe_code, reason = "seccomp(2) and unshare(2) have no safe wrappers")]

use std::io;

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

pub(crate) const NOBODY: u32 = 65534;

/// The library may use any of these calls.
pub(crate) const RENAMES: &[libc::c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
];
pub(crate) const LINKS: &[libc::c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    libc::SYS_linkat,
];

pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// Runs `act` in a thread that has the rights of the user `nobody`, permanently. It needs root.
pub(crate) fn as_nobody<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    as_user(NOBODY, NOBODY, act)
}

/// Runs `act` in a thread that has the rights of this user and this group, permanently. It needs root.
pub(crate) fn as_user<T: Send>(user: u32, group: u32, act: impl FnOnce() -> T + Send) -> T {
    in_thread(|| become_user(user, group), act).expect("root can become any user")
}

/// Changes the calling thread to the rights of this user and this group, permanently. It needs root.
pub(crate) fn become_user(user: u32, group: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(group));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    Ok(set_thread_res_uid(uid, uid, uid)?)
}

/// Runs `act` in a thread that can change its working directory alone.
pub(crate) fn with_own_cwd<T: Send>(act: impl FnOnce() -> T + Send) -> io::Result<T> {
    // SAFETY: CLONE_FS only gives the thread its own working directory and umask. No code of this program depends on
    // sharing them.
    in_thread(|| ok(unsafe { libc::unshare(libc::CLONE_FS) }), act)
}

/// Runs `act` in a thread for which all system calls with the numbers `calls` fail with `errno`. It needs no rights, but a
/// kernel with seccomp.
pub(crate) fn with_failing<T: Send>(
    calls: &[libc::c_long],
    errno: i32,
    act: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    in_thread(|| refuse(calls, errno), act)
}

fn in_thread<T: Send>(
    prepare: impl FnOnce() -> io::Result<()> + Send,
    act: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    std::thread::scope(|scope| scope.spawn(|| prepare().map(|()| act())).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Installs a filter that compares the call's number with each of `calls`, see seccomp(2).
fn refuse(calls: &[libc::c_long], errno: i32) -> io::Result<()> {
    let rule = |code: u32, jt: usize, k: u32| libc::sock_filter { code: code as u16, jt: jt as u8, jf: 0, k };
    // The filter's input begins with the call's number.
    let mut filter = vec![rule(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0)];
    for (i, call) in calls.iter().enumerate() {
        filter.push(rule(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, calls.len() - i, *call as u32));
    }
    filter.push(rule(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW));
    filter.push(rule(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | errno as u32));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: both calls affect the calling thread alone. The program points to a filter that lives until they return, and
    // the kernel checks the filter.
    unsafe {
        ok(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        ok(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program))
    }
}

fn ok(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
