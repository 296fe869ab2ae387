//! Options of a lock.

use std::time::Duration;

use rust_linklock::{Builder, Protocol};

use crate::error::Failure;

/// A claim file, hard-linked to the lock path. Compatible with flufl.lock. The default.
pub const LINKLOCK_PROTOCOL_LINK: i32 = 1;
/// A claim directory, renamed to the lock path. Safer: no step of it can remove another holder's lock.
pub const LINKLOCK_PROTOCOL_DIR: i32 = 2;

/// Options of a lock: linklock_options_new. One thread at a time may use it.
#[derive(Debug, Default)]
pub struct Options {
    settings: Vec<Setting>,
    /// The first setting that is not valid. Whoever does not look at what the setter returned still gets no lock.
    flaw: Option<Failure>,
}

#[derive(Clone, Debug)]
pub(crate) enum Setting {
    Protocol(Protocol),
    Lifetime(Duration),
    Grace(Duration),
    KeepAlive(bool),
    Fence(bool),
    Queue(bool),
    Shared(bool),
    RequirePrivate(bool),
    AllowUnsafeFileSystem(bool),
    Command(String),
    Host(String),
}

impl Setting {
    fn apply(self, to: Builder) -> Builder {
        match self {
            Self::Protocol(protocol) => to.protocol(protocol),
            Self::Lifetime(lifetime) => to.lifetime(lifetime),
            Self::Grace(grace) => to.grace(grace),
            Self::KeepAlive(on) => to.keep_alive(on),
            Self::Fence(on) => to.fence(on),
            Self::Queue(on) => to.queue(on),
            Self::Shared(on) => to.shared(on),
            Self::RequirePrivate(on) => to.require_private(on),
            Self::AllowUnsafeFileSystem(on) => to.allow_unsafe_file_system(on),
            Self::Command(command) => to.command(command),
            Self::Host(host) => to.host(host),
        }
    }
}

impl Options {
    /// A setting, or what is wrong with it.
    pub(crate) fn set(&mut self, setting: Result<Setting, Failure>) -> Result<(), Failure> {
        match setting {
            Ok(setting) => {
                self.settings.push(setting);
                Ok(())
            }
            Err(failure) => {
                self.flaw.get_or_insert(failure.clone());
                Err(failure)
            }
        }
    }

    pub(crate) fn apply(&self, to: Builder) -> Result<Builder, Failure> {
        match &self.flaw {
            Some(flaw) => Err(flaw.clone()),
            None => Ok(self.settings.iter().cloned().fold(to, |builder, setting| setting.apply(builder))),
        }
    }
}

pub(crate) fn protocol_of(number: i32) -> Result<Protocol, Failure> {
    match number {
        LINKLOCK_PROTOCOL_LINK => Ok(Protocol::Link),
        LINKLOCK_PROTOCOL_DIR => Ok(Protocol::Dir),
        _ => {
            Err(Failure::invalid(format!("protocol {number}: must be LINKLOCK_PROTOCOL_LINK or LINKLOCK_PROTOCOL_DIR")))
        }
    }
}

pub(crate) fn duration(ms: i64, what: &str) -> Result<Duration, Failure> {
    let ms = u64::try_from(ms).map_err(|_| Failure::invalid(format!("{what} {ms} ms: must not be negative")))?;
    Ok(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flaw_stays_one_whatever_is_set_later() {
        let mut options = Options::default();
        assert!(options.set(duration(-1, "lifetime").map(Setting::Lifetime)).is_err());
        assert!(options.set(protocol_of(3).map(Setting::Protocol)).is_err());
        assert!(options.set(duration(1000, "lifetime").map(Setting::Lifetime)).is_ok());
        let flaw = options.apply(rust_linklock::Lock::builder("a")).unwrap_err();
        assert_eq!(flaw.message, "lifetime -1 ms: must not be negative");
    }

    #[test]
    fn the_last_setting_of_its_kind_counts() {
        let mut options = Options::default();
        for ms in [1, 5000] {
            options.set(duration(ms, "lifetime").map(Setting::Lifetime)).unwrap();
        }
        // One of 1 ms would be refused.
        options.apply(rust_linklock::Lock::builder("/a/b")).unwrap().build().unwrap();
    }
}
