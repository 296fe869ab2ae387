"""Counts the requests that a client sends, also with different mount options, for the tables of docs/nfs.md.

nfsvm's `rpc` counts them. The number of requests of a cycle does not depend on the speed of the machine.
"""

import random
import statistics
import subprocess
import time

from world import CLIENTS, NS, nfsvm, shown

# The most requests that a cycle may send on NFS 3, and on NFS 4.
MOST_OF_A_CYCLE = {"3": {"link": 8, "dir": 10}, "4": {"link": 9, "dir": 11}}
MINUTE_S = 60
HANDOFFS = 15
# A client of NFS 4.0 renews its lease by it, however many wait. It does so more often here than on other servers, since
# nfsvm's lease is only 10 s.
OF_THE_MOUNT = "RENEW"


def requests(client, mount=None):
    command = ["nfsvm", "rpc", str(client), *([mount] if mount else [])]
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    sent = dict(line.split() for line in out.splitlines())
    return sum(int(count) for what, count in sent.items() if what != OF_THE_MOUNT)


def counted(client, peer, *command, mount=None):
    before = requests(client, mount)
    peer.ask(*command)
    return requests(client, mount) - before


def cycles(client, peer, mount=None):
    """Requests of the first cycle in a directory that is new to the client, and of a later cycle. The latter is a median, since
    a delay of the emulated machine makes a cycle ask again."""
    first, *later = (counted(client, peer, "cycles", 1, mount=mount) for _ in range(16))
    return first, statistics.median(later)


def requests_of_a_cycle(world):
    """The requests of one acquire and release, the first time and later, beside flufl.lock's."""
    flufl = world.add_arena("link", "flufl")
    rows = {arena.protocol: cycles(1, arena.peer(1)) for arena in world.arenas[:-1]}
    rows["flufl.lock"] = cycles(1, flufl.flufl_peer(1, lifetime_s=3600))
    for name, (first, repeated) in rows.items():
        shown(f"{name}: {first} requests the first time, then {repeated}")
    for name, most in MOST_OF_A_CYCLE[world.version[0]].items():
        assert rows[name][1] <= most, f"{name}: a cycle sends {rows[name][1]} requests, more than {most}"
    world.note("cycles", rows)


def requests_while_waiting(world):
    """The requests of a minute of waiting, and the time of a hand-off to another client."""
    pairs = pairs_of(world)
    waits = a_minute_of_waiting(pairs)
    rows = {}
    for (arena, _, _), sent, medians_s in zip(pairs, waits, handoffs_s(pairs, HANDOFFS), strict=True):
        rows[arena.protocol] = (sent, medians_s)
        shown(f"{arena.protocol}: {sent} requests in a minute of waiting; a hand-off takes {medians_s:.2f} s (median)")
    world.note("waits", rows)


def pairs_of(world, mounts=(None, None, None)):
    """(arena, holder, waiter) for each arena. No other process uses the waiters' clients, or these mounts of theirs."""
    return [
        (arena, arena.peer(1, lifetime_s=3600, mount=mounts[0]), arena.peer(client, mount=mounts[client - 1]))
        for arena, client in zip(world.arenas, (2, 3), strict=True)
    ]


def a_minute_of_waiting(pairs):
    """The number of requests that each waiter sends."""
    for _, holder, waiter in pairs:
        holder.ask("acquire")
        waiter.tell("acquire")
    time.sleep(5)  # The requests that do not belong to a poll are done.
    before = [requests(2), requests(3)]
    time.sleep(MINUTE_S)
    sent = [after - first for after, first in zip((requests(2), requests(3)), before, strict=True)]
    for _, holder, waiter in pairs:
        holder.ask("release")
        waiter.answer()
        waiter.ask("release")
    return sent


def handoffs_s(pairs, rounds):
    """The median time from the beginning of a release to the acquisition by a waiter on another client."""
    lasted = [[] for _ in pairs]
    for _ in range(rounds):
        for _, holder, waiter in pairs:
            holder.ask("acquire")
            waiter.tell("acquire")
        time.sleep(random.uniform(2.5, 5.7))
        released = [int(holder.ask("release")[1]) for _, holder, _ in pairs]
        for (_, _, waiter), since, all_of_them in zip(pairs, released, lasted, strict=True):
            all_of_them.append((int(waiter.answer()[1]) - since) / NS)
            waiter.ask("release")
    return [statistics.median(all_of_them) for all_of_them in lasted]


# In addition to nfsvm's options: hard, and on NFS 3 nolock.
OPTIONS = ["", "noac", "actimeo=1", "lookupcache=none", "local_lock=all", "soft"]


def mount_options(world):
    """The effect of mount options: the requests of a cycle, and the time of a hand-off."""
    rows = []
    for n, options in enumerate(OPTIONS):
        mounts = [f"/mnt/o{n}-{client}" for client in CLIENTS]
        for client, mount in zip(CLIENTS, mounts, strict=True):
            nfsvm("mount", client, mount, world.version, options)
        pairs = pairs_of(world, mounts)
        repeated = [cycles(1, holder, mounts[0])[1] for _, holder, _ in pairs]
        link_s, dir_s = handoffs_s(pairs, 3)
        rows.append((options, [repeated[0], link_s, repeated[1], dir_s]))
        shown(f"{options or 'none'}: `link` {repeated[0]} requests, {link_s:.2f} s; `dir` {repeated[1]}, {dir_s:.2f} s")
    world.note("options", rows)
