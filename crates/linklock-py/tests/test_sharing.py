"""One object that several threads or tasks use, and objects that nobody has any more."""

import asyncio
import gc
import os
import threading
import time

import pytest

from conftest import PATIENCE_S, until
from linklock import AlreadyLockedError, Lock, NotLockedError

THREADS = 4


def test_threads_that_share_an_object_never_release_each_others_lock(path, names):
    """The bug: unlock() forgot the lock that another thread had acquired meanwhile. The consequence: two threads inside."""
    lock, inside, most, entered = Lock(path, lifetime=60), [], [], []

    def work():
        for _ in range(40):
            try:
                lock.lock(timeout=PATIENCE_S)
            except AlreadyLockedError:
                time.sleep(0.0005)
                continue
            inside.append(1)
            most.append(len(inside))
            entered.append(1)
            time.sleep(0.0002)
            inside.pop()
            lock.unlock()

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1, "two threads inside"
    assert len(entered) >= 40
    assert not lock.is_locked
    assert names() == []


def test_only_one_of_many_unlocks_releases_the_lock(path):
    lock = Lock(path)
    for _ in range(40):
        lock.lock()
        outcomes = []

        def release():
            try:
                lock.unlock()
                outcomes.append("released")
            except NotLockedError:
                outcomes.append("refused")

        threads = [threading.Thread(target=release) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["refused"] * (THREADS - 1) + ["released"]


def test_tasks_that_share_an_object_exclude_each_other_or_are_told(path, names):
    async def main():
        lock, inside, entered = Lock(path, lifetime=60), 0, 0

        async def work():
            nonlocal inside, entered
            for _ in range(20):
                try:
                    async with lock:
                        inside += 1
                        assert inside == 1
                        await asyncio.sleep(0.0005)
                        inside -= 1
                        entered += 1
                except AlreadyLockedError:
                    await asyncio.sleep(0.0005)

        await asyncio.gather(*(work() for _ in range(5)))
        assert entered

    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))
    assert names() == []


def test_many_tasks_wait_with_few_descriptors_and_threads(path, names):
    waiters = 250
    counts = lambda: [len(os.listdir(f"/proc/self/{what}")) for what in ("fd", "task")]
    before = counts()

    async def main():
        entered = 0

        async def work():
            nonlocal entered
            async with Lock(path, lifetime=PATIENCE_S):
                entered += 1

        holder = Lock(path, lifetime=PATIENCE_S)
        holder.lock()
        tasks = [asyncio.create_task(work()) for _ in range(waiters)]
        while len(names()) < waiters:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        descriptors, threads = [now - then for now, then in zip(counts(), before)]
        assert descriptors < 3 * waiters and threads < waiters / 2, f"{descriptors} descriptors, {threads} threads"
        holder.unlock()
        await asyncio.gather(*tasks)
        assert entered == waiters

    asyncio.run(asyncio.wait_for(main(), 2 * PATIENCE_S))
    assert names() == []


def test_a_wait_that_cannot_begin_leaves_no_contender(path, names, holder, monkeypatch):
    """The bug: where the loop could not listen, nobody ended the wait, which then acquired the lock for ever."""
    held = names()

    async def main():
        def refuse(*_):
            raise RuntimeError("no more readers")

        monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", refuse)
        with pytest.raises(RuntimeError, match="no more readers"):
            await Lock(path).__aenter__()

    asyncio.run(main())
    until(lambda: names() == held, "it did not become so")
    holder.tell()
    assert holder.line() == "released"
    Lock(path).lock(timeout=0)


@pytest.mark.parametrize("protocol", ["link", "dir"])
def test_a_lock_that_is_kept_alive_expires_once_its_object_is_gone(path, protocol):
    """The bug: the thread that calls on_lost kept the object, so it was kept alive for ever."""
    reports = []
    lock = Lock(path, 1, keep_alive=True, on_lost=reports.append, protocol=protocol)
    lock.lock()
    del lock
    gc.collect()
    Lock(path, grace=0).lock(timeout=PATIENCE_S)
    until(lambda: not any(thread.name == "linklock-losses" for thread in threading.enumerate()), "it did not become so")
    assert reports == []
