"""Holders: a thousand locks kept alive for a minute, and recovery after a holder was killed. Contestants that wait until a
lock is old run all at once, since they mostly sleep."""

import signal
import statistics
import tempfile
import threading
import time

from measure import Company, Goal, cpu_s, status_of

LOCKS, MINUTE_S = 1000, 60
KEEPERS = ("linklock link", "linklock dir", "linklock Python", "linklock as filelock", "filelock lease", "proper-lockfile")

# Recovery is measured up to these seconds.
PATIENCE_S = 60
# Waiters of these notice a holder's end at once. They run one after the other, so many times.
QUICK = ("linklock link", "linklock dir", "linklock Python", "linklock Python dir", "linklock as filelock", "linklock as filelock, link")
QUICK += ("File::lock", "fasteners", "filelock flock")
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
        ours = enumerate(field.chosen("linklock link", "linklock dir"))
        there = [(f"{c.name}, of another machine", c, f"{directory}/far{n}", "elsewhere") for n, c in ours]
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


def recover(recoveries, name, contestant, path, *host):
    """Notes the milliseconds from the holder's death to the waiter's acquisition; nothing if the waiter does not get the lock."""
    with Company() as company:
        holder, waiter = company.start(contestant, path), company.start(contestant, path, *host)
        holder.ask("acquire")
        waiter.tell("acquire")
        time.sleep(HELD_S)
        holder.process.send_signal(signal.SIGKILL)
        killed = time.time_ns()
        millis = recoveries.setdefault(name, [])
        if not waiter.is_silent_for(PATIENCE_S):
            millis.append((int(waiter.answer()[1]) - killed) / 1e6)


def add_recoveries(table, recoveries):
    section = table.section("recovery of a killed holder's lock", f"the {LIFETIME_AND_GRACE_S} s that were left of lifetime and grace")
    for name, millis in sorted(recoveries.items(), key=lambda item: max(item[1], default=float("inf"))):
        if not millis:
            section.add(name, f"not after {PATIENCE_S} s")
        elif name in QUICK:
            median, slowest = statistics.median(millis), max(millis)
            goal = GOAL_SAME_MACHINE if name.startswith("linklock") else None
            shown = f"{median:.1f} ms, the slowest of {len(millis)} {slowest:.1f} ms"
            section.add(name, shown, median, None, goal, compared=slowest)
        else:
            section.add(name, f"{millis[0] / 1000:.2f} s", millis[0], millis[0] / 1000 / LIFETIME_AND_GRACE_S)
