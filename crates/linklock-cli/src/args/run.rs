//! The arguments of `run`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::shared::{Contest, JournalArg, LIFETIME, Place};
use crate::duration::parse as duration;

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) at: Place,
    /// Another lock, which COMMAND needs too. It can be given several times. All are held, or none. They are acquired in one
    /// order, whatever order they are named in, so that jobs which need some of the same locks never wait for each other for ever.
    /// COMMAND finds the nth lock in LINKLOCK_PATH_n, LINKLOCK_TOKEN_n and LINKLOCK_FENCE_n, from n = 2 on
    #[arg(long, value_name = "LOCKPATH", conflicts_with = "slots")]
    pub(crate) and: Vec<PathBuf>,
    /// The command to run, and its arguments. Options after COMMAND belong to COMMAND
    #[arg(num_args = 1.., trailing_var_arg = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    #[cfg_attr(unix, arg(required_unless_present = "words"))]
    #[cfg_attr(not(unix), arg(required = true))]
    pub(crate) command: Vec<OsString>,
    /// Instead of COMMAND: run WORDS as a command of the shell /bin/sh. Not on Windows
    #[cfg(unix)]
    #[arg(short = 'c', value_name = "WORDS", conflicts_with = "command")]
    pub(crate) words: Option<OsString>,
    /// How long others treat the lock as held after its last refresh. linklock refreshes it every third of this time
    #[arg(short, long, value_name = "D", value_parser = duration, default_value = "60s", env = LIFETIME, hide_env_values = true)]
    pub(crate) lifetime: Duration,
    /// If the lock is lost, or a signal ends COMMAND, what COMMAND started gets TERM, and after this time KILL; KILL comes sooner if
    /// another contender could acquire the lock before. Windows ends all at once
    #[arg(long, value_name = "D", value_parser = duration, default_value = "10s")]
    pub(crate) kill_after: Duration,
    /// Hold the lock until all processes have ended that COMMAND started, also those in the background. Linux and Windows
    #[arg(long)]
    pub(crate) wait_all: bool,
    /// Keep the lock for this long at least, counted from the start of COMMAND. So hosts whose clocks differ by less run a
    /// nightly job once, even if it is short
    #[arg(long, value_name = "D", value_parser = duration, default_value = "0s")]
    pub(crate) hold: Duration,
    #[command(flatten)]
    pub(crate) contest: Contest,
    /// Give COMMAND a fencing token in LINKLOCK_FENCE: a number that grows with every acquisition. The file LOCKPATH|fence
    /// (on Windows with ^ for |) counts them and stays
    #[arg(long)]
    pub(crate) fence: bool,
    #[command(flatten)]
    pub(crate) journal: JournalArg,
}

impl RunArgs {
    /// With the shell as COMMAND, where words for it were given.
    #[cfg(unix)]
    pub(crate) fn resolved(mut self) -> Self {
        if let Some(words) = self.words.take() {
            self.command = vec!["/bin/sh".into(), "-c".into(), words];
        }
        self
    }

    #[cfg(not(unix))]
    pub(crate) fn resolved(self) -> Self {
        self
    }
}
