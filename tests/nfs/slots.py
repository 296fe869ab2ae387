"""Slots: of each one holder on all clients, also while a client that holds all of them is cut off."""

import time

from costs import requests
from diary import lock_of, overlaps
from faults import refused
from world import NS, nfsvm, shown, until

SLOTS = 2
HOLD_MS, PAUSE_MS, TURNS_MS = 100, 5, 6000
LIFETIME_S, GRACE_S = 6, 1
# While nothing changes: a poll each 1.45 s at least, with one request that tells of all slots. On NFS 4, where a release of `dir` does not
# show in the directory, each poll asks for each slot too.
IDLE_S, POLLS_MOST = 20, 14
REQUESTS_OF_A_POLL = {"link": 1, "dir": 1 + SLOTS}
# The bell is looked at now and then.
OTHERS_MOST = 4


def slots(world):
    """2 clients with 3 processes each that want one of 2 slots: none has two holders, and all are in use."""
    for arena in world.arenas:
        crowd = [arena.peer(client, slots=SLOTS) for client in (1, 2) for _ in "abc"]
        for peer in crowd:
            peer.ask("details")  # It has started.
        for peer in crowd:
            peer.tell("take-turns", HOLD_MS, PAUSE_MS, TURNS_MS)
        turns = [int(peer.answer()[1]) for peer in crowd]
        # Nobody is promised a turn in so short a time, but a client whose processes all go without is left out.
        assert any(turns[:3]) and any(turns[3:]), f"{arena.protocol}: a client had no slot: {turns}"
        together = side_by_side(arena)
        assert together, f"{arena.protocol}: no two slots were held at once"
        arena.check_nothing_is_left()
        shown(f"{arena.protocol}: {sum(turns)} turns ({turns}); {together} times both slots were held at once")


def side_by_side(arena):
    """How often a slot was acquired while another was held."""
    held = [(since, till, lock_of(token)) for since, till, token, _ in arena.beliefs()]
    return sum(one[0] < other[0] < one[1] and one[2] != other[2] for one in held for other in held)


def cut_off_slots(world):
    """A client that holds all slots is cut off: another has one once its lease is over, and keeps it when the client is back."""
    for arena in world.arenas:
        held = [arena.peer(1, LIFETIME_S, GRACE_S, slots=SLOTS) for _ in range(SLOTS)]
        tokens = [peer.ask("acquire")[2] for peer in held]
        for peer in held:
            peer.ask("keep-alive")
        waiting = arena.peer(2, grace_s=GRACE_S, slots=SLOTS)
        waiting.tell("acquire")
        until(arena.bell, "it waits")
        nfsvm("partition", 1)
        time.sleep(1)  # A refresh that was sent before has arrived.
        expiries = {lock_of(token): arena.expiry_ns(lock_of(token), token) for token in tokens}
        _, since, token = waiting.answer()
        expiry = expiries[lock_of(token)]
        assert int(since) > expiry, f"{arena.protocol}: a slot was acquired before its lease was over"
        world.heal(1)
        for peer in held:
            refused(peer, "Lost", "release")
        waiting.ask("refresh", 60_000)
        waiting.ask("release")
        shown(f"{arena.protocol}: a slot was acquired {(int(since) - expiry) / NS:.1f} s after its lease")
        arena.dismiss()


def requests_for_slots(world):
    """The requests of a client on which one waits for slots that others keep."""
    waits = {}
    for client, arena in enumerate(world.arenas, 2):
        held = [arena.peer(1, lifetime_s=3600, slots=SLOTS) for _ in range(SLOTS)]
        for peer in held:
            peer.ask("acquire")
        waiting = arena.peer(client, lifetime_s=3600, slots=SLOTS)
        waiting.tell("acquire")
        until(arena.bell, "it waits")
        waits[client] = (arena, held, waiting)
    time.sleep(12)  # Until they look no more often than others.
    before = {client: (requests(client), time.monotonic()) for client in waits}
    time.sleep(IDLE_S)
    for client, (arena, held, waiting) in waits.items():
        sent, since = before[client]
        sent = requests(client) - sent
        polls = POLLS_MOST * (time.monotonic() - since) / IDLE_S
        each = 1 if world.version == "3" else REQUESTS_OF_A_POLL[arena.protocol]
        most = polls * each + OTHERS_MOST
        shown(f"{arena.protocol}: {sent} requests in {IDLE_S} s of waiting for {SLOTS} slots")
        assert sent <= most, f"{arena.protocol}: {sent} requests, more than {most:.0f}"
        for peer in held:
            peer.ask("release")
        waiting.answer()
        waiting.ask("release")
        arena.check_nothing_is_left()


SCENARIOS = [slots, cut_off_slots, requests_for_slots]
