"""A lock with several slots: so many holders and no more."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from linklock import Lock, LockState, NotLockedError, TimeOutError

BOTH = pytest.mark.parametrize("protocol", ["link", "dir"])


@pytest.fixture
def lock_of(tmp_path):
    return lambda **options: Lock(tmp_path / "licence", slots=2, **options)


@BOTH
def test_as_many_hold_one_as_there_are(lock_of, tmp_path, protocol):
    one, other, third = (lock_of(protocol=protocol) for _ in range(3))
    assert one.slot is None and one.state is LockState.unlocked
    with one, other:
        assert {one.slot, other.slot} == {1, 2}
        assert one.is_locked and one.state is LockState.ours
        assert one.claimfile.startswith(f"{tmp_path / 'licence'}.{one.slot}")
        with pytest.raises(TimeOutError, match="all 2 slots are held"):
            third.lock(0.05)
        other.unlock()
        with third:
            assert third.slot == 3 - one.slot
        other.lock()
    assert one.slot is None
    assert not list(tmp_path.iterdir())


@BOTH
def test_a_waiter_gets_the_slot_that_is_released(lock_of, protocol):
    held = [lock_of(protocol=protocol) for _ in range(2)]
    for lock in held:
        lock.lock()
    waiting = lock_of(protocol=protocol)
    thread = threading.Thread(target=waiting.lock, args=(60,))
    thread.start()
    time.sleep(0.1)
    free = held[1].slot
    held[1].unlock()
    thread.join(30)
    assert waiting.slot == free
    waiting.unlock()


def test_a_task_waits_for_a_slot(lock_of):
    async def contend():
        running = most = 0

        async def work():
            nonlocal running, most
            async with lock_of():
                running += 1
                most = max(most, running)
                await asyncio.sleep(0.01)
                running -= 1

        await asyncio.gather(*(work() for _ in range(10)))
        return most

    assert asyncio.run(contend()) == 2


@BOTH
def test_a_slot_is_left_and_adopted(lock_of, protocol):
    locks = [lock_of(protocol=protocol) for _ in range(2)]
    for lock in locks:
        lock.lock()
    for lock in locks:
        number, token = lock.slot, lock.leave()
        heir = lock_of(protocol=protocol)
        heir.adopt(token)
        assert heir.slot == number
        heir.unlock()
        with pytest.raises(NotLockedError):
            heir.adopt(token)
    with pytest.raises(ValueError):
        lock_of(protocol=protocol).adopt("something else")


def test_the_slot_of_a_killed_process_is_taken_over(tmp_path, lock_of):
    script = "import sys; from linklock import Lock; Lock(sys.argv[1], slots=2).lock(); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, str(tmp_path / "licence")]
    children = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    for child in children:
        child.stdout.readline()
    assert not lock_of().try_lock()
    for child in children:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()
    with lock_of() as lock:
        assert lock.slot


@pytest.mark.parametrize("options", [{"slots": 0}, {"slots": 257}, {"slots": 2, "shared": True, "protocol": "dir"}])
def test_what_can_have_no_slots_is_refused(tmp_path, options):
    with pytest.raises(ValueError):
        Lock(tmp_path / "licence", **options)
