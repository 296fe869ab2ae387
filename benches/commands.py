"""Wrapping a command that does nothing: the cost of a lock for a command."""

import os
import shutil
import statistics
import tempfile
import time

from measure import Goal, median_ratio

ROUNDS = 300
# Python starts slowly, so it runs in one of so many rounds.
RARELY = 10
GOALS = {"linklock run": Goal(0.8)}


def run(table, field):
    section = table.section("wrapping `true`", "the median of the rounds' times, against flock(1)")
    if field.flock is None:
        return section.not_measured("all", field.missing["flock"])
    with tempfile.TemporaryDirectory(prefix="linklock-compare-") as directory:
        commands = commands_of(field, f"{directory}/lock", shutil.which("true"))
        millis = {name: [] for name in commands}
        for round_ in range(ROUNDS + 1):
            for name, words in commands.items():
                if "Python" in name and round_ % RARELY:
                    continue
                took = millis_of(words)
                # The first round warms up.
                if round_ > 0:
                    millis[name].append(took)
    for name, times in millis.items():
        # The rounds in which Python ran.
        reference = millis["flock(1)"][RARELY - 1 :: RARELY] if "Python" in name else millis["flock(1)"]
        median = statistics.median(times)
        section.add(name, f"{median:.2f} ms", median, median_ratio(times, reference), GOALS.get(name))


def commands_of(field, lock, true):
    commands = {name: [program, "run", f"{lock}.{n}", true] for n, (name, program) in enumerate(field.programs.items())}
    commands |= {"flock(1)": [field.flock, f"{lock}.flock", true], "bare `true`": [true]}
    if field.dotlockfile:
        commands["dotlockfile"] = [field.dotlockfile, "-l", f"{lock}.dot", true]
    if field.python:
        script = "import subprocess; from {0} import {1}\nwith {1}('{2}'): subprocess.run(['{3}'])"
        for name, module, kind in (
            ("linklock by Python", "linklock", "Lock"),
            ("flufl.lock by Python", "flufl.lock", "Lock"),
            ("filelock by Python", "filelock", "SoftFileLock"),
        ):
            commands[name] = [field.python, "-c", script.format(module, kind, f"{lock}.{module}", true)]
    return commands


def millis_of(words):
    started = time.perf_counter_ns()
    pid = os.posix_spawn(words[0], [str(word) for word in words], os.environ)
    status = os.waitpid(pid, 0)[1]
    if status:
        raise SystemExit(f"{words}: status {status}")
    return (time.perf_counter_ns() - started) / 1e6
