"""The class Lock: flufl.lock's API with additions for Python, on `linklock._core`."""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import os
import random
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime, timedelta
from enum import Enum
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from linklock._core import (
    AlreadyLockedError,
    Contender,
    Held,
    NotALockError,
    NotLockedError,
    TimeOutError,
    Waiting,
    forked,
    printable,
)

Interval = int | float | timedelta
T = TypeVar('T')

#: The character between the parts of a claim file's name. A lock file's name should not contain it.
SEP: Final = '^' if sys.platform == 'win32' else '|'

DEFAULT_LIFETIME: Final = timedelta(seconds=15)
DEFAULT_GRACE: Final = timedelta(seconds=10)

# How soon a signal is noticed that arrives just before the main thread begins to wait.
SIGNAL_TICK_MS: Final = 50

log = logging.getLogger('linklock')
log.addHandler(logging.NullHandler())

# The parent's locks stay with the parent.
os.register_at_fork(after_in_child=forked)


class LockState(Enum):
    """The state of a lock, as its file alone shows it."""

    #: There is no lock file.
    unlocked = 1
    #: This process holds the lock.
    ours = 2
    #: This process holds the lock, but it has expired: another process may break it.
    ours_expired = 3
    #: A process of this machine held it and has ended.
    stale = 4
    #: Another process holds it, but it has expired: any process may break it.
    theirs_expired = 5
    #: Another process holds it, on this machine or on another one; or the file is not a lock.
    unknown = 6


