"""Directories that others may write, and what they write there."""

import logging
import os

import pytest

from conftest import PATIENCE_S
from linklock import Lock, NotLockedError, TimeOutError

FORGED = "a\nFORGED\x1b[2J\x9b31m\u202eb"
ESCAPED = r"a\nFORGED\u{1b}[2J\u{9b}31m\u{202e}b"


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o2775])
def test_require_private_refuses_a_directory_that_others_may_write(path, names, tmp_path, mode):
    os.chmod(tmp_path, mode)
    with pytest.raises(PermissionError, match="its directory can be written to by"):
        Lock(path, require_private=True).lock()
    assert names() == []
    os.chmod(tmp_path, 0o755)
    with Lock(path, require_private=True):
        assert names() != []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is warned")
def test_root_is_warned_once_about_a_directory_where_others_can_remove_a_lock(path, tmp_path, caplog):
    os.chmod(tmp_path, 0o777)
    for _ in range(2):
        with Lock(path):
            pass
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1, warnings
    assert "can be written to by everybody (mode 0777)" in warnings[0]


def test_a_forged_lock_is_reported_without_harm(path, tmp_path, caplog):
    lock = tmp_path / f"job{FORGED}"
    claim = f"{lock}|{FORGED}|4711|815"
    with open(claim, "w") as file:
        file.write(claim)
    os.link(claim, lock)
    os.utime(claim, (2**32, 2**32))
    with pytest.raises(TimeOutError) as refused:
        Lock(lock).lock(timeout=0)
    assert str(refused.value).count(ESCAPED) == 2 and str(refused.value).isprintable()
    os.utime(claim, (0, 0))
    with Lock(lock, grace=0, default_timeout=PATIENCE_S):
        pass
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any("broke the lock" in warning and "FORGED" in warning for warning in warnings), warnings
    assert all(warning.isprintable() for warning in warnings), warnings


def test_a_lock_path_that_others_named_is_shown_without_harm(tmp_path, caplog):
    caplog.set_level(logging.DEBUG, "linklock")
    lock = Lock(os.fsencode(tmp_path / f"job{FORGED}") + b"\xff")
    lock.lock()
    shown = repr(lock)
    os.unlink(lock.claimfile)
    os.unlink(lock.lockfile)
    with pytest.raises(NotLockedError) as lost:
        lock.unlock()
    with lock, pytest.raises(Exception, match="already"):
        lock.lock()
    with pytest.raises(NotLockedError) as not_held:
        lock.refresh()
    logged = [record.getMessage() for record in caplog.records]
    begins = ["laying claim", "got the lock", "already locked", "unlocked"]
    for begin in begins:
        assert f"{begin}: {tmp_path}/job{ESCAPED}\\xff" in logged, logged
    for text in [shown, str(lost.value), str(not_held.value), *logged]:
        assert text.isprintable(), ascii(text)
        assert ESCAPED in text
