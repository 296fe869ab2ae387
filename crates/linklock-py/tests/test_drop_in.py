"""What flufl.lock's own tests do not check: that its API is complete, and how users use it."""

import inspect
import json
import logging
import os
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import linklock
from linklock import Lock, LockState, NotLockedError, TimeOutError

FLUFL_API = """
import inspect, json
import flufl.lock as module
from flufl.lock import Lock
def kind(member):
    if isinstance(member, property):
        return ["property", member.fset is not None, member.fdel is not None]
    return [str([(p.name, str(p.kind), str(p.default)) for p in inspect.signature(member).parameters.values()])]
members = {n: kind(m) for n, m in vars(Lock).items() if n in ("__init__", "_now") or not n.startswith("_")}
print(json.dumps([members, module.__all__, [[s.name, s.value] for s in module.LockState]]))
"""


def test_every_public_name_of_flufl_lock_is_there_with_its_parameters_and_defaults():
    python = os.environ.get("LINKLOCK_FLUFL_PYTHON")
    assert python, "LINKLOCK_FLUFL_PYTHON must name a Python that has flufl.lock: tests/run sets it"
    theirs, names, states = json.loads(subprocess.check_output([python, "-c", FLUFL_API], text=True))
    assert set(names) <= set(linklock.__all__)
    assert [[state.name, state.value] for state in LockState] == states
    for name, kind in theirs.items():
        ours = inspect.getattr_static(Lock, name)
        if isinstance(ours, property):
            assert kind == ["property", ours.fset is not None, ours.fdel is not None], name
        else:
            positional = [p for p in inspect.signature(ours).parameters.values() if name != "__init__" or not_ours(p)]
            assert kind == [str([(p.name, str(p.kind), str(p.default)) for p in positional])], name


def not_ours(parameter):
    return parameter.name not in ("keep_alive", "on_lost", "protocol", "grace", "fence", "queue", "shared", "slots", "wake", "require_private", "unsafe_filesystem", "on_behalf_of")


def test_exceptions_have_the_bases_of_flufl_lock_and_can_be_pickled():
    import pickle

    for name in ("AlreadyLockedError", "NotLockedError", "TimeOutError"):
        cls = getattr(linklock, name)
        assert issubclass(cls, linklock.LockError) and cls.__module__ == "linklock"
        assert str(pickle.loads(pickle.dumps(cls("why")))) == "why"


def test_times_may_be_integers_floats_and_timedeltas(path, holder):
    for timeout in (0, 0.01, timedelta(milliseconds=10), -1):
        with pytest.raises(TimeOutError, match=f"process {holder.process.pid} "):
            Lock(path).lock(timeout)
        with pytest.raises(TimeOutError):
            Lock(path, default_timeout=timeout).lock()
    assert Lock(path, lifetime=1.5).lifetime == timedelta(seconds=1.5)


def test_a_path_may_be_a_path_object_and_contain_bytes_that_are_not_text(tmp_path):
    for name in (Path(tmp_path) / "job.lock", os.fsencode(tmp_path) + b"/\xff.lock"):
        with Lock(name) as lock:
            assert lock.details == (lock.hostname, os.getpid(), os.fsdecode(name))
            assert lock.state == LockState.ours
            assert Path(lock.claimfile).exists()
    assert os.listdir(tmp_path) == []


