//! What the screen shows, and what each key changes. It knows neither the terminal nor the disk.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use linklock::{Printable, Token};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::entry::{Entry, Key, LOCK, Look};
use crate::ls::table::COLUMNS;

/// What a key asks of the rest of the program.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    Quit,
    Break(Order),
    /// Stop the program, as Ctrl-Z does.
    Stop,
    /// Draw all anew, as after another program has written on the terminal.
    Redraw,
}

/// To break what was shown, and nothing that came later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) path: PathBuf,
    pub(super) claims: Vec<Token>,
    pub(super) holder: String,
    pub(super) safe_to_break: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Table,
    /// The filter is being typed. It was this before.
    Filter(String),
    /// Of the lock at this path, from this line on.
    Details(PathBuf, usize),
    Question(Order),
    Help,
}

#[derive(Debug)]
pub(super) struct Model {
    /// What is listed.
    pub(super) title: String,
    pub(super) mode: Mode,
    pub(super) look: Option<Look>,
    /// When the look began that has not ended.
    pub(super) asked: Option<SystemTime>,
    pub(super) sort: usize,
    pub(super) is_reversed: bool,
    pub(super) filter: String,
    /// What has just happened. The next key removes it.
    pub(super) message: Option<String>,
    pub(super) breaking: Option<PathBuf>,
    /// The first row that is on the screen, and how many are. Whoever draws says how many.
    pub(super) top: usize,
    pub(super) page: usize,
    /// The numbers of the entries that pass the filter, in order.
    shown: Vec<usize>,
    /// The place of the chosen row among these, and its path, on which it stays when rows move.
    cursor: usize,
    chosen: Option<PathBuf>,
}

impl Model {
    pub(super) fn new(title: String) -> Self {
        Self {
            title,
            mode: Mode::Table,
            look: None,
            asked: None,
            sort: LOCK,
            is_reversed: false,
            filter: String::new(),
            message: None,
            breaking: None,
            top: 0,
            page: 1,
            shown: Vec::new(),
            cursor: 0,
            chosen: None,
        }
    }

    /// A look has ended.
    pub(super) fn show(&mut self, look: Look) {
        self.asked = None;
        self.look = Some(look);
        self.arrange();
    }

    /// An attempt to break a lock has ended so.
    pub(super) fn broke(&mut self, message: String) {
        self.breaking = None;
        self.message = Some(message);
    }

    pub(super) fn entries(&self) -> &[Entry] {
        self.look.as_ref().map_or(&[], |look| &look.entries)
    }

    /// The entries that pass the filter, in order.
    pub(super) fn rows(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.shown.iter().map(|number| &self.entries()[*number])
    }

    pub(super) fn cursor(&self) -> usize {
        self.cursor
    }

