//! Consoles stop no process.

use std::io;

pub(crate) struct Stops;

impl Stops {
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn was_asked(&self) -> bool {
        false
    }

    pub(crate) fn has_continued(&self) -> bool {
        false
    }

    pub(crate) fn stop(&self, _whole_group: bool) {}
}
