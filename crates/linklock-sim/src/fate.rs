//! Time and faults.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::chance::random;
use crate::config::Config;
use crate::settings::{Bounds, Owner, Settings};
use crate::sim::Sim;
use crate::stamps;
use crate::world::{Process, World};

#[derive(Clone, Copy)]
enum Victim {
    Process(usize),
    /// The process on whose behalf others of this machine take locks.
    Shell(usize),
}

impl Sim {
    /// Lets time pass and faults happen, until the last process has ended.
    pub(crate) fn fate(&self) {
        loop {
            // A yield and not a lock: otherwise PCT would let this thread run for ever.
            shuttle::thread::yield_now();
            if self.with(|world| world.over) {
                return;
            }
            if !self.happens_something() {
                self.jump_or_sleep();
            }
        }
    }

    fn happens_something(&self) -> bool {
        if self.with(|world| world.calm) {
            return false;
        }
        if self.happens(|left| &mut left.pauses, 2) {
            self.let_time_pass();
        } else if self.happens(|left| &mut left.cuts, 6) {
            self.cut_or_heal();
        } else if self.happens(|left| &mut left.kills, 12) {
            self.kill();
        } else if self.happens(|left| &mut left.clock_steps, 12) {
            if self.with(|world| world.config.client_stamps) {
                self.step_a_wall_clock();
            } else {
                self.step_the_clock();
            }
        } else if self.happens(|left| &mut left.suspends, 6) {
            self.suspend_or_resume();
        } else if self.happens(|left| &mut left.false_hints, 6) {
            self.with(|world| {
                world.processes.iter_mut().for_each(|process| process.is_hinted = true);
                world.tell("network", || "all hear false hints".into());
            });
        } else if self.happens(|left| &mut left.restarts, 12) {
            self.with(|world| {
                world.restarts += 1;
                for host in &mut world.hosts {
                    host.cut_off = true;
                }
                world.tell("server", || "it is restarted".into());
            });
        } else if self.with(|world| !world.late.is_empty()) && random(3) == 0 {
            self.deliver_late();
        } else {
            return false;
        }
        self.with(World::hear_of_hosts);
        self.ring();
        true
    }

    fn let_time_pass(&self) {
        // Long enough to harm one of the processes.
        let whose = random(self.with(|world| world.processes.len() - 1) as u32) as usize;
        let Settings { lifetime, grace, .. } = self.with(|world| world.processes[whose].settings.clone());
        let choices =
            [Duration::from_millis(3), grace / 10, grace / 2, lifetime / 3, lifetime, lifetime + grace, 50 * grace];
        let time = choices[random(choices.len() as u32) as usize];
        self.with(|world| {
            let now = world.now;
            // The longest pause of a process that is in a call, or between two calls.
            let most = world.bounds.longest_pause.and_then(|longest| {
                let busy = world
                    .processes
                    .iter()
                    .filter(|p| !p.ended && !p.killed && p.put_off_until.is_none() && p.waiting_until.is_none());
                let hosts = &world.hosts;
                // The network, and no pause, stops the others. One whose machine is cut off goes on until it asks the server; and if
                // it is about to remove the lock path, beyond that.
                let held_up = busy.filter(|p| p.sending.is_none() || hosts[p.host].suspended);
                held_up.map(|p| (p.last_step + longest).saturating_sub(now)).min()
            });
            let time = most.map_or(time, |most| most.min(time));
            world.now += time;
            world.tell("time", || format!("{:.3} s pass", time.as_secs_f64()));
        });
    }

    fn cut_or_heal(&self) {
        let host = random(self.with(|world| world.hosts.len() - 1) as u32) as usize;
        self.with(|world| {
            let cut = !world.hosts[host].cut_off;
            world.hosts[host].cut_off = cut;
            world.tell("network", || format!("h{host} is {}", if cut { "cut off" } else { "back" }));
        });
    }

    fn suspend_or_resume(&self) {
        let host = random(self.with(|world| world.hosts.len() - 1) as u32) as usize;
        self.with(|world| {
            let suspended = !world.hosts[host].suspended;
            world.hosts[host].suspended = suspended;
            world.tell("kernel", || format!("h{host} is {}", if suspended { "suspended" } else { "resumed" }));
        });
    }

