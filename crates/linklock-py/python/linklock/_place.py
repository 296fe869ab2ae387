"""What stands under filelock's locks for readers and writers: a lock path for both, and one object for each path."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import stat
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal, Optional, Union

from linklock._core import Hold, NotALockError, TimeOutError
from linklock._filelock import DEFAULT_LIFETIME, LockLost, Timeout, quiet, take_leftover
from linklock._seat import DEFAULT_GRACE, Interval, Patience, Seat, Settings, to_timedelta

Mode = Literal['read', 'write']
StrPath = Union[str, os.PathLike[str]]

# A wait that is longer than this never ends.
FOREVER_S: Final = 1e9


# --- What a caller gives ---


def seconds(name: str, value: Any) -> float:
    """Any kind of number, but no bool, which would be a `blocking` in the wrong place."""
    if isinstance(value, bool) or not hasattr(value, '__float__'):
        raise TypeError(f'{name} must be a number of seconds, not {type(value).__name__}')
    return float(value)


def check_blocking(blocking: Any) -> None:
    if not isinstance(blocking, bool):
        raise TypeError(f'blocking must be a bool, not {type(blocking).__name__}')


def deadline(timeout: Any, blocking: Any) -> Optional[float]:
    """When a wait ends, by the monotonic clock; None: never."""
    check_blocking(blocking)
    limit = seconds('timeout', timeout)
    if not blocking:
        return time.monotonic()
    if math.isnan(limit):
        raise ValueError('timeout must be a number of seconds, not nan')
    if limit < 0 and limit != -1:
        raise ValueError('timeout must be a non-negative number or -1')
    return None if limit == -1 or limit > FOREVER_S else time.monotonic() + limit


def canonical(path: StrPath) -> str:
    """Where the lock is, whatever becomes of the working directory. The lock itself is not followed if it is a symbolic link."""
    given: str = os.fspath(path)
    directory, name = os.path.split(given)
    return os.path.join(os.path.realpath(directory or os.curdir), name)


@dataclass(frozen=True)
class Terms:
    """How long a holder that has died stays in the way of other machines, and whether each acquisition gets a number."""

    lifetime: timedelta = DEFAULT_LIFETIME
    grace: timedelta = DEFAULT_GRACE
    fence: bool = False


def terms(lifetime: Optional[Interval], grace: Optional[Interval], default: timedelta = DEFAULT_LIFETIME, fence: bool = False) -> Terms:
    return Terms(
        default if lifetime is None else to_timedelta(lifetime),
        DEFAULT_GRACE if grace is None else to_timedelta(grace),
        fence,
    )


# --- What the soft kind is given, and what it tells ---


@dataclass(frozen=True)
class LeaseCompromise:
    """That a lock was lost while it was held, as filelock tells it."""

    lock_file: str
    token: str
    #: 'evicted': another may have it now.
    reason: str
    error: Optional[Exception] = None


def evicted(lock_file: str, hold: Hold) -> LeaseCompromise:
    return LeaseCompromise(lock_file, hold.token or '', 'evicted')


@dataclass(frozen=True)
class Intervals:
    """What SoftReadWriteLock is given to time it. Only the threshold means something here."""

    heartbeat_interval: float = 30.0
    stale_threshold: Optional[float] = None
    poll_interval: float = 0.25

    def checked(self) -> tuple[float, float, float]:
        heartbeat = _positive('heartbeat_interval', self.heartbeat_interval)
        stale = _positive('stale_threshold', 3 * heartbeat if self.stale_threshold is None else self.stale_threshold)
        poll = _positive('poll_interval', self.poll_interval)
        if stale <= heartbeat:
            raise ValueError(f'stale_threshold must exceed heartbeat_interval, {heartbeat} s, not {stale}')
        if poll >= stale:
            raise ValueError(f'poll_interval must be below stale_threshold, {stale} s, not {poll}')
        return heartbeat, stale, poll


def _positive(name: str, value: Any) -> float:
    number = seconds(name, value)
    if not math.isfinite(number) or number <= 0:
        raise ValueError(f'{name} must be positive and finite, not {number}')
    return number


def check_intervals(options: dict[str, Any]) -> tuple[float, float, float]:
    known = ('heartbeat_interval', 'stale_threshold', 'poll_interval')
    return Intervals(**{name: options[name] for name in known if name in options}).checked()


# --- The lock path ---


class Place:
    """A lock path that is acquired by readers together, or by a writer alone."""

    def __init__(self, lock_file: StrPath, terms: Terms, is_soft: bool):
        self.lock_file = os.fspath(lock_file)
        self._path = canonical(lock_file)
        self._is_soft = is_soft
        self._leftover: Optional[int] = None
        # Two, so that nothing about one acquisition depends on the one before.
        self._seats = {mode: Seat(self._settings(mode, terms)) for mode in ('read', 'write')}

    def _settings(self, mode: str, terms: Terms) -> Settings:
        return Settings(
            self._path,
            lifetime=terms.lifetime,
            grace=terms.grace,
            protocol='dir',
            keep_alive=True,
            fence=terms.fence,
            shared=mode == 'read',
        )

    def seat(self, mode: Mode) -> Seat:
        return self._seats[mode]

    def prepare(self) -> None:
        """Looks for what the real filelock may have there."""
        directory = os.path.dirname(self._path)
        if not os.path.isdir(directory):
            os.makedirs(directory, exist_ok=True)
        if self._is_soft:
            if os.path.lexists(self._path + '.rw'):
                raise FileExistsError(
                    errno.EEXIST,
                    "filelock's own SoftReadWriteLock was used here. If no program uses it any more, remove",
                    self._path + '.rw',
                )
            return
        with contextlib.suppress(FileNotFoundError):
            found = os.lstat(self._path)
            if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_size == 0:
                self.forget_leftover()
                self._leftover = take_leftover(self._path, is_database=True)
            elif not stat.S_ISDIR(found.st_mode) and (found.st_nlink == 1 or not stat.S_ISREG(found.st_mode)):
                # No lock of linklock's is a file with only one name.
                raise self._not_a_lock()

    def undo(self, mode: Mode, hold: Hold) -> None:
        """Takes an acquisition back, however far it came."""
        seat = self._seats[mode]
        seat.undo(hold)
        seat.stop_watching()
        self.forget_leftover()

    def refusal(self, error: TimeOutError) -> OSError:
        """Why the lock was not acquired, as filelock says it."""
        if not isinstance(error, NotALockError):
            return Timeout(self.lock_file)
        return self._not_a_lock()

    def _not_a_lock(self) -> OSError:
        if os.path.isdir(self._path) and not os.path.islink(self._path):
            return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self.lock_file)
        return FileExistsError(errno.EEXIST, 'what is at the lock path is not a lock', self.lock_file)

    def forget_leftover(self) -> None:
        leftover, self._leftover = self._leftover, None
        if leftover is not None:
            os.close(leftover)

    def __del__(self) -> None:
        # A constructor may have failed.
        if '_leftover' in self.__dict__:
            self.forget_leftover()

    def release(self, mode: Mode) -> Optional[bool]:
        """False if the lock was lost. After an error it is still held."""
        seat = self._seats[mode]
        try:
            released = seat.slot.release()
        finally:
            if seat.slot.held is None:
                self.forget_leftover()
        seat.stop_watching()
        return released

    def lost(self) -> LockLost:
        return LockLost(errno.ESTALE, 'the lock was lost before it was released', self.lock_file)


def closed_database() -> Exception:
    """What the real ReadWriteLock raises when it is closed."""
    try:
        from sqlite3 import ProgrammingError
    except ImportError:
        return RuntimeError('Cannot operate on a closed database.')
    return ProgrammingError('Cannot operate on a closed database.')


def is_lost(hold: Hold) -> bool:
    """It asks nobody."""
    return hold.loss is not None and hold.loss.is_lost


def patience(until: Optional[float]) -> Patience:
    return Patience(None if until is None else max(0.0, until - time.monotonic()), [], lambda: None, quiet)


# --- One object for a path ---


class SingletonMeta(type):
    """Makes the same object for the same path, unless it is told not to. Its classes have `check_same`."""

    _instances: weakref.WeakValueDictionary[str, Any]
    _instances_lock: threading.RLock
    _being_made: set[str]

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any):
        super().__init__(name, bases, namespace)
        cls.forget_instances()
        _classes.add(cls)

    def forget_instances(cls) -> None:
        cls._instances = weakref.WeakValueDictionary()
        cls._instances_lock = threading.RLock()
        cls._being_made = set()

    def __call__(
        cls, lock_file: StrPath, timeout: float = -1, *, blocking: bool = True, is_singleton: bool = True, **options: Any
    ) -> Any:
        check_blocking(blocking)
        timeout = seconds('timeout', timeout)
        given = {'blocking': blocking, 'is_singleton': is_singleton, **options}
        if not is_singleton:
            return super().__call__(lock_file, timeout, **given)
        key = canonical(lock_file)
        with cls._instances_lock:
            known = cls._instances.get(key)
            if known is not None:
                known.check_same(timeout, blocking, options)
                return known
            if key in cls._being_made:
                raise RuntimeError(f'Singleton lock construction is already active for {lock_file!s}')
            cls._being_made.add(key)
            try:
                lock = super().__call__(lock_file, timeout, **given)
            finally:
                cls._being_made.discard(key)
            cls._instances[key] = lock
            return lock


_classes: weakref.WeakSet[SingletonMeta] = weakref.WeakSet()


def _forget_instances() -> None:
    """In a forked child: what it has inherited is its parent's."""
    for cls in _classes:
        cls.forget_instances()


os.register_at_fork(after_in_child=_forget_instances)


def same_limit(one: float, other: float) -> bool:
    return one == other or math.isnan(one) and math.isnan(other) or {one, other} == {-1.0, math.inf}


def check_callbacks(lock_file: str, options: dict[str, Any], **known: Optional[Callable[[Any], object]]) -> None:
    for name, callback in known.items():
        if options.get(name) is not None and options[name] != callback:
            raise ValueError(f'Singleton lock created with a different {name} callback for {lock_file}')
