"""What filelock's own tests of its locks for readers and writers do not check: processes, losses, what was left, and Python's limits."""

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
from linklock.filelock import (
    AsyncReadWriteLock,
    AsyncSoftReadWriteLock,
    LeaseCompromise,
    LockLost,
    ReadWriteLock,
    SoftReadWriteLock,
    Timeout,
)
from test_interrupts import ROUNDS, interrupt, interrupted  # noqa: F401

KINDS = pytest.mark.parametrize("kind", [ReadWriteLock, SoftReadWriteLock])
ASYNC_KINDS = pytest.mark.parametrize("kind", [AsyncReadWriteLock, AsyncSoftReadWriteLock])
MODES = pytest.mark.parametrize("mode", ["read", "write"])

HOLDER = """
    import sys
    from linklock.filelock import {kind} as Kind, Timeout
    lock = Kind(sys.argv[1], timeout=float(sys.argv[2]))
    try:
        lock.acquire_{mode}()
    except Timeout:
        print("Timeout", flush=True)
        sys.exit()
    print("held", flush=True)
    sys.stdin.readline()
    lock.release()
    print("released", flush=True)
"""

READER_AFTER_READER = """
    import sys, time
    from linklock.filelock import {kind} as Kind
    lock = Kind(sys.argv[1])
    print("ready", flush=True)
    while True:
        with lock.read_lock():
            time.sleep(0.15)
"""


@pytest.fixture
def holds(child, path):
    """Starts another process that acquires the lock."""

    def start(kind, mode, timeout=PATIENCE_S):
        return child(HOLDER.format(kind=kind.__name__, mode=mode), path, str(timeout))

    return start


def locks(tmp_path):
    """All names but the counter that SoftReadWriteLock leaves."""
    return sorted(name for name in os.listdir(tmp_path) if not name.endswith("|fence"))


def apart(kind, path, **options):
    return kind(path, is_singleton=False, **options)


# --- Between processes ---


@KINDS
def test_readers_hold_it_together_and_a_writer_alone(path, tmp_path, holds, kind):
    readers = [holds(kind, "read") for _ in range(2)]
    assert [reader.line() for reader in readers] == ["held", "held"]
    lock = kind(path)
    with lock.read_lock():
        assert len(os.listdir(path)) == 3
    with pytest.raises(Timeout) as refusal:
        lock.acquire_write(timeout=0.2)
    assert refusal.value.lock_file == path and "holds it" in str(refusal.value.__cause__)
    for reader in readers:
        reader.tell()
        assert reader.line() == "released"
    with lock.write_lock(timeout=PATIENCE_S):
        assert holds(kind, "read", 0.2).line() == "Timeout"
        assert holds(kind, "write", 0).line() == "Timeout"
    assert locks(tmp_path) == []


@KINDS
@pytest.mark.parametrize(("held", "wanted"), [("read", "write"), ("write", "read"), ("write", "write")])
def test_a_release_wakes_whoever_waits(path, holds, kind, held, wanted):
    other = holds(kind, held)
    assert other.line() == "held"
    threading.Timer(0.2, other.tell).start()
    lock = kind(path, timeout=PATIENCE_S)
    with lock.read_lock() if wanted == "read" else lock.write_lock():
        assert other.line() == "released"


@KINDS
def test_a_writer_has_its_turn_although_readers_follow_readers(path, child, kind):
    code = READER_AFTER_READER.format(kind=kind.__name__)
    for n in range(3):
        assert child(code, path).line() == "ready"
        time.sleep(0.05)
    with kind(path).write_lock(timeout=PATIENCE_S / 4):
        assert len(os.listdir(path)) == 1


@KINDS
@MODES
def test_a_holder_that_is_killed_is_recovered_at_once(path, tmp_path, holds, kind, mode):
    other = holds(kind, mode)
    assert other.line() == "held"
    other.process.kill()
    other.process.wait()
    # Its lifetime is a minute and more.
    with kind(path).write_lock(timeout=20):
        pass
    assert locks(tmp_path) == []


