//! Tools for the tests: a directory of their own, and linklock as a process.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use linklock::SEPARATOR;
use tempfile::TempDir;

use crate::processes::{self, start};

/// Longer than any test takes. It only keeps a failed test from hanging.
const SAFETY_NET: Duration = Duration::from_secs(30);

/// A directory with a lock path in it.
pub(crate) struct Scene {
    pub(crate) dir: TempDir,
    pub(crate) lock: PathBuf,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with_lock("job.lock")
    }

    pub(crate) fn with_lock(name: impl AsRef<Path>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let lock = dir.path().join(name);
        Self { dir, lock }
    }

    /// `linklock SUBCOMMAND LOCKPATH ARGUMENT...`.
    pub(crate) fn linklock<I: AsRef<OsStr>>(
        &self,
        subcommand: &str,
        arguments: impl IntoIterator<Item = I>,
    ) -> Command {
        let mut command = linklock([subcommand]);
        command.arg(&self.lock).args(arguments);
        command
    }

    /// `linklock run OPTION... LOCKPATH worker WORD...`, with a pipe for its output.
    pub(crate) fn work(&self, options: &[&str], words: &[&str]) -> Command {
        let mut command = linklock(["run"]);
        command.args(options).arg(&self.lock).arg(worker()).args(words).stdout(Stdio::piped());
        command
    }

    /// Acquires the lock for `pid`, or `none`, and gives the token.
    pub(crate) fn acquire_for(&self, pid: &str, lifetime: &str) -> OsString {
        let output = end(self.linklock("acquire", ["--pid", pid, "--lifetime", lifetime]));
        assert_exit(&output, 0);
        let (line, end) = output.stdout.split_at(output.stdout.len() - 1);
        assert_eq!(end, b"\n", "the token is a line");
        name(line)
    }

    /// The names in the directory, sorted.
    pub(crate) fn names(&self) -> Vec<OsString> {
        let entries = fs::read_dir(self.dir.path()).expect("the directory can be read");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        names
    }

    pub(crate) fn assert_free(&self) {
        assert_eq!(self.names(), Vec::<OsString>::new(), "no file of the lock is left");
    }
}

/// linklock as a shell starts it: no ignored signals, no variables for colours.
pub(crate) fn linklock<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_linklock"));
    command.args(arguments).stdin(Stdio::null());
    forget_colors(&mut command);
    for name in ["LINKLOCK_PROTOCOL", "LINKLOCK_LIFETIME", "LINKLOCK_GRACE", "LINKLOCK_WAKE", "LINKLOCK_JOURNAL"] {
        command.env_remove(name);
    }
    heed_signals(&mut command);
    command
}

/// Removes the variables that choose colours.
pub(crate) fn forget_colors(command: &mut Command) {
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
        command.env_remove(name);
    }
}

/// nohup(1) and a script's background jobs ignore signals, which linklock would inherit from the tests.
#[cfg(unix)]
pub(crate) fn heed_signals(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let heed = || {
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP] {
            #[expect(unsafe_code, reason = "signal(2) has no safe wrapper")]
            // SAFETY: this installs no handler, and nothing in the child relies on the former disposition.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
        Ok(())
    };
    #[expect(unsafe_code, reason = "the compiler cannot check what runs between fork and exec")]
    // SAFETY: signal(2) is async-signal-safe.
    unsafe {
        command.pre_exec(heed);
    }
}

/// Windows has no signals.
#[cfg(windows)]
pub(crate) fn heed_signals(_command: &mut Command) {}

/// COMMAND in the tests: examples/worker.rs, which cargo builds with the tests.
pub(crate) fn worker() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_linklock")).parent().expect("a directory");
    built.join("examples").join(format!("worker{}", std::env::consts::EXE_SUFFIX))
}

/// A claim's name with this system's separator.
pub(crate) fn here(name: &str) -> String {
    name.replace('|', &SEPARATOR.to_string())
}

/// The name that linklock has printed.
#[cfg(unix)]
fn name(printed: &[u8]) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(printed.into())
}

#[cfg(windows)]
fn name(printed: &[u8]) -> OsString {
    String::from_utf8(printed.into()).expect("UTF-8").into()
}

