//! A history: events put together to holds and operations, and judged.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, BufRead};

use crate::event::Event;
use crate::hold::Hold;
use crate::holds;
use crate::linear::{Operation, linearize};
use crate::register::{Answer, Call, Register, State};
use crate::verdict::{Broken, Tally};

/// What is known of a hold.
#[derive(Debug, Default)]
struct Record {
    /// Its end is the deadline that it was given.
    acquired: Option<Hold>,
    /// When its guard was asked for the last time, and the deadline then.
    kept: Option<(u64, u64)>,
    released: Option<u64>,
    lost: Option<u64>,
}

#[derive(Debug)]
struct Asked {
    operation: String,
    register: String,
    process: String,
    at: u64,
    fence: u64,
    write: Option<u64>,
}

/// Events, in any order.
#[derive(Debug, Default)]
pub struct History {
    records: HashMap<String, Record>,
    /// By process: before the kill, and after it was gone.
    killed: HashMap<String, (u64, u64)>,
    asked: Vec<Asked>,
    answered: HashMap<String, (u64, Option<u64>)>,
}

impl History {
    /// Adds the lines of a file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or a line is no event.
    pub fn read(&mut self, lines: impl BufRead) -> io::Result<()> {
        for (number, line) in lines.lines().enumerate() {
            let wrong = |e| io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {e}", number + 1));
            let event = serde_json::from_str(&line?).map_err(|e| wrong(e.to_string()))?;
            self.add(event).map_err(wrong)?;
        }
        Ok(())
    }

    /// Adds an event.
    ///
    /// # Errors
    ///
    /// It contradicts an earlier one.
    pub fn add(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Acquired { at, asked, until, lock, hold, process, shares, fence } => {
                let record = self.records.entry(hold.clone()).or_default();
                let new = Hold { lock, hold, process, shares, asked, since: at, until, fence };
                if let Some(old) = record.acquired.replace(new) {
                    return Err(format!("{} was acquired twice", old.hold));
                }
            }
            Event::Kept { at, until, hold } => {
                let kept = &mut self.records.entry(hold).or_default().kept;
                *kept = (*kept).max(Some((at, until)));
            }
            Event::Released { at, hold } => self.records.entry(hold).or_default().released = Some(at),
            Event::Lost { at, hold } => self.records.entry(hold).or_default().lost = Some(at),
            Event::Killed { at, gone, process } => {
                self.killed.insert(process, (at, gone));
            }
            Event::Asked { at, operation, register, process, fence, write } => {
                self.asked.push(Asked { operation, register, process, at, fence, write });
            }
            Event::Answered { at, operation, value } => {
                self.answered.insert(operation, (at, value));
            }
        }
        Ok(())
    }

    /// Judges all locks and registers.
    ///
    /// # Errors
    ///
    /// An event is missing.
    pub fn judge(mut self) -> Result<(Tally, Vec<Broken>), String> {
        let (mut tally, mut broken, mut all) = (Tally::default(), Vec::new(), Vec::new());
        for (hold, record) in std::mem::take(&mut self.records) {
            let mut one = record.acquired.ok_or_else(|| format!("{hold} ends, and was never acquired"))?;
            one.until = record.kept.map_or(one.until, |(_, until)| until);
            if let Some(at) = record.lost.filter(|at| *at < one.until) {
                broken.push(Broken::Lost(Box::new(one.clone()), at));
            }
            let killed = self.killed.get(&one.process).map(|(at, _)| *at);
            let end = [record.lost, record.released, killed].into_iter().flatten().fold(one.until, u64::min);
            tally.expired += usize::from(end == one.until && end > one.since);
            one.until = end;
            tally.killed += usize::from(killed == Some(end) && end > one.since);
            all.push(one);
        }
        broken.extend(holds::judge(&all));
        all.retain(|hold| hold.since < hold.until);
        tally.holds = all.len();
        tally.shared = all.iter().filter(|hold| hold.shares).count();
        tally.locks = all.iter().map(|hold| &hold.lock).collect::<BTreeSet<_>>().len();
        tally.operations = self.asked.len();
        tally.refused = self.answered.values().filter(|(_, value)| value.is_none()).count();
        broken.extend(self.judge_registers());
        Ok((tally, broken))
    }

    fn judge_registers(self) -> Vec<Broken> {
        let mut registers: BTreeMap<String, (Vec<Operation<Call>>, Vec<String>)> = BTreeMap::new();
        for Asked { operation, register, process, at, fence, write } in self.asked {
            let (operations, names) = registers.entry(register).or_default();
            let answered = self.answered.get(&operation);
            let gone = || self.killed.get(&process).map_or(u64::MAX, |(_, gone)| *gone);
            let answer = match answered {
                Some((_, Some(value))) => Answer::Value(*value),
                Some((_, None)) => Answer::Refused,
                None => Answer::Unknown,
            };
            operations.push(Operation {
                call: Call { fence, write, answer },
                asked: at,
                answered: answered.map_or_else(gone, |(at, _)| *at),
                has_returned: answered.is_some(),
            });
            names.push(operation);
        }
        let judge = |(register, (operations, names)): (String, (Vec<_>, Vec<String>))| {
            let why = linearize::<Register>(State::default(), &operations).err()?;
            let operation = names[why.operation()].clone();
            Some(Broken::Register { register, operation, why })
        };
        registers.into_iter().filter_map(judge).collect()
    }
}

#[cfg(test)]
mod tests;
