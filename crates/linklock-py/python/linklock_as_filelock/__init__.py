"""Gives programs linklock's locks where they import filelock.

Whoever imports this first does so: a program, or each Python of an environment, by a file `linklock.pth` in its site-packages with
this line alone:

    import linklock_as_filelock

It costs a start of Python next to nothing: linklock is imported only if filelock is.
"""

import sys
from os.path import dirname, join

#: A directory with linklock under filelock's name. In PYTHONPATH, it does the same for one program and all that it starts.
NAMES = join(dirname(__file__), 'names')

if 'filelock' in sys.modules and not (sys.modules['filelock'].__file__ or '').startswith(NAMES):
    raise ImportError('the real filelock is imported already: import linklock_as_filelock before it')
if NAMES not in sys.path:
    sys.path.insert(0, NAMES)
