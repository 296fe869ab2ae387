"""Many programs that wait for one lock, each to run `true` under it: does the cost grow with their number, or with its square?"""

import resource
import shutil
import statistics
import subprocess
import tempfile
import time

from measure import Goal

WAITERS = (100, 400, 800)
ROUNDS = 3
SETTLE_S = 0.5
SETTLE_EACH_S = 0.002
# ext4 passes over each inode that was removed in the last 5 s when it makes a new one.
BETWEEN_S = 5.5
GOAL = Goal(1.5)


def run(table, field):
    if field.flock is None:
        section = table.section("a crowd of programs that wait for one lock")
        return section.not_measured("all", field.missing["flock"])
    # The first is the program as README installs it, if it could be built.
    name, program = next(iter(field.programs.items()))
    commands = {"flock(1)": [field.flock], name: [program, "run", "-q"], f"{name} --queue": [program, "run", "-q", "--queue"]}
    for waiters in WAITERS:
        title = f"{waiters} programs wait, and each runs `true` under the lock: time from its release; processor in all"
        section = table.section(title, "against flock(1)")
        figures = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, wrapper in commands.items():
                figures[name].append(turns_of_all(wrapper, waiters))
        flock = figures["flock(1)"]
        for name, pairs in figures.items():
            goal = GOAL if name == "linklock run" else None
            for number, what in enumerate(("elapsed", "processor")):
                median = statistics.median(pair[number] for pair in pairs)
                ratio = statistics.median(pair[number] / other[number] for pair, other in zip(pairs, flock))
                section.add(f"{name}, {what}", f"{median:.2f} s", median, ratio, goal)


def turns_of_all(wrapper, waiters):
    """The seconds until all have had their turn, and what they and their starts took of the processors."""
    time.sleep(BETWEEN_S)
    with tempfile.TemporaryDirectory(prefix="linklock-compare-") as directory:
        command = [*wrapper, f"{directory}/lock"]
        # It holds the lock from its echoed line until its input ends.
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        holder = subprocess.Popen([*command, shutil.which("cat")], **pipes)
        print("held", file=holder.stdin, flush=True)
        holder.stdout.readline()
        before = cpu_of_children_s()
        crowd = [subprocess.Popen([*command, shutil.which("true")], stdin=subprocess.DEVNULL) for _ in range(waiters)]
        time.sleep(SETTLE_S + SETTLE_EACH_S * waiters)
        started = time.monotonic()
        holder.stdin.close()
        statuses = {process.wait() for process in [holder, *crowd]}
        took = time.monotonic() - started
        holder.stdout.close()
        if statuses != {0}:
            raise SystemExit(f"{wrapper}: statuses {statuses}")
        return took, cpu_of_children_s() - before


def cpu_of_children_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
