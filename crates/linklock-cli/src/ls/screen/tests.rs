//! The model and its drawing, without a terminal and without a disk.

use std::time::{Duration, SystemTime};

use linklock::Token;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;

use super::entry::{Entry, HOLDER, Key, LOCK, Look, STATE};
use super::model::{Action, Mode, Model};
use super::view::{Paint, draw};
use crate::ls::table::{COLUMNS, HEAD};

/// A lock by this name, of this state. Its claim is named after it and `hand`, whoever has it in hand.
fn entry(number: usize, name: &str, state: &'static str, hand: &str) -> Entry {
    let mut entry = Entry { path: format!("/d/{name}").into(), state, ..Entry::default() };
    entry.cells[LOCK] = name.into();
    entry.cells[STATE] = state.into();
    entry.keys[LOCK] = Key::Number(number as u128);
    entry.keys[STATE] = Key::Text(state.into());
    if !hand.is_empty() {
        entry.cells[HOLDER] = format!("process 1 on {hand}");
        entry.keys[HOLDER] = Key::Text(hand.into());
        entry.claims = vec![Token::new(format!("{name}|{hand}"))];
    }
    entry.searched = format!("/d/{name}\n{state}\nprocess 1 on {hand}").to_lowercase();
    entry.details = vec![("lock", format!("/d/{name}")), ("token", format!("{name}|{hand}"))];
    entry
}

fn look(entries: Vec<Entry>) -> Look {
    Look::of(SystemTime::UNIX_EPOCH, entries)
}

fn model(entries: Vec<Entry>) -> Model {
    let mut model = Model::new("linklock ls /d".into());
    model.show(look(entries));
    model.set_page(10);
    model
}

/// Three locks, of which `b` is free.
fn three() -> Model {
    model(vec![entry(0, "c", "held", "zeus"), entry(1, "a", "expired", "Ares"), entry(2, "b", "free", "")])
}

fn press(model: &mut Model, code: KeyCode) -> Action {
    model.press(KeyEvent::from(code))
}

/// Presses these keys, none of which asks for anything.
fn type_in(model: &mut Model, keys: &str) {
    for key in keys.chars() {
        let code = if key == '\n' { KeyCode::Enter } else { KeyCode::Char(key) };
        assert_eq!(press(model, code), Action::Nothing, "{key:?}");
    }
}

fn control(model: &mut Model, key: char) -> Action {
    model.press(KeyEvent::new(KeyCode::Char(key), KeyModifiers::CONTROL))
}

/// The names of the rows, with a star before the chosen one.
fn rows(model: &Model) -> Vec<String> {
    let star = |n: usize| if n == model.cursor() { "*" } else { "" };
    model.rows().enumerate().map(|(n, entry)| format!("{}{}", star(n), entry.cells[LOCK])).collect()
}

fn drawn(model: &mut Model, width: u16, height: u16, paint: Paint) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(60);
    terminal.draw(|frame| draw(frame, model, paint, now)).unwrap();
    terminal.backend().clone()
}

/// The lines of the screen.
fn screen(model: &mut Model, width: u16, height: u16) -> Vec<String> {
    let text = drawn(model, width, height, Paint { has_colors: false }).to_string();
    text.lines().map(|line| line.trim_matches('"').trim_end().to_owned()).collect()
}

#[test]
fn the_chosen_lock_stays_chosen_when_rows_move_and_its_neighbour_is_chosen_when_it_goes() {
    let mut model = three();
    type_in(&mut model, "j");
    assert_eq!(rows(&model), ["c", "*a", "b"]);
    model.show(look(vec![entry(0, "a", "held", "x"), entry(1, "b", "free", ""), entry(2, "c", "held", "x")]));
    assert_eq!(rows(&model), ["*a", "b", "c"]);
    model.show(look(vec![entry(0, "b", "free", ""), entry(1, "c", "held", "x")]));
    assert_eq!(rows(&model), ["*b", "c"]);
    model.show(look(vec![]));
    assert_eq!(rows(&model), [""; 0]);
    type_in(&mut model, "jkGb\n");
    assert_eq!(model.mode, Mode::Table, "there is nothing to choose");
}

#[test]
fn each_column_sorts_and_what_is_not_known_comes_last_in_both_directions() {
    let mut model = three();
    type_in(&mut model, "s");
    assert_eq!((HEAD[model.sort], rows(&model)), ("STATE", vec!["a".into(), "b".into(), "*c".into()]));
    type_in(&mut model, "s");
    assert_eq!((HEAD[model.sort], rows(&model)), ("HOLDER", vec!["a".into(), "*c".into(), "b".into()]));
    type_in(&mut model, "r");
    assert_eq!(rows(&model), ["*c", "a", "b"]);
    for _ in 0..COLUMNS - 2 {
        type_in(&mut model, "s");
    }
    assert_eq!((HEAD[model.sort], rows(&model)), ("LOCK", vec!["b".into(), "a".into(), "*c".into()]));
}

