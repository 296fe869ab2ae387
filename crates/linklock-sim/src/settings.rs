//! How each process takes the lock. Processes need to agree on the lock path only.

use std::time::Duration;

use crate::chance::random;
use crate::config::{Config, Who};
use crate::options::{Protocol, Wake};

/// The process whose end makes a lock abandoned, and ends the trust in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The process that acquires it.
    Itself,
    /// Another process of the same machine, such as the shell of a script.
    Shell,
    /// None: the work goes on whichever process ends.
    Nobody,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) protocol: Protocol,
    pub(crate) lifetime: Duration,
    pub(crate) grace: Duration,
    pub(crate) recover_dead: bool,
    pub(crate) owner: Owner,
    pub(crate) queue: bool,
    pub(crate) shared: bool,
    /// Whether it may downgrade the lock.
    pub(crate) downgrades: bool,
    pub(crate) wake: Wake,
    pub(crate) fence: bool,
}

impl Settings {
    /// Draws the settings of a process. Where only the scheduler decides, its number decides them.
    pub(crate) fn of(config: &Config, process: usize) -> Self {
        let draw = |bound: usize| if config.random { random(bound as u32) as usize } else { process % bound };
        let one_of = |times: &[Duration]| times[draw(times.len())];
        let protocol = match config.protocols.as_slice() {
            [] => [Protocol::Link, Protocol::Dir][draw(2)],
            [.., last] => config.protocols.get(process).copied().unwrap_or(*last),
        };
        // The last of a group, and the one that comes last of all, want it for themselves.
        let is_one_of = |group: usize| process % group != group - 1 && process < config.hosts.len();
        let shared = protocol == Protocol::Dir
            && match config.shared {
                Who::Nobody => false,
                Who::Half => is_one_of(2),
                Who::Few => is_one_of(3),
                Who::Everybody => true,
            };
        let downgrades = config.downgrades && config.shared != Who::Nobody && protocol == Protocol::Dir && !shared;
        Self {
            protocol,
            lifetime: one_of(config.lifetimes),
            grace: one_of(config.graces),
            recover_dead: draw(4) != 3,
            owner: [Owner::Itself, Owner::Shell, Owner::Itself, Owner::Nobody][draw(4)],
            queue: match config.queue {
                Who::Nobody => false,
                Who::Few => draw(4) == 0,
                Who::Half => draw(2) == 0,
                Who::Everybody => true,
            },
            shared,
            downgrades,
            wake: if process.is_multiple_of(2) { Wake::Udp } else { Wake::Poll },
            // Numbers of readers that hold the lock at once are in no order.
            fence: config.fence && !shared,
        }
    }
}

/// Bounds over the settings of all processes of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) longest_lifetime: Duration,
    pub(crate) longest_grace: Duration,
    pub(crate) smallest_grace: Duration,
    /// The longest pause of a process between two steps; `None`: any length.
    pub(crate) longest_pause: Option<Duration>,
}

impl Bounds {
    pub(crate) fn of<'a>(config: &Config, settings: impl Iterator<Item = &'a Settings> + Clone) -> Self {
        let lifetimes = settings.clone().map(|settings| settings.lifetime);
        let graces = || settings.clone().map(|settings| settings.grace);
        let smallest_grace = graces().min().unwrap_or_default();
        let with_link = config.flufl || settings.clone().any(|settings| settings.protocol == Protocol::Link);
        Self {
            longest_lifetime: lifetimes.max().unwrap_or_default(),
            longest_grace: graces().max().unwrap_or_default(),
            smallest_grace,
            // The limit of `link`, with a margin.
            longest_pause: (with_link && !config.beyond_limit).then_some(smallest_grace * 3 / 4),
        }
    }
}
