//! The lock and its builder.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::env::Env;
use crate::env::os::OsEnv;
use crate::error::Error;
use crate::guard::Guard;
use crate::holder::About;
use crate::inspect::{self, Status};
use crate::lease::check_lifetime;
use crate::lifetime::{LIFETIME_MOST, typed};
use crate::lock_path::LockPath;
use crate::operator::{self, Which};
use crate::options::{OnBehalfOf, Protocol, Wake};
use crate::protocol::leftovers::{self, Leftover};
use crate::protocol::place::{Order, Place};
use crate::protocol::private::Privacy;
use crate::protocol::stake::Stake;
use crate::token::Token;
use crate::wait::Wait;
use crate::{acquire, names};

/// The separator in the names of claims, as flufl.lock has it: on Windows, whose names cannot hold a `|`, it is `^`.
pub const SEPARATOR: char = if cfg!(windows) { '^' } else { '|' };
/// How long a lock lasts without a refresh, unless the builder says otherwise.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(15);
/// How long after its expiry a lock is broken, unless the builder says otherwise: flufl.lock's CLOCK_SLOP.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// A lock path, and how to contend for it. Holds nothing: [`acquire`](Self::acquire) gives a [`Guard`] that does.
///
/// One `Lock` may be shared by threads, and every `acquire` is a contender of its own: two in one process exclude each
/// other as two on different machines do.
#[derive(Clone, Debug)]
pub struct Lock {
    place: Arc<Place>,
    keep_alive: bool,
    privacy: Arc<Privacy>,
}