def test_a_reader_that_is_killed_leaves_the_other_readers_where_they_are(path, holds):
    dead, alive = holds(ReadWriteLock, "read"), holds(ReadWriteLock, "read")
    assert (dead.line(), alive.line()) == ("held", "held")
    dead.process.kill()
    dead.process.wait()
    lock = ReadWriteLock(path)
    with pytest.raises(Timeout):
        lock.acquire_write(timeout=0.5)
    alive.tell()
    assert alive.line() == "released"
    with lock.write_lock(timeout=20):
        pass


def test_linklocks_own_shared_locks_are_the_same_locks(path):
    lock = ReadWriteLock(path)
    with lock.read_lock(), linklock.Lock(path, protocol="dir").shared():
        assert not linklock.Lock(path, protocol="dir").try_lock()
        assert linklock.inspect(path).state == "held"
    with linklock.Lock(path, protocol="dir"), pytest.raises(Timeout):
        lock.acquire_read(blocking=False)


def test_a_process_that_ends_releases_what_it_holds(path, tmp_path):
    code = "import sys; from linklock.filelock import *; lock = ReadWriteLock(sys.argv[1]); lock.acquire_{}()"
    for mode in ("read", "write"):
        subprocess.run([sys.executable, "-c", code.format(mode), path], check=True)
        assert locks(tmp_path) == []


# --- In one process ---


@KINDS
def test_one_path_has_one_object_unless_it_is_told_otherwise(path, kind, monkeypatch):
    lock = kind(path)
    monkeypatch.chdir(os.path.dirname(path))
    assert kind(os.path.basename(path)) is lock and kind.get_lock(path) is lock
    assert apart(kind, path) is not lock
    for other in ({"timeout": 3}, {"blocking": False}, {"on_lost": print}):
        with pytest.raises(ValueError, match="Singleton"):
            kind(path, **other)
    del lock
    gc.collect()
    assert kind(path, timeout=3).timeout == 3


@KINDS
def test_it_is_held_until_it_is_released_as_often_as_acquired_or_by_force(path, tmp_path, kind):
    lock = kind(path)
    for mode in (lock.acquire_read, lock.acquire_write):
        for force in (False, True):
            mode(), mode()
            lock.release()
            assert locks(tmp_path) != []
            if force:
                mode()
            lock.release(force=force)
            assert locks(tmp_path) == []
            with pytest.raises(RuntimeError, match="not held"):
                lock.release()
            lock.release(force=True)


@KINDS
def test_nobody_turns_a_reader_into_a_writer_or_a_writer_into_a_reader(path, kind):
    lock = kind(path)
    with lock.read_lock(), pytest.raises(RuntimeError, match="upgrade not allowed"):
        lock.acquire_write()
    with lock.write_lock(), pytest.raises(RuntimeError, match="downgrade not allowed"):
        lock.acquire_read()


def in_thread(work):
    """What it raised, or what it returned."""
    outcome = []

    def run():
        try:
            outcome.append(work())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(PATIENCE_S)
    return outcome[0]


@KINDS
def test_each_thread_releases_what_it_has_acquired(path, tmp_path, kind):
    lock = kind(path)
    lock.acquire_write()
    assert "while it is held by thread" in str(in_thread(lock.acquire_write))
    assert "another thread" in str(in_thread(lock.acquire_read))
    assert isinstance(in_thread(lock.release), RuntimeError)
    lock.release()
    lock.acquire_read()
    assert "does not hold it" in str(in_thread(lock.release))
    assert in_thread(lambda: lock.acquire_read() and lock.release()) is None
    assert locks(tmp_path) != []
    assert in_thread(lambda: lock.release(force=True)) is None
    assert locks(tmp_path) == []


