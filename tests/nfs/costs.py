"""Counts the requests that a client sends, also with different mount options, for the tables of docs/nfs.md.

nfsvm's `rpc` counts them. The number of requests of a cycle does not depend on the speed of the machine.
"""

import random
import statistics
import subprocess
import time
from collections import Counter

from diary import lock_of
from world import ALL_CLIENTS, NS, nfsvm, shown, until

# The most requests that a cycle may send on NFS 3 and on NFS 4, whether others are to be woken or not.
MOST_OF_A_CYCLE = {"3": {"link": 8, "dir": 10}, "4": {"link": 9, "dir": 11}}
# The same of a reader's cycle: alone, and beside another.
MOST_OF_A_READER = {"3": (10, 16), "4": (11, 19)}
# The most requests that a minute of waiting may send: of the waiter whose bell it is, and of another one beside it. The latter are
# 35 polls and two looks at the bell, and some more by chance.
MOST_OF_A_MINUTE = {"owner": 60, "other": 43}
MINUTE_S = 60
HANDOFFS = 15
HOLDS_S = (0.5, 2)
# A client of NFS 4.0 renews its lease by it, however many wait. It does so more often here than on other servers, since
# nfsvm's lease is only 10 s.
OF_THE_MOUNT = "RENEW"


def requests_by_kind(client, mount=None):
    command = ["nfsvm", "rpc", str(client), *([mount] if mount else [])]
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    sent = Counter({what: int(count) for what, count in map(str.split, out.splitlines())})
    del sent[OF_THE_MOUNT]
    return sent


def requests(client, mount=None):
    return requests_by_kind(client, mount).total()


def counted(client, peer, *command, mount=None):
    before = requests(client, mount)
    peer.ask(*command)
    return requests(client, mount) - before


def cycles(client, peer, mount=None, repeats=15):
    """Requests of the first cycle in a directory that is new to the client, and of a later cycle. The latter is a median, since
    a delay of the emulated machine makes a cycle ask again."""
    first, *later = (counted(client, peer, "cycles", 1, mount=mount) for _ in range(1 + repeats))
    return first, statistics.median(later)


def requests_of_a_cycle(world):
    """The requests of one acquire and release, the first time and later, with and without what wakes others, and flufl.lock's."""
    plain = list(world.arenas)
    woken = [world.add_arena(arena.protocol, "woken") for arena in plain]
    flufl = world.add_arena("link", "flufl")
    rows = {arena.protocol: cycles(1, arena.peer(1)) for arena in plain}
    with_all = {arena.protocol: cycles(1, arena.peer(1, queue=True, wake="udp"), repeats=9) for arena in woken}
    shared = cycles_of_readers(world)
    rows["flufl.lock"] = cycles(1, flufl.flufl_peer(1, lifetime_s=3600))
    for name, (first, repeated) in rows.items():
        shown(f"{name}: {first} requests the first time, then {repeated}")
    for name, (first, repeated) in with_all.items():
        shown(f"{name} with a queue and datagrams: {first} requests the first time, then {repeated}")
        most = rows[name][1]
        assert repeated <= most, f"{name}: a cycle sends {most} requests, but {repeated} with a queue and datagrams"
    for name, most in MOST_OF_A_CYCLE[world.version[0]].items():
        assert rows[name][1] <= most, f"{name}: a cycle sends {rows[name][1]} requests, more than {most}"
    world.note("cycles", rows)
    world.note("shared", shared)
    for most, (name, (first, repeated)) in zip(MOST_OF_A_READER[world.version[0]], shared.items(), strict=True):
        shown(f"{name}: {first} requests the first time, then {repeated}")
        assert repeated <= most, f"{name}: a cycle sends {repeated} requests, more than {most}"


def cycles_of_readers(world):
    """The same of a reader who is alone, and beside a reader on another client."""
    arena = world.add_arena("dir", "shared")
    beside = arena.peer(2, lock="beside", shared=True)
    beside.ask("acquire")
    return {
        "a reader who is alone": cycles(1, arena.peer(1, shared=True)),
        "a reader beside another": cycles(1, arena.peer(1, lock="beside", shared=True)),
    }


