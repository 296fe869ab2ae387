//! The world of one run: the server, the clients with their clocks and caches, and what the processes believe.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::believed::Believed;
use crate::cache::Cache;
use crate::config::{Config, Faults};
use crate::delegations::Delegations;
use crate::open_files::OpenFiles;
use crate::protocol::place::STICKY;
use crate::server::{Answer, ROOT, Request, Server};
use crate::settings::{Bounds, Owner, Settings};
use crate::stamps;
use crate::time::{LocalTime, ServerTime};

/// One process on one machine.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) host: usize,
    pub(crate) settings: Settings,
    pub(crate) killed: bool,
    /// It has not started, or has ended.
    pub(crate) ended: bool,
    /// It waits for time or a change, and not for the network.
    pub(crate) waiting_until: Option<LocalTime>,
    /// It is removing the lock path, or looking up names for that.
    pub(crate) removes_shared: bool,
    /// What it sends while it is cut off.
    pub(crate) sending: Option<Sent>,
    /// The server delays its request: when it will retry, in world time.
    pub(crate) put_off_until: Option<Duration>,
    /// The server has delayed a request of it since this was last reset.
    pub(crate) was_put_off: bool,
    /// When it last made a step, in world time.
    pub(crate) last_step: Duration,
    /// The number of the hints that it listens for.
    pub(crate) nonce: Option<u64>,
    /// One has come that it has not heard yet.
    pub(crate) is_hinted: bool,
}

/// One machine: its clock, its network, its caches.
#[derive(Debug)]
pub(crate) struct Host {
    clock_start: Duration,
    /// How much faster its clock runs than the world's, in parts per million.
    drift_ppm: i64,
    /// How far its wall clock is ahead: from the beginning, and by steps.
    pub(crate) wall_ahead: Duration,
    pub(crate) cut_off: bool,
    /// Since when the server cannot reach it, in world time.
    pub(crate) unheard_since: Option<Duration>,
    /// Only its clock runs.
    pub(crate) suspended: bool,
    /// The process on whose behalf others of this machine take locks has ended.
    pub(crate) shell_killed: bool,
    /// The number of its changes of the lock path; each wakes its own waiters.
    pub(crate) changes: u64,
    pub(crate) cache: Cache,
    pub(crate) open: OpenFiles,
}

/// The belief of a process that it holds the lock until this time on its own clock.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) process: usize,
    /// Which of the lock paths.
    pub(crate) lock: usize,
    pub(crate) token: String,
    /// The token that it had before a downgrade, which is under way or done.
    pub(crate) was: Option<String>,
    /// Whether it shares the lock with all others who do.
    pub(crate) shares: bool,
    pub(crate) fence: Option<u64>,
    pub(crate) deadline: LocalTime,
}

/// A request under way.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) request: Request,
    /// The process that sent it.
    pub(crate) by: usize,
    /// When it was sent, in world time.
    pub(crate) at: Duration,
    /// The client's stamp for the files that it changes; `None`: the server's clock stamps them.
    pub(crate) stamp: Option<ServerTime>,
}

/// Where a story stops a process: at its first request of a kind.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) process: usize,
    pub(crate) at: fn(&Request) -> bool,
    /// Whether it stops after the request was carried out, and not before.
    pub(crate) after: bool,
    /// It has stopped there. It goes on once the story clears this.
    pub(crate) is_there: bool,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) bounds: Bounds,
    /// World time, which no process can read.
    pub(crate) now: Duration,
    pub(crate) server: Server,
    pub(crate) server_ahead: Duration,
    pub(crate) server_behind: Duration,
    /// How often the server restarted.
    pub(crate) restarts: u32,
    pub(crate) hosts: Vec<Host>,
    pub(crate) processes: Vec<Process>,
    /// Copies of requests that are still under way.
    pub(crate) late: Vec<Sent>,
    pub(crate) delegations: Delegations,
    /// How many locks were lost because a delegation delayed their refresh.
    pub(crate) lost_by_delay: u32,
    pub(crate) left: Faults,
    /// The beliefs of the processes, by process.
    pub(crate) holds: BTreeMap<usize, Hold>,
    /// The same from the beginning, for the judge.
    pub(crate) believed: Believed,
    /// The tokens that appeared at the lock path, in order.
    pub(crate) wins: Vec<String>,
    /// By token: which lock path it was won at, its place in `wins`, and its fencing token.
    pub(crate) fences: BTreeMap<String, (usize, usize, u64)>,
    pub(crate) violation: Option<String>,
    pub(crate) story: Vec<String>,
    pub(crate) stop: Option<Stop>,
    /// No more faults happen.
    pub(crate) calm: bool,
    /// The last process has ended.
    pub(crate) over: bool,
    /// Where the generations of this run's processes begin.
    pub(crate) generation: u64,
    serial: u32,
    random: u64,
    pub(crate) steps: u32,
}

