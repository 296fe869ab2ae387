//! Read delegations of NFS 4. Who opens a file to read it is promised to be asked before it changes; while the server
//! cannot ask, it puts off everybody else's change of the file, up to the end of its lease.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::client::SimEnv;
use crate::network::Sent;
use crate::server::Handle;
use crate::world::{Sim, World, random};

/// How long the server believes in a client that it does not hear of: what Linux has by default.
const LEASE: Duration = Duration::from_secs(90);

/// After how long a client asks again that was put off: from a tenth of a second on it doubles, up to 15 s.
const RETRIES: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15)];

/// Which files were delegated to which machines.
#[derive(Debug, Default)]
pub(crate) struct Delegations(BTreeSet<(Handle, usize)>);

impl SimEnv {
    /// Whether the client is given a delegation of what it opens to read and does not say that it wants none.
    pub(crate) fn takes_delegation(&self) -> bool {
        self.sim.with(|world| world.config.delegations)
    }
}

impl World {
    pub(crate) fn delegate(&mut self, file: Handle, to: usize) {
        self.delegations.0.insert((file, self.processes[to].host));
    }

    /// Whether the server puts a request off: it changes a file that is delegated to a machine that is not heard of.
    fn is_put_off(&self, sent: &Sent) -> bool {
        self.others_of(sent).any(|(_, host)| self.is_in_doubt(host))
    }

    /// The delegations of other machines that a request is at odds with.
    fn others_of<'a>(&'a self, sent: &'a Sent) -> impl Iterator<Item = (Handle, usize)> + 'a {
        let files =
            if self.delegations.0.is_empty() { Vec::new() } else { self.server.files_changed_by(&sent.request) };
        let host = self.processes[sent.by].host;
        self.delegations.0.iter().copied().filter(move |(file, owner)| *owner != host && files.contains(file))
    }

    /// Whether a machine may still rely on its delegations although it is not heard of.
    fn is_in_doubt(&self, host: usize) -> bool {
        self.hosts[host].unheard_since.is_some_and(|since| self.now < since + LEASE)
    }

    /// To be called when a machine was cut off or suspended, or came back.
    pub(crate) fn hear_of_hosts(&mut self) {
        for host in &mut self.hosts {
            let unheard = host.cut_off || host.suspended;
            host.unheard_since = unheard.then(|| host.unheard_since.unwrap_or(self.now));
        }
    }
}

impl Sim {
    /// Has the delegations of others taken back, however long that takes.
    pub(crate) fn wait_for_delegations(&self, sent: &Sent) {
        if !self.with(|world| world.config.delegations) {
            return;
        }
        while self.with(|world| world.is_put_off(sent)) {
            let again_after = RETRIES[random(RETRIES.len() as u32) as usize];
            let until = self.with(|world| {
                let until = world.now + again_after;
                let process = &mut world.processes[sent.by];
                (process.put_off_until, process.was_put_off) = (Some(until), true);
                world.tell("server", || {
                    format!(
                        "puts c{} off for {:.1} s: a machine that is away has a delegation",
                        sent.by,
                        again_after.as_secs_f64()
                    )
                });
                until
            });
            self.ring();
            self.block(sent.by, |world| world.now >= until);
            self.with(|world| world.processes[sent.by].put_off_until = None);
            self.step(sent.by);
        }
        // Whoever can be asked gives it back at once, and who cannot has lost it.
        self.with(|world| {
            let recalled: Vec<_> = world.others_of(sent).collect();
            for delegation in recalled {
                world.delegations.0.remove(&delegation);
            }
        });
    }
}
