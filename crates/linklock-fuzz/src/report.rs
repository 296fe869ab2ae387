//! The journals that `report` reads: any bytes may stand in them.

use std::io::{BufRead, BufReader};
use std::time::{Duration, UNIX_EPOCH};

use self::window::Window;
use crate::console::json;
use crate::journal::line::Event;
use crate::shown::assert_harmless;

files! {
    "../../linklock-cli/src/report/histogram.rs" histogram,
    "../../linklock-cli/src/report/lines.rs" lines,
    "../../linklock-cli/src/report/show.rs" show,
    "../../linklock-cli/src/report/tally.rs" tally,
    "../../linklock-cli/src/report/window.rs" window,
}

/// The first byte says how many bytes are read at a time.
pub(crate) fn fuzz(data: &[u8]) {
    let Some((at_a_time, journal)) = data.split_first() else { return };
    let report = |window| report(BufReader::with_capacity(usize::from(*at_a_time) + 1, journal), window);
    let (all, there) = report(Window::default());
    assert_eq!(all, there, "each acquisition is counted once");
    let moment = Some(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let (before, _) = report(Window { since: None, until: moment });
    let (after, _) = report(Window { since: moment, until: None });
    assert!(before + after <= all, "an acquisition is in one of two times");
}

/// How many acquisitions are counted, and how many there are.
fn report(from: impl BufRead, window: Window) -> (u64, u64) {
    let (mut tally, mut lines) = (tally::Tally::of(window), lines::Lines::default());
    let (mut taken, mut there) = (0, 0);
    let read = lines.read(from, |line| {
        taken += 1;
        there += u64::from(line.event == Event::Acquired);
        tally.add(line);
    });
    read.expect("reading from memory does not fail");
    tally.finish();
    assert_eq!(lines.read, taken + lines.unknown, "each line is taken once");
    let files = [("a\x1bjournal".to_owned(), lines)];
    let report = show::Report::new(window, &tally, &files);
    assert_harmless(&report.to_string(), true);
    let text = json(&report).expect("it can be written as JSON");
    assert_harmless(&text, false);
    serde_json::from_str::<serde_json::Value>(&text).expect("it is JSON");
    (tally.locks.values().map(|of| of.acquired).sum(), there)
}
