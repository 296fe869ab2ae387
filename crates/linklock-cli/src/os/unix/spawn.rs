//! Starting COMMAND on Linux as posix_spawn(3) does it: by a child that uses our memory until it executes COMMAND. A fork
//! copies page tables, which takes longer than all that is done for the lock; and posix_spawn itself cannot tie COMMAND to us.

use std::env;
use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::ptr;

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitOptions, getpid, getppid, set_parent_process_death_signal, waitpid};

use super::signals::{is_caught, set_default};

/// Starts a program with its arguments and environment; what else can be set of a `Command` is not heeded. The kernel kills
/// it if this process ends without having waited for it.
///
/// The kernel does so when the *thread* ends that started it, so that must be the main thread, which lasts as long as the
/// process.
pub(super) fn spawn(command: Command) -> io::Result<Pid> {
    let mut begin = Begin::of(&command)?;
    let mut stack = Vec::<MaybeUninit<u8>>::with_capacity(STACK);
    let top = stack.as_mut_ptr().wrapping_add(STACK);
    let top = top.wrapping_sub(top.addr() % 16);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // In the child a handler of ours would act upon our memory, for a signal that was sent to another process.
    begin.mask = set_mask(&all_signals());
    #[expect(unsafe_code, reason = "a child that uses our memory")]
    // SAFETY: with CLONE_VFORK this thread goes on when the child has executed COMMAND or ended. So `begin` and `stack`
    // outlast its use of them, and it has them for itself. The stack is aligned, grows downwards from its top, and has room
    // for many times what `in_child` calls. That neither allocates nor takes a lock, which another thread could hold; of what
    // is this thread's own it changes errno alone.
    let pid = unsafe { libc::clone(in_child, top.cast(), flags, (&raw mut begin).cast()) };
    let failed = io::Error::last_os_error();
    set_mask(&begin.mask);
    let pid = Pid::from_raw(pid.max(0)).ok_or(failed)?;
    if begin.error == 0 {
        return Ok(pid);
    }
    // It has ended, and never was COMMAND.
    let _ = retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
    Err(io::Error::from_raw_os_error(begin.error))
}

const STACK: usize = 16 * 1024;

const SHELL: &CStr = c"/bin/sh";

/// Which of the words it is.
const PROGRAM: usize = 1;

/// What the child needs to become COMMAND, made before it begins.
struct Begin {
    /// Where the program may be.
    places: Vec<CString>,
    /// The shell, the program and its arguments: all of it for a script, else without the shell.
    words: Vector,
    variables: Vector,
    /// The signals that have a handler.
    caught: Vec<c_int>,
    /// The signals that are blocked for COMMAND as they were for us.
    mask: libc::sigset_t,
    parent: Pid,
    /// Why the child is not COMMAND; 0 if it is.
    error: c_int,
}

impl Begin {
    fn of(command: &Command) -> io::Result<Self> {
        let program = command.get_program();
        let words = [SHELL.to_bytes(), program.as_bytes()].into_iter().chain(command.get_args().map(OsStr::as_bytes));
        let words = words.map(CString::new).collect::<Result<_, _>>()?;
        Ok(Self {
            places: places(program)?,
            words: Vector::new(words),
            variables: Vector::new(variables(command)?),
            caught: (1..=libc::SIGRTMAX()).filter(|signal| is_caught(*signal)).collect(),
            mask: all_signals(),
            parent: getpid(),
            error: 0,
        })
    }

    /// In the child. Returns if it failed, with the reason as an errno.
    fn become_command(&mut self) -> c_int {
        if let Err(e) = set_parent_process_death_signal(Some(Signal::KILL)) {
            return e.raw_os_error();
        }
        // A parent that ended before the call above sends nothing any more.
        if getppid() != Some(self.parent) {
            return libc::ESRCH;
        }
        // Rust has SIGPIPE ignored, which is not for COMMAND to inherit; what our caller ignores is.
        for signal in self.caught.iter().copied().chain([libc::SIGPIPE]) {
            set_default(signal);
        }
        set_mask(&self.mask);
        self.execute()
    }

    /// As execvp(3); musl's does not know scripts without an interpreter.
    fn execute(&mut self) -> c_int {
        let mut error = libc::ENOENT;
        for i in 0..self.places.len() {
            match self.execve(&self.places[i], PROGRAM) {
                libc::ENOEXEC => {
                    self.words.pointers[PROGRAM] = self.places[i].as_ptr();
                    return self.execve(SHELL, 0);
                }
                libc::EACCES => error = libc::EACCES,
                libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {}
                other => return other,
            }
        }
        error
    }

    fn execve(&self, path: &CStr, first_word: usize) -> c_int {
        #[expect(unsafe_code, reason = "execve(2) has no safe wrapper")]
        // SAFETY: both vectors end with a null pointer, and what they point to is kept with them.
        unsafe {
            libc::execve(path.as_ptr(), self.words.pointers[first_word..].as_ptr(), self.variables.pointers.as_ptr());
        }
        io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
    }
}

extern "C" fn in_child(begin: *mut c_void) -> c_int {
    #[expect(unsafe_code, reason = "what clone(2) passes on has no type")]
    // SAFETY: it is spawn's `begin`, which that does not use before the child has ended or executed COMMAND. _exit runs
    // nothing of what our own exit would.
    unsafe {
        let begin = &mut *begin.cast::<Begin>();
        begin.error = begin.become_command();
        libc::_exit(127)
    }
}

/// What the C language has for a list of strings: pointers, of which the last is null.
struct Vector {
    pointers: Vec<*const c_char>,
    _strings: Vec<CString>,
}

impl Vector {
    fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect();
        Self { pointers, _strings: strings }
    }
}

/// Where execvp(3) looks for a program.
fn places(program: &OsStr) -> io::Result<Vec<CString>> {
    let name = program.as_bytes();
    if name.is_empty() {
        return Ok(Vec::new());
    }
    if name.contains(&b'/') {
        return Ok(vec![CString::new(name)?]);
    }
    let path = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let directories = path.as_bytes().split(|b| *b == b':');
    // An empty one is the current directory.
    let places = directories.map(|dir| if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() });
    Ok(places.map(CString::new).collect::<Result<_, _>>()?)
}

/// Our environment with the command's changes.
fn variables(command: &Command) -> io::Result<Vec<CString>> {
    let changes: Vec<_> = command.get_envs().collect();
    let kept = env::vars_os().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    let set = changes.iter().filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.to_owned())));
    let variables = kept.chain(set).map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    Ok(variables.map(CString::new).collect::<Result<_, _>>()?)
}

fn all_signals() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    #[expect(unsafe_code, reason = "sigfillset(3) has no safe wrapper")]
    // SAFETY: it initialises the set.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}

/// Has these signals blocked, and gives those that were.
fn set_mask(blocked: &libc::sigset_t) -> libc::sigset_t {
    let mut before = *blocked;
    #[expect(unsafe_code, reason = "sigprocmask(2) has no safe wrapper")]
    // SAFETY: both are sets.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, blocked, &raw mut before);
    }
    before
}