def test_a_relative_path_means_the_same_lock_after_a_chdir(tmp_path, path, names, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    lock = Lock("job.lock")
    monkeypatch.chdir(tmp_path / "elsewhere")
    lock.lifetime = 30
    with lock:
        assert lock.details == Lock(path).details == (lock.hostname, os.getpid(), path)
        assert lock.state == LockState.ours
        assert lock.expiration == Lock(path).expiration
        assert (lock.lockfile, lock.claimfile.startswith(path)) == ("job.lock", True)
    assert names() == ["elsewhere"]


def test_the_claim_file_has_the_form_of_flufl_lock(path):
    lock = Lock(path)
    for claimfile in (lock.claimfile, held_claimfile(lock)):
        lockfile, host, pid, nonce = claimfile.split(linklock.SEP)
        assert (lockfile, host, pid) == (path, os.uname().nodename, str(os.getpid()))
        assert len(nonce) == 32 and set(nonce) <= set("0123456789abcdef")


def test_details_give_this_machine_the_name_by_which_programs_know_it(path, monkeypatch):
    """They gave the node name. Mailman compares it with socket.getfqdn(): where these differ, it took a running master for
    one on another machine, and `start --force` started a second. They now give the full name, as flufl.lock does."""
    monkeypatch.setattr("socket.getfqdn", lambda: "mail.example.com")
    with Lock(path) as lock:
        assert Path(path).read_text().split(linklock.SEP)[1] == os.uname().nodename, "the program finds its own machine's locks"
        assert lock.details == Lock(path).details == ("mail.example.com", os.getpid(), path)
        assert lock.hostname == "mail.example.com"
        assert lock.state == LockState.ours

    class Named(Lock):
        def __init__(self, path, name):
            super().__init__(path)
            self._hostname = name

    for name in (os.uname().nodename, "elsewhere"):
        with Named(path, name) as lock:
            assert lock.details == (lock.hostname, os.getpid(), path) == (name, os.getpid(), path), "a name that is set stays"
    with Named(path, "elsewhere"):
        assert Lock(path).details[0] == "elsewhere", "another machine keeps the name that it wrote"


def held_claimfile(lock):
    with lock:
        assert Path(lock.lockfile).read_text() == lock.claimfile
        return lock.claimfile


def test_settings_that_cannot_work_are_refused_at_once(path):
    for settings in ({"separator": "x"}, {"separator": "--"}, {"protocol": "magic"}, {"lifetime": 0}):
        with pytest.raises(ValueError):
            Lock(path, **settings)


def test_an_error_of_the_file_system_is_an_oserror_and_can_be_retried(tmp_path, path):
    missing = tmp_path / "later"
    lock = Lock(missing / "job.lock")
    with pytest.raises(FileNotFoundError, match="make the directory first"):
        lock.lock()
    tries = []

    class Patient(Lock):
        def _sleep(self):
            tries.append(len(tries))
            if len(tries) == 2:
                missing.mkdir()

    lock = Patient(missing / "job.lock")
    lock.retry_errnos = [2]
    with lock:
        assert len(tries) == 2


def test_a_file_that_is_not_a_lock_is_waited_for_and_left_alone(path):
    Path(path).write_text("somebody's")
    with pytest.raises(TimeOutError, match="not a lock"):
        Lock(path).lock(timeout=0.1)
    assert Path(path).read_text() == "somebody's"

    class Remover(Lock):
        def _sleep(self):
            Path(path).unlink()

    with Remover(path) as lock:
        assert lock.is_locked


def test_state_uses_the_now_hook(path):
    class Ahead(Lock):
        def _now(self):
            return datetime.now() + timedelta(hours=1)

    with Ahead(path) as lock:
        assert lock.state == LockState.ours_expired
        assert lock.is_locked, "the hook loses or breaks no lock"


def test_a_lock_whose_process_has_ended_is_stale(path, holder):
    assert Lock(path).state == LockState.unknown
    holder.process.kill()
    holder.process.wait()
    assert Lock(path).state == LockState.stale
    Lock(path).lock(timeout=0)


def test_events_are_logged_as_flufl_lock_logs_them(path, holder, caplog):
    caplog.set_level(logging.DEBUG, "linklock")
    with pytest.raises(TimeOutError):
        Lock(path).lock(timeout=0.01)
    assert "timed out" in caplog.text
    holder.process.kill()
    holder.process.wait()
    with Lock(path):
        pass
    said = [(record.name, record.levelname, record.getMessage().split(",")[0]) for record in caplog.records]
    assert ("linklock", "WARNING", "broke the lock") in said, "the library's own events are logged"
    assert ("linklock", "DEBUG", f"laying claim: {path}") in said
    assert ("linklock", "DEBUG", f"got the lock: {path}") in said
    assert ("linklock", "DEBUG", f"unlocked: {path}") in said


def test_a_dir_lock_is_reported_like_any(path, names):
    with Lock(path, protocol="dir") as lock:
        assert Path(path).is_dir()
        assert lock.is_locked and lock.state == LockState.ours
        assert Lock(path).details == (lock.hostname, os.getpid(), path)
        assert abs(lock.expiration - datetime.now() - lock.lifetime) < timedelta(seconds=5)
        with pytest.raises(TimeOutError):
            Lock(path).lock(timeout=0)
    assert names() == []
    assert lock.state == LockState.unlocked
    with pytest.raises(FileNotFoundError):
        lock.expiration
    with pytest.raises(NotLockedError, match="Details are unavailable"):
        lock.details
