"""Code that the benchmarks share: the table and its goals, ratios, hand-offs, and the resources of a process."""

import random
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/interop"))
from peers import Peer


class Goal:
    """The limit that a figure or a ratio must meet."""

    def __init__(self, limit, unit="", at_least=False):
        self.limit, self.unit, self.at_least = limit, unit, at_least

    def __str__(self):
        return f"{'>=' if self.at_least else '<='} {self.limit:g}{self.unit}"

    def is_met(self, figure):
        return figure >= self.limit if self.at_least else figure <= self.limit


class Row:
    def __init__(self, name, shown, figure=None, ratio=None, goal=None, compared=None):
        """`compared` is the number for the goal; the ratio by default."""
        self.name, self.shown, self.figure, self.ratio, self.goal = name, shown, figure, ratio, goal
        compared = ratio if compared is None else compared
        self.verdict = "" if goal is None else "met" if goal.is_met(compared) else "MISSED"

    def cells(self):
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}" if self.ratio >= 0.1 else f"{self.ratio:.2g}"
        return (f"  {self.name}", self.shown, ratio, str(self.goal or ""), self.verdict)


class Section:
    """One kind of work, and the figures of each contestant."""

    def __init__(self, title, against=""):
        self.title, self.against, self.rows = title, against, []

    def add(self, *args, **options):
        self.rows.append(Row(*args, **options))

    def not_measured(self, name, why):
        self.rows.append(Row(name, f"not measured: {why}"))

    def figure_of(self, name):
        return next((row.figure for row in self.rows if row.name == name), None)


class Table:
    def __init__(self):
        self.sections = []

    def section(self, title, against=""):
        self.sections.append(Section(title, against))
        return self.sections[-1]

    def lines(self):
        rows = [row.cells() for section in self.sections for row in section.rows]
        measured = [row for row in rows if not row[1].startswith("not measured")]
        widths = [max((len(row[column]) for row in measured), default=0) for column in range(5)]
        for section in self.sections:
            yield f"{section.title}" + (f"; ratios: {section.against}" if section.against else "")
            for row in section.rows:
                cells = row.cells()
                yield "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()
            yield ""


def median_ratio(ours, theirs):
    return statistics.median(a / b for a, b in zip(ours, theirs))


def percentile_99(figures):
    return statistics.quantiles(figures, n=100, method="inclusive")[98]


def file_system(directory):
    """The file system of `directory`, by the longest mount point above it."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    above = [(mount[1], mount[2]) for mount in mounts if Path(directory).resolve().is_relative_to(mount[1])]
    return max(above, key=lambda mount: len(mount[0]))[1]


def hand_off_ms(holder, waiter, wait_s):
    """One hand-off, after the waiter had time to start waiting. The waiter holds the lock afterwards."""
    waiter.tell("acquire")
    time.sleep(wait_s)
    released = int(holder.ask("release")[1])
    return (int(waiter.answer()[1]) - released) / 1e6


def hand_offs(pair, number, figures, polls_s):
    """A release falls anywhere between two looks of the waiter that pauses for `polls_s`, or a multiple, between them."""
    holder, waiter = pair
    holder.ask("acquire")
    for _ in range(number):
        figures.append(hand_off_ms(holder, waiter, random.uniform(0.005, 0.015 + polls_s)))
        holder, waiter = waiter, holder
    holder.ask("release")


class Company:
    """Contestants in their own processes, which end with the block."""

    def __init__(self):
        self.peers = []

    def start(self, contestant, path, *more):
        self.peers.append(Peer(contestant.name, *contestant.command(path, *more)))
        return self.peers[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for peer in self.peers:
            peer.process.kill()
        for peer in self.peers:
            peer.process.wait()


def cpu_s(pid):
    """The processor time of all threads of a process, in seconds, exact to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def status_of(pid, field):
    """A number from /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
