"""Without contention: the time of a cycle of acquire and release, and the number of its system calls."""

import random
import re
import statistics
import subprocess
import tempfile
from pathlib import Path

from measure import Company, Goal, file_system, median_ratio

ROUNDS = 80
ROUND_NS = 8_000_000
CYCLES_TRACED = 20

GOALS = {
    "tmpfs": {"linklock link": Goal(1.4), "linklock dir": Goal(1.4)},
    "ext4": {"linklock link": Goal(1.3), "linklock dir": Goal(1.4)},
}
# Ours, a peer, and the goal of the ratio.
DUELS = [
    ("linklock Python", "flufl.lock", {"ext4": Goal(0.4)}),
    ("linklock as filelock", "filelock soft", {"tmpfs": Goal(0.3), "ext4": Goal(0.3)}),
    ("linklock as filelock", "filelock lease", {"tmpfs": Goal(0.3), "ext4": Goal(0.3)}),
    ("linklock as filelock", "filelock flock", {}),
    ("linklock as filelock, link", "filelock soft", {}),
    ("linklock as filelock, link", "filelock lease", {}),
    ("linklock as filelock, link", "filelock flock", {}),
]
AGAINST = "the median of the rounds' times, against the floor of link; of dir, against its own"
# These create and remove no file, so they have no floor.
IS_OWN_FLOOR = ("File::lock", "filelock flock", "filelock read-write", "fasteners")


def run(table, field):
    for parent in (field.target, "/dev/shm"):
        if not Path(parent).is_dir():
            table.section(f"a cycle in {parent}").not_measured("all", "no such directory")
            continue
        with tempfile.TemporaryDirectory(dir=parent, prefix="linklock-compare-") as directory:
            cycles(table.section(f"a cycle on {file_system(directory)}", AGAINST), field, directory)
    with tempfile.TemporaryDirectory(prefix="linklock-compare-") as directory:
        calls(table.section("system calls of a cycle", "calls that name a file"), field, directory)


def cycles(section, field, directory):
    contestants = field.chosen()
    with Company() as company:
        peers = {c.name: company.start(c, f"{directory}/{n}") for n, c in enumerate(contestants)}
        # This warms up, and shows how many cycles fill a round.
        first = {name: min(int(peer.ask("cycles", 5)[0]) for _ in range(3)) for name, peer in peers.items()}
        micros = {name: [] for name in peers}
        for _ in range(ROUNDS):
            # In an order of its own, since what one has removed costs the next one on ext4.
            for name, peer in random.sample(list(peers.items()), len(peers)):
                micros[name].append(int(peer.ask("cycles", max(1, ROUND_NS // first[name]))[0]) / 1000)
    goals = GOALS.get(file_system(directory), {})
    for name, times in micros.items():
        floor = "floor of dir" if name.endswith(("dir", "as filelock")) else "floor of link"
        ratio = None if name in IS_OWN_FLOOR else median_ratio(times, micros[floor])
        section.add(name, f"{statistics.median(times):.1f} us", statistics.median(times), ratio, goals.get(name))
    for ours, peer, goals in DUELS:
        if ours in micros and peer in micros:
            ratio = median_ratio(micros[ours], micros[peer])
            section.add(f"{ours}, against {peer}", "", None, ratio, goals.get(file_system(directory)))


def calls(section, field, directory):
    if field.strace is None:
        return section.not_measured("all", field.missing["strace"])
    for number, contestant in enumerate(field.chosen()):
        trace = Path(directory) / f"trace{number}"
        traced = [field.strace, "-f", "-qq", "-o", trace, *contestant.command(f"{directory}/{number}")]
        # The first command's answer marks the beginning of the cycles that count.
        subprocess.run(traced, input=f"cycles\t5\ncycles\t{CYCLES_TRACED}\n", text=True, check=True, capture_output=True)
        answer = re.compile(r'write\(1, "\d')
        lines = trace.read_text(errors="replace").splitlines()
        begin, end = [n for n, line in enumerate(lines) if answer.search(line)][:2]
        counted = [line for line in lines[begin + 1 : end] if re.search(r"^\d+ +\w+\(", line)]
        by_name = sum(f'"{directory}/{number}' in line for line in counted) / CYCLES_TRACED
        # The command itself is read once.
        of_all = (len(counted) - 1) / CYCLES_TRACED
        section.add(contestant.name, f"{of_all:.1f}", of_all, by_name)
