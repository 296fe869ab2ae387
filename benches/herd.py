"""Many waiters for one lock: their cost while it is held, and how many wake when it is released."""

import re
import subprocess
import tempfile
import time
from pathlib import Path

from measure import Company, Goal, cpu_s, status_of

WAITERS = 200
# A rival that polls is measured with fewer waiters, and scaled up.
OF_A_RIVAL = {"flufl.lock": 10, "filelock soft": 10}
# They are watched for longer than any waiter pauses between two looks (linklock: 13 s).
SETTLE_S, WATCH_S, TRACE_S, AFTER_S = 2, 26, 3, 0.1
LIFETIME_S = 60
TRACED = 4
# 20 waiters of linklock may use as much as one of flufl.lock.
GOAL = Goal(0.05)
CALLS = "trace=%file,read,write,close,getdents64,fstat,statx"


def run(table, field):
    title = f"{WAITERS} waiters for one held lock: processor; file-system calls a second; awake within 0.1 s of its release"
    # A waiter that gets no inotify instance from the kernel polls often.
    limit = Path("/proc/sys/fs/inotify/max_user_instances").read_text().strip()
    title += f" (inotify instances for a user: {limit})"
    section = table.section(title, "processor, against as many waiters of flufl.lock")
    used = {}
    for contestant in field.chosen("flufl.lock", "linklock link", "linklock dir", "filelock soft", "File::lock"):
        number = OF_A_RIVAL.get(contestant.name, WAITERS)
        with tempfile.TemporaryDirectory(prefix="linklock-compare-") as directory, Company() as company:
            holder, *waiters = [company.start(contestant, f"{directory}/lock") for _ in range(number + 1)]
            cpu, calls, awake = watch(holder, waiters, field.strace, Path(directory) / "trace")
        used[contestant.name] = cpu * WAITERS / number
        shown = f"{used[contestant.name] * 100:.2f} %; {shown_calls(calls, number)}; {awake}"
        scaled_up = f", scaled up from {number}" if number < WAITERS else f", of {number} awake"
        flufl = used.get("flufl.lock")
        ratio = used[contestant.name] / flufl if flufl else None
        goal = GOAL if flufl and contestant.name.startswith("linklock") else None
        section.add(contestant.name + scaled_up, shown, used[contestant.name], ratio, goal)


def watch(holder, waiters, strace, trace):
    """The share of a processor, the file-system calls a second of one waiter, and how many waiters ran after the release."""
    holder.ask("lifetime", LIFETIME_S)
    holder.ask("acquire")
    for waiter in waiters:
        waiter.tell("acquire")
    time.sleep(SETTLE_S)
    before = sum(cpu_s(waiter.pid) for waiter in waiters)
    started = time.monotonic()
    time.sleep(WATCH_S)
    cpu = (sum(cpu_s(waiter.pid) for waiter in waiters) - before) / (time.monotonic() - started)
    calls = calls_a_second(strace, [waiter.pid for waiter in waiters[:TRACED]], trace) if strace else None
    switches = {waiter.pid: status_of(waiter.pid, "voluntary_ctxt_switches") for waiter in waiters}
    holder.ask("release")
    time.sleep(AFTER_S)
    awake = sum(status_of(pid, "voluntary_ctxt_switches") > count for pid, count in switches.items())
    return cpu, calls, awake


def calls_a_second(strace, pids, trace):
    attached = [word for pid in pids for word in ("-p", str(pid))]
    tracer = subprocess.Popen([strace, "-f", "-qq", "-e", CALLS, "-o", trace, *attached], stderr=subprocess.DEVNULL)
    time.sleep(TRACE_S)
    tracer.terminate()
    tracer.wait()
    lines = trace.read_text(errors="replace").splitlines()
    return sum(bool(re.search(r"^\d+ +\w+\(", line)) for line in lines) / TRACE_S / len(pids)


def shown_calls(calls, number):
    return "not counted: no strace" if calls is None else f"{calls * WAITERS:.0f} calls/s"
