"""Forks, multiprocessing and pickles: a held lock stays with the process that acquired it."""

import copy
import multiprocessing
import os
import pickle
from datetime import timedelta

import pytest

from conftest import PATIENCE_S
from linklock import Lock, LockState, NotLockedError, TimeOutError


def in_fork(function):
    """Runs it in a forked child. Returns whether it succeeded."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


@pytest.mark.parametrize("protocol", ["link", "dir"])
def test_a_forked_child_does_not_hold_its_parents_lock(path, names, protocol):
    with Lock(path, protocol=protocol, keep_alive=True, on_lost=print) as lock:
        held = names()

        def child():
            assert not lock.is_locked
            assert "unlocked" in repr(lock)
            with pytest.raises(NotLockedError):
                lock.unlock()
            lock.unlock(unconditionally=True)
            with pytest.raises(TimeOutError):
                lock.lock(timeout=0)

        assert in_fork(child)
        assert names() == held
        assert lock.is_locked


def test_a_forked_child_acquires_the_free_lock_in_its_own_name(path, names):
    lock = Lock(path)
    lock.lock()
    parent = os.getpid()
    reader, writer = os.pipe()

    def child():
        os.read(reader, 1)
        with lock:
            assert lock.details[1] == os.getpid() != parent

    pid = os.fork()
    if pid == 0:
        os._exit(0 if in_fork(child) else 1)
    lock.unlock()
    os.write(writer, b".")
    assert os.waitpid(pid, 0)[1] == 0
    assert names() == []


def count(lock, file, rounds):
    for _ in range(rounds):
        with lock:
            with open(file) as f:
                seen = int(f.read())
            with open(file, "w") as f:
                f.write(str(seen + 1))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_lock_can_be_passed_to_processes_of_every_kind(path, tmp_path, method):
    counter = tmp_path / "counter"
    counter.write_text("0")
    context = multiprocessing.get_context(method)
    lock = Lock(path, lifetime=PATIENCE_S)
    workers = [context.Process(target=count, args=(lock, counter, 25)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE_S)
        assert worker.exitcode == 0
    assert counter.read_text() == "100"


class Named(Lock):
    """Users write subclasses."""


def test_a_pickled_lock_has_the_settings_and_does_not_hold_the_lock(path):
    lock = Named(path, 77, "+", 5, keep_alive=True, protocol="dir", grace=3)
    lock.retry_errnos = [5]
    with lock:
        for twin in (pickle.loads(pickle.dumps(lock)), copy.copy(lock)):
            assert type(twin) is Named
            assert (twin.lockfile, twin.lifetime, twin.retry_errnos) == (path, timedelta(seconds=77), [5])
            assert not twin.is_locked
            with pytest.raises(TimeOutError):
                twin.lock(timeout=0)
        assert lock.is_locked
    with twin:
        assert twin.state == LockState.ours
