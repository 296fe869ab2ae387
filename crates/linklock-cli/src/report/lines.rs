//! The lines of a journal, which others may have written.

use std::io::{self, BufRead};

use crate::journal::line::{BEGIN, Event, Line, VERSION};

/// No line of a journal is longer: more is not kept in memory.
const LINE_MOST: usize = 1 << 15;

/// How many lines there were, and which could not be read.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) read: u64,
    pub(super) unreadable: u64,
    /// The number of the first of them, from 1 on.
    pub(super) first_unreadable: Option<u64>,
    /// Lines of events that a later linklock has.
    pub(super) unknown: u64,
    /// Lines that say no time, if only those of some time are wanted.
    pub(super) without_time: u64,
    /// Whether the file ends within a line, as after a crash.
    pub(super) is_cut: bool,
}

impl Lines {
    /// Hands over each line that can be read.
    pub(super) fn read(&mut self, mut from: impl BufRead, mut take: impl FnMut(Line)) -> io::Result<()> {
        let (mut text, mut number) = (Vec::new(), 0);
        loop {
            text.clear();
            let is_whole = read_line(&mut from, &mut text)?;
            if text.is_empty() && !is_whole {
                return Ok(());
            }
            number += 1;
            let Some(found) = parse(&text) else {
                if !is_whole {
                    self.is_cut = true;
                } else if !text.iter().all(u8::is_ascii_whitespace) {
                    self.unreadable(number);
                }
                continue;
            };
            if found.has_rest {
                self.unreadable(number);
            }
            self.read += 1;
            if found.line.event == Event::Unknown {
                self.unknown += 1;
            } else {
                take(found.line);
            }
        }
    }

    fn unreadable(&mut self, number: u64) {
        self.unreadable += 1;
        self.first_unreadable.get_or_insert(number);
    }
}

struct Found {
    line: Line,
    /// Whether something stood before it that is no line.
    has_rest: bool,
}

fn parse(text: &[u8]) -> Option<Found> {
    if text.len() > LINE_MOST {
        return None;
    }
    let of_version = |line: &Line| line.version == VERSION;
    if let Some(line) = serde_json::from_slice(text).ok().filter(of_version) {
        return Some(Found { line, has_rest: false });
    }
    // A line that was cut, and the next beside it: what a crash leaves to a program that does not look.
    let text = std::str::from_utf8(text).ok()?;
    let begin = text.rfind(BEGIN).filter(|begin| *begin > 0)?;
    let line = serde_json::from_str(&text[begin..]).ok().filter(of_version)?;
    Some(Found { line, has_rest: true })
}

/// Reads up to the newline, which is not kept, nor what is beyond the longest line. False at the end of the file.
fn read_line(from: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        let read = match from.fill_buf() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read.is_empty() {
            return Ok(false);
        }
        let newline = read.iter().position(|byte| *byte == b'\n');
        let part = &read[..newline.unwrap_or(read.len())];
        // One more than the longest shows that it is too long.
        text.extend(part.iter().take(LINE_MOST + 1 - text.len()));
        let used = part.len() + usize::from(newline.is_some());
        from.consume(used);
        if newline.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> (Lines, Vec<String>) {
        let (mut lines, mut locks) = (Lines::default(), Vec::new());
        lines.read(io::BufReader::with_capacity(7, text), |line| locks.push(line.lock)).unwrap();
        (lines, locks)
    }

    const A: &str = r#"{"version":1,"event":"released","lock":"a"}"#;
    const B: &str = r#"{"version":1,"event":"released","lock":"b"}"#;

    #[test]
    fn a_half_line_at_the_end_is_a_crash_and_nothing_worse() {
        let (lines, locks) = read(format!("{A}\n{}", &B[..20]).as_bytes());
        assert_eq!((lines.read, lines.unreadable, lines.is_cut), (1, 0, true));
        assert_eq!(locks, ["a"]);
        let (lines, locks) = read(format!("{A}\n{B}").as_bytes());
        assert_eq!((lines.read, lines.is_cut, locks.len()), (2, false, 2), "only the newline is missing");
    }

    #[test]
    fn what_cannot_be_read_is_counted_and_skipped() {
        let long = "x".repeat(3 * LINE_MOST);
        let text = format!("{A}\n\nnonsense\n{{}}\n{}\n{long}\n{B}\n", A.replace('1', "2"));
        let (lines, locks) = read(text.as_bytes());
        assert_eq!((lines.read, lines.unreadable, lines.first_unreadable), (2, 4, Some(3)));
        assert_eq!(locks, ["a", "b"]);
        let (lines, _) = read(b"\xff\xfe\n\0\n[[[[\n");
        assert_eq!((lines.read, lines.unreadable), (0, 3));
        let deep = "[".repeat(100_000);
        assert_eq!(read(format!("{deep}\n").as_bytes()).0.unreadable, 1);
    }

    #[test]
    fn a_line_behind_one_that_was_cut_is_read() {
        let (lines, locks) = read(format!("{}{B}\n", &A[..30]).as_bytes());
        assert_eq!((lines.read, lines.unreadable, lines.first_unreadable), (1, 1, Some(1)));
        assert_eq!(locks, ["b"]);
    }

    #[test]
    fn an_event_of_a_later_linklock_is_counted_and_skipped() {
        let (lines, locks) = read(format!("{}\n{B}\n", A.replace("released", "blessed")).as_bytes());
        assert_eq!((lines.read, lines.unknown, lines.unreadable), (2, 1, 0));
        assert_eq!(locks, ["b"]);
    }
}
