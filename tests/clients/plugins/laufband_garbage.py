"""A pytest plugin: garbage is collected between tests only.

When a Graphband is collected, it waits for its thread, and that waits for a lock. If that happens in a thread which holds the
lock, both wait until the lock has expired, with flufl.lock and with linklock. Whether it happens depends on how many objects
there are.
"""

import gc

gc.disable()


def pytest_runtest_teardown():
    gc.collect()
