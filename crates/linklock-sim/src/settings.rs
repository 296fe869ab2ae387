//! How each process takes the lock: no two need agree on more than the lock path.

use std::time::Duration;

use crate::chance::random;
use crate::config::{Config, Who};
use crate::protocol::Protocol;

/// Whose death makes a lock dead, and ends the trust in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The process that acquires it.
    Itself,
    /// A process of the same machine that does nothing but live, as the shell of a script.
    Shell,
    /// None: the work goes on whatever dies.
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
    pub(crate) fence: bool,
}

impl Settings {
    /// Those of a process: drawn, or by its number where only the scheduler decides.
    pub(crate) fn of(config: &Config, process: usize) -> Self {
        let draw = |bound: usize| if config.random { random(bound as u32) as usize } else { process % bound };
        let one_of = |times: &[Duration]| times[draw(times.len())];
        let protocol = match config.protocols.as_slice() {
            [] => [Protocol::Link, Protocol::Dir][draw(2)],
            [.., last] => config.protocols.get(process).copied().unwrap_or(*last),
        };
        Self {
            protocol,
            lifetime: one_of(config.lifetimes),
            grace: one_of(config.graces),
            recover_dead: draw(4) != 3,
            owner: [Owner::Itself, Owner::Shell, Owner::Itself, Owner::Nobody][draw(4)],
            queue: match config.queue {
                Who::Nobody => false,
                Who::Few => draw(4) == 0,
                Who::Everybody => true,
            },
            fence: config.fence,
        }
    }
}

/// What the settings of all the processes of a run come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) longest_lifetime: Duration,
    pub(crate) longest_grace: Duration,
    pub(crate) smallest_grace: Duration,
    /// How long a process may be held up between two steps; `None`: for any time.
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
            // The limit of `link`, with something to spare.
            longest_pause: (with_link && !config.beyond_limit).then_some(smallest_grace * 3 / 4),
        }
    }
}
