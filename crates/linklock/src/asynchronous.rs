//! Locks for tasks of the tokio runtime, behind the cargo feature `tokio`.
//!
//! What asks a file system, which may hang, runs on the runtime's pool of blocking threads: step by step, from one pause of the
//! contender to the next. A contender that pauses has no thread.

use std::future::{self, Future};
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::env::Env;
use crate::env::os::OsEnv;
use crate::error::Error;
use crate::guard::{DowngradeError, Guard, Loss, ReleaseError};
use crate::lock::Lock;
use crate::slots::{Slot, Slots};
use crate::wait::Wait;

impl Lock {
    /// As [`acquire_with`](Self::acquire_with), for a task of the tokio runtime. Needs the cargo feature `tokio`.
    ///
    /// While it waits it has no thread: one thread of linklock's waits for all tasks of the process. What asks the file system
    /// runs on the runtime's pool of blocking threads (`spawn_blocking`), and never on its workers. So do reports to
    /// [`Wait::reporting`]. While a file system hangs, each task that asks it has one of that pool's threads.
    ///
    /// On Windows, nothing but the poll wakes a task: a release is noticed within 2 s, and within 150 ms on this machine's own
    /// drives. A cancellation is noticed within 100 ms.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time, as by `tokio::time::timeout` or `tokio::select!`. Then the claim is withdrawn, the
    /// place in the queue is given up, and a lock that was acquired at that moment is released. This too happens on the pool,
    /// soon after the drop; or at once if the runtime has ended.
    ///
    /// # Errors
    /// As [`acquire_with`](Self::acquire_with); and an I/O error where no tokio runtime runs blocking work: outside of a runtime,
    /// while one shuts down, and if the system has no more threads.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use linklock::{Lock, Wait};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("nightly.lock");
    /// let lock = Lock::builder(path).lifetime(Duration::from_secs(60)).keep_alive(true).build()?;
    ///
    /// let guard = lock.acquire_async(&Wait::up_to(Duration::from_secs(5))).await?;
    /// tokio::select! {
    ///     _ = guard.lost() => return Err("the lock was lost".into()),
    ///     () = work() => {}
    /// }
    /// guard.release_async().await?;
    /// # Ok(())
    /// # }
    /// # async fn work() {}
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub async fn acquire_async(&self, wait: &Wait) -> Result<Guard, Error> {
        drive(self.path(), self.clone().acquire_in_task(wait.clone())).await
    }
}

impl Slots {
    /// As [`acquire_with`](Self::acquire_with), for a task of the tokio runtime, as [`Lock::acquire_async`] is. Needs the cargo feature
    /// `tokio`.
    ///
    /// # Errors
    /// As [`acquire_with`](Self::acquire_with) and [`Lock::acquire_async`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use linklock::{Lock, Wait};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let slots = Lock::new(dir.path().join("downloads"))?.slots(4)?;
    /// let slot = slots.acquire_async(&Wait::forever()).await?;
    /// println!("slot {}", slot.number());
    /// slot.into_guard().release_async().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub async fn acquire_async(&self, wait: &Wait) -> Result<Slot, Error> {
        drive(self.path(), self.clone().acquire_in_task(wait.clone())).await
    }
}

impl Guard {
    /// Waits until the lock is lost (true), or released, left or given up (false): [`Loss::wait`] for a task of the tokio runtime.
    /// Needs the cargo feature `tokio`.
    ///
    /// It asks no file system. It may be dropped at any time.
    ///
    /// # Panics
    /// Outside of a tokio runtime that has its time driver enabled.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use linklock::Lock;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let lock = Lock::builder(dir.path().join("nightly.lock")).lifetime(Duration::from_millis(100)).build()?;
    /// let guard = lock.acquire()?;
    /// // Nobody refreshes it.
    /// assert!(guard.lost().await);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub async fn lost(&self) -> bool {
        self.loss().lost().await
    }

    /// As [`release`](Self::release), for a task of the tokio runtime: the file system is asked on the runtime's pool of blocking
    /// threads. Needs the cargo feature `tokio`.
    ///
    /// To drop a guard releases the lock too, and blocks the thread while it does so, in a task as anywhere else. Where a file system
    /// may hang, release with this method. If its future is dropped, the release goes on, and nobody learns how it ended.
    ///
    /// Where no runtime runs blocking work any more, the release runs in this thread.
    ///
    /// # Errors
    /// As [`release`](Self::release).
    ///
    /// # Examples
    ///
    /// ```
    /// # use linklock::{Lock, Wait};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let lock = Lock::new(dir.path().join("nightly.lock"))?;
    /// let guard = lock.acquire_async(&Wait::forever()).await?;
    /// guard.release_async().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub async fn release_async(self) -> Result<(), ReleaseError> {
        match on_pool(self, Guard::release).await {
            Ok(released) => released,
            Err(guard) => guard.release(),
        }
    }

    /// As [`downgrade`](Self::downgrade), for a task of the tokio runtime: the file system is asked on the runtime's pool of blocking
    /// threads. Needs the cargo feature `tokio`.
    ///
    /// If its future is dropped, the downgrade goes on, and then the lock is released. Where no runtime runs blocking work any more,
    /// the downgrade runs in this thread.
    ///
    /// # Errors
    /// As [`downgrade`](Self::downgrade).
    ///
    /// # Examples
    ///
    /// ```
    /// # use linklock::{Lock, Protocol, Wait};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # if cfg!(windows) { return Ok(()) }
    /// # let dir = tempfile::tempdir()?;
    /// let lock = Lock::builder(dir.path().join("cache.lock")).protocol(Protocol::Dir).build()?;
    /// let writer = lock.acquire_async(&Wait::forever()).await?;
    /// let reader = writer.downgrade_async().await?;
    /// reader.release_async().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub async fn downgrade_async(self) -> Result<Self, DowngradeError> {
        match on_pool(self, Self::downgrade).await {
            Ok(downgraded) => downgraded,
            Err(guard) => guard.downgrade(),
        }
    }
}

