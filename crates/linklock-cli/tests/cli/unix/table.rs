//! `ls --watch` on a terminal.

use std::ffi::OsString;
use std::fs;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use linklock::Lock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use vt100::Parser;

use super::forged::{FORGED, plant};
use super::terminal::{Terminal, pair};
#[cfg(target_os = "linux")]
use crate::support::not_run;
use crate::support::{Scene, assert_exit, end, eventually, linklock, outcome, stdout};

/// Wide enough for all columns.
const COLUMNS: u16 = 240;
const ROWS: u16 = 24;

/// A table on a terminal of its own, which controls no session: so nothing is reset at the end of linklock but by linklock.
struct Table {
    terminal: Terminal,
    child: Child,
    modes: [u32; 3],
}

impl Table {
    fn start(scene: &Scene, options: &[&str]) -> Self {
        Self::start_with(scene, options, |_| ())
    }

    fn start_with(scene: &Scene, options: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let terminal = Terminal::open();
        terminal.resize(COLUMNS, ROWS);
        let mut command = linklock(["ls", "--watch=100ms"]);
        command.args(options).arg(scene.dir.path()).env("TERM", "xterm");
        command.stdin(terminal.stream()).stdout(terminal.stream()).stderr(terminal.stream());
        leave_session(&mut command);
        change(&mut command);
        let modes = terminal.modes();
        let child = command.spawn().expect("linklock starts");
        let table = Self { terminal, child, modes };
        table.until("q quit");
        table
    }

    fn parsed(&self) -> Parser {
        parsed(&self.terminal, COLUMNS, ROWS)
    }

    fn screen(&self) -> String {
        self.parsed().screen().contents()
    }

    /// The row that is chosen.
    fn chosen(&self) -> String {
        self.screen().lines().find_map(|line| line.strip_prefix("> ")).unwrap_or_default().to_owned()
    }

    fn press(&self, keys: &str) {
        self.terminal.press(keys.as_bytes());
    }

    /// Waits until the screen has this text.
    #[track_caller]
    fn until(&self, text: &str) {
        self.until_screen(text, |screen| screen.contains(text));
    }

    #[track_caller]
    fn until_screen(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        for _ in 0..2000 {
            if is_so(&self.screen()) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("not on the screen: {what}\n{}", self.screen());
    }

    /// Waits for the end. The terminal is as it was.
    #[track_caller]
    fn ends(self, status: i32) -> Terminal {
        assert_exit(&outcome(self.child), status);
        assert_given_back(&self.terminal, self.modes);
        self.terminal
    }
}

fn parsed(terminal: &Terminal, columns: u16, rows: u16) -> Parser {
    let size = |number| NonZero::new(number).expect("a screen has cells");
    let mut parser = Parser::new(size(rows), size(columns), 0);
    parser.process(&terminal.output());
    parser
}

/// crossterm asks the controlling terminal for its size, which may be that of whoever runs the tests.
fn leave_session(command: &mut Command) {
    let leave = || Ok(rustix::process::setsid().map(drop)?);
    #[expect(unsafe_code, reason = "the compiler cannot check what runs between fork and exec")]
    // SAFETY: it makes one system call, so it is async-signal-safe.
    unsafe {
        command.pre_exec(leave);
    }
}

#[track_caller]
fn assert_given_back(terminal: &Terminal, modes: [u32; 3]) {
    eventually("linklock's last output came", || !parsed(terminal, COLUMNS, ROWS).screen().alternate_screen());
    let parser = parsed(terminal, COLUMNS, ROWS);
    assert!(!parser.screen().hide_cursor() && !parser.screen().bracketed_paste());
    assert_eq!(terminal.modes(), modes);
}

fn is_held(scene: &Scene) -> bool {
    let status = end(scene.linklock("status", ["--exit-code"]));
    status.status.code() == Some(1)
}

fn text(token: &OsString) -> &str {
    token.to_str().expect("UTF-8")
}

#[test]
fn it_shows_a_held_lock_and_gives_the_terminal_back_at_each_key_that_quits() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    for key in ["q", "\x1b", "\x03"] {
        let table = Table::start(&scene, &[]);
        table.until("> job.lock  held   no process, from ");
        table.until("1 lock: 1 held");
        let parser = table.parsed();
        assert!(parser.screen().alternate_screen() && parser.screen().bracketed_paste());
        assert_ne!(table.terminal.modes(), table.modes, "keys come one by one, and are not echoed");
        table.press(key);
        let terminal = table.ends(0);
        assert_eq!(parsed(&terminal, COLUMNS, ROWS).screen().contents(), "", "{key:?}: nothing is left on the screen");
    }
}

