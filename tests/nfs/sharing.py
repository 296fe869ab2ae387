"""Shared locks: readers on two clients beside no writer, also while a client is cut off, or dead."""

import os
import time
from pathlib import Path

from aim import Aim
from contention import STARVED_S, increments_by
from faults import refused
from waking import acquired_soon, one_after_the_other
from world import NS, nfsvm, shown, until

SHARE = 2
READ_MS = 150
# Of the readers that are cut off or killed. A lease must not end before all of them are in their places.
LIFETIME_S = 6
GRACE_S = 1


def arena_of(world):
    return next(arena for arena in world.arenas if arena.protocol == "dir")


def readers_and_writers(world):
    """2 clients with 3 readers and a writer each: no writer beside anybody, readers side by side, and all have their share."""
    arena = arena_of(world)
    (arena.directory() / "counter").write_text("0 0 nobody")
    tally = Path(f"/run/tally-{arena.name}")
    tally.write_text("")
    crowd = [(client, shared, arena.peer(client, shared=shared)) for client in (1, 2) for shared in (True, True, True, False)]
    for *_, peer in crowd:
        peer.ask("details")  # It has started.
    for client, shared, peer in crowd:
        counter = f"/mnt/c{client}/{arena.name}/counter"
        peer.tell(*(["watch-while", counter, tally, READ_MS] if shared else ["count-while", counter, tally]))
    until(
        lambda: all(increments_by(tally)[peer.pid] >= SHARE for *_, peer in crowd),
        f"all have their share of {SHARE} turns",
        STARVED_S,
    )
    done = tally.rename(f"{tally}-done")
    for *_, peer in crowd:
        peer.answer()
    turns = increments_by(done)
    counted = int((arena.directory() / "counter").read_text().split(" ")[0])
    written = sum(turns[peer.pid] for _, shared, peer in crowd if not shared)
    assert counted == written, f"{written - counted} of {written} increments were lost"
    pairs = [[client_of(held[2]) for held in pair] for pair in arena.sharers()]
    across = sum(one != other for one, other in pairs)
    assert across, f"of {len(pairs)} times that two readers held the lock at once, none was across clients"
    arena.check_nothing_is_left("counter")
    shown(
        f"{sum(turns.values())} turns, {written} of them by writers: none beside another's; readers met {len(pairs)} times, "
        f"{across} of them across clients"
    )


def client_of(token):
    return token.split("|")[1]


def cut_off_readers(world):
    """Readers are cut off while they read, release, refresh and join: a writer acquires the lock once their leases are over, and
    keeps it when they are back."""
    arena = arena_of(world)
    others = [arena.peer(2, shared=True) for _ in "ab"]
    for peer in others:
        peer.ask("acquire")
    joining = arena.peer(1, shared=True)
    aims = [stopped(joining, ["acquire"], "rename", lambda _, to: "/lock/" in to)]
    kept, releasing, refreshing = cut_off = [arena.peer(1, LIFETIME_S, GRACE_S, shared=True) for _ in "abc"]
    tokens = [peer.ask("acquire")[2] for peer in cut_off]
    kept.ask("keep-alive")
    aims.append(stopped(releasing, ["release"], "unlink", arena.is_what_tells_the_holder))
    aims.append(stopped(refreshing, ["refresh", 60_000], "utimensat", lambda _: True))
    assert len(arena.holders()) == 5, f"not all readers share the lock: {arena.holders()}"
    writer, other_writer = (arena.peer(client, grace_s=GRACE_S) for client in (2, 1))
    for peer in (writer, other_writer):
        peer.tell("acquire")
    until(arena.bell, "a writer waits")
    nfsvm("partition", 1)
    for aim in aims:
        aim.let_go()
    for peer in others:
        peer.ask("release")
    expiry = max(arena.expiry_ns(token=token) for token in arena.holders())
    _, since, token = writer.answer()
    assert int(since) > expiry, "the writer acquired the lock before the readers' leases were over"
    ceased = [till for _, till, whose, _ in arena.beliefs() if whose in tokens]
    assert len(ceased) == 3 and max(ceased) < int(since), "a reader that was cut off did not know that its lock is lost"
    world.heal(1)
    refused(releasing, "Lost")
    refused(refreshing, "Lost")
    refused(kept, "Lost", "release")
    # Its entry came to the directory of the writer, or was on its way there for too long.
    assert joining.is_silent_for(4), "a reader joined a writer"
    assert other_writer.is_silent_for(0), "two writers"
    assert arena.holders() == [token], f"beside the writer: {arena.holders()}"
    writer.ask("refresh", 60_000)
    one_after_the_other(arena, writer, [other_writer, joining])
    arena.check_nothing_is_left()
    shown(
        f"the writer acquired the lock {(int(since) - expiry) / NS:.1f} s after the last lease of a cut-off reader, and "
        f"{(int(since) - max(ceased)) / NS:.1f} s after that reader knew; late requests did no harm"
    )


