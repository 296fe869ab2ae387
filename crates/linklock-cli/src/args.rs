//! The command line. Parsing, `--help`, shell completions and the man page all come from these definitions.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, ArgMatches, Args, ColorChoice, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use linklock::{Builder, Lock, OnBehalfOf, Protocol, SEPARATOR};

use crate::duration::parse as duration;
use crate::exit::NOT_IN_TIME;
use crate::help;

/// Lock files that people on shared file systems can trust
///
/// A lock is nothing but a path, LOCKPATH, on a file system that all contenders share: NFS or any other. Its holder
/// refreshes it within its lifetime. If the holder has died, or the lifetime and the grace have passed, the next
/// contender breaks the lock and takes it. Locks are compatible with those of flufl.lock.
///
/// Durations: 500ms, 30s, 5m, 2h, 1d, or several units together, such as 1m30s. A number alone is in seconds.
#[derive(Debug, Parser)]
#[command(name = "linklock", version, max_term_width = 100, after_help = help::GENERAL)]
#[command(arg_required_else_help = true, subcommand_required = true, disable_help_subcommand = true)]
#[command(subcommand_value_name = "SUBCOMMAND", subcommand_help_heading = "Subcommands")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Parses the command line. To define `run` alone takes half of the time that all subcommands take. If it does not parse
    /// alone, the whole parser reports why, or prints the help.
    pub(crate) fn of_command_line() -> Result<Self, clap::Error> {
        let mut words = std::env::args_os().skip(1).peekable();
        if words.peek().is_some_and(|word| word == "run")
            && let Ok(Run { console, args }) = Run::try_parse_from(words)
        {
            return Ok(Self { console, command: Command::Run(Deferred(args)) });
        }
        Self::try_parse()
    }
}

// `run` without the others.
#[derive(Parser)]
struct Run {
    #[command(flatten)]
    console: ConsoleArgs,
    #[command(flatten)]
    args: RunArgs,
}

const GLOBAL: &str = "Global options";

#[derive(Debug, Args)]
pub(crate) struct ConsoleArgs {
    /// Print no progress, no notes, no warnings, and no message if the lock was not acquired in time: the exit status
    /// reports that. Errors are still printed
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub(crate) quiet: bool,
    /// Print on stderr what happens to the lock: claims, waits, which lock is broken and why
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub(crate) verbose: bool,
    /// When to use colours. auto: on a terminal that supports them. For auto, the variables NO_COLOR and CLICOLOR=0
    /// turn colours off, and CLICOLOR_FORCE turns them on everywhere
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run COMMAND while holding the lock
    #[command(after_help = help::RUN, long_about = help::RUN_ABOUT, override_usage = help::RUN_USAGE)]
    Run(Deferred<RunArgs>),
    /// Acquire the lock for a script, and print its token
    #[command(after_help = help::ACQUIRE, long_about = help::ACQUIRE_ABOUT)]
    Acquire(Deferred<AcquireArgs>),
    /// Refresh an acquired lock, so that it expires later
    ///
    /// The lock then lasts for --lifetime from now. A lock that has expired is lost and can't be refreshed.
    Refresh(Deferred<RefreshArgs>),
    /// Release an acquired lock
    ///
    /// The exit status is 76 if TOKEN no longer held the lock. Then another contender may have worked under the lock in
    /// the meantime.
    Release(Deferred<ReleaseArgs>),
    /// Show who holds the lock, and for how much longer
    ///
    /// status changes nothing. It compares the expiry with this machine's clock; contenders use the file server's clock.
    #[command(after_help = help::STATUS)]
    Status(Deferred<StatusArgs>),
    /// Take the lock from its holder (for operators)
    #[command(after_help = help::BREAK)]
    Break(Deferred<BreakArgs>),
    /// Wait until the lock is free, without acquiring it
    ///
    /// Free means that the next contender can acquire the lock at once: nobody holds it, its holder has died, or its
    /// lifetime and the grace have passed.
    Wait(Deferred<WaitArgs>),
    /// List or remove the files that killed contenders left beside the lock
    #[command(after_help = help::CLEAN, long_about = help::CLEAN_ABOUT)]
    Clean(Deferred<CleanArgs>),
    /// Print a completion script for a shell
    Completions {
        /// The shell to complete in
        shell: Shell,
    },
    /// Print the man page, linklock(1)
    Man,
}

/// Arguments that are defined only if their subcommand is in use, because defining them all takes much of the start-up time.
#[derive(Debug)]
pub(crate) struct Deferred<T>(pub(crate) T);

