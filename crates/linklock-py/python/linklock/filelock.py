"""filelock's API on linklock's locks, which work on NFS and Lustre, between machines, and are recovered when their holder dies.

>>> from linklock.filelock import FileLock, Timeout
>>> with FileLock('/srv/shared/data.lock', timeout=10):  # doctest: +SKIP
...     print('only one process at a time gets here')

It is a drop-in for filelock 3.20, with the locks for readers and writers of filelock 4. A lock is kept alive while it is held, so a program need not refresh it. If it is lost all the
same, because the machine slept or the file server was away, `release` raises `LockLost`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import inspect
import logging
import os
import threading
import time
import warnings
import weakref
from abc import ABCMeta, abstractmethod
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Executor
from types import TracebackType
from typing import Any, ClassVar, Final, NoReturn, Optional, TypeVar, Union

from linklock._core import Hold, NotALockError, TimeOutError
from linklock._filelock import (
    DEFAULT_LIFETIME,
    AcquireReturnProxy,
    LockLost,
    Timeout,
    check_writable,
    lone_file,
    quiet,
    take_leftover,
)
from linklock._place import LeaseCompromise
from linklock._read_write import ReadWriteLock, SoftReadWriteLock
from linklock._read_write_async import (
    AsyncAcquireReadWriteReturnProxy,
    AsyncAcquireSoftReadWriteReturnProxy,
    AsyncReadWriteLock,
    AsyncSoftReadWriteLock,
)
from linklock._seat import Interval, Patience, Seat, Settings, absolute, in_thread, reporter, to_timedelta

__all__ = [
    'AcquireReturnProxy',
    'AsyncAcquireReadWriteReturnProxy',
    'AsyncAcquireReturnProxy',
    'AsyncAcquireSoftReadWriteReturnProxy',
    'AsyncFileLock',
    'AsyncReadWriteLock',
    'AsyncSoftFileLock',
    'AsyncSoftReadWriteLock',
    'AsyncUnixFileLock',
    'AsyncWindowsFileLock',
    'BaseAsyncFileLock',
    'BaseFileLock',
    'FileLock',
    'LeaseCompromise',
    'LockLost',
    'ReadWriteLock',
    'SoftFileLock',
    'SoftReadWriteLock',
    'Timeout',
    'UnixFileLock',
    'WindowsFileLock',
    '__version__',
]

#: The version of filelock whose API this is. Programs decide by it what they may call.
__version__: Final = '3.20.0'

B = TypeVar('B', bound='BaseFileLock')
A = TypeVar('A', bound='BaseAsyncFileLock')

# What is not linklock's may come to the lock path at any time, and nothing wakes us for it.
WAIT_AT_MOST_S: Final = 5.0

_log = logging.getLogger('filelock')


class _Context:
    """The state of a lock object, or of one of its threads."""

    def __init__(self, lock_file: str, timeout: float, mode: int, blocking: bool):
        self.lock_file = lock_file
        self.timeout = timeout
        self.mode = mode
        self.blocking = blocking
        self.lock_counter = 0
        #: Not None while the lock is held. There is no descriptor: a lock of linklock's is no open file.
        self.lock_file_fd: Optional[int] = None
        #: The process that this state belongs to: a forked child does not hold its parent's lock.
        self.pid = os.getpid()
        self.seat: Optional[Seat] = None
        #: An empty file that the real filelock had left, held so that no process that has opened it takes it for the lock.
        self.leftover: Optional[int] = None
        #: Those that wait for the same state. Once one has the lock, all have.
        self.waiting: list[Hold] = []

    def __del__(self) -> None:
        self.forget_leftover()

    def forget_leftover(self) -> None:
        leftover, self.leftover = self.leftover, None
        if leftover is not None:
            os.close(leftover)


class _ThreadContext(_Context, threading.local):
    """One for each thread."""


class _Meta(ABCMeta):
    """Makes the same object for the same path, if it is to be a singleton; and lets subclasses leave out parameters."""

    _instances: weakref.WeakValueDictionary[str, BaseFileLock]

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any):
        super().__init__(name, bases, namespace, **kwargs)
        cls._instances = weakref.WeakValueDictionary()

    def __call__(cls, lock_file: Union[str, os.PathLike[str]], *args: Any, **kwargs: Any) -> Any:
        names = ['timeout', 'mode', 'thread_local']
        given: dict[str, Any] = {**cls._defaults(), **dict(zip(names, args)), **kwargs}  # type: ignore[attr-defined]
        is_singleton = given['is_singleton']
        if is_singleton:
            known = cls._instances.get(str(lock_file))
            if known is not None:
                _check_singleton(known, given)
                return known
        # Such as virtualenv's, whose constructor takes the path alone.
        accepted = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
        lock = super().__call__(lock_file, **{name: value for name, value in given.items() if name in accepted})
        if is_singleton:
            cls._instances[str(lock_file)] = lock
        return lock


def _check_singleton(known: BaseFileLock, given: dict[str, Any]) -> None:
    own = {
        'thread_local': known.is_thread_local(),
        'timeout': known.timeout,
        'mode': known.mode,
        'blocking': known.blocking,
    }
    differ = [f'\n\t{name} (existing lock has {own[name]} but {given[name]} was passed)' for name in own if given[name] != own[name]]
    if differ:
        raise ValueError(
            'Singleton lock instances cannot be initialized with differing arguments'
            f'\nNon-matching arguments: {"".join(differ)}'
        )


class BaseFileLock(contextlib.ContextDecorator, metaclass=_Meta):
    """The parts that all kinds of locks share.

    :param lock_file: The path of the lock. Its directory is made if it does not exist.
    :param timeout: How long `acquire` waits if it gets no timeout; negative: for ever; 0: one try.
    :param mode: The permissions of what is on disk, before the umask.
    :param thread_local: Whether each thread that uses the object has a lock of its own, so that they exclude each other. Otherwise
        they share one.
    :param blocking: Whether `acquire` waits at all if it is not told.
    :param is_singleton: Whether all objects for this path, of this class and process, are one.
    :param poll_interval: Without meaning, since the system wakes waiters.
    :param lifetime: How long others on other machines wait after this process has died, with the grace: seconds or a timedelta.
    :param grace: How long after its lifetime a lock is broken.
    :param protocol: 'dir', which works without hard links and which the real filelock cannot mistake; or 'link', which flufl.lock
        uses too.
    :param on_lost: Called with the lock, in a thread of its own, if the lock is lost while it is held. Then `release` does not raise
        `LockLost`.
    """

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        return {'timeout': -1, 'mode': 0o644, 'thread_local': True, 'blocking': True, 'is_singleton': False}

    def __init__(
        self,
        lock_file: Union[str, os.PathLike[str]],
        timeout: float = -1,
        mode: int = 0o644,
        thread_local: bool = True,
        *,
        blocking: bool = True,
        is_singleton: bool = False,
        poll_interval: float = 0.05,
        lifetime: Optional[Interval] = None,
        grace: Optional[Interval] = None,
        protocol: str = 'dir',
        on_lost: Optional[Callable[[Any], object]] = None,
    ):
        self._is_thread_local = thread_local
        self._is_singleton = is_singleton
        self._lifetime = DEFAULT_LIFETIME if lifetime is None else to_timedelta(lifetime)
        self._grace = None if grace is None else to_timedelta(grace)
        self._protocol = protocol
        self._on_lost = on_lost
        context = _ThreadContext if thread_local else _Context
        self._context: _Context = context(os.fspath(lock_file), timeout, mode, blocking)

    def is_thread_local(self) -> bool:
        """Whether each thread that uses the object has a lock of its own."""
        return self._is_thread_local

    @property
    def is_singleton(self) -> bool:
        """Whether all objects for this path, of this class and process, are one."""
        return self._is_singleton

    @property
    def lock_file(self) -> str:
        """The path of the lock."""
        return self._context.lock_file

    @property
    def timeout(self) -> float:
        """How long `acquire` waits if it gets no timeout, in seconds."""
        return self._context.timeout

    @timeout.setter
    def timeout(self, value: Union[float, str]) -> None:
        self._context.timeout = float(value)

    @property
    def blocking(self) -> bool:
        """Whether `acquire` waits if it is not told."""
        return self._context.blocking

    @blocking.setter
    def blocking(self, value: bool) -> None:
        self._context.blocking = value

    @property
    def mode(self) -> int:
        """The permissions of what is on disk, before the umask."""
        return self._context.mode

    @property
    def is_locked(self) -> bool:
        """Whether this object holds the lock, in this process and, if it is thread-local, in this thread. It asks no file system."""
        return self._state().lock_file_fd is not None

    @property
    def lock_counter(self) -> int:
        """How often the lock was acquired, and not yet released."""
        return self._state().lock_counter

    def _state(self) -> _Context:
        """The state, which in a forked child begins anew."""
        context = self._context
        if context.pid != os.getpid():
            context.pid, context.lock_counter, context.lock_file_fd = os.getpid(), 0, None
            context.seat, context.waiting = None, []
            context.forget_leftover()
        return context

    @abstractmethod
    def _acquire(self) -> Optional[Awaitable[None]]:
        """Tries once. If it succeeds, `self._context.lock_file_fd` is not None."""
        raise NotImplementedError

    @abstractmethod
    def _release(self) -> Optional[Awaitable[None]]:
        """Releases the lock, and sets `self._context.lock_file_fd` to None."""
        raise NotImplementedError

    def _wait(self, poll_interval: float, left: Optional[float]) -> None:
        """Waits before another try."""
        time.sleep(poll_interval if left is None else min(poll_interval, max(0, left)))

    def acquire(
        self,
        timeout: Optional[float] = None,
        poll_interval: float = 0.05,
        *,
        poll_intervall: Optional[float] = None,
        blocking: Optional[bool] = None,
    ) -> AcquireReturnProxy[BaseFileLock]:
        """Acquires the lock. An object that holds it acquires it once more, and holds it until each has been released.

        :raises Timeout: if it was not acquired in time.
        :return: A context manager that releases it.
        """
        if poll_intervall is not None:
            warnings.warn('use poll_interval instead of poll_intervall', DeprecationWarning, stacklevel=2)
        context = self._state()
        blocking, until = self._until(timeout, blocking)
        context.lock_counter += 1
        try:
            while not self.is_locked:
                _log.debug('Attempting to acquire lock %s on %s', id(self), context.lock_file)
                self._acquire()
                if not self.is_locked:
                    self._check_time(blocking, until)
                    _log.debug('Lock %s not acquired on %s, waiting ...', id(self), context.lock_file)
                    self._wait(poll_interval, None if until is None else until - time.monotonic())
            _log.debug('Lock %s acquired on %s', id(self), context.lock_file)
            return AcquireReturnProxy(self)
        except BaseException:
            # An interrupt may come at any moment. Whoever gets it has not acquired the lock.
            context.lock_counter = max(0, context.lock_counter - 1)
            if context.lock_counter == 0 and self.is_locked:
                self._release()
            raise

    def _until(self, timeout: Optional[float], blocking: Optional[bool]) -> tuple[bool, Optional[float]]:
        context = self._context
        timeout = context.timeout if timeout is None else timeout
        until = None if timeout < 0 else time.monotonic() + timeout
        return context.blocking if blocking is None else blocking, until

    def _check_time(self, blocking: bool, until: Optional[float]) -> None:
        if not blocking:
            _log.debug('Failed to immediately acquire lock %s on %s', id(self), self.lock_file)
            raise Timeout(self.lock_file)
        if until is not None and time.monotonic() >= until:
            _log.debug('Timeout on acquiring lock %s on %s', id(self), self.lock_file)
            raise Timeout(self.lock_file)

    def release(self, force: bool = False) -> None:
        """Releases the lock, once it was released as often as it was acquired.

        :param force: Release it however often it was acquired.
        :raises LockLost: if it was lost before.
        """
        if self._is_last(force):
            self._release()
            self._note_release(force)

    def _is_last(self, force: bool) -> bool:
        """Whether this release is the one that counts. Any other one is counted only."""
        context = self._state()
        if context.lock_file_fd is None:
            return False
        if context.lock_counter > 1 and not force:
            context.lock_counter -= 1
            return False
        _log.debug('Attempting to release lock %s on %s', id(self), context.lock_file)
        return True

    def _note_release(self, force: bool) -> None:
        context = self._context
        # Another thread that shares the state may have begun to acquire it meanwhile.
        context.lock_counter = 0 if force else max(0, context.lock_counter - 1)
        _log.debug('Lock %s released on %s', id(self), context.lock_file)

    def __enter__(self: B) -> B:
        self.acquire()
        return self

    def __exit__(
        self,
        exc_type: Optional[type[BaseException]],
        exc_value: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.release()

    def __del__(self) -> None:
        # A constructor may have failed.
        if '_context' in self.__dict__:
            with contextlib.suppress(LockLost):
                self.release(force=True)


class _LinklockFileLock(BaseFileLock):
    """On a lock of linklock's."""

    #: Whether an empty file that nobody uses may be what the real lock of this kind has left.
    _leaves_files: ClassVar[bool] = False

    def _seat(self) -> Seat:
        context = self._state()
        if context.seat is None:
            path = context.lock_file
            if not path:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            if '\0' in path:
                raise ValueError('embedded null byte')
            settings = Settings(
                absolute(path),
                lifetime=self._lifetime,
                protocol=self._protocol,
                keep_alive=True,
                # The owner reads and writes it, whatever others may.
                mode=context.mode & 0o666 | 0o600,
            )
            if self._grace is not None:
                settings.grace = self._grace
            context.seat = Seat(settings)
        return context.seat

    def _prepare(self) -> Optional[Hold]:
        """What is to be filled; None if the real filelock has the path."""
        seat, context = self._seat(), self._context
        path = seat.settings.path
        # To make one that exists costs more than to look.
        if not os.path.isdir(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.basename(path) in ('', '.', '..'):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), context.lock_file)
        file = lone_file(path)
        if file is not None:
            check_writable(path, file)
            if self._leaves_files and file.st_size == 0:
                context.forget_leftover()
                context.leftover = take_leftover(path)
                if context.leftover is None:
                    return None
        return seat.new_hold()

    def _keep(self, hold: Hold) -> None:
        context = self._context
        assert context.seat is not None
        context.seat.keep(hold, reporter(self, self._on_lost), stays=False)
        context.lock_file_fd = -1
        for other in context.waiting:
            if other is not hold:
                other.stop_waiting()

    def _refused(self, error: Exception) -> None:
        """What a try that has failed means for the caller. Nothing: the lock is held."""
        context = self._context
        context.forget_leftover()
        if not isinstance(error, NotALockError):
            return
        path = absolute(context.lock_file)
        if os.path.isdir(path) and not os.path.islink(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), context.lock_file) from error
        # Another kind of lock file, such as the real SoftFileLock's.

    @contextlib.contextmanager
    def _filling(self) -> Generator[Optional[Hold], None, None]:
        """Keeps what its block has filled, or takes it back. None is to be filled if the real filelock has the path."""
        hold = self._prepare()
        if hold is None:
            yield None
            return
        context = self._context
        context.waiting.append(hold)
        try:
            yield hold
            self._keep(hold)
        except TimeOutError as error:
            self._refused(error)
        except BaseException:
            self._undo(self._seat(), hold)
            raise
        finally:
            context.waiting.remove(hold)

    def _acquire(self) -> None:
        with self._filling() as hold:
            if hold is not None:
                hold.try_acquire()

    def _undo(self, seat: Seat, hold: Hold) -> None:
        """Takes back what was interrupted, and not what another thread that shares the state has acquired."""
        if seat.undo(hold):
            self._context.lock_file_fd = None
        self._context.forget_leftover()

    def _patience(self, left: Optional[float]) -> Patience:
        limit = WAIT_AT_MOST_S if left is None else min(WAIT_AT_MOST_S, max(0.0, left))
        return Patience(limit, [], lambda: None, quiet)

    def _wait(self, poll_interval: float, left: Optional[float]) -> None:
        seat = self._seat()
        # Nothing tells of the end of a lock that is not linklock's.
        if lone_file(seat.settings.path) is not None:
            super()._wait(poll_interval, left)
            return
        with self._filling() as hold:
            if hold is not None:
                seat.acquire(hold, self._patience(left))

    def _release(self) -> None:
        context = self._context
        seat = context.seat
        assert seat is not None
        released = None
        try:
            released = seat.slot.release()
        finally:
            # After an error it is still held, and can be released again. After an interrupt it may be released.
            if seat.slot.held is None:
                context.lock_file_fd = None
                context.forget_leftover()
        seat.stop_watching()
        if released is False and self._on_lost is None:
            context.lock_counter = 0
            raise LockLost(errno.ESTALE, 'the lock was lost before it was released', context.lock_file)


