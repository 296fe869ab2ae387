//! The exit statuses, and the failures that lead to them.

use std::fmt;
use std::io;
use std::process::ExitCode;

use linklock::{Error, ErrorKind};

use crate::console::Console;
use crate::os;

/// How linklock ends. The numbers come from sysexits(3), and for COMMAND from the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Success.
    Done,
    /// The number that reports how `run`'s COMMAND ended.
    Command(u32),
    /// This signal came to linklock and ended the wait, or COMMAND. Linklock ends by it too.
    Signal(i32),
    /// The state of the lock, as `status --exit-code` reports it; or what `ls --older-than` found.
    State(u8),
    /// The command line is not valid.
    Usage,
    /// The claim could not be created, or the lock's directory does not exist.
    CannotCreate,
    /// Input or output failed, or linklock cannot work with the file at the lock path.
    Io,
    /// The lock was not acquired in time. `--conflict-exit-code` chooses the number.
    NotInTime(u8),
    /// The lock was lost, or the token does not hold it.
    Lost,
    /// This user may not do that.
    Permission,
    /// COMMAND exists but cannot be executed.
    NotExecutable,
    /// There is no such COMMAND.
    NotFound,
}

/// The number for a lock that was not acquired in time, unless the user chooses another.
pub(crate) const NOT_IN_TIME: u8 = 75;

impl Exit {
    /// The number that the caller sees.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Done => 0,
            Self::Command(number) => number,
            Self::NotInTime(number) | Self::State(number) => number.into(),
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

    /// The status for an error of the library.
    pub(crate) fn of_error(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Timeout => Self::NotInTime(NOT_IN_TIME),
            ErrorKind::Lost | ErrorKind::NotHeld => Self::Lost,
            ErrorKind::Invalid => Self::Usage,
            ErrorKind::CannotCreate => Self::CannotCreate,
            ErrorKind::Permission | ErrorKind::CannotBreak => Self::Permission,
            // NotALock, Unsupported, Io, and what a later library adds. A cancelled wait becomes Failure::Signal instead.
            _ => Self::Io,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match u8::try_from(exit.number()) {
            Ok(number) => number.into(),
            // Windows has 32 bits, for which ExitCode has no room. Only main() converts, when it has nothing left to drop.
            Err(_) => std::process::exit(exit.number() as i32),
        }
    }
}

/// What ends linklock before its work is done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error of the library.
    Lock(Error),
    /// The lock was not acquired in time; linklock ends with this number.
    NotInTime(Error, u8),
    /// This signal came while linklock waited.
    Signal(i32),
    /// An error of the program itself.
    Message(Exit, String),
    /// Input or output of the program itself.
    Io(io::Error),
}

impl Failure {
    /// The exit status for it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Lock(e) => Exit::of_error(e),
            Self::NotInTime(_, number) => Exit::NotInTime(*number),
            Self::Signal(signal) => Exit::Signal(*signal),
            Self::Message(exit, _) => *exit,
            // The reader of our output has seen enough.
            Self::Io(e) if e.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Io(_) => Exit::Io,
        }
    }

    /// Prints the error, and gives the exit status for it.
    pub(crate) fn report(&self, console: Console) -> Exit {
        let exit = self.exit();
        match self {
            Self::NotInTime(..) if console.quiet => {}
            // The sender knows.
            Self::Signal(_) => {}
            Self::Io(_) if exit == Exit::Done => {}
            failure => console.error(&failure.to_string()),
        }
        exit
    }
}

/// Its message.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock(e) | Self::NotInTime(e, _) => e.fmt(f),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Message(_, message) => f.write_str(message),
            Self::Io(e) => e.fmt(f),
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
    fn the_help_lists_every_number() {
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
            let listed = crate::help::GENERAL.lines().any(|line| line.split_whitespace().next() == Some(&number));
            assert!(listed, "no line of EXIT STATUS begins with {number} for {exit:?}");
        }
    }
}
