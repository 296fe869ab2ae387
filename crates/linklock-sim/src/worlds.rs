//! All worlds, by name.

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
    /// A description for the help.
    pub(crate) what: &'static str,
    /// Whether the protocols must hold in it under all faults. Most runs use these worlds.
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

pub(crate) const WORLDS: &[World] = &[
    main_world("nfs", "NFS 3, 4.0 or 4.1, with or without fencing, drawn for each run", |config| Config {
        draws: true,
        queue: Who::Few,
        ..config
    }),
    main_world("open-files", "NFS 3, 4.0 or 4.1; clients rename open files to .nfs*", |config| Config {
        draws: true,
        silly_renames: true,
        ..config
    }),
    main_world("client-stamps", "each client stamps files with its own wall clock", |config| Config {
        client_stamps: true,
        draws: true,
        ..config
    }),
    world(
        "shared",
        "NFS 3, 4.0 or 4.1; two of three share the lock, if they use dir; the third may downgrade it",
        |config| Config { draws: true, shared: Who::Few, hosts: vec![0, 1, 0, 1], ..config },
    ),
    world("downgrades", "as shared; one of two shares the lock, and the other may downgrade it", |config| Config {
        draws: true,
        shared: Who::Half,
        hosts: vec![0, 1, 0, 1],
        ..config
    }),
    world("slots", "NFS 3, 4.0 or 4.1; four contend for two slots, some of them in the queue", |config| Config {
        draws: true,
        has_slots: true,
        queue: Who::Few,
        hosts: vec![0, 1, 0, 1],
        ..config
    }),
    world("nfs4", "NFS 4.1, with fencing", |config| config),
    world("nfs3", "NFS 3, with fencing", |config| Config { one_remove: false, ..config }),
    world("nocto", "clients cache lists of names for up to 43 s", |config| Config {
        stale_lists: true,
        draws: true,
        ..config
    }),
    world("soft", "clients give up requests, which may still be carried out", |config| Config {
        is_soft: true,
        faults: Faults { given_up: 6, ..config.faults },
        queue: Who::Few,
        draws: true,
        ..config
    }),
    world("queue", "all contenders queue up", |config| Config { queue: Who::Everybody, draws: true, ..config }),
    world("line", "one machine, whose waiters line up, some of them in the queue", |config| Config {
        hosts: vec![0; 4],
        queue: Who::Few,
        is_local: true,
        draws: true,
        ..config
    }),
    world("new-lifetimes", "holders refresh their locks with another lifetime", |config| Config {
        new_lifetimes: true,
        ..config
    }),
    world("clock-set-back", "the server's clock steps back again and again", Config::with_clock_set_back),
    world("beyond-limit", "faults beyond the documented limit of link", Config::beyond_the_limit),
    world(
        "failing-clocks",
        "clock steps let contenders break live locks: only fencing protects",
        Config::with_failing_clocks,
    ),
    world("client-stamps-late", "as client-stamps, and a ctime is never earlier than the mtime", |config| Config {
        client_stamps: true,
        times: Times { ctime_not_below_mtime: true, ..Times::default() },
        ..config
    }),
    world("late-ctimes", "the server's ctime is never earlier than the mtime", |config| Config {
        times: Times { ctime_not_below_mtime: true, ..Times::default() },
        ..config
    }),
    world("ignored-times", "the server ignores times that clients set", |config| Config {
        times: Times { ignores_times: true, ..Times::default() },
        ..config
    }),
    world("whole-seconds", "the server cuts mtimes to whole seconds; graces of half a second", |config| Config {
        times: Times { whole_second_mtimes: true, ..Times::default() },
        graces: &HALF_A_SECOND,
        ..config
    }),
    world("delegations", "NFS 4; readers have delegations", |config| Config { delegations: true, ..config }),
    world("delegations-alone", "as delegations, with pauses and cuts as the only faults", |config| Config {
        delegations: true,
        faults: Faults { pauses: 12, cuts: 6, ..Faults::NONE },
        ..config
    }),
];

const HALF_A_SECOND: [std::time::Duration; 1] = [std::time::Duration::from_millis(500)];