#[test]
fn a_signal_gives_the_terminal_back_and_ends_linklock_by_itself() {
    let scene = Scene::new();
    for (signal, status) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129), (Signal::QUIT, 131)] {
        let table = Table::start(&scene, &[]);
        kill_process(Pid::from_child(&table.child), signal).unwrap();
        table.ends(status);
    }
}

#[test]
fn keys_filter_sort_and_show_details() {
    let scene = Scene::with_lock("b.lock");
    let token = scene.acquire_for("none", "1h");
    let other = Scene { lock: scene.dir.path().join("a.lock"), dir: scene.dir };
    other.acquire_for("none", "2h");
    let table = Table::start(&other, &[]);
    table.until("> a.lock");
    table.press("r");
    table.until_screen("the other way round", |screen| {
        screen.find("  b.lock").is_some_and(|b| screen.find("> a.lock").is_some_and(|a| b < a))
    });
    table.press("/B.LO");
    table.until("2 locks: 2 held; 1 with \"B.LO\"; by LOCK, reversed");
    table.until("> b.lock");
    assert!(!table.screen().contains("a.lock"));
    table.press("\r\r");
    for detail in ["\nlock           /", "\nprotocol       link", "\nsafe to break  not before"] {
        table.until(detail);
    }
    table.until(&format!("\ntoken          {}", text(&token)));
    table.press("\x1b");
    table.until("> b.lock");
    table.press("?");
    table.until("sort by the next column");
    table.press("xss");
    table.until("; by HOLDER, reversed");
    table.press("q");
    table.ends(0);
}

