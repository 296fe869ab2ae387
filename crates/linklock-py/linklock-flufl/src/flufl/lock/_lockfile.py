"""The names of flufl.lock's inner module, which some programs use."""

import errno
import logging
import sys

from linklock import SEP, AlreadyLockedError, Lock, LockError, LockState, NotLockedError, TimeOutError
from linklock._seat import DEFAULT_GRACE as CLOCK_SLOP
from linklock._seat import DEFAULT_LIFETIME as DEFAULT_LOCK_LIFETIME
from linklock._seat import Interval

__all__ = [
    'CLOCK_SLOP',
    'DEFAULT_LOCK_LIFETIME',
    'ERRORS',
    'MAXINT',
    'SEP',
    'AlreadyLockedError',
    'Interval',
    'Lock',
    'LockError',
    'LockState',
    'NotLockedError',
    'TimeOutError',
    'log',
]

MAXINT = sys.maxsize
ERRORS = (errno.ENOENT, errno.ESTALE)

log = logging.getLogger('flufl.lock')
log.addHandler(logging.NullHandler())

# Programs set levels and handlers of flufl.lock's logger. Those count for linklock's, too.
logging.getLogger('linklock').parent = log
