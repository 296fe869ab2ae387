//! The settings by which a worker process knows its lock.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use linklock::{Error, Guard, Lock, Protocol, Wait};

/// The settings of a lock, for this process or for one that it starts.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) path: PathBuf,
    pub(crate) protocol: Protocol,
    pub(crate) lifetime: Duration,
    pub(crate) grace: Duration,
    pub(crate) recover_dead: bool,
    pub(crate) keep_alive: bool,
    pub(crate) fence: bool,
    pub(crate) queue: bool,
    /// How many slots the lock has; 0 for a lock without.
    pub(crate) slots: usize,
    /// Another host name, so that others cannot see the holder's end.
    pub(crate) host: Option<String>,
}

impl Settings {
    pub(crate) fn new(path: &Path, protocol: Protocol) -> Self {
        Self {
            path: path.into(),
            protocol,
            lifetime: Duration::from_secs(15),
            grace: Duration::from_secs(10),
            recover_dead: true,
            keep_alive: false,
            fence: false,
            queue: false,
            slots: 0,
            host: None,
        }
    }

    pub(crate) fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    pub(crate) fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    pub(crate) fn recover_dead(self, recover_dead: bool) -> Self {
        Self { recover_dead, ..self }
    }

    pub(crate) fn keep_alive(self, keep_alive: bool) -> Self {
        Self { keep_alive, ..self }
    }

    pub(crate) fn host(self, host: &str) -> Self {
        Self { host: Some(host.into()), ..self }
    }

    pub(crate) fn slots(self, slots: usize) -> Self {
        Self { slots, ..self }
    }

    /// Acquires the lock, or a slot of it and tells which; 0 for the lock.
    pub(crate) fn acquire(&self, wait: &Wait) -> Result<(usize, Guard), Error> {
        if self.slots == 0 {
            return self.lock().acquire_with(wait).map(|guard| (0, guard));
        }
        let slot = self.lock().slots(self.slots).unwrap().acquire_with(wait)?;
        Ok((slot.number(), slot.into_guard()))
    }

    pub(crate) fn lock(&self) -> Lock {
        let mut builder = Lock::builder(&self.path)
            .protocol(self.protocol)
            .lifetime(self.lifetime)
            .grace(self.grace)
            .recover_dead(self.recover_dead)
            .keep_alive(self.keep_alive)
            .fence(self.fence)
            .queue(self.queue);
        if let Some(host) = &self.host {
            builder = builder.host(host);
        }
        builder.build().unwrap()
    }

    /// A process of this program that plays `role`, see `worker` in main.rs.
    pub(crate) fn command(&self, role: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "worker", "--ignored", "--nocapture", "--test-threads=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .env("WORKER_ROLE", role)
            .env("WORKER_PATH", &self.path)
            .env("WORKER_PROTOCOL", self.protocol.to_string())
            .env("WORKER_LIFETIME_MS", self.lifetime.as_millis().to_string())
            .env("WORKER_GRACE_MS", self.grace.as_millis().to_string())
            .env("WORKER_RECOVER_DEAD", self.recover_dead.to_string())
            .env("WORKER_KEEP_ALIVE", self.keep_alive.to_string())
            .env("WORKER_FENCE", self.fence.to_string())
            .env("WORKER_QUEUE", self.queue.to_string())
            .env("WORKER_SLOTS", self.slots.to_string())
            .env("WORKER_HOST", self.host.as_deref().unwrap_or_default());
        command
    }

    /// The settings that the parent process gave to `command`.
    pub(crate) fn from_env() -> Self {
        let host: String = env_value("WORKER_HOST");
        Self {
            path: PathBuf::from(std::env::var_os("WORKER_PATH").unwrap()),
            protocol: if env_value::<String>("WORKER_PROTOCOL") == "dir" { Protocol::Dir } else { Protocol::Link },
            lifetime: Duration::from_millis(env_value("WORKER_LIFETIME_MS")),
            grace: Duration::from_millis(env_value("WORKER_GRACE_MS")),
            recover_dead: env_value("WORKER_RECOVER_DEAD"),
            keep_alive: env_value("WORKER_KEEP_ALIVE"),
            fence: env_value("WORKER_FENCE"),
            queue: env_value("WORKER_QUEUE"),
            slots: env_value("WORKER_SLOTS"),
            host: (!host.is_empty()).then_some(host),
        }
    }
}

/// A value from the environment of this process.
pub(crate) fn env_value<T: std::str::FromStr<Err: std::fmt::Debug>>(name: &str) -> T {
    let value = std::env::var(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    value.parse().unwrap_or_else(|e| panic!("{name}={value}: {e:?}"))
}