class UnixFileLock(_LinklockFileLock):
    """filelock's lock for Unix. The real one uses flock(2), and leaves an empty file at the path."""

    _leaves_files = True


class SoftFileLock(_LinklockFileLock):
    """filelock's lock by the existence of a file. The real one leaves nothing."""


class WindowsFileLock(BaseFileLock):
    """filelock's lock for Windows, which cannot be used here."""

    def _acquire(self) -> NoReturn:
        raise NotImplementedError

    def _release(self) -> NoReturn:
        raise NotImplementedError


FileLock = UnixFileLock

# --- For asyncio ---


class AsyncAcquireReturnProxy:
    """What an asynchronous `acquire` gives: as a context manager it releases the lock, and does not acquire it once more."""

    def __init__(self, lock: BaseAsyncFileLock):
        self.lock = lock

    async def __aenter__(self) -> BaseAsyncFileLock:
        return self.lock

    async def __aexit__(
        self,
        exc_type: Optional[type[BaseException]],
        exc_value: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.lock.release()


class BaseAsyncFileLock(BaseFileLock):
    """The same for tasks of asyncio. A task that waits blocks neither the event loop nor a thread.

    :param loop: Without meaning: it is the running one.
    :param run_in_executor: Whether the release, which asks the file system, runs in another thread.
    :param executor: Without meaning: such threads are made as they are needed.
    """

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        own = {'thread_local': False, 'loop': None, 'run_in_executor': True, 'executor': None}
        return {**super()._defaults(), **own}

    def __init__(
        self,
        lock_file: Union[str, os.PathLike[str]],
        timeout: float = -1,
        mode: int = 0o644,
        thread_local: bool = False,
        *,
        blocking: bool = True,
        is_singleton: bool = False,
        loop: Optional[asyncio.AbstractEventLoop] = None,
        run_in_executor: bool = True,
        executor: Optional[Executor] = None,
        **kwargs: Any,
    ):
        if thread_local and run_in_executor:
            raise ValueError('run_in_executor is not supported when thread_local is True')
        super().__init__(
            lock_file, timeout, mode, thread_local, blocking=blocking, is_singleton=is_singleton, **kwargs
        )
        self._run_in_executor = run_in_executor
        self._loop = loop
        self.executor = executor

    @property
    def run_in_executor(self) -> bool:
        """Whether the release runs in another thread."""
        return self._run_in_executor

    @property
    def loop(self) -> Optional[asyncio.AbstractEventLoop]:
        """The event loop that the constructor got."""
        return self._loop

    async def acquire(  # type: ignore[override]
        self,
        timeout: Optional[float] = None,
        poll_interval: float = 0.05,
        *,
        blocking: Optional[bool] = None,
    ) -> AsyncAcquireReturnProxy:
        """Acquires the lock.

        :raises Timeout: if it was not acquired in time.
        """
        context = self._state()
        blocking, until = self._until(timeout, blocking)
        context.lock_counter += 1
        try:
            while not self.is_locked:
                _log.debug('Attempting to acquire lock %s on %s', id(self), context.lock_file)
                await self._run(self._acquire)
                if not self.is_locked:
                    self._check_time(blocking, until)
                    _log.debug('Lock %s not acquired on %s, waiting ...', id(self), context.lock_file)
                    await self._wait_in_loop(poll_interval, None if until is None else until - time.monotonic())
            _log.debug('Lock %s acquired on %s', id(self), context.lock_file)
            return AsyncAcquireReturnProxy(self)
        except BaseException:
            context.lock_counter = max(0, context.lock_counter - 1)
            if context.lock_counter == 0 and self.is_locked:
                await self._run(self._release)
            raise

    async def _wait_in_loop(self, poll_interval: float, left: Optional[float]) -> None:
        await asyncio.sleep(poll_interval if left is None else min(poll_interval, max(0, left)))

    async def _run(self, method: Callable[[], Optional[Awaitable[None]]]) -> None:
        if inspect.iscoroutinefunction(method):
            await method()
        elif self._run_in_executor and not self._is_thread_local:
            await in_thread(method)
        else:
            method()

    async def release(self, force: bool = False) -> None:  # type: ignore[override]
        """Releases the lock, once it was released as often as it was acquired.

        :param force: Release it however often it was acquired.
        :raises LockLost: if it was lost before.
        """
        if self._is_last(force):
            await self._run(self._release)
            self._note_release(force)

    def __enter__(self) -> NoReturn:
        raise NotImplementedError('Do not use `with` for asyncio locks, use `async with` instead.')

    async def __aenter__(self: A) -> A:
        await self.acquire()
        return self

    async def __aexit__(
        self,
        exc_type: Optional[type[BaseException]],
        exc_value: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.release()

    def __del__(self) -> None:
        # The drop of a lock of linklock's releases it.
        pass


class _AsyncLinklockFileLock(_LinklockFileLock, BaseAsyncFileLock):
    async def _wait_in_loop(self, poll_interval: float, left: Optional[float]) -> None:
        seat = self._seat()
        if lone_file(seat.settings.path) is not None:
            await super()._wait_in_loop(poll_interval, left)
            return
        with self._filling() as hold:
            if hold is not None:
                await seat.acquire_in_loop(hold, self._patience(left))


class AsyncUnixFileLock(UnixFileLock, _AsyncLinklockFileLock):
    """`UnixFileLock` for tasks."""


class AsyncSoftFileLock(SoftFileLock, _AsyncLinklockFileLock):
    """`SoftFileLock` for tasks."""


class AsyncWindowsFileLock(WindowsFileLock, BaseAsyncFileLock):
    """`WindowsFileLock` for tasks, which cannot be used here."""


AsyncFileLock = AsyncUnixFileLock
