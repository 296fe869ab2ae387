"""The real flufl.lock, this package and the program linklock on one lock path: no update is lost."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
INTEROP = HERE.parents[2] / "tests/interop"
sys.path.insert(0, str(INTEROP))
from peers import Peer

PROCESSES_OF_EACH = 2
INCREMENTS_OF_EACH = 60
# flufl_peer.py's counter: the number, how often it changed between programs, and the last program's name.
INCREMENT = 'read n turns last < "$0"; sleep 0.001; echo "$((n + 1)) ${turns:-0} program" > "$0"'


@pytest.fixture
def python():
    found = os.environ.get("LINKLOCK_FLUFL_PYTHON")
    assert found, "LINKLOCK_FLUFL_PYTHON must name a Python that has flufl.lock: tests/run sets it"
    return found


@pytest.fixture
def program():
    found = os.environ.get("LINKLOCK_PROGRAM")
    assert found, "LINKLOCK_PROGRAM must name the program linklock: tests/run sets it"
    return found


def ours(path):
    """The same contender as for flufl.lock, with `flufl.lock` mapped to this package."""
    mapped = f"PYTHONPATH={HERE.parent / 'linklock-flufl/src'}"
    return Peer("package", "env", mapped, sys.executable, INTEROP / "flufl_peer.py", path, "--short-poll")


def flufls(path, python):
    return Peer("flufl.lock", python, INTEROP / "flufl_peer.py", path, "--short-poll")


def count(path, counter, python, words, command):
    """Lets all processes increment one number, and returns the result."""
    counter.write_text("0 0 nobody")
    failed = []

    def run_programs():
        for _ in range(INCREMENTS_OF_EACH):
            if subprocess.run([*words, "sh", "-c", INCREMENT, counter]).returncode:
                failed.append("the program failed")

    peers = [make() for make in (lambda: ours(path), lambda: flufls(path, python)) for _ in range(PROCESSES_OF_EACH)]
    programs = [threading.Thread(target=run_programs) for _ in range(PROCESSES_OF_EACH)]
    try:
        # All have started before the first begins: the details of a lock that changes hands may be gone at the second look.
        for peer in peers:
            peer.ask("details")
        for peer in peers:
            peer.tell(command, counter, INCREMENTS_OF_EACH)
        for thread in programs:
            thread.start()
        for thread in programs:
            thread.join()
        for peer in peers:
            peer.answer()
    finally:
        for peer in peers:
            peer.kill()
    assert not failed
    return int(counter.read_text().split(" ")[0])


def test_flufl_lock_the_package_and_the_program_lose_no_update(tmp_path, path, names, python, program):
    asked = 3 * PROCESSES_OF_EACH * INCREMENTS_OF_EACH
    counter = tmp_path / "counter"
    unlocked = count(path, counter, python, [], "count-unlocked")
    assert unlocked < asked, "without the lock no update is lost, so this test could not fail"
    assert count(path, counter, python, [program, "run", path], "count") == asked
    assert names() == ["counter"]


def test_flufl_lock_and_the_package_wait_for_each_other_and_read_each_others_details(path, names, python):
    for make in (lambda: (ours(path), flufls(path, python)), lambda: (flufls(path, python), ours(path))):
        holder, waiter = make()
        with holder, waiter:
            holder.ask("acquire")
            _, state, _, pid, lockfile, _ = waiter.ask("details")
            assert (state, pid, lockfile) == ("held", str(holder.pid), path)
            waiter.tell("acquire")
            assert waiter.is_silent_for(0.5), f"{waiter.kind} acquired the lock that {holder.kind} holds"
            released = int(holder.ask("release")[1])
            assert int(waiter.answer()[1]) > released
            waiter.ask("release")
        assert names() == []
