"""Shared locks: readers side by side, and nobody beside a writer."""

import threading

import pytest

from conftest import PATIENCE_S
from linklock import Lock, NotLockedError, TimeOutError, inspect


@pytest.fixture
def lock(path):
    return Lock(path, protocol="dir")


def test_readers_hold_it_side_by_side_and_a_writer_alone(lock, path, names):
    readers = [lock.shared() for _ in range(3)]
    for reader in readers:
        reader.lock(timeout=0)
    assert all(reader.is_locked for reader in readers)
    assert not lock.try_lock() and not Lock(path).try_lock()
    for reader in readers:
        reader.unlock()
    with lock:
        assert not lock.shared().try_lock()
    assert names() == []


def test_an_object_of_its_own_that_holds_nothing(lock):
    with lock.shared() as reader:
        assert reader is not lock and type(reader) is type(lock) and not lock.is_locked
        assert reader.shared().try_lock()


def test_the_link_protocol_has_none(path):
    with pytest.raises(ValueError, match="shared"):
        Lock(path).shared()
    with pytest.raises(ValueError, match="shared"):
        Lock(path, shared=True).lock()


def test_a_waiting_writer_holds_newcomers_back_and_gets_its_turn(lock, names):
    first = lock.shared()
    first.lock()
    wrote = []

    def write():
        with Lock(lock.lockfile, protocol="dir", default_timeout=PATIENCE_S):
            wrote.append(True)

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(PATIENCE_S * 100):
        newcomer = lock.shared()
        if not newcomer.try_lock():
            break
        newcomer.unlock()
        threading.Event().wait(0.01)
    else:
        raise AssertionError("no newcomer is held back")
    first.unlock()
    writer.join()
    assert wrote
    with lock.shared():
        assert inspect(lock.lockfile).state == "held"
    assert names() == []


def test_tasks_share_it_too(lock, names):
    import asyncio

    async def main():
        async with lock.shared(), lock.shared():
            with pytest.raises(TimeOutError):
                lock.lock(timeout=0)

    asyncio.run(main())
    assert names() == []


def test_a_holder_lets_others_share_its_lock_and_the_next_acquisition_is_as_the_last(path, names):
    lock = Lock(path, protocol="dir", fence=True)
    with lock:
        claim, number = lock.claimfile, lock.fencing_token
        assert not lock.shared().try_lock()
        lock.downgrade()
        assert (lock.claimfile, lock.fencing_token) == (claim + "s", number)
        lock.downgrade()
        reader, writer = lock.shared(), Lock(path, protocol="dir")
        assert reader.try_lock() and not writer.try_lock()
        assert lock.is_locked and lock._linklock.seat.slot.held.check()
        lock.refresh(60)
        reader.unlock()
    with lock:
        assert not lock.shared().try_lock()
    assert set(names()) <= {lock.lockfile.rpartition("/")[2] + "|fence"}


def test_only_a_held_dir_lock_can_be_downgraded(path, lock, names):
    with pytest.raises(NotLockedError):
        lock.downgrade()
    with Lock(path) as link:
        with pytest.raises(ValueError, match="use the dir protocol"):
            link.downgrade()
        assert link.is_locked
    lock.lock()
    lock._linklock.seat.contender().break_lock(None, True)
    with pytest.raises(NotLockedError, match="lost"):
        lock.downgrade()
    lock.unlock(unconditionally=True)
    assert names() == []


def test_a_downgraded_lock_is_handed_on_by_its_new_token(lock, names):
    lock.lock()
    lock.downgrade()
    token = lock.leave()
    assert token.endswith("s")
    other = Lock(lock.lockfile, protocol="dir")
    other.adopt(token)
    with lock.shared():
        assert other.is_locked
    other.unlock()
    assert names() == []
