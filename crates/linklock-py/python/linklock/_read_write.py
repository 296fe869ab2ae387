"""filelock's locks for readers and writers, on linklock's shared locks."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Optional, TypeVar

from linklock._core import Hold, TimeOutError
from linklock._filelock import AcquireReturnProxy, Timeout
from linklock._place import (
    FOREVER_S,
    Intervals,
    LeaseCompromise,
    Mode,
    Place,
    SingletonMeta,
    StrPath,
    Terms,
    check_callbacks,
    check_intervals,
    closed_database,
    deadline,
    evicted,
    is_lost,
    patience,
    same_limit,
    terms,
)
from linklock._seat import Interval

L = TypeVar('L', bound='BaseReadWriteLock')


@dataclass
class _Held:
    """A lock that is held, by a writer's thread or by the readers'."""

    mode: Mode
    hold: Hold
    #: How often each thread has acquired it, and not yet released.
    depths: dict[int, int] = field(default_factory=dict[int, int])
    #: The thread that tells of its loss, which may release it.
    reporter: Optional[int] = None
    #: Nobody joins what is about to be released.
    is_leaving: bool = False

    def is_lost(self) -> bool:
        return is_lost(self.hold)

    def leave(self, thread: int) -> None:
        """Takes back one level. A thread that has none has been told of a loss, and releases for one that has."""
        owner = thread if thread in self.depths else next(iter(self.depths))
        self.depths[owner] -= 1
        if self.depths[owner] == 0:
            del self.depths[owner]


class BaseReadWriteLock(metaclass=SingletonMeta):
    """What both kinds share. One thread acquires from the disk at a time; `_guard` is for all that they share. A condition itself is no
    guard: an interrupt in its `__enter__` would leave it locked."""

    #: The name that messages give.
    _kind: ClassVar[str] = ''
    _is_soft: ClassVar[bool] = False

    def __init__(self, lock_file: StrPath, timeout: float, blocking: bool, terms: Terms, on_lost: Optional[Callable[[Any], object]]):
        self.lock_file = os.fspath(lock_file)
        self.timeout: float = timeout
        self.blocking = blocking
        self._place = Place(lock_file, terms, self._is_soft)
        self._on_lost = on_lost
        self._pid = os.getpid()
        self._guard = threading.Lock()
        self._changed = threading.Condition(self._guard)
        self._held: Optional[_Held] = None
        self._turn: Optional[int] = None
        self._waiting: Optional[Hold] = None
        self._is_closed = False

    def check_same(self, timeout: float, blocking: bool, options: dict[str, Any]) -> None:
        if not same_limit(self.timeout, timeout) or self.blocking != blocking:
            raise ValueError(
                f'Singleton lock created with timeout={self.timeout}, blocking={self.blocking}, '
                f'cannot be changed to timeout={timeout}, blocking={blocking}'
            )
        check_callbacks(self.lock_file, options, on_lost=self._on_lost)

    @classmethod
    def get_lock(cls: type[L], lock_file: StrPath, timeout: float = -1, *, blocking: bool = True) -> L:
        """The object for this path.

        :raises ValueError: if it exists with another timeout or blocking.
        """
        return cls(lock_file, timeout, blocking=blocking)  # type: ignore[call-arg]

    # --- Acquire ---

    def acquire_read(self: L, timeout: Optional[float] = None, *, blocking: Optional[bool] = None) -> AcquireReturnProxy[L]:
        """Acquires the lock together with other readers. A reader may acquire it again, and holds it until each is released.

        :raises RuntimeError: if this object holds it for writing.
        :raises Timeout: if it was not acquired in time.
        :return: A context manager that releases it.
        """
        self._acquire('read', timeout, blocking)
        return AcquireReturnProxy(self)

    def acquire_write(self: L, timeout: Optional[float] = None, *, blocking: Optional[bool] = None) -> AcquireReturnProxy[L]:
        """Acquires the lock alone. Only the thread that has it may acquire it again.

        :raises RuntimeError: if this object holds it for reading, or another thread for writing.
        :raises Timeout: if it was not acquired in time.
        :return: A context manager that releases it.
        """
        self._acquire('write', timeout, blocking)
        return AcquireReturnProxy(self)

    @contextlib.contextmanager
    def read_lock(self, timeout: Optional[float] = None, *, blocking: Optional[bool] = None) -> Generator[None, None, None]:
        """Holds the lock together with other readers: see `acquire_read`."""
        with self.acquire_read(timeout, blocking=blocking):
            yield

    @contextlib.contextmanager
    def write_lock(self, timeout: Optional[float] = None, *, blocking: Optional[bool] = None) -> Generator[None, None, None]:
        """Holds the lock alone: see `acquire_write`."""
        with self.acquire_write(timeout, blocking=blocking):
            yield

    def _acquire(self, mode: Mode, timeout: Optional[float], blocking: Optional[bool]) -> None:
        if self._is_inherited():
            raise RuntimeError(f'{self._kind} on {self.lock_file} was invalidated by fork(); construct a new instance')
        until = deadline(self.timeout if timeout is None else timeout, self.blocking if blocking is None else blocking)
        thread = threading.get_ident()
        with self._guard:
            self._check_open()
            if self._joins(mode, thread):
                return
        try:
            self._take_turn(thread, until)
            with self._guard:
                if self._joins(mode, thread):
                    return
            self._contend(mode, thread, until)
        finally:
            self._end_turn(thread)

    def _is_inherited(self) -> bool:
        return self._pid != os.getpid()

    def _closed_error(self) -> Exception:
        return RuntimeError(f'{self._kind} on {self.lock_file} has been closed')

    def _check_open(self) -> None:
        if self._is_closed:
            raise self._closed_error()

    def _joins(self, mode: Mode, thread: int) -> bool:
        """Whether the object holds the lock already, as the caller wants it."""
        held = self._held
        if held is None or held.is_leaving:
            return False
        if held.mode != mode:
            if thread in held.depths:
                why = f'already holding a {held.mode} lock ({"upgrade" if mode == "write" else "downgrade"} not allowed)'
            else:
                why = f'another thread holds a {held.mode} lock on this instance; give each thread its own, with is_singleton=False'
            raise RuntimeError(f'Cannot acquire {mode} lock on {self.lock_file} (lock id: {id(self)}): {why}')
        if mode == 'write' and thread not in held.depths:
            owner = next(iter(held.depths))
            raise RuntimeError(
                f'Cannot acquire write lock on {self.lock_file} (lock id: {id(self)}) '
                f'from thread {thread} while it is held by thread {owner}'
            )
        if held.is_lost():
            raise RuntimeError(f'Cannot acquire {mode} lock on {self.lock_file}: the current hold was lost; release it first')
        held.depths[thread] = held.depths.get(thread, 0) + 1
        return True

    def _take_turn(self, thread: int, until: Optional[float]) -> None:
        with self._guard:
            # Its own turn is one that an interrupt has not let it end.
            while self._turn not in (None, thread):
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    raise Timeout(self.lock_file)
                self._changed.wait(left)
            self._turn = thread

    def _end_turn(self, thread: int) -> None:
        with self._guard:
            if self._turn == thread:
                self._turn = None
                self._changed.notify_all()

    def _contend(self, mode: Mode, thread: int, until: Optional[float]) -> None:
        if self._held is not None:
            # An interrupt came when it was about to be released.
            self._give_back(self._held)
        seat = self._place.seat(mode)
        hold = seat.new_hold()
        try:
            self._waiting = hold
            self._check_open()
            self._place.prepare()
            seat.acquire(hold, patience(until))
            seat.keep(hold, self._reporter(), stays=False)
            with self._guard:
                self._check_open()
                self._held = _Held(mode, hold, {thread: 1})
        except BaseException as error:
            # An interrupt may come at any moment. Whoever gets it does not have the lock.
            self._held = None
            self._place.undo(mode, hold)
            if isinstance(error, TimeOutError):
                self._check_open()
                raise self._place.refusal(error) from error
            raise
        finally:
            self._waiting = None

    def _reporter(self) -> Optional[Callable[[], object]]:
        """What is called if the lock is lost. It does not keep the object."""
        if not self._tells_of_losses():
            return None
        ref = weakref.ref(self)

        def report() -> None:
            lock = ref()
            held = None if lock is None else lock._held
            if lock is not None and held is not None and held.is_lost():
                held.reporter = threading.get_ident()
                lock._report(held.hold)

        return report

    def _tells_of_losses(self) -> bool:
        return self._on_lost is not None

    def _report(self, hold: Hold) -> None:
        if self._on_lost is not None:
            self._on_lost(self)

    # --- Release ---

    def release(self, *, force: bool = False) -> None:
        """Releases the lock, once it was released as often as it was acquired. Each thread releases what it has acquired.

        :param force: Release it however often it was acquired, and by whom.
        :raises RuntimeError: if this thread does not hold it.
        :raises LockLost: if it was lost before, and nobody was told.
        """
        if self._is_inherited():
            return
        thread = threading.get_ident()
        with self._guard:
            if self._held is None:
                self._check_held(thread, force)
                return
        try:
            self._take_turn(thread, None)
            with self._guard:
                held = self._check_held(thread, force)
                if held is None:
                    return
                if not force and sum(held.depths.values()) > 1:
                    held.leave(thread)
                    return
                held.is_leaving = True
            self._give_back(held)
        finally:
            self._end_turn(thread)

    def _check_held(self, thread: int, force: bool) -> Optional[_Held]:
        held = self._held
        if force:
            return held
        if held is None:
            raise RuntimeError(f'Cannot release a lock on {self.lock_file} (lock id: {id(self)}) that is not held')
        if thread not in held.depths and thread != held.reporter:
            whose = 'which does not hold it'
            if held.mode == 'write':
                whose = f'while it is held by thread {next(iter(held.depths))}'
            raise RuntimeError(
                f'Cannot release {held.mode} lock on {self.lock_file} (lock id: {id(self)}) from thread {thread}, {whose}'
            )
        return held

    def _give_back(self, held: _Held) -> None:
        seat = self._place.seat(held.mode)
        try:
            released = self._place.release(held.mode)
        finally:
            # After an error it is still held.
            held.is_leaving = False
            if seat.slot.held is not held.hold:
                self._held = None
        if released is False and not self._tells_of_losses():
            raise self._place.lost()

    def close(self) -> None:
        """Releases the lock, and acquires it never again. Who waits for it by this object gets an error."""
        if self._is_inherited():
            return
        self._is_closed = True
        while True:
            waiting = self._waiting
            if waiting is None:
                break
            # It may be just about to wait.
            waiting.stop_waiting()
            if waiting.thread == threading.get_ident():
                break
            time.sleep(0.005)
        self.release(force=True)


class ReadWriteLock(BaseReadWriteLock):
    """filelock's lock for readers and writers. The real one uses an SQLite database, so it works on one machine.

    :param lock_file: The path of the lock. Its directory is made if it does not exist.
    :param timeout: How long to wait if a call does not say it; -1: for ever; 0: one try.
    :param blocking: Whether to wait at all if a call does not say it.
    :param is_singleton: Whether all objects for this path, of this class and process, are one.
    :param lifetime: How long others on other machines wait after this process has died, with the grace: seconds or a timedelta.
    :param grace: How long after its lifetime a lock is broken.
    :param on_lost: Called with the lock, in a thread of its own, if the lock is lost while it is held. Then `release` does not raise
        `LockLost`.

    Threads that must exclude each other need one object each, with `is_singleton=False`.
    """

    _kind = 'ReadWriteLock'

    def __init__(
        self,
        lock_file: StrPath,
        timeout: float = -1,
        *,
        blocking: bool = True,
        is_singleton: bool = True,
        lifetime: Optional[Interval] = None,
        grace: Optional[Interval] = None,
        on_lost: Optional[Callable[[Any], object]] = None,
    ):
        super().__init__(lock_file, timeout, blocking, terms(lifetime, grace), on_lost)

    def _closed_error(self) -> Exception:
        return closed_database()


class SoftReadWriteLock(BaseReadWriteLock):
    """filelock's lock for readers and writers on shared file systems. The parameters that `ReadWriteLock` has are the same.

    :param heartbeat_interval: Without meaning: a lock is refreshed every third of its lifetime.
    :param stale_threshold: The lifetime, if that is not given; without it, three times the heartbeat_interval.
    :param poll_interval: Without meaning, since the system wakes waiters.
    :param on_compromise: As `on_lost`, but called with a `LeaseCompromise`.
    """

    _kind = 'SoftReadWriteLock'
    _is_soft = True

    def __init__(
        self,
        lock_file: StrPath,
        timeout: float = -1,
        *,
        blocking: bool = True,
        is_singleton: bool = True,
        heartbeat_interval: float = 30.0,
        stale_threshold: Optional[float] = None,
        poll_interval: float = 0.25,
        on_compromise: Optional[Callable[[LeaseCompromise], object]] = None,
        lifetime: Optional[Interval] = None,
        grace: Optional[Interval] = None,
        on_lost: Optional[Callable[[Any], object]] = None,
    ):
        intervals = Intervals(heartbeat_interval, stale_threshold, poll_interval).checked()
        self.heartbeat_interval, self.stale_threshold, self.poll_interval = intervals
        self._on_compromise = on_compromise
        self._compromise: Optional[LeaseCompromise] = None
        stale = timedelta(seconds=min(self.stale_threshold, FOREVER_S))
        super().__init__(lock_file, timeout, blocking, terms(lifetime, grace, stale, fence=True), on_lost)

    def check_same(self, timeout: float, blocking: bool, options: dict[str, Any]) -> None:
        super().check_same(timeout, blocking, options)
        check_intervals(options)
        check_callbacks(self.lock_file, options, on_compromise=self._on_compromise)

    @property
    def generation(self) -> Optional[int]:
        """The number of this acquisition, which is greater than those before; None while the lock is not held. See
        docs/fencing.md."""
        held = self._held
        return None if held is None else held.hold.fencing_token

    @property
    def compromise(self) -> Optional[LeaseCompromise]:
        """How the lock that is held was lost, or that before; None if it was not."""
        held = self._held
        if held is not None:
            self._compromise = evicted(self.lock_file, held.hold) if held.is_lost() else None
        return self._compromise

    def _tells_of_losses(self) -> bool:
        return super()._tells_of_losses() or self._on_compromise is not None

    def _report(self, hold: Hold) -> None:
        super()._report(hold)
        if self._on_compromise is not None:
            self._on_compromise(evicted(self.lock_file, hold))
