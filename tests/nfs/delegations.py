"""Read delegations of NFS 4: a contender that has looked at a lock and is then cut off must not delay the holder.

If a client opens a file for reading, the server gives it a delegation, and recalls it when another client changes the file. If
the first client does not answer, the server makes the other one wait until the first one's lease expires: 10 s here, 90 s on
most servers.
"""

import subprocess
import time
from pathlib import Path

from peers import Refused
from world import EXPORT, NS, nfsvm, on_client, shown, until

# A server gives no delegation for some 50 s after its start.
FIRST_S = 150
# Long enough for a contender's first look and its next two polls.
LOOKS_S = 5
# Longer than the server's lease, for which a cut-off client's delegation delays others.
HELD_UP_S = 15
SHORT_LIFETIME_S = 8


def delegations():
    """How many delegations the server has given to clients."""
    states = [file.read_text() for file in Path("/proc/fs/nfsd/clients").glob("*/states")]
    return sum("type: deleg" in line for text in states for line in text.splitlines())


def can_show(world):
    """Whether a plain read of a file leads to a delegation. If not, the test would prove nothing. NFS 3 has none."""
    if world.version == "3":
        shown("NFS 3 has no delegations")
        return False
    name = f"{world.arenas[0].name}/plain"
    (EXPORT / name).write_text("anything")

    def is_given():
        # The server does not offer a delegation of the same file again soon, so the test repeats this.
        subprocess.run(on_client(2, "cat", f"/mnt/c2/{name}"), check=True, stdout=subprocess.DEVNULL)
        time.sleep(0.5)
        return delegations()

    until(is_given, "a plain reader gets a delegation", FIRST_S)
    Path(f"/mnt/c2/{name}").unlink()
    until(lambda: not delegations(), "the delegation of a removed file is returned")
    shown("a plain reader gets a delegation")
    return True


def looked(world, lifetime_s=60, grace_s=1):
    """For each arena: a waiter on client 2 that has looked at the lock, read its details, and called status."""
    waiters = [arena.peer(2, lifetime_s, grace_s) for arena in world.arenas]
    for arena, waiter in zip(world.arenas, waiters, strict=True):
        state = waiter.ask("details")[1]
        assert state == "held", f"{arena.protocol}: a reader sees the held lock as {state}"
        command = on_client(2, world.settings["programs"]["linklock"], "status", arena.path(2))
        status = subprocess.run(command, stdout=subprocess.PIPE).stdout
        assert b"held" in status, f"{arena.protocol}: status says {status}"
        waiter.tell("acquire")
    time.sleep(LOOKS_S)
    for arena, waiter in zip(world.arenas, waiters, strict=True):
        assert waiter.is_silent_for(0), f"{arena.protocol}: it did not wait"
    return waiters


def left_behind():
    """How many delegations the waiters have left behind. Each scenario is about the consequences."""
    left = delegations()
    shown(f"the waiters have left {left} delegations behind")
    return left


def looked_and_cut_off_while_the_holder_refreshes(world):
    """A refreshed lock with a short lifetime is not lost, although a waiter that has looked at it is cut off."""
    if not can_show(world):
        return
    holders = [arena.peer(1) for arena in world.arenas]
    for holder in holders:
        holder.ask("acquire")
    waiters = looked(world)
    left = left_behind()
    nfsvm("partition", 2)
    # Not before the partition: then the waiter would return its delegation, and get no other for a while.
    for holder in holders:
        holder.tell("refresh", SHORT_LIFETIME_S * 1000)
    lost = []
    for arena, holder in zip(world.arenas, holders, strict=True):
        try:
            holder.answer()
            holder.ask("keep-alive")
        except Refused as e:
            lost.append(f"{arena.protocol}: {e}")
    time.sleep(HELD_UP_S)
    for arena, holder in zip(world.arenas, holders, strict=True):
        try:
            holder.ask("release")
        except Refused as e:
            lost.append(f"{arena.protocol}: {e}")
    assert not lost, f"lost with {left} delegations left behind: {lost}"
    world.heal(2)
    for waiter in waiters:
        waiter.answer()
        waiter.ask("release")
    shown("both locks stay held, and the waiters acquire them after the partition")
    assert not left, f"{left} delegations were left behind"


def looked_and_cut_off_while_the_holder_releases(world):
    """A waiter that has looked and is cut off does not delay a release. So no late release removes a successor's lock."""
    if not can_show(world):
        return
    holders = [arena.peer(1, lifetime_s=20, grace_s=1) for arena in world.arenas]
    for holder in holders:
        holder.ask("acquire")
    looked(world)
    left = left_behind()
    expiries = [arena.expiry_ns() for arena in world.arenas]
    nfsvm("partition", 2)
    successors = [arena.peer(3, grace_s=1) for arena in world.arenas]
    for holder, successor in zip(holders, successors, strict=True):
        holder.tell("release")
        successor.tell("acquire")
    taken = [successor.answer() for successor in successors]
    answers = []
    for holder in holders:
        try:
            answers.append(holder.answer()[0])
        except Refused as e:
            answers.append(f"refused: {e}")
    time.sleep(LOOKS_S)
    wrong = []
    for arena, expiry, (_, since, token), answer in zip(world.arenas, expiries, taken, answers, strict=True):
        if answer != "released":
            wrong.append(f"{arena.protocol}: the release was {answer}")
        if int(since) >= expiry:
            wrong.append(f"{arena.protocol}: its successor acquired it only by a break")
        if arena.holder() != token:
            wrong.append(f"{arena.protocol}: the successor's lock was removed")
    assert not wrong, f"with {left} delegations left behind: {wrong}"
    for successor in successors:
        successor.ask("refresh", 60_000)
        successor.ask("release")
    shown("both are released before their expiry, and their successors keep them")
    assert not left, f"{left} delegations were left behind"


def looked_and_cut_off_while_another_breaks(world):
    """A contender that has looked at an expired lock and is cut off does not delay the breaker."""
    if not can_show(world):
        return
    expired = [arena.peer(1, lifetime_s=40, grace_s=1) for arena in world.arenas]
    for peer in expired:
        peer.ask("acquire")
    looked(world)
    left = left_behind()
    nfsvm("partition", 2)
    expiries = [arena.expiry_ns() for arena in world.arenas]
    breakers = [arena.peer(3, grace_s=1) for arena in world.arenas]
    for breaker in breakers:
        breaker.tell("acquire")
    taken = [breaker.answer() for breaker in breakers]
    late_s = [(int(since) - expiry) / NS for (_, since, _), expiry in zip(taken, expiries, strict=True)]
    for arena, breaker, (_, _, token) in zip(world.arenas, breakers, taken, strict=True):
        breaker.ask("refresh", 60_000)
        assert arena.holder() == token, f"{arena.protocol}: the breaker's lock was removed"
        breaker.ask("release")
    shown(f"both are broken, {late_s[0]:.1f} and {late_s[1]:.1f} s after their expiry")
    assert not left, f"{left} delegations were left behind"


SCENARIOS = [
    looked_and_cut_off_while_the_holder_refreshes,
    looked_and_cut_off_while_the_holder_releases,
    looked_and_cut_off_while_another_breaks,
]