def stopped(peer, command, *step):
    """Gives the command, and stops the peer before that step."""
    aim = Aim(peer)
    peer.tell(*command)
    aim.stop_before(*step)
    return aim


def killed_readers(world):
    """Killed readers are in a writer's way until their leases are over, if their machine is dead; else not at all."""
    arena = arena_of(world)
    for lock, lifetime_s, machine_dies in (("process", 600, False), ("machine", LIFETIME_S, True)):
        killed = [arena.peer(1, lifetime_s, GRACE_S, lock, shared=True) for _ in "abc"]
        lives = arena.peer(2, lock=lock, shared=True)
        lives.ask("acquire")
        tokens = [peer.ask("acquire")[2] for peer in killed]
        for peer in killed:
            peer.ask("keep-alive")
        writer = arena.peer(2 if machine_dies else 1, grace_s=GRACE_S, lock=lock)
        writer.tell("acquire")
        until(lambda lock=lock: arena.bell(lock), "a writer waits")
        if machine_dies:
            nfsvm("partition", 1)
        arena.kill(zip(killed, tokens, strict=True))
        lives.ask("release")
        # A killed one's last refresh was done, or is not.
        expiry = max(arena.expiry_ns(lock, token) for token in arena.holders(lock)) if machine_dies else time.time_ns()
        acquired_soon(writer, lock)
        took_s = (time.time_ns() - expiry) / NS
        assert not machine_dies or took_s > 0, f"a killed reader's lease was cut short by {-took_s:.1f} s"
        if machine_dies:
            world.heal(1)
            time.sleep(1)
        assert len(arena.holders(lock)) == 1, f"beside the writer: {arena.holders(lock)}"
        writer.ask("refresh", 60_000)
        writer.ask("release")
        shown(f"the writer acquired the lock {took_s:.1f} s after {'the last lease' if machine_dies else 'the last release'}")
    arena.check_nothing_is_left()


def joined_too_late(world):
    """The readers' directory is gone before a reader's move reaches the server, which may or may not know it still: the reader
    waits for the writer, and leaves nothing behind."""
    arena = arena_of(world)
    for lock, is_known in (("unknown", False), ("known", True)):
        reader, writer = arena.peer(2, lock=lock, shared=True), arena.peer(2, lock=lock)
        joining = arena.peer(1, lock=lock, shared=True)
        reader.ask("acquire")
        aim = stopped(joining, ["acquire"], "rename", lambda _, to, lock=lock: f"/{lock}/" in to)
        # A file that is open on the server itself stays known to it.
        known = os.open(arena.directory() / lock, os.O_RDONLY) if is_known else None
        reader.ask("release")
        token = writer.ask("acquire")[2]
        aim.let_go()
        assert joining.is_silent_for(2), f"{lock}: a reader joined a writer"
        if known is not None:
            os.close(known)
        assert arena.holders(lock) == [token], f"{lock}: beside the writer: {arena.holders(lock)}"
        writer.ask("release")
        acquired_soon(joining, lock)
        joining.ask("release")
        arena.check_nothing_is_left()
        shown(f"the directory is {lock} to the server: the reader acquires the lock after the writer, and nothing is left")


SCENARIOS = [readers_and_writers, cut_off_readers, joined_too_late, killed_readers]
