"""With contention: hand-offs, turns of many processes, and how soon Ctrl-C ends a wait."""

import os
import random
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from measure import Company, Goal, hand_offs, percentile_99

BLOCKS, HAND_OFFS_A_BLOCK = 10, 30
# For a contestant that polls, several pairs run at once.
HAND_OFFS_OF_A_PAIR, OF_A_SLOW_PAIR, SLOW_S = 50, 5, 0.3
PROGRAM_HAND_OFFS = 40
GOAL_MEDIAN, GOAL_WORST = Goal(0.5, " ms"), Goal(5, " ms")

PROCESSES, TURNS, ROUNDS = 8, 50, 7
HOLDS_US = (0, 2000)
# Contestants that pause for long run one round, all of them at once.
SLOW = ("proper-lockfile", "liblockfile", "filelock soft read-write")
LIMIT_S = 40
GOAL_TURNS, GOAL_FAIRNESS = Goal(1.0), Goal(0.5, at_least=True)

INTERRUPTS = 50
GOAL_INTERRUPT = Goal(100, " ms")


def run(table, field):
    contestants = [c for c in field.chosen() if not c.name.startswith("floor")]
    for what in (local_hand_offs, program_hand_offs, turns, interrupts):
        with tempfile.TemporaryDirectory(prefix="linklock-compare-") as directory:
            what(table, field, contestants, directory)


def local_hand_offs(table, field, contestants, directory):
    """The time from the beginning of the release to the return of the waiting acquire."""
    section = table.section("hand-off on one machine: median, 99th percentile", "the slowest of all, in ms")
    millis = {c.name: [] for c in contestants}
    with Company() as company:
        pairs = [
            (c, [company.start(c, f"{directory}/{c.name}{n}") for _ in "ab"])
            for c in contestants
            for n in range(c.pairs or 1)
        ]
        quick = [(c, pair) for c, pair in pairs if not c.pairs]
        for _ in range(BLOCKS):
            for contestant, pair in random.sample(quick, len(quick)):
                hand_offs(pair, HAND_OFFS_A_BLOCK, millis[contestant.name], contestant.polls_s)
        with ThreadPoolExecutor(len(pairs)) as threads:
            for contestant, pair in pairs:
                if contestant.pairs:
                    number = HAND_OFFS_OF_A_PAIR if contestant.polls_s < SLOW_S else OF_A_SLOW_PAIR
                    threads.submit(hand_offs, pair, number, millis[contestant.name], contestant.polls_s)
    for name, times in millis.items():
        add_hand_offs(section, name, times, GOAL_MEDIAN if name.startswith("linklock") else None)


def add_hand_offs(section, name, millis, goal):
    median, worst = statistics.median(millis), percentile_99(millis)
    shown = f"{median:.2f}, {worst:.2f} ms" if len(millis) >= 100 else f"{median:.2f} ms, of {len(millis)}"
    section.add(name, shown, median, max(millis), goal, compared=median)
    if goal is GOAL_MEDIAN:
        section.add(f"{name}, 99th percentile", f"{worst:.2f} ms", None, None, GOAL_WORST, compared=worst)


def program_hand_offs(table, field, _, directory):
    """The time from the end of one command to the start of the next one, which prints the time."""
    if field.flock is None:
        return
    section = table.section("hand-off between commands: median, 99th percentile", "the slowest of all, in ms")
    # The first is the program as README installs it, if it could be built.
    name, program = next(iter(field.programs.items()))
    commands = {
        name: [program, "run", f"{directory}/program"],
        "flock(1)": [field.flock, f"{directory}/flock"],
    }
    millis = {name: [] for name in commands}
    for _ in range(PROGRAM_HAND_OFFS):
        for name, wrapper in commands.items():
            millis[name].append(command_hand_off_ms(wrapper))
    for name, times in millis.items():
        add_hand_offs(section, name, times, None)


def command_hand_off_ms(wrapper):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    # It holds the lock from its first echoed line until its input ends.
    holder = subprocess.Popen([*wrapper, shutil.which("cat")], **pipes)
    print("held", file=holder.stdin, flush=True)
    holder.stdout.readline()
    waiter = subprocess.Popen([*wrapper, shutil.which("date"), "+%s%N"], **pipes)
    time.sleep(random.uniform(0.02, 0.03))
    released = time.time_ns()
    holder.stdin.close()
    acquired = int(waiter.communicate()[0])
    holder.wait()
    holder.stdout.close()
    return (acquired - released) / 1e6


