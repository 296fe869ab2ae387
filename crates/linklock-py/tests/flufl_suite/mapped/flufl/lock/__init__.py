"""flufl.lock's tests import this under its name: linklock."""

from linklock import *
from linklock import __all__ as __all__
