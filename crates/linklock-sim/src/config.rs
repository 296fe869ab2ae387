//! The parameters of a run.

use std::time::Duration;

use crate::chance::random;
use crate::env::Step;
use crate::options::Protocol;
use crate::stamps::Times;

/// The directory that the lock is in.
pub(crate) const DIR: &str = "/shared";
/// The lock's name there.
pub(crate) const LOCK: &str = "L";
/// The names of its slots.
pub(crate) const SLOTS: [&str; 2] = ["L.1", "L.2"];

/// The fault budget: how often each fault may happen in one run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Time passes while processes are in the middle of a step: up to many lifetimes at once.
    pub(crate) pauses: u32,
    /// A reply is lost. The client sends the request again any time later, and the server carries it out again.
    pub(crate) lost_replies: u32,
    /// A copy of such a request arrives once more at any later time, even after its sender has ended.
    pub(crate) late_requests: u32,
    /// A client gives up the request of a downgrade, or on a soft mount any request, which may still arrive at any later time.
    pub(crate) given_up: u32,
    /// A machine is cut off from the server, or comes back.
    pub(crate) cuts: u32,
    /// A process is killed, at any step. What it was sending to a server that it could not reach may still arrive.
    pub(crate) kills: u32,
    /// The server's clock steps by a quarter of the smallest grace; if clocks fail, by far more.
    pub(crate) clock_steps: u32,
    /// A machine is suspended or resumed. Its clock keeps running.
    pub(crate) suspends: u32,
    /// The server reports that it made a link to the lock path, but did not make it.
    pub(crate) lies: u32,
    /// A hint does not arrive.
    pub(crate) lost_hints: u32,
    /// A hint arrives that nobody has sent, or once more, or late.
    pub(crate) false_hints: u32,
    /// The server restarts: all machines are cut off, and clients send unanswered requests again.
    pub(crate) restarts: u32,
}

impl Faults {
    /// Every fault together.
    pub(crate) const ALL: Self = Self {
        pauses: 12,
        lost_replies: 3,
        late_requests: 2,
        given_up: 1,
        cuts: 4,
        kills: 2,
        clock_steps: 1,
        suspends: 2,
        lies: 1,
        lost_hints: 2,
        false_hints: 4,
        restarts: 1,
    };
    /// No fault: only the order of steps differs.
    pub(crate) const NONE: Self = Self {
        pauses: 0,
        lost_replies: 0,
        late_requests: 0,
        given_up: 0,
        cuts: 0,
        kills: 0,
        clock_steps: 0,
        suspends: 0,
        lies: 0,
        lost_hints: 0,
        false_hints: 0,
        restarts: 0,
    };
}

/// One kind of run.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The machine that each process runs on.
    pub(crate) hosts: Vec<usize>,
    /// The protocol of each process. The last one is for all further processes. If empty, each run draws the protocols.
    pub(crate) protocols: Vec<Protocol>,
    /// Whether the processes run flufl.lock's algorithm instead.
    pub(crate) flufl: bool,
    /// How often each process takes the lock.
    pub(crate) cycles: u32,
    /// Each process has one of these lifetimes.
    pub(crate) lifetimes: &'static [Duration],
    /// Each process has one of these graces.
    pub(crate) graces: &'static [Duration],
    /// Whether a holder may refresh its lock with another of these lifetimes.
    pub(crate) new_lifetimes: bool,
    /// Whether a holder that refreshes its lock with a shorter lifetime trusts the old one until the call returns.
    pub(crate) trusts_old_lifetimes: bool,
    /// Which processes share the lock: of few, the others do not. Only with `dir`.
    pub(crate) shared: Who,
    /// Whether all contend for the slots of the lock instead.
    pub(crate) has_slots: bool,
    /// Whether those who do not share it may downgrade it, where others do.
    pub(crate) downgrades: bool,
    /// Whether a holder that downgrades its lock trusts to have it alone until the call returns.
    pub(crate) trusts_to_be_alone: bool,
    /// Whether only the judge of the history looks for two holders.
    pub(crate) is_left_to_the_judge: bool,
    /// Which processes queue up.
    pub(crate) queue: Who,
    /// Whether waiters believe that they hear of every change, so that they line up.
    pub(crate) is_local: bool,
    /// Which faults may happen, and how often.
    pub(crate) faults: Faults,
    /// Whether `link` too must bear pauses of any length, and late removals of the lock path.
    pub(crate) beyond_limit: bool,
    /// Whether every acquisition draws a fencing token. Tokens grow only if all contenders draw them.
    pub(crate) fence: bool,
    /// Whether each run draws `fence`, `one_remove`, `sticky` and, with `one_remove`, `opens_nothing`.
    pub(crate) draws: bool,
    /// Whether a client may remember the names in a directory when it opens it, as with the mount option `nocto`.
    pub(crate) stale_lists: bool,
    /// Whether the clients may give up every request, as with the mount option `soft`.
    pub(crate) is_soft: bool,
    /// Whether the clients avoid opening files, as on NFS 4.0.
    pub(crate) opens_nothing: bool,
    /// Whether the server's clock steps back and not ahead.
    pub(crate) clock_goes_back: bool,
    /// Whether the server's clock steps by far more than the grace. Then there may be two holders, and only fencing protects.
    pub(crate) clocks_fail: bool,
    /// Whether one kind of request removes files and empty directories, as on NFS 4. NFS 3 has two.
    pub(crate) one_remove: bool,
    /// Whether the lock's directory is sticky. If it is not, the empty directory of a free `dir` lock may stay with `one_remove`.
    pub(crate) sticky: bool,
    /// Whether each machine stamps the files that it changes by its own wall clock, instead of the server.
    pub(crate) client_stamps: bool,
    /// How the server treats times that clients set.
    pub(crate) times: Times,
    /// Whether a client that opens a file to read it has a read delegation, as on NFS 4.
    pub(crate) delegations: bool,
    /// Whether clients rename a file that they have open, `.nfs*`, when it is removed.
    pub(crate) silly_renames: bool,
    /// The safety steps that the protocols leave out.
    pub(crate) without: &'static [Step],
    /// Whether to draw random numbers. Without them only the scheduler decides, as an exhaustive search needs.
    pub(crate) random: bool,
    /// Whether the server says of a move into a directory that is gone that the file is missing, as Linux's server does while it
    /// still knows that directory. Otherwise it says that the directory is.
    pub(crate) knows_the_dead: bool,
    /// Whether to record the story of the run.
    pub(crate) story: bool,
    /// What the server does wrong, on purpose.
    #[cfg(test)]
    pub(crate) flaw: Option<crate::server::Flaw>,
}

