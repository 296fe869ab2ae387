//! Every shell example in README.md and docs/ runs without an error.

// Windows has no sh.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The shared directory in the examples.
const SHARED: &str = "/srv/shared";

#[test]
fn the_shell_examples_in_the_documents_work() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut run = 0;
    for document in ["README.md", "docs/using.md", "docs/operating.md", "docs/sharing.md", "docs/journal.md"] {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        for example in examples(&text, "sh") {
            run_example(document, &example);
            run += 1;
        }
    }
    assert!(run >= 8, "only {run} examples were found");
}

/// linklock, and after `acquire` and `refresh` a line of what `status` then shows of each lock.
const WITNESS: &str = r#"#!/bin/sh
case $1 in
acquire | refresh) PROGRAM "$@" || exit; said=$1 ;;
*) exec PROGRAM "$@" ;;
esac
for lock in SHARED/*.lock; do
    [ -e "$lock" ] || continue
    echo "$said $(PROGRAM status --json "$lock")" >>SEEN
done
"#;

/// The lines of the crontab run the job once, on hosts whose clocks differ by a second.
#[test]
fn the_crontab_in_the_readme_runs_its_job_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs::read_to_string(root.join("README.md")).unwrap();
    let lines: Vec<_> = examples(&text, "crontab")
        .iter()
        .flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let [line] = &lines[..] else { panic!("not one line: {lines:?}") };
    let command = line.splitn(6, ' ').nth(5).expect("five fields and a command");
    assert!(command.contains(" -q ") && command.contains(" --hold 10m "), "{command}");
    let shared = tempfile::tempdir().expect("a temporary directory");
    let command = command.replace(SHARED, shared.path().to_str().expect("UTF-8")).replace("10m", "3s");
    let script = format!("({command}) & sleep 1; ({command}); echo \"status $?\"; wait");
    let program = Path::new(env!("CARGO_BIN_EXE_linklock")).parent().expect("a directory");
    let path = format!("{}:{}", program.display(), std::env::var("PATH").expect("a PATH"));
    let output = Command::new("sh").args(["-uc", &script]).env("PATH", path).output().expect("sh starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "only one host runs this\nstatus 75\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "cron would send it by mail");
}

fn run_example(document: &str, example: &str) {
    let shared = tempfile::tempdir().expect("a temporary directory");
    let tools = tempfile::tempdir().expect("a temporary directory");
    let (witness, seen) = (tools.path().join("linklock"), tools.path().join("seen"));
    let witnessing = WITNESS
        .replace("PROGRAM", env!("CARGO_BIN_EXE_linklock"))
        .replace("SHARED", shared.path().to_str().expect("UTF-8"))
        .replace("SEEN", seen.to_str().expect("UTF-8"));
    fs::write(&witness, witnessing).expect("a file can be written");
    fs::set_permissions(&witness, fs::Permissions::from_mode(0o755)).expect("our own file");
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").expect("a PATH"));
    let script = example.replace(SHARED, shared.path().to_str().expect("UTF-8"));
    let output = Command::new("sh").args(["-euc", &script]).env("PATH", path).output().expect("sh starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{document}: {}\n{example}\n{stderr}", output.status);
    assert_refreshed(document, example, &fs::read_to_string(&seen).unwrap_or_default());
    let entries = fs::read_dir(shared.path()).expect("the directory can be read");
    let left: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    assert!(left.is_empty(), "{document}: an example leaves {left:?}\n{example}");
}

/// After a refresh, a lock lasts for as long as it was acquired for.
fn assert_refreshed(document: &str, example: &str, seen: &str) {
    let mut acquired = 0;
    for line in seen.lines() {
        let (subcommand, json) = line.split_once(' ').expect("a word and an object");
        let status: Value = serde_json::from_str(json).expect("JSON");
        let left = status["expires_in_ms"].as_i64().expect("a held lock");
        if subcommand == "acquire" {
            acquired = left;
        } else {
            assert!(left > acquired - 2000, "{document}: {left} ms are left, {acquired} before\n{example}");
        }
    }
    let lines = example.lines().filter(|line| line.trim_start().starts_with("linklock refresh ")).count();
    let refreshes = seen.lines().filter(|line| line.starts_with("refresh ")).count();
    assert!(refreshes >= lines, "{document}: {refreshes} refreshes\n{example}");
}

/// The text of each block between "```LANGUAGE" and "```".
fn examples(text: &str, language: &str) -> Vec<String> {
    let start = format!("```{language}");
    let mut examples = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        match &mut open {
            None if line == start => open = Some(String::new()),
            None => {}
            Some(_) if line == "```" => examples.extend(open.take()),
            Some(example) => {
                example.push_str(line);
                example.push('\n');
            }
        }
    }
    examples
}
