//! Arguments that several subcommands have.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{RangedU64ValueParser, TypedValueParser};
use clap::{Args, ValueEnum, ValueHint};
use linklock::{Builder, Lock, Protocol, SEPARATOR, SLOTS_MOST, Wake};

use crate::duration::parse as duration;
use crate::exit::NOT_IN_TIME;

/// The help lists rare options last.
pub(super) const LAST: usize = 100;

/// The variable with the default of --lifetime. `refresh` does not read it: there the default is the lock's own lifetime.
pub(super) const LIFETIME: &str = "LINKLOCK_LIFETIME";

// Where the lock is. (Here and below a doc comment would become the subcommand's description.)
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The path that all contenders agree on. Its directory must exist
    #[arg(value_name = "LOCKPATH")]
    pub(crate) path: PathBuf,
    /// The character between the parts of a claim's name. All contenders must use the same, and LOCKPATH must not contain it
    #[arg(long, value_name = "C", default_value_t = SEPARATOR, display_order = LAST)]
    pub(crate) separator: char,
}

// How to contend for the lock.
#[derive(Debug, Args)]
pub(crate) struct Contest {
    #[command(flatten)]
    pub(crate) patience: Patience,
    #[command(flatten)]
    pub(crate) judgement: Judgement,
    /// How to store the lock: link is compatible with flufl.lock, dir needs no hard links
    #[arg(long, value_name = "PROTOCOL", default_value = "link", env = "LINKLOCK_PROTOCOL", hide_env_values = true)]
    pub(crate) protocol: ProtocolArg,
    /// Share the lock with all others who do: many may read what one writes. It implies --protocol dir. Who acquires it without
    /// this option has it alone; while somebody waits for that, newcomers wait too. Not on Windows
    #[arg(short, long)]
    pub(crate) shared: bool,
    /// Let so many hold the lock at a time, on all machines together. Slot n is the lock LOCKPATH.n, from n = 1 on: status, break,
    /// refresh and release name that path. All contenders should give the same number. COMMAND finds its slot in LINKLOCK_SLOT, and
    /// acquire prints it in a last line. With --queue the slots go to those who wait in order of arrival
    #[arg(long, value_name = "N", value_parser = slots(), conflicts_with = "shared")]
    pub(crate) slots: Option<usize>,
    /// Acquire the lock in order of arrival. All contenders should use this option: one without it overtakes the others.
    /// Each waiter has a ticket in the directory LOCKPATH|queue (on Windows with ^ for |)
    #[arg(long)]
    pub(crate) queue: bool,
    #[command(flatten)]
    pub(crate) waking: Waking,
    /// Write the whole command line into a lock of --protocol dir, not only the command's name. Everybody who may read the
    /// lock can read the arguments. acquire writes the command line of the process that holds the lock (on Linux)
    #[arg(long)]
    pub(crate) describe_command: bool,
    /// Refuse the lock (exit status 77) unless its directory is private: this user or root owns it, and nobody else may
    /// write to it. Not on Windows
    #[arg(long)]
    pub(crate) require_private: bool,
    /// Use a file system where this protocol is known to fail: two may hold the lock there, or nobody can have it. Without it
    /// that is refused, and there is a warning where it is not known
    #[arg(long)]
    pub(crate) unsafe_filesystem: bool,
}

// How waiters learn of a release.
#[derive(Debug, Args)]
pub(crate) struct Waking {
    /// How to learn of a release on another machine: by looking now and then (poll), or also by a datagram that whoever releases
    /// the lock with this option sends to the next waiter (udp, on Linux). It goes to any free UDP port, which LOCKPATH|bell names;
    /// whoever may write to the directory can choose the host and the port that it is sent to
    #[arg(long, value_name = "HOW", default_value = "poll", env = "LINKLOCK_WAKE", hide_env_values = true)]
    pub(crate) wake: WakeArg,
}

// Where what happens to the lock is written.
#[derive(Clone, Debug, Args)]
pub(crate) struct JournalArg {
    /// Append what happens to the lock to FILE, one JSON object per line: acquired and after how long a wait, released or lost and after
    /// how long, broken and why, not acquired. linklock report reads it. FILE is made if it is missing. Use a local file
    #[arg(long, value_name = "FILE", env = "LINKLOCK_JOURNAL", hide_env_values = true, value_hint = ValueHint::FilePath, display_order = LAST)]
    pub(crate) journal: Option<PathBuf>,
}

// How long to wait.
#[derive(Debug, Args)]
pub(crate) struct Patience {
    /// Wait this long at most [default: no limit]
    #[arg(short = 'w', long, value_name = "D", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Try once, and do not wait
    #[arg(short, long, conflicts_with = "timeout")]
    pub(crate) nonblock: bool,
    /// The exit status if the lock is still held after --timeout, or with --nonblock
    #[arg(short = 'E', long, value_name = "N", default_value_t = NOT_IN_TIME)]
    pub(crate) conflict_exit_code: u8,
}

// When others' locks may be broken.
#[derive(Clone, Debug, Args)]
pub(crate) struct Judgement {
    /// How long after its expiry a lock may be broken
    #[arg(long, value_name = "D", value_parser = duration, default_value = "10s", env = "LINKLOCK_GRACE", hide_env_values = true)]
    pub(crate) grace: Duration,
    /// Do not treat a lock as abandoned because its process on this machine has ended. Wait for its expiry
    #[arg(long)]
    pub(crate) no_recover_dead: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProtocolArg {
    Link,
    Dir,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WakeArg {
    Poll,
    Udp,
}

/// How many slots a lock may have.
pub(super) fn slots() -> impl TypedValueParser<Value = usize> {
    RangedU64ValueParser::new().range(1..=SLOTS_MOST as u64)
}

impl From<WakeArg> for Wake {
    fn from(arg: WakeArg) -> Self {
        match arg {
            WakeArg::Poll => Self::Poll,
            WakeArg::Udp => Self::Udp,
        }
    }
}

impl From<ProtocolArg> for Protocol {
    fn from(arg: ProtocolArg) -> Self {
        match arg {
            ProtocolArg::Link => Self::Link,
            ProtocolArg::Dir => Self::Dir,
        }
    }
}

impl Place {
    pub(crate) fn builder(&self) -> Builder {
        self.builder_of(&self.path)
    }

    /// For another lock path.
    pub(crate) fn builder_of(&self, path: &Path) -> Builder {
        Lock::builder(path).separator(self.separator)
    }
}

impl Contest {
    pub(crate) fn protocol(&self) -> Protocol {
        if self.shared { Protocol::Dir } else { self.protocol.into() }
    }

    pub(crate) fn apply(&self, builder: Builder) -> Builder {
        let builder = self.judgement.apply(builder).protocol(self.protocol()).shared(self.shared);
        let builder = builder.queue(self.queue).wake(self.waking.wake.into()).require_private(self.require_private);
        builder.allow_unsafe_file_system(self.unsafe_filesystem)
    }
}

impl Judgement {
    pub(crate) fn apply(&self, builder: Builder) -> Builder {
        builder.grace(self.grace).recover_dead(!self.no_recover_dead)
    }
}
