"""Several locks at once, without deadlock."""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import Literal, Optional

from linklock._core import AlreadyLockedError, TimeOutError
from linklock._lock import Lock
from linklock._seat import Interval, to_timedelta


class AllOf:
    """Several locks as one context manager: see `all_of`."""

    def __init__(self, locks: tuple[Lock, ...], timeout: Optional[Interval]):
        self._locks = locks
        self._ordered = _in_order(locks)
        self._timeout = timeout
        self._held: list[Lock] = []

    def __enter__(self) -> tuple[Lock, ...]:
        if self._held:
            raise AlreadyLockedError('these locks are held by this object')
        limit = None if self._timeout is None else to_timedelta(self._timeout).total_seconds()
        until = None if limit is None else time.monotonic() + limit
        taken: list[Lock] = []
        try:
            for lock in self._ordered:
                # Before it is acquired: an interrupt may come right after.
                taken.append(lock)
                try:
                    _take(lock, taken[:-1], until)
                except AlreadyLockedError:
                    # It is not ours to release.
                    taken.pop()
                    raise
            for lock in taken[:-1]:
                # Their lifetimes begin now, as that of the last. Raises an error if one was lost meanwhile.
                lock.refresh()
        except BaseException:
            _release(taken)
            raise
        self._held = taken
        return self._locks

    def __exit__(
        self,
        exc_type: Optional[type[BaseException]],
        exc_val: Optional[BaseException],
        exc_tb: Optional[TracebackType],
    ) -> Literal[False]:
        held, self._held = self._held, []
        error: Optional[BaseException] = None
        while held:
            try:
                held.pop().unlock()
            except BaseException as e:
                error = error or e
        if error is not None:
            raise error
        return False


def all_of(*locks: Lock, timeout: Optional[Interval] = None) -> AllOf:
    """Acquires all of these locks, or none, within one time-out, and releases them in reverse order.

    >>> with all_of(Lock('/srv/shared/from.lock'), Lock('/srv/shared/to.lock'), timeout=60):  # doctest: +SKIP
    ...     print('both are held')

    They are acquired in one order, whatever order they are given in, so contenders that want some of the same locks never wait for
    each other for ever. While it waits for the next lock, those that are held are refreshed.

    :param timeout: Seconds or a timedelta; None means for ever.
    :raises TimeOutError: if they could not all be acquired in time.
    :raises AlreadyLockedError: if one of the objects holds its lock already.
    :raises NotLockedError: if one was lost before all were acquired; and at the end, if one was lost under the work.
    :raises ValueError: if two of them have one lock path.
    """
    return AllOf(locks, timeout)


def _in_order(locks: tuple[Lock, ...]) -> list[Lock]:
    """By the lock's name, then by the number of its directory, which is the same on all machines that share the file system, then by
    the path: as the Rust library orders them."""

    def key(lock: Lock) -> tuple[bytes, int, int, bytes]:
        path = os.fsencode(lock.lockfile)
        try:
            directory = os.stat(os.path.dirname(path))
        except OSError:
            # The acquisition says what is wrong.
            return os.path.basename(path), 0, 0, path
        return os.path.basename(path), directory.st_ino, directory.st_dev, path

    keys = {id(lock): key(lock) for lock in locks}
    if len({known[:3] for known in keys.values()}) < len(locks):
        raise ValueError('two of these locks have one lock path; name each lock once')
    return sorted(locks, key=lambda lock: (*keys[id(lock)][:2], keys[id(lock)][3]))


def _take(lock: Lock, held: list[Lock], until: Optional[float]) -> None:
    """Waits in slices, and refreshes those that are held in between: the wait may be longer than their lifetimes."""
    while True:
        left = None if until is None else max(until - time.monotonic(), 0)
        lifetimes = [other.lifetime.total_seconds() / 3 for other in held]
        slices = lifetimes if left is None else [*lifetimes, left]
        try:
            lock.lock(min(slices) if slices else None)
            return
        except TimeOutError:
            if until is not None and time.monotonic() >= until:
                raise
            for other in held:
                other.refresh()


def _release(taken: list[Lock]) -> None:
    while taken:
        taken.pop().unlock(unconditionally=True)