impl Loss {
    /// [`wait`](Self::wait) for a task of the tokio runtime, see [`Guard::lost`]. Needs the cargo feature `tokio`.
    ///
    /// # Panics
    /// Outside of a tokio runtime that has its time driver enabled.
    ///
    /// # Examples
    ///
    /// ```
    /// # use linklock::{Lock, Wait};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let lock = Lock::new(dir.path().join("nightly.lock"))?;
    /// let guard = lock.acquire_async(&Wait::forever()).await?;
    /// let loss = guard.loss();
    /// let watch = tokio::spawn(async move { loss.lost().await });
    /// guard.release_async().await?;
    /// assert!(!watch.await?, "it was released in time");
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub async fn lost(&self) -> bool {
        self.tenure.await_loss().await
    }
}

type Contending<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// Wakes the task when its contender is to look again.
struct Alarm(Notify);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Drives a contender on the pool from one pause to the next.
async fn drive<T: Send + 'static>(
    path: &Path,
    contender: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let alarm = Arc::new(Alarm(Notify::new()));
    let mut contender: Offloaded<Contending<T>> = Offloaded::new(Box::pin(contender));
    while let Some(this) = contender.take() {
        let waker = Waker::from(Arc::clone(&alarm));
        let step = move |mut contender: Contending<T>| match contender.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(acquired) => Step::Over(acquired),
            Poll::Pending => Step::Paused(contender),
        };
        match on_pool(this, step).await {
            Ok(Step::Over(acquired)) => return acquired,
            Ok(Step::Paused(paused)) => contender = Offloaded::new(paused),
            // It leaves here and now.
            Err(_) => break,
        }
        alarm.0.notified().await;
    }
    let why = "no tokio runtime runs blocking work here: there is none, it shuts down, or it gets no thread";
    Err(Error::io(path, "acquire the lock", io::Error::other(why)))
}

enum Step<T> {
    Over(Result<T, Error>),
    Paused(Contending<T>),
}

/// Acts on the pool; gives `with` back where there is no pool that does. If this future is dropped, the act goes on, and what comes
/// of it is dropped on the pool.
async fn on_pool<A, T>(with: A, act: impl FnOnce(A) -> T + Send + 'static) -> Result<T, A>
where
    A: Send + 'static,
    T: Send + 'static,
{
    let (handover, work) = start(with, |with| Offloaded::new(act(with)))?;
    match work.await.map(|done| done.and_then(Offloaded::take)) {
        Ok(Some(done)) => Ok(done),
        Err(e) if e.is_panic() => panic::resume_unwind(e.into_panic()),
        // The runtime ends, and has dropped the work before it began.
        Ok(None) | Err(_) => match handover.take() {
            Some(with) => Err(with),
            None => future::pending().await,
        },
    }
}

/// Has the pool act; gives `with` back where there is no pool. The handover keeps it until the act begins.
fn start<A, T>(with: A, act: impl FnOnce(A) -> T + Send + 'static) -> Result<(Handover<A>, JoinHandle<Option<T>>), A>
where
    A: Send + 'static,
    T: Send + 'static,
{
    let Ok(runtime) = Handle::try_current() else { return Err(with) };
    let handover = Handover(Arc::default());
    let theirs = Handover(Arc::clone(&handover.0));
    // Locked until it is known whether the act will begin: the runtime may queue what it says that it cannot start.
    let mut content = handover.lock();
    // It panics if the system has no more threads.
    let work = panic::catch_unwind(AssertUnwindSafe(|| runtime.spawn_blocking(move || theirs.take().map(act))));
    let Ok(work) = work else { return Err(with) };
    *content = Some(with);
    drop(content);
    Ok((handover, work))
}

/// What is handed to another thread, or taken back.
struct Handover<T>(Arc<Mutex<Option<T>>>);

impl<T> Handover<T> {
    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<T> {
        self.lock().take()
    }
}

/// Dropped on the pool, wherever its owner is dropped: to drop the content asks the file system.
struct Offloaded<T: Send + 'static> {
    /// `None` only while it is dropped.
    content: Option<T>,
    /// The generation of the process that made it.
    process: u64,
}

impl<T: Send + 'static> Offloaded<T> {
    fn new(content: T) -> Self {
        Self { content: Some(content), process: OsEnv.generation() }
    }

    fn take(mut self) -> Option<T> {
        self.content.take()
    }
}

impl<T: Send + 'static> Drop for Offloaded<T> {
    fn drop(&mut self) {
        let Some(content) = self.content.take() else { return };
        // A forked child has nothing to clean up, and no runtime.
        if self.process != OsEnv.generation() {
            return;
        }
        // Where there is no pool, it is dropped here.
        drop(start(content, drop));
    }
}
