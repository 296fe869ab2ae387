"""What an operator asks: who holds a lock, and to break it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Optional, Union

from linklock._core import Found
from linklock._seat import SEP, Settings, absolute


@dataclass(frozen=True)
class Status:
    """What is at a lock path. Host, pid, command, user and since are what somebody wrote: whoever may write to the directory can
    forge them."""

    #: The lock's path, absolute.
    path: str
    #: 'free', 'held', 'expired', 'abandoned' or 'not a lock', as the program `linklock status` has it.
    state: str
    #: 'link' or 'dir'; None if there is no lock.
    protocol: Optional[str]
    #: The holder's machine; None if there is no lock, or if its holder cannot be read.
    host: Optional[str]
    #: The holder's process on that machine; None if the lock belongs to no process.
    pid: Optional[int]
    #: The claim's name, by which `break_lock` breaks this lock and no other.
    token: Optional[str]
    #: What the holder runs, and as whom, if the lock says so.
    command: Optional[str]
    user: Optional[str]
    #: The number of the owner of the lock's file, as the file system has it.
    owner_uid: Optional[int]
    #: When the lock was acquired, if it says so.
    since: Optional[datetime]
    #: When its lifetime ends, by the file server's clock.
    expires_at: Optional[datetime]
    #: Whether the next contender can acquire it at once.
    available: bool


def inspect(path: Union[str, os.PathLike[str]], *, separator: str = SEP) -> Status:
    """Looks at a lock, and changes nothing on disk but for a moment's claim by which it learns the file server's time."""
    settings = Settings(absolute(os.fsdecode(path)), separator=separator)
    return _status(settings.path, settings.contender().look())


def break_lock(
    path: Union[str, os.PathLike[str]], *, token: Optional[str] = None, force: bool = False, separator: str = SEP
) -> Optional[Status]:
    """Breaks a lock: the one of this token, an expired or abandoned one, or with `force` any.

    :return: What was there; None if nobody held the lock.
    :raises TimeOutError: if it is held, and neither `token` nor `force` allow to break it.
    :raises NotLockedError: if this token does not hold it.
    """
    settings = Settings(absolute(os.fsdecode(path)), separator=separator)
    found = settings.contender().break_lock(token, force)
    return None if found is None else _status(settings.path, found)


def _status(path: str, found: Found) -> Status:
    return Status(
        path=path,
        state=found.state,
        protocol=found.protocol,
        host=found.host,
        pid=found.pid if found.has_process else None,
        token=found.token,
        command=found.command,
        user=found.user,
        owner_uid=found.owner_uid,
        since=_time(found.since),
        expires_at=_time(found.expires_at),
        available=found.available,
    )


def _time(seconds: Optional[float]) -> Optional[datetime]:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