/// The server's clock at the beginning: not at zero, and not a whole second.
const SERVER_START: Duration = Duration::from_millis(1_700_000_000_123);
const HOST_START: Duration = Duration::from_secs(1000);

impl World {
    pub(crate) fn new(config: &Config) -> Self {
        let config = config.of_one_run();
        let hosts = config.hosts.iter().max().map_or(0, |host| host + 1) + 1;
        let host = |number: usize| Host {
            // The machines' clocks differ by more than an hour, since no protocol may compare them.
            clock_start: HOST_START + Duration::from_secs(4000 * number as u64),
            drift_ppm: [0, 150, -150][number % 3],
            wall_ahead: stamps::wall_ahead(config.client_stamps),
            cut_off: false,
            unheard_since: None,
            suspended: false,
            shell_killed: false,
            changes: 0,
            cache: Cache::default(),
            open: OpenFiles::default(),
        };
        // The last process starts when all others have ended. It checks that the lock can still be acquired.
        let of_hosts = config.hosts.iter().copied().chain([hosts - 1]);
        let process = |(number, host)| Process {
            host,
            settings: Settings::of(&config, number),
            killed: false,
            ended: true,
            waiting_until: None,
            removes_shared: false,
            sending: None,
            put_off_until: None,
            was_put_off: false,
            last_step: Duration::ZERO,
            nonce: None,
            is_hinted: false,
        };
        let processes: Vec<_> = of_hosts.enumerate().map(process).collect();
        let mut world = Self {
            now: Duration::ZERO,
            server: Server::new(
                ServerTime::from_parts(SERVER_START.as_secs() as i64, SERVER_START.subsec_nanos()),
                &config,
            ),
            server_ahead: Duration::ZERO,
            server_behind: Duration::ZERO,
            restarts: 0,
            hosts: (0..hosts).map(host).collect(),
            bounds: Bounds::of(&config, processes.iter().map(|process| &process.settings)),
            processes,
            late: Vec::new(),
            delegations: Delegations::default(),
            lost_by_delay: 0,
            left: config.faults,
            holds: BTreeMap::new(),
            believed: Believed::default(),
            wins: Vec::new(),
            fences: BTreeMap::new(),
            violation: None,
            story: Vec::new(),
            stop: None,
            calm: false,
            over: false,
            generation: 0,
            serial: 0,
            steps: 0,
            random: 1,
            config,
        };
        for number in 0..world.processes.len() {
            let settings = world.processes[number].settings.clone();
            world.tell(&format!("c{number}"), || format!("{settings:?}"));
        }
        world
    }

    pub(crate) fn server_now(&self) -> ServerTime {
        let time = SERVER_START + self.now + self.server_ahead - self.server_behind;
        ServerTime::from_parts(time.as_secs() as i64, time.subsec_nanos())
    }

    pub(crate) fn local_now(&self, host: usize) -> LocalTime {
        let host = &self.hosts[host];
        let now = self.now.as_nanos() as i64;
        let nanos = host.clock_start.as_nanos() as i64 + now + now / 1_000_000 * host.drift_ppm;
        LocalTime::from_nanos(nanos as u64)
    }

    pub(crate) fn wall_clock(&self, host: usize) -> ServerTime {
        stamps::wall_clock(self.hosts[host].wall_ahead, self.local_now(host))
    }

    /// The processes that believe now that they hold the lock.
    pub(crate) fn believers(&self) -> impl Iterator<Item = &Hold> {
        self.holds.values().filter(|hold| self.believes(hold))
    }

