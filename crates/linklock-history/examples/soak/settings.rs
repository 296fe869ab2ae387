//! The words of the command line.

use std::collections::HashMap;
use std::error::Error;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use linklock::{Lock, Protocol};

/// LOCKPATH and KEY=VALUE.
#[derive(Debug)]
pub(crate) struct Settings {
    path: String,
    words: HashMap<String, String>,
}

impl Settings {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let path = args.next().ok_or("usage: soak LOCKPATH KEY=VALUE...")?;
        let word = |arg: String| arg.split_once('=').map(|(key, value)| (key.into(), value.into())).ok_or(arg);
        let words = args.map(word).collect::<Result<_, _>>().map_err(|arg| format!("not KEY=VALUE: {arg}"))?;
        Ok(Self { path, words })
    }

    /// The value, if it is given.
    pub(crate) fn find<T: FromStr>(&self, key: &str) -> Result<Option<T>, Box<dyn Error>>
    where
        T::Err: Error + 'static,
    {
        Ok(self.words.get(key).map(|value| value.parse()).transpose()?)
    }

    pub(crate) fn get<T: FromStr>(&self, key: &str) -> Result<T, Box<dyn Error>>
    where
        T::Err: Error + 'static,
    {
        Ok(self.find(key)?.ok_or_else(|| format!("{key} is missing"))?)
    }

    pub(crate) fn file(&self, key: &str) -> Result<PathBuf, Box<dyn Error>> {
        self.get(key)
    }

    pub(crate) fn millis(&self, key: &str) -> Result<Duration, Box<dyn Error>> {
        Ok(Duration::from_millis(self.get(key)?))
    }

    pub(crate) fn is_on(&self, key: &str) -> Result<bool, Box<dyn Error>> {
        Ok(self.find::<u8>(key)?.is_some_and(|value| value != 0))
    }

    pub(crate) fn lock(&self) -> Result<Lock, Box<dyn Error>> {
        let mut lock = Lock::builder(&self.path)
            .protocol(if self.words.get("protocol").is_some_and(|name| name == "link") {
                Protocol::Link
            } else {
                Protocol::Dir
            })
            .lifetime(self.millis("lifetime_ms")?)
            .grace(self.millis("grace_ms")?)
            .queue(self.is_on("queue")?)
            .shared(self.is_on("shared")?)
            .keep_alive(self.is_on("keep_alive")?)
            .recover_dead(self.is_on("recover")?)
            .fence(self.is_on("fence")?);
        if let Some(host) = self.words.get("host") {
            lock = lock.host(host);
        }
        Ok(lock.build()?)
    }
}
