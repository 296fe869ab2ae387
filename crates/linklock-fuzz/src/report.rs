//! The journals that `report` reads: any bytes may stand in them.

use std::io::BufReader;

use crate::console::json;
use crate::shown::assert_harmless;

files! {
    "../../linklock-cli/src/report/histogram.rs" histogram,
    "../../linklock-cli/src/report/lines.rs" lines,
    "../../linklock-cli/src/report/show.rs" show,
    "../../linklock-cli/src/report/tally.rs" tally,
}

/// The first byte says how many bytes are read at a time.
pub(crate) fn fuzz(data: &[u8]) {
    let Some((at_a_time, journal)) = data.split_first() else { return };
    let (mut tally, mut lines) = (tally::Tally::default(), lines::Lines::default());
    let (mut taken, mut acquired) = (0, 0);
    let from = BufReader::with_capacity(usize::from(*at_a_time) + 1, journal);
    let read = lines.read(from, |line| {
        taken += 1;
        acquired += u64::from(line.event == crate::journal::line::Event::Acquired);
        tally.add(line);
    });
    read.expect("reading from memory does not fail");
    tally.finish();
    assert_eq!(lines.read, taken + lines.unknown, "each line is taken once");
    assert_eq!(tally.locks.values().map(|of| of.acquired).sum::<u64>(), acquired, "each acquisition is counted once");
    let files = [("a\x1bjournal".to_owned(), lines)];
    let report = show::Report::new(&tally, &files);
    assert_harmless(&report.to_string(), true);
    let text = json(&report).expect("it can be written as JSON");
    assert_harmless(&text, false);
    serde_json::from_str::<serde_json::Value>(&text).expect("it is JSON");
}