impl Lock {
    /// A lock at this path, with the defaults of [`Builder`].
    ///
    /// # Errors
    /// Invalid, if no lock can have this path.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder(path).build()
    }

    /// For setting more than the path.
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder {
            path: path.as_ref().into(),
            lifetime: DEFAULT_LIFETIME,
            grace: DEFAULT_GRACE,
            separator: SEPARATOR,
            host: None,
            mode: 0o644,
            recover_dead: true,
            keep_alive: false,
            protocol: Protocol::Link,
            on_behalf_of: OnBehalfOf::ThisProcess,
            command: None,
            fence: false,
            queue: false,
            shared: false,
            wake: Wake::Poll,
            require_private: false,
            allow_unsafe: false,
            found: 0,
        }
    }

    /// The same lock, to be shared: whoever acquires it so holds it together with all others who do. One who wants it for himself
    /// excludes them, and they him.
    ///
    /// While somebody waits who wants it for himself, newcomers wait too. An exclusive lock can be made a shared one, by
    /// [`Guard::downgrade`]. A shared lock cannot be made an exclusive one: two that wait for each other to release would wait for
    /// ever. Only locks of one user are shared; another user's reader waits.
    ///
    /// ```
    /// # use linklock::{Lock, Protocol};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("cache.lock");
    /// # if cfg!(windows) { return Ok(()) }
    /// let lock = Lock::builder(path).protocol(Protocol::Dir).build()?;
    /// let (one, other) = (lock.shared()?.acquire()?, lock.shared()?.acquire()?);
    /// assert!(lock.try_acquire()?.is_none(), "nobody has it for himself");
    /// one.release()?;
    /// other.release()?;
    /// assert!(lock.try_acquire()?.is_some());
    /// # Ok::<_, linklock::Error>(())
    /// ```
    ///
    /// # Errors
    /// Invalid, under [`Protocol::Link`]: a file has no room for several holders; and on Windows.
    pub fn shared(&self) -> Result<Self, Error> {
        let shared = Self { place: Arc::new(self.place.to_be_shared()), ..self.clone() };
        shared.check_settings()?;
        Ok(shared)
    }

    /// What depends on several settings.
    fn check_settings(&self) -> Result<(), Error> {
        if let Some(why) = self.place.why_never_shared().filter(|_| self.place.shared) {
            return Err(Error::invalid(format!("shared: {why}")));
        }
        self.place.path.check_room(&self.place.host, self.place.order == Order::Arrival, self.place.shared)
    }

    /// The lock path, absolute.
    pub fn path(&self) -> &Path {
        self.place.lock_path()
    }

    /// The name that others see for this machine.
    pub fn host(&self) -> &str {
        &self.place.host
    }

    /// What others may read of this contender once it holds the lock with [`Protocol::Dir`]: its user, and its command as
    /// [`Builder::command`] has it. Asks nothing of the lock's file system.
    pub fn about(&self) -> About {
        self.place.about()
    }

    /// Takes the lock, and waits for it for ever.
    ///
    /// # Errors
    /// What stands in the way: the lock path is something else, or its directory is missing, not writable or not private.
    pub fn acquire(&self) -> Result<Guard, Error> {
        self.acquire_with(&Wait::forever())
    }

    /// Takes the lock if it can be acquired now, and gives `None` if it is held. This is one full try: a lock that has expired is
    /// broken. To learn who holds it, use [`acquire_with`](Self::acquire_with) and [`Wait::never`], or [`inspect`](Self::inspect).
    ///
    /// ```
    /// # use linklock::Lock;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let lock = Lock::new(dir.path().join("job.lock"))?;
    /// let held = lock.try_acquire()?.expect("nobody else wants it");
    /// assert!(lock.try_acquire()?.is_none());
    /// # Ok::<_, linklock::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub fn try_acquire(&self) -> Result<Option<Guard>, Error> {
        match self.acquire_with(&Wait::never()) {
            Ok(guard) => Ok(Some(guard)),
            Err(e) if e.is_timeout() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Takes the lock, and waits for it as long as `wait` says.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire); timeout and cancelled, with the holder.
    pub fn acquire_with(&self, wait: &Wait) -> Result<Guard, Error> {
        self.check_private()?;
        self.hold(acquire::acquire(&self.place, wait)?)
    }

    /// Does `work` under the lock, and gives what it gives. The lock is acquired as by [`acquire`](Self::acquire), and released
    /// after the work, also if that panics.
    ///
    /// ```
    /// # use linklock::Lock;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let lock = Lock::new(dir.path().join("job.lock"))?;
    /// let sum = lock.with(|guard| {
    ///     // Before each step that must happen under the lock, ask guard.is_lost().
    ///     if guard.is_lost() { None } else { Some(1 + 2) }
    /// })?;
    /// assert_eq!(sum, Some(3));
    /// # Ok::<_, linklock::Error>(())
    /// ```
    ///
    /// # Errors
    /// As `acquire`, and then the work was not begun; as [`Guard::release`], and then it was done. Above all lost: what was done
    /// may have been done by another too.
    pub fn with<T>(&self, work: impl FnOnce(&Guard) -> T) -> Result<T, Error> {
        let guard = self.acquire()?;
        let done = work(&guard);
        guard.release()?;
        Ok(done)
    }

    /// As `acquire_with`, in steps: between two, the future pends.
    #[cfg(feature = "tokio")]
    pub(crate) async fn acquire_in_task(self, wait: Wait) -> Result<Guard, Error> {
        self.check_private()?;
        let stake = acquire::contend(&self.place, &wait, acquire::Pace::Task).await?;
        self.hold(stake)
    }

    /// Takes over a lock that another process of this user acquired and left, by its token. What the claim holds is asked of the
    /// disk, and how long it lasts of the server's clock. The guard keeps the lock's own lifetime, which `link` rounds up by a
    /// sixteenth at most; this builder's lifetime counts only for a claim that names none, as flufl.lock's.
    ///
    /// # Errors
    /// Lost, if its lifetime is over; not held, if another claim, another user's or none holds the lock.
    pub fn adopt(&self, token: &Token) -> Result<Guard, Error> {
        let (place, stake) = operator::adopt(&self.place, token)?;
        Guard::new(Arc::new(place), stake, self.keep_alive)
    }

    /// Looks at the lock path without touching anything. What is over is judged by this machine's wall clock; a contender
    /// asks the file server's.
    ///
    /// # Errors
    /// If the file system does not let us look.
    pub fn inspect(&self) -> Result<Status, Error> {
        inspect::inspect(&self.place)
    }

    /// Waits until the next contender could have the lock at once, without taking it.
    ///
    /// # Errors
    /// Timeout, with the holder; cancelled.
    pub fn wait_until_free(&self, wait: &Wait) -> Result<(), Error> {
        acquire::wait_until_free(&self.place, wait)
    }

    /// Takes the lock from its holder, for an operator. Tells what was broken; `None` if the lock was free. Either way it removes
    /// what [`clean`](Self::clean) would, except for claims that flufl.lock made and the empty directory of a free lock.
    ///
    /// # Errors
    /// Not held, if it is not the named claim's; timeout, if it is not over. What is no lock is never removed.
    pub fn break_lock(&self, which: &Which) -> Result<Option<Status>, Error> {
        operator::break_lock(&self.place, which)
    }

    /// What contenders left beside the lock path, and what they use now: claims, tickets of the queue, the break lock; and at the
    /// lock path, the empty directory of a free lock. Touches nothing. What expired long ago is judged by this machine's wall clock, as
    /// [`inspect`](Self::inspect) does.
    ///
    /// # Errors
    /// If the directory cannot be listed.
    pub fn leftovers(&self) -> Result<Vec<Leftover>, Error> {
        leftovers::list(&self.place)
    }

    /// Removes those of these leftovers that may be removed, whether the lock is held or not. Each of them is looked at again,
    /// and judged by the file server's clock. Tells what became of each; what is gone by now is left out.
    ///
    /// The claim that holds the lock is never removed. The contender that made a claim may be alive, on another machine, if the
    /// claim expired more than a day and more than ten lifetimes ago: then it makes another one. A flufl.lock that still waits
    /// with so old a claim fails.
    ///
    /// # Errors
    /// If the directory cannot be listed. What cannot be removed is told as [`LeftoverVerdict::Failed`].
    ///
    /// [`LeftoverVerdict::Failed`]: crate::LeftoverVerdict::Failed
    pub fn clean(&self, which: Vec<Leftover>) -> Result<Vec<Leftover>, Error> {
        leftovers::clean(&self.place, which, || operator::ask_server(&self.place))
    }

    /// The lock paths of a directory, as the names of claims and tickets there tell. A lock that nobody has touched has none.
    ///
    /// # Errors
    /// Invalid, if the directory's path holds the separator; or if it cannot be listed.
    pub fn paths_in(dir: impl AsRef<Path>, separator: char) -> Result<Vec<PathBuf>, Error> {
        let dir = dir.as_ref();
        let at = |name: &OsStr| Self::builder(dir.join(name)).separator(separator).build();
        // Any name will do.
        let any = at("lock".as_ref())?;
        let mut paths = BTreeSet::new();
        let listed = any.place.env.list_dir(dir, &mut |name, _| {
            // No lock path holds the separator.
            if let Some(lock) = names::before(name, separator).and_then(|lock| at(&lock).ok())
                && !paths.contains(lock.path())
                && leftovers::names_lock(&lock.place, name)
            {
                paths.insert(lock.path().to_owned());
            }
            ControlFlow::Continue(())
        });
        listed.map_err(|e| leftovers::cannot_list(dir, e))?;
        Ok(paths.into_iter().collect())
    }

    /// The nth slot of this lock: a lock beside it, of the same settings.
    pub(crate) fn slot(&self, n: usize) -> Result<Self, Error> {
        let place = Place::slot(&self.place, n);
        place.path.check_room(&place.host, false, false)?;
        Ok(Self { place: Arc::new(place), ..self.clone() })
    }

    pub(crate) fn check_private(&self) -> Result<(), Error> {
        self.privacy.check(&self.place)
    }

    /// The guard of this lock, which was won with this claim.
    pub(crate) fn hold(&self, stake: Stake) -> Result<Guard, Error> {
        Guard::new(Arc::clone(&self.place), stake, self.keep_alive)
    }

    pub(crate) fn is_kept_alive(&self) -> bool {
        self.keep_alive
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }
}

