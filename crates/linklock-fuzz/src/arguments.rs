//! The program's arguments, and what is made of them before anything is done.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use linklock::{Builder, Error, Lock, Token};

use crate::args::{Cli, Command, Deferred};
use crate::exit::Exit;
use crate::shown::assert_harmless;
use crate::usage;

/// Words, with a NUL after each: no argument can contain one.
pub(crate) fn fuzz(data: &[u8]) {
    let words = data.split(|byte| *byte == 0).map(|word| OsStr::from_bytes(word).to_owned());
    match Cli::of([OsString::from("linklock")].into_iter().chain(words).collect()) {
        Ok(cli) => {
            cli.command.journal();
            prepare(cli.command);
        }
        Err(e) => assert_harmless(&usage::escaped(e).render().to_string(), true),
    }
}

/// Makes the locks that the command would use.
fn prepare(command: Command) {
    match command {
        Command::Run(Deferred(args)) => {
            let args = args.resolved();
            assert!(!args.command.is_empty(), "run has a command");
            let build = |path: &PathBuf| args.contest.apply(args.at.builder_of(path)).lifetime(args.lifetime);
            args.and.iter().chain([&args.at.path]).for_each(|path| build_all(build(path), args.contest.slots));
        }
        Command::Acquire(Deferred(args)) => {
            let builder = args.contest.apply(args.at.builder()).lifetime(args.lifetime).fence(args.fence);
            build_all(builder.on_behalf_of(args.pid.unwrap_or_default()), args.contest.slots);
        }
        Command::Refresh(Deferred(args)) => with_token(args.at.builder(), &args.token),
        Command::Release(Deferred(args)) => with_token(args.at.builder(), &args.token),
        Command::Status(Deferred(args)) => {
            let build = |path| args.judgement.apply(Lock::builder(path).separator(args.separator));
            args.paths.iter().for_each(|path| build_all(build(path), args.slots));
        }
        Command::Break(Deferred(args)) => {
            let which = [args.token.is_some(), args.expired, args.force];
            assert_eq!(which.iter().filter(|is_given| **is_given).count(), 1, "break says what to break");
            build_all(args.judgement.apply(args.at.builder()), None);
        }
        Command::Wait(Deferred(args)) => build_all(args.judgement.apply(args.at.builder()), None),
        Command::Clean(Deferred(args)) => build_all(Lock::builder(&args.path).separator(args.separator), None),
        Command::Ls(Deferred(args)) => assert!(!args.paths.is_empty(), "ls has a directory"),
        Command::Report(Deferred(args)) => assert!(!args.files.is_empty(), "report has a journal"),
        Command::Doctor(_) | Command::Completions { .. } | Command::Man => {}
    }
}

fn build_all(builder: Builder, slots: Option<usize>) {
    let built = builder.build().and_then(|lock| slots.map(|slots| lock.slots(slots)).transpose());
    built.map(drop).unwrap_or_else(|e| complain(&e));
}

fn with_token(builder: Builder, token: &OsStr) {
    assert_harmless(&Token::new(token).to_string(), false);
    build_all(builder, None);
}

/// What is wrong with the settings is the user's mistake.
fn complain(e: &Error) {
    assert_harmless(&e.to_string(), false);
    assert_eq!(Exit::of_error(e), Exit::Usage, "{e}");
}
