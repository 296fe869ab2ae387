"""What the benchmarks share: tables of figures, rounds that alternate, and hand-offs."""

import random
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INTEROP = ROOT / "tests/interop"
sys.path.insert(0, str(INTEROP))
from peers import Peer


class Table:
    HEADINGS = ("what", "ours", "peer", "its figure", "ratio", "target", "")

    def __init__(self):
        self.rows = [self.HEADINGS]

    def add(self, what, ours, peer="", figure="", ratio=None, target=None, compared=None):
        """`compared` is what the target is about: the ratio, if nothing else is given."""
        compared = ratio if compared is None else compared
        verdict = "" if target is None else "met" if compared <= target else "MISSED"
        ratio = "" if ratio is None else f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"
        self.rows.append((what, ours, peer, figure, ratio, "" if target is None else f"<= {target}", verdict))

    def not_measured(self, what, why):
        self.rows.append((what, f"not measured: {why}", "", "", "", "", ""))

    def print(self):
        short = [row for row in self.rows if not row[1].startswith("not measured")]
        widths = [max(len(row[column]) for row in short) for column in range(len(self.HEADINGS))]
        widths[0] = max(len(row[0]) for row in self.rows)
        for row in self.rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def median_ratio(ours, theirs):
    return statistics.median(a / b for a, b in zip(ours, theirs))


def file_system(directory):
    """What `directory` is on, by the longest mount point above it."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    above = [(mount[1], mount[2]) for mount in mounts if Path(directory).resolve().is_relative_to(mount[1])]
    return max(above, key=lambda mount: len(mount[0]))[1]


def hand_off_ms(holder, waiter, wait_s):
    """One hand-off, after the waiter had time to begin to wait. The waiter holds the lock afterwards."""
    waiter.tell("acquire")
    time.sleep(wait_s)
    released = int(holder.ask("release")[1])
    return (int(waiter.answer()[1]) - released) / 1e6


def hand_offs(pair, number, figures):
    holder, waiter = pair
    holder.ask("acquire")
    for _ in range(number):
        figures.append(hand_off_ms(holder, waiter, random.uniform(0.005, 0.015)))
        holder, waiter = waiter, holder
    holder.ask("release")


def pair_of(kind, *command):
    return [Peer(kind, *command), Peer(kind, *command)]
