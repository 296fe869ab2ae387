"""Locks that go from one process to another, as a daemon needs it; and the names of machines."""

import os
import socket
import subprocess
import sys
import time

import pytest

import linklock
from conftest import PATIENCE_S
from linklock import AlreadyLockedError, Lock, LockState, NotLockedError, TimeOutError


@pytest.mark.parametrize("protocol", ["link", "dir"])
def test_a_lock_that_is_left_is_adopted_by_its_token_and_by_nobody_twice(path, names, protocol):
    lock, other = Lock(path, protocol=protocol), Lock(path)
    with pytest.raises(NotLockedError):
        lock.leave()
    lock.lock()
    held = names()
    token = lock.leave()
    assert not lock.is_locked and names() == held
    assert linklock.inspect(path).token == token
    other.adopt(token)
    assert other.is_locked
    with pytest.raises(AlreadyLockedError):
        other.adopt(token)
    other.unlock()
    assert names() == []
    with pytest.raises(NotLockedError):
        lock.adopt(token)
    assert names() == []


DAEMON = """
    import os, sys, time
    from linklock import Lock

    lock = Lock(sys.argv[1], lifetime=60, on_behalf_of="nobody")
    lock.lock()
    token = lock.leave()
    # As a daemon does: the process that acquired the lock ends.
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    lock.adopt(token)
    print("works", flush=True)
    sys.stdin.readline()
    lock.unlock()
    print("released", flush=True)
"""


def test_a_daemon_holds_its_lock_although_the_process_that_acquired_it_has_ended(path, names, child):
    daemon = child(DAEMON, path)
    assert daemon.line() == "works"
    daemon.process.wait()
    with pytest.raises(TimeOutError):
        Lock(path).lock(timeout=0.2)
    assert linklock.inspect(path).pid is None, "it belongs to no process"
    daemon.tell()
    assert daemon.line() == "released"
    assert names() == []


def test_a_lock_that_is_held_for_another_process_is_recovered_when_that_one_ends(path):
    sleeper = subprocess.Popen(["sleep", "100"])
    lock = Lock(path, lifetime=60, on_behalf_of=sleeper.pid)
    lock.lock()
    lock.leave()
    with pytest.raises(TimeOutError):
        Lock(path).lock(timeout=0)
    sleeper.kill()
    sleeper.wait()
    Lock(path).lock(timeout=PATIENCE_S)
    for wrong in (0, -1, "somebody"):
        with pytest.raises(ValueError):
            Lock(path, on_behalf_of=wrong)


def test_the_program_recovers_the_lock_of_a_python_program_that_has_died_and_the_other_way_round(path, holder):
    """The bug: they gave the machine different names."""
    program = os.environ["LINKLOCK_PROGRAM"]
    holder.process.kill()
    holder.process.wait()
    status = subprocess.check_output([program, "status", path], text=True)
    assert "abandoned" in status and os.uname().nodename in status
    subprocess.run([program, "run", "-n", path, "--", "true"], check=True)
    dead = subprocess.Popen([program, "run", "-l", "1h", path, "--", "sh", "-c", "echo up; exec sleep 100"], stdout=subprocess.PIPE)
    dead.stdout.readline()
    dead.kill()
    dead.wait()
    assert linklock.inspect(path).state == "abandoned"
    assert Lock(path).state == LockState.stale
    Lock(path).lock(timeout=0)


def test_a_machine_without_a_usable_name_has_locks_all_the_same(path, monkeypatch):
    for name in ("", "a|b"):
        monkeypatch.setattr(socket, "getfqdn", lambda *_, name=name: name)
        with Lock(path) as lock:
            assert lock.state == LockState.ours


def test_what_subclasses_of_flufl_lock_set_counts_at_the_next_lock(path):
    from datetime import timedelta

    class AtOnce(Lock):
        """Does what flufl.lock's constructor does, and does not call it, as some do."""

        def __init__(self, lockfile):
            self._wait = "a name of its own"
            self._lifetime = timedelta(days=365)
            self._hostname = "elsewhere"
            self._separator = "+"
            self._lockfile = lockfile
            self._retry_errnos = []
            self._set_claimfile()

        def _set_claimfile(self):
            super()._set_claimfile()
            self._claimfile = self._claimfile + ".mine"

    lock = AtOnce(path)
    assert lock.claimfile.endswith(".mine")
    with lock:
        status = linklock.inspect(path, separator="+")
        assert (status.host, status.state) == ("elsewhere", "held")
        assert (status.expires_at.timestamp() - time.time()) > 364 * 24 * 3600
        assert os.path.exists(lock.claimfile)


def test_an_operator_sees_and_breaks_locks(path, names, holder):
    status = linklock.inspect(path)
    assert (status.state, status.pid, status.protocol) == ("held", holder.process.pid, "link")
    assert status.host == os.uname().nodename and status.path == path
    with pytest.raises(TimeOutError):
        linklock.break_lock(path)
    with pytest.raises(NotLockedError):
        linklock.break_lock(path, token="job.lock|elsewhere|1|5")
    assert linklock.break_lock(path, token=status.token).pid == holder.process.pid
    assert linklock.break_lock(path) is None
    assert linklock.inspect(path).state == "free"
    lock = Lock(path)
    assert lock.try_lock()
    assert not Lock(path).try_lock()
    assert linklock.break_lock(path, force=True).state == "held"
    with pytest.raises(NotLockedError):
        lock.unlock()
