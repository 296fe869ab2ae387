"""A process that counts under huggingface_hub's lock. It finds linklock where huggingface_hub imports filelock.

    hub_peer.py LOCK COUNTER TURNS DIARY

It answers `started`, and after a line `counted`. The diary gets a line at the beginning and at the end of each turn.
"""

import os
import sys
import time

from huggingface_hub.utils import WeakFileLock


def turn(lock, counter, diary, token):
    asked = time.time_ns()
    with WeakFileLock(lock):
        print("since", token, time.time_ns(), asked, file=diary, flush=True)
        # The real filelock would have a file there.
        assert os.path.isdir(lock), "huggingface_hub does not use linklock"
        with open(counter) as file:
            count = int(file.read())
        with open(counter, "w") as file:
            file.write(str(count + 1))
        print("until", token, time.time_ns(), file=diary, flush=True)


def main():
    lock, counter, turns, diary = sys.argv[1:]
    print("started", flush=True)
    sys.stdin.readline()
    with open(diary, "a") as file:
        for number in range(int(turns)):
            turn(lock, counter, file, f"lock|{os.getpid()}|{number}")
    print("counted", flush=True)


main()