#[test]
fn details_name_readers_and_waiters() {
    let scene = Scene::new();
    let mut readers: Vec<_> = (0..2).map(|_| scene.work(&["--shared"], &["sleep:60000"]).spawn().unwrap()).collect();
    let table = Table::start(&scene, &[]);
    table.until("and 1 more (shared)");
    let mut command = scene.work(&[], &["sleep:60000"]);
    readers.push(command.stderr(Stdio::null()).spawn().unwrap());
    let pids: Vec<_> = readers.iter().map(Child::id).collect();
    table.press("\r");
    table.until(&format!("\nshared by      process {} on ", pids[0]));
    table.until(&format!("\nshared by      process {} on ", pids[1]));
    table.until(&format!("\nwaiter         waits: process {} on ", pids[2]));
    table.press("q");
    table.ends(0);
    for mut child in readers {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_lock_is_broken_after_a_yes_only_and_the_journal_tells_it() {
    let scene = Scene::new();
    let token = scene.acquire_for("none", "1h");
    let journals = tempfile::tempdir().unwrap();
    let journal = journals.path().join("journal");
    let table = Table::start(&scene, &["--journal", journal.to_str().unwrap()]);
    table.until("> job.lock");
    for no in ["n", "\r", "\x1b[200~y\x1b[201~\x1b"] {
        table.press("b");
        table.until(&format!("break {}, held by no process, from ", scene.lock.display()));
        table.until("(y/N)");
        table.until(text(&token));
        table.press(no);
        table.until("job.lock: not broken");
        table.press("k");
        table.until_screen("the message goes", |screen| !screen.contains("not broken"));
        assert!(is_held(&scene), "{no:?}");
    }
    table.press("by");
    table.until("job.lock: broken; it was held by ");
    assert!(!is_held(&scene));
    table.until("no locks");
    table.press("q");
    table.ends(0);
    let told = fs::read_to_string(&journal).unwrap();
    assert!(told.contains("\"broken\"") && told.contains(text(&token)), "{told}");
    assert_exit(&end(linklock(["report", journal.to_str().unwrap()])), 0);
}

#[test]
fn a_lock_that_has_changed_hands_since_it_was_shown_is_not_broken() {
    let scene = Scene::new();
    let shown = scene.acquire_for("none", "1h");
    let table = Table::start(&scene, &[]);
    table.until("> job.lock");
    table.press("b");
    table.until(text(&shown));
    assert_exit(&end(scene.linklock("release", [&shown])), 0);
    let next = scene.acquire_for("none", "1h");
    table.press("y");
    table.until("not broken, because the lock has changed hands since it was shown");
    assert_exit(&end(scene.linklock("release", [&next])), 0);
    table.press("q");
    table.ends(0);
}

#[test]
fn all_who_share_a_lock_when_it_is_shown_are_broken_and_nobody_else() {
    let scene = Scene::new();
    let share = || {
        let token = stdout(&end(scene.linklock("acquire", ["--shared", "--pid", "none", "--lifetime", "1h"])));
        token.trim_end().to_owned()
    };
    let shown = [share(), share(), share()];
    let table = Table::start(&scene, &[]);
    table.until("and 2 more (shared)");
    table.press("b");
    table.until("(y/N)");
    shown.iter().for_each(|token| table.until(token));
    assert_exit(&end(scene.linklock("release", [&shown[0]])), 0);
    let last = share();
    table.press("y");
    table.until("job.lock: broken; 2 of the 3 that were shown held it");
    let status = stdout(&end(scene.linklock("status", ["--json"])));
    assert!(status.contains(&last) && !shown.iter().any(|token| status.contains(token)), "{status}");
    table.press("q");
    table.ends(0);
}

#[test]
fn a_forged_lock_is_shown_without_harm() {
    for protocol in ["link", "dir"] {
        let scene = Scene::with_lock(format!("job{FORGED}"));
        plant(&scene, protocol, Duration::from_secs(3600));
        let table = Table::start(&scene, &[]);
        table.until("process 4711 on \"a\\nFORGED");
        table.press("\r");
        table.until("\ntoken ");
        table.press("\x1b");
        table.until("q quit");
        table.press("b");
        table.until("(y/N)");
        table.press("n");
        table.until(": not broken");
        let output = String::from_utf8(table.terminal.output()).expect("UTF-8");
        // These would clear the screen, colour it, or change the order of what is written.
        for harm in ["FORGED\x1b", "\u{9b}", "\u{202e}", "\u{2066}", "\u{2028}", "\u{200b}", "\u{feff}", "\x7f"] {
            assert!(!output.contains(harm), "{protocol}: {harm:?}");
        }
        assert!(!table.screen().lines().any(|line| line.starts_with("FORGED")));
        table.press("q");
        table.ends(0);
    }
}

#[test]
fn a_thousand_locks_scroll() {
    let scene = Scene::new();
    for number in 1..=1000 {
        let lock = Lock::builder(scene.dir.path().join(format!("job.{number}"))).build().unwrap();
        lock.acquire().unwrap().leave();
    }
    let table = Table::start(&scene, &[]);
    table.until("1000 locks: 1000 held");
    table.until("> job.1 ");
    table.press("\x1b[F");
    table.until("> job.1000 ");
    table.until("  job.982 ");
    table.press("\x1b[5~");
    table.until_screen("a page up", |_| table.chosen().starts_with("job.981 "));
    table.press("kk\x1b[A");
    table.until_screen("three up", |_| table.chosen().starts_with("job.978 "));
    table.press("\x1b[H\x1b[6~j\x1b[B");
    table.until_screen("a page and two down", |_| table.chosen().starts_with("job.22 "));
    // The rows move below it.
    Lock::builder(scene.dir.path().join("job.0")).build().unwrap().acquire().unwrap().leave();
    table.until("1001 locks");
    assert!(table.chosen().starts_with("job.22 "), "{}", table.screen());
    table.press("q");
    table.ends(0);
}

#[test]
fn states_have_colours_unless_the_user_wants_none() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    let has_colors = |options: &[&str], variable: Option<(&str, &str)>| {
        let table = Table::start_with(&scene, options, |command| {
            command.envs(variable);
        });
        table.until("> job.lock  held");
        let parser = table.parsed();
        let cells = (0..ROWS).flat_map(|row| (0..COLUMNS).map(move |column| (row, column)));
        let mut cells = cells.filter_map(|(row, column)| parser.screen().cell(row, column));
        let found = cells.any(|cell| (cell.fgcolor(), cell.bgcolor()) != Default::default());
        table.press("q");
        table.ends(0);
        found
    };
    assert!(has_colors(&[], None));
    assert!(!has_colors(&[], Some(("NO_COLOR", "1"))));
    assert!(!has_colors(&["--color=never"], None));
    assert!(has_colors(&["--color=always"], Some(("NO_COLOR", "1"))), "the option comes first");
}

#[test]
fn it_is_drawn_anew_when_the_terminal_changes_its_size() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    let table = Table::start(&scene, &[]);
    table.until("SAFE TO BREAK");
    table.terminal.resize(50, 10);
    kill_process(Pid::from_child(&table.child), Signal::WINCH).unwrap();
    eventually("it is as wide as the terminal", || {
        let parser = parsed(&table.terminal, 50, 10);
        let screen = parser.screen().contents();
        let last = screen.lines().nth(9).unwrap_or_default();
        last.starts_with("q quit") && last.ends_with('…') && screen.contains("> job.lock  held")
    });
    table.press("q");
    table.ends(0);
}

