//! The command line. Parsing, `--help`, shell completions and the man page all come from these definitions.

#[cfg(unix)]
mod doctor;
mod ls;
mod run;
mod shared;
mod subcommands;

use std::ffi::OsString;
use std::path::Path;

use clap::{ArgMatches, Args, ColorChoice, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

#[cfg(unix)]
pub(crate) use self::doctor::DoctorArgs;
pub(crate) use self::ls::LsArgs;
pub(crate) use self::run::RunArgs;
pub(crate) use self::shared::Patience;
pub(crate) use self::subcommands::{
    AcquireArgs, BreakArgs, CleanArgs, RefreshArgs, ReleaseArgs, ReportArgs, StatusArgs, WaitArgs,
};
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
    /// Parses the command line.
    pub(crate) fn of_command_line() -> Result<Self, clap::Error> {
        Self::of(std::env::args_os().collect())
    }

    /// Parses these words, the first of which is the program's name. To define `run` alone takes half of the time that all
    /// subcommands take. If it does not parse alone, the whole parser reports why, or prints the help.
    pub(crate) fn of(mut words: Vec<OsString>) -> Result<Self, clap::Error> {
        if words.get(1).is_some_and(|word| word == "run")
            && let Ok(Run { console, args }) = Run::try_parse_from(&words[1..])
        {
            return Ok(Self { console, command: Command::Run(Deferred(args)) });
        }
        // For people who expect it, as git has it; the help lists --help alone.
        if words.get(1).is_some_and(|word| word == "help") {
            words.remove(1);
            words.push("--help".into());
        }
        Self::try_parse_from(words)
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
    /// The lock then lasts for its own lifetime from now, or for --lifetime. A lock that has expired is lost and can't be refreshed.
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
    /// List the locks of a directory: who holds them, who waits, since when, and which are safe to break
    #[command(after_help = help::LS, long_about = help::LS_ABOUT)]
    Ls(Deferred<LsArgs>),
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
    /// Summarise journals: who held each lock for how long, and how long others waited
    #[command(after_help = help::REPORT, long_about = help::REPORT_ABOUT)]
    Report(Deferred<ReportArgs>),
    /// Find out whether a directory is fit for locks, and what to choose there
    #[cfg(unix)]
    #[command(after_help = help::DOCTOR, long_about = help::DOCTOR_ABOUT)]
    Doctor(Deferred<DoctorArgs>),
    /// Print a completion script for a shell
    Completions {
        /// The shell to complete in
        shell: Shell,
    },
    /// Print the man page, linklock(1)
    Man,
}

impl Command {
    /// The journal's file, and whether nothing is to be done if it cannot be written. Who releases a lock holds it already.
    pub(crate) fn journal(&self) -> (Option<&Path>, bool) {
        let (arg, is_required) = match self {
            Self::Run(Deferred(args)) => (&args.journal, true),
            Self::Acquire(Deferred(args)) => (&args.journal, true),
            Self::Refresh(Deferred(args)) => (&args.journal, false),
            Self::Release(Deferred(args)) => (&args.journal, false),
            Self::Break(Deferred(args)) => (&args.journal, false),
            // It breaks only what its user chooses meanwhile.
            Self::Ls(Deferred(args)) if args.watch.is_some() && !args.json => (&args.journal, false),
            _ => return (None, false),
        };
        (arg.journal.as_deref(), is_required)
    }
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
