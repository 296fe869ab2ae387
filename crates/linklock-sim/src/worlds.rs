//! The worlds that there are, by name.

use crate::config::{Config, Faults, Who};
use crate::options::Protocol;
use crate::stamps::Times;

/// Which protocols the processes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocols {
    All(Protocol),
    /// Each process draws one.
    Mixed,
}

impl Protocols {
    pub(crate) const ALL: [Self; 3] = [Self::All(Protocol::Link), Self::All(Protocol::Dir), Self::Mixed];

    pub(crate) fn name(self) -> String {
        match self {
            Self::All(protocol) => protocol.to_string(),
            Self::Mixed => "mixed".into(),
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocols| protocols.name() == name)
    }
}

/// One kind of world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) name: &'static str,
    /// What it is, for people to read.
    pub(crate) what: &'static str,
    /// Whether nothing may go wrong in it, and most runs are made in it.
    pub(crate) is_main: bool,
    made: fn(Config) -> Config,
}

impl World {
    pub(crate) fn named(name: &str) -> Option<Self> {
        WORLDS.iter().find(|world| world.name == name).copied()
    }

    pub(crate) fn config(self, protocols: Protocols) -> Config {
        let config = match protocols {
            Protocols::All(protocol) => Config::new(protocol),
            Protocols::Mixed => Config { protocols: Vec::new(), ..Config::new(Protocol::Link) },
        };
        (self.made)(config)
    }
}

const fn world(name: &'static str, what: &'static str, made: fn(Config) -> Config) -> World {
    World { name, what, is_main: false, made }
}

const fn main_world(name: &'static str, what: &'static str, made: fn(Config) -> Config) -> World {
    World { name, what, is_main: true, made }
}

pub(crate) const WORLDS: &[World] =
    &[
        main_world("nfs", "NFS 3, 4.0 or 4.1, with fencing or without, drawn for each run", |config| Config {
            draws: true,
            queue: Who::Few,
            ..config
        }),
        main_world("open-files", "NFS 3, 4.0 or 4.1, where clients rename what they have open to .nfs*", |config| {
            Config { draws: true, silly_renames: true, ..config }
        }),
        main_world("client-stamps", "each client stamps files by its own wall clock", |config| Config {
            client_stamps: true,
            draws: true,
            ..config
        }),
        world("nfs4", "NFS 4.1, with fencing", |config| config),
        world("nfs3", "NFS 3, with fencing", |config| Config { one_remove: false, ..config }),
        world("nocto", "clients remember lists of names for up to 43 s", |config| Config {
            stale_lists: true,
            draws: true,
            ..config
        }),
        world("queue", "all contenders queue up", |config| Config { queue: Who::Everybody, draws: true, ..config }),
        world("new-lifetimes", "holders refresh their locks with other lifetimes", |config| Config {
            new_lifetimes: true,
            ..config
        }),
        world("clock-set-back", "the server's clock is set back again and again", Config::with_clock_set_back),
        world("beyond-limit", "with what link cannot bear", Config::beyond_the_limit),
        world(
            "failing-clocks",
            "with clocks that have live locks broken: only fencing is left",
            Config::with_failing_clocks,
        ),
        world("client-stamps-late", "the same, and a ctime is the mtime if that is later", |config| Config {
            client_stamps: true,
            times: Times { ctime_not_below_mtime: true, ..Times::default() },
            ..config
        }),
        world("late-ctimes", "the server's ctime is the mtime if that is later", |config| Config {
            times: Times { ctime_not_below_mtime: true, ..Times::default() },
            ..config
        }),
        world("ignored-times", "the server takes no time that it is given", |config| Config {
            times: Times { ignores_times: true, ..Times::default() },
            ..config
        }),
        world("whole-seconds", "the server cuts mtimes to whole seconds; graces of half a second", |config| Config {
            times: Times { whole_second_mtimes: true, ..Times::default() },
            graces: &HALF_A_SECOND,
            ..config
        }),
        world("delegations", "NFS 4, where readers have delegations", |config| Config { delegations: true, ..config }),
        world("delegations-alone", "the same, and no fault but machines that are cut off", |config| Config {
            delegations: true,
            faults: Faults { pauses: 12, cuts: 6, ..Faults::NONE },
            ..config
        }),
    ];

const HALF_A_SECOND: [std::time::Duration; 1] = [std::time::Duration::from_millis(500)];
