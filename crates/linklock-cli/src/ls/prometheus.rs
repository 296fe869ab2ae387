//! Metrics in the text format of Prometheus, version 0.0.4.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::SystemTime;

use linklock::Printable;

use super::listing::Listing;
use super::row::Row;

/// A name, a help text, and the value of a lock, if it has one.
type Metric = (&'static str, &'static str, fn(&Row) -> Option<f64>);

const METRICS: [Metric; 7] = [
    ("held_seconds", "For how long the lock has been held, at least.", |row| Some(row.age.least?.as_secs_f64())),
    ("held_at_most_seconds", "For how long the lock has been held, at most. Missing where nothing tells.", |row| {
        Some(row.age.most?.as_secs_f64())
    }),
    ("expires_timestamp_seconds", "When the lifetime of the lock ends.", |row| {
        let at = row.status().ok()?.expires_at?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(at.as_secs_f64())
    }),
    ("readers", "How many share the lock.", |row| Some(row.readers() as f64)),
    ("waiters", "How many wait for the lock, or may wait.", |row| Some(row.waiters().len() as f64)),
    ("leftovers", "How many files of ended contenders linklock clean would remove.", |row| {
        Some(row.found.leftovers as f64)
    }),
    ("safe_to_break", "Whether the lock may be broken now without harm.", |row| {
        row.status().ok()?.protocol?;
        Some(if row.safe_to_break().is_yes() { 1.0 } else { 0.0 })
    }),
];

pub(super) fn metrics(listing: &Listing, rows: &[&Row]) -> String {
    // One series twice would make the whole file invalid, and whoever may write to the directory chooses names.
    let mut known = BTreeSet::new();
    let labelled: Vec<_> = rows.iter().map(|row| (label(&Printable::new(row.path()).to_string()), *row)).collect();
    let (rows, twice): (Vec<_>, Vec<_>) = labelled.into_iter().partition(|(lock, _)| known.insert(lock.clone()));
    let mut text = String::new();
    head(&mut text, "lock_info", "A lock, its state, and who holds it.");
    for (lock, row) in &rows {
        let host = row.holder().map(|holder| holder.host.as_str()).unwrap_or_default();
        let protocol = row.status().ok().and_then(|status| status.protocol).map(|p| p.to_string()).unwrap_or_default();
        let labels = [
            ("state", row.state()),
            ("protocol", &protocol),
            ("host", host),
            ("command", row.command().unwrap_or_default()),
            ("owner", &row.owner().unwrap_or_default()),
        ];
        let labels: String = labels.iter().map(|(name, value)| format!(",{name}=\"{}\"", label(value))).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "linklock_lock_info{{lock=\"{lock}\"{labels}}} 1");
    }
    for (name, help, value) in METRICS {
        let name = format!("lock_{name}");
        head(&mut text, &name, help);
        for (lock, row) in &rows {
            if let Some(value) = value(row) {
                let _ = writeln!(text, "linklock_{name}{{lock=\"{lock}\"}} {value}");
            }
        }
    }
    head(&mut text, "ls_errors", "How many locks or directories could not be looked at.");
    let unreadable = rows.iter().filter(|(_, row)| row.status().is_err()).count();
    let _ = writeln!(text, "linklock_ls_errors {}", listing.failures.len() + unreadable + twice.len());
    text
}

fn head(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# HELP linklock_{name} {help}\n# TYPE linklock_{name} gauge");
}

/// The value of a label. What a terminal would act upon is escaped as everywhere, and then for Prometheus.
fn label(text: &str) -> String {
    Printable::new(text).to_string().replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_label() {
        assert_eq!(label("a\"} 1\nb\\"), "a\\\"} 1\\\\nb\\\\");
        assert_eq!(label("\x1b[2J é"), "\\\\u{1b}[2J é");
    }
}
