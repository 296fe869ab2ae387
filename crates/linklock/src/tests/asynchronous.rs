//! Tasks that contend, dropped wherever they may be, and what wakes them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder as Tokio, Runtime};

use super::faults::{Arena, BOTH, Call, Fate, LIFETIME, Rival, When, pause};
use super::waking::without_polls;
use crate::options::Protocol;
use crate::{Cancel, Error, ErrorKind, Guard, Lock, Wait, Which};

/// A safety net.
const LONG: Duration = Duration::from_secs(60);

fn runtime() -> Runtime {
    Tokio::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
}

/// What a contender comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The call that it is to be dropped in, which waits for the drop.
    Call,
    /// It is about to pause.
    Pause,
    /// It wants to be polled.
    Wake,
}

struct Tell(Sender<Event>);

impl Wake for Tell {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(Event::Wake);
    }
}

type Acquiring = Pin<Box<dyn Future<Output = Result<Guard, Error>>>>;

/// A future that is polled by hand.
struct Contender {
    future: Acquiring,
    waker: Waker,
    events: Receiver<Event>,
}

impl Contender {
    fn new(lock: Lock, events: (Sender<Event>, Receiver<Event>)) -> Self {
        let (tell, events) = events;
        let pauses = tell.clone();
        let wait = Wait::forever().reporting(move |_| {
            let _ = pauses.send(Event::Pause);
        });
        let future: Acquiring = Box::pin(async move { lock.acquire_async(&wait).await });
        Self { future, waker: Waker::from(Arc::new(Tell(tell))), events }
    }

    fn poll(&mut self) -> Poll<Result<Guard, Error>> {
        self.future.as_mut().poll(&mut Context::from_waker(&self.waker))
    }

    /// The next event; `None` if it sleeps.
    fn next(&self, most: Duration) -> Option<Event> {
        self.events.recv_timeout(most).ok()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Nobody,
    Stays,
    /// Releases the lock as soon as it is waited for.
    Leaves,
}

/// One lock path with its contender, and with a rival that may hold the lock.
struct Stage {
    arena: Arena,
    held: Option<Guard>,
    /// What is there without the contender.
    names: Vec<String>,
    what: String,
}

impl Stage {
    fn new(protocol: Protocol, queue: bool, holder: Holder) -> Self {
        let arena = Arena::new();
        arena.env.has_real_wakeups.store(true, Ordering::SeqCst);
        let held = (holder != Holder::Nobody).then(|| arena.rival(protocol).acquire());
        let names = arena.names();
        Self { arena, held, names, what: format!("{protocol}, queue {queue}, holder {holder:?}") }
    }

    fn lock(&self, protocol: Protocol, queue: bool) -> Lock {
        self.arena.builder(protocol).queue(queue).build_in(self.arena.env.clone()).unwrap()
    }

    fn release(&mut self) {
        if let Some(held) = self.held.take() {
            held.release().unwrap();
            self.names.clear();
        }
    }

