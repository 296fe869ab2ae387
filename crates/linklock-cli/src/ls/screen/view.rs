//! Draws the model. It is the only place that knows where what stands on the screen.

use std::time::{Duration, SystemTime};

use linklock::Printable;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table, TableState};

use super::columns::{GAP, chosen};
use super::entry::{Detail, Entry, LOCK, STATE};
use super::model::{Mode, Model, Order};
use super::text::{fit, fit_end, width, wrap};
use crate::duration::short;
use crate::ls::age::whole;
use crate::ls::table::HEAD;

/// A look that takes longer is mentioned.
const SLOW: Duration = Duration::from_secs(1);

/// A state is always written too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    pub(super) has_colors: bool,
}

impl Paint {
    fn of_state(self, state: &str) -> Style {
        let color = match state {
            "free" => Color::Green,
            "held" => Color::Yellow,
            _ => Color::Red,
        };
        self.in_color(color)
    }

    fn in_color(self, color: Color) -> Style {
        if self.has_colors { Style::new().fg(color) } else { Style::new() }
    }
}

/// Draws all, and tells the model how many rows the screen has.
pub(super) fn draw(frame: &mut Frame<'_>, model: &mut Model, paint: Paint, now: SystemTime) {
    let [header, body, message, footer] =
        Layout::vertical([Constraint::Length(2), Constraint::Fill(1), Constraint::Length(1), Constraint::Length(1)])
            .areas(frame.area());
    draw_header(frame, model, header, now);
    draw_message(frame, model, paint, message);
    draw_footer(frame, model, footer);
    match model.mode.clone() {
        Mode::Help => draw_lines(frame, &help(body.width), body, 0),
        Mode::Details(path, from) => {
            model.page = usize::from(body.height).max(1);
            let lines = match model.entry(&path) {
                Some(entry) => details(&entry.details, body.width.into()),
                None => vec![format!("{} is not listed any more.", Printable::new(&path))],
            };
            let from = from.min(lines.len().saturating_sub(model.page));
            draw_lines(frame, &lines, body, from);
            model.mode = Mode::Details(path, from);
        }
        Mode::Table | Mode::Filter(_) => draw_table(frame, model, paint, body),
        Mode::Question(order) => {
            draw_table(frame, model, paint, body);
            draw_question(frame, &order, paint, body);
        }
    }
}

fn draw_header(frame: &mut Frame<'_>, model: &Model, area: Rect, now: SystemTime) {
    let [first, second] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
    let clock = |time| humantime::format_rfc3339_seconds(time).to_string();
    let waits =
        model.asked.and_then(|since| Some((since, now.duration_since(since).ok().filter(|time| *time >= SLOW)?)));
    let time = match (waits, &model.look) {
        (Some((since, waited)), _) => format!("no answer since {} ({})", clock(since), short(whole(waited))),
        (None, Some(look)) => clock(look.at),
        (None, None) => "looking".into(),
    };
    let room = usize::from(first.width).saturating_sub(width(&time) + GAP);
    let title = fit_end(&model.title, room);
    let line = format!("{title}{}{time}", " ".repeat(room + GAP - width(&title)));
    frame.render_widget(Line::styled(line, Modifier::BOLD), first);
    if model.look.is_some() {
        frame.render_widget(Line::raw(fit(&summary(model), second.width.into())), second);
    }
}

/// How many locks of each state there are, and which of them are shown in which order.
fn summary(model: &Model) -> String {
    const STATES: [&str; 6] = ["held", "expired", "abandoned", "free", "not-a-lock", "unreadable"];
    let all = model.entries();
    let count = |state: &str| all.iter().filter(|entry| entry.state == state).count();
    let counts = STATES.map(|state| (count(state), state)).into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<_> = counts.map(|(count, state)| format!("{count} {state}")).collect();
    let mut text = match (all.len(), &counts[..]) {
        (0, _) => "no locks".to_owned(),
        (1, _) => format!("1 lock: {}", counts.join(", ")),
        (locks, _) => format!("{locks} locks: {}", counts.join(", ")),
    };
    if !model.filter.is_empty() {
        text += &format!("; {} with {:?}", model.rows().len(), model.filter);
    }
    text += &format!("; by {}{}", HEAD[model.sort], if model.is_reversed { ", reversed" } else { "" });
    match model.look.as_ref().map_or(0, |look| look.leftovers) {
        0 => {}
        leftovers => text += &format!("; {leftovers} leftovers"),
    }
    text
}

/// What has just happened, or else what could not be looked at.
fn draw_message(frame: &mut Frame<'_>, model: &Model, paint: Paint, area: Rect) {
    let failures = model.look.as_ref().map_or(&[][..], |look| &look.failures);
    let text = match (&model.message, &model.breaking, failures) {
        (Some(message), _, _) => message.clone(),
        (None, Some(path), _) => format!("breaking {}", Printable::new(path)),
        (None, None, [first]) => format!("error: {first}"),
        (None, None, [first, more @ ..]) => format!("error: {first} (and {} more)", more.len()),
        (None, None, []) => return,
    };
    frame.render_widget(Line::styled(fit(&text, area.width.into()), paint.in_color(Color::Red)), area);
}

