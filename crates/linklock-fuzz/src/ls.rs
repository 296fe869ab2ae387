//! The listing of a directory where anything may be: nothing changes, and what is shown of it is harmless.

use std::path::Path;

use arbitrary::Unstructured;

use crate::args::{Cli, Command, Deferred, LsArgs};
use crate::console::json;
use crate::ground::Ground;
use crate::rules::told;
use crate::shown::assert_harmless;
use crate::things::{LOCK, Planter};

files! {
    "../../linklock-cli/src/ls/age.rs" age,
    "../../linklock-cli/src/ls/document.rs" document,
    "../../linklock-cli/src/ls/listing.rs" listing,
    "../../linklock-cli/src/ls/prometheus.rs" prometheus,
    "../../linklock-cli/src/ls/row.rs" row,
    "../../linklock-cli/src/ls/table.rs" table,
}

pub(crate) fn fuzz(data: &[u8]) {
    let ground = Ground::new();
    Planter::new(&ground, &mut Unstructured::new(data)).plant();
    let before = ground.scan();
    let args = arguments(&ground.shared());
    let listing = listing::Listing::of(&args);
    let (rows, _) = listing.chosen(&args);
    assert_harmless(&table::table(&rows, listing.now, None), true);
    assert_harmless(&table::table(&rows, listing.now, Some(40)), true);
    let text = json(&document::document(&listing, &rows)).expect("it can be written as JSON");
    assert_harmless(&text, false);
    serde_json::from_str::<serde_json::Value>(&text).expect("it is JSON");
    assert_metrics(&prometheus::metrics(&listing, &rows));
    listing.failures.iter().for_each(|failure| assert_harmless(&failure.to_string(), false));
    let now = ground.scan();
    assert!(now == before, "a listing has changed something\nbefore:\n{}now:\n{}", told(&before), told(&now));
}

/// As the program gets them.
fn arguments(dir: &Path) -> LsArgs {
    let words = ["linklock".into(), "ls".into(), "-r".into(), dir.into(), dir.join(LOCK).into()];
    match Cli::of(words.into()).map(|cli| cli.command) {
        Ok(Command::Ls(Deferred(args))) => args,
        other => panic!("these are arguments of ls: {other:?}"),
    }
}

/// Each line is a comment or a sample, and no sample is there twice.
fn assert_metrics(text: &str) {
    assert_harmless(text, true);
    let mut known = std::collections::BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        let (sample, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?} has no value"));
        assert!(value.parse::<f64>().is_ok() && known.insert(sample), "{line:?} is no sample, or there twice");
        let Some((name, labels)) = sample.split_once('{') else { continue };
        assert!(name.starts_with("linklock_") && are_labels(labels), "{line:?}: its labels cannot be read");
    }
}

/// `name="value",...}`, where a backslash takes the meaning of the character after it.
fn are_labels(text: &str) -> bool {
    let Some(mut rest) = text.strip_suffix('}') else { return false };
    while let Some((name, value)) = rest.split_once("=\"") {
        let mut is_escaped = false;
        let end = value.find(|c| {
            let ends = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            ends
        });
        let Some(end) = end.filter(|_| name.bytes().all(|byte| byte.is_ascii_lowercase())) else { return false };
        rest = &value[end + 1..];
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return rest.is_empty(),
        }
    }
    false
}
