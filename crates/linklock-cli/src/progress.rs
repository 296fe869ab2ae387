//! The line that a terminal shows while linklock waits.

use std::io::{self, IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use linklock::{Printable, Waiting};

use crate::console::{Console, printable};
use crate::duration::short;
use crate::os::terminal;

/// One line on stderr, redrawn at each report and cleared in the end.
pub(crate) struct Line {
    drawn: Arc<AtomicBool>,
}

const CLEAR: &str = "\r\x1b[K";

impl Line {
    /// `None` if nobody would see the line, or if it would mix with other output.
    pub(crate) fn new(console: Console) -> Option<Self> {
        let silent = console.quiet || console.verbose;
        let seen = !silent && io::stderr().is_terminal() && terminal::understands_escapes();
        seen.then(|| Self { drawn: Arc::default() })
    }

    /// Shows for whom linklock waits, and how long it has waited.
    pub(crate) fn reporter(&self, path: PathBuf) -> impl Fn(&Waiting<'_>) + Send + Sync + 'static {
        let drawn = Arc::clone(&self.drawn);
        move |waiting| {
            let stderr = io::stderr().lock();
            if !terminal::is_ours(&stderr) {
                return;
            }
            let columns = terminal::columns(&stderr);
            let text = describe(waiting, &path);
            show(stderr, &format!("{CLEAR}{}", fit(&printable(&text), columns)));
            drawn.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // A line that this program has not drawn stays.
        if self.drawn.load(Ordering::Relaxed) {
            show(io::stderr().lock(), CLEAR);
        }
    }
}

fn describe(waiting: &Waiting<'_>, path: &Path) -> String {
    let whole = |time: Duration| short(Duration::from_secs(time.as_secs()));
    let holder = waiting.holder.map_or_else(|| "the lock".into(), ToString::to_string);
    let expiry = waiting.must_watch.map(|left| format!("; the lock expires if unchanged for another {}", whole(left)));
    let waited = whole(waiting.waited);
    format!("waiting for {holder} for {waited}{}: {}", expiry.unwrap_or_default(), Printable::new(path))
}

fn show(mut stderr: io::StderrLock<'_>, text: &str) {
    // If the terminal is gone nobody can read it.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Cuts the text to one line of the terminal: redrawing does not reach a second line.
fn fit(text: &str, columns: Option<usize>) -> String {
    // Text in the last column may wrap.
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
