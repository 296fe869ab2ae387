//! The exit statuses, and what leads to each.

use std::io;
use std::process::ExitCode;

use linklock::{Error, ErrorKind};

use crate::console::Console;
use crate::os;

/// How linklock ends. The numbers are those of sysexits(3) where it has a fitting one, and the shell's own for commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well.
    Done,
    /// The number that reports how `run`'s COMMAND ended.
    Command(u32),
    /// This signal ended the wait.
    Signal(i32),
    /// The command line cannot be meant.
    Usage,
    /// The claim's file could not be made.
    CannotCreate,
    /// Input or output failed, or there is something at the lock path that linklock cannot work with.
    Io,
    /// The lock was not had in time; `--conflict-exit-code` gives it another number.
    NotInTime(u8),
    /// The lock was lost, or is not held by whom the token names.
    Lost,
    /// This user may not do that.
    Permission,
    /// COMMAND is there and cannot be executed.
    NotExecutable,
    /// There is no such COMMAND.
    NotFound,
}

/// The number for a lock that was not had in time, unless the user chose another.
pub(crate) const NOT_IN_TIME: u8 = 75;

impl Exit {
    /// The number that the caller sees.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Done => 0,
            Self::Command(number) => number,
            Self::NotInTime(number) => number.into(),
            Self::Signal(signal) => os::number_of(signal),
            Self::Usage => 64,
            Self::CannotCreate => 73,
            Self::Io => 74,
            Self::Lost => 76,
            Self::Permission => 77,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
        }
    }

    /// That of a library's error.
    pub(crate) fn of_error(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Timeout => Self::NotInTime(NOT_IN_TIME),
            ErrorKind::Lost | ErrorKind::NotHeld => Self::Lost,
            ErrorKind::Invalid => Self::Usage,
            ErrorKind::CannotCreate => Self::CannotCreate,
            ErrorKind::Permission | ErrorKind::CannotBreak => Self::Permission,
            // NotALock, Unsupported, Io; what a later library adds; and a cancelled wait, which is told as its signal.
            _ => Self::Io,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match u8::try_from(exit.number()) {
            Ok(number) => number.into(),
            // Windows has 32 bits of it, which an ExitCode cannot take. Whoever makes one is about to leave main().
            Err(_) => std::process::exit(exit.number() as i32),
        }
    }
}

/// What ends linklock before its work is done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Said by the library: the lock, or the way to it.
    Lock(Error),
    /// The lock was not had in time, which ends with this number.
    NotInTime(Error, u8),
    /// This signal came while linklock waited.
    Signal(i32),
    /// Said by the program itself.
    Said(Exit, String),
    /// Input or output of the program itself.
    Io(io::Error),
}

impl Failure {
    /// Tells people, and gives the status to end with.
    pub(crate) fn tell(&self, console: Console) -> Exit {
        match self {
            Self::Lock(e) => {
                console.error(&e.to_string());
                Exit::of_error(e)
            }
            Self::NotInTime(e, number) => {
                if !console.quiet {
                    console.error(&e.to_string());
                }
                Exit::NotInTime(*number)
            }
            // Whoever sent it knows.
            Self::Signal(signal) => Exit::Signal(*signal),
            Self::Said(exit, message) => {
                console.error(message);
                *exit
            }
            // Whoever read our output has seen enough.
            Self::Io(e) if e.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Io(e) => {
                console.error(&e.to_string());
                Exit::Io
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Lock(e)
    }
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_text_has_every_number() {
        let fixed = [
            Exit::Done,
            Exit::Usage,
            Exit::CannotCreate,
            Exit::Io,
            Exit::NotInTime(NOT_IN_TIME),
            Exit::Lost,
            Exit::Permission,
            Exit::NotExecutable,
            Exit::NotFound,
        ];
        for exit in fixed {
            let number = exit.number().to_string();
            let told = crate::help::GENERAL.lines().any(|line| line.split_whitespace().next() == Some(&number));
            assert!(told, "no line of EXIT STATUS begins with {number} for {exit:?}");
        }
    }
}
