"""filelock's locks for readers and writers, for tasks of asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, ClassVar, Generic, Optional, TypeVar

from linklock._core import Hold, TimeOutError
from linklock._filelock import Timeout
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
    closed_database,
    deadline,
    evicted,
    is_lost,
    patience,
    same_limit,
    terms,
)
from linklock._seat import Interval, in_thread

Task = asyncio.Task[Any]
T = TypeVar('T', bound='BaseAsyncReadWriteLock')


# --- What tasks share ---


@dataclass(eq=False)
class _Ticket:
    """A task that waits for other tasks of this process."""

    mode: Mode
    loop: asyncio.AbstractEventLoop
    called: asyncio.Future[None]

    def call(self) -> None:
        with contextlib.suppress(RuntimeError):
            # Its loop may be closed.
            self.loop.call_soon_threadsafe(self._set)

    def _set(self) -> None:
        if not self.called.done():
            self.called.set_result(None)


class _Tasks(metaclass=SingletonMeta):
    """The tasks that hold a lock, and those that wait for it in this process. They share one acquisition. All objects for one path
    share these tasks, if they are singletons; the tasks may run in several loops."""

    def __init__(
        self,
        lock_file: StrPath,
        timeout: float = -1,
        *,
        blocking: bool = True,
        is_singleton: bool = True,
        terms: Terms = Terms(),
        is_soft: bool = False,
        on_lost: Optional[Callable[[Any], object]] = None,
        on_compromise: Optional[Callable[[LeaseCompromise], object]] = None,
    ):
        self.timeout, self.blocking, self.place = timeout, blocking, Place(lock_file, terms, is_soft)
        self.on_lost, self.on_compromise = on_lost, on_compromise
        self.last_compromise: Optional[LeaseCompromise] = None
        self.gate = threading.Lock()
        self.hold: Optional[Hold] = None
        #: Set from the first task's try to the last one's release.
        self.mode: Optional[Mode] = None
        #: While a task acquires or releases from the disk: through which object.
        self.moving: Optional[Any] = None
        self.waiting: Optional[Hold] = None
        #: How often each task has acquired it through each object.
        self.depths: dict[tuple[Task, Any], int] = {}
        self.queue: list[_Ticket] = []

    def check_same(self, timeout: float, blocking: bool, options: dict[str, Any]) -> None:
        if not same_limit(self.timeout, timeout) or self.blocking != blocking:
            raise ValueError(
                f'Singleton lock created with timeout={self.timeout}, blocking={self.blocking}, '
                f'cannot be changed to timeout={timeout}, blocking={blocking}'
            )
        check_callbacks(self.place.lock_file, options, on_lost=self.on_lost, on_compromise=self.on_compromise)

    async def acquire(self, via: BaseAsyncReadWriteLock, mode: Mode, until: Optional[float], blocking: bool) -> None:
        task, loop = _this_task(), asyncio.get_running_loop()
        ticket: Optional[_Ticket] = None
        try:
            while True:
                with self.gate:
                    via.check_usable()
                    if self._joins(task, via, mode, ticket):
                        return
                    if self.mode is None and self._is_next(mode, ticket):
                        self.mode, self.moving = mode, via
                        break
                    if ticket is None:
                        ticket = _Ticket(mode, loop, loop.create_future())
                        self.queue.append(ticket)
                    else:
                        ticket.called = loop.create_future()
                left = None if until is None else until - time.monotonic()
                if not blocking or left is not None and left <= 0:
                    raise Timeout(self.place.lock_file)
                await asyncio.wait([ticket.called], timeout=left)
        finally:
            if ticket is not None:
                with self.gate:
                    self.queue.remove(ticket)
                    self._call_all()
        await self._contend(task, via, mode, until)

    def _joins(self, task: Task, via: Any, mode: Mode, ticket: Optional[_Ticket]) -> bool:
        mine = any(holder is task for holder, _ in self.depths)
        if mine and self.mode != mode:
            raise RuntimeError(
                f'Cannot acquire {mode} lock on {self.place.lock_file}: already holding a {self.mode} lock '
                f'({"upgrade" if mode == "write" else "downgrade"} not allowed)'
            )
        if self.moving is not None or not mine and not (mode == self.mode == 'read' and self._is_next(mode, ticket)):
            return False
        if self.hold is not None and is_lost(self.hold):
            raise RuntimeError(f'Cannot acquire {mode} lock on {self.place.lock_file}: the current hold was lost; release it first')
        self.depths[task, via] = self.depths.get((task, via), 0) + 1
        return True

    def _is_next(self, mode: Mode, ticket: Optional[_Ticket]) -> bool:
        """Whether nobody is before it in the queue who would not hold the lock together with it."""
        before = self.queue if ticket is None else self.queue[: self.queue.index(ticket)]
        return not any(mode == 'write' or other.mode == 'write' for other in before)

    def _call_all(self) -> None:
        for ticket in self.queue:
            ticket.call()

    async def _contend(self, task: Task, via: BaseAsyncReadWriteLock, mode: Mode, until: Optional[float]) -> None:
        seat = self.place.seat(mode)
        hold = self.waiting = seat.new_hold()
        try:
            via.check_usable()
            self.place.prepare()
            await seat.acquire_in_loop(hold, patience(until))
            seat.keep(hold, self._reporter(via), stays=False)
            with self.gate:
                via.check_usable()
                self.depths[task, via] = 1
                self.hold = hold
        except BaseException as error:
            self.place.undo(mode, hold)
            with self.gate:
                self.mode, self.hold = None, None
                self.depths.clear()
            if isinstance(error, TimeOutError):
                via.check_usable()
                raise self.place.refusal(error) from error
            raise
        finally:
            with self.gate:
                self.moving = self.waiting = None
                self._call_all()

    def _tells_of_losses(self) -> bool:
        return self.on_lost is not None or self.on_compromise is not None

    def _reporter(self, via: BaseAsyncReadWriteLock) -> Optional[Callable[[], object]]:
        """What is called if the lock is lost. It keeps nothing alive."""
        if not self._tells_of_losses():
            return None
        tasks_ref, via_ref = weakref.ref(self), weakref.ref(via)

        def report() -> None:
            tasks, via = tasks_ref(), via_ref()
            if tasks is not None and via is not None:
                tasks._report(via)

        return report

    def _report(self, via: BaseAsyncReadWriteLock) -> None:
        compromise = self.compromise()
        if compromise is not None and self.on_lost is not None:
            self.on_lost(via)
        if compromise is not None and self.on_compromise is not None:
            self.on_compromise(compromise)

    def compromise(self) -> Optional[LeaseCompromise]:
        hold = self.hold
        if hold is not None:
            self.last_compromise = evicted(self.place.lock_file, hold) if is_lost(hold) else None
        return self.last_compromise

    async def release(self, via: Any, force: bool) -> None:
        task = _this_task()
        with self.gate:
            depth = self.depths.get((task, via), 0)
            if depth == 0:
                if force:
                    return
                raise RuntimeError(f'Cannot release a lock on {self.place.lock_file} that is not held by this task through this object')
            if depth > 1 and not force:
                self.depths[task, via] = depth - 1
                return
            if not self._leave({(task, via): depth}):
                return
            self.moving = via
        await in_thread(lambda: self._give_back({(task, via): depth}))

    def _leave(self, levels: dict[tuple[Task, Any], int]) -> bool:
        """Whether nobody else holds it."""
        for level in levels:
            del self.depths[level]
        return not self.depths

    def _give_back(self, levels: dict[tuple[Task, Any], int]) -> None:
        """In a thread of its own, so that a task that is cancelled meanwhile leaves nothing undone."""
        mode = self.mode
        assert mode is not None
        slot = self.place.seat(mode).slot
        try:
            released = self.place.release(mode)
        finally:
            with self.gate:
                if slot.held is None:
                    self.mode, self.hold = None, None
                else:
                    # After an error it is still held.
                    self.depths.update(levels)
                self.moving = None
                self._call_all()
        if released is False and not self._tells_of_losses():
            raise self.place.lost()

    async def close(self, via: Any) -> None:
        """Ends what is held and wanted through this object."""
        while True:
            with self.gate:
                if self.moving is not via:
                    levels = {level: depth for level, depth in self.depths.items() if level[1] is via}
                    is_last = bool(levels) and self._leave(levels)
                    if is_last:
                        self.moving = via
                    self._call_all()
                    break
                if self.waiting is not None:
                    self.waiting.stop_waiting()
            await asyncio.sleep(0.005)
        if is_last:
            await in_thread(lambda: self._give_back(levels))


def _this_task() -> Task:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError('this lock can be used only inside an asyncio task')
    return task


# --- What programs use ---


class AsyncReadWriteProxy(Generic[T]):
    """What an asynchronous `acquire` gives: as a context manager it releases the lock, and does not acquire it once more."""

    def __init__(self, lock: T):
        self.lock: T = lock

    async def __aenter__(self) -> T:
        return self.lock

    async def __aexit__(
        self,
        exc_type: Optional[type[BaseException]],
        exc_value: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.lock.release()


class AsyncAcquireReadWriteReturnProxy(AsyncReadWriteProxy['AsyncReadWriteLock']):
    """What `AsyncReadWriteLock` gives."""


class AsyncAcquireSoftReadWriteReturnProxy(AsyncReadWriteProxy['AsyncSoftReadWriteLock']):
    """What `AsyncSoftReadWriteLock` gives."""


class BaseAsyncReadWriteLock:
    """What both kinds share. A task holds what it has acquired; tasks that want the lock in opposite ways wait for each other."""

    _kind: ClassVar[str] = ''
    _is_soft: ClassVar[bool] = False
    _proxy: ClassVar[Any] = AsyncReadWriteProxy

    def __init__(
        self,
        lock_file: StrPath,
        timeout: float,
        blocking: bool,
        is_singleton: bool,
        loop: Optional[asyncio.AbstractEventLoop],
        executor: Optional[Executor],
        **options: Any,
    ):
        tasks = _SoftTasks if self._is_soft else _Tasks
        self._tasks: _Tasks = tasks(
            lock_file, timeout, blocking=blocking, is_singleton=is_singleton, is_soft=self._is_soft, **options
        )
        self._loop, self._executor, self._pid, self._is_closed = loop, executor, os.getpid(), False

    @property
    def lock_file(self) -> str:
        """The path of the lock."""
        return self._tasks.place.lock_file

    @property
    def timeout(self) -> float:
        """How long to wait if a call does not say it."""
        return self._tasks.timeout

    @property
    def blocking(self) -> bool:
        """Whether to wait at all if a call does not say it."""
        return self._tasks.blocking

    @property
    def loop(self) -> Optional[asyncio.AbstractEventLoop]:
        """The event loop that the constructor got."""
        return self._loop

    @property
    def executor(self) -> Optional[Executor]:
        """The executor that the constructor got."""
        return self._executor

    def _is_inherited(self) -> bool:
        return self._pid != os.getpid()

    def _closed_error(self) -> Exception:
        return RuntimeError(f'{self._kind} on {self.lock_file} has been closed')

    def check_usable(self) -> None:
        """Raises an error if the object was closed, or belongs to a parent process."""
        if self._is_inherited():
            raise RuntimeError(f'{self._kind} on {self.lock_file} was invalidated by fork(); construct a new instance')
        if self._is_closed:
            raise self._closed_error()

    async def _acquire(self: T, mode: Mode, timeout: Optional[float], blocking: Optional[bool]) -> AsyncReadWriteProxy[T]:
        self.check_usable()
        blocking = self.blocking if blocking is None else blocking
        until = deadline(self.timeout if timeout is None else timeout, blocking)
        await self._tasks.acquire(self, mode, until, blocking)
        proxy: AsyncReadWriteProxy[T] = self._proxy(self)
        return proxy

    async def acquire_read(self: T, timeout: Optional[float] = None, *, blocking: Optional[bool] = None) -> AsyncReadWriteProxy[T]:
        """Acquires the lock for this task, together with other readers.

        :raises RuntimeError: if this task holds it for writing.
        :raises Timeout: if it was not acquired in time.
        """
        return await self._acquire('read', timeout, blocking)

    async def acquire_write(self: T, timeout: Optional[float] = None, *, blocking: Optional[bool] = None) -> AsyncReadWriteProxy[T]:
        """Acquires the lock for this task alone.

        :raises RuntimeError: if this task holds it for reading.
        :raises Timeout: if it was not acquired in time.
        """
        return await self._acquire('write', timeout, blocking)

    @contextlib.asynccontextmanager
    async def read_lock(self, timeout: Optional[float] = None, *, blocking: Optional[bool] = None) -> AsyncGenerator[None, None]:
        """Holds the lock together with other readers: see `acquire_read`."""
        async with await self.acquire_read(timeout, blocking=blocking):
            yield

    @contextlib.asynccontextmanager
    async def write_lock(self, timeout: Optional[float] = None, *, blocking: Optional[bool] = None) -> AsyncGenerator[None, None]:
        """Holds the lock alone: see `acquire_write`."""
        async with await self.acquire_write(timeout, blocking=blocking):
            yield

    async def release(self, *, force: bool = False) -> None:
        """Releases the lock, once this task has released it as often as it acquired it through this object.

        :param force: Release it however often it was acquired.
        :raises RuntimeError: if this task does not hold it.
        :raises LockLost: if it was lost before, and nobody was told.
        """
        if not self._is_inherited():
            await self._tasks.release(self, force)

    async def close(self) -> None:
        """Releases what all tasks hold through this object, and acquires nothing any more."""
        if not self._is_inherited():
            self._is_closed = True
            await self._tasks.close(self)


class _SoftTasks(_Tasks):
    """Those of the soft kind, which are other singletons."""


class AsyncReadWriteLock(BaseAsyncReadWriteLock):
    """`ReadWriteLock` for tasks of asyncio. A task that waits blocks neither the event loop nor a thread.

    :param loop: Without meaning: it is the running one.
    :param executor: Without meaning: no thread waits.
    """

    _kind = 'AsyncReadWriteLock'
    _proxy = AsyncAcquireReadWriteReturnProxy

    def __init__(
        self,
        lock_file: StrPath,
        timeout: float = -1,
        *,
        blocking: bool = True,
        is_singleton: bool = True,
        loop: Optional[asyncio.AbstractEventLoop] = None,
        executor: Optional[Executor] = None,
        lifetime: Optional[Interval] = None,
        grace: Optional[Interval] = None,
        on_lost: Optional[Callable[[Any], object]] = None,
    ):
        super().__init__(
            lock_file, timeout, blocking, is_singleton, loop, executor, terms=terms(lifetime, grace), on_lost=on_lost
        )

    def _closed_error(self) -> Exception:
        return closed_database()


class AsyncSoftReadWriteLock(BaseAsyncReadWriteLock):
    """`SoftReadWriteLock` for tasks of asyncio. A task that waits blocks neither the event loop nor a thread.

    :param loop: Without meaning: it is the running one.
    :param executor: Without meaning: no thread waits.
    """

    _kind = 'AsyncSoftReadWriteLock'
    _is_soft = True
    _proxy = AsyncAcquireSoftReadWriteReturnProxy

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
        loop: Optional[asyncio.AbstractEventLoop] = None,
        executor: Optional[Executor] = None,
        lifetime: Optional[Interval] = None,
        grace: Optional[Interval] = None,
        on_lost: Optional[Callable[[Any], object]] = None,
    ):
        stale = Intervals(heartbeat_interval, stale_threshold, poll_interval).checked()[1]
        super().__init__(
            lock_file,
            timeout,
            blocking,
            is_singleton,
            loop,
            executor,
            terms=terms(lifetime, grace, timedelta(seconds=min(stale, FOREVER_S)), fence=True),
            on_lost=on_lost,
            on_compromise=on_compromise,
        )

    @property
    def generation(self) -> Optional[int]:
        """The number of this acquisition, which is greater than those before; None while the lock is not held. See
        docs/fencing.md."""
        hold = self._tasks.hold
        return None if hold is None else hold.fencing_token

    @property
    def compromise(self) -> Optional[LeaseCompromise]:
        """How the lock that is held was lost, or that before; None if it was not."""
        return self._tasks.compromise()
