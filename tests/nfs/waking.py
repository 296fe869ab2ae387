"""Faults of what wakes the next holder on another client: the bell, the queue's links and the datagrams. They give speed and
nothing else, so each fault costs a waiter a few polls at most, or what is abandoned its lifetime."""

import contextlib
import os
import signal
import subprocess
import time

from world import ALL_CLIENTS, CLIENTS, nfsvm, on_client, shown, until

# A poll takes 2 s at most. The rest is for a busy machine that emulates another.
FEW_POLLS_S = 20
# How long bells and tickets are valid after their last change.
LIFETIME_S = 60


@contextlib.contextmanager
def silence_between_clients():
    """No packet passes between clients. Those to the server pass: the others' addresses get a link-layer address that nobody has,
    so that packets are lost without an error, as at a firewall."""
    pairs = [(own, other) for own in ALL_CLIENTS for other in ALL_CLIENTS if own != other]

    def neighbours(*words):
        for own, other in pairs:
            command = ["ip", "neigh", words[0], f"10.99.0.{other}", *words[1:], "dev", "eth0"]
            subprocess.run(on_client(own, *command), check=True)

    neighbours("replace", "lladdr", "02:00:00:00:00:fd", "nud", "permanent")
    try:
        ping = on_client(1, "bash", "-c", "timeout 2 bash -c 'echo > /dev/tcp/10.99.0.2/9'")
        assert subprocess.run(ping, stderr=subprocess.DEVNULL).returncode == 124, "packets between the clients are not lost"
        yield
    finally:
        neighbours("del")


def acquired_soon(peer, what, limit_s=FEW_POLLS_S):
    """Waits for the pending acquisition, and asserts that it does not take longer. Returns how long it took."""
    began = time.monotonic()
    peer.answer()
    took_s = time.monotonic() - began
    assert took_s < limit_s, f"{what}: acquired only after {took_s:.1f} s"
    return took_s


def queue_up(arena, lock, clients, **how):
    """A holder on the first client, and contenders on the others that wait for it in this order."""
    holder, *waiters = [arena.peer(client, lifetime_s=600, lock=lock, **how) for client in clients]
    holder.ask("acquire")
    for nth, waiter in enumerate(waiters, 1):
        waiter.tell("acquire")
        if how.get("queue"):
            until(lambda nth=nth: len(tickets(arena, lock)) == nth, f"{arena.protocol}: the contender queues up")
        else:
            until(lambda: arena.bell(lock), f"{arena.protocol}: a waiter hangs a bell")
    return holder, waiters


def tickets(arena, lock):
    with contextlib.suppress(FileNotFoundError):
        return [name for name in os.listdir(arena.directory() / f"{lock}|queue") if not name.endswith(".next")]
    return []


def one_after_the_other(arena, holder, waiters):
    """Lets all have the lock. Returns the longest hand-off."""
    longest_s = 0
    holder.ask("release")
    left = list(waiters)
    while left:
        began = time.monotonic()
        answered = lambda: next((peer for peer in left if not peer.is_silent_for(0)), None)
        next_one = until(answered, f"{arena.protocol}: a hand-off")
        took_s = time.monotonic() - began
        assert took_s < FEW_POLLS_S, f"{arena.protocol}: a hand-off took {took_s:.1f} s"
        longest_s = max(longest_s, took_s)
        next_one.answer()
        next_one.ask("release")
        left.remove(next_one)
    return longest_s


# The ways to be woken that are tested: the name of a lock, and the contenders' options.
WAYS = {"bell": {}, "datagram": {"wake": "udp"}, "queue": {"queue": True}, "queue-datagram": {"queue": True, "wake": "udp"}}


def datagrams_are_lost(world):
    """A firewall between the clients loses all datagrams: the waiters poll, and all acquire the lock."""
    with silence_between_clients():
        for arena in world.arenas:
            for lock in ("datagram", "queue-datagram"):
                holder, waiters = queue_up(arena, lock, CLIENTS, **WAYS[lock])
                longest_s = one_after_the_other(arena, holder, waiters)
                shown(f"{arena.protocol}, {lock}: the longest hand-off took {longest_s:.1f} s")
            arena.check_nothing_is_left()


def server_restarts_while_all_wait(world):
    """nfsd is restarted while contenders wait with a bell, in the queue, and for datagrams."""
    crowds = [(arena, lock, *queue_up(arena, lock, CLIENTS, **how)) for arena in world.arenas for lock, how in WAYS.items()]
    nfsvm("restart-nfsd")
    for arena, lock, holder, waiters in crowds:
        holder.ask("refresh", 60_000)  # The server is back.
        longest_s = one_after_the_other(arena, holder, waiters)
        shown(f"{arena.protocol}, {lock}: the longest hand-off took {longest_s:.1f} s")
    for arena in world.arenas:
        arena.check_nothing_is_left()


def next_one_is_killed_or_stopped(world):
    """The next holder is killed, or stopped for longer than its bell is valid: the others acquire the lock; nothing is left."""
    cases = []
    for arena in world.arenas:
        for lock, how in WAYS.items():
            for end in (signal.SIGKILL, signal.SIGSTOP):
                name = f"{lock}-{end.name}"
                holder, (gone, other) = queue_up(arena, name, CLIENTS, **how)
                cases.append((arena, name, how, end, holder, gone, other))
    for *_, end, _, gone, _ in cases:
        os.kill(gone.pid, end)
    ended = time.monotonic()
    for _, _, _, _, holder, _, _ in cases:
        holder.ask("release")
    # Who is behind another in the queue waits until that one's ticket has expired.
    for in_queue in (False, True):
        for arena, name, how, _, _, _, other in cases:
            if how.get("queue", False) == in_queue:
                limit_s = FEW_POLLS_S + (LIFETIME_S if in_queue else 0)
                acquired_soon(other, f"{arena.protocol}, {name}", max(1, ended + limit_s - time.monotonic()))
        who = "in queues" if in_queue else "not in queues"
        shown(f"after {time.monotonic() - ended:.1f} s those {who} have acquired their locks")
    # The others hold their locks. Now a bell of one that is gone has expired, and the next waiter removes it.
    time.sleep(max(0, ended + LIFETIME_S + 2 - time.monotonic()))
    cleaners = [(arena.peer(1, lock=name, **how), arena, name) for arena, name, how, *_ in cases]
    for cleaner, _, _ in cleaners:
        cleaner.tell("acquire")
    time.sleep(5)
    for (*_, end, _, gone, other), (cleaner, arena, name) in zip(cases, cleaners, strict=True):
        other.ask("release")
        acquired_soon(cleaner, f"{arena.protocol}, {name}, at last")
        cleaner.ask("release")
        if end == signal.SIGSTOP:
            os.kill(gone.pid, signal.SIGCONT)
            acquired_soon(gone, f"{arena.protocol}, {name}, continued")
            gone.ask("release")
    for arena in world.arenas:
        # Others remove the claim of a killed contender once it has expired, with its lifetime.
        killed = [f"{name}|c2|{gone.pid}|" for _, name, _, _, _, gone, _ in cases]
        arena.check_nothing_is_left(*(name for name in os.listdir(arena.directory()) if name.startswith(tuple(killed))))
    shown(f"{len(cases)} locks: all contenders that live acquire them, and nothing is left")


SCENARIOS = [datagrams_are_lost, server_restarts_while_all_wait, next_one_is_killed_or_stopped]