def requests_while_waiting(world):
    """The requests of a minute of waiting, and the time of a hand-off to another client."""
    sent = a_minute_of_waiting(world)
    rows = {}
    for arena in world.arenas:
        by_wake = [
            handoff_s(arena, *(arena.peer(client, wake=wake) for client in (1, 2)), HANDOFFS) for wake in ("poll", "udp")
        ]
        rows[arena.protocol] = (*sent[arena.protocol], *by_wake)
        owner, other, bell_s, udp_s = rows[arena.protocol]
        shown(
            f"{arena.protocol}: {owner} requests in a minute of waiting by the bell's owner, {other} by another; "
            f"a hand-off takes {bell_s:.2f} s, with a datagram {udp_s:.2f} s (medians)"
        )
    world.note("waits", rows)
    for protocol, (owner, other, *_) in rows.items():
        for who, count in (("owner", owner), ("other", other)):
            most = MOST_OF_A_MINUTE[who]
            assert count <= most, f"{protocol}: a minute of waiting sends {count} requests ({who}), more than {most}"


def a_minute_of_waiting(world):
    """{protocol: the number of requests that the bell's owner sends, and that another waiter sends}."""
    clients = {"link": (2, 3), "dir": (4, 5)}
    begun = []
    for arena in world.arenas:
        holder, owner, other = (arena.peer(k, lifetime_s=3600, lock="minute") for k in (1, *clients[arena.protocol]))
        holder.ask("acquire")
        started = [requests(client) for client in clients[arena.protocol]]
        owner.tell("acquire")
        until(lambda arena=arena: arena.bell("minute"), f"{arena.protocol}: a waiter hangs a bell")
        other.tell("acquire")
        begun.append((arena, started))
    time.sleep(5)  # The requests that do not belong to a poll are done.
    before = {client: (requests(client), time.monotonic()) for client in (2, 3, 4, 5)}
    time.sleep(MINUTE_S)
    sent = {
        client: round((requests(client) - count) * MINUTE_S / (time.monotonic() - since))
        for client, (count, since) in before.items()
    }
    for arena, started in begun:
        arena.dismiss()
        own = clients[arena.protocol]
        first = [before[client][0] - at for client, at in zip(own, started, strict=True)]
        shown(f"{arena.protocol}: the beginning of the wait takes {first[0]} and {first[1]} requests")
    return {arena.protocol: [sent[client] for client in clients[arena.protocol]] for arena in world.arenas}


def handoff_s(arena, holder, waiter, rounds, holds_s=HOLDS_S):
    """The median time from the beginning of a release to the acquisition by a waiter on another client."""
    lasted = []
    for _ in range(rounds):
        holder.ask("acquire")
        waiter.tell("acquire")
        time.sleep(random.uniform(*holds_s))
        assert waiter.is_silent_for(0), f"{arena.protocol}: the waiter acquired a lock that was held"
        released = int(holder.ask("release")[1])
        lasted.append((int(waiter.answer()[1]) - released) / NS)
        waiter.ask("release")
    return statistics.median(lasted)


LONG_HOLD_S = 12
LONG_HOLDS = 5


def handoffs_after_long_holds(world):
    """The time of a hand-off after a hold of 12 s, with a bell and with a datagram."""
    pairs = [
        (arena, wake, *(arena.peer(k, lock=wake, wake=wake) for k in (1, client)))
        for arena, clients in zip(world.arenas, ((2, 3), (4, 5)), strict=True)
        for client, wake in zip(clients, ("poll", "udp"), strict=True)
    ]
    lasted = {}
    for _ in range(LONG_HOLDS):
        for _, _, holder, waiter in pairs:
            holder.ask("acquire")
            waiter.tell("acquire")
        time.sleep(random.uniform(LONG_HOLD_S, LONG_HOLD_S + 2))
        for arena, wake, holder, waiter in pairs:
            released = int(holder.ask("release")[1])
            lasted.setdefault((arena.protocol, wake), []).append((int(waiter.answer()[1]) - released) / NS)
            waiter.ask("release")
    for (protocol, wake), all_of_them in lasted.items():
        each = ", ".join(f"{took_s:.2f}" for took_s in sorted(all_of_them))
        shown(f"{protocol}, {wake}: after {LONG_HOLD_S} s the hand-offs take {each} s")
    world.note("long", [(f"{protocol}, {wake}", statistics.median(times)) for (protocol, wake), times in lasted.items()])


