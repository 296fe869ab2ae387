//! Gives the kept corpus to the fuzz targets. tests/fuzz/run looks for new inputs.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("{dir:?}: {e}"));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn replay(name: &str) {
    let (_, fuzz) = linklock_fuzz::TARGETS.into_iter().find(|(target, _)| *target == name).expect("a target");
    let files = files(&corpus().join(name));
    assert!(files.len() >= 10, "{name}: only {} inputs are kept", files.len());
    for file in files {
        let data = fs::read(&file).expect("an input");
        let done = std::panic::catch_unwind(|| fuzz(&data));
        assert!(done.is_ok(), "cargo run -p linklock-fuzz -- {name} {}", file.display());
    }
}

#[test]
fn texts() {
    replay("texts");
}

#[test]
fn journal() {
    replay("journal");
}

#[test]
fn arguments() {
    replay("arguments");
}

#[test]
fn listing() {
    replay("listing");
}

#[test]
fn whole() {
    replay("whole");
}

#[test]
fn each_target_has_a_corpus_and_is_replayed() {
    let mut known: Vec<_> = linklock_fuzz::TARGETS.iter().map(|(name, _)| corpus().join(name)).collect();
    known.sort();
    assert_eq!(files(&corpus()), known);
    let replayed = include_str!("replay.rs").matches("    replay(\"").count();
    assert_eq!(replayed, known.len());
}
