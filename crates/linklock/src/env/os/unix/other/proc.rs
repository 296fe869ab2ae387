//! What is known of processes: nothing.

/// Without a word from the system, no process is known.
pub(crate) enum Proc {}

impl Proc {
    pub(crate) fn open() -> Option<Self> {
        None
    }

    pub(crate) fn is_ours(&self) -> bool {
        match *self {}
    }

    pub(crate) fn boot_and_namespaces(&self) -> Option<Vec<u8>> {
        match *self {}
    }

    pub(crate) fn stat(&self, _: u32) -> Option<ProcessStat> {
        match *self {}
    }
}

pub(crate) struct ProcessStat {
    pub(crate) start: u64,
    pub(crate) ended: bool,
}

pub(crate) fn command(_: u32) -> Option<String> {
    None
}
