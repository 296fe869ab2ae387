"""The two internal constants that flufl.lock's tests use."""

import errno

from linklock._lock import DEFAULT_GRACE

CLOCK_SLOP = DEFAULT_GRACE
ERRORS = (errno.ENOENT, errno.ESTALE)
