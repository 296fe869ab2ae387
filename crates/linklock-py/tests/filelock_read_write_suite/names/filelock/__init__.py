"""linklock under filelock's name, as linklock_as_filelock gives it; and beside it what only the real filelock has, and its tests import."""

from linklock.filelock import *
from linklock.filelock import __all__ as __all__


class SoftFileLockProtocolError(Exception):
    """Nothing of linklock's raises it."""
