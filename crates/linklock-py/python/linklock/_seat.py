"""What a lock object has: its settings, and the lock that it holds. All that acquires and releases goes through here."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import select
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Optional, TypeVar, Union

from linklock._core import Bell, Contender, Found, Hold, NotALockError, Slot, TimeOutError, forked, printable
from linklock._losses import Watch

Interval = Union[int, float, timedelta]
T = TypeVar('T')

#: The character between the parts of a claim file's name. A lock file's name should not contain it.
SEP: Final = '^' if sys.platform == 'win32' else '|'

DEFAULT_LIFETIME: Final = timedelta(seconds=15)
DEFAULT_GRACE: Final = timedelta(seconds=10)

# How soon a signal is noticed that arrives just before the main thread begins to wait.
SIGNAL_TICK_MS: Final = 50

# What is at the lock path and is no lock may go away: a lock with another separator does. What stays is an error.
NO_LOCK_FOR_S: Final = 10.0

log = logging.getLogger('linklock')
log.addHandler(logging.NullHandler())

# The parent's locks stay with the parent.
os.register_at_fork(after_in_child=forked)


def to_timedelta(interval: Interval) -> timedelta:
    return interval if isinstance(interval, timedelta) else timedelta(seconds=interval)


@dataclass
class Settings:
    """How a lock is acquired. Whoever changes them changes the next acquisition, refresh and look."""

    path: str
    lifetime: timedelta = DEFAULT_LIFETIME
    grace: timedelta = DEFAULT_GRACE
    separator: str = SEP
    host: Optional[str] = None
    protocol: str = 'link'
    keep_alive: bool = False
    fence: bool = False
    queue: bool = False
    shared: bool = False
    slots: Optional[int] = None
    wake: str = 'poll'
    require_private: bool = False
    unsafe_filesystem: bool = False
    on_behalf_of: Optional[int] = None
    mode: int = 0o644

    def contender(self) -> Contender:
        return Contender(
            self.path,
            lifetime=self.lifetime.total_seconds(),
            grace=self.grace.total_seconds(),
            separator=self.separator,
            host=self.host,
            protocol=self.protocol,
            keep_alive=self.keep_alive,
            fence=self.fence,
            queue=self.queue,
            shared=self.shared,
            slots=self.slots,
            wake=self.wake,
            require_private=self.require_private,
            unsafe_filesystem=self.unsafe_filesystem,
            on_behalf_of=self.on_behalf_of,
            mode=self.mode,
        )


def reporter(lock: T, on_lost: Optional[Callable[[T], object]]) -> Optional[Callable[[], object]]:
    """Calls `on_lost` with the lock object, and does not keep that object."""
    if on_lost is None:
        return None
    ref = weakref.ref(lock)

    def report() -> None:
        lock = ref()
        if lock is not None:
            on_lost(lock)

    return report


def absolute(path: str) -> str:
    """A later chdir changes nothing. abspath() would resolve `..` after a symbolic link to another directory."""
    return path if os.path.isabs(path) else os.path.join(os.getcwd(), path)


class Patience:
    """How long a contender waits, and after which errors it tries again."""

    __slots__ = ('_until', '_is_try', '_errnos', '_pause', '_log', '_no_lock_since')

    def __init__(
        self,
        timeout: Optional[Interval],
        errnos: list[int],
        pause: Callable[[], object],
        logger: logging.Logger,
    ):
        self._until = None if timeout is None else time.monotonic() + to_timedelta(timeout).total_seconds()
        # To fail is what a single try is for.
        self._is_try = timeout is not None and to_timedelta(timeout) <= timedelta(0)
        self._errnos = errnos
        self._pause = pause
        self._log = logger
        self._no_lock_since: Optional[float] = None

    def left(self) -> Optional[float]:
        return None if self._until is None else self._until - time.monotonic()

    def check(self, refusal: Exception) -> None:
        """Raises the error, unless another try is worth it."""
        if isinstance(refusal, OSError) and refusal.errno not in self._errnos:
            raise refusal
        left = self.left()
        if left is not None and left <= 0:
            self._log.log(logging.DEBUG if self._is_try else logging.ERROR, 'timed out: %s', refusal)
            raise refusal
        if isinstance(refusal, NotALockError):
            since = self._no_lock_since = self._no_lock_since or time.monotonic()
            if time.monotonic() - since > NO_LOCK_FOR_S:
                raise refusal
        level = logging.DEBUG if type(refusal) is TimeOutError else logging.WARNING
        self._log.log(level, 'waiting for claim: %s', refusal)

    def finish(self, hold: Hold) -> None:
        """Takes the result of a wait."""
        try:
            hold.finish()
        except TimeOutError as error:
            if not isinstance(error, NotALockError):
                self._log.error('timed out: %s', error)
            raise

    def retry(self, operation: Callable[[], T], after: Optional[Exception] = None) -> T:
        """Calls `operation` until it succeeds. `after`: it has failed once already."""
        error = after
        while True:
            if error is not None:
                self.check(error)
                self._pause()
            try:
                return operation()
            except (NotALockError, OSError) as again:
                error = again


class Seat:
    """What one lock object has. Several threads and tasks may use it: each call acts on the lock that it has found."""

    __slots__ = ('settings', 'slot', '_built', '_watch', '__weakref__')

    def __init__(self, settings: Settings):
        self.settings = settings
        self.slot = Slot()
        self._built: Optional[tuple[tuple[Any, ...], Contender]] = None
        self._watch: Optional[Watch] = None
        self.contender()

    def contender(self) -> Contender:
        """Checked settings. Only what has changed since is checked again."""
        key = tuple(vars(self.settings).values())
        built = self._built
        if built is None or built[0] != key:
            built = self._built = (key, self.settings.contender())
        return built[1]

    def look(self) -> Found:
        held = self.slot.held
        return self.contender().look(None if held is None else held.slot)

    def shown(self) -> str:
        """The path for messages and logs, since others may have chosen the name."""
        return printable(self.settings.path)

    # --- Acquire ---

    def new_hold(self) -> Hold:
        return Hold(self.contender(), threading.get_ident())

    def acquire(self, hold: Hold, patience: Patience) -> None:
        """Fills `hold`. Whatever is raised, the caller undoes it."""
        try:
            hold.try_acquire()
            return
        except (TimeOutError, OSError) as error:
            refusal = error
        patience.check(refusal)
        patience.retry(lambda: self._wait(hold, patience))

    def _wait(self, hold: Hold, patience: Patience) -> None:
        bell = Bell()
        ended = select.poll()
        ended.register(bell, select.POLLIN)
        # Signal handlers run in the main thread only.
        tick = SIGNAL_TICK_MS if threading.current_thread() is threading.main_thread() else None
        hold.begin_to_wait(bell, patience.left())
        while not hold.has_ended():
            ended.poll(tick)
        patience.finish(hold)

    async def acquire_in_loop(self, hold: Hold, patience: Patience) -> None:
        """The same for a task: the event loop continues, and no thread waits."""
        while True:
            try:
                with _Listener() as listener:
                    hold.begin_to_wait(listener.bell, patience.left())
                    await listener.end_of(hold)
                patience.finish(hold)
                return
            except (NotALockError, OSError) as error:
                patience.check(error)
            await asyncio.sleep(pause_s())

    def keep(self, hold: Hold, on_lost: Optional[Callable[[], object]] = None, stays: bool = True) -> None:
        """From here on the object holds the lock. `stays`: on disk, if the object is dropped meanwhile."""
        self.slot.keep(hold, stays)
        if on_lost is not None and hold.loss is not None:
            self._watch = Watch(hold.loss, self, on_lost, self.settings.lifetime.total_seconds())
            self._watch.begin()

    def undo(self, hold: Hold) -> bool:
        """Takes an acquisition back that was interrupted, however far it came. Whether the object held the lock by it."""
        was_kept = self.slot.forget(hold)
        hold.undo()
        return was_kept

    def undo_mine(self, before: Optional[Hold]) -> None:
        """Takes back what this thread has acquired since, if it was interrupted before anybody learnt of it."""
        now = self.slot.held
        if now is not None and now is not before and now.thread == threading.get_ident():
            self.undo(now)

    # --- Release ---

    def release(self, patience: Patience) -> Optional[bool]:
        """False if the lock was lost, None if there is none. After an error it is still held."""
        try:
            released = self.slot.release()
        except OSError as error:
            released = patience.retry(self.slot.release, after=error)
        self.stop_watching()
        return released

    def stop_watching(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.end()


@dataclass
class _Ears:
    """What an event loop listens with: one descriptor for all tasks that wait there."""

    bell: Bell = field(default_factory=Bell)
    waiting: list[tuple[Hold, asyncio.Event]] = field(default_factory=list[tuple[Hold, asyncio.Event]])

    def heard(self) -> None:
        self.bell.hush()
        for hold, ended in self.waiting:
            if hold.has_ended():
                ended.set()


_ears: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Ears] = weakref.WeakKeyDictionary()


class _Listener:
    """A task that waits. The loop listens as long as there is one."""

    def __enter__(self) -> _Listener:
        self._loop = asyncio.get_running_loop()
        ears = _ears.get(self._loop)
        if ears is None:
            ears = _Ears()
            self._loop.add_reader(ears.bell.fileno(), ears.heard)
            _ears[self._loop] = ears
        self._ears = ears
        self._entry: Optional[tuple[Hold, asyncio.Event]] = None
        self.bell = ears.bell
        return self

    async def end_of(self, hold: Hold) -> None:
        self._entry = (hold, asyncio.Event())
        self._ears.waiting.append(self._entry)
        # It may have rung before.
        if not hold.has_ended():
            await self._entry[1].wait()

    def __exit__(self, *_: object) -> None:
        ears = self._ears
        if self._entry is not None:
            ears.waiting.remove(self._entry)
        if not ears.waiting and _ears.get(self._loop) is ears:
            del _ears[self._loop]
            self._loop.remove_reader(ears.bell.fileno())


def pause_s() -> float:
    return random.uniform(0.01, 1.0)


async def in_thread(function: Callable[[], T]) -> T:
    """Runs it in a separate thread: all threads of the loop's executor may wait for this lock."""
    future: Future[T] = Future()
    # From here on it cannot be cancelled, only ignored.
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name='linklock-unlock').start()
    return await asyncio.wrap_future(future)
