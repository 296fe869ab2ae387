"""Many contenders on two clients: no update is lost, and no contender starves."""

from collections import Counter
from pathlib import Path

from world import NS, nfsvm, shown, until

PROCESSES_OF_EACH_CLIENT = 3
SHARE = 2
TURNS_OF_THE_HUB = 3
# A contender that has not had its share by then is starved.
STARVED_S = 300


def contend(world, queue=False):
    """All increment one number on NFS under the lock, until each of them has had its share."""
    crowds = []
    for arena in world.arenas:
        (arena.directory() / "counter").write_text("0 0 nobody")
        tally = Path(f"/run/tally-{arena.name}")
        tally.write_text("")
        crowd = [(client, peer) for client in (1, 2) for peer in peers_of(arena, client, queue)]
        for _, peer in crowd:
            peer.ask("details")  # It has started.
        for client, peer in crowd:
            peer.tell("count-while", f"/mnt/c{client}/{arena.name}/counter", tally)
        crowds.append((arena, tally, [peer for _, peer in crowd]))
    for arena, tally, crowd in crowds:
        until(
            lambda tally=tally, crowd=crowd: all(increments_by(tally)[peer.pid] >= SHARE for peer in crowd),
            f"{arena.protocol}: all have their share of {SHARE} increments",
            STARVED_S,
        )
        done = tally.rename(f"{tally}-done")
        for peer in crowd:
            peer.answer()
        reported = sum(increments_by(done).values())
        counted = int((arena.directory() / "counter").read_text().split(" ")[0])
        assert counted == reported, f"{arena.protocol}: {reported - counted} of {reported} increments were lost"
        arena.check_nothing_is_left("counter")
        longest_ns = max(since - asked for since, _, _, asked in arena.beliefs())
        shown(
            f"{arena.protocol}: {len(crowd)} processes on two clients lose none of {reported} increments; the most by one are "
            f"{max(increments_by(done).values())}, the fewest {min(increments_by(done).values())}; "
            f"the longest wait was {longest_ns / NS:.1f} s"
        )


def peers_of(arena, client, queue):
    of_linklock = [arena.peer(client, queue=queue) for _ in range(PROCESSES_OF_EACH_CLIENT - 1)]
    if arena.protocol == "dir" or queue:
        return [*of_linklock, arena.peer(client, queue=queue)]
    # If flufl.lock waits longer than its lifetime and slop, it has a race of its own. So its lifetime is long.
    return [*of_linklock, arena.flufl_peer(client, lifetime_s=3600)]


def increments_by(tally):
    return Counter(int(pid) for pid in tally.read_text().split())


def contention(world):
    """2 clients with 3 processes each; for `link`, one of them is flufl.lock."""
    contend(world)


def contention_with_loss_and_delay(world):
    """The same while packets are lost or late."""
    for client in (1, 2):
        nfsvm("netem", client, "delay", "10ms", "5ms", "loss", "1%")
    contend(world)


def contention_in_a_queue(world):
    """The same with linklock alone, whose contenders acquire the lock in the order of their arrival."""
    contend(world, queue=True)


def contention_of_huggingface_hub(world):
    """2 clients with 2 processes each of a program that imports filelock, and gets linklock's locks."""
    arena = next(arena for arena in world.arenas if arena.protocol == "dir")
    counter = arena.directory() / "counter"
    counter.write_text("0")
    crowd = [arena.hub_peer(client, TURNS_OF_THE_HUB) for client in (1, 2) for _ in "ab"]
    for peer in crowd:
        peer.answer()
    for peer in crowd:
        peer.tell()
    for peer in crowd:
        peer.answer()
    counted, expected = int(counter.read_text()), len(crowd) * TURNS_OF_THE_HUB
    assert counted == expected == len(arena.beliefs()), f"{expected - counted} of {expected} increments were lost"
    arena.check_nothing_is_left("counter")
    shown(f"{len(crowd)} processes on two clients lose none of {counted} increments under huggingface_hub's lock")


SCENARIOS = [contention, contention_with_loss_and_delay, contention_in_a_queue, contention_of_huggingface_hub]
