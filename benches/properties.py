"""What contestants do when something goes wrong. Each gets the same treatment, and all run at once, since they mostly sleep."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from contestants import BENCHES, Contestant
from measure import Company

AT_ONCE = 40
# For heartbeats: filelock's soft read-write lock has one each 30 s, and believes only the second one.
LEARN_S = 65
# Longer than any recovery: filelock's soft read-write lock takes 90 s.
PATIENCE_S = 110
# A lock that may be taken is taken within this time; it is shorter than any lifetime.
SOON_S = 6
# A call that removes or renames something. A process is paused before one of the first of these.
REMOVALS = "unlink,unlinkat,rmdir,rename,renameat,renameat2"
PAUSED_BEFORE = (1, 2, 3)
NAMES = ("linklock Python", "linklock Python dir", "flufl.lock", "filelock soft", "filelock lease", "filelock strict")
NAMES += ("filelock soft read-write", "liblockfile", "proper-lockfile")


def run(table, field):
    contestants = [field.kept.get(c.name, c) for c in field.chosen(*NAMES)]
    experiments = [TakenAway(), Stopped(), AnotherClock(field.target / "clock_ahead.so")]
    if field.strace:
        experiments += [PausedRelease(field.strace), PausedBreaker(field.strace), NoRenameFlags(field.strace)]
    with tempfile.TemporaryDirectory(prefix="linklock-compare-") as directory, ThreadPoolExecutor(AT_ONCE) as threads:
        outcomes = {
            (experiment, c): [threads.submit(tried, experiment, c, directory, variant) for variant in experiment.variants]
            for experiment in experiments
            for c in contestants
        }
        for experiment in experiments:
            section = table.section(experiment.title)
            for c in contestants:
                section.add(c.name, experiment.summary([outcome.result() for outcome in outcomes[experiment, c]]))
    if field.strace is None:
        table.section("a paused release, a paused breaker").not_measured("all", field.missing["strace"])


def tried(experiment, contestant, parent, variant):
    directory = Path(tempfile.mkdtemp(dir=parent))
    with Company() as company:
        return experiment.outcome(lambda other=contestant: started(company, other, directory), contestant, directory, variant)


def started(company, contestant, directory):
    """A process that has loaded its library and found the place."""
    process = company.start(contestant, directory / "lock")
    process.ask("cycles", 1)
    return process


def gets_it(process, within_s):
    process.tell("acquire")
    return is_given_it(process, within_s)


def is_given_it(process, within_s):
    if process.is_silent_for(within_s):
        return False
    answer = process.answer()
    assert answer[0] == "acquired", answer
    return True


class Experiment:
    variants = (None,)

    def summary(self, outcomes):
        return outcomes[0]


class TakenAway(Experiment):
    title = "an operator removes a living holder's lock, and another process acquires it: the holder"

    def outcome(self, start, contestant, directory, _):
        holder, other, third = start(), start(), start()
        holder.ask("acquire")
        for path in directory.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        assert gets_it(other, PATIENCE_S), "nobody else gets it"
        time.sleep(LEARN_S)
        # Its lock is young again, also if nobody has kept it alive.
        other.ask("release")
        other.ask("acquire")
        (told,), (released,) = holder.ask("told"), holder.ask("release-lost")
        freed = ", and frees the other's lock" if gets_it(third, SOON_S) else ""
        return f"told: {told}; its release: {released}{freed}"


class Stopped(Experiment):
    title = "a holder is stopped until another process acquires the lock, and goes on: the holder"

    def outcome(self, start, contestant, directory, _):
        holder, other = start(), start()
        holder.ask("acquire")
        os.kill(holder.pid, signal.SIGSTOP)
        if not gets_it(other, PATIENCE_S):
            return "keeps the lock"
        os.kill(holder.pid, signal.SIGCONT)
        started = time.monotonic()
        while time.monotonic() < started + LEARN_S:
            if holder.ask("told") == ["yes"]:
                return f"is told after {time.monotonic() - started:.1f} s"
            time.sleep(0.05)
        return f"is not told within {LEARN_S} s; its release: {holder.ask('release-lost')[0]}"


class AnotherClock(Experiment):
    title = "the wall clock of a waiter is an hour ahead, and the holder lives: the waiter"

    def __init__(self, preloaded):
        self.preloaded = preloaded
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", preloaded, BENCHES / "clock_ahead.c"], check=True)

    def outcome(self, start, contestant, directory, _):
        holder, waiter = start(), start(Contestant(contestant.name, "env", f"LD_PRELOAD={self.preloaded}", *contestant.words))
        holder.ask("acquire")
        return "takes the lock" if gets_it(waiter, SOON_S) else "waits"


class Paused(Experiment):
    variants = PAUSED_BEFORE

    def __init__(self, strace):
        self.strace = strace

    def summary(self, outcomes):
        named = dict.fromkeys(outcome for outcome in outcomes if outcome)
        numbers = {outcome: [str(n) for n, o in zip(self.variants, outcomes) if o == outcome] for outcome in named}
        return "; ".join(f"{outcome} ({', '.join(at)})" for outcome, at in numbers.items()) or "there is no such call"

    def pause(self, process, number):
        return Tracer(self.strace, process.pid, REMOVALS, f"delay_enter=600s:when={number}")


class PausedRelease(Paused):
    title = "a release is paused before a removal (the first, 2nd, 3rd), another process acquires the lock, the release goes on"

    def outcome(self, start, contestant, directory, number):
        holder, waiter, third = start(), start(), start()
        holder.ask("acquire")
        with self.pause(holder, number) as tracer:
            holder.tell("release-lost")
            if not tracer.has_paused_it_within(SOON_S, holder):
                return None
            if not gets_it(waiter, PATIENCE_S):
                return "nobody else acquires it"
        holder.is_silent_for(SOON_S)
        return "two holders" if gets_it(third, SOON_S) else "one holder"


class PausedBreaker(Paused):
    title = "who breaks a dead holder's lock is paused before a removal, another process acquires the lock, the breaker goes on"

    def outcome(self, start, contestant, directory, number):
        holder, breaker, third = start(), start(), start()
        holder.ask("acquire")
        breaker.tell("acquire")
        with self.pause(breaker, number) as tracer:
            holder.kill()
            if not tracer.has_paused_it_within(PATIENCE_S, breaker):
                return "nobody breaks it" if breaker.is_silent_for(0.001) else None
            if not gets_it(third, PATIENCE_S):
                return "nobody else acquires it"
        return "two holders" if is_given_it(breaker, SOON_S) else "one holder"


class NoRenameFlags(Experiment):
    title = "the flags of renameat2 are refused, as by NFS, and the holder dies: the waiter"

    def __init__(self, strace):
        self.strace = strace

    def outcome(self, start, contestant, directory, _):
        holder, waiter = start(), start()
        holder.ask("acquire")
        with Tracer(self.strace, waiter.pid, "renameat2", "error=EINVAL"):
            waiter.tell("acquire")
            time.sleep(1)
            holder.kill()
            return "acquires the lock" if is_given_it(waiter, PATIENCE_S) else f"does not acquire the lock within {PATIENCE_S} s"


class Tracer:
    """strace, which does something to certain calls of a process while the block lasts."""

    def __init__(self, strace, pid, calls, done):
        self.tasks = Path(f"/proc/{pid}/task")
        command = [strace, "-f", "-qq", "-o", os.devnull, "-e", f"trace={calls}", "-e", f"inject={calls}:{done}", "-p", str(pid)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        while any("TracerPid:\t0\n" in task.joinpath("status").read_text() for task in self.tasks.iterdir()):
            time.sleep(0.01)
        return self

    def has_paused_it_within(self, seconds, peer):
        """Whether the process stops at a call; not if it answers instead."""
        end, looks = time.monotonic() + seconds, 0
        while time.monotonic() < end and peer.is_silent_for(0.05):
            # The tracer also stops it at each other call, but for less than a look.
            looks = looks + 1 if any("State:\tt" in task.joinpath("status").read_text() for task in self.tasks.iterdir()) else 0
            if looks > 20:
                return True
        return False

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
