//! Help, man page and completions.

use crate::support::{assert_exit, end, linklock, stdout};

const SUBCOMMANDS: [&str; 10] =
    ["run", "acquire", "refresh", "release", "status", "break", "wait", "clean", "completions", "man"];
const EXIT_STATUSES: [&str; 10] = ["0", "64", "73", "74", "75", "76", "77", "126", "127", "128+N"];

fn said(arguments: &[&str]) -> String {
    let output = end(linklock(arguments));
    assert_exit(&output, 0);
    stdout(&output)
}

#[test]
fn help_and_man_page_mention_every_subcommand_and_exit_status() {
    for text in [said(&["--help"]), said(&["man"])] {
        for subcommand in SUBCOMMANDS {
            let section = format!(".SH \"LINKLOCK {}\"", subcommand.to_uppercase());
            let listed = text.lines().any(|line| line.trim_start().starts_with(&format!("{subcommand} ")));
            assert!(listed || text.contains(&section), "{subcommand} is missing:\n{text}");
        }
        let (_, statuses) = text.rsplit_once("EXIT STATUS").expect("a section");
        for status in EXIT_STATUSES {
            let told = statuses.lines().any(|line| line.split_whitespace().next() == Some(status));
            assert!(told, "{status} is missing:\n{statuses}");
        }
        assert!(text.contains("EXAMPLES"), "{text}");
    }
}

#[test]
fn the_man_page_has_every_option_and_what_a_killed_linklock_cannot_do() {
    let page = said(&["man"]).replace("\\-", "-");
    for option in [
        "--lifetime",
        "--timeout",
        "--nonblock",
        "--conflict-exit-code",
        "--grace",
        "--protocol",
        "--separator",
        "--no-recover-dead",
        "--describe-command",
        "--require-private",
        "--kill-after",
        "--pid",
        "--json",
        "--token",
        "--expired",
        "--force",
        "--yes",
        "--quiet",
        "--verbose",
        "--color",
    ] {
        assert!(page.contains(&format!("\\fB{option}\\fR")), "{option} is missing");
    }
    for limit in [
        "are written with --describe-command alone",
        "can also remove a lock that is held",
        "does not reach processes that COMMAND has started",
        "Other Unixes have nothing like it",
        "the system ends them all at once",
    ] {
        assert!(page.contains(limit), "{limit:?} is missing");
    }
}

#[test]
fn the_description_of_a_subcommand_is_its_own() {
    for subcommand in SUBCOMMANDS {
        let listed = said(&["--help"]);
        let line =
            listed.lines().find(|line| line.trim_start().starts_with(&format!("{subcommand} "))).expect("listed");
        let (_, about) = line.trim().split_once(' ').expect("described");
        for flag in ["-h", "--help"] {
            let help = said(&[subcommand, flag]);
            assert!(help.starts_with(about.trim()), "{subcommand} {flag} begins otherwise:\n{help}");
        }
    }
}

#[test]
fn each_shell_has_a_completion_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = said(&["completions", shell]);
        for word in ["kill-after", "conflict-exit-code", "completions"] {
            assert!(script.contains(word), "{shell}: {word} is missing");
        }
    }
}
