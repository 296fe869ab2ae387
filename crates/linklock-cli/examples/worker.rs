//! A COMMAND for tests, the same on every system. Its arguments are orders, which it carries out one after another.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

fn main() -> io::Result<ExitCode> {
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let (doing, what) = word.split_once(':').unwrap_or((&word, ""));
        match doing {
            "say" => say(what)?,
            "tell" => say(&std::env::var(what).unwrap_or_else(|_| "none".into()))?,
            "pid" => say(&std::process::id().to_string())?,
            "complain" => writeln!(io::stderr(), "{what}")?,
            "sleep" => thread::sleep(Duration::from_millis(what.parse().map_err(io::Error::other)?)),
            "repeat" => repeat()?,
            "mkdir" => std::fs::create_dir(with_lock_path(what)?)?,
            "rmdir" => std::fs::remove_dir(with_lock_path(what)?)?,
            "list" => list()?,
            "words" => say(&words.by_ref().collect::<Vec<_>>().join(","))?,
            // The next words, as many as the number says, are a program to start, or to start and wait for.
            "leave" => drop(program(what, &mut words)?.spawn()?),
            "run" => {
                let status = program(what, &mut words)?.status()?;
                say(&format!("ended with {}", status.code().unwrap_or_default() as u32))?;
            }
            #[cfg(windows)]
            "ctrl-c-while" => console::ctrl_c_while(program(what, &mut words)?)?,
            #[cfg(windows)]
            "ctrl-c" => console::ctrl_c()?,
            // Windows keeps all bits of the status, other systems eight.
            "exit" => std::process::exit(what.parse::<u32>().map_err(io::Error::other)? as i32),
            _ => return Err(io::Error::other(format!("cannot {word}"))),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn say(what: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{what}")?;
    stdout.flush()
}

/// Prints its standard input.
fn repeat() -> io::Result<()> {
    let mut input = Vec::new();
    io::stdin().read_to_end(&mut input)?;
    io::stdout().write_all(&input)
}

fn with_lock_path(suffix: &str) -> io::Result<String> {
    let path = std::env::var("LINKLOCK_PATH").map_err(io::Error::other)?;
    Ok(path + suffix)
}

/// Prints the names in the current directory.
fn list() -> io::Result<()> {
    let names = std::fs::read_dir(".")?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<BTreeSet<_>>>()?;
    names.iter().try_for_each(|name| say(&name.to_string_lossy()))
}

/// The program and its arguments from the next words. `env:NAME` stands for the value of that variable.
fn program(count: &str, words: &mut impl Iterator<Item = String>) -> io::Result<Command> {
    let count = count.parse().map_err(io::Error::other)?;
    let mut words = words.take(count).map(|word| match word.strip_prefix("env:") {
        Some(name) => std::env::var(name).map_err(io::Error::other),
        None => Ok(word),
    });
    let mut command = Command::new(words.next().ok_or_else(|| io::Error::other("nothing to run"))??);
    for word in words {
        command.arg(word?);
    }
    Ok(command)
}

#[cfg(windows)]
mod console {
    use std::io;
    use std::process::Command;
    use std::thread;
    use std::time::Duration;

    use windows_sys::Win32::Foundation::{FALSE, TRUE};
    use windows_sys::Win32::System::Console::{CTRL_C_EVENT, GenerateConsoleCtrlEvent, SetConsoleCtrlHandler};

    /// Sends Ctrl-C to all processes of this console, and ignores it itself.
    pub(super) fn ctrl_c() -> io::Result<()> {
        #[expect(unsafe_code, reason = "system calls")]
        // SAFETY: the call allows null as a handler, and the other arguments are numbers.
        let done = unsafe { [SetConsoleCtrlHandler(None, TRUE), GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0)] };
        if done.contains(&FALSE) { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Starts the program, which acts upon Ctrl-C, sends Ctrl-C, and prints the exit status.
    pub(super) fn ctrl_c_while(mut program: Command) -> io::Result<()> {
        let mut running = program.spawn()?;
        thread::sleep(Duration::from_secs(1));
        ctrl_c()?;
        let status = running.wait()?;
        super::say(&format!("ended with {}", status.code().unwrap_or_default() as u32))
    }
}