    fn step_the_clock(&self) {
        self.with(|world| {
            let Config { clocks_fail, clock_goes_back, .. } = world.config;
            let Bounds { longest_lifetime, longest_grace, smallest_grace, .. } = world.bounds;
            let step = if clocks_fail { 2 * (longest_lifetime + longest_grace) } else { smallest_grace / 4 };
            let (clock, way) = match clock_goes_back {
                true => (&mut world.server_behind, "back"),
                false => (&mut world.server_ahead, "ahead"),
            };
            *clock += step;
            world.tell("server", || format!("its clock is set {way} by {:.3} s", step.as_secs_f64()));
        });
    }

    fn step_a_wall_clock(&self) {
        let host = random(self.with(|world| world.hosts.len() - 1) as u32) as usize;
        let (step, back) = (stamps::wall_step(), random(2) == 0);
        self.with(|world| {
            let ahead = &mut world.hosts[host].wall_ahead;
            *ahead = if back { ahead.saturating_sub(step) } else { *ahead + step };
            let way = if back { "back" } else { "ahead" };
            world.tell("kernel", || format!("h{host}'s wall clock is set {way} by {:.3} s", step.as_secs_f64()));
        });
    }

    fn kill(&self) {
        let mut victims = self.with(|world| (0..world.processes.len() - 1).map(Victim::Process).collect::<Vec<_>>());
        victims.extend(self.with(|world| {
            let has_shell = |p: &&Process| p.settings.owner == Owner::Shell;
            let hosts: BTreeSet<_> = world.processes.iter().filter(has_shell).map(|p| p.host).collect();
            hosts.into_iter().map(Victim::Shell).collect::<Vec<_>>()
        }));
        let victim = victims.swap_remove(random(victims.len() as u32) as usize);
        self.with(|world| match victim {
            Victim::Process(number) => {
                world.processes[number].killed = true;
                world.note_deaths();
                let sending = world.processes[number].sending.take();
                world.late.extend(sending);
                world.tell("kernel", || format!("c{number} is killed"));
            }
            Victim::Shell(host) => {
                world.hosts[host].shell_killed = true;
                world.note_deaths();
                world.tell("kernel", || format!("the shell on h{host} is killed"));
            }
        });
    }

    fn deliver_late(&self) {
        let which = random(self.with(|world| world.late.len()) as u32) as usize;
        self.with(|world| {
            let sent = world.late.swap_remove(which);
            if world.bounds.longest_pause.is_some_and(|longest| world.now > sent.at + longest) {
                return;
            }
            let done = world.carry_out(&sent).err().map_or("done".into(), |e| format!("{e:?}"));
            world.tell("network", || format!("late, from c{}: {:?}: {done}", sent.by, sent.request));
        });
    }

    /// If all processes wait, lets time pass until the first wait ends. Otherwise waits for the processes.
    fn jump_or_sleep(&self) {
        let Ok(gate) = self.gate.lock() else { return };
        let moved = self.with(|world| {
            let idle = |p: &Process| {
                let host = &world.hosts[p.host];
                p.ended
                    || p.killed
                    || p.put_off_until.is_some()
                    || p.waiting_until.is_some()
                    || p.sending.is_some()
                    || host.suspended
            };
            if world.over || !world.processes.iter().all(idle) {
                return world.over;
            }
            // No process can run: the machines and the network come back, or time passes.
            let no_more = world.calm || world.left.pauses == 0;
            let suspended = world.hosts.iter().any(|host| host.suspended);
            if suspended && (no_more || world.bounds.longest_pause.is_some()) {
                for host in &mut world.hosts {
                    host.suspended = false;
                }
                world.hear_of_hosts();
                world.tell("kernel", || "all are resumed".into());
                return true;
            }
            if no_more && world.hosts.iter().any(|host| host.cut_off) {
                for host in &mut world.hosts {
                    host.cut_off = false;
                }
                world.hear_of_hosts();
                world.tell("network", || "all are back".into());
                return true;
            }
            let wait = |p: &Process| {
                let waits = p.waiting_until.map(|until| until.since(world.local_now(p.host)));
                waits.or(p.put_off_until.map(|until| until.saturating_sub(world.now)))
            };
            let next = world.processes.iter().filter(|p| !p.ended && !p.killed).filter_map(wait).min();
            world.now += next.unwrap_or_default() + Duration::from_micros(100);
            true
        });
        if moved {
            self.bell.notify_all();
            drop(gate);
        } else {
            // The bell rings when a process begins to wait or ends.
            drop(self.bell.wait(gate));
        }
    }
}
