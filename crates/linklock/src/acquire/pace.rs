//! Where a contender sleeps: the one difference between a thread that waits and a task that awaits.

use std::future::Future;
use std::pin::pin;
#[cfg(feature = "tokio")]
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

#[cfg(feature = "tokio")]
use crate::env::os::sleepers;
use crate::env::{Env, Watcher};
use crate::time::LocalTime;
use crate::wait::Cancel;

/// Where a contender sleeps.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// In its thread, so that its future never pends.
    Thread,
    /// Nowhere: its future pends while another thread waits for all such contenders.
    #[cfg(feature = "tokio")]
    Task,
}

impl Pace {
    pub(super) fn watcher(self, env: &dyn Env) -> Box<dyn Watcher> {
        match self {
            Self::Thread => env.watcher(),
            #[cfg(feature = "tokio")]
            Self::Task => env.watcher_for_task(),
        }
    }

    /// As [`Watcher::wait`]; gives the watcher back.
    pub(super) async fn sleep(
        self,
        mut watcher: Box<dyn Watcher>,
        until: LocalTime,
        cancel: Option<&Cancel>,
    ) -> Box<dyn Watcher> {
        match self {
            Self::Thread => {
                watcher.wait(until, cancel.map(|cancel| &**cancel.event()));
                watcher
            }
            #[cfg(feature = "tokio")]
            Self::Task => sleepers::sleep(watcher, until, cancel.map(|cancel| Arc::clone(cancel.event()))).await,
        }
    }
}

/// What the future of a contender gives that sleeps in this thread.
pub(super) fn run<T>(contender: impl Future<Output = T>) -> T {
    let mut contender = pin!(contender);
    loop {
        // It never pends, so nobody has to be woken.
        if let Poll::Ready(done) = contender.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
    }
}