#[test]
fn a_filter_is_a_part_of_the_path_the_state_or_the_holder_whatever_the_case() {
    let mut model = three();
    for (text, found) in [("ARES", vec!["*a"]), ("/d/", vec!["*c", "a", "b"]), ("hel", vec!["*c"]), ("none", vec![])] {
        let before = model.filter.clone();
        model.paste("not typed");
        assert_eq!(model.filter, before);
        type_in(&mut model, "/");
        assert_eq!(control(&mut model, 'u'), Action::Nothing);
        type_in(&mut model, text);
        press(&mut model, KeyCode::Home);
        type_in(&mut model, "\n");
        press(&mut model, KeyCode::Home);
        assert_eq!(rows(&model), found, "{text}");
    }
    type_in(&mut model, "/");
    for _ in 0..9 {
        press(&mut model, KeyCode::Backspace);
    }
    assert_eq!(rows(&model).len(), 3);
    model.paste("Zeus\x1b[2J\n");
    assert_eq!((model.filter.as_str(), rows(&model).len()), ("Zeus[2J", 0));
    press(&mut model, KeyCode::Esc);
    assert_eq!((model.filter.as_str(), &model.mode), ("none", &Mode::Table), "the one before");
}

#[test]
fn a_break_is_of_the_claim_that_was_shown_when_it_was_asked_for_and_only_y_is_a_yes() {
    let mut model = three();
    type_in(&mut model, "b");
    let Mode::Question(asked) = model.mode.clone() else { panic!("{:?}", model.mode) };
    // It changes hands while the question is on the screen.
    model.show(look(vec![entry(0, "c", "held", "hera")]));
    assert_eq!(press(&mut model, KeyCode::Char('y')), Action::Break(asked.clone()));
    assert_eq!((asked.path.to_str(), asked.claims), (Some("/d/c"), vec![Token::new("c|zeus")]));

    type_in(&mut model, "b");
    assert!(model.message.as_ref().is_some_and(|message| message.contains("still breaking /d/c")), "{model:?}");
    model.broke("done".into());
    assert_eq!(model.message.as_deref(), Some("done"));
    for no in [KeyCode::Enter, KeyCode::Esc, KeyCode::Char('n'), KeyCode::Char(' '), KeyCode::Char('b')] {
        type_in(&mut model, "b");
        model.paste("y");
        assert!(matches!(&model.mode, Mode::Question(order) if order.claims == [Token::new("c|hera")]), "{model:?}");
        assert_eq!(press(&mut model, no), Action::Nothing);
        assert_eq!((&model.mode, model.message.as_deref()), (&Mode::Table, Some("/d/c: not broken")), "{no:?}");
    }
}

#[test]
fn what_nobody_is_known_to_hold_is_not_broken() {
    let mut model = model(vec![entry(0, "free", "free", ""), entry(1, "unknown", "held", "")]);
    for why in ["/d/free: nothing to break", "/d/unknown: its holder is not known"] {
        type_in(&mut model, "b");
        assert_eq!(model.mode, Mode::Table);
        assert!(model.message.as_ref().is_some_and(|message| message.starts_with(why)), "{model:?}");
        type_in(&mut model, "j");
        assert_eq!(model.message, None, "the next key removes it");
    }
}

#[test]
fn q_escape_and_control_c_quit_and_escape_only_closes_what_is_open() {
    for open in ["", "?", "/", "\n", "b"] {
        let mut model = three();
        type_in(&mut model, open);
        assert_eq!(control(&mut model, 'c'), Action::Quit, "{open:?}");
        let expected = if open.is_empty() { Action::Quit } else { Action::Nothing };
        assert_eq!(press(&mut model, KeyCode::Esc), expected, "{open:?}");
        assert_eq!(press(&mut model, KeyCode::Char('q')), Action::Quit, "{open:?}");
        assert_eq!((control(&mut model, 'z'), control(&mut model, 'l')), (Action::Stop, Action::Redraw));
    }
}

#[test]
fn the_chosen_row_is_on_the_screen_whatever_keys_come() {
    let mut model = model((0..1000).map(|n| entry(n, &format!("job.{n}"), "held", "x")).collect());
    let mut random = fastrand::Rng::with_seed(1);
    let keys = [KeyCode::Up, KeyCode::Down, KeyCode::PageUp, KeyCode::PageDown, KeyCode::Home, KeyCode::End];
    for _ in 0..2000 {
        press(&mut model, keys[random.usize(..keys.len())]);
        model.set_page(random.usize(..40));
        let (top, cursor) = (model.top, model.cursor());
        assert!(
            top <= cursor && cursor < top + model.page && top + model.page <= 1000,
            "{top} {cursor} {}",
            model.page
        );
    }
    press(&mut model, KeyCode::End);
    let shown = screen(&mut model, 80, 24);
    assert_eq!(&shown[22 - 1], "> job.999  held   process 1 on x", "{shown:#?}");
    assert_eq!(&shown[3], "  job.981  held   process 1 on x", "a page is full");
}

