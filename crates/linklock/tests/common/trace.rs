//! Runs one thread of another process from one system call to the next, see ptrace(2). So a process can be stopped exactly
//! between two steps of a protocol.
//!
//! Only the thread that attached is the tracer, so a `Trace` must stay in it.
#![expect(unsafe_code, reason = "ptrace has no safe wrapper")]

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::puppet::Puppet;

/// PTRACE_GET_SYSCALL_INFO, which the headers of some C libraries lack.
const GET_SYSCALL_INFO: Request = 0x420e;
const INFO_WORDS: usize = 11;
const ENTRY: u64 = 1;

/// Calls that have no effect outside of the process. A stop before such a call equals a stop before the next one.
const PRIVATE: [libc::c_long; 6] =
    [libc::SYS_getpid, libc::SYS_brk, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_futex, libc::SYS_madvise];

/// A system call that is about to be made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    number: libc::c_long,
    removes_directory: bool,
    /// The paths in its arguments, if it is a call by name. They are absolute, also where the call uses an open directory.
    pub(crate) paths: Vec<PathBuf>,
}

/// A call, and which of its arguments are paths.
type ByName = (libc::c_long, &'static str, &'static [usize]);

/// All calls by name. Those of the second table take an open directory before each path.
#[cfg(target_arch = "x86_64")]
const BY_PATH: &[ByName] = &[
    (libc::SYS_open, "open", &[0]),
    (libc::SYS_stat, "stat", &[0]),
    (libc::SYS_lstat, "lstat", &[0]),
    (libc::SYS_mkdir, "mkdir", &[0]),
    (libc::SYS_rmdir, "rmdir", &[0]),
    (libc::SYS_unlink, "unlink", &[0]),
    (libc::SYS_link, "link", &[0, 1]),
    (libc::SYS_rename, "rename", &[0, 1]),
    (libc::SYS_chmod, "chmod", &[0]),
    (libc::SYS_readlink, "readlink", &[0]),
    (libc::SYS_statfs, "statfs", &[0]),
    (libc::SYS_inotify_add_watch, "inotify_add_watch", &[1]),
];
#[cfg(not(target_arch = "x86_64"))]
const BY_PATH: &[ByName] =
    &[(libc::SYS_statfs, "statfs", &[0]), (libc::SYS_inotify_add_watch, "inotify_add_watch", &[1])];
const BELOW_DIRECTORY: &[ByName] = &[
    (libc::SYS_openat, "openat", &[1]),
    (libc::SYS_openat2, "openat2", &[1]),
    #[cfg(target_pointer_width = "64")]
    (libc::SYS_newfstatat, "newfstatat", &[1]),
    (libc::SYS_statx, "statx", &[1]),
    (libc::SYS_mkdirat, "mkdirat", &[1]),
    (libc::SYS_unlinkat, "unlinkat", &[1]),
    (libc::SYS_linkat, "linkat", &[1, 3]),
    (libc::SYS_renameat, "renameat", &[1, 3]),
    (libc::SYS_renameat2, "renameat2", &[1, 3]),
    (libc::SYS_fchmodat, "fchmodat", &[1]),
    (libc::SYS_utimensat, "utimensat", &[1]),
    (libc::SYS_readlinkat, "readlinkat", &[1]),
];

impl Call {
    /// Its name, if it is a call by name.
    pub(crate) fn name(&self) -> &'static str {
        let known = BY_PATH.iter().chain(BELOW_DIRECTORY).find(|(number, ..)| *number == self.number);
        known.map_or("?", |(_, name, _)| name)
    }

    pub(crate) fn is_rename(&self) -> bool {
        #[cfg(target_arch = "x86_64")]
        if self.number == libc::SYS_rename {
            return true;
        }
        [libc::SYS_renameat, libc::SYS_renameat2].contains(&self.number)
    }

    pub(crate) fn is_link(&self) -> bool {
        #[cfg(target_arch = "x86_64")]
        if self.number == libc::SYS_link {
            return true;
        }
        self.number == libc::SYS_linkat
    }

    pub(crate) fn is_unlink(&self) -> bool {
        #[cfg(target_arch = "x86_64")]
        if self.number == libc::SYS_unlink {
            return true;
        }
        self.number == libc::SYS_unlinkat && !self.removes_directory
    }
}

/// The puppet has ended, or another process has killed it.
#[derive(Debug)]
pub(crate) struct Dead;

/// A puppet's thread that is stopped, or that runs from call to call.
pub(crate) struct Trace {
    tid: libc::pid_t,
    memory: File,
    attached: bool,
}

impl Trace {
    /// Stops the puppet while it waits for an order. Fails if the system does not allow that.
    pub(crate) fn attach(puppet: &mut Puppet) -> io::Result<Self> {
        let tid = puppet.ask("thread").unwrap().rsplit('/').next().unwrap().parse().unwrap();
        let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
        ptrace(libc::PTRACE_SEIZE, tid, 0, options as usize)?;
        ptrace(libc::PTRACE_INTERRUPT, tid, 0, 0)?;
        let memory = File::open(format!("/proc/{tid}/mem"))?;
        let trace = Self { tid, memory, attached: true };
        assert!(trace.wait().is_some(), "the puppet lives");
        Ok(trace)
    }

