//! How long to wait, what ends a wait, and when to look again.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::env::{Env, Event, Reach};
use crate::holder::Holder;

/// How to wait for a lock: how long, what cancels it, whom it reports to. `Debug` prints it for people.
///
/// ```
/// use std::time::Duration;
/// use linklock::{Cancel, Wait};
///
/// let cancel = Cancel::new()?;
/// let wait = Wait::up_to(Duration::from_secs(30))
///     .cancelled_by(&cancel)
///     .reporting(|waiting| eprintln!("held by {:?}, {:?} so far", waiting.holder, waiting.waited));
/// assert_eq!(format!("{wait:?}"), "wait up to 30s");
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Wait {
    pub(crate) limit: Option<Duration>,
    pub(crate) cancel: Option<Cancel>,
    pub(crate) report: Option<Report>,
    /// How often at least it is called once a second has passed; `None`: each second.
    pub(crate) report_every: Option<Duration>,
}

type Report = Arc<dyn Fn(&Waiting<'_>) + Send + Sync>;

impl Wait {
    /// Until the lock is acquired, however long that takes.
    pub fn forever() -> Self {
        Self::default()
    }

    /// For so long and no longer. Zero means one full try, which also breaks a lock that has expired.
    pub fn up_to(limit: Duration) -> Self {
        Self { limit: Some(limit), ..Self::default() }
    }

    /// Not at all: one full try, which also breaks a lock that has expired.
    pub fn never() -> Self {
        Self::up_to(Duration::ZERO)
    }

    /// Until `cancel` is cancelled, if that is sooner.
    #[must_use]
    pub fn cancelled_by(mut self, cancel: &Cancel) -> Self {
        self.cancel = Some(cancel.clone());
        self
    }

    /// Calls `report` before every pause, and at least once a second: to show whom we wait for, or to learn in which
    /// thread a signal came in. It runs in the waiting thread.
    #[must_use]
    pub fn reporting(mut self, report: impl Fn(&Waiting<'_>) + Send + Sync + 'static) -> Self {
        self.report = Some(Arc::new(report));
        self
    }

    /// As [`reporting`](Self::reporting), but after the first second at least once in `interval`. A report wakes the waiter, which
    /// then looks at the lock: where requests to a file server count, choose a long interval.
    #[must_use]
    pub fn reporting_every(self, interval: Duration, report: impl Fn(&Waiting<'_>) + Send + Sync + 'static) -> Self {
        Self { report_every: Some(interval), ..self.reporting(report) }
    }
}

impl Wait {
    /// What is left of it after so long.
    pub(crate) fn after(&self, waited: Duration) -> Self {
        Self { limit: self.limit.map(|limit| limit.saturating_sub(waited)), ..self.clone() }
    }

    /// Whether there is to be no wait at all.
    pub(crate) fn is_single_try(&self) -> bool {
        self.limit == Some(Duration::ZERO)
    }

    /// Also calls `act` before each pause, before the report. It asks for no more reports.
    pub(crate) fn first_reporting(self, act: impl Fn() + Send + Sync + 'static) -> Self {
        let report = self.report.clone();
        let both = move |waiting: &Waiting<'_>| {
            act();
            if let Some(report) = &report {
                report(waiting);
            }
        };
        let report_every = if self.report.is_some() { self.report_every } else { Some(Duration::MAX) };
        Self { report: Some(Arc::new(both)), report_every, ..self }
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            None => f.write_str("wait for ever"),
            Some(Duration::ZERO) => f.write_str("try once"),
            Some(limit) => write!(f, "wait up to {limit:?}"),
        }
    }
}

/// What a waiting contender knows.
#[derive(Debug)]
#[non_exhaustive]
pub struct Waiting<'a> {
    /// The lock path.
    pub path: &'a Path,
    /// Who holds the lock, where that can be read.
    pub holder: Option<&'a Holder>,
    /// How long the wait has lasted.
    pub waited: Duration,
    /// For how much longer the lock must be seen unchanged before it counts as expired. `None` where its expiry can be
    /// compared with the file server's clock. It is not on file systems where clients stamp files by clocks of their own, and
    /// where linklock does not know.
    pub must_watch: Option<Duration>,
}

/// Ends waits from another thread. Clones are one and the same; once cancelled, it stays so.
#[derive(Clone, Debug)]
pub struct Cancel(Arc<Event>);

impl Cancel {
    /// One that nobody has cancelled yet.
    ///
    /// # Errors
    /// Where the system has no more file descriptors or handles.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Event::new()?)))
    }

    /// Ends every wait that was given this or a clone of it, now and from now on. It stores an atomic and writes to a file
    /// descriptor (on Windows it sets an event), so a signal handler may call it.
    pub fn cancel(&self) {
        self.0.set();
    }

    /// Whether somebody has.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_set()
    }

    pub(crate) fn event(&self) -> &Arc<Event> {
        &self.0
    }
}

/// The pause of the contender that is to be the next holder, where it is not woken: an eighth of the time for which the lock has had
/// this holder, as far as was seen. So after a short hold the lock is not free for long, and a long hold costs few more looks than
/// without the hurry: some thirty in all. Never longer than `usual`.
pub(crate) fn hurried(env: &dyn Env, held_for: Duration, usual: Duration) -> Duration {
    let pause = (held_for / HURRY).max(PAUSE_LEAST);
    // Between three quarters and five quarters of that.
    let jitter = 750 + env.random() % 500;
    (pause * jitter as u32 / 1000).min(usual)
}

const HURRY: u32 = 8;
const PAUSE_LEAST: Duration = Duration::from_millis(20);

/// The pause before the next look if nothing wakes us sooner. It never grows, so a contender that has waited long looks as
/// often as a newcomer; and it is jittered, so that contenders do not march in step.
pub(crate) fn poll_delay(env: &dyn Env, reach: Reach) -> Duration {
    let (least_ms, most_ms) = match reach {
        // A change may, rarely, be one that the kernel does not report.
        Reach::All => (9000, 13_000),
        // A change may come from another machine. 1.7 s on average makes 35 looks a minute, and half of all hand-offs
        // faster than 0.9 s.
        Reach::ThisMachine | Reach::NoneShared => (1450, 1950),
        // A look costs some 50 to 100 microseconds.
        Reach::NoneLocal => (50, 150),
        // Hundreds of these at the pace of one by himself would keep a processor busy; whoever releases wakes the others.
        Reach::Crowded => (4000, 6000),
    };
    Duration::from_millis(least_ms + env.random() % (most_ms - least_ms))
}