def turns(table, field, contestants, directory):
    """Each process acquires the lock, adds one to a number, and releases the lock."""
    for hold_us in HOLDS_US:
        held = f", held for {hold_us / 1000:g} ms" if hold_us else ""
        title = f"{PROCESSES} processes x {TURNS} turns{held}: all done; fairness: first done over last done"
        section = table.section(title, "against fasteners")
        seconds, fairness = {c.name: [] for c in contestants}, {c.name: [] for c in contestants}
        quick = [c for c in contestants if c.name not in SLOW]
        for round_ in range(ROUNDS):
            for contestant in random.sample(quick, len(quick)):
                note_turns(contestant, f"{directory}/{hold_us}-{round_}", hold_us, seconds, fairness)
        with ThreadPoolExecutor(len(SLOW)) as threads:
            for contestant in contestants:
                if contestant not in quick:
                    threads.submit(note_turns, contestant, f"{directory}/{hold_us}", hold_us, seconds, fairness)
        for name in seconds:
            add_turns(section, name, seconds[name], fairness[name], hold_us, seconds.get("fasteners"))


def note_turns(contestant, path, hold_us, seconds, fairness):
    number, lock = Path(f"{path}-{contestant.name}.number"), f"{path}-{contestant.name}.lock"
    number.write_text("0")
    with Company() as company:
        peers = [company.start(contestant, lock) for _ in range(PROCESSES)]
        for peer in peers:
            peer.ask("cycles", 1)
        started = time.time_ns()
        for peer in peers:
            peer.tell("turns", TURNS, hold_us, number)
        limit = time.monotonic() + LIMIT_S
        while any(peer.answers.empty() for peer in peers):
            if time.monotonic() > limit:
                return
            time.sleep(0.005)
        done = sorted(int(peer.answer()[1]) - started for peer in peers)
    counted = int(number.read_text())
    if counted != PROCESSES * TURNS:
        raise SystemExit(f"{contestant.name}: two processes held the lock at once: {counted} of {PROCESSES * TURNS} were counted")
    seconds[contestant.name].append(done[-1] / 1e9)
    fairness[contestant.name].append(done[0] / done[-1])


def add_turns(section, name, seconds, fairness, hold_us, fasteners):
    if not seconds:
        return section.add(name, f"not done after {LIMIT_S} s")
    total, fair = statistics.median(seconds), statistics.median(fairness)
    ratio = total / statistics.median(fasteners) if fasteners else None
    is_ours = name in ("linklock link", "linklock dir")
    # fasteners is Python too.
    is_alike = name in ("linklock Python", "linklock Python dir")
    goal = GOAL_TURNS if is_alike and not hold_us and fasteners else None
    section.add(name, f"{total:.2f} s; {fair:.2f}", total, ratio, goal)
    if is_ours and hold_us:
        section.add(f"{name}, fairness", f"{fair:.2f}", None, None, GOAL_FAIRNESS, compared=fair)


def interrupts(table, field, _, directory):
    """The time from the signal to the line after the wait."""
    section = table.section("Ctrl-C ends a wait in Python: median; slowest")
    for contestant in field.chosen("linklock Python"):
        with Company() as company:
            holder, waiter = (company.start(contestant, f"{directory}/lock") for _ in "ab")
            # Now Python has started, and the contestant handles the signal.
            waiter.ask("cycles", 1)
            holder.ask("acquire")
            millis = []
            for _ in range(INTERRUPTS):
                waiter.tell("acquire")
                time.sleep(random.uniform(0.03, 0.08))
                sent = time.time_ns()
                os.kill(waiter.pid, signal.SIGINT)
                kind, when = waiter.answer()
                if kind != "interrupted":
                    raise SystemExit(f"Ctrl-C did not end the wait, but: {kind}")
                millis.append((int(when) - sent) / 1e6)
        shown = f"{statistics.median(millis):.1f}; {max(millis):.1f} ms"
        section.add(contestant.name, shown, None, None, GOAL_INTERRUPT, compared=max(millis))
