//! What stderr shows while linklock waits.

use std::io::{self, IsTerminal, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use linklock::{Printable, Wait, Waiting};

use crate::console::{Console, printable};
use crate::duration::short;
use crate::os::terminal;

/// How stderr shows a wait: on a terminal as one line, which is redrawn at each report and cleared in the end; elsewhere, such as
/// in the log of a nightly job, as a line at its beginning, one at its end, and a few in between.
pub(crate) struct Line {
    console: Console,
    on_terminal: bool,
    /// Whether something was drawn, or logged.
    drawn: Arc<AtomicBool>,
    begun: Instant,
}

const CLEAR: &str = "\r\x1b[K";

/// A log that goes on for hours needs no more.
const LOG_EVERY: Duration = Duration::from_secs(600);

/// A wait that is shorter is not worth a line in a log, nor a mail by cron.
const LOG_AFTER: Duration = Duration::from_secs(1);

impl Line {
    /// `None` if nobody would see the line, or if it would mix with other output.
    pub(crate) fn new(console: Console) -> Option<Self> {
        let silent = console.quiet || console.verbose;
        let on_terminal = io::stderr().is_terminal() && terminal::understands_escapes();
        (!silent).then(|| Self { console, on_terminal, drawn: Arc::default(), begun: Instant::now() })
    }

    /// Shows for whom linklock waits, and how long it has waited.
    pub(crate) fn report_of(&self, wait: Wait) -> Wait {
        if self.on_terminal { wait.reporting(self.drawer()) } else { wait.reporting_every(LOG_EVERY, self.logger()) }
    }

    fn drawer(&self) -> impl Fn(&Waiting<'_>) + Send + Sync + 'static {
        let drawn = Arc::clone(&self.drawn);
        move |waiting| {
            let stderr = io::stderr().lock();
            if !terminal::is_ours(&stderr) {
                return;
            }
            let columns = terminal::columns(&stderr);
            let text = describe(waiting);
            show(stderr, &format!("{CLEAR}{}", fit(&printable(&text), columns)));
            drawn.store(true, Ordering::Relaxed);
        }
    }

    fn logger(&self) -> impl Fn(&Waiting<'_>) + Send + Sync + 'static {
        let (console, drawn) = (self.console, Arc::clone(&self.drawn));
        let next_ms = AtomicU64::new(ms(LOG_AFTER));
        move |waiting| {
            if ms(waiting.waited) >= next_ms.load(Ordering::Relaxed) {
                next_ms.store(ms(waiting.waited + LOG_EVERY), Ordering::Relaxed);
                drawn.store(true, Ordering::Relaxed);
                log(console, &describe(waiting));
            }
        }
    }

    /// Logs the end of a wait of which the log knows. An error reports itself.
    pub(crate) fn log_end(&self, by_signal: bool, path: &Path) {
        if !self.on_terminal && self.drawn.load(Ordering::Relaxed) {
            let waited = short(Duration::from_secs(self.begun.elapsed().as_secs()));
            let ended = if by_signal { "a signal ended the wait" } else { "the wait ended" };
            log(self.console, &format!("{ended} after {waited}: {}", Printable::new(path)));
        }
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Drop for Line {
    fn drop(&mut self) {
        // A line that this program has not drawn stays.
        if self.on_terminal && self.drawn.load(Ordering::Relaxed) {
            show(io::stderr().lock(), CLEAR);
        }
    }
}

fn describe(waiting: &Waiting<'_>) -> String {
    let whole = |time: Duration| short(Duration::from_secs(time.as_secs()));
    let holder = waiting.holder.map_or_else(|| "the lock".into(), ToString::to_string);
    let expiry = waiting.must_watch.map(|left| format!("; the lock expires if unchanged for another {}", whole(left)));
    let waited = whole(waiting.waited);
    format!("waiting for {holder} for {waited}{}: {}", expiry.unwrap_or_default(), Printable::new(waiting.path))
}

/// Whoever reads stderr may be slow, and is not waited for either.
fn log(console: Console, line: &str) {
    if terminal::has_room(io::stderr()) {
        console.hint(line);
    }
}

/// A terminal that the user has halted (Ctrl-S) is not waited for: the lock could expire meanwhile.
fn show(mut stderr: io::StderrLock<'_>, text: &str) {
    if !terminal::has_room(&stderr) {
        return;
    }
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
