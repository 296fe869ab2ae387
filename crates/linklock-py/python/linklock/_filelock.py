"""What all kinds of filelock's locks share: their errors, and what becomes of the files that the real ones leave."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import signal
import stat
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Generic, Optional, Protocol, TypeVar

#: How long a lock outlasts a holder on another machine that has died, with linklock's grace. It is refreshed every third of it.
DEFAULT_LIFETIME: Final = timedelta(seconds=60)


class Timeout(TimeoutError):
    """The lock was not acquired in time."""

    def __init__(self, lock_file: str):
        super().__init__()
        self._lock_file = lock_file

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._lock_file,)

    def __str__(self) -> str:
        return f"The file lock '{self._lock_file}' could not be acquired."

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self._lock_file!r})'

    @property
    def lock_file(self) -> str:
        """The path of the lock."""
        return self._lock_file


class LockLost(OSError):
    """The lock was lost while it was held: another process may have had it meanwhile."""


class Releasable(Protocol):
    """What a context manager can release."""

    def release(self) -> object: ...


R = TypeVar('R', bound=Releasable)


class AcquireReturnProxy(Generic[R]):
    """What `acquire` returns: as a context manager it releases the lock, and does not acquire it once more."""

    def __init__(self, lock: R):
        self.lock = lock

    def __enter__(self) -> R:
        return self.lock

    def __exit__(
        self,
        exc_type: Optional[type[BaseException]],
        exc_value: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.lock.release()


# --- The real filelock's files ---

quiet = logging.Logger('linklock.filelock', logging.CRITICAL + 1)


def lone_file(path: str) -> Optional[os.stat_result]:
    """A file of another kind of lock: no lock of linklock's is a file with only one name."""
    with contextlib.suppress(OSError):
        found = os.lstat(path)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            return found
    return None


def check_writable(path: str, file: os.stat_result) -> None:
    """filelock refuses a file that its owner may not write. Its time 0 stands for one that is about to be removed."""
    if file.st_mtime != 0 and not file.st_mode & stat.S_IWUSR:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def take_leftover(path: str, is_database: bool = False) -> Optional[int]:
    """Removes an empty file that the real FileLock has left, if certainly nobody uses it. None if it is used, or is gone.

    The descriptor that this returns has the file's flock(2). As long as it is open, no process that had opened the file before can
    take it for the lock.

    :param is_database: Whether the real ReadWriteLock may have left it, which locks it by fcntl(2), as SQLite does.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EISDIR, errno.ELOOP):
            return None
        raise
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_database:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            os.close(file)
            return None
        if not _is_only_ours(file):
            raise OSError(
                errno.EEXIST,
                'an empty file is at the lock path. filelock may have left it, or may hold a lock by it. '
                'If no other program uses it, remove it',
                path,
            )
        found, there = os.fstat(file), os.lstat(path)
        if (found.st_dev, found.st_ino) == (there.st_dev, there.st_ino) and found.st_size == 0:
            os.unlink(path)
        return file
    except FileNotFoundError:
        return file
    except BaseException:
        os.close(file)
        raise


def _is_only_ours(file: int) -> bool:
    """Whether certainly no other process has the file open, as a real SoftFileLock's holder has. Only a local file system can say
    that: by a lease, see fcntl(2)."""
    if not hasattr(fcntl, 'F_SETLEASE'):
        return False
    try:
        # Whoever opens the file meanwhile makes the kernel send a signal. The usual one would end this process.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    return True