    pub(crate) fn believes(&self, hold: &Hold) -> bool {
        !self.owner_is_dead(hold.process) && self.local_now(self.processes[hold.process].host) < hold.deadline
    }

    /// The process trusts its lock no longer.
    pub(crate) fn cease(&mut self, process: usize) {
        self.holds.remove(&process);
        self.believed.ceases(process, self.now);
    }

    /// Notes that the owners of these processes' locks have been killed.
    pub(crate) fn note_deaths(&mut self) {
        for process in 0..self.processes.len() {
            if self.owner_is_dead(process) {
                self.believed.ceases(process, self.now);
            }
        }
    }

    /// Whether the owner of this process's locks has ended.
    pub(crate) fn owner_is_dead(&self, process: usize) -> bool {
        let process = &self.processes[process];
        match process.settings.owner {
            Owner::Itself => process.killed,
            Owner::Shell => self.hosts[process.host].shell_killed,
            Owner::Nobody => false,
        }
    }

    pub(crate) fn is_suspended(&self, process: usize) -> bool {
        self.hosts[self.processes[process].host].suspended
    }

    /// Call it after a machine was cut off or suspended, or came back.
    pub(crate) fn hear_of_hosts(&mut self) {
        for host in &mut self.hosts {
            let unheard = host.cut_off || host.suspended;
            host.unheard_since = unheard.then(|| host.unheard_since.unwrap_or(self.now));
        }
    }

    pub(crate) fn tell(&mut self, who: &str, what: impl FnOnce() -> String) {
        if self.config.story {
            self.story.push(format!("{:10.3} s  {who}: {}", self.now.as_secs_f64(), what()));
        }
    }

    pub(crate) fn violate(&mut self, what: String) {
        self.tell("checker", || what.clone());
        if self.violation.is_none() {
            self.violation = Some(what);
            // No process goes on after that.
            for process in &mut self.processes {
                process.killed = true;
            }
        }
    }

    /// For the processes' own use: the same sequence in every run.
    pub(crate) fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }

    pub(crate) fn next_serial(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }

    /// A hint arrives where somebody listens for it.
    pub(crate) fn hint(&mut self, nonce: u64) {
        for process in self.processes.iter_mut().filter(|process| process.nonce == Some(nonce)) {
            process.is_hinted = true;
        }
    }

    /// The tokens at the lock paths: several at one if readers share it.
    pub(crate) fn owners(&mut self) -> Vec<String> {
        self.config.locks().iter().flat_map(|lock| self.owners_of(lock)).collect()
    }

    fn owners_of(&mut self, lock: &str) -> Vec<String> {
        let now = self.server_now();
        let mut ask = |request| self.server.carry_out(&request, now);
        let lock = ask(Request::Lookup { dir: ROOT, name: lock.into() }).ok().and_then(|found| found.file);
        let Some((lock, _)) = lock else { return Vec::new() };
        if let Ok(Answer { names, .. }) = ask(Request::ReadDir { dir: lock }) {
            return names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        }
        let content = ask(Request::Read { file: lock, delegation: false }).map(|answer| answer.content);
        let name = |content: Vec<u8>| String::from_utf8_lossy(&content).rsplit('/').next().map(str::to_owned);
        content.ok().and_then(name).into_iter().collect()
    }

    /// Whether this lock path is an empty directory with linklock's mark.
    pub(crate) fn is_free_lock(&mut self, lock: &str) -> bool {
        let now = self.server_now();
        let found = self.server.carry_out(&Request::Lookup { dir: ROOT, name: lock.into() }, now);
        let Ok(Answer { file: Some((lock, attr)), .. }) = found else { return false };
        let names = self.server.carry_out(&Request::ReadDir { dir: lock }, now).map(|answer| answer.names);
        attr.mode & STICKY != 0 && names.is_ok_and(|names| names.is_empty())
    }

    /// All names in the lock's directory.
    pub(crate) fn names(&mut self) -> Vec<String> {
        let now = self.server_now();
        let names = self.server.carry_out(&Request::ReadDir { dir: ROOT }, now).map(|answer| answer.names);
        names.unwrap_or_default().into_iter().map(|name| name.to_string_lossy().into_owned()).collect()
    }
}