# In addition to nfsvm's options: hard, and on NFS 3 nolock.
OPTIONS = ["", "noac", "actimeo=1", "lookupcache=none", "local_lock=all", "soft"]


def mount_options(world):
    """The effect of mount options: the requests of a cycle, and the time of a hand-off."""
    rows = []
    for n, options in enumerate(OPTIONS):
        mounts = [f"/mnt/o{n}-{client}" for client in (1, 2)]
        for client, mount in zip((1, 2), mounts, strict=True):
            nfsvm("mount", client, mount, world.version, options)
        measured = []
        for arena in world.arenas:
            holder, waiter = (arena.peer(client, mount=mount) for client, mount in zip((1, 2), mounts, strict=True))
            measured += [cycles(1, holder, mounts[0])[1], handoff_s(arena, holder, waiter, 5)]
        rows.append((options, measured))
        link, link_s, dir_, dir_s = measured
        shown(f"{options or 'none'}: `link` {link} requests, {link_s:.2f} s; `dir` {dir_}, {dir_s:.2f} s")
    world.note("options", rows)


TURNS_S = 12
HOLD_MS = 100
PAUSE_MS = 300


def turns(world):
    """One process on each client takes turns with the others in the queue, with polls and with datagrams."""
    rows = []
    for arena in world.arenas:
        for wake in ("poll", "udp"):
            peers = [arena.peer(client, lock=wake, queue=True, wake=wake) for client in ALL_CLIENTS]
            for peer in peers:
                peer.ask("details")  # It has started.
            for peer in peers:
                peer.tell("take-turns", HOLD_MS, PAUSE_MS, TURNS_S * 1000)
            answers = [peer.answer() for peer in peers]
            each = sorted(int(answer[1]) for answer in answers)
            longest_s = max(int(answer[2]) for answer in answers) / 1000
            rows.append((f"{arena.protocol}, {wake}", sum(each), each[0], each[-1], longest_s))
            waits = [(asked, since) for since, _, token, asked in arena.beliefs() if lock_of(token) == wake]
            asked, _ = max(waits, key=lambda wait: wait[1] - wait[0])
            shown(
                f"{arena.protocol}, {wake}: {sum(each)} turns in {TURNS_S} s, {each[0]} to {each[-1]} by each of "
                f"{len(each)} clients; the longest wait was {longest_s:.2f} s, from {(asked - min(waits)[0]) / NS:.1f} s on"
            )
            arena.dismiss()
        arena.check_nothing_is_left()
    world.note("turns", rows)


CROWD = 40
CROWD_S = 15


def of_all_clients():
    return sum(map(requests_by_kind, ALL_CLIENTS), Counter())


def requests_of_a_crowd(world):
    """The requests per second of 40 processes on all clients that wait for one lock, without and with a queue and datagrams."""
    rows = []
    for arena in world.arenas:
        for queue, wake in ((False, "poll"), (True, "poll"), (True, "udp")):
            lock = f"lock-{queue}-{wake}"
            holder = arena.peer(1, lifetime_s=3600, lock=lock)
            holder.ask("acquire")
            crowd = [arena.peer(ALL_CLIENTS[n % 5], lock=lock, queue=queue, wake=wake) for n in range(CROWD)]
            for peer in crowd:
                peer.ask("details")  # It has started.
            for peer in crowd:
                peer.tell("acquire")
            time.sleep(15)  # The requests that do not belong to a poll are done.
            before, since = of_all_clients(), time.monotonic()
            time.sleep(CROWD_S)
            sent, took_s = of_all_clients() - before, time.monotonic() - since
            rows.append((f"{arena.protocol}, {'queue, ' if queue else ''}{wake}", sent.total() / took_s))
            most = ", ".join(f"{what} {count / took_s:.1f}" for what, count in sent.most_common(4))
            shown(f"{rows[-1][0]}: {CROWD} waiters send {rows[-1][1]:.1f} requests a second: {most}")
            arena.dismiss()
    world.note("crowd", rows)
