"""What programs get for filelock once linklock_as_filelock is imported."""

from linklock.filelock import *
from linklock.filelock import __all__ as __all__