def test_threads_that_wait_with_one_object_read_together(path, holds):
    other = holds(ReadWriteLock, "write")
    assert other.line() == "held"
    lock, together = ReadWriteLock(path), threading.Barrier(3)

    def read():
        with lock.read_lock(timeout=PATIENCE_S):
            together.wait(PATIENCE_S)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    other.tell()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not together.broken and not any(thread.is_alive() for thread in threads)


@KINDS
def test_a_thread_joins_no_lock_that_another_is_just_about_to_release(path, kind, monkeypatch):
    lock = kind(path)
    give_back, outcomes = lock._give_back, []

    def late(held):
        outcomes.append(in_thread(lambda: lock.acquire_read(blocking=False)))
        give_back(held)

    monkeypatch.setattr(lock, "_give_back", late)
    lock.acquire_read()
    lock.release()
    assert [type(outcome) for outcome in outcomes] == [Timeout]


@KINDS
def test_a_wait_ends_when_its_object_is_closed(path, holds, kind):
    assert holds(kind, "write").line() == "held"
    lock = kind(path)
    threading.Timer(0.3, lock.close).start()
    with pytest.raises(Exception, match="closed"):
        lock.acquire_read(timeout=PATIENCE_S)
    with pytest.raises(Exception, match="closed"):
        lock.acquire_write()


@KINDS
def test_a_forked_child_needs_an_object_of_its_own(path, kind):
    lock = kind(path)
    with lock.write_lock():
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                lock.release(force=True)
                with pytest.raises(RuntimeError, match="fork"):
                    lock.acquire_read()
                assert kind(path) is not lock
                with pytest.raises(Timeout):
                    kind(path).acquire_read(blocking=False)
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        with pytest.raises(Timeout):
            apart(kind, path).acquire_read(blocking=False)


@KINDS
def test_an_object_that_is_dropped_releases_the_lock(path, tmp_path, kind):
    for options in ({}, {"on_lost": print}):
        lock = kind(path, **options)
        lock.acquire_read()
        assert locks(tmp_path) != []
        del lock
        gc.collect()
        assert locks(tmp_path) == []


