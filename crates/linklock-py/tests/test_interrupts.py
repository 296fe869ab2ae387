"""Ctrl-C at any moment: what was acquired has an owner, or is released."""

import os
import random
import signal
import threading

import pytest

from conftest import until
from linklock import Lock

ROUNDS = 1500
# For the first round. On an idle machine a cycle takes a fraction of it.
WITHIN_S = 0.0006


class Interrupted(BaseException):
    """As KeyboardInterrupt, which would end pytest if it came late."""


class Shot:
    """At most one interrupt, while it is armed."""

    is_armed = False
    # It follows the machine's load, so that about every other round is interrupted.
    within_s = WITHIN_S


@pytest.fixture
def interrupt():
    """Raises Interrupted in the main thread, after a random time."""

    def raise_it(*_):
        if Shot.is_armed:
            Shot.is_armed = False
            raise Interrupted

    def arm(within_s=None):
        Shot.is_armed = True
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, within_s or Shot.within_s))

    Shot.within_s = WITHIN_S
    before = signal.signal(signal.SIGALRM, raise_it)
    yield arm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def interrupted(act):
    """Runs it. Whether it was interrupted."""
    try:
        try:
            act()
        finally:
            Shot.is_armed = False
    except Interrupted:
        Shot.within_s *= 1.05
        return True
    Shot.within_s /= 1.05
    return False


@pytest.mark.parametrize("protocol", ["link", "dir"])
def test_what_is_on_disk_is_what_the_object_holds_whenever_it_is_interrupted(path, names, interrupt, protocol):
    count = 0
    for _ in range(ROUNDS):
        lock = Lock(path, protocol=protocol)

        def acquire():
            interrupt()
            lock.lock()

        count += interrupted(acquire)
        held = lock.claimfile if lock._linklock.seat.slot.held else None
        left = [name for name in names() if name != "job.lock"]
        assert left == ([os.path.basename(held)] if held and protocol == "link" else [])
        assert os.path.exists(path) == (held is not None), "a lock without an owner"
        lock.unlock(unconditionally=True)
        assert names() == []
    assert ROUNDS / 20 < count < ROUNDS, f"{count} interrupts test too little"


def test_an_interrupted_with_holds_nothing_afterwards(path, names, interrupt):
    count = 0
    for _ in range(ROUNDS):
        lock = Lock(path)

        def work():
            interrupt()
            with lock:
                pass

        count += interrupted(work)
        # An interrupt before the first instruction of __exit__ leaves it to whoever has the object.
        lock.unlock(unconditionally=True)
        assert names() == []
    assert ROUNDS / 20 < count < ROUNDS, f"{count} interrupts test too little"


def test_an_interrupted_wait_holds_nothing_and_leaves_nothing(path, names, interrupt):
    for _ in range(ROUNDS // 15):
        other, lock = Lock(path), Lock(path)
        other.lock()
        release = threading.Timer(random.uniform(0, 0.01), other.unlock)
        release.start()

        def wait():
            interrupt(0.02)
            lock.lock()

        interrupted(wait)
        release.join()
        # A loaded machine may clean up after an interrupted wait a moment later.
        until(lambda: os.path.exists(path) == bool(lock._linklock.seat.slot.held), "a lock without an owner")
        lock.unlock(unconditionally=True)
        until(lambda: names() == [], "a claim without an owner")


def test_an_interrupted_unlock_can_be_repeated(path, names, interrupt):
    for _ in range(ROUNDS // 3):
        lock = Lock(path)
        lock.lock()

        def release():
            interrupt()
            lock.unlock()

        interrupted(release)
        assert os.path.exists(path) == bool(lock._linklock.seat.slot.held), "a lock without an owner"
        lock.unlock(unconditionally=True)
        assert names() == []


def test_an_interrupt_while_a_log_handler_runs_is_not_lost(path, names, child):
    # The library's own warning, that it broke a lock, is handed to Python's logging at the end of the call.
    other = child(
        """
        import sys
        from linklock import Lock
        Lock(sys.argv[1]).lock()
        print("held", flush=True)
        sys.stdin.readline()
        """,
        path,
    )
    assert other.line() == "held"
    other.process.kill()
    other.process.wait()

    import logging

    class Interrupting(logging.Handler):
        def emit(self, record):
            if "broke" in record.getMessage():
                raise KeyboardInterrupt

    handler = Interrupting()
    logging.getLogger("linklock").addHandler(handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            Lock(path).lock()
    finally:
        logging.getLogger("linklock").removeHandler(handler)
    assert names() == []
