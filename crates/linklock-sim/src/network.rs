//! What is between a client and the server: requests that are lost, sent again, put off, or come late.

use std::ffi::OsStr;

use crate::checks;
use crate::config::LOCK;
use crate::delegations;
use crate::server::{Answer, Handle, ROOT, Reply, Request};
use crate::sim::Sim;
use crate::world::{Sent, Stop, World};

impl World {
    /// A machine that is cut off goes on sending: this is when it was sent.
    pub(crate) fn send(&self, by: usize, request: &Request) -> Sent {
        let stamp = self.config.client_stamps.then(|| self.wall_clock(self.processes[by].host));
        Sent { request: request.clone(), by, at: self.now, stamp }
    }

    /// The server carries a request out.
    pub(crate) fn carry_out(&mut self, sent: &Sent) -> Reply {
        use Request::{Link, Read, Remove, Rename, Write};
        let (request, now) = (&sent.request, sent.stamp.unwrap_or_else(|| self.server_now()));
        if !matches!(request, Link { .. } | Remove { .. } | Rename { .. } | Write { .. }) {
            let reply = self.server.carry_out(request, now);
            if let Read { file, delegation: true } = request
                && reply.is_ok()
            {
                self.delegations.give(*file, self.processes[sent.by].host);
            }
            return reply;
        }
        let before = self.owner();
        let reply = self.server.carry_out(request, now);
        let after = self.owner();
        if before != after {
            self.wins.extend(after);
            if let Some(before) = before {
                checks::live_claim::on_removal(self, sent.by, &before, request);
            }
        }
        reply
    }

    /// Answers a link as if it had been made.
    fn lie(&mut self, request: &Request) -> Reply {
        let now = self.server_now();
        match request {
            Request::Link { file, .. } => self.server.carry_out(&Request::GetAttr { file: *file }, now),
            _ => Ok(Answer::default()),
        }
    }

    /// Whether `request` removes the name that all contenders of `link` share. What becomes of it late is the protocol's
    /// documented limit.
    fn is_at_the_limit(&self, request: &Request) -> bool {
        let shared = OsStr::new(LOCK);
        !self.config.beyond_limit
            && match request {
                Request::Remove { dir, name } => *dir == ROOT && name == shared,
                Request::Rename { dir, from, .. } => *dir == ROOT && from == shared,
                // On NFS 4 it may remove a link lock, if there are any.
                Request::RmDir { dir, name } => {
                    *dir == ROOT && name == shared && self.config.one_remove && self.bounds.longest_pause.is_some()
                }
                // Repeated late, it sets the mtime to the server's now, over the expiry.
                Request::Write { .. } => self.bounds.longest_pause.is_some(),
                _ => false,
            }
    }

    /// Whether the server puts a request off: it changes a file that is delegated to a machine that is not heard of.
    fn is_put_off(&self, sent: &Sent) -> bool {
        let in_doubt = |host: usize| delegations::is_in_doubt(self.hosts[host].unheard_since, self.now);
        self.delegations_at_odds_with(sent).iter().any(|(_, host)| in_doubt(*host))
    }

    /// The delegations of other machines that a request is at odds with.
    fn delegations_at_odds_with(&self, sent: &Sent) -> Vec<(Handle, usize)> {
        if self.delegations.is_empty() {
            return Vec::new();
        }
        let files = self.server.files_changed_by(&sent.request);
        self.delegations.at_odds(&files, self.processes[sent.by].host).collect()
    }
}

fn is_link_to_lock(request: &Request) -> bool {
    matches!(request, Request::Link { dir, name, .. } if *dir == ROOT && name == LOCK)
}

impl Sim {
    /// Sends a request, however often it takes, and waits for a reply.
    pub(crate) fn call(&self, process: usize, request: &Request) -> Reply {
        if !self.with(|world| world.config.random) {
            // What only makes a claim, beside the lock path and under a name of its own, is in nobody's way: its order
            // makes no difference. A name is looked up together with what it is looked up for.
            use Request::{Create, Lookup, MkDir, Write};
            if !matches!(request, Create { .. } | Lookup { .. } | MkDir { .. } | Write { .. }) {
                self.step(process);
            }
            return self.with(|world| world.carry_out(&world.send(process, request)));
        }
        self.step(process);
        let (host, sent) = self.with(|world| (world.processes[process].host, world.send(process, request)));
        let at_the_limit = self.with(|world| {
            // To be cut off with such a removal under way is beyond the limit, be it at its first look-up.
            world.is_at_the_limit(request) || (!world.config.beyond_limit && world.processes[process].removes_shared)
        });
        if !at_the_limit && self.with(|world| world.hosts[host].cut_off) {
            self.ring();
            self.block(process, |world| !world.hosts[host].cut_off);
        }
        self.stop(process, request, false);
        self.wait_for_delegations(&sent);
        let restarts = self.with(|world| world.restarts);
        if is_link_to_lock(request) && self.happens(|left| &mut left.lies, 12) {
            self.with(|world| world.tell("server", || format!("lies to c{process}: made, it says, and did nothing")));
            self.step(process);
            return self.with(|world| world.lie(request));
        }
        let mut reply = self.with(|world| world.carry_out(&sent));
        self.stop(process, request, true);
        if !at_the_limit && self.happens(|left| &mut left.lost_replies, 12) {
            self.with(|world| world.tell("network", || format!("the reply to c{process} is lost; it sends again")));
            self.step(process);
            reply = self.with(|world| world.carry_out(&sent));
            if self.happens(|left| &mut left.late_requests, 3) {
                self.with(|world| {
                    world.tell("network", || format!("a copy of c{process}'s request is still under way"));
                    world.late.push(sent.clone());
                });
            }
        }
        self.step(process);
        if !at_the_limit && self.with(|world| world.restarts != restarts) {
            self.with(|world| {
                world.tell("network", || format!("c{process} had no reply before the restart; it sends again"))
            });
            self.block(process, |world| !world.hosts[host].cut_off);
            reply = self.with(|world| world.carry_out(&sent));
            self.step(process);
        }
        reply
    }

    /// Has the delegations of others taken back, however long that takes.
    fn wait_for_delegations(&self, sent: &Sent) {
        if !self.with(|world| world.config.delegations) {
            return;
        }
        while self.with(|world| world.is_put_off(sent)) {
            let again_after = delegations::retry_after();
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
            let recalled = world.delegations_at_odds_with(sent);
            world.delegations.take_back(&recalled);
        });
    }

    /// Waits where a story wants a process to stop.
    fn stop(&self, process: usize, request: &Request, after: bool) {
        let stops = self.with(|world| {
            let here = |stop: &&mut Stop| {
                (stop.process, stop.after, stop.is_there) == (process, after, false) && (stop.at)(request)
            };
            world.stop.as_mut().filter(here).map(|stop| stop.is_there = true).is_some()
        });
        if stops {
            self.block(process, |world| world.stop.is_none());
        }
    }
}
