"""filelock's tests, and virtualenv, import this under its name: linklock."""

from linklock.filelock import *
from linklock.filelock import __all__ as __all__