#[test]
fn the_screen_has_a_header_rows_and_keys() {
    let mut model = three();
    type_in(&mut model, "/d/\nsr");
    model.look.as_mut().unwrap().leftovers = 2;
    let shown = screen(&mut model, 100, 9);
    let header = format!("linklock ls /d{}1970-01-01T00:00:00Z", " ".repeat(66));
    assert_eq!(
        shown,
        [
            &*header,
            "3 locks: 1 held, 1 expired, 1 free; 3 with \"d/\"; by STATE, reversed; 2 leftovers",
            "  LOCK  STATE    HOLDER             COMMAND  USER  HELD  EXPIRES  PROTOCOL  WAITING  SAFE TO BREAK",
            "> c     held     process 1 on zeus",
            "  b     free",
            "  a     expired  process 1 on Ares",
            "",
            "",
            "q quit  ? help  / filter  s sort  r reverse  Enter details  b break",
        ]
    );
}

#[test]
fn a_look_that_takes_long_and_what_could_not_be_looked_at_are_shown() {
    let mut model = Model::new("x".into());
    assert_eq!(screen(&mut model, 20, 6)[0], "x            looking");
    model.show(Look { failures: vec!["one".into(), "two".into()], ..look(vec![]) });
    let shown = screen(&mut model, 40, 6);
    assert_eq!([&*shown[1], &*shown[4]], ["no locks; by LOCK", "error: one (and 1 more)"]);
    model.asked = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(55));
    assert!(screen(&mut model, 60, 6)[0].ends_with("  no answer since 1970-01-01T00:00:55Z (5s)"));
    model.asked = Some(SystemTime::UNIX_EPOCH + Duration::from_millis(59_500));
    assert!(screen(&mut model, 60, 6)[0].ends_with("  1970-01-01T00:00:00Z"), "it did not take long yet");
}

#[test]
fn details_follow_their_lock_and_end_with_their_last_line() {
    let mut model = three();
    model.look.as_mut().unwrap().entries[0].details = vec![("waiter", "y".into()); 30];
    type_in(&mut model, "\n");
    for _ in 0..50 {
        press(&mut model, KeyCode::Down);
    }
    let shown = screen(&mut model, 40, 14);
    assert!(shown[2..12].iter().all(|line| line == "waiter  y"), "{shown:#?}");
    press(&mut model, KeyCode::Up);
    assert!(matches!(model.mode, Mode::Details(_, 19)), "{:?}", model.mode);
    model.show(look(vec![entry(0, "other", "held", "x")]));
    assert_eq!(screen(&mut model, 40, 14)[2], "/d/c is not listed any more.");
    type_in(&mut model, "b");
    assert!(model.message.as_ref().is_some_and(|message| message.starts_with("/d/c: nothing to break")));
}

#[test]
fn the_question_names_the_path_the_holder_and_the_claim() {
    let mut model = three();
    type_in(&mut model, "b");
    let shown = screen(&mut model, 60, 20).join("\n");
    for text in ["│break /d/c, held by process 1 on zeus (y/N) ", "│c|zeus ", "y break "] {
        assert!(shown.contains(text), "{text:?} is not in {shown}");
    }
}

#[test]
fn states_have_colours_and_are_written_and_without_colours_there_are_none() {
    for has_colors in [false, true] {
        let mut model = three();
        model.broke("a message".into());
        let screen = drawn(&mut model, 80, 10, Paint { has_colors });
        let colors: Vec<_> = screen.buffer().content().iter().map(|cell| cell.fg).collect();
        assert_eq!(colors.iter().all(|color| *color == Color::Reset), !has_colors, "{colors:?}");
        for color in [Color::Yellow, Color::Green, Color::Red] {
            assert_eq!(colors.contains(&color), has_colors, "{color}");
        }
        assert!(["held", "expired", "free"].iter().all(|state| screen.to_string().contains(state)));
    }
}

#[test]
fn a_screen_of_any_size_can_be_drawn() {
    for (width, height) in
        [0, 1, 2, 3, 5, 8, 13, 30].into_iter().flat_map(|width| (0..8).map(move |height| (width, height)))
    {
        for keys in ["", "?", "/wide 漢字", "\n", "b"] {
            let mut model = three();
            model.look.as_mut().unwrap().failures.push("an error".into());
            type_in(&mut model, keys);
            drawn(&mut model, width, height, Paint { has_colors: true });
        }
    }
}
