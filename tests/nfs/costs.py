"""Counts the requests that a client sends, and says what mount options change: the tables of docs/nfs.md.

What is counted is what nfsvm's `rpc` tells. Counts do not depend on how fast the machine is.
"""

import random
import statistics
import subprocess
import time

from world import NS, nfsvm, shown

# A cycle may not come to cost more than this: what it costs on NFS 3.
MOST_OF_A_CYCLE = {"link": 10, "dir": 14}
MINUTE_S = 60
HANDOFFS = 9


def requests(client, mount=None):
    command = ["nfsvm", "rpc", str(client), *([mount] if mount else [])]
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return sum(int(line.split()[1]) for line in out.splitlines())


def counted(client, peer, *command, mount=None):
    before = requests(client, mount)
    peer.ask(*command)
    return requests(client, mount) - before


def cycles(client, peer, mount=None):
    """Requests of the first cycle that a process makes in a directory new to its client, and of each later one."""
    first = counted(client, peer, "cycles", 1, mount=mount)
    return first, counted(client, peer, "cycles", 10, mount=mount) / 10


def requests_of_a_cycle(world):
    """What one acquire and release costs, beside flufl.lock, the first time and each later time."""
    flufl = world.add_arena("link", "flufl")
    rows = {arena.protocol: cycles(1, arena.peer(1)) for arena in world.arenas[:-1]}
    rows["flufl.lock"] = cycles(1, flufl.flufl_peer(1, lifetime_s=3600))
    for name, (first, repeated) in rows.items():
        shown(f"{name}: {first} requests the first time, then {repeated}")
    if world.version == "3":
        for name, most in MOST_OF_A_CYCLE.items():
            assert rows[name][1] <= most, f"{name}: a cycle sends {rows[name][1]} requests, more than {most}"
    world.note("cycles", rows)


def requests_while_waiting(world):
    """What a minute of waiting costs, and how long a hand-off to another client takes."""
    pairs = [(arena, arena.peer(1, lifetime_s=3600), arena.peer(2)) for arena in world.arenas]
    rows = {}
    for arena, holder, waiter in pairs:
        sent = a_minute_of_waiting(holder, waiter)
        median_s = statistics.median(handoff_s(holder, waiter) for _ in range(HANDOFFS))
        rows[arena.protocol] = (sent, median_s)
        shown(f"{arena.protocol}: {sent} requests in a minute of waiting; a hand-off takes {median_s:.2f} s (median)")
    world.note("waits", rows)


def a_minute_of_waiting(holder, waiter):
    holder.ask("acquire")
    waiter.tell("acquire")
    time.sleep(5)  # What is done once, and not with every poll, is over.
    before = requests(2)
    time.sleep(MINUTE_S)
    sent = requests(2) - before
    holder.ask("release")
    waiter.answer()
    waiter.ask("release")
    return sent


def handoff_s(holder, waiter):
    """From the beginning of a release on one client to the acquisition on another, which has waited for a while."""
    holder.ask("acquire")
    waiter.tell("acquire")
    time.sleep(random.uniform(2.5, 5.7))
    released = int(holder.ask("release")[1])
    acquired = int(waiter.answer()[1])
    waiter.ask("release")
    return (acquired - released) / NS


# Beside what nfsvm mounts with: hard, and on NFS 3 nolock.
OPTIONS = ["", "noac", "actimeo=1", "lookupcache=none", "lookupcache=positive", "local_lock=all", "soft,timeo=20,retrans=1"]


def mount_options(world):
    """What mount options cost: the requests of a cycle, and how long a hand-off takes."""
    rows = []
    for n, options in enumerate(OPTIONS):
        mounts = [f"/mnt/o{n}-{client}" for client in (1, 2)]
        for client, mount in zip((1, 2), mounts, strict=True):
            nfsvm("mount", client, mount, world.version, options)
        cells = []
        for arena in world.arenas:
            holder, waiter = (arena.peer(client, mount=mount) for client, mount in zip((1, 2), mounts, strict=True))
            cells += [cycles(1, holder, mounts[0])[1], statistics.median(handoff_s(holder, waiter) for _ in range(3))]
        rows.append((options, cells))
        shown("{}: `link` {} requests, {:.2f} s; `dir` {} requests, {:.2f} s".format(options or "none", *cells))
    world.note("options", rows)
