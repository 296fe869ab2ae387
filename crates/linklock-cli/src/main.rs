//! The program `linklock`: run a command, or a part of a script, under a lock file.

mod args;
mod attendance;
mod clean;
mod commands;
mod console;
mod directory;
#[cfg(unix)]
mod doctor;
mod duration;
mod exit;
mod help;
mod journal;
mod ls;
mod man;
mod os;
mod progress;
mod report;
mod run;
mod status;
mod timestamp;
mod usage;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::{Cli, Command, Deferred};
use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::journal::Journal;

/// musl's own allocator makes a system call for every few allocations, which takes much of the start-up time.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    os::survive_file_size_limit();
    let cli = match Cli::of_command_line() {
        Ok(cli) => cli,
        Err(e) => return usage::explain(e).into(),
    };
    console::choose_colors(cli.console.color);
    let console = Console { quiet: cli.console.quiet, verbose: cli.console.verbose };
    let exit = run(cli.command, console).unwrap_or_else(|failure| failure.report(console));
    if let Exit::Signal(signal) = exit {
        os::die_by(signal);
    }
    exit.into()
}

fn run(command: Command, console: Console) -> Result<Exit, Failure> {
    let (file, is_required) = command.journal();
    let journal = Journal::open(file, is_required, console)?;
    console.show_events(journal.hear());
    let done = carry_out(command, &journal, console);
    journal.finish(done.as_ref().err());
    done
}

fn carry_out(command: Command, journal: &Journal, console: Console) -> Result<Exit, Failure> {
    match command {
        Command::Run(Deferred(args)) => run::run(&args.resolved(), journal, console),
        Command::Acquire(Deferred(args)) => commands::acquire(&args, journal, console),
        Command::Refresh(Deferred(args)) => commands::refresh(&args, journal),
        Command::Release(Deferred(args)) => commands::release(&args, journal),
        Command::Status(Deferred(args)) => status::status(&args, console),
        Command::Ls(Deferred(args)) => ls::ls(&args, journal, console),
        Command::Break(Deferred(args)) => commands::break_lock(&args, journal, console),
        Command::Wait(Deferred(args)) => commands::wait(&args, console),
        Command::Clean(Deferred(args)) => clean::clean(&args, console),
        Command::Report(Deferred(args)) => report::report(&args, console),
        #[cfg(unix)]
        Command::Doctor(Deferred(args)) => doctor::doctor(&args, console),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "linklock", &mut script);
            print(&script)
        }
        Command::Man => print(&man::page(Cli::command())?),
    }
}

fn print(text: &[u8]) -> Result<Exit, Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text)?;
    stdout.flush()?;
    Ok(Exit::Done)
}
