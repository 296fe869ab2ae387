//! On a terminal: the waiting line, colours, and keys.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use super::forged::{FORGED, assert_harmless, plant};
use super::{BUSY, run};
use crate::support::{Scene, assert_exit, end, eventually, outcome, stdout};

/// A terminal. A thread gathers its output.
pub(super) struct Terminal {
    keyboard: OwnedFd,
    end: OwnedFd,
    screen: Arc<Mutex<Vec<u8>>>,
    gatherer: JoinHandle<()>,
}

impl Terminal {
    pub(super) fn open() -> Self {
        let (master, end) = pair();
        let keyboard = rustix::io::fcntl_dupfd_cloexec(&master, 3).expect("a copy");
        let screen = Arc::new(Mutex::new(Vec::new()));
        let gathered = Arc::clone(&screen);
        let gatherer = thread::spawn(move || {
            let mut shown = [0; 4096];
            // Fails once no process has the other end open.
            while let Ok(count) = rustix::io::read(&master, &mut shown) {
                gathered.lock().expect("nobody panics").extend(&shown[..count]);
            }
        });
        Self { keyboard, end, screen, gatherer }
    }

    pub(super) fn stream(&self) -> Stdio {
        self.end.try_clone().expect("a copy").into()
    }

    /// Makes it the controlling terminal of the command, which reads its keys.
    pub(super) fn control(&self, command: &mut Command) {
        let take = || {
            rustix::process::setsid()?;
            Ok(rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?)
        };
        command.stdin(self.stream()).stderr(self.stream());
        #[expect(unsafe_code, reason = "the compiler cannot check what runs between fork and exec")]
        // SAFETY: `take` makes two system calls, so it is async-signal-safe.
        unsafe {
            command.pre_exec(take);
        }
    }

    pub(super) fn press(&self, key: &[u8]) {
        rustix::io::write(&self.keyboard, key).expect("keys can be pressed");
    }

    pub(super) fn shows(&self) -> String {
        String::from_utf8_lossy(&self.output()).into()
    }

    pub(super) fn output(&self) -> Vec<u8> {
        self.screen.lock().expect("nobody panics").clone()
    }

    /// Whoever has it in the foreground gets a SIGWINCH.
    pub(super) fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.end, size).expect("a terminal has a size");
    }

    /// What programs may set: echo, lines, signals by keys.
    pub(super) fn modes(&self) -> [u32; 3] {
        let modes = tcgetattr(&self.end).expect("a terminal has modes");
        [modes.input_modes.bits(), modes.output_modes.bits(), modes.local_modes.bits()]
    }

    /// All output until the last process has closed the terminal.
    fn shown(self) -> String {
        drop(self.end);
        self.gatherer.join().expect("the terminal can be read");
        String::from_utf8_lossy(&self.screen.lock().expect("nobody panics")).into()
    }
}

/// The two ends of a terminal: whoever reads the screen and presses keys has the first, programs have the second.
pub(super) fn pair() -> (OwnedFd, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pseudo-terminal");
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let name = ptsname(&master, Vec::new()).expect("its name");
    let end = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
    (master, end.expect("its end"))
}

fn on_terminal(terminal: &Terminal, mut command: Command) -> Child {
    command.stderr(terminal.stream()).spawn().expect("linklock starts")
}

#[test]
fn the_terminal_shows_the_holder_and_the_time_waited_on_one_line() {
    let scene = Scene::new();
    let token = scene.acquire_for("none", "1h");
    let terminal = Terminal::open();
    let child = on_terminal(&terminal, run(&scene, &["-w", "20s"], "true"));
    thread::sleep(Duration::from_millis(1500));
    assert_exit(&end(scene.linklock("release", [&token])), 0);
    assert_exit(&outcome(child), 0);

    let shown = terminal.shown();
    let pid = token.to_str().unwrap().split('|').nth(2).unwrap().to_owned();
    assert!(shown.starts_with(&format!("\r\x1b[Kwaiting for process {pid} on ")), "{shown:?}");
    assert!(shown.contains(" for 0s: ") && shown.contains(" for 1s: "), "drawn each second: {shown:?}");
    assert!(shown.ends_with("\r\x1b[K"), "cleared in the end: {shown:?}");
    assert!(!shown.contains('\n'), "one line: {shown:?}");
}

#[test]
fn a_forged_holder_does_not_control_the_terminal() {
    let scene = Scene::with_lock(format!("job{FORGED}"));
    plant(&scene, "link", Duration::from_secs(3600));
    let terminal = Terminal::open();
    let child = on_terminal(&terminal, run(&scene, &["-w", "1.2s"], "true"));
    assert_exit(&outcome(child), 75);
    let shown = terminal.shown();
    let (line, error) = shown.rsplit_once("\r\x1b[K").unwrap();
    assert!(line.contains("waiting for process 4711 on \"a\\nFORGED"), "{shown:?}");
    assert_harmless(&line.replace("\r\x1b[K", ""));
    let error = error.strip_suffix("\r\n").unwrap().replace(PREFIX, "");
    assert_harmless(&error);
    assert!(!shown[..shown.len() - 2].contains('\n'), "{shown:?}");
}