#[test]
fn what_is_logged_comes_after_the_screen() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    let table = Table::start(&scene, &["-v"]);
    table.until("> job.lock");
    table.press("by");
    table.until("job.lock: broken; ");
    table.until("no locks");
    assert!(!table.screen().contains("broke the lock"), "{}", table.screen());
    table.press("q");
    let terminal = table.ends(0);
    let left = parsed(&terminal, COLUMNS, ROWS).screen().contents();
    assert!(left.contains(" WARN broke the lock "), "{left:?}");
}

#[test]
fn control_z_gives_the_terminal_to_the_shell_and_linklock_goes_on_with_fg() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    for by_key in [true, false] {
        let terminal = Terminal::open();
        terminal.resize(COLUMNS, ROWS);
        let modes = terminal.modes();
        let pid = scene.dir.path().with_extension("pid");
        let script = "sh -c 'echo $$ > \"$0\"; exec \"$@\"' \"$@\"; echo stopped; read go; fg >/dev/null; echo ended $?; read go";
        let mut command = Command::new("sh");
        command.args(["-mc", script, "sh"]).arg(&pid).arg(env!("CARGO_BIN_EXE_linklock"));
        command.args(["ls", "--watch"]).arg(scene.dir.path()).env("TERM", "xterm").stdout(terminal.stream());
        terminal.control(&mut command);
        let child = command.spawn().unwrap();
        drop(command);
        let screen = || parsed(&terminal, COLUMNS, ROWS);
        let shows = |text: &str| screen().screen().contents().contains(text);
        eventually("the table", || screen().screen().alternate_screen() && shows("> job.lock"));
        if by_key {
            terminal.press(b"\x1a");
        } else {
            let pid = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
            kill_process(Pid::from_raw(pid).unwrap(), Signal::TSTP).unwrap();
        }
        eventually("the shell goes on", || shows("stopped"));
        assert_given_back(&terminal, modes);
        terminal.press(b"\n");
        eventually("the table again", || screen().screen().alternate_screen() && shows("> job.lock"));
        assert_ne!(terminal.modes(), modes);
        terminal.press(b"q");
        eventually("linklock has ended", || shows("ended 0"));
        assert_given_back(&terminal, modes);
        terminal.press(b"\n");
        assert_exit(&outcome(child), 0);
        fs::remove_file(&pid).unwrap();
    }
}

#[test]
fn where_there_are_no_keys_or_no_full_screen_text_is_redrawn() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    let shown = |change: &dyn Fn(&mut Command, &Terminal)| {
        let terminal = Terminal::open();
        let mut command = linklock(["ls", "--watch=100ms"]);
        command.arg(scene.dir.path()).env("TERM", "xterm").stdin(terminal.stream()).stdout(terminal.stream());
        leave_session(&mut command);
        terminal.resize(COLUMNS, ROWS);
        change(&mut command, &terminal);
        let mut child = command.spawn().unwrap();
        eventually("it was listed twice", || terminal.shows().matches("job.lock").count() > 1);
        child.kill().unwrap();
        child.wait().unwrap();
        terminal.shows()
    };
    let no_keys = shown(&|command, _| {
        command.stdin(Stdio::null());
    });
    let no_size = shown(&|_, terminal| terminal.resize(0, 0));
    assert!(no_keys.starts_with("\x1b[H") && no_size.starts_with("\x1b[H"), "{no_keys:?} {no_size:?}");
    let dumb = shown(&|command, _| {
        command.env("TERM", "dumb");
    });
    let json = shown(&|command, _| {
        command.arg("--json");
    });
    assert!(!dumb.contains('\x1b') && json.starts_with('{'), "{dumb:?} {json:?}");
}

/// A terminal on which nobody reads what is shown.
struct Unread {
    master: OwnedFd,
    end: OwnedFd,
}

impl Unread {
    fn open(columns: u16, rows: u16) -> Self {
        let (master, end) = pair();
        tcsetwinsize(&end, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).expect("a size");
        Self { master, end }
    }

    fn start(&self, scene: &Scene) -> Child {
        let stream = || Stdio::from(self.end.try_clone().expect("a copy"));
        let mut command = linklock(["ls", "--watch"]);
        command.arg(scene.dir.path()).env("TERM", "xterm").stdin(stream()).stdout(stream()).stderr(stream());
        leave_session(&mut command);
        command.spawn().expect("linklock starts")
    }

    fn has_output(&self) -> bool {
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }
}

