//! A scenario, and the two clients that it uses.

use std::cell::RefCell;
use std::time::Duration;

use super::client::{Checked, Client};

/// The name is a sentence: what the file server does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) steps: Steps,
}

pub(crate) type Steps = fn(&Stage<'_>) -> Checked;

/// Two clients in a directory that is new to both.
pub(crate) struct Stage<'a> {
    pub(crate) a: Client<'a>,
    pub(crate) b: Client<'a>,
    pub(crate) sleep: &'a dyn Fn(Duration),
    pub(crate) noted: RefCell<Vec<&'static str>>,
}

impl Stage<'_> {
    /// Waits longer than a tick of the coarsest clock, so that the next change gives another ctime.
    pub(crate) fn tick(&self) {
        (self.sleep)(Duration::from_millis(20));
    }

    /// Notes the answer where more than one is right.
    pub(crate) fn note(&self, seen: &'static str) {
        self.noted.borrow_mut().push(seen);
    }
}
