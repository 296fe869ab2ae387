"""The class Lock: flufl.lock's API with additions for Python."""

from __future__ import annotations

import copy
import errno
import logging
import os
import socket
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum
from types import TracebackType
from typing import Any, Literal, Optional, TypeVar, Union

from linklock._core import AlreadyLockedError, Hold, NotLockedError, TimeOutError
from linklock._seat import (
    DEFAULT_GRACE,
    DEFAULT_LIFETIME,
    SEP,
    Interval,
    Patience,
    Seat,
    Settings,
    absolute,
    in_thread,
    log,
    pause_s,
    reporter,
    to_timedelta,
)

L = TypeVar('L', bound='Lock')
OnLost = Callable[['Lock'], object]


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


class _State:
    """All that a Lock has. In one attribute, so that no name of ours is one of a subclass's."""

    __slots__ = ('lockfile', 'seat', 'default_timeout', 'retry_errnos', 'on_lost', 'claimfile')

    def __init__(self, lockfile: str, settings: Settings):
        self.lockfile = lockfile
        self.seat = Seat(settings)
        self.default_timeout: Optional[Interval] = None
        self.retry_errnos: list[int] = []
        self.on_lost: Optional[OnLost] = None
        #: A name that a subclass has chosen for a lock that is not held.
        self.claimfile: Optional[str] = None

    def patience(self, timeout: Optional[Interval], pause: Callable[[], object]) -> Patience:
        return Patience(timeout, self.retry_errnos, pause, log)

    def refresh(self, held: Hold, pause: Callable[[], object]) -> bool:
        seconds = self.seat.settings.lifetime.total_seconds()
        try:
            try:
                return held.refresh(seconds)
            except OSError as error:
                return self.patience(None, pause).retry(lambda: held.refresh(seconds), after=error)
        except PermissionError:
            log.error('No permission to refresh the lock')
            return False

    def give_up_what_is_lost(self, pause: Callable[[], object]) -> None:
        """Raises AlreadyLockedError if the lock is held; releases what is left of one that was lost."""
        held = self.seat.slot.held
        if held is None:
            return
        if self.refresh(held, pause):
            log.debug('already locked: %s', self.seat.shown())
            raise AlreadyLockedError('We already had the lock')
        # Only this one: another thread may have acquired the lock since.
        self.seat.slot.release(held)

    def twin(self) -> _State:
        """The settings. A held lock stays with the object and the process that acquired it."""
        other = object.__new__(_State)
        other.__setstate__(self.__getstate__())
        return other

    def __getstate__(self) -> tuple[Any, ...]:
        settings = Settings(**vars(self.seat.settings))
        return self.lockfile, settings, self.default_timeout, self.retry_errnos[:], self.on_lost, self.claimfile

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        lockfile, settings, self.default_timeout, self.retry_errnos, self.on_lost, self.claimfile = state
        self.lockfile, self.seat = lockfile, Seat(settings)


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
    :param shared: Whether the lock is acquired to be shared with all others who set this; it needs `protocol='dir'`. See `shared()`.
    :param slots: How many may hold the lock at a time, on all machines together; None for one. All contenders should name the same
        number. Slot n is the lock at LOCKFILE.n; `slot` is the number of the one that is held. What is asked of the lock, such as
        `state`, is asked of that slot; while none is held, of one that is free, if there is one.
    :param wake: How to learn of a release on another machine: 'poll', or 'udp' for a datagram that whoever releases the lock with
        this setting sends to the next waiter (on Linux). The bell, a file beside the lock, names the port that it is sent to.
    :param require_private: Whether `lock()` raises a PermissionError unless the lock's directory is private: this user or
        root owns it, and nobody else may write to it.
    :param unsafe_filesystem: Whether the lock may be on a file system where the protocol is known to fail: where two may hold
        it, or nobody can have it. Without it, `lock()` raises an OSError there.
    :param on_behalf_of: The process that holds the lock: when it ends, others on its machine acquire the lock at once. None
        for this process, 'nobody' for none (the lock then lasts until it is released or expires), or a pid.

    An object that several threads share is one holder: what one thread acquires, all hold, and any of them may release it.
    While it is held, `lock()` raises AlreadyLockedError in every thread. Threads that must exclude each other need one object
    each.
    """

    _linklock: _State

    def __init__(
        self,
        lockfile: Union[str, os.PathLike[str]],
        lifetime: Optional[Interval] = None,
        separator: str = SEP,
        default_timeout: Optional[Interval] = None,
        *,
        keep_alive: bool = False,
        on_lost: Optional[OnLost] = None,
        protocol: Literal['link', 'dir'] = 'link',
        grace: Optional[Interval] = None,
        fence: bool = False,
        queue: bool = False,
        shared: bool = False,
        slots: Optional[int] = None,
        wake: Literal['poll', 'udp'] = 'poll',
        require_private: bool = False,
        unsafe_filesystem: bool = False,
        on_behalf_of: Union[int, Literal['nobody'], None] = None,
    ):
        path = os.fsdecode(lockfile)
        settings = Settings(
            absolute(path),
            lifetime=to_timedelta(DEFAULT_LIFETIME if lifetime is None else lifetime),
            grace=to_timedelta(DEFAULT_GRACE if grace is None else grace),
            separator=separator,
            protocol=protocol,
            keep_alive=keep_alive,
            fence=fence,
            queue=queue,
            shared=shared,
            slots=slots,
            wake=wake,
            require_private=require_private,
            unsafe_filesystem=unsafe_filesystem,
            on_behalf_of=_process(on_behalf_of),
        )
        state = self._linklock = _State(path, settings)
        state.default_timeout = default_timeout
        state.on_lost = on_lost
        self._set_claimfile()

    def __getattr__(self, name: str) -> Any:
        # Some subclasses do what flufl.lock's constructor does, and do not call it.
        if name != '_linklock':
            raise AttributeError(f'{type(self).__name__!r} object has no attribute {name!r}')
        state = self.__dict__['_linklock'] = _State('', Settings(os.path.join(os.getcwd(), 'unnamed')))
        return state

    def __getstate__(self) -> dict[str, Any]:
        """The settings. A held lock stays with the object and the process that acquired it."""
        return {**self.__dict__, '_linklock': self._linklock.twin()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __repr__(self) -> str:
        seat = self._linklock.seat
        held = seat.slot.held
        return '<{} {} [{}: {}] pid={} at {:#x}>'.format(
            self.__class__.__name__,
            seat.shown(),
            'locked' if held is not None and held.check() else 'unlocked',
            seat.settings.lifetime,
            os.getpid(),
            id(self),
        )

    # --- Acquire, refresh, release ---

    def lock(self, timeout: Optional[Interval] = None) -> None:
        """Acquires the lock.

        :param timeout: About how long to wait for it; None means the constructor's `default_timeout`. Zero means one
            full attempt, which also breaks an expired lock.
        :raises AlreadyLockedError: if this object holds the lock.
        :raises TimeOutError: if the lock was not acquired in time.
        """
        state = self._linklock
        seat = state.seat
        if seat.slot.held is not None:
            state.give_up_what_is_lost(self._sleep)
        # Little Python here and in unlock(): a lock needs few system calls, so Python's own time counts.
        is_logged = log.isEnabledFor(logging.DEBUG)
        hold = seat.new_hold()
        try:
            if is_logged:
                log.debug('laying claim: %s', seat.shown())
            seat.acquire(hold, state.patience(state.default_timeout if timeout is None else timeout, self._sleep))
            if is_logged:
                log.debug('got the lock: %s', seat.shown())
            seat.keep(hold, reporter(self, state.on_lost))
        except BaseException:
            # An interrupt may come at any moment. Whoever gets it does not have the lock.
            seat.undo(hold)
            raise

    def try_lock(self) -> bool:
        """One full attempt, as `lock(timeout=0)`. Whether the lock was acquired."""
        try:
            self.lock(0)
        except TimeOutError:
            return False
        return True

    def refresh(self, lifetime: Optional[Interval] = None, *, unconditionally: bool = False) -> None:
        """Moves the expiry on: the lock lasts for its lifetime from now.

        :param lifetime: The lock's lifetime from now on.
        :param unconditionally: Do not raise an error if the lock is not held.
        :raises NotLockedError: if the lock is not held, or was lost.
        """
        if lifetime is not None:
            self.lifetime = lifetime
        if not self.is_locked and not unconditionally:
            raise NotLockedError(f'{self!r}: {self._linklock.seat.look().text}')

    def unlock(self, *, unconditionally: bool = False) -> None:
        """Releases the lock.

        :param unconditionally: Do not raise an error if the lock is not held. No other holder's lock is ever removed.
        :raises NotLockedError: if the lock is not held, or another holder has acquired it since.
        """
        seat = self._linklock.seat
        released = seat.release(self._linklock.patience(None, self._sleep))
        if released:
            if log.isEnabledFor(logging.DEBUG):
                log.debug('unlocked: %s', seat.shown())
        elif not unconditionally:
            if released is None:
                raise NotLockedError('Already unlocked')
            raise NotLockedError(f'{seat.shown()}: the lock was lost before it was unlocked')

    @property
    def is_locked(self) -> bool:
        """Whether this object holds the lock, as the file system shows it. Reading this refreshes the lock."""
        seat = self._linklock.seat
        held = seat.slot.held
        return held is not None and self._linklock.refresh(held, self._sleep)

    def leave(self) -> str:
        """Gives the lock up without releasing it: it stays held until another object adopts it by the token that this returns,
        or until it expires. It is not kept alive meanwhile.

        :raises NotLockedError: if the lock is not held.
        """
        seat = self._linklock.seat
        token = seat.slot.leave()
        seat.stop_watching()
        if token is None:
            raise NotLockedError('Already unlocked')
        return token

    def adopt(self, token: str) -> None:
        """Takes over a lock that another object or process has left, by its token.

        :raises AlreadyLockedError: if this object holds a lock.
        :raises NotLockedError: if this token does not hold the lock, or no longer.
        """
        seat = self._linklock.seat
        if seat.slot.held is not None:
            self._linklock.give_up_what_is_lost(self._sleep)
        hold = seat.new_hold()
        try:
            hold.adopt(token)
            seat.keep(hold, reporter(self, self._linklock.on_lost))
        except BaseException:
            # Not undone, which would release it: what could not be taken over stays with its token.
            if hold.token is not None:
                seat.slot.keep(hold, True)
                seat.slot.leave()
            raise

    def shared(self: L) -> L:
        """A new object for the same lock, which acquires it to be shared: all who do hold it together, and nobody has it for
        himself meanwhile. While somebody waits who wants it for himself, newcomers wait too.

        >>> lock = Lock('/srv/shared/cache.lock', protocol='dir')  # doctest: +SKIP
        >>> with lock.shared():  # doctest: +SKIP
        ...     print('others may read too')

        :raises ValueError: if the protocol is 'link', which has one holder.
        """
        # With the settings, and without what is held.
        other = copy.copy(self)
        other._linklock.seat.settings.shared = True
        other._linklock.seat.settings.contender()
        return other

    def downgrade(self) -> None:
        """Shares the held lock with others, without a moment in which it is free: who has written lets others read, and reads on.

        From the call on, this object must not write. There is no way back: two readers that both waited to have the lock alone
        would wait for each other for ever. The lock gets a new token, and keeps its lifetime and its fencing token. The next
        acquisition is as the last.

        >>> lock = Lock('/srv/shared/cache.lock', protocol='dir')  # doctest: +SKIP
        >>> with lock:  # doctest: +SKIP
        ...     print('one writes')
        ...     lock.downgrade()
        ...     print('others may read too')

        :raises NotLockedError: if the lock is not held, or was lost.
        :raises ValueError: if the protocol is 'link', which has one holder. The lock is held as before.
        :raises OSError: if the file system fails. The lock is still held, but others may share it already. Try again, or unlock it.
        """
        seat = self._linklock.seat
        held = seat.slot.held
        if held is None:
            raise NotLockedError('Already unlocked')
        if not self._linklock.patience(None, self._sleep).retry(held.downgrade):
            raise NotLockedError(f'{seat.shown()}: the lock was lost before it was downgraded')

    def __enter__(self: L) -> L:
        slot = self._linklock.seat.slot
        before = slot.held
        try:
            self.lock()
            return self
        except BaseException:
            self._linklock.seat.undo_mine(before)
            raise

    def __exit__(
        self,
        exc_type: Optional[type[BaseException]],
        exc_val: Optional[BaseException],
        exc_tb: Optional[TracebackType],
    ) -> Literal[False]:
        try:
            self.unlock()
        except Exception:
            raise
        except BaseException:
            # An interrupt does not keep the lock.
            self._linklock.seat.slot.release()
            raise
        return False

    async def __aenter__(self: L) -> L:
        state = self._linklock
        seat = state.seat
        if seat.slot.held is not None:
            state.give_up_what_is_lost(self._sleep)
        hold = seat.new_hold()
        try:
            await seat.acquire_in_loop(hold, state.patience(state.default_timeout, self._sleep))
            log.debug('got the lock: %s', seat.shown())
            seat.keep(hold, reporter(self, state.on_lost))
            return self
        except BaseException:
            seat.undo(hold)
            raise

    async def __aexit__(
        self,
        exc_type: Optional[type[BaseException]],
        exc_val: Optional[BaseException],
        exc_tb: Optional[TracebackType],
    ) -> Literal[False]:
        await in_thread(self.unlock)
        return False

    # --- Queries ---

    @property
    def hostname(self) -> str:
        """This machine's name, as `details` gives it: the full name, which flufl.lock writes. On disk is the node name."""
        return self._linklock.seat.settings.host or socket.getfqdn()

    @property
    def lockfile(self) -> str:
        """The lock's path, as the constructor got it."""
        return self._linklock.lockfile

    @property
    def claimfile(self) -> str:
        """The claim file that holds the lock. While the lock is not held: a name of the same form that no claim has."""
        return self._claimfile

    @property
    def fencing_token(self) -> Optional[int]:
        """A number that grows with each acquisition; None while the lock is not held, or without `fence=True`.

        The protected resource refuses a number that is smaller than an earlier one.
        """
        held = self._linklock.seat.slot.held
        return None if held is None else held.fencing_token

    @property
    def slot(self) -> Optional[int]:
        """The number of the slot that this object holds, from 1 on; None while it holds none, or without `slots`."""
        held = self._linklock.seat.slot.held
        return None if held is None else held.slot

    @property
    def lifetime(self) -> timedelta:
        """How long the lock lasts from its acquisition, and from each refresh."""
        return self._linklock.seat.settings.lifetime

    @lifetime.setter
    def lifetime(self, lifetime: Interval) -> None:
        self._lifetime = to_timedelta(lifetime)

    @property
    def expiration(self) -> datetime:
        """When the lock expires, whoever holds it; by the file server's clock, in local time.

        :raises FileNotFoundError: if nobody holds the lock.
        """
        found = self._linklock.seat.look()
        if found.expires_at is None:
            raise FileNotFoundError(errno.ENOENT, found.text, self._linklock.seat.settings.path)
        return datetime.fromtimestamp(found.expires_at)

    @property
    def details(self) -> tuple[str, int, str]:
        """The holder's host name and process id, and the lock's path.

        A user who may write the lock's directory can forge the host name and the process id.

        :raises NotLockedError: if nobody holds the lock, or the file at its path is not a lock.
        """
        found = self._linklock.seat.look()
        if found.host is None or found.pid is None:
            raise NotLockedError('Details are unavailable')
        # Programs compare it with the full name, to know whether the holder is on their machine.
        host = self.hostname if found.host == self._hostname else found.host
        return host, found.pid, self._linklock.seat.settings.path

    @property
    def state(self) -> LockState:
        """The state of the lock, as its file shows it."""
        found = self._linklock.seat.look()
        if found.state == 'free':
            return LockState.unlocked
        if found.host is None or found.pid is None or found.expires_at is None:
            return LockState.unknown
        # flufl.lock writes the machine's full name.
        if found.host != self._hostname and found.host != socket.getfqdn():
            return LockState.unknown
        is_ours = found.pid == os.getpid()
        if not is_ours and (found.state == 'abandoned' or not _is_running(found.pid)):
            return LockState.stale
        # Timestamps, since a daylight-saving change repeats an hour of local time.
        is_expired = found.expires_at < self._now().timestamp()
        if is_ours:
            return LockState.ours_expired if is_expired else LockState.ours
        return LockState.theirs_expired if is_expired else LockState.unknown

    @property
    def retry_errnos(self) -> list[int]:
        """After these errnos a failed acquisition, refresh or release is tried again, after a pause."""
        return self._linklock.retry_errnos[:]

    @retry_errnos.setter
    def retry_errnos(self, errnos: list[int]) -> None:
        self._linklock.retry_errnos = list(errnos)

    @retry_errnos.deleter
    def retry_errnos(self) -> None:
        self._linklock.retry_errnos = []

    # --- What subclasses of flufl.lock's Lock set, call or override ---

    @property
    def _lockfile(self) -> str:
        return self._linklock.lockfile

    @_lockfile.setter
    def _lockfile(self, lockfile: Union[str, os.PathLike[str]]) -> None:
        state = self._linklock
        state.lockfile = os.fsdecode(lockfile)
        state.seat.settings.path = absolute(state.lockfile)

    @property
    def _lifetime(self) -> timedelta:
        return self._linklock.seat.settings.lifetime

    @_lifetime.setter
    def _lifetime(self, lifetime: timedelta) -> None:
        self._linklock.seat.settings.lifetime = lifetime

    @property
    def _hostname(self) -> str:
        return self._linklock.seat.contender().host

    @_hostname.setter
    def _hostname(self, hostname: str) -> None:
        self._linklock.seat.settings.host = hostname

    @property
    def _separator(self) -> str:
        return self._linklock.seat.settings.separator

    @_separator.setter
    def _separator(self, separator: str) -> None:
        self._linklock.seat.settings.separator = separator

    @property
    def _default_timeout(self) -> Optional[Interval]:
        return self._linklock.default_timeout

    @_default_timeout.setter
    def _default_timeout(self, timeout: Optional[Interval]) -> None:
        self._linklock.default_timeout = timeout

    @property
    def _retry_errnos(self) -> list[int]:
        return self._linklock.retry_errnos

    @_retry_errnos.setter
    def _retry_errnos(self, errnos: list[int]) -> None:
        self._linklock.retry_errnos = errnos

    @property
    def _claimfile(self) -> str:
        state = self._linklock
        held = state.seat.slot.held
        claimfile = None if held is None else held.claimfile
        return claimfile or state.claimfile or ''

    @_claimfile.setter
    def _claimfile(self, claimfile: str) -> None:
        # Each acquisition makes a claim of its own beside the lock, whatever name is set here.
        self._linklock.claimfile = claimfile

    def _set_claimfile(self) -> None:
        settings = self._linklock.seat.settings
        self._claimfile = settings.separator.join((settings.path, self._hostname, str(os.getpid()), '0' * 32))

    def _sleep(self) -> None:
        """The pause before another try after an error of the file system."""
        time.sleep(pause_s())

    def _now(self) -> datetime:
        """The time with which `state` compares the expiration: a hook for subclasses.

        Nothing else uses it. Locks expire by the file server's clock, which linklock asks for.
        """
        return datetime.now()


def _process(on_behalf_of: Union[int, str, None]) -> Optional[int]:
    """As the core has it: 0 is nobody."""
    if on_behalf_of == 'nobody':
        return 0
    if on_behalf_of is None or isinstance(on_behalf_of, int) and on_behalf_of > 0:
        return on_behalf_of
    raise ValueError(f"on_behalf_of {on_behalf_of!r}: None, 'nobody' or a process id")


def _is_running(pid: int) -> bool:
    try:
        # Not kill(pid, 0): on Linux it also succeeds for the number of a thread.
        os.close(os.pidfd_open(pid))
    except OverflowError:
        return False
    except OSError as error:
        return error.errno not in (errno.ESRCH, errno.EINVAL, errno.ENOENT)
    return True
