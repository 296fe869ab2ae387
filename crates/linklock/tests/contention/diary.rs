//! When each process believed to hold the lock, and a checker that finds two who believed it at once.
//!
//! A record is written by one call of 32 bytes within one page, so even a killed process leaves whole records.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use linklock::Guard;

use crate::system::{now, write_at};

const RECORD: usize = 32;

/// What a process is doing, for the driver that may stop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Doing {
    Acquiring = 1,
    Holding = 2,
    Releasing = 3,
}

/// A time in which a process believed to hold the lock, from the first to the last moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) pid: u32,
    pub(crate) number: u32,
    /// Of the lock's slots; 0 if it has none.
    pub(crate) slot: usize,
    pub(crate) first: Duration,
    pub(crate) last: Duration,
}

/// The file in which one process writes its holds. The first record says what the process is doing.
pub(crate) struct Diary {
    file: File,
    holds: u32,
    slot: usize,
    first: Option<Duration>,
}

impl Diary {
    pub(crate) fn create(path: &Path) -> Self {
        let diary = Self { file: File::create_new(path).unwrap(), holds: 0, slot: 0, first: None };
        diary.doing(Doing::Acquiring);
        diary
    }

    pub(crate) fn doing(&self, what: Doing) {
        write_at(&self.file, &(what as u64).to_ne_bytes(), 0);
    }

    /// A new hold begins. It counts once a first moment is noted.
    pub(crate) fn begin(&mut self, slot: usize) {
        self.holds += 1;
        (self.slot, self.first) = (slot, None);
        self.doing(Doing::Holding);
    }