    /// After the drop, which is followed by a clean-up on another thread.
    fn assert_nothing_is_left(mut self, protocol: Protocol, dropped: &str) {
        let mut left = Vec::new();
        let is_clean = (0..6000).any(|_| {
            left = self.arena.names();
            // A contender in a call goes on until that pauses or has the lock: nobody but the holder is to be there.
            let is_alone = Arc::strong_count(&self.arena.env) == 1 + usize::from(self.held.is_some());
            is_alone && left == self.names || {
                pause(Duration::from_millis(10));
                false
            }
        });
        assert!(is_clean, "{}, {dropped}: {left:?} is left", self.what);
        self.release();
        let next: Rival = self.arena.rival(protocol);
        assert!(next.try_acquire().is_some(), "{}, {dropped}: the next contender gets it", self.what);
    }
}

const HOLDERS: [Holder; 3] = [Holder::Nobody, Holder::Stays, Holder::Leaves];

fn each_setting(mut test: impl FnMut(Protocol, bool, Holder)) {
    for protocol in BOTH {
        for queue in [false, true] {
            HOLDERS.into_iter().for_each(|holder| test(protocol, queue, holder));
        }
    }
}

/// Drops it in this call, counted from 0 and each twice: before it is carried out, and after. False if it came to no such call, and
/// was dropped when it had the lock, or when it slept.
fn is_dropped_in(call: usize, protocol: Protocol, queue: bool, holder: Holder) -> bool {
    let mut stage = Stage::new(protocol, queue, holder);
    let (tell, events) = channel();
    let (go_on, dropped) = channel();
    let (mut calls, reached, here) = (0, tell.clone(), thread::current().id());
    let calls_here = Arc::new(AtomicUsize::new(0));
    let count_here = Arc::clone(&calls_here);
    stage.arena.env.on_call(move |_, _, _, _| {
        // Here the future is polled and dropped, as by a worker of a runtime; and a holder leaves.
        if thread::current().id() == here {
            count_here.fetch_add(1, Ordering::SeqCst);
            return Fate::GoOn;
        }
        if calls == call {
            let _ = reached.send(Event::Call);
            let _ = dropped.recv_timeout(LONG);
        }
        calls += 1;
        Fate::GoOn
    });
    let mut contender = Contender::new(stage.lock(protocol, queue), (tell, events));
    let mut polled = contender.poll();
    let mut sleeps = false;
    let is_in_call = loop {
        if polled.is_ready() {
            break false;
        }
        match contender.next(if sleeps && holder == Holder::Stays { Duration::from_millis(100) } else { LONG }) {
            Some(Event::Call) => break true,
            Some(Event::Wake) => polled = contender.poll(),
            Some(Event::Pause) => {
                sleeps = true;
                if holder == Holder::Leaves {
                    stage.release();
                    calls_here.store(0, Ordering::SeqCst);
                }
            }
            None => break false,
        }
    };
    drop(contender);
    assert_eq!(calls_here.load(Ordering::SeqCst), 0, "{}: calls of a worker, dropped in call {call}", stage.what);
    drop(polled);
    let _ = go_on.send(());
    stage.assert_nothing_is_left(protocol, &format!("dropped in call {call}"));
    is_in_call
}

#[test]
fn a_contender_that_is_dropped_during_any_call_leaves_nothing_behind() {
    let runtime = runtime();
    let _entered = runtime.enter();
    each_setting(|protocol, queue, holder| {
        let calls = (0..1000).take_while(|call| is_dropped_in(*call, protocol, queue, holder)).count();
        assert!((8..1000).contains(&calls), "{protocol}, queue {queue}, {holder:?}: {calls} calls");
    });
}

#[test]
fn a_contender_that_is_dropped_after_any_poll_leaves_nothing_behind() {
    let runtime = runtime();
    let _entered = runtime.enter();
    each_setting(|protocol, queue, holder| {
        for polls in 0..6 {
            let mut stage = Stage::new(protocol, queue, holder);
            let mut contender = Contender::new(stage.lock(protocol, queue), channel());
            for poll in 0..polls {
                if contender.poll().is_ready() {
                    break;
                }
                // For the last one both are tried: what it has begun may be at its beginning or at its end.
                let is_last = poll + 1 == polls && polls % 2 == 0;
                while !is_last && contender.next(Duration::from_millis(20)).is_some_and(|event| event != Event::Wake) {}
            }
            if holder == Holder::Leaves {
                stage.release();
            }
            drop(contender);
            stage.assert_nothing_is_left(protocol, &format!("dropped after {polls} polls"));
        }
    });
}

/// What is dropped is a guard by then, in the runtime's hands.
#[test]
fn a_lock_that_was_acquired_when_nobody_awaits_it_any_more_is_released() {
    let runtime = runtime();
    let _entered = runtime.enter();
    for protocol in BOTH {
        let stage = Stage::new(protocol, false, Holder::Nobody);
        let (polled, goes_on) = channel();
        // It cannot have the lock before it was polled.
        stage.arena.env.once(Call::Create, When::Before, move |_, _| {
            let _ = goes_on.recv_timeout(LONG);
            Fate::GoOn
        });
        let mut contender = Contender::new(stage.lock(protocol, false), channel());
        assert!(contender.poll().is_pending());
        polled.send(()).unwrap();
        assert_eq!(contender.next(LONG), Some(Event::Wake), "it has the lock");
        assert!(stage.arena.rival(protocol).try_acquire().is_none());
        drop(contender);
        stage.assert_nothing_is_left(protocol, "dropped with the lock");
    }
}

#[test]
fn a_contender_whose_runtime_has_ended_leaves_when_it_is_dropped() {
    for protocol in BOTH {
        let runtime = runtime();
        let stage = Stage::new(protocol, true, Holder::Stays);
        let mut contender = Contender::new(stage.lock(protocol, true), channel());
        let entered = runtime.enter();
        let mut has_paused = false;
        loop {
            assert!(contender.poll().is_pending());
            match contender.next(Duration::from_millis(200)) {
                None if has_paused => break,
                event => has_paused |= event == Some(Event::Pause),
            }
        }
        drop(entered);
        drop(runtime);
        assert!(stage.arena.names().len() > stage.names.len(), "it waits");
        drop(contender);
        assert_eq!(stage.arena.names(), stage.names, "at once");
        stage.assert_nothing_is_left(protocol, "dropped without a runtime");
    }
}

#[test]
fn without_a_runtime_nothing_is_acquired_and_a_guard_is_released_all_the_same() {
    let arena = Arena::new();
    let lock = arena.lock(Protocol::Link);
    let mut contender = Contender::new(lock.clone(), channel());
    let Poll::Ready(Err(e)) = contender.poll() else { panic!("it fails at once") };
    assert_eq!(e.kind(), ErrorKind::Io);
    assert!(e.to_string().contains("no tokio runtime"), "{e}");
    let guard = lock.acquire().unwrap();
    let mut releasing = Box::pin(guard.release_async());
    let released = releasing.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(released, Poll::Ready(Ok(()))));
    assert!(arena.names().is_empty());
}

