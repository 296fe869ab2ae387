"""A lock's directory that others write: linklock does not follow, wait for, or show unescaped what they put there."""

import contextlib
import logging
import os
import re
import time
from pathlib import Path

import pytest

from linklock import SEP, Lock, LockState, NotLockedError, TimeOutError

SECRET = "root:$6$secret"

LOOK = """
    import sys
    from linklock import Lock
    lock = Lock(sys.argv[1])

    def asked(question):
        try:
            return repr(question())
        except Exception as error:
            return repr(error)

    for question in (lambda: lock.state, lambda: lock.details, lambda: lock.expiration, lock.refresh):
        print(asked(question), flush=True)
"""


def answers(child):
    """The answers of state, details, expiration and refresh. They run in another process, since a fault could hang."""
    return [child.line() for _ in range(4)]


def symlink(path):
    secret = Path(path).with_name("shadow")
    secret.write_text(SECRET)
    secret.chmod(0o600)
    os.symlink(secret, path)


def symlink_to_a_lock(path):
    elsewhere = Path(path).with_name("elsewhere")
    elsewhere.write_text(SEP.join((path, "elsewhere", "1", "5")))
    os.symlink(elsewhere, path)


def great_length(path):
    Path(path).touch()
    os.truncate(path, 1 << 40)


@pytest.mark.parametrize("plant", [symlink, symlink_to_a_lock, os.mkfifo, os.mkdir, great_length], ids=lambda f: f.__name__)
def test_a_file_that_is_not_a_lock_is_not_followed_or_waited_for_or_read_whole(path, child, plant):
    plant(path)
    state, details, expiration, refresh = answers(child(LOOK, path))
    assert state == repr(LockState.unknown)
    assert details == "NotLockedError('Details are unavailable')"
    assert expiration.startswith("FileNotFoundError") and "not a lock" in expiration
    assert refresh.startswith("NotLockedError") and "not a lock" in refresh
    assert SECRET not in state + details + expiration + refresh


def test_the_content_of_a_file_that_is_not_a_lock_is_not_shown(path):
    Path(path).write_text(SECRET)
    with pytest.raises(NotLockedError) as refusal:
        Lock(path).refresh()
    assert SECRET not in str(refusal.value)


def test_details_give_this_locks_path_whatever_the_file_says(path):
    forge(path, f"/etc/{os.path.basename(path)}", "elsewhere")
    assert Lock(path).details == ("elsewhere", 1, path)


FORGED = "evil\r\x1b[2J\x9b1m\u202e\u2028\u2066"


def forge(path, lockfile, host):
    """Creates a link lock that others may break in an hour."""
    claim = SEP.join((path, "elsewhere", "1", "5"))
    Path(claim).write_text(SEP.join((lockfile, host, "1", "5")))
    os.link(claim, path)
    expire_at(path, time.time() + 3600)


def expire_at(path, seconds):
    os.utime(path, (seconds, seconds))


@pytest.mark.parametrize("host", [FORGED, "evil\nERROR all is well"], ids=["controls", "line"])
def test_no_message_and_no_log_shows_a_forged_host_name_unescaped(path, caplog, host):
    caplog.set_level(logging.DEBUG, "linklock")
    forge(path, path, host)
    lock = Lock(path)
    said = []
    for ask in (lock.refresh, lambda: lock.lock(0)):
        with pytest.raises((NotLockedError, TimeOutError)) as refusal:
            ask()
        said.append(str(refusal.value))
    expire_at(path, 1)
    # The break is logged.
    with contextlib.suppress(TimeOutError):
        lock.lock(0)
    said += [record.getMessage() for record in caplog.records]
    assert any("evil" in text or "not a lock" in text for text in said)
    for text in said:
        assert not re.search("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]", text), ascii(text)
