//! Adds up what the lines of the journals say of each lock. What it remembers has bounds, whatever the lines are.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use super::histogram::Histogram;
use super::window::{When, Window};
use crate::journal::line::{Event, Line, Who, Why};

/// The most locks and the most holders, of all locks together, that are told apart; and the most holds that have not ended. The rest of
/// them count together.
const LOCKS_MOST: usize = 1000;
const HOLDERS_MOST: usize = 1000;
const HOLDS_MOST: usize = 1 << 14;

/// Of the holds without an end, so many are shown, of all locks together.
const SHOWN_MOST: usize = 1000;

/// The name for what is too much to be told apart.
pub(super) const OTHERS: &str = "(others)";

/// What is known of one lock. Slots are one lock.
#[derive(Debug, Default)]
pub(super) struct Of {
    pub(super) acquired: u64,
    pub(super) waits: Histogram,
    /// Those whose length is known.
    pub(super) holds: Histogram,
    /// How many of them are measured by wall clocks.
    pub(super) by_wall_clock: u64,
    /// Ended, but how long they were is not known.
    pub(super) unknown_holds: u64,
    pub(super) expired: u64,
    pub(super) abandoned: u64,
    pub(super) forced: u64,
    pub(super) losses: u64,
    pub(super) timeouts: u64,
    pub(super) cancelled: u64,
    pub(super) refused: u64,
    pub(super) refresh_failures: u64,
    pub(super) release_failures: u64,
    pub(super) unended: u64,
    pub(super) unended_shown: Vec<Unended>,
    pub(super) holders: BTreeMap<Holder, Held>,
}

/// Who holds locks.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holder {
    pub(super) host: Option<String>,
    pub(super) user: Option<String>,
}

/// How often and for how long somebody held a lock.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) count: u64,
    pub(super) total: u64,
    pub(super) max: u64,
}

/// A hold whose end no line tells.
#[derive(Debug)]
pub(super) struct Unended {
    pub(super) token: String,
    pub(super) since: Option<String>,
    pub(super) who: Who,
}

/// A hold of which not all is known yet. Its lines may come in any order, from several journals.
#[derive(Debug)]
struct Hold {
    lock: String,
    acquired: Option<(Option<String>, Who)>,
    broken: Option<Option<String>>,
    ended: Option<Option<String>>,
    /// Which came first is the first to go.
    number: u64,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    window: Window,
    pub(super) locks: BTreeMap<String, Of>,
    /// By token.
    holds: HashMap<String, Hold>,
    /// The tokens by number.
    order: BTreeMap<u64, String>,
    holders: usize,
    /// How many holds without an end are shown.
    shown: usize,
    number: u64,
    /// Whether there was too much to tell apart.
    pub(super) is_too_much: bool,
}

impl Tally {
    pub(super) fn of(window: Window) -> Self {
        Self { window, ..Self::default() }
    }

    pub(super) fn add(&mut self, line: Line) {
        let lock = base(&line);
        match self.window.when(line.time.as_deref()) {
            When::Within => self.count(lock, line),
            // A hold that began then may end later.
            When::Before => match line.event {
                Event::Acquired => self.begun(lock, line),
                Event::Released | Event::Lost | Event::ReleaseFailed => self.ended(lock, line),
                Event::Broken => self.broken(lock, line),
                _ => {}
            },
            When::After | When::NotKnown => {}
        }
    }

    fn count(&mut self, lock: String, line: Line) {
        let of = self.of_lock(&lock);
        match line.event {
            Event::Acquired => {
                of.acquired += 1;
                line.waited_ms.into_iter().for_each(|ms| of.waits.add(ms));
                self.begun(lock, line);
            }
            Event::Released => self.ended(lock, line),
            Event::Lost => {
                of.losses += 1;
                self.ended(lock, line);
            }
            Event::ReleaseFailed => {
                of.release_failures += 1;
                self.ended(lock, line);
            }
            Event::Broken => {
                match line.why {
                    Some(Why::Expired) => of.expired += 1,
                    Some(Why::Abandoned) => of.abandoned += 1,
                    _ => of.forced += 1,
                }
                self.broken(lock, line);
            }
            Event::TimedOut => of.timeouts += 1,
            Event::Cancelled => of.cancelled += 1,
            Event::Refused => of.refused += 1,
            Event::RefreshFailed => of.refresh_failures += 1,
            Event::Unknown => {}
        }
    }

