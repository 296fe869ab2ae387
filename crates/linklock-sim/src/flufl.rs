//! flufl.lock's algorithm, by its documentation and its measured behaviour: it shows that the simulation finds the known races.
//! It needs a wall clock that agrees with the server's, and gets one.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::client::SimEnv;
use crate::config::{DIR, LOCK};
use crate::env::{Attr, Env, Location, Meant};
use crate::settings::Settings;
use crate::time::{LocalTime, ServerTime};

pub(crate) struct Flufl<'a> {
    env: &'a SimEnv,
    lock: Location,
    claim: Location,
    lifetime: Duration,
    slop: Duration,
}

impl<'a> Flufl<'a> {
    pub(crate) fn new(env: &'a SimEnv) -> Self {
        let Settings { lifetime, grace, .. } = env.settings();
        let claim = format!("{}|{}|{}|{}", LOCK, env.host_name(), env.process_id(), env.unique());
        let [lock, claim] = [LOCK, &claim].map(|name| Location::beside(DIR.as_ref(), name.as_ref()));
        Self { env, lock, claim, lifetime, slop: grace }
    }

    /// The claim's name.
    pub(crate) fn token(&self) -> String {
        self.claim.as_path().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Returns the time up to which it trusts the lock; `None` if `patience` was not enough.
    pub(crate) fn lock(&self, patience: Duration) -> io::Result<Option<LocalTime>> {
        let started = self.env.now();
        let content = self.claim.as_path().to_string_lossy().into_owned();
        let mut expiry = |_: &_| Some(self.server_now() + self.lifetime);
        self.env.create(&self.claim, content.as_bytes(), 0o644, &mut expiry)?;
        loop {
            if self.env.link(&self.claim, &self.lock).is_ok() {
                // It updates the expiry only now: for a moment the lock had the one from before the wait.
                let deadline = self.env.now() + self.lifetime;
                let _ = self.touch(&self.claim);
                return Ok(Some(deadline));
            }
            if self.env.now().since(started) > patience {
                let _ = self.env.unlink(&self.claim);
                return Ok(None);
            }
            if let Ok(attr) = self.env.stat(&self.lock)
                && self.server_now() > attr.mtime + self.slop
            {
                self.break_lock();
            }
            self.env.sleep(Duration::from_millis(10 + self.env.random() % 2000));
        }
    }

    fn break_lock(&self) {
        // It does not look again: it removes whichever file has that name by now.
        let _ = self.touch(&self.lock);
        let winner = self.env.read(&self.lock, usize::MAX).map(|(_, content)| content).unwrap_or_default();
        let _ = self.env.unlink(&self.lock);
        let winner = PathBuf::from(String::from_utf8_lossy(&winner).into_owned());
        let _ = self.env.unlink(&Location::beside(DIR.as_ref(), winner.file_name().unwrap_or_default()));
    }

    pub(crate) fn unlock(&self) {
        let _ = self.touch(&self.claim);
        let links = self.env.stat(&self.lock).map_or(0, |attr| attr.nlink);
        let ours = self
            .env
            .read(&self.lock, usize::MAX)
            .is_ok_and(|(_, read)| read == self.claim.as_path().as_os_str().as_encoded_bytes());
        if links == 2 && ours {
            let _ = self.env.unlink(&self.lock);
        }
        let _ = self.env.unlink(&self.claim);
    }

    /// Sets the expiry without checking which file it is.
    fn touch(&self, at: &Location) -> io::Result<Attr> {
        let attr = self.env.stat_as_known(at)?;
        self.env.set_expiry(
            at,
            Meant { id: Some(attr.id), owner: attr.owner, is_alone: false },
            self.server_now() + self.lifetime,
        )
    }

    fn server_now(&self) -> ServerTime {
        self.env.sim.with(|world| world.server_now())
    }
}
