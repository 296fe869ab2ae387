"""filelock's soft lock as a contender that does what its standard input says, as far as benches/python asks it."""

import sys
import time

from filelock import SoftFileLock

lock = SoftFileLock(sys.argv[1])
for line in sys.stdin:
    _, number = line.split()
    started = time.perf_counter_ns()
    for _ in range(int(number)):
        lock.acquire()
        lock.release()
    print((time.perf_counter_ns() - started) // int(number), flush=True)