/// A task that waits, asleep with its wake-ups armed. What it acquires it releases.
struct Task(tokio::task::JoinHandle<Result<(), Error>>);

impl Task {
    fn start(runtime: &Runtime, lock: Lock, wait: Wait) -> Self {
        let (tell, paused) = channel();
        let wait = wait.reporting(move |_| {
            let _ = tell.send(());
        });
        let task = runtime.spawn(async move {
            let guard = lock.acquire_async(&wait).await?;
            guard.release_async().await.map_err(Error::from)
        });
        paused.recv_timeout(LONG).expect("it waits");
        // So that a look that it makes just after it fell asleep is not taken for a wake-up.
        pause(Duration::from_millis(100));
        Self(task)
    }

    fn result(self, runtime: &Runtime) -> Result<(), Error> {
        let result = runtime.block_on(async { tokio::time::timeout(LONG, self.0).await });
        result.expect("it was woken").expect("it does not panic")
    }
}

#[cfg(target_os = "linux")] // Elsewhere a task polls.
#[test]
fn a_release_wakes_a_task_before_any_poll() {
    let runtime = runtime();
    for protocol in BOTH {
        for queue in [false, true] {
            let arena = without_polls();
            let held = arena.rival(protocol).acquire();
            let lock = arena.builder(protocol).queue(queue).build_in(arena.env.clone()).unwrap();
            // One leads, and the others are woken by it, or by each other.
            let tasks: Vec<_> = (0..4).map(|_| Task::start(&runtime, lock.clone(), Wait::forever())).collect();
            held.release().unwrap();
            tasks.into_iter().for_each(|task| task.result(&runtime).unwrap());
        }
    }
}