/// A choice among the processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Nobody,
    /// One in four.
    Few,
    /// One in two.
    Half,
    Everybody,
}

const fn secs<const N: usize>(secs: [u64; N]) -> [Duration; N] {
    let mut times = [Duration::ZERO; N];
    let mut n = 0;
    while n < N {
        times[n] = Duration::from_secs(secs[n]);
        n += 1;
    }
    times
}

const LIFETIMES: [Duration; 3] = secs([10, 3, 40]);
const GRACES: [Duration; 3] = secs([4, 2, 15]);

impl Config {
    /// Three processes on two machines, with settings of their own, and every fault. Where one of them uses `link`, the run
    /// stays within that protocol's documented limit: no pause between two steps is longer than the smallest grace, and no
    /// removal of the lock path comes late.
    pub(crate) fn new(protocol: Protocol) -> Self {
        Self {
            hosts: vec![0, 0, 1],
            protocols: vec![protocol],
            flufl: false,
            cycles: 2,
            lifetimes: &LIFETIMES,
            graces: &GRACES,
            new_lifetimes: false,
            trusts_old_lifetimes: false,
            shared: Who::Nobody,
            has_slots: false,
            downgrades: true,
            trusts_to_be_alone: false,
            is_left_to_the_judge: false,
            queue: Who::Nobody,
            is_local: false,
            faults: Faults::ALL,
            beyond_limit: false,
            fence: true,
            draws: false,
            stale_lists: false,
            is_soft: false,
            opens_nothing: false,
            clock_goes_back: false,
            clocks_fail: false,
            one_remove: true,
            sticky: false,
            client_stamps: false,
            times: Times::default(),
            delegations: false,
            silly_renames: false,
            without: &[],
            random: true,
            knows_the_dead: false,
            story: false,
            #[cfg(test)]
            flaw: None,
        }
    }

    /// With faults that `link` cannot bear: pauses of any length at any step, and late removals of the lock path.
    pub(crate) fn beyond_the_limit(self) -> Self {
        Self { beyond_limit: true, ..self }
    }

    /// With clock steps that let contenders break live locks.
    pub(crate) fn with_failing_clocks(self) -> Self {
        Self { faults: Faults { clock_steps: 3, ..self.faults }, clocks_fail: true, stale_lists: true, ..self }
    }

    /// With a clock that steps back again and again, in total by three times the smallest grace.
    pub(crate) fn with_clock_set_back(self) -> Self {
        Self { faults: Faults { clock_steps: 12, ..self.faults }, clock_goes_back: true, ..self }
    }

    /// Two processes that each try for the lock once and release it, without faults, on NFS 3. An exhaustive search can
    /// cover every order of their steps.
    pub(crate) fn smallest(protocol: Protocol) -> Self {
        Self {
            hosts: vec![0, 1],
            cycles: 1,
            faults: Faults::NONE,
            fence: false,
            random: false,
            one_remove: false,
            ..Self::new(protocol)
        }
    }

    /// The lock paths that somebody may hold.
    pub(crate) fn locks(&self) -> &'static [&'static str] {
        if self.has_slots { &SLOTS } else { &[LOCK] }
    }

    /// The parameters of one run, with those drawn that each run draws.
    pub(crate) fn of_one_run(&self) -> Self {
        let mut config = self.clone();
        if config.draws {
            (config.fence, config.one_remove) = (random(2) == 0, random(2) == 0);
            config.opens_nothing = config.one_remove && random(2) == 0;
            config.sticky = random(4) == 0;
            config.knows_the_dead = random(2) == 0;
        }
        config
    }
}
