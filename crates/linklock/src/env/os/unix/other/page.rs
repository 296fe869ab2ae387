//! Memory that the kernel wipes at a fork.

use super::super::numbers::Own;

/// Not all of them have such memory.
pub(crate) fn wiped_at_fork() -> Option<&'static Own> {
    None
}
