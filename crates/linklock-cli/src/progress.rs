//! The line that a terminal shows while linklock waits.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use linklock::{Printable, Waiting};

use crate::console::{Console, printable};
use crate::duration::short;
use crate::os::terminal;

/// One line of stderr, drawn anew at each report and taken away in the end.
pub(crate) struct Line {
    drawn: Arc<AtomicBool>,
}

const CLEAR: &str = "\r\x1b[K";

impl Line {
    /// `None` where nobody would see it, or where it would get into the way of other output.
    pub(crate) fn new(console: Console) -> Option<Self> {
        let silent = console.quiet || console.verbose;
        let seen = !silent && io::stderr().is_terminal() && terminal::understands_escapes();
        seen.then(|| Self { drawn: Arc::default() })
    }

    /// What shows for whom we wait, and for how long we have.
    pub(crate) fn reporter(&self, path: PathBuf) -> impl Fn(&Waiting<'_>) + Send + Sync + 'static {
        let drawn = Arc::clone(&self.drawn);
        move |waiting| {
            let stderr = io::stderr().lock();
            if !terminal::is_ours(&stderr) {
                return;
            }
            let columns = terminal::columns(&stderr);
            let mut text = String::from("waiting for ");
            if let Some(holder) = waiting.holder {
                // A String takes whatever is written.
                let _ = write!(text, "{holder}, ");
            }
            let waited = short(Duration::from_secs(waiting.waited.as_secs()));
            let _ = write!(text, "for {waited}");
            if let Some(left) = waiting.must_watch {
                let left = short(Duration::from_secs(left.as_secs()));
                let _ = write!(text, ", expired if unchanged for {left} more");
            }
            let _ = write!(text, ": {}", Printable::new(&path));
            show(stderr, &format!("{CLEAR}{}", fit(&printable(&text), columns)));
            drawn.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // What stands on a line that is not ours is left alone.
        if self.drawn.load(Ordering::Relaxed) {
            show(io::stderr().lock(), CLEAR);
        }
    }
}

fn show(mut stderr: io::StderrLock<'_>, text: &str) {
    // A terminal that is gone shows nothing.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// As much as a line takes: on the next one it could not be drawn over.
fn fit(text: &str, columns: Option<usize>) -> String {
    // The last column may wrap.
    let room = columns.unwrap_or(80) - 1;
    if text.chars().count() <= room {
        return text.into();
    }
    text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn a_line_never_reaches_the_last_column() {
        assert_eq!(fit("abc", Some(4)), "abc");
        assert_eq!(fit("abcd", Some(4)), "ab…");
        assert_eq!(fit("ab", Some(1)), "…");
        assert_eq!(fit(&"x".repeat(100), None).chars().count(), 79);
    }
}
