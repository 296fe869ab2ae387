"""Fixtures that the tests share: a lock path, and other processes."""

import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

# A time-out for events that must happen. It measures nothing.
PATIENCE_S = 60


def until(true, otherwise):
    give_up = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < give_up, otherwise
        time.sleep(0.01)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "job.lock")


@pytest.fixture
def names(tmp_path):
    """The names in the lock's directory."""
    return lambda: sorted(os.listdir(tmp_path))


class Child:
    """A Python program in its own process. The test and the program exchange lines."""

    def __init__(self, code, *args):
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.safety_net = threading.Timer(PATIENCE_S, self.process.kill)
        self.safety_net.start()

    def line(self):
        line = self.process.stdout.readline().strip()
        assert line, f"the child ended instead of answering: {self.process.stderr.read()}"
        return line

    def tell(self, line=""):
        print(line, file=self.process.stdin, flush=True)

    def end(self):
        """Its exit status and its output on stderr."""
        stderr = self.process.communicate()[1]
        return self.process.returncode, stderr

    def close(self):
        self.safety_net.cancel()
        self.process.kill()
        self.process.communicate()


HOLDER = """
    import sys
    from linklock import Lock
    lock = Lock(sys.argv[1], lifetime=60)
    lock.lock()
    print("held", flush=True)
    sys.stdin.readline()
    lock.unlock()
    print("released", flush=True)
"""


@pytest.fixture
def child():
    children = []

    def start(code, *args):
        children.append(Child(code, *args))
        return children[-1]

    yield start
    for one in children:
        one.close()


@pytest.fixture
def holder(child, path):
    """Another process that holds the lock until it gets a line."""
    other = child(HOLDER, path)
    assert other.line() == "held"
    return other