/// This machine's name.
#[cfg(unix)]
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_str().expect("UTF-8").into()
}

/// Wine's hostname prints an older form of the name, in capitals, so callers ignore the case.
#[cfg(windows)]
pub(crate) fn host() -> String {
    stdout(&end(Command::new("hostname"))).trim_end().into()
}

/// The user who runs the tests.
pub(crate) fn user() -> String {
    if cfg!(windows) {
        return std::env::var("USERNAME").expect("a user has a name");
    }
    let mut id = Command::new("id");
    id.arg("-un");
    stdout(&end(id)).trim_end().into()
}

/// Runs the command to its end, and gives its output.
pub(crate) fn end(mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    outcome(start(&mut command))
}

/// Waits for the end, and gives the output from now on.
pub(crate) fn outcome(child: Child) -> Output {
    let _net = SafetyNet::under(&child);
    child.wait_with_output().expect("linklock can be waited for")
}

/// Kills a linklock that has not ended in time, so that the test fails and does not wait for ever.
struct SafetyNet {
    _while_held: Sender<()>,
}

impl SafetyNet {
    fn under(child: &Child) -> Self {
        let pid = child.id();
        let (held, gone) = channel();
        thread::spawn(move || {
            if gone.recv_timeout(SAFETY_NET) == Err(RecvTimeoutError::Timeout) {
                // The net is dropped as soon as the child was waited for, so the pid is still the child's.
                kill(pid);
            }
        });
        Self { _while_held: held }
    }
}

#[cfg(unix)]
fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid as i32).expect("a process");
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

#[cfg(windows)]
fn kill(pid: u32) {
    let _ = Command::new("taskkill").args(["/f", "/pid", &pid.to_string()]).output();
}

/// A `linklock run` whose COMMAND has printed "ready".
pub(crate) struct Running {
    child: Child,
    keyboard: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
    net: SafetyNet,
}

impl Running {
    /// Starts the command, and waits for the line "ready".
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = start(&mut command);
        let said = BufReader::new(child.stdout.take().expect("a pipe"));
        let (keyboard, net) = (child.stdin.take(), SafetyNet::under(&child));
        let mut running = Self { child, keyboard, said, net };
        assert_eq!(running.line(), "ready", "COMMAND has started");
        running
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("COMMAND's output can be read");
        line.trim_end().into()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills linklock, which has no chance to clean up.
    #[cfg(any(target_os = "linux", windows))]
    pub(crate) fn kill(&mut self) {
        processes::kill(&mut self.child);
    }

    /// Closes the input of a COMMAND that reads it, so that COMMAND and linklock end.
    pub(crate) fn let_end(mut self) {
        self.keyboard = None;
        assert_eq!(self.end().0, Some(0));
    }

    /// The exit status, and the rest of COMMAND's output.
    pub(crate) fn end(self) -> (Option<i32>, String) {
        let (status, said, _) = self.end_with_complaints();
        (status, said)
    }

    /// Also linklock's messages.
    pub(crate) fn end_with_complaints(mut self) -> (Option<i32>, String, String) {
        let mut said = String::new();
        self.said.read_to_string(&mut said).expect("COMMAND's output can be read");
        drop(self.net);
        let output = outcome(self.child);
        (number(output.status), said, stderr(&output))
    }
}

/// Polls until the condition holds.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < SAFETY_NET, "did not happen: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Calls `during` with the pid of a process, and then ends the process.
pub(crate) fn ended_process(during: impl FnOnce(&str)) {
    let mut child = start(Command::new(worker()).arg("sleep:60000"));
    during(&child.id().to_string());
    processes::kill(&mut child);
    child.wait().expect("it can be waited for");
}

/// The number by which a shell reports how a process ended.
fn number(status: ExitStatus) -> Option<i32> {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(windows)]
    let signal = None;
    status.code().or_else(|| signal.map(|signal: i32| 128 + signal))
}

/// Prints why something was not tested, past the test harness's capture.
pub(crate) fn not_run(why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "not run: {why}");
}

#[track_caller]
pub(crate) fn assert_exit(output: &Output, status: i32) {
    assert_eq!(number(output.status), Some(status), "{}\nstderr: {}", output.status, stderr(output));
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into()
}
