//! What one look has shown, as plain values. All texts are printable: others may have written names, hosts and commands.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use linklock::{Holder, Printable, SafeToBreak, Status, Token};

use super::text::width;
use crate::args::LsArgs;
use crate::console::printable;
use crate::duration::short;
use crate::ls::age::whole;
use crate::ls::listing::Listing;
use crate::ls::row::{Row, left, name_of};
use crate::ls::table::{COLUMNS, HEAD, cells, safe_to_break, waits};
use crate::status::describe_with;
use crate::timestamp::rfc3339;

/// All that was found at one moment.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) at: SystemTime,
    /// In the order in which `ls` lists them.
    pub(super) entries: Vec<Entry>,
    /// How wide each column would be.
    pub(super) widths: [usize; COLUMNS],
    /// How many files of ended contenders there are.
    pub(super) leftovers: usize,
    pub(super) failures: Vec<String>,
}

/// One lock.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) state: &'static str,
    pub(super) cells: [String; COLUMNS],
    pub(super) keys: [Key; COLUMNS],
    /// What the filter looks at, in small letters.
    pub(super) searched: String,
    pub(super) details: Vec<Detail>,
    /// The claims that hold the lock: one, or those of all who share it. None: nobody holds it, or nobody knows who does.
    pub(super) claims: Vec<Token>,
}

/// A name and a text.
pub(super) type Detail = (&'static str, String);

/// What a column is sorted by. What is not known comes last.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Number(u128),
    Text(String),
    #[default]
    Unknown,
}

impl Look {
    pub(super) fn now(args: &LsArgs) -> Self {
        let listing = Listing::of(args);
        let (rows, _) = listing.chosen(args);
        // The header names it.
        let base = match &args.paths[..] {
            [dir] => std::path::absolute(dir).ok(),
            _ => None,
        };
        let entries = rows.iter().zip(0..).map(|(row, n)| entry(row, n, listing.now, base.as_deref())).collect();
        Self {
            leftovers: rows.iter().map(|row| row.found.leftovers).sum(),
            failures: listing.failures.iter().map(|failure| printable(&failure.to_string())).collect(),
            ..Self::of(listing.now, entries)
        }
    }

    pub(super) fn of(at: SystemTime, entries: Vec<Entry>) -> Self {
        let wanted = |column: usize| entries.iter().map(|entry| width(&entry.cells[column])).max();
        let widths = std::array::from_fn(|column| wanted(column).unwrap_or(0).max(width(HEAD[column])));
        Self { at, entries, widths, leftovers: 0, failures: Vec::new() }
    }
}

impl Entry {
    /// `process 12 on host`, how many more share the lock, and what it runs.
    pub(super) fn holder(&self) -> String {
        match (&self.cells[HOLDER], &self.cells[COMMAND]) {
            (holder, command) if command.is_empty() => holder.clone(),
            (holder, command) => format!("{holder}, command {}", Printable::word(command)),
        }
    }

    pub(super) fn safe_to_break(&self) -> &str {
        &self.cells[SAFE]
    }
}

/// These columns have a meaning here.
pub(super) const LOCK: usize = 0;
pub(super) const STATE: usize = 1;
pub(super) const HOLDER: usize = 2;
const COMMAND: usize = 3;
const SAFE: usize = COLUMNS - 1;

