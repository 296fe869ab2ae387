"""Several locks at once: one order for everybody, all or none, and none lost while another is waited for."""

import random
import threading
import time

import pytest

from linklock import AlreadyLockedError, Lock, NotLockedError, TimeOutError, all_of

LIFETIME_S = 1
THREADS = 8
ROUNDS = 5


@pytest.fixture
def three(tmp_path):
    return [Lock(tmp_path / f"{name}.lock") for name in "abc"]


def test_all_are_held_inside_and_none_after(three, tmp_path):
    with all_of(*reversed(three)) as held:
        assert held == tuple(reversed(three))
        assert all(lock.is_locked for lock in three)
    assert not list(tmp_path.iterdir())


def test_all_are_had_or_none(three, tmp_path):
    blocked = Lock(three[1].lockfile)
    blocked.lock()
    for timeout in (0, 0.05):
        with pytest.raises(TimeOutError), all_of(*three, timeout=timeout):
            pytest.fail("one is held")
        assert not three[0].is_locked and three[2].try_lock()
        three[2].unlock()
    blocked.unlock()
    assert not list(tmp_path.iterdir())


def test_what_one_object_holds_already_stays_its(three, tmp_path):
    three[1].lock()
    with pytest.raises(AlreadyLockedError), all_of(*three):
        pytest.fail("one is held by this object")
    assert three[1].is_locked and not three[0].is_locked
    three[1].unlock()
    assert not list(tmp_path.iterdir())


def test_one_lock_path_cannot_be_named_twice(three, tmp_path):
    again = Lock(tmp_path / ".." / tmp_path.name / "a.lock")
    for twice in ([three[0], three[0]], [three[0], again]):
        with pytest.raises(ValueError, match="one lock path"):
            all_of(*twice)


@pytest.mark.parametrize("protocol", ["link", "dir"])
def test_what_is_held_is_refreshed_while_another_is_waited_for(tmp_path, protocol):
    first, second = (Lock(tmp_path / name, LIFETIME_S, protocol=protocol) for name in ("a", "b"))
    blocked = Lock(second.lockfile, 60, protocol=protocol)
    blocked.lock()
    threading.Timer(2.5 * LIFETIME_S, blocked.unlock).start()
    with all_of(second, first):
        assert first.is_locked and second.is_locked


def test_a_loss_under_the_work_is_told_and_the_others_are_released(tmp_path):
    first, second = (Lock(tmp_path / name, LIFETIME_S, grace=0) for name in ("a", "b"))
    with pytest.raises(NotLockedError), all_of(first, second):
        time.sleep(LIFETIME_S * 1.1)
        overtaker = Lock(second.lockfile, grace=0)
        overtaker.lock(timeout=60)
    overtaker.unlock()
    assert not list(tmp_path.iterdir())


def test_overlapping_sets_never_wait_for_each_other_for_ever(tmp_path):
    counts = dict.fromkeys("abcd", 0)
    failed = []

    def work(seed):
        choice = random.Random(seed)
        for _ in range(ROUNDS):
            names = choice.sample("abcd", choice.randint(2, 3))
            try:
                with all_of(*(Lock(tmp_path / name) for name in names), timeout=60):
                    for name in names:
                        seen = counts[name]
                        time.sleep(0.001)
                        counts[name] = seen + 1
            except Exception as e:
                failed.append(e)
            done.extend(names)

    done = []
    threads = [threading.Thread(target=work, args=[seed]) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert counts == {name: done.count(name) for name in "abcd"}
    assert not list(tmp_path.iterdir())