/// The thread that waits for all is told of who comes while it waits for others.
#[test]
fn a_task_that_comes_while_others_sleep_is_woken_too() {
    let runtime = runtime();
    let arena = without_polls();
    let _held = arena.rival(Protocol::Link).acquire();
    let sleeps = Task::start(&runtime, arena.lock(Protocol::Link), Wait::forever());
    let cancel = Cancel::new().unwrap();
    let comes = Task::start(&runtime, arena.lock(Protocol::Link), Wait::forever().cancelled_by(&cancel));
    cancel.cancel();
    assert_eq!(comes.result(&runtime).unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(!sleeps.0.is_finished());
    sleeps.0.abort();
}

/// They share what wakes them, and lead by turns.
#[cfg(target_os = "linux")] // Elsewhere a task polls.
#[test]
fn threads_and_tasks_that_wait_wake_each_other() {
    use super::waking::Sleeper;
    let runtime = runtime();
    for protocol in BOTH {
        let arena = without_polls();
        let held = arena.rival(protocol).acquire();
        let lock = || arena.lock(protocol);
        let first = Task::start(&runtime, lock(), Wait::forever());
        let threads = [Sleeper::start(lock(), Wait::forever()), Sleeper::start(lock(), Wait::forever())];
        let last = Task::start(&runtime, lock(), Wait::forever());
        held.release().unwrap();
        threads.into_iter().for_each(|thread| thread.result().unwrap());
        [first, last].into_iter().for_each(|task| task.result(&runtime).unwrap());
    }
}

#[cfg(target_os = "linux")] // Elsewhere a task polls.
#[test]
fn the_drop_of_a_task_that_leads_leaves_the_others_their_wake_ups() {
    let runtime = runtime();
    let arena = without_polls();
    let held = arena.rival(Protocol::Link).acquire();
    let lock = || arena.lock(Protocol::Link);
    let first = Task::start(&runtime, lock(), Wait::forever());
    let second = Task::start(&runtime, lock(), Wait::forever());
    first.0.abort();
    assert!(runtime.block_on(first.0).unwrap_err().is_cancelled());
    held.release().unwrap();
    second.result(&runtime).unwrap();
}

#[test]
fn a_cancellation_wakes_a_task() {
    let runtime = runtime();
    for protocol in BOTH {
        let arena = without_polls();
        let _held = arena.rival(protocol).acquire();
        let names = arena.names();
        let cancel = Cancel::new().unwrap();
        let task = Task::start(&runtime, arena.lock(protocol), Wait::forever().cancelled_by(&cancel));
        cancel.cancel();
        assert_eq!(task.result(&runtime).unwrap_err().kind(), ErrorKind::Cancelled, "{protocol}");
        assert_eq!(arena.names(), names);
    }
}

#[test]
fn a_task_waits_no_longer_than_it_is_told_to() {
    let runtime = runtime();
    for protocol in BOTH {
        let arena = Arena::new();
        arena.env.has_real_wakeups.store(true, Ordering::SeqCst);
        let _held = arena.rival(protocol).acquire();
        let names = arena.names();
        for wait in [Wait::never(), Wait::up_to(Duration::from_millis(200))] {
            let lock = arena.lock(protocol);
            let e = runtime.block_on(async { lock.acquire_async(&wait).await }).unwrap_err();
            assert!(e.is_timeout() && e.holder().is_some(), "{e}");
            assert_eq!(arena.names(), names);
        }
    }
}

#[test]
fn a_panic_in_a_report_comes_to_whoever_awaits_the_lock() {
    let runtime = runtime();
    let arena = Arena::new();
    let _held = arena.rival(Protocol::Link).acquire();
    let lock = arena.lock(Protocol::Link);
    let wait = Wait::forever().reporting(|_| panic!("a report that panics, for a test"));
    let task = runtime.spawn(async move { lock.acquire_async(&wait).await.map(drop) });
    assert!(runtime.block_on(task).unwrap_err().is_panic());
}

#[test]
fn a_task_hears_that_a_lock_is_lost() {
    let runtime = runtime();
    for protocol in BOTH {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire().unwrap();
        let (loss, clone) = (guard.loss(), guard.loss());
        let waits = runtime.spawn(async move { clone.lost().await });
        arena.lock(protocol).break_lock(&Which::Any).unwrap();
        assert!(!waits.is_finished(), "nobody has looked");
        assert!(guard.check().unwrap_err().is_lost());
        let lost = runtime.block_on(async { tokio::time::timeout(LONG, waits).await });
        assert!(lost.unwrap().unwrap(), "{protocol}");
        assert!(runtime.block_on(loss.lost()), "{protocol}: also who asks later");
    }
}

#[test]
fn a_task_hears_that_the_deadline_has_passed() {
    let runtime = runtime();
    let arena = Arena::new();
    let guard = arena.lock(Protocol::Link).acquire().unwrap();
    let loss = guard.loss();
    let waits = runtime.spawn(async move { loss.lost().await });
    pause(Duration::from_millis(50));
    // The runtime's clock does not move on, as in suspend.
    arena.env.sleep(LIFETIME);
    let lost = runtime.block_on(async { tokio::time::timeout(LIFETIME / 2, waits).await });
    assert!(lost.unwrap().unwrap());
    assert!(runtime.block_on(guard.lost()));
}

#[test]
fn a_task_hears_that_a_lock_was_given_back() {
    let runtime = runtime();
    for protocol in BOTH {
        for is_left in [false, true] {
            let arena = Arena::new();
            let guard = arena.lock(protocol).acquire().unwrap();
            let loss = guard.loss();
            let waits = runtime.spawn(async move { loss.lost().await });
            pause(Duration::from_millis(50));
            if is_left {
                guard.leave();
            } else {
                runtime.block_on(guard.release_async()).unwrap();
            }
            let lost = runtime.block_on(async { tokio::time::timeout(LONG, waits).await });
            assert!(!lost.unwrap().unwrap(), "{protocol}, left: {is_left}");
        }
    }
}

/// Whether it was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_task_hears_of_a_change_before_its_next_look() {
    let runtime = runtime();
    let _entered = runtime.enter();
    let arena = Arena::new();
    let guard = arena.lock(Protocol::Link).acquire().unwrap();
    let loss = guard.loss();
    let (mut waits, flag) = (Box::pin(loss.lost()), Arc::new(Flag::default()));
    let waker = Waker::from(Arc::clone(&flag));
    assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    guard.release().unwrap();
    assert!(flag.0.load(Ordering::SeqCst), "by the release itself");
    assert_eq!(waits.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(false));
}

