//! What signals ask for, and whom they reach. All systems' arms have these.

/// What signals want of linklock and COMMAND.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// To end: somebody has sent it.
    pub(crate) end: bool,
    /// To end, as far as the user's keys say.
    pub(crate) interrupt: bool,
    /// To stop, as Ctrl-Z does.
    pub(crate) stop: bool,
}

/// Whom a signal could not reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    All,
    /// Not this process, which has become another user's.
    #[cfg_attr(windows, expect(dead_code, reason = "there no process becomes another user's"))]
    NotThis(u32),
}