/// crossterm reads on and on from a terminal that is gone, and nohup(1) lets no SIGHUP end linklock.
#[test]
fn it_ends_when_the_terminal_is_gone() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    let terminal = Unread::open(COLUMNS, ROWS);
    let child = terminal.start(&scene);
    let mut screen = Vec::new();
    while !String::from_utf8_lossy(&screen).contains("q quit") {
        let mut shown = [0; 4096];
        let count = rustix::io::read(&terminal.master, &mut shown).expect("the screen can be read");
        screen.extend(&shown[..count]);
    }
    drop(terminal);
    assert_exit(&outcome(child), 0);
}

/// The bug: a write on a terminal that takes no more output does not return, so linklock did not act upon a signal. The
/// consequence: only SIGKILL ended it. The mend: another thread does.
#[test]
fn a_signal_ends_it_although_the_terminal_takes_no_output() {
    let scene = Scene::new();
    for number in 1..=300 {
        Lock::new(scene.dir.path().join(format!("job.{number}"))).unwrap().acquire().unwrap().leave();
    }
    let terminal = Unread::open(COLUMNS, 300);
    let child = terminal.start(&scene);
    // The first frame is larger than what the kernel keeps for a reader.
    eventually("linklock writes", || terminal.has_output());
    thread::sleep(Duration::from_secs(1));
    let modes = || tcgetattr(&terminal.end).unwrap().local_modes;
    let raw = modes();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_exit(&outcome(child), 143);
    assert_ne!(modes(), raw);
}

/// As on a file server that does not answer, the thread that looks stops in the middle of a look, and no other does.
#[cfg(target_os = "linux")]
#[test]
fn keys_work_while_a_look_has_no_answer() {
    let scene = Scene::new();
    scene.acquire_for("none", "1h");
    let table = Table::start(&scene, &[]);
    table.until("> job.lock");
    let Some(looker) = Stopped::listing(&table.child) else { return };
    table.until("no answer since ");
    table.until("Z (2s)");
    table.press("/nothing\r");
    table.until("; 0 with \"nothing\"");
    table.press("/");
    looker.goes_on();
    table.until_screen("there was an answer", |screen| !screen.contains("no answer"));
    table.press("\x1b");
    let Some(looker) = Stopped::listing(&table.child) else { return };
    table.press("q");
    looker.ends();
    table.ends(0);
}

/// A thread that was stopped by ptrace(2).
#[cfg(target_os = "linux")]
struct Stopped {
    thread: i32,
}

#[cfg(target_os = "linux")]
impl Stopped {
    /// Stops the thread that looks where it lists a directory. `None` if that is not allowed.
    fn listing(child: &Child) -> Option<Self> {
        let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).expect("linklock is there");
        let paths = tasks.map(|task| task.expect("a thread").path());
        let is_looker = |task: &std::path::PathBuf| {
            fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "linklock-look\n")
        };
        let task = paths.into_iter().find(is_looker).expect("a thread looks");
        let thread = task.file_name()?.to_str()?.parse().expect("a number");
        if !trace(libc::PTRACE_SEIZE, thread) {
            not_run(&format!("a look without an answer: ptrace: {}", std::io::Error::last_os_error()));
            return None;
        }
        let stopped = Self { thread };
        assert!(trace(libc::PTRACE_INTERRUPT, thread));
        let call = format!("{} ", libc::SYS_getdents64);
        loop {
            stopped.wait();
            if fs::read_to_string(task.join("syscall")).is_ok_and(|now| now.starts_with(&call)) {
                return Some(stopped);
            }
            assert!(trace(libc::PTRACE_SYSCALL, thread));
        }
    }

    fn goes_on(self) {
        assert!(trace(libc::PTRACE_DETACH, self.thread));
    }

    /// The process ends only when whoever traces its thread has seen the end of that.
    fn ends(self) {
        while !libc::WIFEXITED(self.wait()) {}
    }

    fn wait(&self) -> i32 {
        let mut status = 0;
        #[expect(unsafe_code, reason = "a thread is no child")]
        // SAFETY: the status has room.
        let waited = unsafe { libc::waitpid(self.thread, &raw mut status, libc::__WALL) };
        assert_eq!(waited, self.thread);
        status
    }
}

#[cfg(all(target_os = "linux", target_env = "musl"))]
type Request = libc::c_int;
#[cfg(all(target_os = "linux", not(target_env = "musl")))]
type Request = libc::c_uint;

#[cfg(target_os = "linux")]
fn trace(request: Request, thread: i32) -> bool {
    let none = std::ptr::null_mut::<libc::c_void>();
    #[expect(unsafe_code, reason = "ptrace(2) has no safe wrapper")]
    // SAFETY: none of these requests reads or writes memory.
    let done = unsafe { libc::ptrace(request, thread, none, none) };
    done == 0
}