    /// There are no more lines.
    pub(super) fn finish(&mut self) {
        while let Some((_, token)) = self.order.pop_first() {
            self.conclude(token);
        }
    }

    fn of_lock(&mut self, lock: &str) -> &mut Of {
        let is_known = self.locks.contains_key(lock) || self.locks.len() < LOCKS_MOST;
        self.is_too_much |= !is_known;
        self.locks.entry(if is_known { lock } else { OTHERS }.into()).or_default()
    }

    /// The hold of this token, which this line tells something about.
    fn hold(&mut self, lock: String, token: String, learn: impl FnOnce(&mut Hold)) {
        self.number += 1;
        let number = self.number;
        let new = || Hold { lock, acquired: None, broken: None, ended: None, number };
        let hold = self.holds.entry(token.clone()).or_insert_with(new);
        learn(hold);
        if hold.acquired.is_some() && hold.ended.is_some() {
            let number = hold.number;
            self.order.remove(&number);
            self.conclude(token);
        } else if hold.number == number {
            self.order.insert(number, token);
        }
        if self.holds.len() > HOLDS_MOST
            && let Some((_, first)) = self.order.pop_first()
        {
            self.is_too_much = true;
            self.conclude(first);
        }
    }

    fn begun(&mut self, lock: String, line: Line) {
        if let Some(token) = line.token {
            self.hold(lock, token, |hold| hold.acquired = Some((line.time, line.who)));
        }
    }

    fn broken(&mut self, lock: String, line: Line) {
        if let Some(broken) = line.broken {
            self.hold(lock, broken.token, |hold| hold.broken = Some(line.time));
        }
    }

    fn ended(&mut self, lock: String, line: Line) {
        let Some(token) = line.token else { return };
        let Some(ms) = line.held_ms else {
            return self.hold(lock, token, |hold| hold.ended = Some(line.time));
        };
        // Who ends it says it all.
        if let Some(hold) = self.holds.remove(&token) {
            self.order.remove(&hold.number);
        }
        if self.window.when(line.time.as_deref()) == When::Within {
            self.held(&lock, &line.who, ms);
        }
    }

    fn held(&mut self, lock: &str, who: &Who, ms: u64) {
        let holders = self.holders;
        let of = self.of_lock(lock);
        of.holds.add(ms);
        let mut holder = Holder { host: who.host.clone(), user: who.user.clone() };
        let is_new = !of.holders.contains_key(&holder);
        if is_new && holders >= HOLDERS_MOST {
            holder = Holder { host: Some(OTHERS.into()), user: None };
        }
        let held = of.holders.entry(holder).or_default();
        held.count += 1;
        held.total = held.total.saturating_add(ms);
        held.max = held.max.max(ms);
        self.is_too_much |= is_new && holders >= HOLDERS_MOST;
        self.holders += usize::from(is_new && holders < HOLDERS_MOST);
    }

    /// Nothing more is to be learnt of this hold.
    fn conclude(&mut self, token: String) {
        let Some(Hold { lock, acquired, broken, ended, .. }) = self.holds.remove(&token) else { return };
        let end = ended.as_ref().or(broken.as_ref());
        if end.is_some_and(|end| self.window.when(end.as_deref()) != When::Within) {
            return;
        }
        let Some((since, who)) = acquired else {
            if ended.is_some() {
                self.of_lock(&lock).unknown_holds += 1;
            }
            // A break alone was counted when it happened.
            return;
        };
        let Some(end) = ended.or(broken) else {
            let is_shown = self.shown < SHOWN_MOST;
            self.shown += usize::from(is_shown);
            let of = self.of_lock(&lock);
            of.unended += 1;
            if is_shown {
                of.unended_shown.push(Unended { token, since, who });
            }
            return;
        };
        match between(since.as_deref(), end.as_deref()) {
            Some(ms) => {
                self.of_lock(&lock).by_wall_clock += 1;
                self.held(&lock, &who, ms);
            }
            None => self.of_lock(&lock).unknown_holds += 1,
        }
    }
}

