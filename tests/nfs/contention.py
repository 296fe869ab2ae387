"""Many contenders on two clients: no update is lost, and nobody is starved."""

import time

from world import NS, nfsvm, shown

PROCESSES_OF_EACH_CLIENT = 3


def contend(world, rounds):
    """Everybody increments one number on NFS, under the lock, so many times."""
    crowd = []
    for arena in world.arenas:
        (arena.directory() / "counter").write_text("0 0 nobody")
        for client in (1, 2):
            peers = [arena.peer(client) for _ in range(PROCESSES_OF_EACH_CLIENT)]
            if arena.protocol == "link":
                # One that waits for longer than its lifetime and its slop would run into a race of its own.
                peers[-1] = arena.flufl_peer(client, lifetime_s=3600)
            crowd += [(arena, client, peer) for peer in peers]
    for _, _, peer in crowd:
        peer.ask("details")  # It has started.
    started = time.time_ns()
    for arena, client, peer in crowd:
        peer.tell("count", f"/mnt/c{client}/{arena.name}/counter", rounds)
    for _, _, peer in crowd:
        peer.answer()
    for arena in world.arenas:
        tell(arena, started, rounds)


def tell(arena, started, rounds):
    everybody = 2 * PROCESSES_OF_EACH_CLIENT
    text = (arena.directory() / "counter").read_text()
    counted = int(text.split(" ")[0])
    asked = everybody * rounds
    assert counted == asked, f"{arena.protocol}: {asked - counted} of {asked} increments were lost"
    arena.check_nothing_is_left("counter")
    beliefs = arena.beliefs()
    longest = max(since - asked for since, _, _, asked in beliefs) / NS
    lasted = (max(until for _, until, _, _ in beliefs) - started) / NS
    print(arena.protocol, "turns", text, [b[2].split("|")[1] + "/" + b[2].split("|")[2] for b in beliefs])
    shown(
        f"{arena.protocol}: {everybody} processes on two clients lose none of {asked} increments, in {lasted:.0f} s; "
        f"the longest wait for one was {longest:.1f} s"
    )


def contention(world):
    """2 clients, 3 processes each, among them for `link` one flufl.lock on each client."""
    contend(world, 6)


def contention_with_loss_and_delay(world):
    """The same while packets are lost and late."""
    for client in (1, 2):
        nfsvm("netem", client, "delay", "20ms", "10ms", "loss", "2%")
    contend(world, 3)


SCENARIOS = [contention, contention_with_loss_and_delay]