fn entry(row: &Row, number: u128, now: SystemTime, base: Option<&Path>) -> Entry {
    let mut cells = cells(row, now);
    let path = row.path();
    let below = base.and_then(|base| path.strip_prefix(base).ok()).filter(|below| !below.as_os_str().is_empty());
    cells[LOCK] = Printable::new(below.unwrap_or(path)).to_string();
    let status = row.status().ok();
    let text = |column: usize| if cells[column].is_empty() { Key::Unknown } else { Key::Text(cells[column].clone()) };
    let ms = |time: Option<Duration>| time.map_or(Key::Unknown, |time| Key::Number(time.as_millis()));
    let expires = status.and_then(|status| status.expires_at?.duration_since(SystemTime::UNIX_EPOCH).ok());
    let waiting = Some(row.waiters().len()).filter(|waiting| *waiting > 0);
    let keys = [
        Key::Number(number),
        text(STATE),
        text(HOLDER),
        text(COMMAND),
        text(4),
        ms(row.age.least),
        ms(expires),
        text(7),
        waiting.map_or(Key::Unknown, |waiting| Key::Number(waiting as u128)),
        rank(row.safe_to_break()),
    ];
    // The cell may be cut.
    let command = printable(row.command().unwrap_or_default());
    let searched = [&*Printable::new(path).to_string(), &cells[STATE], &cells[HOLDER], &command].join("\n");
    Entry {
        path: path.to_owned(),
        state: row.state(),
        keys,
        searched: searched.to_lowercase(),
        details: details(row, now),
        claims: status.map(claims).unwrap_or_default(),
        cells,
    }
}

fn claims(status: &Status) -> Vec<Token> {
    let holders = if status.readers.is_empty() { status.holder.as_slice() } else { &status.readers };
    holders.iter().map(|holder| holder.token.clone()).collect()
}

/// The safest first.
fn rank(safe: SafeToBreak) -> Key {
    Key::Number(match safe {
        SafeToBreak::Ended => 0,
        SafeToBreak::Expired { alive: false } => 1,
        SafeToBreak::Expired { alive: true } => 2,
        SafeToBreak::NotBefore(_) => 3,
        SafeToBreak::AfterWatching(_) => 4,
        SafeToBreak::Alive => 5,
        _ => return Key::Unknown,
    })
}

/// All that `status` shows of the lock, in words and as JSON, and who waits for it.
fn details(row: &Row, now: SystemTime) -> Vec<Detail> {
    let mut all = vec![("lock", Printable::new(row.path()).to_string())];
    let mut add = |name: &'static str, text: Option<String>| all.extend(text.map(|text| (name, printable(&text))));
    match row.status() {
        Ok(status) => {
            add("status", Some(describe_with(status, row.process.as_ref())));
            add("protocol", status.protocol.map(|protocol| protocol.to_string()));
            add("holder", status.holder.as_ref().map(name_of));
            add("token", status.holder.as_ref().map(|holder| holder.token.to_string()));
            add("command", row.command().map(str::to_owned));
            add("user", row.user());
            add("file owner", row.owner());
            add("started", since(row).and_then(rfc3339));
            add("refreshed", status.refreshed_at.and_then(rfc3339));
            add("expires", status.expires_at.and_then(rfc3339));
            add("held for", Some(row.age.in_words()).filter(|age| !age.is_empty()));
            add("safe to break", Some(safe_to_break(row.safe_to_break(), now)));
            status.readers.iter().for_each(|reader| add("shared by", Some(shares(reader, now))));
        }
        Err(e) => add("error", Some(e.to_string())),
    }
    row.waiters().iter().for_each(|waiter| add("waiter", Some(waits(waiter, now))));
    let slot = row.found.slot_of.as_ref();
    add("slot", slot.map(|(base, number)| format!("{number} of {}", Printable::new(base))));
    let leftovers = Some(row.found.leftovers).filter(|leftovers| *leftovers > 0);
    add("leftovers", leftovers.map(|leftovers| format!("{leftovers}; linklock clean lists and removes them")));
    all
}

/// When the holder began, as the system says, or else the lock.
fn since(row: &Row) -> Option<SystemTime> {
    let stated = || row.holder()?.about.as_ref()?.since;
    row.process.as_ref().and_then(|process| process.since).or_else(stated)
}

fn shares(reader: &Holder, now: SystemTime) -> String {
    let expiry =
        left(reader.expires_at, now).map_or("expired".into(), |left| format!("expires in {}", short(whole(left))));
    format!("{}, {expiry}, token {}", name_of(reader), reader.token)
}