/// The lock path that the slots share.
fn base(line: &Line) -> String {
    let suffix = line.slot.map(|slot| format!(".{slot}")).unwrap_or_default();
    line.lock.strip_suffix(&suffix).unwrap_or(&line.lock).into()
}

/// `None` if a clock was set back meanwhile, or a time is missing.
fn between(begin: Option<&str>, end: Option<&str>) -> Option<u64> {
    let parsed = |time: Option<&str>| -> Option<SystemTime> { humantime::parse_rfc3339(time?).ok() };
    let passed = parsed(end)?.duration_since(parsed(begin)?).ok()?;
    u64::try_from(passed.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        for line in lines {
            tally.add(serde_json::from_str(line).unwrap());
        }
        tally.finish();
        assert!(tally.holds.is_empty() && tally.order.is_empty());
        tally
    }

    const ACQUIRED: &str = r#"{"version":1,"time":"2026-01-01T00:00:00.000Z","event":"acquired","lock":"/l","token":"t","waited_ms":5,"host":"a","user":"u"}"#;
    const RELEASED: &str = r#"{"version":1,"time":"2026-01-01T00:00:09.000Z","event":"released","lock":"/l","token":"t","host":"a","user":"u"}"#;
    const BROKEN: &str = r#"{"version":1,"time":"2026-01-01T00:00:04.000Z","event":"broken","lock":"/l","why":"expired","broken":{"token":"t","host":"a","pid":1}}"#;
    const LOST: &str = r#"{"version":1,"time":"2026-01-01T00:00:06.000Z","event":"lost","lock":"/l","token":"t","held_ms":7000,"why":"broken","host":"a","user":"u"}"#;

    #[test]
    fn a_hold_that_another_process_ends_is_measured_by_wall_clocks_in_any_order_of_its_lines() {
        for lines in [[ACQUIRED, RELEASED], [RELEASED, ACQUIRED]] {
            let tally = tally(&lines);
            let of = &tally.locks["/l"];
            assert_eq!((of.holds.total(), of.by_wall_clock, of.unended, of.unknown_holds), (9000, 1, 0, 0));
            assert_eq!(of.holders.values().next().unwrap().total, 9000);
        }
        let back = tally(&[ACQUIRED, &RELEASED.replace("2026", "2025")]);
        assert_eq!((back.locks["/l"].unknown_holds, back.locks["/l"].holds.count()), (1, 0), "a clock was set back");
    }

    #[test]
    fn a_hold_that_was_broken_ends_with_its_holders_line_or_with_the_break() {
        let broken = tally(&[ACQUIRED, BROKEN]);
        let of = &broken.locks["/l"];
        assert_eq!((of.holds.total(), of.by_wall_clock, of.expired, of.unended), (4000, 1, 1, 0));
        for lines in [[ACQUIRED, BROKEN, LOST], [ACQUIRED, LOST, BROKEN]] {
            let tally = tally(&lines);
            let of = &tally.locks["/l"];
            assert_eq!((of.holds.total(), of.by_wall_clock, of.losses, of.unended), (7000, 0, 1, 0));
        }
    }

    #[test]
    fn a_hold_without_an_end_is_none_of_known_length() {
        let tally = tally(&[ACQUIRED]);
        let of = &tally.locks["/l"];
        assert_eq!((of.acquired, of.unended, of.holds.count(), of.waits.max()), (1, 1, 0, Some(5)));
        assert_eq!(of.unended_shown[0].token, "t");
    }

    /// The counts are of what happened then; a hold counts with its whole length if it ended then.
    #[test]
    fn a_window_counts_what_happened_in_it_and_the_holds_that_ended_in_it() {
        let at = |second: u32| humantime::parse_rfc3339(&format!("2026-01-01T00:00:{second:02}Z")).ok();
        let of = |since, until, lines: &[&str]| {
            let mut tally = Tally::of(Window { since, until });
            lines.iter().for_each(|line| tally.add(serde_json::from_str(line).unwrap()));
            tally.finish();
            tally.locks.remove("/l").map(|of| [of.acquired, of.holds.total(), of.unended, of.unknown_holds, of.expired])
        };
        // Begun at 0, released at 9 by another process.
        for lines in [[ACQUIRED, RELEASED], [RELEASED, ACQUIRED]] {
            assert_eq!(of(at(5), None, &lines), Some([0, 9000, 0, 0, 0]), "it ended within");
            assert_eq!(of(at(10), None, &lines), None, "it ended before");
            assert_eq!(of(None, at(5), &lines), Some([1, 0, 1, 0, 0]), "it had no end yet");
            assert_eq!(of(at(1), at(5), &lines), Some([0, 0, 1, 0, 0]), "it was held all the time");
            assert_eq!(of(None, at(0), &lines), None, "nothing had happened");
        }
        // Broken at 4, and its holder notices at 6.
        assert_eq!(of(at(1), at(5), &[ACQUIRED, BROKEN]), Some([0, 4000, 0, 0, 1]));
        assert_eq!(of(at(5), None, &[ACQUIRED, BROKEN]), None);
        assert_eq!(of(at(5), None, &[ACQUIRED, BROKEN, LOST]), Some([0, 7000, 0, 0, 0]));
        assert_eq!(of(at(7), None, &[ACQUIRED, BROKEN, LOST]), None);
        assert_eq!(
            of(at(1), None, &[&ACQUIRED.replace("\"2026-01-01T00:00:00.000Z\"", "null")]),
            None,
            "nobody knows when"
        );
    }

    #[test]
    fn slots_are_one_lock() {
        let of_slot = |n: u32| {
            ACQUIRED.replace("\"/l\"", &format!("\"/l.{n}\",\"slot\":{n}")).replace("\"t\"", &format!("\"{n}\""))
        };
        let tally = tally(&[&of_slot(1), &of_slot(12)]);
        assert_eq!(tally.locks.keys().collect::<Vec<_>>(), ["/l"]);
        assert_eq!(tally.locks["/l"].acquired, 2);
    }

    /// A journal that was forged, or only grew large, takes no more memory than one of so many locks, holders and holds.
    #[test]
    fn what_is_remembered_has_bounds() {
        let mut tally = Tally::default();
        for n in 0..HOLDS_MOST as u64 + 5000 {
            let mut line: Line = serde_json::from_str(ACQUIRED).unwrap();
            (line.lock, line.token) = (format!("/{n}"), Some(n.to_string()));
            tally.add(line.clone());
            (line.lock, line.token, line.event, line.held_ms) = ("/l".into(), None, Event::Released, Some(1));
            (line.token, line.who.host) = (Some(format!("other {n}")), Some(format!("host {n}")));
            tally.add(line);
            assert!(tally.holds.len() <= HOLDS_MOST && tally.order.len() == tally.holds.len());
        }
        assert_eq!(tally.locks.len(), LOCKS_MOST + 1);
        assert!(tally.is_too_much);
        let holders: usize = tally.locks.values().map(|of| of.holders.len()).sum();
        assert_eq!(holders, HOLDERS_MOST + 1);
        tally.finish();
        let unended: u64 = tally.locks.values().map(|of| of.unended).sum();
        assert_eq!(unended, HOLDS_MOST as u64 + 5000, "none is forgotten");
    }
}
