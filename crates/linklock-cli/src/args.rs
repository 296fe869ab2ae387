//! The command line: what is parsed, explained by `--help`, completed by shells and printed by `linklock man`.

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
/// A lock is nothing but a path, LOCKPATH, on a file system that all contenders share: NFS or any other. Whoever holds it
/// has a lifetime to refresh it in; a holder that is dead, or whose lifetime and grace are over, is broken by the next
/// contender. Locks are compatible with those of flufl.lock.
///
/// Durations are written as 500ms, 30s, 5m or 2h; a bare number is seconds.
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
    /// What the command line says. `run` is looked at by itself, in half of the time that the whole takes to define. If that
    /// does not go well, the whole tells why, and gives the help that was asked for.
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
    /// Say nothing while waiting, nothing of what was done, no warning, and nothing if the lock is not had in time: the exit
    /// status tells. Errors are still told
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub(crate) quiet: bool,
    /// Tell on stderr what happens to the lock: claims, waits, who is broken and why
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub(crate) verbose: bool,
    /// Whether to colour what is for people; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run COMMAND while holding the lock
    #[command(after_help = help::RUN, long_about = help::RUN_ABOUT, override_usage = help::RUN_USAGE)]
    Run(Deferred<RunArgs>),
    /// Take the lock for a script, and print its token
    #[command(after_help = help::ACQUIRE, long_about = help::ACQUIRE_ABOUT)]
    Acquire(Deferred<AcquireArgs>),
    /// Move the expiry of an acquired lock on
    ///
    /// The lifetime begins anew, counted from now. A lock whose lifetime is over is lost and is not refreshed back to life.
    Refresh(Deferred<RefreshArgs>),
    /// Give an acquired lock back
    ///
    /// Exits with 76 if TOKEN did not hold the lock any more: then somebody else may have worked under it meanwhile.
    Release(Deferred<ReleaseArgs>),
    /// Show who holds the lock, and for how much longer
    ///
    /// Looks and touches nothing. What has expired is judged by this machine's clock; contenders ask the file server's.
    #[command(after_help = help::STATUS)]
    Status(Deferred<StatusArgs>),
    /// Take the lock from its holder, for an operator
    #[command(after_help = help::BREAK)]
    Break(Deferred<BreakArgs>),
    /// Wait until the lock is free, without taking it
    ///
    /// Free means that the next contender could have it at once: nobody holds it, or its holder is dead or over.
    Wait(Deferred<WaitArgs>),
    /// List, or remove, what killed contenders left beside the lock
    #[command(after_help = help::CLEAN, long_about = help::CLEAN_ABOUT)]
    Clean(Deferred<CleanArgs>),
    /// Print a completion script for a shell
    Completions {
        /// The shell that it is for
        shell: Shell,
    },
    /// Print the man page, linklock(1)
    Man,
}

/// Arguments that are defined only when their subcommand is the one in use: a good part of the time that it takes to start.
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
    /// What to run, with its arguments; all that follows it is COMMAND's own
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
    /// How long the lock outlives linklock if another machine has to find out. It is refreshed at a third of this
    #[arg(short, long, value_name = "D", value_parser = duration, default_value = "60s")]
    pub(crate) lifetime: Duration,
    /// If the lock is lost, COMMAND gets TERM, and KILL after so long. On Windows it is ended at once
    #[arg(long, value_name = "D", value_parser = duration, default_value = "10s")]
    pub(crate) kill_after: Duration,
    #[command(flatten)]
    pub(crate) contest: Contest,
    /// Give COMMAND in LINKLOCK_FENCE a number that grows with every acquisition. The counter, LOCKPATH|fence (^ for | on Windows), stays
    #[arg(long)]
    pub(crate) fence: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AcquireArgs {
    #[command(flatten)]
    pub(crate) at: Place,
    /// How long the lock lasts unless it is refreshed
    #[arg(short, long, value_name = "D", value_parser = duration, default_value = "15s")]
    pub(crate) lifetime: Duration,
    /// The process whose end frees the lock at once, on this machine; none: the lock lasts until its expiry. The default
    /// is the shell that runs the script, also when linklock is called from one of its subshells
    #[arg(long, value_name = "PID|none", value_parser = on_behalf_of)]
    pub(crate) pid: Option<OnBehalfOf>,
    #[command(flatten)]
    pub(crate) contest: Contest,
    /// Print in a second line a number that grows with every acquisition. The counter, LOCKPATH|fence (^ for | on Windows), stays
    #[arg(long)]
    pub(crate) fence: bool,
}

