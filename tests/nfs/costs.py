"""Counts the requests that a client sends, and says what mount options change: the tables of docs/nfs.md.

What is counted is what nfsvm's `rpc` tells. What a cycle costs does not depend on how fast the machine is.
"""

import random
import statistics
import subprocess
import time

from world import CLIENTS, NS, nfsvm, shown

# A cycle may not come to cost more than this: what it costs on NFS 3.
MOST_OF_A_CYCLE = {"link": 8, "dir": 10}
MINUTE_S = 60
HANDOFFS = 15
# A client of NFS 4.0 says with it that it is there, however many wait: more often than on other servers, since nfsvm's forgets
# its clients after 10 s already.
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
    """Requests of the first cycle that a process makes in a directory new to its client, and of a later one (median): one that
    the emulated machine holds up asks again what it was told too long ago."""
    first, *later = (counted(client, peer, "cycles", 1, mount=mount) for _ in range(16))
    return first, statistics.median(later)


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
    pairs = pairs_of(world)
    waits = a_minute_of_waiting(pairs)
    rows = {}
    for (arena, _, _), sent, medians_s in zip(pairs, waits, handoffs_s(pairs, HANDOFFS), strict=True):
        rows[arena.protocol] = (sent, medians_s)
        shown(f"{arena.protocol}: {sent} requests in a minute of waiting; a hand-off takes {medians_s:.2f} s (median)")
    world.note("waits", rows)


def pairs_of(world, mounts=(None, None, None)):
    """(arena, holder, waiter) for each; the waiters are the only users of their clients, or of these mounts of theirs."""
    return [
        (arena, arena.peer(1, lifetime_s=3600, mount=mounts[0]), arena.peer(client, mount=mounts[client - 1]))
        for arena, client in zip(world.arenas, (2, 3), strict=True)
    ]


def a_minute_of_waiting(pairs):
    """How many requests each waiter sends."""
    for _, holder, waiter in pairs:
        holder.ask("acquire")
        waiter.tell("acquire")
    time.sleep(5)  # What is done once, and not with every poll, is over.
    before = [requests(2), requests(3)]
    time.sleep(MINUTE_S)
    sent = [after - first for after, first in zip((requests(2), requests(3)), before, strict=True)]
    for _, holder, waiter in pairs:
        holder.ask("release")
        waiter.answer()
        waiter.ask("release")
    return sent


def handoffs_s(pairs, rounds):
    """The median time from the beginning of a release to the acquisition on another client, which has waited."""
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


# Beside what nfsvm mounts with: hard, and on NFS 3 nolock.
OPTIONS = ["", "noac", "actimeo=1", "lookupcache=none", "local_lock=all", "soft"]


def mount_options(world):
    """What mount options cost: the requests of a cycle, and how long a hand-off takes."""
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
