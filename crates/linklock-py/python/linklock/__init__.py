"""NFS-safe lock files: a drop-in replacement for flufl.lock, made with the library linklock.

>>> from linklock import Lock
>>> with Lock('/srv/shared/nightly.lock', keep_alive=True) as lock:  # doctest: +SKIP
...     print('only one process at a time gets here')
"""

from linklock._core import AlreadyLockedError, LockError, NotLockedError, TimeOutError
from linklock._core import __version__ as __version__
from linklock._inspect import Status, break_lock, inspect
from linklock._lock import Lock, LockState
from linklock._seat import SEP
from linklock._several import AllOf, all_of

__all__ = [
    'SEP',
    'AllOf',
    'AlreadyLockedError',
    'Lock',
    'LockError',
    'LockState',
    'NotLockedError',
    'Status',
    'TimeOutError',
    'all_of',
    'break_lock',
    'inspect',
]