impl<T: Args> Args for Deferred<T> {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.defer(T::augment_args)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        command.defer(T::augment_args_for_update)
    }
}

impl<T: FromArgMatches> FromArgMatches for Deferred<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) at: Place,
    /// The command to run, and its arguments. Options after COMMAND belong to COMMAND
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
    /// How long others treat the lock as held after its last refresh. linklock refreshes it every third of this time
    #[arg(short, long, value_name = "D", value_parser = duration, default_value = "60s")]
    pub(crate) lifetime: Duration,
    /// If the lock is lost, COMMAND gets TERM, and after this time KILL. Windows ends COMMAND at once
    #[arg(long, value_name = "D", value_parser = duration, default_value = "10s")]
    pub(crate) kill_after: Duration,
    #[command(flatten)]
    pub(crate) contest: Contest,
    /// Give COMMAND a fencing token in LINKLOCK_FENCE: a number that grows with every acquisition. The file LOCKPATH|fence
    /// (on Windows with ^ for |) counts them and stays
    #[arg(long)]
    pub(crate) fence: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AcquireArgs {
    #[command(flatten)]
    pub(crate) at: Place,
    /// How long the lock lasts without a refresh
    #[arg(short, long, value_name = "D", value_parser = duration, default_value = "15s")]
    pub(crate) lifetime: Duration,
    /// The process that holds the lock: once it has ended, contenders on this machine take the lock at once. none: the
    /// lock lasts until its expiry. The default is the shell that runs the script, even if one of its subshells calls
    /// linklock
    #[arg(long, value_name = "PID|none", value_parser = on_behalf_of)]
    pub(crate) pid: Option<OnBehalfOf>,
    #[command(flatten)]
    pub(crate) contest: Contest,
    /// Print a fencing token in a second line: a number that grows with every acquisition. The file LOCKPATH|fence (on
    /// Windows with ^ for |) counts them and stays
    #[arg(long)]
    pub(crate) fence: bool,
}

// How to contend for the lock.
#[derive(Debug, Args)]
pub(crate) struct Contest {
    #[command(flatten)]
    pub(crate) patience: Patience,
    #[command(flatten)]
    pub(crate) judgement: Judgement,
    /// How to store the lock: link is compatible with flufl.lock, dir needs no hard links
    #[arg(long, value_name = "PROTOCOL", default_value = "link")]
    pub(crate) protocol: ProtocolArg,
    /// Acquire the lock in order of arrival. All contenders should use this option: one without it overtakes the others.
    /// Each waiter has a ticket in the directory LOCKPATH|queue (on Windows with ^ for |)
    #[arg(long)]
    pub(crate) queue: bool,
    /// Write the whole command line into a lock of --protocol dir, not only the command's name. Everybody who may read the
    /// lock can read the arguments. acquire writes the command line of the process that holds the lock (on Linux)
    #[arg(long)]
    pub(crate) describe_command: bool,
    /// Refuse the lock (exit status 77) unless its directory is private: this user or root owns it, and nobody else may
    /// write to it. Not on Windows
    #[arg(long)]
    pub(crate) require_private: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RefreshArgs {
    #[command(flatten)]
    pub(crate) at: Place,
    /// The token that `acquire` printed
    pub(crate) token: OsString,
    /// How long the lock lasts from now
    #[arg(short, long, value_name = "D", value_parser = duration, default_value = "15s")]
    pub(crate) lifetime: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    pub(crate) at: Place,
    /// The token that `acquire` printed
    pub(crate) token: OsString,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The lock paths
    #[arg(required = true, value_name = "LOCKPATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Print one JSON object per line: path, protocol, state (free, held, expired, abandoned, not-a-lock), host, pid, token,
    /// command, user, owner_uid, owner, since, expires_at, expires_in_ms. Unknown values are null. The file system
    /// supplies the owner of the lock's file; the holder itself wrote host, pid, command and user
    #[arg(long)]
    pub(crate) json: bool,
    /// The character between the parts of a claim's name
    #[arg(long, value_name = "C", default_value_t = SEPARATOR, display_order = LAST)]
    pub(crate) separator: char,
    #[command(flatten)]
    pub(crate) judgement: Judgement,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true))]
pub(crate) struct BreakArgs {
    #[command(flatten)]
    pub(crate) at: Place,
    /// Break the lock that this token holds, even if its holder is alive, and no other lock
    #[arg(long, group = "which")]
    pub(crate) token: Option<OsString>,
    /// Break the lock if its lifetime and the grace have passed, or if its holder has died
    #[arg(long, group = "which")]
    pub(crate) expired: bool,
    /// Break any lock. This is the last resort: the holder may be working
    #[arg(long, group = "which")]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) judgement: Judgement,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    pub(crate) at: Place,
    #[command(flatten)]
    pub(crate) patience: Patience,
    #[command(flatten)]
    pub(crate) judgement: Judgement,
}