    pub(super) fn entry(&self, path: &Path) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.path == path)
    }

    /// The page holds so many rows, and the chosen one is among them.
    pub(super) fn set_page(&mut self, rows: usize) {
        self.page = rows.max(1);
        let last = self.shown.len().saturating_sub(self.page);
        self.top = self.top.min(self.cursor).max((self.cursor + 1).saturating_sub(self.page)).min(last);
    }

    pub(super) fn press(&mut self, key: KeyEvent) -> Action {
        self.message = None;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => return Action::Quit,
                KeyCode::Char('z') => return Action::Stop,
                KeyCode::Char('l') => return Action::Redraw,
                KeyCode::Char('u') if matches!(self.mode, Mode::Filter(_)) => self.set_filter(String::new()),
                _ => {}
            }
            return Action::Nothing;
        }
        match self.mode.clone() {
            Mode::Table => return self.press_in_table(key.code),
            Mode::Filter(before) => self.press_in_filter(key.code, before),
            Mode::Details(path, from) => return self.press_in_details(key.code, path, from),
            Mode::Question(order) => return self.answer(key.code, order),
            Mode::Help => self.mode = Mode::Table,
        }
        Action::Nothing
    }

    /// Text that was pasted is no keys: it may contain a b and a y.
    pub(super) fn paste(&mut self, text: &str) {
        if matches!(self.mode, Mode::Filter(_)) {
            let text: String = text.chars().filter(|c| !Printable::escapes(*c)).collect();
            self.set_filter(format!("{}{text}", self.filter));
        }
    }

    fn press_in_table(&mut self, code: KeyCode) -> Action {
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return Action::Quit,
            KeyCode::Char('?') => self.mode = Mode::Help,
            KeyCode::Char('/') => self.mode = Mode::Filter(self.filter.clone()),
            KeyCode::Char('s') => {
                self.sort = (self.sort + 1) % COLUMNS;
                self.arrange();
            }
            KeyCode::Char('r') => {
                self.is_reversed = !self.is_reversed;
                self.arrange();
            }
            KeyCode::Enter => {
                if let Some(path) = self.chosen.clone() {
                    self.mode = Mode::Details(path, 0);
                }
            }
            KeyCode::Char('b') => {
                if let Some(path) = self.chosen.clone() {
                    self.ask(&path);
                }
            }
            code => {
                let last = self.shown.len().saturating_sub(1);
                self.cursor = moved(code, self.cursor, self.page, last);
                self.choose();
            }
        }
        Action::Nothing
    }

    fn press_in_filter(&mut self, code: KeyCode, before: String) {
        match code {
            KeyCode::Enter => self.mode = Mode::Table,
            KeyCode::Esc => {
                self.mode = Mode::Table;
                self.set_filter(before);
            }
            KeyCode::Backspace => {
                let mut filter = self.filter.clone();
                filter.pop();
                self.set_filter(filter);
            }
            KeyCode::Char(c) if !Printable::escapes(c) => self.set_filter(format!("{}{c}", self.filter)),
            _ => {}
        }
    }

    fn press_in_details(&mut self, code: KeyCode, path: PathBuf, from: usize) -> Action {
        match code {
            KeyCode::Char('q') => return Action::Quit,
            KeyCode::Esc | KeyCode::Enter => self.mode = Mode::Table,
            KeyCode::Char('b') => self.ask(&path),
            // Whoever draws knows which line is the last.
            code => self.mode = Mode::Details(path, moved(code, from, self.page, usize::MAX)),
        }
        Action::Nothing
    }

    /// Only y is a yes.
    fn answer(&mut self, code: KeyCode, order: Order) -> Action {
        self.mode = Mode::Table;
        if !matches!(code, KeyCode::Char('y' | 'Y')) {
            self.message = Some(format!("{}: not broken", Printable::new(&order.path)));
            return Action::Nothing;
        }
        self.breaking = Some(order.path.clone());
        Action::Break(order)
    }

    /// Asks whether to break what this path shows now. What comes to it later is another lock.
    fn ask(&mut self, path: &Path) {
        let shown = Printable::new(path);
        let refusal = match (self.entry(path), &self.breaking) {
            (_, Some(other)) => format!("still breaking {}; wait for that first", Printable::new(other)),
            (None, _) => format!("{shown}: nothing to break: it is not listed any more"),
            (Some(Entry { state: "free", .. }), _) => format!("{shown}: nothing to break: it is free"),
            (Some(entry), _) if entry.claims.is_empty() => {
                format!("{shown}: its holder is not known, so it cannot be broken here; see linklock break --help")
            }
            (Some(entry), _) => {
                self.mode = Mode::Question(Order {
                    path: path.to_owned(),
                    claims: entry.claims.clone(),
                    holder: entry.holder(),
                    safe_to_break: entry.safe_to_break().to_owned(),
                });
                return;
            }
        };
        self.message = Some(refusal);
    }

    fn set_filter(&mut self, filter: String) {
        self.filter = filter;
        self.arrange();
    }

    /// Filters and sorts.
    fn arrange(&mut self) {
        let wanted = self.filter.to_lowercase();
        let entries = self.look.as_ref().map_or(&[][..], |look| &look.entries);
        let mut shown: Vec<_> = (0..entries.len()).filter(|n| entries[*n].searched.contains(&wanted)).collect();
        let key = |number: &usize| &entries[*number].keys[self.sort];
        // The sort is stable, so equal ones stay in the order of the listing.
        shown.sort_by(|a, b| compare(key(a), key(b), self.is_reversed));
        let place = shown.iter().position(|number| Some(&entries[*number].path) == self.chosen.as_ref());
        self.cursor = place.unwrap_or(self.cursor.min(shown.len().saturating_sub(1)));
        self.shown = shown;
        self.choose();
    }

    /// The row under the cursor is the chosen one.
    fn choose(&mut self) {
        let chosen = self.rows().nth(self.cursor).map(|entry| entry.path.clone());
        self.chosen = chosen;
        self.set_page(self.page);
    }
}

/// Where a key moves to.
fn moved(code: KeyCode, from: usize, page: usize, last: usize) -> usize {
    let to = match code {
        KeyCode::Up | KeyCode::Char('k') => from.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => from.saturating_add(1),
        KeyCode::PageUp => from.saturating_sub(page),
        KeyCode::PageDown => from.saturating_add(page),
        KeyCode::Home | KeyCode::Char('g') => 0,
        KeyCode::End | KeyCode::Char('G') => last,
        _ => from,
    };
    to.min(last)
}

/// What is not known comes last, also in reversed order.
fn compare(a: &Key, b: &Key, is_reversed: bool) -> Ordering {
    match (a, b) {
        (Key::Unknown, _) | (_, Key::Unknown) => a.cmp(b),
        _ if is_reversed => b.cmp(a),
        _ => a.cmp(b),
    }
}
