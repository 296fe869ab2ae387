//! The help, the man page and the completions.

use crate::support::{assert_exit, end, linklock, stdout};

const SUBCOMMANDS: [&str; 12] =
    ["run", "acquire", "refresh", "release", "status", "ls", "break", "wait", "clean", "report", "completions", "man"];
const EXIT_STATUSES: [&str; 10] = ["0", "64", "73", "74", "75", "76", "77", "126", "127", "128+N"];

fn printed(arguments: &[&str]) -> String {
    let output = end(linklock(arguments));
    assert_exit(&output, 0);
    stdout(&output)
}

#[test]
fn the_help_and_the_man_page_list_every_subcommand_and_exit_status() {
    for text in [printed(&["--help"]), printed(&["man"])] {
        for subcommand in SUBCOMMANDS {
            let section = format!(".SH \"LINKLOCK {}\"", subcommand.to_uppercase());
            let listed = text.lines().any(|line| line.trim_start().starts_with(&format!("{subcommand} ")));
            assert!(listed || text.contains(&section), "{subcommand} is missing:\n{text}");
        }
        let (_, statuses) = text.rsplit_once("EXIT STATUS").expect("a section");
        for status in EXIT_STATUSES {
            let listed = statuses.lines().any(|line| line.split_whitespace().next() == Some(status));
            assert!(listed, "{status} is missing:\n{statuses}");
        }
        assert!(text.contains("EXAMPLES"), "{text}");
    }
}

#[test]
fn the_man_page_has_every_option_and_the_limits_of_what_linklock_can_do() {
    let page = printed(&["man"]).replace("\\-", "-");
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
        "--unsafe-filesystem",
        "--kill-after",
        "--pid",
        "--json",
        "--token",
        "--expired",
        "--force",
        "--yes",
        "--exit-code",
        "--older-than",
        "--prometheus",
        "--watch",
        "--hold",
        "--journal",
        "--quiet",
        "--verbose",
        "--color",
    ] {
        assert!(page.contains(&format!("\\fB{option}\\fR")), "{option} is missing");
    }
    for limit in [
        "only with --describe-command",
        "the user can also remove a lock that is",
        "on Linux also to all processes that COMMAND has started",
        "does not kill the processes that COMMAND has started",
        "On other Unix systems COMMAND goes on",
        "Windows ends COMMAND and these processes at once",
    ] {
        assert!(page.contains(limit), "{limit:?} is missing");
    }
}

#[test]
fn the_man_page_has_the_usual_sections() {
    let page = printed(&["man"]);
    let sections: Vec<_> = page.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "ENVIRONMENT", "EXIT STATUS", "FILES", "SEE ALSO"] {
        let quoted = format!("\"{section}\"");
        assert!(sections.iter().any(|found| *found == section || *found == quoted), "{section}: {sections:?}");
    }
    for variable in ["LINKLOCK_PROTOCOL", "LINKLOCK_LIFETIME", "LINKLOCK_GRACE", "LINKLOCK_WAKE", "LINKLOCK_JOURNAL"] {
        assert!(page.contains(variable) && printed(&["--help"]).contains(variable), "{variable}");
        assert!(printed(&["run", "--help"]).contains(&format!("[env: {variable}]")), "{variable}");
    }
    for name in ["LOCKPATH|HOST|PID|NONCE", "LOCKPATH|break", "LOCKPATH|queue", "LOCKPATH|bell", "LOCKPATH|fence"] {
        assert!(page.contains(name), "{name}");
    }
}

#[test]
fn a_shell_completes_command_as_the_name_of_a_command() {
    let zsh = printed(&["completions", "zsh"]);
    assert!(zsh.contains(":_cmdambivalent'"), "{zsh}");
}

#[test]
fn the_help_of_a_subcommand_begins_with_its_description() {
    for subcommand in SUBCOMMANDS {
        let listed = printed(&["--help"]);
        let line =
            listed.lines().find(|line| line.trim_start().starts_with(&format!("{subcommand} "))).expect("listed");
        let (_, about) = line.trim().split_once(' ').expect("described");
        for flag in ["-h", "--help"] {
            let help = printed(&[subcommand, flag]);
            assert!(help.starts_with(about.trim()), "{subcommand} {flag} begins differently:\n{help}");
        }
    }
}

#[test]
fn each_shell_has_a_completion_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]);
        for word in ["kill-after", "conflict-exit-code", "completions"] {
            assert!(script.contains(word), "{shell}: {word} is missing");
        }
    }
}

#[test]
fn help_is_a_subcommand_too() {
    assert_eq!(printed(&["help"]), printed(&["--help"]));
    for subcommand in SUBCOMMANDS {
        assert_eq!(printed(&["help", subcommand]), printed(&[subcommand, "--help"]));
    }
    assert_exit(&end(linklock(["help", "brake"])), 64);
}
