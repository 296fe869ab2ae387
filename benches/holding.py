"""Holders: a thousand locks kept alive for a minute, and recovery after a holder was killed. Contestants that wait until a
lock is old run all at once, since they mostly sleep. A killed holder is reaped at once: peers take a zombie for a living
process."""

import os
import random
import statistics
import tempfile
import threading
import time

from measure import Company, Goal, cpu_s, status_of

LOCKS, MINUTE_S = 1000, 60
KEEPERS = ("linklock link", "linklock dir", "linklock Python", "linklock as filelock", "filelock lease", "proper-lockfile")

# Recovery is measured up to these seconds; filelock's soft read-write lock takes 90.
PATIENCE_S = 110
# Waiters of these notice a holder's end at once. They run one after the other, so many times.
QUICK = ("linklock link", "linklock dir", "linklock Python", "linklock Python dir", "linklock as filelock")
QUICK += ("linklock as filelock, link", "File::lock", "fasteners", "filelock flock", "filelock read-write", "filelock soft")
QUICK += ("filelock soft, polls every 1 ms", "filelock lease")
# The kernel frees these, so they have no meaning on another machine of its own.
BY_KERNEL = ("File::lock", "fasteners", "filelock flock", "filelock read-write")
RECOVERIES = 10
GOAL_SAME_MACHINE = Goal(100, " ms")
# The holder is killed so many seconds after its acquisition.
HELD_S = 1
LIFETIME_AND_GRACE_S = 25 - HELD_S


def run(table, field):
    with tempfile.TemporaryDirectory(prefix="linklock-compare-") as directory:
        recoveries = {}
        contestants = [c for c in field.chosen() if not c.name.startswith("floor")]
        for n, contestant in enumerate(field.chosen(*QUICK) * RECOVERIES):
            recover(recoveries, contestant.name, contestant, f"{directory}/quick{n}")
        here = [(c.name, c, f"{directory}/{n}") for n, c in enumerate(contestants) if c.name not in QUICK]
        # This needs rights for namespaces.
        movable = contestants if os.geteuid() == 0 else []
        there = [
            (f"{c.name}, of another machine", c, f"{directory}/far{n}", c.elsewhere())
            for n, c in enumerate(movable)
            if not (c.name in BY_KERNEL or any(words in c.name for words in ("polls every", "Python", "as filelock")))
        ]
        threads = [threading.Thread(target=recover, args=(recoveries, *args)) for args in here + there]
        keepers = table.section(f"{LOCKS} locks kept alive for a minute: threads; processor; memory")
        keep(keepers, field.chosen(*KEEPERS), directory, threads)
        for thread in threads:
            thread.join()
    add_recoveries(table, recoveries)


def keep(section, contestants, directory, meanwhile):
    with Company() as company:
        peers = {c.name: company.start(c, f"{directory}/kept-{c.name}") for c in contestants}
        for peer in peers.values():
            peer.ask("keep", LOCKS)
        for thread in meanwhile:
            thread.start()
        before = {name: cpu_s(peer.pid) for name, peer in peers.items()}
        time.sleep(MINUTE_S)
        for name, peer in peers.items():
            used = (cpu_s(peer.pid) - before[name]) / MINUTE_S * 100
            threads, memory = status_of(peer.pid, "Threads"), status_of(peer.pid, "VmRSS") / 1024
            section.add(name, f"{threads}; {used:.2f} %; {memory:.0f} MB", used)


def recover(recoveries, name, contestant, path, waits=None):
    """Notes the milliseconds from the holder's death to the waiter's acquisition; nothing if the waiter does not get the lock."""
    with Company() as company:
        holder, waiter = company.start(contestant, path), company.start(waits or contestant, path)
        # Both have started and loaded their library.
        waiter.ask("cycles", 1)
        holder.ask("acquire")
        waiter.tell("acquire")
        # No multiple of anybody's pause between two looks.
        time.sleep(HELD_S + random.uniform(0, 0.2))
        took_it_early = not waiter.is_silent_for(0.001)
        killed = time.time_ns()
        holder.kill()
        millis = recoveries.setdefault(name, [])
        if took_it_early:
            millis.append(0)
        elif not waiter.is_silent_for(PATIENCE_S):
            millis.append((int(waiter.answer()[1]) - killed) / 1e6)


def add_recoveries(table, recoveries):
    ratios = f"linklock's and flufl.lock's, against the {LIFETIME_AND_GRACE_S} s that were left of lifetime and grace"
    section = table.section("recovery of a killed holder's lock", ratios)
    for name, millis in sorted(recoveries.items(), key=lambda item: max(item[1], default=float("inf"))):
        if not millis:
            section.add(name, f"not after {PATIENCE_S} s")
        elif millis == [0]:
            section.add(name, "before the holder's death")
        elif name in QUICK:
            median, slowest = statistics.median(millis), max(millis)
            goal = GOAL_SAME_MACHINE if name.startswith("linklock") else None
            shown = f"{median:.1f} ms, the slowest of {len(millis)} {slowest:.1f} ms"
            section.add(name, shown, median, None, goal, compared=slowest)
        else:
            has_that_lifetime = name.startswith(("linklock", "flufl.lock"))
            ratio = millis[0] / 1000 / LIFETIME_AND_GRACE_S if has_that_lifetime else None
            section.add(name, f"{millis[0] / 1000:.2f} s", millis[0], ratio)
