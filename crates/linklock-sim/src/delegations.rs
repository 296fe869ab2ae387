//! Read delegations of NFS 4. Who opens a file to read it is promised to be asked before it changes; while the server
//! cannot ask, it puts off everybody else's change of the file, up to the end of its lease.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::chance::random;
use crate::server::Handle;

/// How long the server believes in a client that it does not hear of: what Linux has by default.
const LEASE: Duration = Duration::from_secs(90);

/// After how long a client asks again that was put off: from a tenth of a second on it doubles, up to 15 s.
const RETRIES: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15)];

/// Which files were delegated to which machines.
#[derive(Debug, Default)]
pub(crate) struct Delegations(BTreeSet<(Handle, usize)>);

impl Delegations {
    pub(crate) fn give(&mut self, file: Handle, to: usize) {
        self.0.insert((file, to));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of other machines that a change of these files by `host` is at odds with.
    pub(crate) fn at_odds(&self, files: &[Handle], host: usize) -> impl Iterator<Item = (Handle, usize)> {
        self.0.iter().copied().filter(move |(file, owner)| *owner != host && files.contains(file))
    }

    pub(crate) fn take_back(&mut self, delegations: &[(Handle, usize)]) {
        self.0.retain(|delegation| !delegations.contains(delegation));
    }
}

/// Whether a machine may still rely on its delegations although the server does not hear of it.
pub(crate) fn is_in_doubt(unheard_since: Option<Duration>, now: Duration) -> bool {
    unheard_since.is_some_and(|since| now < since + LEASE)
}

/// After how long a client that is put off asks again.
pub(crate) fn retry_after() -> Duration {
    RETRIES[random(RETRIES.len() as u32) as usize]
}
