//! Every shell example in README.md and docs/ runs without an error.

// Windows has no sh.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;

/// The shared directory in the examples.
const SHARED: &str = "/srv/shared";

#[test]
fn the_shell_examples_in_the_documents_work() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut run = 0;
    for document in ["README.md", "docs/using.md"] {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        for example in shell_examples(&text) {
            run_example(document, &example);
            run += 1;
        }
    }
    assert!(run >= 8, "only {run} examples were found");
}

fn run_example(document: &str, example: &str) {
    let shared = tempfile::tempdir().expect("a temporary directory");
    let program = Path::new(env!("CARGO_BIN_EXE_linklock"));
    let path =
        format!("{}:{}", program.parent().expect("a directory").display(), std::env::var("PATH").expect("a PATH"));
    let script = example.replace(SHARED, shared.path().to_str().expect("UTF-8"));
    let output = Command::new("sh").args(["-euc", &script]).env("PATH", path).output().expect("sh starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{document}: {}\n{example}\n{stderr}", output.status);
    let entries = std::fs::read_dir(shared.path()).expect("the directory can be read");
    let left: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    assert!(left.is_empty(), "{document}: an example leaves {left:?}\n{example}");
}

/// The text of each block between "```sh" and "```".
fn shell_examples(text: &str) -> Vec<String> {
    let mut examples = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        match &mut open {
            None if line == "```sh" => open = Some(String::new()),
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