#[test]
fn a_release_that_fails_gives_a_task_the_guard_back() {
    let runtime = runtime();
    let arena = Arena::new();
    let guard = arena.lock(Protocol::Link).acquire().unwrap();
    arena.env.once(Call::Unlink, When::Before, |_, _| Fate::Fail(std::io::ErrorKind::TimedOut));
    let failed = runtime.block_on(guard.release_async()).unwrap_err();
    assert_eq!(failed.error().kind(), ErrorKind::Io);
    runtime.block_on(failed.into_parts().1.release_async()).unwrap();
    assert!(arena.names().is_empty());
}

/// What hangs is a thread of the pool, and no worker.
#[test]
fn a_release_goes_on_when_nobody_awaits_it_any_more() {
    let runtime = runtime();
    let arena = Arena::new();
    let guard = arena.lock(Protocol::Link).acquire().unwrap();
    let (loss, thread) = (guard.loss(), thread::current().id());
    let (tell, called) = channel();
    let (go_on, dropped) = channel();
    arena.env.once(Call::Unlink, When::Before, move |_, _| {
        let _ = tell.send(thread::current().id());
        let _ = dropped.recv_timeout(LONG);
        Fate::GoOn
    });
    let _entered = runtime.enter();
    let mut releasing = Box::pin(guard.release_async());
    assert!(releasing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_ne!(called.recv_timeout(LONG).unwrap(), thread);
    drop(releasing);
    go_on.send(()).unwrap();
    assert!(!loss.wait(), "it was released");
    assert!(arena.rival(Protocol::Link).try_acquire().is_some());
}
