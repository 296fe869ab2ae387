"""What flufl.lock's tests import under its name: linklock."""

from linklock import *
from linklock import __all__ as __all__