// How the lock is contended for.
#[derive(Debug, Args)]
pub(crate) struct Contest {
    #[command(flatten)]
    pub(crate) patience: Patience,
    #[command(flatten)]
    pub(crate) judgement: Judgement,
    /// How the lock is kept on disk: link is compatible with flufl.lock, dir needs no hard links
    #[arg(long, value_name = "PROTOCOL", default_value = "link")]
    pub(crate) protocol: ProtocolArg,
    /// Take the lock in the order of arrival. All contenders should: who does not, overtakes. While one waits, it has a
    /// ticket in LOCKPATH|queue (^ for | on Windows)
    #[arg(long)]
    pub(crate) queue: bool,
    /// Write into a lock of --protocol dir the whole command line, arguments included, and not the command's name alone. All
    /// who may read the lock can read it. For acquire: that of the process that the lock is for, on Linux
    #[arg(long)]
    pub(crate) describe_command: bool,
    /// Refuse the lock (77) unless its directory is private: it belongs to this user or to root, and nobody else may write to
    /// it. Not on Windows
    #[arg(long)]
    pub(crate) require_private: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RefreshArgs {
    #[command(flatten)]
    pub(crate) at: Place,
    /// What `acquire` printed
    pub(crate) token: OsString,
    /// How long the lock lasts from now on
    #[arg(short, long, value_name = "D", value_parser = duration, default_value = "15s")]
    pub(crate) lifetime: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    pub(crate) at: Place,
    /// What `acquire` printed
    pub(crate) token: OsString,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The paths to look at
    #[arg(required = true, value_name = "LOCKPATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// One JSON object a line: path, protocol, state (free, held, expired, dead, not-a-lock), host, pid, token, command,
    /// user, owner_uid, owner, since, expires_at, expires_in_ms; null where there is nothing to tell. owner is the file's, as
    /// the file system has it; host, pid, command and user are what the holder says
    #[arg(long)]
    pub(crate) json: bool,
    /// What stands between the parts of a claim's name
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
    /// Break the lock that this token holds, live or not, and no other
    #[arg(long, group = "which")]
    pub(crate) token: Option<OsString>,
    /// Break the lock if its lifetime and the grace are over, or if its holder is dead
    #[arg(long, group = "which")]
    pub(crate) expired: bool,
    /// Break whatever lock is there. The last resort: its holder may be at work
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
    /// The lock path, whether a lock is there or not; or a directory: all locks that have claims in it
    #[arg(value_name = "LOCKPATH|DIR")]
    pub(crate) path: PathBuf,
    /// Remove what may be removed. Without it, linklock lists what it would remove, and changes nothing
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// One JSON object a line: lock, path, kind (claim, broken-claim, break-claim, break-lock, ticket, queue), host, pid,
    /// expires_at, action (remove, keep, removed, failed), reason; null where it is not known
    #[arg(long)]
    pub(crate) json: bool,
    /// What stands between the parts of a claim's name
    #[arg(long, value_name = "C", default_value_t = SEPARATOR, display_order = LAST)]
    pub(crate) separator: char,
    /// Do not remove a claim because its process, on this machine, has ended: wait until it expired long ago
    #[arg(long)]
    pub(crate) no_recover_dead: bool,
}

/// What hardly anybody needs is listed last.
const LAST: usize = 100;

// Where the lock is. (Not a doc comment, here and below: it would become the subcommand's description.)
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The path that all contenders agree on; its directory must exist
    #[arg(value_name = "LOCKPATH")]
    pub(crate) path: PathBuf,
    /// What stands between the parts of a claim's name; all contenders must agree on it, and LOCKPATH must not hold it
    #[arg(long, value_name = "C", default_value_t = SEPARATOR, display_order = LAST)]
    pub(crate) separator: char,
}

// How long to wait.
#[derive(Debug, Args)]
pub(crate) struct Patience {
    /// Wait for so long at most [default: for ever]
    #[arg(short = 'w', long, value_name = "D", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Do not wait: try once
    #[arg(short, long, conflicts_with = "timeout")]
    pub(crate) nonblock: bool,
    /// The exit status if time runs out
    #[arg(short = 'E', long, value_name = "N", default_value_t = NOT_IN_TIME)]
    pub(crate) conflict_exit_code: u8,
}

// How other holders are judged.
#[derive(Debug, Args)]
pub(crate) struct Judgement {
    /// How long after its expiry a lock is broken
    #[arg(long, value_name = "D", value_parser = duration, default_value = "10s")]
    pub(crate) grace: Duration,
    /// Do not treat a lock as over because its holder, on this machine, has ended: wait for the expiry
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
        _ => Err("expected a process's number, or none".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, CommandFactory};

    use super::*;

    #[test]
    fn run_by_itself_takes_what_it_takes_as_a_part_of_the_whole() {
        let (mut whole, mut alone) = (Cli::command(), Run::command());
        whole.build();
        alone.build();
        let arguments = |command: &clap::Command| {
            // Without what is for help.
            let bare = |argument: &Arg| argument.clone().display_order(0).help(None).long_help(None);
            let mut all: Vec<_> = command.get_arguments().map(|argument| format!("{:?}", bare(argument))).collect();
            all.sort();
            all.join("\n")
        };
        assert_eq!(arguments(&alone), arguments(whole.find_subcommand("run").unwrap()));
    }
}