    /// Runs to the next call of the current order, and stops before it. `None` if only the reply is left.
    pub(crate) fn next(&self) -> Option<Call> {
        self.next_unless_dead().expect("the puppet died")
    }

    /// Like `next`, but a dead puppet is an error.
    pub(crate) fn next_unless_dead(&self) -> Result<Option<Call>, Dead> {
        let mut signal = 0;
        loop {
            ptrace(libc::PTRACE_SYSCALL, self.tid, 0, signal).map_err(|_| Dead)?;
            let stopped_by = self.wait().ok_or(Dead)?;
            if stopped_by != libc::SIGTRAP | 0x80 {
                // The puppet must get this signal. An event of ptrace itself is not a signal.
                signal = if stopped_by == libc::SIGTRAP { 0 } else { stopped_by as usize };
                continue;
            }
            signal = 0;
            let Some((number, args)) = self.entered()? else { continue };
            match (number, args[0]) {
                // The reply goes to stderr, and the next order comes from stdin.
                (libc::SYS_write, 2) => return Ok(None),
                (libc::SYS_read, 0) => {}
                _ if PRIVATE.contains(&number) => {}
                _ => return Ok(Some(self.call(number, &args))),
            }
        }
    }

    /// Lets the puppet run without stops.
    pub(crate) fn detach(&mut self) {
        ptrace(libc::PTRACE_DETACH, self.tid, 0, 0).unwrap();
        self.attached = false;
    }

    /// Kills the puppet before the call at which it is stopped.
    pub(crate) fn kill(mut self, puppet: &mut Puppet) {
        puppet.kill();
        // The tracer too must wait for the thread's end before the process is removed.
        while self.wait().is_some() {}
        self.attached = false;
        puppet.reap();
    }

    /// By which signal the thread is stopped; `None` if it has ended.
    fn wait(&self) -> Option<libc::c_int> {
        let mut status = 0;
        // SAFETY: waitpid writes an int to `status`, to which the pointer points.
        let waited = unsafe { libc::waitpid(self.tid, &mut status, libc::__WALL) };
        (waited == self.tid && libc::WIFSTOPPED(status)).then(|| libc::WSTOPSIG(status))
    }

    /// Number and arguments of the call that the thread is about to make; `None` if the thread returns from a call.
    fn entered(&self) -> Result<Option<(libc::c_long, [u64; 6])>, Dead> {
        let mut info = [0_u64; INFO_WORDS];
        let (size, place) = (size_of_val(&info), info.as_mut_ptr() as usize);
        ptrace(GET_SYSCALL_INFO, self.tid, size, place).map_err(|_| Dead)?;
        // The first byte gives the kind of the stop. Number and arguments follow after two more words.
        let entry = u64::from(info[0].to_ne_bytes()[0]) == ENTRY;
        Ok(entry.then(|| (info[3] as libc::c_long, info[4..10].try_into().unwrap())))
    }

    fn call(&self, number: libc::c_long, args: &[u64; 6]) -> Call {
        let removes_directory = number == libc::SYS_unlinkat && args[2] & libc::AT_REMOVEDIR as u64 != 0;
        let of =
            |table: &[ByName]| table.iter().find(|(known, ..)| *known == number).map_or(&[][..], |(.., places)| places);
        let direct = of(BY_PATH).iter().map(|i| self.path_at(args[*i]));
        let below =
            of(BELOW_DIRECTORY).iter().map(|i| Some(self.directory(args[i - 1])?.join(self.path_at(args[*i])?)));
        let paths = direct.chain(below).flatten().collect();
        Call { number, removes_directory, paths }
    }

    /// The open directory of a call by name. A call with an absolute path does not need it.
    fn directory(&self, descriptor: u64) -> Option<PathBuf> {
        match descriptor as i32 {
            libc::AT_FDCWD => Some(PathBuf::new()),
            open => std::fs::read_link(format!("/proc/{}/fd/{open}", self.tid)).ok(),
        }
    }

    /// `None` if the call uses the open file itself.
    fn path_at(&self, address: u64) -> Option<PathBuf> {
        if address == 0 {
            return None;
        }
        let mut bytes = vec![0; libc::PATH_MAX as usize];
        // The text may end early, at the end of the mapped memory.
        let read = self.memory.read_at(&mut bytes, address).unwrap();
        bytes.truncate(bytes[..read].iter().position(|b| *b == 0).unwrap());
        (!bytes.is_empty()).then(|| PathBuf::from(std::ffi::OsString::from_vec(bytes)))
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if self.attached {
            // After a failed test: the puppet is killed next, and cannot be reaped before its tracer detaches.
            let _ = ptrace(libc::PTRACE_DETACH, self.tid, 0, libc::SIGKILL as usize);
        }
    }
}

#[cfg(target_env = "musl")]
type Request = libc::c_int;
#[cfg(not(target_env = "musl"))]
type Request = libc::c_uint;

fn ptrace(request: Request, tid: libc::pid_t, address: usize, data: usize) -> io::Result<()> {
    // SAFETY: of the requests that are made here only GET_SYSCALL_INFO writes to our memory: at most `address` bytes to
    // `data`. Its caller sets them to the size and the place of the same array.
    let result = unsafe { libc::ptrace(request, tid, address, data) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