#[test]
fn the_terminal_shows_nothing_without_a_wait_or_with_quiet() {
    let scene = Scene::new();
    let terminal = Terminal::open();
    assert_exit(&outcome(on_terminal(&terminal, run(&scene, &[], "true"))), 0);
    scene.acquire_for("none", "1h");
    assert_exit(&outcome(on_terminal(&terminal, run(&scene, &["-q", "-w", "50ms"], "true"))), 75);
    assert_eq!(terminal.shown(), "");
}

#[test]
fn a_background_job_leaves_the_terminal_alone() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    // With -m a background job has its own process group, which is not the terminal's foreground group.
    let script = format!("{} run -w 100ms \"$1\" true & wait $!; echo $?", env!("CARGO_BIN_EXE_linklock"));
    let mut command = Command::new("sh");
    command.args(["-mc", &script, "sh"]).arg(&scene.lock).stdout(Stdio::piped());
    let terminal = Terminal::open();
    terminal.control(&mut command);
    let child = command.spawn().unwrap();
    drop(command);
    assert_eq!(stdout(&outcome(child)).lines().last(), Some("75"));
    let shown = terminal.shown();
    assert!(shown.contains("not acquired") && !shown.contains("waiting"), "{shown:?}");
}

/// The beginning of an error, in bold red.
const PREFIX: &str = "\x1b[1m\x1b[31mlinklock:\x1b[0m";

#[test]
fn colours_follow_the_terminal_the_option_and_the_environment() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    let paints = |command: Command| {
        let terminal = Terminal::open();
        assert_exit(&outcome(on_terminal(&terminal, command)), 75);
        terminal.shown().contains(PREFIX)
    };
    let refused = |options: &[&str]| {
        let mut command = run(&scene, options, "true");
        command.env("TERM", "xterm");
        command
    };
    assert!(paints(refused(&["-n"])));
    assert!(!paints(refused(&["-n", "--color", "never"])));
    for (name, value) in [("NO_COLOR", "1"), ("CLICOLOR", "0"), ("TERM", "dumb")] {
        let mut command = refused(&["-n"]);
        command.env(name, value);
        assert!(!paints(command), "{name}={value}");
    }

    let status = |options: &[&str], variable: Option<(&str, &str)>| {
        let mut command = scene.linklock("status", options);
        command.envs(variable);
        stdout(&end(command))
    };
    assert!(!status(&[], None).contains('\x1b'), "not a terminal");
    for text in [status(&["--color=always"], Some(("NO_COLOR", "1"))), status(&[], Some(("CLICOLOR_FORCE", "1")))] {
        assert!(text.contains("\x1b[33mheld\x1b[0m"), "{text}");
    }
}

/// The bug: linklock took for granted that the terminal sends a key to COMMAND too. The consequence: a COMMAND in another process
/// group, such as timeout(1) makes, did not get Ctrl-C. The mend: linklock looks which group COMMAND is in.
#[test]
fn the_command_gets_a_key_once_whichever_its_process_group_is() {
    for own_session in [false, true] {
        let scene = Scene::new();
        let log = scene.dir.path().join("log");
        let script = format!(
            "trap 'echo INT >> \"$LOG\"' INT; trap 'echo USR1 >> \"$LOG\"' USR1; trap 'exit 7' USR2
            echo ready >> \"$LOG\"; {BUSY}"
        );
        let words = ["setsid", "sh", "-c", &script];
        let mut command = scene.linklock("run", if own_session { &words[..] } else { &words[1..] });
        command.env("LOG", &log);
        let terminal = Terminal::open();
        terminal.control(&mut command);
        let child = command.spawn().unwrap();
        drop(command);
        let logged = || fs::read_to_string(&log).unwrap_or_default();
        eventually("COMMAND has started", || logged() == "ready\n");
        // linklock may not know yet that COMMAND has started, and until then passes on keys.
        kill_process(Pid::from_child(&child), Signal::USR1).unwrap();
        eventually("linklock has passed on a signal", || logged() == "ready\nUSR1\n");

        terminal.press(b"\x03");
        eventually("COMMAND has got the key", || logged().contains("INT"));
        // linklock acts upon the next signal later, so a second INT would have come before.
        kill_process(Pid::from_child(&child), Signal::USR2).unwrap();
        assert_exit(&outcome(child), 7);
        assert_eq!(logged(), "ready\nUSR1\nINT\n", "in its own session: {own_session}");
    }
}

#[test]
fn a_key_ends_the_wait_and_the_line() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    let terminal = Terminal::open();
    let mut command = run(&scene, &[], "true");
    terminal.control(&mut command);
    let child = command.spawn().unwrap();
    drop(command);
    eventually("the waiting line", || terminal.shows().contains("waiting for process"));
    terminal.press(b"\x03");
    assert_exit(&outcome(child), 130);
    assert_eq!(scene.names().len(), 2, "{:?}", scene.names());
    let shown = terminal.shown();
    assert!(shown.ends_with("\r\x1b[K"), "{shown:?}");
}
