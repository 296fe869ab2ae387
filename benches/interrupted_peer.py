"""Waits for a lock again and again, and tells when each wait was ended by an interrupt."""

import sys
import time

from linklock import Lock

lock = Lock(sys.argv[1])
while True:
    try:
        print("waiting", flush=True)
        lock.lock()
    except KeyboardInterrupt:
        print("interrupted", time.time_ns(), sep="\t", flush=True)
