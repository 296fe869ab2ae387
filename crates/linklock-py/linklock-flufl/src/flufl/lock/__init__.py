"""linklock, under the name of flufl.lock."""

import importlib.metadata

from flufl.lock._lockfile import (
    SEP,
    AlreadyLockedError,
    Lock,
    LockError,
    LockState,
    NotLockedError,
    TimeOutError,
)

#: The version of flufl.lock whose API this is.
__version__ = '10.0.0'

__all__ = [
    'SEP',
    'AlreadyLockedError',
    'Lock',
    'LockError',
    'LockState',
    'NotLockedError',
    'TimeOutError',
]


def _refuse_both() -> None:
    """The real package has the same files: whichever was installed last has overwritten the other's."""
    # Python 3.9 does not know that both spellings are one name.
    for name in ('flufl.lock', 'flufl_lock'):
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        raise ImportError(
            'flufl.lock and linklock-flufl are both installed, and have overwritten each other: '
            'uninstall both, then install one'
        )


_refuse_both()
