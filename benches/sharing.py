"""Readers side by side, and slots."""

import statistics
import tempfile
import time

from measure import Company, Goal, median_ratio

BESIDE = (0, 1, 100)
ROUNDS, ROUND_NS = 20, 8_000_000
GOAL_READER = Goal(1.5)

CONTENDERS, SLOTS, HOLD_US = 64, 8, 20_000
TURNS = 6
GOAL_SLOTS = Goal(6, at_least=True)


def run(table, field):
    for others in BESIDE:
        section = table.section(f"a reader's cycle beside {others} others that read", "against an exclusive cycle of linklock dir")
        with tempfile.TemporaryDirectory(prefix="linklock-compare-") as directory:
            readers(section, field, directory, others)
    with tempfile.TemporaryDirectory(prefix="linklock-compare-") as directory:
        slots(table, field, directory)


def readers(section, field, directory, others):
    with Company() as company:
        measured = {"linklock dir": company.start(field.by_name["linklock dir"], f"{directory}/alone")}
        for number, (name, contestant) in enumerate(field.readers.items()):
            path = f"{directory}/{number}"
            measured[name] = company.start(contestant, path)
            # filelock's holders run a thread each, which wakes up now and then.
            beside = [company.start(contestant, path) for _ in range(others)]
            for peer in beside:
                peer.tell("acquire")
            for peer in beside:
                peer.answer()
        first = {name: min(int(peer.ask("cycles", 5)[0]) for _ in range(3)) for name, peer in measured.items()}
        micros = {name: [] for name in measured}
        for _ in range(ROUNDS):
            for name, peer in measured.items():
                micros[name].append(int(peer.ask("cycles", max(1, ROUND_NS // first[name]))[0]) / 1000)
    for name, times in micros.items():
        goal = GOAL_READER if name == "linklock dir, shared" else None
        ratio = None if name == "linklock dir" else median_ratio(times, micros["linklock dir"])
        section.add(name, f"{statistics.median(times):.1f} us", statistics.median(times), ratio, goal)


def slots(table, field, directory):
    title = f"{CONTENDERS} processes that hold it for {HOLD_US / 1000:g} ms: turns a second"
    section = table.section(title, "against one slot")
    rates = {number: turns_per_second(field.slots, f"{directory}/{number}", number) for number in (1, SLOTS)}
    section.add("linklock link, 1 slot", f"{rates[1]:.0f}/s", rates[1])
    section.add(f"linklock link, {SLOTS} slots", f"{rates[SLOTS]:.0f}/s", rates[SLOTS], rates[SLOTS] / rates[1], GOAL_SLOTS)


def turns_per_second(contestant, path, number):
    with Company() as company:
        peers = [company.start(contestant, path, str(number)) for _ in range(CONTENDERS)]
        for peer in peers:
            peer.ask("cycles", 1)
        started = time.monotonic()
        for peer in peers:
            peer.tell("holds", TURNS, HOLD_US)
        for peer in peers:
            peer.answer()
        return CONTENDERS * TURNS / (time.monotonic() - started)