class Lock:
    """A lock at a path on a file system, which processes on many machines may share.

    :param lockfile: The path of the lock.
    :param lifetime: How long the lock lasts without a refresh: seconds or a timedelta; 15 seconds by default.
    :param separator: The character between the parts of a claim file's name.
    :param default_timeout: How long `lock()` waits if it gets no timeout; None means for ever.
    :param keep_alive: Whether a thread refreshes the lock while it is held.
    :param on_lost: Called with this object, in a separate thread, if the lock is lost while it is held.
    :param protocol: 'link', which flufl.lock uses too, or 'dir', which needs no hard links and never removes a name
        that others use.
    :param grace: How long after its expiry a lock is broken: seconds or a timedelta; 10 seconds by default.
    :param fence: Whether each acquisition gets a `fencing_token`.
    :param queue: Whether contenders acquire the lock in the order of their arrival, if they all set this.
    :param require_private: Whether `lock()` raises a PermissionError unless the lock's directory is private: this user or
        root owns it, and nobody else may write to it.

    An object holds the lock for all threads. Threads that must exclude each other need one object each.
    """

    def __init__(
        self,
        lockfile: str | os.PathLike[str],
        lifetime: Interval | None = None,
        separator: str = SEP,
        default_timeout: Interval | None = None,
        *,
        keep_alive: bool = False,
        on_lost: Callable[[Lock], object] | None = None,
        protocol: Literal['link', 'dir'] = 'link',
        grace: Interval | None = None,
        fence: bool = False,
        queue: bool = False,
        require_private: bool = False,
    ):
        self._lockfile = os.fsdecode(lockfile)
        # A later chdir changes nothing. abspath() would resolve `..` after a symbolic link to another directory.
        self._path = self._lockfile if os.path.isabs(self._lockfile) else os.path.join(os.getcwd(), self._lockfile)
        self._hostname = _hostname()
        self._lifetime = _timedelta(DEFAULT_LIFETIME if lifetime is None else lifetime)
        self._grace = _timedelta(DEFAULT_GRACE if grace is None else grace)
        self._separator = separator
        self._default_timeout = default_timeout
        self._keep_alive = keep_alive
        self._fence = fence
        self._queue = queue
        self._require_private = require_private
        self._on_lost = on_lost
        self._protocol = protocol
        self._retry_errnos: list[int] = []
        self._forget()
        self._configure()

    def _configure(self) -> None:
        self._contender = Contender(
            self._path,
            lifetime=self._lifetime.total_seconds(),
            grace=self._grace.total_seconds(),
            separator=self._separator,
            host=self._hostname,
            protocol=self._protocol,
            keep_alive=self._keep_alive,
            fence=self._fence,
            queue=self._queue,
            require_private=self._require_private,
        )
        # For messages and logs, since others may have chosen the name.
        self._shown = printable(self._lockfile)

    def _forget(self) -> None:
        self._held: Held | None = None
        self._stop_watching: threading.Event | None = None

    def __getstate__(self) -> dict[str, Any]:
        """The settings. A held lock stays with the object and the process that acquired it."""
        state = self.__dict__.copy()
        for name in ('_contender', '_held', '_stop_watching'):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()
        self._configure()

    def __repr__(self) -> str:
        return '<{} {} [{}: {}] pid={} at {:#x}>'.format(
            self.__class__.__name__,
            self._shown,
            'locked' if self._held is not None and self._held.check() else 'unlocked',
            self._lifetime,
            os.getpid(),
            id(self),
        )

    # --- Acquire, refresh, release ---

    def lock(self, timeout: Interval | None = None) -> None:
        """Acquires the lock.

        :param timeout: About how long to wait for it; None means the constructor's `default_timeout`. Zero means one
            full attempt, which also breaks an expired lock.
        :raises AlreadyLockedError: if this object holds the lock.
        :raises TimeOutError: if the lock was not acquired in time.
        """
        if self._held is not None:
            self._give_up_what_is_lost()
        # Little Python here and in unlock(): a lock needs few system calls, so Python's own time counts.
        is_logged = log.isEnabledFor(logging.DEBUG)
        if is_logged:
            log.debug('laying claim: %s', self._shown)
        refusal = None
        try:
            self._held = self._contender.try_acquire()
        except (TimeOutError, OSError) as error:
            refusal = error
        if refusal is not None:
            self._held = self._wait_after(refusal, self._until(timeout))
        if is_logged:
            log.debug('got the lock: %s', self._shown)
        if self._on_lost is not None:
            self._watch(self._on_lost)

    def refresh(self, lifetime: Interval | None = None, *, unconditionally: bool = False) -> None:
        """Moves the expiry on: the lock lasts for its lifetime from now.

        :param lifetime: The lock's lifetime from now on.
        :param unconditionally: Do not raise an error if the lock is not held.
        :raises NotLockedError: if the lock is not held, or was lost.
        """
        if lifetime is not None:
            self.lifetime = lifetime
        if not self.is_locked and not unconditionally:
            found = self._contender.look()
            raise NotLockedError(f'{self!r}: {"nobody holds it" if found is None else found.text}')

    def unlock(self, *, unconditionally: bool = False) -> None:
        """Releases the lock.

        :param unconditionally: Do not raise an error if the lock is not held. No other holder's lock is ever removed.
        :raises NotLockedError: if the lock is not held, or another holder has acquired it since.
        """
        held = self._held
        if held is None:
            if not unconditionally:
                raise NotLockedError('Already unlocked')
            return
        try:
            released = held.release()
        except OSError as error:
            released = self._retrying(held.release, after=error)
        self._held = None
        if self._stop_watching is not None:
            self._stop_watching.set()
        if released:
            log.debug('unlocked: %s', self._shown)
        elif not unconditionally:
            raise NotLockedError(f'{self._shown}: the lock was lost before it was unlocked')

    @property
    def is_locked(self) -> bool:
        """Whether this object holds the lock, as the file system shows it. Reading this refreshes the lock."""
        held = self._held
        if held is None:
            return False
        try:
            return self._retrying(held.refresh, self._lifetime.total_seconds())
        except PermissionError:
            log.error('No permission to refresh the lock')
            return False

    def __enter__(self) -> Self:
        self.lock()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> Literal[False]:
        self.unlock()
        return False

    async def __aenter__(self) -> Self:
        if self._held is not None:
            self._give_up_what_is_lost()
        until = self._until(None)
        while True:
            try:
                self._held = await self._wait_in_loop(until)
                break
            except (NotALockError, OSError) as error:
                if not self._is_worth_another_try(error, until):
                    raise
            await asyncio.sleep(_pause())
        log.debug('got the lock: %s', self._shown)
        if self._on_lost is not None:
            self._watch(self._on_lost)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> Literal[False]:
        await _in_thread(self.unlock)
        return False

    def _give_up_what_is_lost(self) -> None:
        if self.is_locked:
            log.debug('already locked: %s', self._shown)
            raise AlreadyLockedError('We already had the lock')
        self.unlock(unconditionally=True)

    # --- Waiting ---

    def _until(self, timeout: Interval | None) -> float | None:
        if timeout is None:
            timeout = self._default_timeout
        return None if timeout is None else time.monotonic() + _timedelta(timeout).total_seconds()

    def _is_worth_another_try(self, refusal: Exception, until: float | None) -> bool:
        if isinstance(refusal, OSError) and refusal.errno not in self._retry_errnos:
            return False
        if until is not None and time.monotonic() >= until:
            log.error('timed out: %s', refusal)
            return False
        level = logging.DEBUG if type(refusal) is TimeOutError else logging.WARNING
        log.log(level, 'waiting for claim: %s', refusal)
        return True

    def _retrying(
        self, operation: Callable[..., T], *args: object, after: OSError | None = None, until: float | None = None
    ) -> T:
        """Calls `operation` until it succeeds, as far as `retry_errnos` allows. `after`: it has failed once already."""
        error: Exception | None = after
        while True:
            if error is not None:
                if not self._is_worth_another_try(error, until):
                    raise error
                self._sleep()
            try:
                return operation(*args)
            except (NotALockError, OSError) as again:
                error = again

    def _wait_after(self, refusal: Exception, until: float | None) -> Held:
        if not self._is_worth_another_try(refusal, until):
            raise refusal
        return self._retrying(self._wait, until, until=until)

    def _begin_to_wait(self, until: float | None) -> Waiting:
        return self._contender.wait(None if until is None else until - time.monotonic())

    def _wait(self, until: float | None) -> Held:
        waiting = self._begin_to_wait(until)
        try:
            ended = select.poll()
            ended.register(waiting, select.POLLIN)
            # Signal handlers run in the main thread only.
            tick = SIGNAL_TICK_MS if threading.current_thread() is threading.main_thread() else None
            while not ended.poll(tick):
                pass
        except BaseException:
            waiting.cancel()
            raise
        return self._result(waiting)

    async def _wait_in_loop(self, until: float | None) -> Held:
        waiting = self._begin_to_wait(until)
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(waiting.fileno(), ended.set)
        try:
            await ended.wait()
        except BaseException:
            waiting.cancel()
            raise
        finally:
            loop.remove_reader(waiting.fileno())
        return self._result(waiting)

    def _result(self, waiting: Waiting) -> Held:
        try:
            return waiting.result()
        except TimeOutError as error:
            if not isinstance(error, NotALockError):
                log.error('timed out: %s', error)
            raise

    def _sleep(self) -> None:
        time.sleep(_pause())

    def _watch(self, on_lost: Callable[[Lock], object]) -> None:
        # A daemon thread that waits only in Python, so the interpreter can end at any time.
        held = self._held
        assert held is not None
        stop = self._stop_watching = threading.Event()
        tick = min(1.0, self._lifetime.total_seconds() / 50)

        def watch() -> None:
            while not stop.wait(tick):
                if held.is_lost:
                    on_lost(self)
                    return

        threading.Thread(target=watch, name='linklock-on-lost', daemon=True).start()

    # --- Queries ---

    @property
    def hostname(self) -> str:
        """This machine's name, as others see it in `details`."""
        return self._hostname

    @property
    def lockfile(self) -> str:
        """The lock's path, as the constructor got it."""
        return self._lockfile

    @property
    def claimfile(self) -> str:
        """The claim file that holds the lock. While the lock is not held: a name of the same form that no claim has."""
        if self._held is not None:
            return self._held.claimfile
        return self._separator.join((self._contender.path, self._hostname, str(os.getpid()), '0' * 32))

    @property
    def fencing_token(self) -> int | None:
        """A number that grows with each acquisition; None while the lock is not held, or without `fence=True`.

        The protected resource refuses a number that is smaller than an earlier one.
        """
        return None if self._held is None else self._held.fencing_token

    @property
    def lifetime(self) -> timedelta:
        """How long the lock lasts from its acquisition, and from each refresh."""
        return self._lifetime

    @lifetime.setter
    def lifetime(self, lifetime: Interval) -> None:
        self._lifetime = _timedelta(lifetime)
        self._configure()

    @property
    def expiration(self) -> datetime:
        """When the lock expires, whoever holds it; by the file server's clock, in local time.

        :raises FileNotFoundError: if nobody holds the lock.
        """
        found = self._contender.look()
        if found is None or found.expires_at is None:
            why = 'nobody holds the lock' if found is None else found.text
            raise FileNotFoundError(errno.ENOENT, why, self._path)
        return datetime.fromtimestamp(found.expires_at)

    @property
    def details(self) -> tuple[str, int, str]:
        """The holder's host name and process id, and the lock's path.

        A user who may write the lock's directory can forge the host name and the process id.

        :raises NotLockedError: if nobody holds the lock, or the file at its path is not a lock.
        """
        found = self._contender.look()
        if found is None or found.holder is None:
            raise NotLockedError('Details are unavailable')
        return *found.holder, self._contender.path

    @property
    def state(self) -> LockState:
        """The state of the lock, as its file shows it."""
        found = self._contender.look()
        if found is None:
            return LockState.unlocked
        if found.holder is None or found.expires_at is None:
            return LockState.unknown
        hostname, pid = found.holder
        if hostname != self._hostname:
            return LockState.unknown
        if pid != os.getpid() and not _is_running(pid):
            return LockState.stale
        # Timestamps, since a daylight-saving change repeats an hour of local time.
        is_expired = found.expires_at < self._now().timestamp()
        if pid == os.getpid():
            return LockState.ours_expired if is_expired else LockState.ours
        return LockState.theirs_expired if is_expired else LockState.unknown

    @property
    def retry_errnos(self) -> list[int]:
        """After these errnos a failed acquisition, refresh or release is tried again, after a pause."""
        return self._retry_errnos[:]

    @retry_errnos.setter
    def retry_errnos(self, errnos: list[int]) -> None:
        self._retry_errnos = list(errnos)

    @retry_errnos.deleter
    def retry_errnos(self) -> None:
        self._retry_errnos = []

    def _now(self) -> datetime:
        """The time with which `state` compares the expiration: a hook for subclasses.

        Nothing else uses it. Locks expire by the file server's clock, which linklock asks for.
        """
        return datetime.now()


@functools.cache
def _hostname() -> str:
    # The same as flufl.lock's. It may ask a name server, which is slow.
    return socket.getfqdn()


def _timedelta(interval: Interval) -> timedelta:
    return interval if isinstance(interval, timedelta) else timedelta(seconds=interval)


def _pause() -> float:
    return random.uniform(0.01, 1.0)


def _is_running(pid: int) -> bool:
    try:
        # Not kill(pid, 0): on Linux it also succeeds for the number of a thread.
        os.close(os.pidfd_open(pid))
    except OverflowError:
        return False
    except OSError as error:
        return error.errno not in (errno.ESRCH, errno.EINVAL, errno.ENOENT)
    return True


async def _in_thread(function: Callable[[], T]) -> T:
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
