//! A scenario, and the two clients that it uses.

use std::cell::RefCell;
use std::time::Duration;

use super::client::{Checked, Client};

/// The name is a sentence: what the file server does.
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
    /// Waits longer than a tick of the coarsest clock, so that the next change gives another ctime.
    pub(super) fn tick(&self) {
        (self.sleep)(Duration::from_millis(20));
    }

    /// Notes the answer where more than one is right.
    pub(super) fn note(&self, seen: &'static str) {
        self.noted.borrow_mut().push(seen);
    }
}
