//! Read delegations of NFS 4. The server promises a client that opens a file for reading to ask it before the file changes. While
//! it cannot reach that client, the server delays all other clients' changes of the file, until the client's lease ends.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::chance::random;
use crate::server::Handle;

/// How long the server waits for a client that it cannot reach: the default of Linux.
const LEASE: Duration = Duration::from_secs(90);

/// How long a delayed client waits before it retries: it starts at 100 ms and doubles, up to 15 s.
const RETRIES: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15)];

/// The delegated files, each with the machine that has the delegation.
#[derive(Debug, Default)]
pub(crate) struct Delegations(BTreeSet<(Handle, usize)>);

impl Delegations {
    pub(crate) fn give(&mut self, file: Handle, to: usize) {
        self.0.insert((file, to));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The delegations of other machines that conflict with a change of these files by `host`.
    pub(crate) fn at_odds(&self, files: &[Handle], host: usize) -> impl Iterator<Item = (Handle, usize)> {
        self.0.iter().copied().filter(move |(file, owner)| *owner != host && files.contains(file))
    }

    pub(crate) fn take_back(&mut self, delegations: &[(Handle, usize)]) {
        self.0.retain(|delegation| !delegations.contains(delegation));
    }
}

/// Whether a machine that the server cannot reach may still rely on its delegations.
pub(crate) fn is_in_doubt(unheard_since: Option<Duration>, now: Duration) -> bool {
    unheard_since.is_some_and(|since| now < since + LEASE)
}

/// Draws how long a delayed client waits before it retries.
pub(crate) fn retry_after() -> Duration {
    RETRIES[random(RETRIES.len() as u32) as usize]
}