fn draw_footer(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let text = match &model.mode {
        Mode::Table => "q quit  ? help  / filter  s sort  r reverse  Enter details  b break",
        Mode::Details(..) => "q quit  Esc back  b break",
        Mode::Question(_) => "y break  any other key: do not break",
        Mode::Help => "any key: back",
        Mode::Filter(_) => {
            let typed = fit_end(&model.filter, usize::from(area.width).saturating_sub(2));
            frame.set_cursor_position((area.x + 1 + width(&typed) as u16, area.y));
            frame.render_widget(Line::raw(format!("/{typed}")), area);
            return;
        }
    };
    frame.render_widget(Line::styled(fit(text, area.width.into()), Modifier::DIM), area);
}

/// The row that is chosen begins with this.
const MARK: &str = "> ";

fn draw_table(frame: &mut Frame<'_>, model: &mut Model, paint: Paint, area: Rect) {
    // Without the head.
    model.set_page(usize::from(area.height).saturating_sub(1));
    let Some(look) = &model.look else { return };
    let room = usize::from(area.width).saturating_sub(MARK.len());
    let visible = model.rows().skip(model.top).take(model.page);
    // The widths are those of all rows, so that columns do not move while one scrolls.
    let columns = chosen(&look.widths, room);
    let head = columns.iter().map(|(column, width)| {
        let style = if *column == model.sort { Modifier::UNDERLINED } else { Modifier::empty() };
        Span::styled(fit(HEAD[*column], *width), style)
    });
    let rows = visible.map(|entry| Row::new(columns.iter().map(|(column, width)| cell(entry, *column, *width, paint))));
    let table = Table::new(rows, columns.iter().map(|(_, width)| Constraint::Length(*width as u16)))
        .header(Row::new(head).style(Modifier::BOLD))
        .column_spacing(GAP as u16)
        .highlight_symbol(MARK)
        .row_highlight_style(Modifier::REVERSED);
    let chosen = (model.rows().len() > 0).then(|| model.cursor() - model.top);
    frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(chosen));
}

fn cell<'a>(entry: &Entry, column: usize, width: usize, paint: Paint) -> Span<'a> {
    let text = &entry.cells[column];
    match column {
        LOCK => Span::raw(fit_end(text, width)),
        STATE => Span::styled(fit(text, width), paint.of_state(entry.state)),
        _ => Span::raw(fit(text, width)),
    }
}

fn draw_question(frame: &mut Frame<'_>, order: &Order, paint: Paint, area: Rect) {
    let room = usize::from(area.width).saturating_sub(4);
    let question = format!("break {}, held by {} (y/N)", Printable::new(&order.path), order.holder);
    let mut lines = wrap(&question, room);
    lines.push(String::new());
    lines.extend(wrap(&format!("safe to break: {}", order.safe_to_break), room));
    lines.extend(wrap("Claims to break, if they still hold the lock:", room));
    lines.extend(order.claims.iter().flat_map(|claim| wrap(&claim.to_string(), room)));
    let height = (lines.len() + 2).min(area.height.into()) as u16;
    // At the end of the rows, where the message comes too.
    let [_, place] = Layout::vertical([Constraint::Fill(1), Constraint::Length(height)]).areas(area);
    frame.render_widget(Clear, place);
    let block = Block::bordered().border_style(paint.in_color(Color::Red));
    let lines: Vec<_> = lines.into_iter().map(Line::raw).collect();
    frame.render_widget(Paragraph::new(lines).block(block), place);
}

fn draw_lines(frame: &mut Frame<'_>, lines: &[String], area: Rect, from: usize) {
    let lines: Vec<_> = lines.iter().skip(from).take(area.height.into()).map(|line| Line::raw(line.as_str())).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

/// A name, and its text in a column of its own.
fn details(details: &[Detail], room: usize) -> Vec<String> {
    let names = details.iter().map(|(name, _)| width(name)).max().unwrap_or(0) + GAP;
    let mut lines = Vec::new();
    for (name, text) in details {
        let wrapped = wrap(text, room.saturating_sub(names).max(1));
        lines.extend(wrapped.iter().enumerate().map(|(n, line)| {
            let name = if n == 0 { name } else { "" };
            format!("{name:names$}{line}")
        }));
    }
    lines
}

const HELP: [(&str, &str); 11] = [
    ("Up, Down, j, k", "choose another lock"),
    ("PgUp, PgDn, Home, End", "move by a page, or to the first or last lock"),
    ("s", "sort by the next column"),
    ("r", "reverse the order"),
    (
        "/",
        "show only locks whose path, state, holder or command contains a text. Enter keeps it, Esc restores the one before",
    ),
    ("Enter", "all that is known of the chosen lock, its readers and its waiters"),
    ("b", "break the chosen lock, after a question. A lock that has changed hands since it was shown is not broken"),
    ("Ctrl-L", "draw the screen anew"),
    ("Ctrl-Z", "stop linklock, as in a shell"),
    ("?", "this help"),
    ("q, Esc, Ctrl-C", "quit"),
];

fn help(room: u16) -> Vec<String> {
    details(&HELP.map(|(key, text)| (key, text.to_owned())), room.into())
}
