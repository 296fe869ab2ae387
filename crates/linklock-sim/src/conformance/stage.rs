//! What a scenario is played on.

use std::cell::RefCell;
use std::time::Duration;

use super::client::{Checked, Client};

/// A name that is a sentence, and its steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(super) steps: Steps,
}

pub(super) type Steps = fn(&Stage<'_>) -> Checked;

/// Two clients in a directory that is new to both.
pub(super) struct Stage<'a> {
    pub(super) a: Client<'a>,
    pub(super) b: Client<'a>,
    pub(super) sleep: &'a dyn Fn(Duration),
    pub(super) noted: RefCell<Vec<&'static str>>,
}

impl Stage<'_> {
    /// Lets more time pass than the coarsest clock takes to tick: after it, what is changed has another ctime than before.
    pub(super) fn tick(&self) {
        (self.sleep)(Duration::from_millis(20));
    }

    /// Notes what was seen where more than one answer is right.
    pub(super) fn note(&self, seen: &'static str) {
        self.noted.borrow_mut().push(seen);
    }
}
