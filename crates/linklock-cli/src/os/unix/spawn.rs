//! Starting COMMAND so that it ends with us, and has the signals that our caller gave us.

use std::env;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::{Pid, getpid};

use super::signals::{block_all, hand_over, set_mask};

/// Starts COMMAND. On Linux the kernel kills it if this process ends without having waited for it.
///
/// The kernel does so when the *thread* ends that started COMMAND, so only the main thread may call this: it lasts as long
/// as the process.
pub(super) fn spawn(mut command: Command) -> io::Result<Child> {
    match start(&mut command) {
        Err(e) if e.raw_os_error() == Some(libc::ENOEXEC) => match script(&command) {
            Some(mut script) => start(&mut script),
            None => Err(e),
        },
        started => started,
    }
}

fn start(command: &mut Command) -> io::Result<Child> {
    let parent = getpid();
    // From the fork to its exec the child has our handlers. They would treat a signal to the child as one to linklock, and
    // COMMAND would never see it. Blocked, it stays pending until COMMAND's own disposition applies.
    let mask = block_all();
    let prepare = move || {
        end_with(parent)?;
        hand_over(&mask);
        Ok(())
    };
    #[expect(unsafe_code, reason = "the compiler cannot check what runs between fork and exec")]
    // SAFETY: another thread may have held any lock at the fork, so this must be async-signal-safe. It is: it makes the
    // system calls prctl, getppid, sigaction and sigprocmask, reads one atomic, and does not allocate.
    unsafe {
        command.pre_exec(prepare);
    }
    let started = command.spawn();
    set_mask(&mask);
    started
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
