"""Waiting for a lock: other threads run, signals are handled, and nothing is left behind."""

import os
import signal
import threading

import pytest

from conftest import PATIENCE_S, until
from linklock import Lock, TimeOutError

INTERRUPTED = """
    import signal, sys
    from linklock import Lock
    # Tests that run in the background ignore this signal, and their children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    lock = Lock(sys.argv[1])
    print("waiting", flush=True)
    try:
        lock.lock()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    sys.stdin.readline()
    lock.lock()
    print("got it", flush=True)
"""


def test_an_interrupt_ends_the_wait_and_leaves_no_claim(path, names, holder, child):
    held = names()
    waiter = child(INTERRUPTED, path)
    assert waiter.line() == "waiting"
    wait_for_claims_of(waiter, names)
    os.kill(waiter.process.pid, signal.SIGINT)
    assert waiter.line() == "interrupted"
    # A loaded machine may remove the claim a moment later.
    until(lambda: names() == held, "an interrupted wait has left a claim")
    waiter.tell()
    holder.tell()
    assert waiter.line() == "got it"


def wait_for_claims_of(waiter, names):
    until(lambda: any(f"|{waiter.process.pid}|" in name for name in names()), "no claim: it does not wait")


def test_a_signal_handler_runs_while_the_main_thread_waits(path, holder):
    handled = threading.Event()

    def on_signal(*_):
        handled.set()
        holder.tell()

    before = signal.signal(signal.SIGALRM, on_signal)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with Lock(path, default_timeout=PATIENCE_S):
            assert handled.is_set()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_other_threads_run_while_one_waits(path, holder):
    waiter = threading.Thread(target=lambda: Lock(path).lock(timeout=PATIENCE_S))
    waiter.start()
    holder.tell()
    assert holder.line() == "released"
    waiter.join(PATIENCE_S)
    assert not waiter.is_alive()


def test_a_time_out_names_the_holder_and_leaves_no_claim(path, names, holder):
    held = names()
    with pytest.raises(TimeOutError, match=f"process {holder.process.pid} on .* holds it"):
        Lock(path).lock(timeout=0.1)
    assert names() == held


def test_threads_with_one_object_each_exclude_each_other(path):
    count = 0

    def increment():
        nonlocal count
        lock = Lock(path)
        for _ in range(20):
            with lock:
                seen = count
                threading.Event().wait(0.0005)
                count = seen + 1

    threads = [threading.Thread(target=increment) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count == 80


AT_EXIT = """
    import sys, threading, time
    from linklock import Lock
    kept = Lock(sys.argv[1] + ".kept", 20, keep_alive=True, on_lost=print)
    kept.lock()
    for _ in range(8):
        threading.Thread(target=Lock(sys.argv[1]).lock, daemon=True).start()
    time.sleep(0.2)
    print("ends", flush=True)
"""


def test_an_interpreter_ends_in_order_while_daemon_threads_wait(path, holder, child):
    for _ in range(5):
        other = child(AT_EXIT, path)
        assert other.line() == "ends"
        assert other.end() == (0, "")


def test_with_a_queue_the_first_waiter_gets_the_lock(path, names, holder):
    order = []

    def contend(number):
        with Lock(path, default_timeout=PATIENCE_S, queue=True):
            order.append(number)

    contenders = [threading.Thread(target=contend, args=(number,)) for number in range(4)]
    for number, contender in enumerate(contenders, 1):
        contender.start()
        wait_for_tickets(path, number)
    holder.tell()
    for contender in contenders:
        contender.join()
    assert order == [0, 1, 2, 3]
    # Its claim goes after the lock.
    holder.process.wait(PATIENCE_S)
    assert names() == []


def wait_for_tickets(path, number):
    for _ in range(PATIENCE_S * 100):
        if os.path.isdir(f"{path}|queue") and len(os.listdir(f"{path}|queue")) == number:
            return
        threading.Event().wait(0.01)
    raise AssertionError("no ticket: it does not join the queue")
