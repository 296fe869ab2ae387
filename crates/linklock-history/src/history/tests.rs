use super::*;
use crate::linear::Stuck;

fn judge(lines: &[&str]) -> (Tally, Vec<Broken>) {
    let mut history = History::default();
    // Each with its quotes.
    history.read(lines.join("\n").replace('\'', "\"").as_bytes()).expect("a history");
    history.judge().expect("a whole history")
}

fn acquired(hold: &str, at: u64, until: u64) -> String {
    let asked = at - 1;
    format!(
        "{{'is':'acquired','lock':'lock','hold':'{hold}','process':'p{hold}','asked':{asked},'at':{at},'until':{until}}}"
    )
}

#[test]
fn a_hold_ends_at_release_deadline_or_kill_and_a_refresh_moves_the_deadline_on() {
    let (a, b) = (acquired("a", 10, 100), acquired("b", 50, 60));
    let ends: [&[&str]; 3] = [
        &["{'is':'released','hold':'a','at':50}"],
        &["{'is':'killed','process':'pa','at':50,'gone':52}"],
        &["{'is':'kept','hold':'a','at':12,'until':50}"],
    ];
    for end in ends {
        assert_eq!(judge(&[&[&*b, &*a], end].concat()).1, [], "{end:?}");
    }
    assert_eq!(judge(&[&acquired("a", 10, 50), &b]).1, [], "its deadline is over");
    let late = "{'is':'released','hold':'a','at':51}";
    assert!(matches!(&judge(&[&a, &b, late]).1[..], [Broken::Overlap(_)]));
    let kept = "{'is':'kept','hold':'a','at':49,'until':70}";
    assert!(matches!(&judge(&[&acquired("a", 10, 50), kept, &b]).1[..], [Broken::Overlap(_)]));
}

#[test]
fn a_lock_that_is_lost_before_its_deadline_is_caught() {
    let a = acquired("a", 10, 100);
    assert_eq!(judge(&[&a, "{'is':'lost','hold':'a','at':100}"]).1, []);
    assert!(matches!(&judge(&[&a, "{'is':'lost','hold':'a','at':99}"]).1[..], [Broken::Lost(_, 99)]));
}

#[test]
fn the_tally_counts_what_was_judged() {
    let (a, b, c, d) = (acquired("a", 10, 20), acquired("b", 30, 90), acquired("c", 50, 60), acquired("d", 70, 70));
    let (tally, broken) = judge(&[&a, &b, &c, &d, "{'is':'killed','process':'pb','at':40,'gone':41}"]);
    assert_eq!(broken, []);
    assert_eq!(tally, Tally { locks: 1, holds: 3, killed: 1, expired: 2, ..Tally::default() }, "{tally}");
}

/// An operation on the register: name, fencing token, what it writes (0 to read), the call's time, the return's, the answer.
fn operation(name: &str, fence: u64, write: u64, at: u64, answered: u64, value: Option<u64>) -> String {
    let write = if write == 0 { "null".into() } else { write.to_string() };
    let value = value.map_or("null".into(), |value| value.to_string());
    format!(
        "{{'is':'asked','operation':'{name}','register':'r','process':'p{name}','fence':{fence},'write':{write},'at':{at}}}\n\
         {{'is':'answered','operation':'{name}','value':{value},'at':{answered}}}"
    )
}

fn no_order(lines: &[&str]) -> Option<String> {
    match &judge(lines).1[..] {
        [] => None,
        [Broken::Register { operation, why: Stuck::NoOrder(_), .. }] => Some(operation.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_register_that_refuses_stale_tokens_passes_and_a_stale_write_is_caught() {
    let first = operation("a", 1, 5, 10, 11, Some(5));
    let read = operation("b", 2, 0, 20, 21, Some(5));
    let stale = operation("c", 1, 6, 30, 31, None);
    let after = operation("d", 2, 7, 40, 41, Some(7));
    assert_eq!(no_order(&[&first, &read, &stale, &after]), None);
    let accepted = operation("c", 1, 6, 30, 31, Some(6));
    assert_eq!(no_order(&[&first, &read, &accepted, &after]).as_deref(), Some("c"), "a stale write was carried out");
    let slow = operation("c", 1, 6, 15, 31, Some(6));
    let sees = operation("b", 2, 0, 20, 21, Some(6));
    assert_eq!(no_order(&[&first, &slow, &sees, &after]), None, "it was carried out before the read");
    assert_eq!(no_order(&[&first, &slow, &read, &after]).as_deref(), Some("c"), "it cannot have been before the read");
    let refused = operation("d", 2, 7, 40, 41, None);
    assert_eq!(no_order(&[&first, &read, &refused]).as_deref(), Some("d"), "no greater token was seen");
}

#[test]
fn a_killed_process_wrote_before_it_was_gone_or_never() {
    let killed = |gone| format!("{{'is':'killed','process':'pc','at':15,'gone':{gone}}}");
    let asked = "{'is':'asked','operation':'c','register':'r','process':'pc','fence':1,'write':6,'at':12}";
    let read = |value| operation("d", 1, 0, 30, 31, Some(value));
    assert_eq!(no_order(&[asked, &killed(20), &read(6)]), None);
    assert_eq!(no_order(&[asked, &killed(20), &read(0)]), None);
    let (before, later) = (operation("d", 1, 0, 21, 22, Some(0)), operation("e", 1, 0, 30, 31, Some(6)));
    assert_eq!(no_order(&[asked, &killed(25), &before, &later]), None);
    assert_eq!(no_order(&[asked, &killed(20), &before, &later]).as_deref(), Some("e"), "it wrote after its end");
}

#[test]
fn what_is_no_history_is_refused() {
    let mut history = History::default();
    assert!(history.read("{\"is\":\"acquired\"}".as_bytes()).is_err());
    assert!(history.read("{".as_bytes()).is_err());
    history.read("{\"is\":\"released\",\"hold\":\"a\",\"at\":1}".as_bytes()).expect("an event");
    assert!(history.judge().is_err(), "its acquisition is missing");
}

#[test]
fn a_long_history_is_judged_in_one_pass() {
    let mut history = History::default();
    for number in 0..100_000_u64 {
        let at = number * 10 + 5;
        history.read(acquired(&number.to_string(), at, at + 10).replace('\'', "\"").as_bytes()).expect("an event");
        let lines = operation(&number.to_string(), number + 1, number + 1, at + 1, at + 3, Some(number + 1));
        history.read(lines.replace('\'', "\"").as_bytes()).expect("events");
    }
    let (tally, broken) = history.judge().expect("a whole history");
    assert_eq!((broken, tally.holds, tally.operations), (vec![], 100_000, 100_000));
}
