"""What filelock's own tests do not check: locks between processes, losses, and the real filelock at the same path."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time

import pytest

import linklock
from conftest import PATIENCE_S, until
from linklock.filelock import AsyncFileLock, FileLock, LockLost, SoftFileLock, Timeout
from test_interrupts import ROUNDS, interrupt, interrupted  # noqa: F401

KINDS = pytest.mark.parametrize("kind", [FileLock, SoftFileLock])

HOLDER = """
    import sys
    from {module} import {kind} as Kind
    lock = Kind(sys.argv[1])
    try:
        lock.acquire(timeout=float(sys.argv[2]))
    except Exception as error:
        print(type(error).__name__, flush=True)
        sys.exit()
    print("held", flush=True)
    sys.stdin.readline()
    lock.release()
    print("released", flush=True)
"""


@pytest.fixture
def holds(child, path):
    """Starts another process that acquires the lock."""

    def start(module, kind, timeout=PATIENCE_S):
        return child(HOLDER.format(module=module, kind=kind), path, str(timeout))

    return start


@KINDS
def test_processes_exclude_each_other_and_the_release_wakes_the_waiter(path, names, holds, kind):
    other = holds("linklock.filelock", kind.__name__)
    assert other.line() == "held"
    with pytest.raises(Timeout) as refusal:
        kind(path, timeout=0.1).acquire()
    assert refusal.value.lock_file == path
    threading.Timer(0.2, other.tell).start()
    with kind(path):
        assert other.line() == "released"
    assert names() == []


@KINDS
def test_a_holder_that_dies_is_recovered_at_once(path, holds, kind):
    other = holds("linklock.filelock", kind.__name__)
    assert other.line() == "held"
    other.process.kill()
    other.process.wait()
    with kind(path, timeout=PATIENCE_S):
        pass


def test_a_lock_is_kept_alive_and_released_when_its_object_is_gone(path, names):
    lock = FileLock(path, lifetime=1.5)
    lock.acquire()
    time.sleep(3)
    assert linklock.inspect(path).state == "held" and lock.is_locked
    del lock
    gc.collect()
    assert names() == []


def test_a_loss_is_an_error_of_the_release_or_a_call(path, names):
    lost = []
    for on_lost in (None, lost.append):
        lock = FileLock(path, lifetime=1, on_lost=on_lost)
        lock.acquire()
        linklock.break_lock(path, force=True)
        if on_lost is None:
            with pytest.raises(LockLost) as refusal:
                lock.release()
            assert isinstance(refusal.value, OSError) and refusal.value.filename == path
        else:
            deadline = time.monotonic() + PATIENCE_S
            while not lost:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert lost == [lock]
            lock.release()
        assert not lock.is_locked and lock.lock_counter == 0
        with lock:
            pass
    assert names() == []


def test_threads_of_one_object_exclude_each_other_or_share_it_as_they_are_told(path):
    apart, together = FileLock(path), FileLock(path, thread_local=False)
    outcomes = []

    def other(lock):
        try:
            lock.acquire(timeout=0.1)
            outcomes.append("joined")
        except Timeout:
            outcomes.append("waited")

    for lock in (apart, together):
        with lock:
            thread = threading.Thread(target=other, args=(lock,))
            thread.start()
            thread.join()
    assert outcomes == ["waited", "joined"]
    assert together.is_locked and together.lock_counter == 1
    together.release()
    assert not together.is_locked


def test_threads_that_wait_for_one_shared_object_all_get_it_at_once(path, holds):
    other = holds("linklock.filelock", "FileLock")
    assert other.line() == "held"
    lock = FileLock(path, thread_local=False)
    threads = [threading.Thread(target=lock.acquire, kwargs={"timeout": PATIENCE_S}) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    other.tell()
    for thread in threads:
        thread.join()
    assert lock.lock_counter == 4
    lock.release(force=True)


def test_a_forked_child_does_not_hold_its_parents_lock(path, names):
    with FileLock(path) as lock:
        held = names()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                assert not lock.is_locked and lock.lock_counter == 0
                lock.release(force=True)
                with pytest.raises(Timeout):
                    lock.acquire(timeout=0)
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        assert names() == held and lock.is_locked
    assert names() == []


@KINDS
def test_an_interrupted_acquire_or_with_holds_nothing_that_nobody_can_release(path, names, interrupt, kind):  # noqa: F811
    for _ in range(ROUNDS // 3):
        lock = kind(path)

        def work():
            interrupt()
            with lock:
                pass

        interrupted(work)
        lock.release(force=True)
        assert names() == [] and not lock.is_locked


def test_tasks_exclude_each_other_and_can_be_cancelled(path, names):
    count = 0

    async def increment():
        nonlocal count
        for _ in range(10):
            async with AsyncFileLock(path):
                seen = count
                await asyncio.sleep(0.0005)
                count = seen + 1

    async def main():
        await asyncio.gather(*(increment() for _ in range(5)))
        async with AsyncFileLock(path):
            waiter = asyncio.create_task(AsyncFileLock(path).acquire())
            await asyncio.sleep(0.1)
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter

    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))
    assert count == 50
    until(lambda: names() == [], "the claim of the one that was cancelled is left")


# --- The real filelock at the same path ---


def real_filelock():
    try:
        import filelock
    except ImportError:
        pytest.skip("the real filelock is not installed here: tests/run installs it")
    return filelock


@pytest.mark.parametrize("theirs", ["FileLock", "SoftFileLock"])
@KINDS
def test_ours_and_the_real_ones_exclude_each_other_or_give_an_error(path, holds, kind, theirs):
    """Never two holders unnoticed."""
    real_filelock()
    # They hold it: ours waits, or refuses.
    other = holds("filelock", theirs)
    assert other.line() == "held"
    with pytest.raises((Timeout, OSError)):
        kind(path).acquire(timeout=0.3)
    with pytest.raises((Timeout, OSError)):
        kind(path).acquire(blocking=False)
    other.tell()
    assert other.line() == "released"
    if os.path.exists(path):
        os.unlink(path)
    # Ours holds it: theirs waits, or gets an error.
    with kind(path):
        assert holds("filelock", theirs, 0.3).line() in ("Timeout", "IsADirectoryError", "PermissionError", "SoftFileLockProtocolError")


def test_an_empty_file_that_the_real_filelock_has_left_is_taken_over(path, names, holds):
    real_filelock()
    other = holds("filelock", "FileLock")
    assert other.line() == "held"
    other.tell()
    assert other.line() == "released"
    if not os.path.exists(path):
        open(path, "w").close()
    with FileLock(path, timeout=PATIENCE_S):
        assert os.path.isdir(path), "a lock of linklock's"
    assert names() == []


def test_an_empty_file_that_somebody_has_open_is_an_error_at_once(path):
    # As a SoftFileLock's holder has it.
    with open(path, "w"):
        with pytest.raises(OSError, match="remove it"):
            FileLock(path).acquire()
    assert os.path.exists(path)


def test_a_file_with_content_is_left_alone(path):
    with open(path, "w") as file:
        file.write("somebody's")
    for kind in (FileLock, SoftFileLock):
        with pytest.raises(Timeout):
            kind(path).acquire(timeout=0.2)
    assert open(path).read() == "somebody's"
    os.unlink(path)
    os.mkdir(path)
    open(os.path.join(path, "file"), "w").close()
    with pytest.raises(IsADirectoryError):
        FileLock(path).acquire(timeout=0.2)


# --- Under filelock's name ---


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_a_program_that_imports_filelock_gets_linklock_and_pays_for_it_only_then():
    done = run_python(
        "import sys, linklock_as_filelock; assert 'linklock' not in sys.modules;"
        "import filelock, linklock.filelock; print(filelock.FileLock is linklock.filelock.FileLock, filelock.__version__)"
    )
    assert (done.stdout, done.stderr) == ("True 3.20.0\n", "")


def test_a_program_that_has_the_real_filelock_already_is_told_so():
    real_filelock()
    done = run_python("import filelock, linklock_as_filelock")
    assert done.returncode == 1 and "import linklock_as_filelock before it" in done.stderr
