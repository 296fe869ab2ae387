"""flufl.lock as a contender that obeys its standard input: the counterpart of linklock's example `contend`.

    flufl_peer.py LOCKPATH [LIFETIME_MS GRACE_MS] [--short-poll]

Commands and answers are those of crates/linklock/examples/contend.rs, with two differences: `details` gives the lock path
in place of the token, which flufl.lock does not show; and `cycles N` answers the nanoseconds that each of N cycles of lock
and unlock took.

The arguments can change two things of flufl.lock. GRACE_MS replaces its CLOCK_SLOP of 10 s, which has no setting.
--short-poll replaces its pause of 0 to 2 s between two attempts by 1 to 10 ms, by overriding the method that sleeps.
Otherwise a test of a thousand hand-offs would take half an hour.
"""

import argparse
import contextlib
import os
import random
import sys
import time
from datetime import timedelta

from flufl.lock import Lock, LockError, _lockfile

PROGRAM = "flufl"


class ShortPoll(Lock):
    def _sleep(self):
        time.sleep(random.uniform(0.001, 0.010))


def increment(file):
    """The same as `increment` in contend.rs."""
    with open(file) as f:
        words = f.read().split(" ")
    count, turns, last = words if len(words) == 3 else (0, 0, PROGRAM)
    time.sleep(0.0005)
    with open(file, "w") as f:
        f.write(f"{int(count) + 1} {int(turns) + (last != PROGRAM)} {PROGRAM}")


def pause():
    time.sleep(random.uniform(0, 0.004))


def details(lock):
    try:
        host, pid, path = lock.details
    except LockError:
        return ["details", "free"]
    return ["details", "held", host, pid, path, round(lock.expiration.timestamp() * 10**6) * 1000]


def obey(lock, command, *args):
    match command:
        case "acquire":
            lock.lock()
            return ["acquired", time.time_ns()]
        case "refresh":
            lock.refresh(timedelta(milliseconds=int(args[0])))
            return ["refreshed"]
        case "release":
            began = time.time_ns()
            lock.unlock()
            return ["released", began]
        case "details":
            return details(lock)
        case "count" | "count-unlocked":
            for _ in range(int(args[1])):
                if command == "count":
                    with lock:
                        increment(args[0])
                else:
                    increment(args[0])
                pause()
            return ["counted"]
        case "count-while":
            with contextlib.suppress(FileNotFoundError):
                while True:
                    tally = os.open(args[1], os.O_WRONLY | os.O_APPEND)
                    with lock:
                        increment(args[0])
                    pause()
                    os.write(tally, f"{os.getpid()}\n".encode())
                    os.close(tally)
            return ["counted"]
        case "cycles":
            started = time.perf_counter_ns()
            for _ in range(int(args[0])):
                lock.lock()
                lock.unlock()
            return [(time.perf_counter_ns() - started) // int(args[0])]
    return ["error", "Other", f"not a command: {command}"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("lifetime_ms", nargs="?", type=int)
    parser.add_argument("grace_ms", nargs="?", type=int)
    parser.add_argument("--short-poll", action="store_true")
    args = parser.parse_args()
    lifetime = args.lifetime_ms and timedelta(milliseconds=args.lifetime_ms)
    if args.grace_ms is not None:
        _lockfile.CLOCK_SLOP = timedelta(milliseconds=args.grace_ms)
    lock = (ShortPoll if args.short_poll else Lock)(os.path.abspath(args.path), lifetime)
    for line in sys.stdin:
        try:
            answer = obey(lock, *line.rstrip("\n").split("\t"))
        except (LockError, OSError) as e:
            answer = ["error", type(e).__name__, str(e).replace("\n", " ")]
        print(*answer, sep="\t", flush=True)


main()
