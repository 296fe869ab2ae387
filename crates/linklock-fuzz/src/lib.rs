//! Fuzz targets: everything of linklock that reads what others wrote, and all that it does where others may write.
//!
//! The source files of the library's values and of the program are compiled here once more, so that a target can call what they
//! keep private. docs/guarantees.md says what is checked, and tests/fuzz/run runs it.

#![cfg(target_os = "linux")]

macro_rules! files {
    ($($path:literal $name:ident),* $(,)?) => {
        $(
            #[path = $path]
            #[allow(dead_code, unfulfilled_lint_expectations, unreachable_pub, unused_imports, reason = "another crate's source: not all of it is used here")]
            pub(crate) mod $name;
        )*
    };
}

// The library's plain values, and what they need.
files! {
    "../../linklock/src/claim.rs" claim,
    "../../linklock/src/env/mod.rs" env,
    "../../linklock/src/error.rs" error,
    "../../linklock/src/file_system.rs" file_system,
    "../../linklock/src/fingerprint.rs" fingerprint,
    "../../linklock/src/hint.rs" hint,
    "../../linklock/src/holder.rs" holder,
    "../../linklock/src/lifetime.rs" lifetime,
    "../../linklock/src/lock_path.rs" lock_path,
    "../../linklock/src/names/mod.rs" names,
    "../../linklock/src/options.rs" options,
    "../../linklock/src/printable.rs" printable,
    "../../linklock/src/time.rs" time,
    "../../linklock/src/token.rs" token,
}

// The program, as far as it reads and shows.
files! {
    "../../linklock-cli/src/args/mod.rs" args,
    "../../linklock-cli/src/console.rs" console,
    "../../linklock-cli/src/directory.rs" directory,
    "../../linklock-cli/src/duration.rs" duration,
    "../../linklock-cli/src/exit.rs" exit,
    "../../linklock-cli/src/help.rs" help,
    "../../linklock-cli/src/os/mod.rs" os,
    "../../linklock-cli/src/status.rs" status,
    "../../linklock-cli/src/timestamp.rs" timestamp,
    "../../linklock-cli/src/usage.rs" usage,
    "../../linklock-c/src/text.rs" c_text,
}
mod journal;
mod ls;
mod report;
mod rules;

mod arguments;
mod ground;
mod shown;
mod texts;
mod things;
mod whole;

/// A target: its name, and what is done with an input. It panics if something is wrong.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 5] = [
    ("texts", texts::fuzz),
    ("journal", report::fuzz),
    ("arguments", arguments::fuzz),
    ("listing", ls::fuzz),
    ("whole", whole::fuzz),
];