@KINDS
@MODES
def test_an_interrupt_leaves_nothing_held_that_nobody_can_release(path, tmp_path, interrupt, kind, mode):  # noqa: F811
    for _ in range(ROUNDS // 8):
        lock = apart(kind, path)

        def work():
            interrupt()
            with lock.read_lock() if mode == "read" else lock.write_lock():
                pass

        interrupted(work)
        lock.release(force=True)
        assert locks(tmp_path) == []
        with lock.write_lock(blocking=False):
            pass


# --- Loss ---


@MODES
def test_a_loss_is_an_error_of_the_release_or_a_call(path, mode):
    lost = []
    for on_lost in (None, lost.append):
        lock = apart(ReadWriteLock, path, lifetime=1, on_lost=on_lost)
        acquire = lock.acquire_read if mode == "read" else lock.acquire_write
        acquire()
        linklock.break_lock(path, force=True)
        if on_lost is None:
            with pytest.raises(LockLost) as refusal:
                lock.release()
            assert refusal.value.filename == path
        else:
            until(lambda: lost == [lock], "nobody was told")
            with pytest.raises(RuntimeError, match="was lost"):
                acquire()
            lock.release()
        with acquire():
            pass


def test_the_soft_kind_tells_of_a_loss_in_filelocks_words(path):
    told = []
    lock = SoftReadWriteLock(path, heartbeat_interval=0.3, on_compromise=told.append)
    assert lock.stale_threshold == pytest.approx(0.9) and lock.compromise is None
    lock.acquire_write()
    token = os.listdir(path)[0]
    linklock.break_lock(path, force=True)
    until(lambda: told, "nobody was told")
    assert told == [LeaseCompromise(path, token, "evicted")] and lock.compromise == told[0]
    lock.release()
    with lock.write_lock():
        assert lock.compromise is None


def test_who_is_told_of_a_loss_may_release_the_lock(path):
    released = []
    lock = SoftReadWriteLock(path, lifetime=0.6, on_lost=lambda lock: released.append(lock.release()))
    lock.acquire_write()
    linklock.break_lock(path, force=True)
    until(lambda: released, "the release failed")
    with lock.write_lock(timeout=PATIENCE_S):
        pass


def test_a_lock_is_kept_alive_while_it_is_held(path):
    readers = [apart(ReadWriteLock, path, lifetime=0.8, grace=0) for _ in range(2)]
    for reader in readers:
        reader.acquire_read()
    time.sleep(2)
    assert len(os.listdir(path)) == 2
    for reader in readers:
        reader.release()


def test_the_generation_of_each_acquisition_is_greater_than_those_before(path):
    lock = SoftReadWriteLock(path)
    seen = []
    for acquire in (lock.acquire_write, lock.acquire_read, lock.acquire_write):
        with acquire():
            seen.append(lock.generation)
    assert seen == sorted(set(seen)) and len(seen) == 3 and lock.generation is None


# --- What else may be there ---


def test_an_empty_file_that_the_real_lock_has_left_is_taken_over(path, tmp_path):
    for mode in ("acquire_read", "acquire_write"):
        open(path, "w").close()
        with getattr(ReadWriteLock(path), mode)(timeout=5):
            assert os.path.isdir(path)
        assert locks(tmp_path) == []


def test_an_empty_file_that_somebody_uses_is_an_error(path):
    with open(path, "w"), pytest.raises(OSError, match="remove it"):
        ReadWriteLock(path).acquire_read()
    assert os.path.isfile(path)


def test_the_real_lock_does_not_get_a_file_that_was_taken_over_from_under_it(path, child):
    # One that has opened it before locks it, as SQLite does, after it was removed.
    open(path, "w").close()
    late = """
        import fcntl, os, sys
        file = os.open("/proc/%s/fd/%s" % tuple(sys.argv[1:]), os.O_RDWR)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            print("locked", flush=True)
        except OSError as error:
            print(type(error).__name__, flush=True)
    """
    lock = ReadWriteLock(path)
    with lock.write_lock():
        leftover = lock._place._leftover
        assert os.fstat(leftover).st_nlink == 0
        assert child(late, str(os.getpid()), str(leftover)).line() in ("BlockingIOError", "PermissionError")
    assert lock._place._leftover is None


def test_what_is_not_a_lock_is_left_alone(path):
    def refused(error):
        before = time.monotonic()
        with pytest.raises(error) as refusal:
            ReadWriteLock(path).acquire_read(timeout=1)
        assert refusal.value.filename == path and time.monotonic() - before < PATIENCE_S

    with open(path, "w") as file:
        file.write("somebody's")
    refused(FileExistsError)
    assert open(path).read() == "somebody's"
    os.unlink(path)
    os.symlink("elsewhere", path)
    refused(FileExistsError)
    os.unlink(path)
    os.mkdir(path)
    open(os.path.join(path, "file"), "w").close()
    refused(IsADirectoryError)


def test_where_the_real_soft_lock_was_used_ours_is_refused(path):
    os.mkdir(path + ".rw")
    with pytest.raises(FileExistsError, match="remove"):
        SoftReadWriteLock(path).acquire_read()
    os.rmdir(path + ".rw")
    with SoftReadWriteLock(path).read_lock():
        pass


@KINDS
@pytest.mark.parametrize("wrong", [{"timeout": True}, {"timeout": "1"}, {"blocking": 1}])
def test_what_is_no_timeout_is_refused(path, kind, wrong):
    with pytest.raises(TypeError):
        kind(path, **wrong)
    with pytest.raises(TypeError):
        kind(path).acquire_read(**wrong)


# --- Tasks ---


def run(main):
    asyncio.run(asyncio.wait_for(main, PATIENCE_S))


@ASYNC_KINDS
def test_tasks_read_together_and_write_alone(path, tmp_path, kind):
    together = 0
    most = {"read": 0, "write": 0}

    async def work(mode):
        nonlocal together
        lock = kind(path)
        async with lock.read_lock() if mode == "read" else lock.write_lock():
            together += 1
            most[mode] = max(most[mode], together)
            await asyncio.sleep(0.02)
            together -= 1

    async def main():
        await asyncio.gather(*(work(mode) for mode in ["read", "read", "write", "read", "write", "read"]))

    run(main())
    assert most == {"read": 2, "write": 1} and locks(tmp_path) == []


@ASYNC_KINDS
def test_a_task_joins_the_readers_of_its_process_while_another_process_wants_to_write(path, holds, kind):
    sync = ReadWriteLock if kind is AsyncReadWriteLock else SoftReadWriteLock

    async def main():
        async def read():
            async with kind(path).read_lock():
                pass

        lock = kind(path)
        async with lock.read_lock():
            writer = holds(sync, "write")
            while not any(name.endswith("|bell") for name in os.listdir(os.path.dirname(path))):
                await asyncio.sleep(0.01)
            # Else each would wait for the other.
            await asyncio.create_task(read())
        assert await asyncio.to_thread(writer.line) == "held"

    run(main())


@ASYNC_KINDS
def test_a_task_waits_for_another_process_and_can_give_up(path, tmp_path, holds, kind):
    other = holds(ReadWriteLock, "write")
    assert other.line() == "held"

    async def main():
        lock = kind(path)
        for options in ({"timeout": 0.1}, {"blocking": False}):
            with pytest.raises(Timeout) as refusal:
                await lock.acquire_read(**options)
            assert refusal.value.lock_file == path
        waiter = asyncio.create_task(lock.acquire_write())
        await asyncio.sleep(0.1)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        asyncio.get_running_loop().call_later(0.1, other.tell)
        async with await lock.acquire_write() as held:
            assert held is lock
            with pytest.raises(RuntimeError, match="downgrade"):
                await lock.acquire_read()
            with pytest.raises(RuntimeError, match="not held"):
                await asyncio.create_task(lock.release())
        closed = asyncio.create_task(lock.close())
        await closed
        with pytest.raises(Exception, match="closed"):
            await lock.acquire_read()

    run(main())
    assert locks(tmp_path) == []


@ASYNC_KINDS
def test_a_task_that_waits_ends_when_its_object_is_closed(path, holds, kind):
    assert holds(ReadWriteLock, "read").line() == "held"

    async def main():
        lock, other = kind(path), kind(path)
        waiters = [asyncio.create_task(lock.acquire_write()) for _ in range(2)]
        await asyncio.sleep(0.2)
        await lock.close()
        for waiter in waiters:
            with pytest.raises(Exception, match="closed"):
                await waiter
        async with other.read_lock():
            pass

    run(main())


@ASYNC_KINDS
def test_a_task_learns_that_its_lock_was_lost(path, kind):
    async def main():
        told = []
        for options in ({}, {"on_lost": told.append}):
            lock = kind(path, is_singleton=False, lifetime=1, **options)
            await lock.acquire_write()
            linklock.break_lock(path, force=True)
            if options:
                while not told:
                    await asyncio.sleep(0.02)
                assert told == [lock]
                await lock.release()
            else:
                with pytest.raises(LockLost):
                    await lock.release()

    run(main())


# --- Under filelock's name ---


def test_a_program_that_imports_them_from_filelock_gets_linklocks():
    code = (
        "import linklock_as_filelock; from filelock import ReadWriteLock, SoftReadWriteLock, AsyncReadWriteLock, AsyncSoftReadWriteLock;"
        "print({kind.__module__.split('.')[0] for kind in (ReadWriteLock, SoftReadWriteLock, AsyncReadWriteLock, AsyncSoftReadWriteLock)})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "{'linklock'}\n"