/// Settings of a [`Lock`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until build() is called"]
pub struct Builder {
    path: PathBuf,
    lifetime: Duration,
    grace: Duration,
    separator: char,
    host: Option<String>,
    mode: u32,
    recover_dead: bool,
    keep_alive: bool,
    protocol: Protocol,
    on_behalf_of: OnBehalfOf,
    command: Option<String>,
    fence: bool,
    queue: bool,
    shared: bool,
    wake: Wake,
    require_private: bool,
    allow_unsafe: bool,
    /// How many of the last names in the path were found by surveys, if it names a directory.
    found: usize,
}

impl Builder {
    /// A lock beside the path of this builder, which names a directory, with the same settings.
    pub(crate) fn within(&self, name: &OsStr, env: &Arc<dyn Env>) -> Result<Lock, Error> {
        Self { path: self.path.join(name), ..self.clone() }.build_in(Arc::clone(env))
    }

    /// The same settings for a directory that was found in the one that this builder's path names.
    pub(crate) fn below(&self, dir: PathBuf) -> Self {
        Self { path: dir, found: self.found + 1, ..self.clone() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn separates_by(&self) -> char {
        self.separator
    }

    /// How long the lock lasts without a refresh: 15 s unless set; 10 ms to ten years. Long enough for the work, or for
    /// the worst pause of the file server if the lock is kept alive; short enough to wait for after a crash.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// How long after its expiry a lock is broken: 10 s unless set. It must cover what the clocks of holder and server can
    /// drift apart within a lifetime, and with flufl.lock peers the difference of the machines' wall clocks.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// What stands between the parts of a claim's name: [`SEPARATOR`] unless set. All contenders must agree on it, and the
    /// lock path must not hold it.
    pub fn separator(mut self, separator: char) -> Self {
        self.separator = separator;
        self
    }

    /// The name that others see for this machine; the system's host name unless set. It must differ between machines.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The permissions of the claim's file, before the umask: 0o644 unless set. Who may not read it cannot see who holds the
    /// lock, and cannot break it. On Windows the directory's access list says this, and the mode nothing.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Whether a lock is broken at once when its holder, on this machine, is known to have ended. On unless set. Switch it
    /// off where work goes on under the lock after the holding process has ended, or where machines are resumed from one
    /// and the same snapshot, host name and all.
    pub fn recover_dead(mut self, recover: bool) -> Self {
        self.recover_dead = recover;
        self
    }

    /// Whether a background thread refreshes the lock for as long as the guard lives. Off unless set. It is one thread for
    /// the whole process: while a file system makes one lock's refresh hang, the others wait too, and may be lost. Each
    /// owner is told in time, since the notice of loss needs no thread.
    pub fn keep_alive(mut self, keep: bool) -> Self {
        self.keep_alive = keep;
        self
    }

    /// How the lock is kept on disk: [`Protocol::Link`] unless set.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// For whom the lock is taken: for this process unless set.
    pub fn on_behalf_of(mut self, whom: OnBehalfOf) -> Self {
        self.on_behalf_of = whom;
        self
    }

    /// What others are told that the holder runs, under [`Protocol::Dir`]: the name of its process unless set. Only the first 200
    /// characters are kept.
    ///
    /// It is written into the lock, which all may read whom [`mode`](Self::mode) lets read it, by default everybody: beside the
    /// host's name, the pid, this user's name, the time of the acquisition and the lifetime. So it must hold no secret, as the
    /// arguments of a command may.
    pub fn command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    /// Whether every acquisition gets a fencing token, to be read from [`Guard::fencing_token`]. Off unless set. All
    /// contenders should have it on: who has it off draws no number. The counter is the directory `LOCKPATH|fence`, which
    /// stays when the lock is released; numbers are never below the file server's time in microseconds, so removing it
    /// while nobody holds the lock is safe.
    pub fn fence(mut self, fence: bool) -> Self {
        self.fence = fence;
        self
    }

    /// Whether contenders take the lock in the order in which they came, by the file server's clock. Off unless set; it is
    /// kept among those that have it on. A newcomer then looks for a queue before it tries: one call more. Whoever has to
    /// wait has a ticket in the directory `LOCKPATH|queue`, and a release wakes one contender instead of all of its machine.
    /// Where it is off, and the file system is this machine's own, those who wait may have tickets too, for the sake of the
    /// latter; but any contender may overtake them, and none of them delays the others by more than about two seconds.
    /// But the lock stays free until the next in the queue has noticed, on another machine after about an eighth of the last hold, and
    /// a second and a half at most (less with [`Wake::Udp`]); and one that is stopped, or dies on another machine, while it is next holds up the others for a minute. One try without waiting,
    /// [`Lock::try_acquire`], does not queue up.
    pub fn queue(mut self, queue: bool) -> Self {
        self.queue = queue;
        self
    }

    /// Whether the lock is acquired to be shared, as by [`Lock::shared`]. Off unless set. It needs [`Protocol::Dir`]. Not on
    /// Windows.
    pub fn shared(mut self, shared: bool) -> Self {
        self.shared = shared;
        self
    }

    /// How a contender learns of a release on another machine: [`Wake::Poll`] unless set.
    ///
    /// With [`Wake::Udp`] it opens one UDP socket for the process, on any free port, while it waits, and writes where it listens into
    /// the bell, `LOCKPATH|bell`. Whoever releases the lock with this setting sends a datagram of 16 bytes there. A datagram makes a
    /// waiter look, at most once in 5 ms, and decides nothing; if none comes (a firewall, a holder without the setting, a system
    /// other than Linux), the waiter polls as without it. Whoever may write to the lock's directory can choose where each release
    /// sends one datagram: to the address of any one host, but to no port below 1024 and to no special address (loopback, link-local,
    /// multicast, broadcast).
    pub fn wake(mut self, wake: Wake) -> Self {
        self.wake = wake;
        self
    }

    /// Whether the lock is refused in a directory that is not private. Off unless set. Private is a directory of this user's or of
    /// root's that nobody else may write to; a sticky one such as `/tmp` is not, since everybody there can deny the lock. The
    /// directory is looked at before each acquisition, and those above it are not: whoever may write to one of these, unless it is
    /// sticky, can put another directory in its place. The error has the kind [`Permission`](crate::ErrorKind::Permission).
    ///
    /// Where it is off, root gets a warning, as a `tracing` event, for each directory in which others can remove a lock that is
    /// held: one that is not sticky and that others may write to, or that belongs to another user.
    ///
    /// On Windows it is not known who may write to a directory: [`build`](Self::build) fails.
    pub fn require_private(mut self, require: bool) -> Self {
        self.require_private = require;
        self
    }

    /// Whether the lock may be on a file system where the protocol is known to fail: where two may hold it, or nobody can have
    /// it. Off unless set: then the acquisition fails with the kind [`Unsupported`](crate::ErrorKind::Unsupported), and there is a
    /// warning, as a `tracing` event, where it is not known. What is known is in docs/filesystems.md.
    pub fn allow_unsafe_file_system(mut self, allow: bool) -> Self {
        self.allow_unsafe = allow;
        self
    }

    /// Checks the settings. Touches nothing on disk.
    ///
    /// # Errors
    /// Invalid, with the setting that cannot work.
    pub fn build(self) -> Result<Lock, Error> {
        self.build_in(Arc::new(OsEnv))
    }

    pub(crate) fn build_in(self, env: Arc<dyn Env>) -> Result<Lock, Error> {
        let path = LockPath::new(&self.path, self.separator)?.found(self.found);
        check_lifetime(self.lifetime)?;
        if self.grace > LIFETIME_MOST {
            return Err(Error::invalid(format!("grace {}: must be at most ten years", typed(self.grace))));
        }
        if self.mode & !0o666 != 0 || self.mode & 0o600 != 0o600 {
            return Err(Error::invalid(format!(
                "mode {:o}: the owner must read and write, and nobody execute",
                self.mode
            )));
        }
        let host = match self.host {
            Some(host) => {
                path.check_host(&host)?;
                host
            }
            // What the system has is no user's mistake: make it fit.
            None => match env.host_name().replace(|c| path.is_not_for_hosts(c), "-") {
                name if name.is_empty() => "-".into(),
                name => name,
            },
        };
        if self.require_private && env.user_id().is_none() {
            return Err(Error::invalid(
                "require private: who may write to a directory is not known on this system; do not require it, and see to the directory's access list",
            ));
        }
        let place = Place {
            env,
            path,
            protocol: self.protocol,
            host,
            lifetime: self.lifetime,
            grace: self.grace,
            mode: self.mode,
            recover_dead: self.recover_dead,
            on_behalf_of: self.on_behalf_of,
            command: self.command,
            fence: self.fence,
            order: if self.queue { Order::Arrival } else { Order::Any },
            shared: self.shared,
            wake: self.wake,
            limit: None,
            listed: None,
            allow_unsafe: self.allow_unsafe,
            checked: Arc::default(),
            unchanged: Arc::default(),
            break_lock_unchanged: Arc::default(),
        };
        let privacy = Arc::new(Privacy::new(self.require_private));
        let lock = Lock { place: Arc::new(place), keep_alive: self.keep_alive, privacy };
        lock.check_settings()?;
        Ok(lock)
    }
}
