"""NFS-safe lock files: a drop-in for flufl.lock, on the library linklock.

>>> from linklock import Lock
>>> with Lock('/srv/shared/nightly.lock', keep_alive=True) as lock:  # doctest: +SKIP
...     print('only one of us gets here')
"""

from linklock._core import AlreadyLockedError, LockError, NotLockedError, TimeOutError, __version__
from linklock._lock import SEP, Lock, LockState

__all__ = [
    'SEP',
    'AlreadyLockedError',
    'Lock',
    'LockError',
    'LockState',
    'NotLockedError',
    'TimeOutError',
]
