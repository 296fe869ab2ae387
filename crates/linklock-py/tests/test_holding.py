"""A lock that is held, kept alive, lost, and released."""

import gc
import os
import threading
import time
from pathlib import Path

import pytest

from conftest import PATIENCE_S, until
from linklock import AlreadyLockedError, Lock, NotLockedError

# A lifetime that the holder exceeds, and one that keep-alive can serve on a busy machine.
SHORT_S = 1
KEPT_S = 3


def overtake(path):
    """Another object acquires the lock as soon as it has expired."""
    other = Lock(path, grace=0)
    other.lock(timeout=PATIENCE_S)
    return other


@pytest.mark.parametrize("protocol", ["link", "dir"])
def test_an_expired_lock_that_nobody_else_acquired_is_released_in_order(path, names, protocol):
    lock = Lock(path, SHORT_S, protocol=protocol)
    with lock:
        time.sleep(SHORT_S * 1.5)
        assert not lock.is_locked, "it is not revived"
    assert names() == []


@pytest.mark.parametrize("protocol", ["link", "dir"])
def test_a_lock_that_another_acquired_is_lost_and_the_others_lock_is_left_alone(path, names, protocol):
    for give_up in (lambda lock: lock.unlock(), lambda lock: lock.refresh(), lambda lock: lock.__exit__(None, None, None)):
        lock = Lock(path, SHORT_S, protocol=protocol)
        lock.lock()
        other = overtake(path)
        with pytest.raises(NotLockedError):
            give_up(lock)
        lock.unlock(unconditionally=True)
        lock.refresh(unconditionally=True)
        assert other.is_locked
        other.unlock()
    assert names() == []


def test_an_expired_lock_is_acquired_again_and_not_refused_as_held(path, names):
    lock = Lock(path, SHORT_S)
    lock.lock()
    first = lock.claimfile
    with pytest.raises(AlreadyLockedError, match="We already had the lock"):
        lock.lock()
    time.sleep(SHORT_S * 1.5)
    lock.lock()
    assert lock.claimfile != first
    lock.unlock()
    assert names() == []


def test_a_claim_is_removed_even_after_its_lock_file_was_removed(path, names):
    lock = Lock(path, SHORT_S)
    lock.lock()
    Path(path).unlink()
    time.sleep(SHORT_S * 1.5)
    with pytest.raises(NotLockedError):
        lock.unlock()
    assert names() == []


def test_a_lock_is_kept_alive_while_it_is_held(path):
    with Lock(path, KEPT_S, keep_alive=True) as lock:
        time.sleep(KEPT_S * 2)
        assert lock._linklock.seat.slot.held.check(), "check() does not refresh it"


def test_a_loss_is_reported_once_and_a_release_is_not_a_loss(path):
    reports, event = [], threading.Event()

    def on_lost(lock):
        reports.append((lock, threading.current_thread()))
        event.set()

    with Lock(path, KEPT_S, on_lost=on_lost, keep_alive=True):
        watchers = [thread for thread in threading.enumerate() if thread.name == "linklock-losses"]
        assert watchers
        time.sleep(KEPT_S * 1.5)
    for watcher in watchers:
        watcher.join(PATIENCE_S)
        assert not watcher.is_alive(), "the watcher ends with the lock"
    assert reports == [], "it was kept alive and released"
    lock = Lock(path, SHORT_S, on_lost=on_lost)
    lock.lock()
    assert event.wait(PATIENCE_S)
    lock.unlock()
    assert [lost for lost, _ in reports] == [lock]
    assert reports[0][1] is not threading.current_thread()


def test_one_thread_looks_after_all_locks_and_no_callback_delays_the_others(path):
    told, blocked = [], threading.Event()

    def on_lost(lock):
        told.append(lock)
        blocked.wait(PATIENCE_S)

    before = threading.active_count()
    locks = [Lock(f"{path}-{number}", SHORT_S, on_lost=on_lost) for number in range(20)]
    kept = Lock(path, 60, on_lost=on_lost)
    for lock in [kept, *locks]:
        lock.lock()
    assert threading.active_count() <= before + 1
    until(lambda: len(told) == len(locks), "each loss is told")
    assert {lock.lockfile for lock in told} == {lock.lockfile for lock in locks}
    blocked.set()
    for lock in [kept, *locks]:
        lock.unlock(unconditionally=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_is_told_of_its_own_losses_alone(path):
    read, write = os.pipe()
    parents = Lock(path, KEPT_S, on_lost=lambda lock: os.write(write, b"parent's "))
    parents.lock()
    child = os.fork()
    if child == 0:
        try:
            own = Lock(f"{path}-child", SHORT_S, on_lost=lambda lock: os.write(write, b"child's"))
            own.lock()
            time.sleep(KEPT_S * 1.5)
        finally:
            os._exit(0)
    parents.unlock()
    os.waitpid(child, 0)
    os.close(write)
    with open(read, "rb") as said:
        assert said.read() == b"child's"


def test_a_lock_whose_object_was_dropped_stays_held(path, names):
    lock = Lock(path, 60)
    lock.lock()
    held = names()
    del lock
    gc.collect()
    assert names() == held


@pytest.mark.parametrize("protocol", ["link", "dir"])
def test_fencing_tokens_grow_with_every_acquisition_by_any_object(path, protocol):
    assert Lock(path, fence=True).fencing_token is None
    tokens = []
    for lock in (Lock(path, fence=True, protocol=protocol), Lock(path, fence=True)) * 2:
        with lock:
            tokens.append(lock.fencing_token)
    assert lock.fencing_token is None, "it is no longer held"
    assert tokens == sorted(set(tokens)), "they grow strictly"
    with Lock(path) as lock:
        assert lock.fencing_token is None


def test_a_lifetime_that_is_set_counts_from_the_next_refresh(path):
    with Lock(path, 60) as lock:
        before = lock.expiration
        lock.lifetime = 600
        assert lock.expiration == before
        lock.refresh()
        assert (lock.expiration - before).total_seconds() > 500
        lock.refresh(1200)
        assert lock.lifetime.total_seconds() == 1200