#[derive(Debug, Args)]
pub(crate) struct CleanArgs {
    /// The lock path; or a directory, for all locks that have claims in it
    #[arg(value_name = "LOCKPATH|DIR")]
    pub(crate) path: PathBuf,
    /// Remove the files. Without this option linklock lists what it would remove, and changes nothing
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Print one JSON object per line: lock, path, kind (claim, broken-claim, break-claim, break-lock, ticket, queue), host,
    /// pid, expires_at, action (remove, keep, removed, failed), reason. Unknown values are null
    #[arg(long)]
    pub(crate) json: bool,
    /// The character between the parts of a claim's name
    #[arg(long, value_name = "C", default_value_t = SEPARATOR, display_order = LAST)]
    pub(crate) separator: char,
    /// Keep the claim of a process of this machine that has ended, until the claim has expired long ago
    #[arg(long)]
    pub(crate) no_recover_dead: bool,
}

/// The help lists rare options last.
const LAST: usize = 100;

// Where the lock is. (Here and below a doc comment would become the subcommand's description.)
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The path that all contenders agree on. Its directory must exist
    #[arg(value_name = "LOCKPATH")]
    pub(crate) path: PathBuf,
    /// The character between the parts of a claim's name. All contenders must use the same, and LOCKPATH must not contain it
    #[arg(long, value_name = "C", default_value_t = SEPARATOR, display_order = LAST)]
    pub(crate) separator: char,
}

// How long to wait.
#[derive(Debug, Args)]
pub(crate) struct Patience {
    /// Wait this long at most [default: no limit]
    #[arg(short = 'w', long, value_name = "D", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Try once, and do not wait
    #[arg(short, long, conflicts_with = "timeout")]
    pub(crate) nonblock: bool,
    /// The exit status if the lock is still held after --timeout, or with --nonblock
    #[arg(short = 'E', long, value_name = "N", default_value_t = NOT_IN_TIME)]
    pub(crate) conflict_exit_code: u8,
}

// When others' locks may be broken.
#[derive(Debug, Args)]
pub(crate) struct Judgement {
    /// How long after its expiry a lock may be broken
    #[arg(long, value_name = "D", value_parser = duration, default_value = "10s")]
    pub(crate) grace: Duration,
    /// Do not treat a lock as abandoned because its process on this machine has ended. Wait for its expiry
    #[arg(long)]
    pub(crate) no_recover_dead: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProtocolArg {
    Link,
    Dir,
}

impl From<ProtocolArg> for Protocol {
    fn from(arg: ProtocolArg) -> Self {
        match arg {
            ProtocolArg::Link => Self::Link,
            ProtocolArg::Dir => Self::Dir,
        }
    }
}

impl Place {
    pub(crate) fn builder(&self) -> Builder {
        Lock::builder(&self.path).separator(self.separator)
    }
}

impl Contest {
    pub(crate) fn apply(&self, builder: Builder) -> Builder {
        let builder = self.judgement.apply(builder).protocol(self.protocol.into());
        builder.queue(self.queue).require_private(self.require_private)
    }
}

impl Judgement {
    pub(crate) fn apply(&self, builder: Builder) -> Builder {
        builder.grace(self.grace).recover_dead(!self.no_recover_dead)
    }
}

fn on_behalf_of(text: &str) -> Result<OnBehalfOf, String> {
    match text.parse() {
        _ if text == "none" => Ok(OnBehalfOf::Nobody),
        Ok(pid) if pid > 0 => Ok(OnBehalfOf::Process(pid)),
        _ => Err("expected a process ID, or none".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, CommandFactory};

    use super::*;

    #[test]
    fn run_accepts_the_same_arguments_alone_and_as_a_subcommand() {
        let (mut whole, mut alone) = (Cli::command(), Run::command());
        whole.build();
        alone.build();
        let arguments = |command: &clap::Command| {
            // Without the help texts.
            let bare = |argument: &Arg| argument.clone().display_order(0).help(None).long_help(None);
            let mut all: Vec<_> = command.get_arguments().map(|argument| format!("{:?}", bare(argument))).collect();
            all.sort();
            all.join("\n")
        };
        assert_eq!(arguments(&alone), arguments(whole.find_subcommand("run").unwrap()));
    }
}
