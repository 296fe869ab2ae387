//! Starting COMMAND so that it ends with us, and has the signals that our caller gave us.

use std::env;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use rustix::process::{Pid, getpid};

use super::signals::{block_all, hand_over, set_mask};

/// Starts COMMAND. On Linux the kernel kills it if this process ends without having waited for it.
///
/// The kernel does so when the *thread* ends that started COMMAND, so only the main thread may call this: it lasts as long
/// as the process.
///
/// The lock can be trusted for this long from now on. If it cannot be when COMMAND is about to be executed, because the machine
/// or this process was held up, COMMAND is not: the error is `TimedOut`.
pub(super) fn spawn(mut command: Command, trusted_for: Duration) -> io::Result<Child> {
    let until = since_boot() + trusted_for;
    match start(&mut command, until) {
        Err(e) if e.raw_os_error() == Some(libc::ENOEXEC) => match script(&command) {
            Some(mut script) => start(&mut script, until),
            None => Err(e),
        },
        started => started,
    }
}

fn start(command: &mut Command, until: Duration) -> io::Result<Child> {
    let parent = getpid();
    // From the fork to its exec the child has our handlers. They would treat a signal to the child as one to linklock, and
    // COMMAND would never see it. Blocked, it stays pending until COMMAND's own disposition applies.
    let mask = block_all();
    let prepare = move || {
        end_with(parent)?;
        hand_over(&mask);
        // The last thing before COMMAND: a pause comes in between only if it falls between two instructions.
        if since_boot() >= until { Err(Errno::TIMEDOUT.into()) } else { Ok(()) }
    };
    #[expect(unsafe_code, reason = "the compiler cannot check what runs between fork and exec")]
    // SAFETY: another thread may have held any lock at the fork, so this must be async-signal-safe. It is: it makes the
    // system calls prctl, getppid, sigaction, sigprocmask and clock_gettime, reads one atomic, and does not allocate.
    unsafe {
        command.pre_exec(prepare);
    }
    let started = command.spawn();
    set_mask(&mask);
    started
}

/// The clock that the library keeps deadlines on: it counts while the machine sleeps.
fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(clock);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Has the kernel kill this process when `parent` ends.
#[cfg(target_os = "linux")]
fn end_with(parent: Pid) -> io::Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // A parent that ended before that call sends nothing any more.
    if getppid() == Some(parent) { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
}

/// Other Unixes have nothing like it.
#[cfg(not(target_os = "linux"))]
fn end_with(_parent: Pid) -> io::Result<()> {
    Ok(())
}

/// The command as a script of sh, for a file that can be executed but whose format the kernel does not know. In most C
/// libraries execvp(3) does this itself; in musl it does not.
fn script(command: &Command) -> Option<Command> {
    let program = command.get_program();
    let places: Vec<PathBuf> = if program.as_bytes().contains(&b'/') {
        vec![program.into()]
    } else {
        let path = env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/bin:/usr/bin".into());
        env::split_paths(&path).map(|directory| directory.join(program)).collect()
    };
    // What execvp(3) has found, where its search ended: the first file that the kernel lets us execute.
    let file = places
        .into_iter()
        .find(|place| place.is_file() && accessat(CWD, place, Access::EXEC_OK, AtFlags::EACCESS).is_ok())?;
    let mut script = Command::new("/bin/sh");
    script.arg(file).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    Some(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_is_not_executed_once_the_lock_cannot_be_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let (done, script) = (dir.path().join("done"), dir.path().join("script"));
        // Without a first line that names the interpreter: it is tried twice.
        std::fs::write(&script, "touch \"$1\"").unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        for trusted_for in [Duration::ZERO, Duration::from_secs(60)] {
            for program in ["touch".as_ref(), script.as_path()] {
                let mut command = Command::new(program);
                command.arg(&done);
                let ended = spawn(command, trusted_for).and_then(|mut child| child.wait());
                let is_late = ended.is_err_and(|e| e.kind() == io::ErrorKind::TimedOut);
                assert_eq!((is_late, done.exists()), (trusted_for.is_zero(), !trusted_for.is_zero()), "{program:?}");
                let _ = std::fs::remove_file(&done);
            }
        }
    }
}