    /// Notes again and again that the lock is held, until `until` or until it is lost. The clock is read before the guard is
    /// asked, so that a pause in between adds no false belief.
    pub(crate) fn believe(&mut self, guard: &Guard, until: Duration) -> bool {
        loop {
            let at = now();
            if guard.is_lost() {
                return false;
            }
            self.note(at);
            if at >= until {
                return true;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    fn note(&mut self, at: Duration) {
        let first = *self.first.get_or_insert(at);
        let mut record = [0; RECORD];
        let words = [u64::from(self.holds), first.as_nanos() as u64, at.as_nanos() as u64, self.slot as u64];
        for (place, word) in record.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        write_at(&self.file, &record, u64::from(self.holds) * RECORD as u64);
    }
}

/// What the process that writes this diary is doing; `None` before it has begun.
pub(crate) fn doing(path: &Path) -> Option<Doing> {
    let content = fs::read(path).ok()?;
    let word = u64::from_ne_bytes(content.get(..8)?.try_into().unwrap());
    [Doing::Acquiring, Doing::Holding, Doing::Releasing].into_iter().find(|d| *d as u64 == word)
}

/// The holds that process `pid` wrote down.
pub(crate) fn read(path: &Path, pid: u32) -> Vec<Hold> {
    let content = fs::read(path).unwrap_or_default();
    let to_hold = |record: &[u8]| {
        let word = |i: usize| u64::from_ne_bytes(record[8 * i..][..8].try_into().unwrap());
        let (first, last) = (Duration::from_nanos(word(1)), Duration::from_nanos(word(2)));
        // An acquisition without a noted moment leaves a gap.
        (word(0) != 0).then_some(Hold { pid, number: word(0) as u32, slot: word(3) as usize, first, last })
    };
    content.chunks_exact(RECORD).skip(1).filter_map(to_hold).collect()
}

/// Two holds of one slot with a moment in common, if there are any.
pub(crate) fn overlap(holds: &[Hold]) -> Option<(Hold, Hold)> {
    let mut holds = holds.to_vec();
    holds.sort_by_key(|hold| hold.first);
    let mut longest: BTreeMap<usize, Hold> = BTreeMap::new();
    for hold in holds {
        // Without an overlap so far, the latest of a slot to begin is the latest to end.
        if let Some(before) = longest.insert(hold.slot, hold).filter(|before| hold.first <= before.last) {
            return Some((before, hold));
        }
    }
    None
}

/// Writes the holds for the judge, crates/linklock-history, if TURMOIL_HISTORIES names a directory. The last moment of a hold still
/// belongs to it.
pub(crate) fn leave_to_the_judge(holds: &[Hold], name: &str) {
    let Some(directory) = std::env::var_os("TURMOIL_HISTORIES") else { return };
    let line = |hold: &Hold| {
        let (pid, first, last) = (hold.pid, hold.first.as_nanos() as u64, hold.last.as_nanos() as u64);
        let (token, process, lock) = (format!("{pid}-{}", hold.number), pid.to_string(), hold.slot.to_string());
        let held = serde_json::json!({
            "is": "acquired", "lock": lock, "hold": token, "process": process, "asked": first, "at": first, "until": last + 1,
        });
        format!("{held}\n")
    };
    let lines: String = holds.iter().map(line).collect();
    fs::write(Path::new(&directory).join(name), lines).unwrap();
}

/// The longest time from `start` to `end` in which nobody acquired the lock, and when it began.
pub(crate) fn longest_wait(holds: &[Hold], start: Duration, end: Duration) -> (Duration, Duration) {
    let mut moments: Vec<Duration> = holds.iter().map(|hold| hold.first).chain([start, end]).collect();
    moments.sort();
    let waits = moments.windows(2).map(|pair| (pair[1] - pair[0], pair[0]));
    waits.max().unwrap_or_default()
}

mod tests {
    use super::*;

    fn hold(pid: u32, first: u64, last: u64) -> Hold {
        Hold { pid, number: 1, slot: 0, first: Duration::from_millis(first), last: Duration::from_millis(last) }
    }

    #[test]
    fn the_checker_finds_holds_that_overlap() {
        let (long, inside) = (hold(1, 10, 90), hold(2, 40, 50));
        assert_eq!(overlap(&[inside, hold(3, 91, 95), long]), Some((long, inside)), "one inside the other");
        let (early, late) = (hold(1, 10, 30), hold(2, 30, 50));
        assert_eq!(overlap(&[late, early]), Some((early, late)), "one moment in common");
        let other = Hold { slot: 1, ..late };
        assert_eq!(overlap(&[other, early]), None, "of two slots");
        assert_eq!(overlap(&[long, other, inside]), Some((long, inside)), "with another slot's in between");
    }

    #[test]
    fn the_checker_lets_holds_in_turn_pass() {
        assert_eq!(overlap(&[]), None);
        assert_eq!(overlap(&[hold(1, 31, 50), hold(2, 10, 30), hold(1, 51, 51)]), None);
    }

    #[test]
    fn the_checker_finds_a_lock_that_nobody_gets() {
        let ms = Duration::from_millis;
        let holds = [hold(1, 300, 400), hold(2, 100, 250)];
        assert_eq!(longest_wait(&holds, ms(0), ms(400)), (ms(200), ms(100)), "between two holds");
        assert_eq!(longest_wait(&holds, ms(0), ms(900)), (ms(600), ms(300)), "at the end");
        assert_eq!(longest_wait(&[], ms(10), ms(70)), (ms(60), ms(10)), "all the time");
    }

    #[test]
    fn a_diary_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("diary");
        let mut diary = Diary::create(&path);
        assert_eq!(doing(&path), Some(Doing::Acquiring));
        let ms = Duration::from_millis;
        diary.begin(0);
        diary.note(ms(1));
        diary.note(ms(5));
        // The process is killed before it notes a moment of the second hold.
        diary.begin(0);
        diary.begin(2);
        diary.note(ms(7));
        diary.note(ms(8));
        diary.doing(Doing::Releasing);
        let expected = [(1, 0, 1, 5), (3, 2, 7, 8)];
        let expected =
            expected.map(|(number, slot, first, last)| Hold { pid: 9, number, slot, first: ms(first), last: ms(last) });
        assert_eq!(read(&path, 9), expected);
        assert_eq!(doing(&path), Some(Doing::Releasing));
    }
}
