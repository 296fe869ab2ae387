"""A contestant in benches/compare that is written in Python. contestant.rs describes its commands and answers.

    contestant.py KIND PATH

If Ctrl-C ends a wait, the answer is `interrupted`, when. KIND-kept is the same lock, kept alive, and asked to tell of
its loss. More commands, which contestant.js has too: `told`, whether it has done so; `release-lost`, which answers with the
error, or `silent`.
"""

import ctypes
import itertools
import signal
import sys
import time


class Methods:
    """A lock with the library's own names for acquire and release."""

    def __init__(self, lock, acquire="acquire", release="release"):
        self.lock = lock
        self.acquire = getattr(lock, acquire)
        self.release = getattr(lock, release)


class LibLockFile:
    """liblockfile by its C interface: with the holder's pid, and with as many attempts as needed."""

    WITH_PID = 16

    def __init__(self, path):
        self._library = ctypes.CDLL("liblockfile.so.1")
        self._path = path.encode()

    def acquire(self):
        error = self._library.lockfile_create(self._path, 1_000_000, self.WITH_PID)
        if error:
            raise OSError(f"lockfile_create: {error}")

    def release(self):
        error = self._library.lockfile_remove(self._path)
        if error:
            raise OSError(f"lockfile_remove: {error}")


class Flock:
    def __init__(self, path):
        import fcntl

        file = open(path, "w")
        self.acquire = lambda: fcntl.flock(file, fcntl.LOCK_EX)
        self.release = lambda: fcntl.flock(file, fcntl.LOCK_UN)


def lock_of(kind, path, on_lost=None, keep_alive=False):
    """A library is imported only if it takes part. Its lock calls `on_lost` if it can, and is kept alive if it may be."""
    kind = kind.removesuffix("-kept")
    match kind:
        case "linklock" | "linklock-dir":
            from linklock import Lock

            protocol = "dir" if kind == "linklock-dir" else "link"
            return Methods(Lock(path, keep_alive=keep_alive, protocol=protocol, on_lost=on_lost), "lock", "unlock")
        case "linklock-filelock" | "linklock-filelock-link":
            from linklock.filelock import FileLock

            protocol = "link" if kind == "linklock-filelock-link" else "dir"
            return Methods(FileLock(path, protocol=protocol, on_lost=on_lost))
        case "flufl.lock":
            from flufl.lock import Lock

            return Methods(Lock(path), "lock", "unlock")
        case "linklock-shared":
            from linklock import Lock

            return Methods(Lock(path, protocol="dir").shared(), "lock", "unlock")
        case "filelock-soft-read":
            from filelock import SoftReadWriteLock

            return Methods(SoftReadWriteLock(path), "acquire_read")
        case "filelock-soft-write":
            from filelock import SoftReadWriteLock

            return Methods(SoftReadWriteLock(path, on_compromise=on_lost), "acquire_write")
        case "filelock-write":
            from filelock import ReadWriteLock

            return Methods(ReadWriteLock(path), "acquire_write")
        case "filelock-soft":
            from filelock import SoftFileLock

            return Methods(SoftFileLock(path))
        case "filelock-soft-1ms":
            from filelock import SoftFileLock

            return Methods(SoftFileLock(path, poll_interval=0.001))
        case "filelock-strict":
            from filelock import StrictSoftFileLock

            return Methods(StrictSoftFileLock(path))
        case "filelock-lease":
            from filelock import SoftFileLease

            return Methods(SoftFileLease(path, on_compromise=on_lost))
        case "filelock-flock":
            from filelock import FileLock

            return Methods(FileLock(path))
        case "fasteners":
            from fasteners import InterProcessLock

            return Methods(InterProcessLock(path))
        case "liblockfile":
            return LibLockFile(path)
        case "flock":
            return Flock(path)
    raise SystemExit(f"{kind}: no such kind here")


def take_turns(lock, number, hold_us, file):
    for _ in range(number):
        lock.acquire()
        with open(file) as f:
            count = int(f.read())
        with open(file, "w") as f:
            f.write(str(count + 1))
        if hold_us:
            time.sleep(hold_us / 1e6)
        lock.release()


def release_after_loss(lock):
    try:
        lock.release()
    except Exception as e:
        return type(e).__name__
    return "silent"


def obey(kind, path, lock, kept, told, command, *args):
    match command:
        case "cycles":
            number = int(args[0])
            started = time.perf_counter_ns()
            for _ in itertools.repeat(None, number):
                lock.acquire()
                lock.release()
            return [(time.perf_counter_ns() - started) // number]
        case "lifetime":
            # filelock's lifetime breaks live locks.
            if kind in ("linklock", "linklock-dir", "flufl.lock"):
                lock.lock.lifetime = int(args[0])
            return ["set"]
        case "acquire":
            lock.acquire()
            return ["acquired", time.time_ns()]
        case "release":
            began = time.time_ns()
            lock.release()
            return ["released", began]
        case "told":
            return ["yes" if told else "no"]
        case "release-lost":
            return [release_after_loss(lock)]
        case "turns":
            take_turns(lock, int(args[0]), int(args[1]), args[2])
            return ["done", time.time_ns()]
        case "keep":
            for n in range(int(args[0])):
                kept.append(lock_of(kind, f"{path}{n}", keep_alive=True))
                kept[-1].acquire()
            return ["kept"]
    raise SystemExit(f"{command}: not a command")


def main():
    kind, path = sys.argv[1:]
    # A shell without job control has what it starts in the background ignore Ctrl-C, and Python would leave it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    kept, told = [], []
    is_kept = kind.endswith("-kept")
    # Being told may cost something, so only these ask for it.
    lock = lock_of(kind, path, told.append if is_kept else None, keep_alive=is_kept)
    for line in sys.stdin:
        try:
            answer = obey(kind, path, lock, kept, told, *line.rstrip("\n").split("\t"))
        except KeyboardInterrupt:
            answer = ["interrupted", time.time_ns()]
        print(*answer, sep="\t", flush=True)


main()
