//! The network between clients and the server: it loses replies, repeats requests, and delivers copies late.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;

use crate::chance::random;
use crate::checks;
use crate::claim::SHARED;
use crate::delegations;
use crate::server::{Answer, Handle, ROOT, Reply, Request};
use crate::sim::Sim;
use crate::world::{Sent, Stop, World};

impl World {
    /// A machine that is cut off still sends: this is the time of sending.
    pub(crate) fn send(&self, by: usize, request: &Request) -> Sent {
        let stamp = self.config.client_stamps.then(|| self.wall_clock(self.processes[by].host));
        Sent { request: request.clone(), by, at: self.now, stamp }
    }

    /// The server carries a request out.
    pub(crate) fn carry_out(&mut self, sent: &Sent) -> Reply {
        use Request::{Link, Read, Remove, Rename, Write};
        let (request, now) = (&sent.request, sent.stamp.unwrap_or_else(|| self.server_now()));
        #[cfg(test)]
        if let Some(reply) = self.config.flaw.and_then(|flaw| flaw(&mut self.server, request, now)) {
            return reply;
        }
        if !matches!(request, Link { .. } | Remove { .. } | Rename { .. } | Write { .. }) {
            let reply = self.server.carry_out(request, now);
            if let Read { file, delegation: true } = request
                && reply.is_ok()
            {
                self.delegations.give(*file, self.processes[sent.by].host);
            }
            return reply;
        }
        let before = self.owners();
        let reply = self.server.carry_out(request, now);
        let after = self.owners();
        self.wins.extend(after.iter().filter(|token| !before.contains(token)).cloned());
        for removed in before.iter().filter(|token| !after.contains(token)) {
            checks::live_claim::on_removal(self, sent.by, removed, request);
        }
        reply
    }

    /// Answers a request for a link as if the link had been made.
    fn lie(&mut self, request: &Request) -> Reply {
        let now = self.server_now();
        match request {
            Request::Link { file, .. } => self.server.carry_out(&Request::GetAttr { file: *file }, now),
            _ => Ok(Answer::default()),
        }
    }

    /// Whether `request` removes the lock path of `link`. Such a request must not come late: that is the protocol's documented
    /// limit.
    fn is_at_the_limit(&self, request: &Request) -> bool {
        let shared = |name: &OsString| self.config.locks().iter().any(|lock| name == lock);
        !self.config.beyond_limit
            && match request {
                Request::Remove { dir, name } => *dir == ROOT && shared(name),
                Request::Rename { dir, from, .. } => *dir == ROOT && shared(from),
                // On NFS 4 it may remove a link lock.
                Request::RmDir { dir, name } => {
                    *dir == ROOT && shared(name) && self.config.one_remove && self.bounds.longest_pause.is_some()
                }
                // If it comes late, it overwrites the expiry: it sets the mtime to the server's time.
                Request::Write { .. } => self.bounds.longest_pause.is_some(),
                _ => false,
            }
    }

    /// Whether the server delays a request: it changes a file that is delegated to a machine that the server cannot reach.
    fn is_put_off(&self, sent: &Sent) -> bool {
        let in_doubt = |host: usize| delegations::is_in_doubt(self.hosts[host].unheard_since, self.now);
        self.delegations_at_odds_with(sent).iter().any(|(_, host)| in_doubt(*host))
    }

    /// The delegations of other machines that conflict with a request.
    fn delegations_at_odds_with(&self, sent: &Sent) -> Vec<(Handle, usize)> {
        if self.delegations.is_empty() {
            return Vec::new();
        }
        let files = self.server.files_changed_by(&sent.request);
        self.delegations.at_odds(&files, self.processes[sent.by].host).collect()
    }
}

fn is_link_to_lock(world: &World, request: &Request) -> bool {
    let is_lock = |name: &OsString| world.config.locks().iter().any(|lock| name == lock);
    matches!(request, Request::Link { dir, name, .. } if *dir == ROOT && is_lock(name))
}

/// Whether it gives an entry in the directory at the lock path the name of a reader's.
fn is_downgrade(request: &Request) -> bool {
    let is_one = |from: &OsStr, to: &OsStr| [from, OsStr::new(SHARED)].join(OsStr::new("")) == to;
    matches!(request, Request::Rename { dir, from, to_dir, to } if *dir != ROOT && dir == to_dir && is_one(from, to))
}

impl Sim {
    /// Tells the process that there was no answer, before or after the server carries the request out, or while it is under way.
    /// What must not come late is not under way any more.
    fn give_up(&self, sent: Sent, must_not_be_late: bool) -> Reply {
        let (process, way) = (sent.by, random(if must_not_be_late { 2 } else { 3 }));
        self.with(|world| {
            let what = ["is lost", "is carried out", "is still under way"][way as usize];
            world.tell("network", || format!("c{process} gives its request up, which {what}"));
            match way {
                0 => {}
                1 => drop(world.carry_out(&sent)),
                _ => world.late.push(sent),
            }
        });
        self.step(process);
        Err(ErrorKind::TimedOut)
    }

    /// Sends a request, again if needed, and waits for the reply.
    pub(crate) fn call(&self, process: usize, request: &Request) -> Reply {
        if !self.with(|world| world.config.random) {
            // The order of requests that only make a claim, under a name of its own, makes no difference. A look-up is one
            // step with the request that needs it.
            use Request::{Create, Lookup, MkDir, Write};
            if !matches!(request, Create { .. } | Lookup { .. } | MkDir { .. } | Write { .. }) {
                self.step(process);
            }
            return self.with(|world| world.carry_out(&world.send(process, request)));
        }
        self.step(process);
        let (host, sent) = self.with(|world| (world.processes[process].host, world.send(process, request)));
        let at_the_limit = self.with(|world| {
            // A cut during such a removal, from its first look-up on, is beyond the limit.
            world.is_at_the_limit(request) || (!world.config.beyond_limit && world.processes[process].removes_shared)
        });
        if !at_the_limit && self.with(|world| world.hosts[host].cut_off) {
            self.wait_for_network(host, &sent);
        }
        let odds = if is_downgrade(request) { 3 } else { 12 };
        let may_be_given_up = is_downgrade(request) || self.with(|world| world.config.is_soft);
        if may_be_given_up && self.happens(|left| &mut left.given_up, odds) {
            return self.give_up(sent, at_the_limit);
        }
        self.stop(process, request, false);
        self.wait_for_delegations(&sent);
        let restarts = self.with(|world| world.restarts);
        if self.with(|world| is_link_to_lock(world, request)) && self.happens(|left| &mut left.lies, 12) {
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
            self.wait_for_network(host, &sent);
            reply = self.with(|world| world.carry_out(&sent));
            self.step(process);
        }
        reply
    }

    fn wait_for_network(&self, host: usize, sent: &Sent) {
        self.with(|world| world.processes[sent.by].sending = Some(sent.clone()));
        self.ring();
        self.block(sent.by, |world| !world.hosts[host].cut_off);
        self.with(|world| world.processes[sent.by].sending = None);
    }

    /// Waits until the server has recalled the other machines' delegations.
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
        // A machine that the server reaches returns its delegation at once. One that it cannot reach has lost it.
        self.with(|world| {
            let recalled = world.delegations_at_odds_with(sent);
            world.delegations.take_back(&recalled);
        });
    }

    /// Waits if a story stops the process here.
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
