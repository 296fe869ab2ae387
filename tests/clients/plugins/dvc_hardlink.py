"""A pytest plugin: DVC's lock is its HardlinkLock, as if every repository set core.hardlink_lock."""

import os

import dvc.lock


class Lock(dvc.lock.HardlinkLock):
    def __init__(self, lockfile, **options):
        # flufl.lock takes no Path, which the tests give. DVC's commands give a str.
        super().__init__(os.fspath(lockfile), **options)


dvc.lock.Lock = Lock
