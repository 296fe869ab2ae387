"""The two constants that flufl.lock's tests take from its inside."""

import errno

from linklock._lock import DEFAULT_GRACE

CLOCK_SLOP = DEFAULT_GRACE
ERRORS = (errno.ENOENT, errno.ESTALE)
