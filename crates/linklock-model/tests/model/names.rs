//! The model's names are the library's.

use std::fs;
use std::path::Path;

use linklock_model::step::{NOT_IN_THE_MODEL, Step};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn every_safety_step_of_the_library_is_in_the_model_or_there_is_a_reason() {
    let world = read("crates/linklock/src/env/world.rs");
    let (_, from) = world.split_once("enum Step {").unwrap();
    let (body, _) = from.split_once("\n}").unwrap();
    let mut library: Vec<&str> = body
        .lines()
        .map(|line| line.trim().trim_end_matches(','))
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .collect();
    let modelled = Step::ALL.map(|step| format!("{step:?}"));
    let mut known: Vec<&str> = modelled.iter().map(String::as_str).collect();
    known.extend(NOT_IN_THE_MODEL.iter().map(|(step, _)| *step));
    library.sort_unstable();
    known.sort_unstable();
    assert_eq!(known, library);
    assert!(NOT_IN_THE_MODEL.iter().all(|(_, reason)| !reason.is_empty()));
}

/// The rows of the table in docs/model.md: the model's steps, and `file.rs`: `function`, ... of the library's protocols.
#[test]
fn every_function_that_the_document_names_exists() {
    let document = read("docs/model.md");
    let rows: Vec<&str> = document.lines().filter(|line| line.starts_with("| `At::")).collect();
    for row in &rows {
        let code = row.split('|').nth(3).unwrap();
        for named in code.split('`').skip(1).step_by(2) {
            let (file, function) = named.split_once("::").unwrap_or_else(|| panic!("no function: {named}"));
            let source = read(&format!("crates/linklock/src/{file}"));
            let (function, _) = function.split_once('(').unwrap_or((function, ""));
            assert!(source.contains(&format!("fn {function}(")), "{named}");
        }
    }
    let contender = read("crates/linklock-model/src/contender.rs");
    let (_, from) = contender.split_once("enum At {").unwrap();
    let (body, _) = from.split_once("\n}").unwrap();
    let steps = body.lines().map(|line| line.trim().trim_end_matches(',').trim_end_matches("(Reply)"));
    let ends = ["Done", "Crashed", "NotYet"];
    for step in steps.filter(|step| !step.is_empty() && !step.contains(['/', '#']) && !ends.contains(step)) {
        let named = format!("`At::{step}`");
        assert!(rows.iter().any(|row| row.contains(&named)), "docs/model.md does not name {named}");
    }
}
