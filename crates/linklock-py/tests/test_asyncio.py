"""`async with`: the event loop continues, and a task can be cancelled."""

import asyncio
import concurrent.futures

import pytest

from conftest import PATIENCE_S, until
from linklock import AlreadyLockedError, Lock, TimeOutError


def run(main):
    return asyncio.run(asyncio.wait_for(main, PATIENCE_S))


def test_tasks_exclude_each_other_and_the_loop_continues(path, names):
    count = 0

    async def increment():
        nonlocal count
        for _ in range(10):
            async with Lock(path) as lock:
                assert lock.is_locked
                seen = count
                await asyncio.sleep(0.0005)
                count = seen + 1

    async def main():
        await asyncio.gather(*(increment() for _ in range(5)))

    run(main())
    assert count == 50
    assert names() == []


def test_a_cancelled_task_leaves_no_claim(path, names, holder):
    held = names()

    async def main():
        task = asyncio.create_task(Lock(path).__aenter__())
        while names() == held:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    # It is given a moment to go, and on a busy machine takes a little longer.
    until(lambda: names() == held, "a claim is left")


def test_a_time_out_and_a_lock_that_is_already_held_are_reported(path, holder):
    async def main():
        with pytest.raises(TimeOutError):
            async with Lock(path, default_timeout=0.05):
                pass
        holder.tell()
        lock = Lock(path)
        async with lock:
            with pytest.raises(AlreadyLockedError):
                await lock.__aenter__()

    run(main())


def test_a_release_works_while_all_threads_of_the_executor_wait(path):
    async def main():
        loop = asyncio.get_running_loop()
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            loop.set_default_executor(executor)
            async with Lock(path):
                waiter = loop.run_in_executor(None, lambda: Lock(path).lock(timeout=PATIENCE_S))
                await asyncio.sleep(0.1)
            await waiter

    run(main())


def test_an_error_of_the_file_system_is_reported_and_can_be_retried(tmp_path):
    missing = tmp_path / "later"

    async def main():
        lock = Lock(missing / "job.lock", default_timeout=PATIENCE_S)
        with pytest.raises(FileNotFoundError):
            await lock.__aenter__()
        lock.retry_errnos = [2]
        asyncio.get_running_loop().call_later(0.1, missing.mkdir)
        async with lock:
            assert lock.is_locked

    run(main())
