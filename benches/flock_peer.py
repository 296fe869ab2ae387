"""flock(2) as a contender that does what its standard input says, as linklock's example `contend` does."""

import fcntl
import os
import sys
import time

file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
for line in sys.stdin:
    began = time.time_ns()
    if line == "acquire\n":
        fcntl.flock(file, fcntl.LOCK_EX)
        print("acquired", time.time_ns(), sep="\t", flush=True)
    else:
        fcntl.flock(file, fcntl.LOCK_UN)
        print("released", began, sep="\t", flush=True)
