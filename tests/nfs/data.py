"""What a client reads of a file that another client has written under the lock.

The lock is right in each of these tests: the page cache of Linux's NFS client is what may be old. They show which ways of reading do
not use it. docs/nfs.md tells users.
"""

import mmap
import os
import threading

from delegations import FIRST_S, delegations
from world import nfsvm, shown, until

OLD, NEW = 1, 2
# A file holds one number, with leading zeros.
DIGITS = 8


def plainly(fd):
    return int(os.pread(fd, DIGITS, 0))


def without_cached_pages(fd):
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    return plainly(fd)


def past_the_cache(fd):
    with mmap.mmap(-1, mmap.PAGESIZE) as page:
        os.preadv(fd, [page], 0)
        return int(page[:DIGITS])


PLAINLY = "a plain read"
# How a reader opens the file beside O_RDWR, and reads it.
WAYS = {
    PLAINLY: (0, plainly),
    "a read after posix_fadvise(POSIX_FADV_DONTNEED)": (0, without_cached_pages),
    "a read with O_DIRECT": (os.O_DIRECT, past_the_cache),
}
FRESH = " and ".join(way for way in WAYS if way != PLAINLY)


class Counters:
    """A file for each way of reading, and two contenders that read and write them under one lock."""

    def __init__(self, world):
        self.arena = next(arena for arena in world.arenas if arena.protocol == "dir")
        self.peers = {client: self.arena.peer(client) for client in (1, 2)}
        self.files = {way: self.arena.path(1, f"counter-{number}") for number, way in enumerate(WAYS)}
        self.write_all(1, OLD)

    def write_all(self, client, number):
        """At once, since each may have to wait for a client that is cut off."""
        self.peers[client].ask("acquire")
        files = [of_client(file, client) for file in self.files.values()]
        writers = [threading.Thread(target=write, args=(file, number)) for file in files]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        self.peers[client].ask("release")

    def read_all(self):
        """Whether a plain read shows old data. The other ways must show what the server has."""
        seen = {way: read(file, way) for way, file in self.files.items()}
        on_server = [int((self.arena.directory() / os.path.basename(file)).read_text()) for file in self.files.values()]
        assert set(on_server) == {NEW}, f"the server has other numbers: {on_server}"
        wrong = {way: number for way, number in seen.items() if number != NEW and way != PLAINLY}
        assert not wrong, f"not the server's number, {NEW}: {wrong}"
        return seen[PLAINLY] == OLD


def of_client(path, client):
    return path.replace("/mnt/c1/", f"/mnt/c{client}/")


def write(path, number):
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    os.pread(fd, DIGITS, 0)
    os.pwrite(fd, b"%0*d" % (DIGITS, number), 0)
    os.fsync(fd)
    os.close(fd)


def read(path, way):
    flags, how = WAYS[way]
    fd = os.open(path, os.O_RDWR | flags)
    try:
        return how(fd)
    finally:
        os.close(fd)


def data_that_another_process_keeps_open(world):
    """While another process of a client has a file open to write it, that client does not see what another client has written."""
    counters = Counters(world)
    kept = [os.open(file, os.O_RDWR) for file in counters.files.values()]
    try:
        counters.write_all(2, NEW)
        counters.peers[1].ask("acquire")
        assert counters.read_all(), "a plain read shows the server's number: is the client's cache no longer old?"
        counters.peers[1].ask("release")
    finally:
        for fd in kept:
            os.close(fd)
    shown(f"EXPECTED: a plain read under the lock shows old data; {FRESH} do not")


def data_after_a_revoked_delegation(world):
    """A client that is cut off loses its read delegations. Until it notices, it trusts its cache."""
    if world.version == "3":
        shown("NFS 3 has no delegations")
        return
    counters = Counters(world)

    def all_are_delegated():
        for file in counters.files.values():
            read(file, PLAINLY)
        return delegations() >= len(WAYS)

    # Even to a client that has just written the files.
    until(all_are_delegated, "the server delegates all files", FIRST_S)
    nfsvm("partition", 1)
    counters.write_all(2, NEW)
    world.heal(1)
    if counters.read_all():
        shown(f"EXPECTED: a plain read shows old data; {FRESH} do not")
    else:
        shown("the client noticed the revocation before its first read, so this run proves nothing")


SCENARIOS = [data_that_another_process_keeps_open, data_after_a_revoked_delegation]
