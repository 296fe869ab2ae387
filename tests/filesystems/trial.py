"""What one protocol does on one file system, used as people use it from two machines. Each part notes what went wrong."""

import enum
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from diary import beliefs, overlaps
from peers import Refused

PROTOCOLS = ("link", "dir")
NS = 10**9
# linklock run and the like, when nothing hangs.
COMMAND_LIMIT_S = 60
LONG_GRACE_S = 2
# A file system may cut times to whole seconds.
COARSE_S = 1
PROCESSES_OF_EACH_MACHINE = 3
CONTENTION_S = 10

# linklock's exit statuses, see linklock --help.
LACKS_SOMETHING, NOT_IN_TIME = 74, 75
NAMES_THE_FAULT = re.compile(r"\b(this|the) file system\b")


@dataclass(frozen=True)
class Pace:
    lifetime_s: float
    # In which a holder must note in the diary that its lock has expired.
    short_grace_s: float
    # Somebody must get a lock within this time, once it is free or may be broken; it covers caches of names and of
    # attributes. It measures nothing.
    patience_s: float


PACE = Pace(lifetime_s=3, short_grace_s=0.2, patience_s=20)
# The processor of a guest may be emulated.
PACE_IN_GUEST = Pace(lifetime_s=10, short_grace_s=1, patience_s=60)


class Outcome(enum.IntEnum):
    """How a trial can end; of several faults, the greatest counts."""

    GREEN = 0
    REFUSED = 1
    LEFTOVERS = 2
    FALSE_WORDS = 3
    BLOCKS = 4
    TWO_HOLDERS = 5

    def __str__(self):
        return self.name.lower().replace("_", " ")


class Fault(Exception):
    """Ends a part of the trial."""

    def __init__(self, outcome, text):
        super().__init__(text)
        self.outcome = outcome


class Trial:
    def __init__(self, file_system, protocol, machines, programs, notes):
        self.protocol = protocol
        self.machines = machines
        self.programs = programs
        self.separator = file_system.separator
        self.leaves_directory = file_system.is_nfs4 and protocol == "dir"
        self.pace = PACE_IN_GUEST if file_system.in_guest else PACE
        self.label = f"{file_system.name} {protocol}"
        self.notes = Path(notes)
        self.peers = []
        self.faults = []

    def judge(self):
        """Returns the outcome. A protocol that is refused at once is tried no further, and neither is a lock that blocks."""
        try:
            for part in (self.by_hand, self.over_time, self.counter):
                self.attempt(part)
                if any(fault.outcome in (Outcome.REFUSED, Outcome.BLOCKS) for fault in self.faults):
                    break
            return max((fault.outcome for fault in self.faults), default=Outcome.GREEN)
        finally:
            for peer in self.peers:
                peer.kill()

    def attempt(self, part, *words):
        try:
            part(*words)
        except Fault as fault:
            self.note(fault)
        except (Refused, AssertionError) as e:
            # An error where nobody did anything wrong, or a contender that ended by itself.
            self.note(Fault(Outcome.FALSE_WORDS, f"{part.__name__}: {e}"))

    def note(self, fault):
        self.faults.append(fault)
        self.say(f"{str(fault.outcome).upper()}: {fault}")

    def say(self, text):
        print(f"  [{self.label}] {text}", flush=True)

    # --- By hand ---

    def by_hand(self):
        """One acquires, the other is told who holds the lock; then the other one has its turn."""
        one, other = self.machines
        name = f"{self.protocol}-by-hand"
        token = self.acquires(one, name, may_refuse=True)
        self.is_told_who_holds_it(other, name, one)
        self.sees_the_refresh(one, other, name, token)
        self.does(one, "release", name, token)
        for machine in (other, one):
            self.does(machine, "release", name, self.acquires(machine, name))
        self.does(other, "run", name, "--protocol", self.protocol, "--", "true")
        self.check_nothing_is_left(name)
        self.say("by hand: the second one is told who holds the lock, sees the refresh, and has its turn after the release")

    def acquires(self, machine, name, may_refuse=False):
        options = ["--protocol", self.protocol, "--pid", "none", "--lifetime", "10m", "--timeout", f"{self.pace.patience_s}s"]
        began = time.monotonic()
        done = self.linklock(machine, "acquire", name, *options)
        if done is None or done.returncode == NOT_IN_TIME:
            what = done.stderr.strip() if done else "it hangs"
            raise Fault(Outcome.BLOCKS, f"{machine.name} does not get a free lock within {self.pace.patience_s} s: {what}")
        if may_refuse and done.returncode == LACKS_SOMETHING and NAMES_THE_FAULT.search(done.stderr):
            self.check_refusal(name, time.monotonic() - began)
            raise Fault(Outcome.REFUSED, done.stderr.strip().splitlines()[-1])
        if done.returncode:
            raise Fault(Outcome.FALSE_WORDS, f"{machine.name} acquires a free lock: {said(done)}")
        return done.stdout.strip()

    def check_refusal(self, name, took_s):
        """It comes at once, on every machine, and leaves nothing."""
        if took_s > self.pace.patience_s / 4:
            raise Fault(Outcome.BLOCKS, f"it is refused only after {took_s:.0f} s")
        for machine in self.machines:
            done = self.linklock(machine, "run", name, "--protocol", self.protocol, "--", "true")
            if done is None or done.returncode != LACKS_SOMETHING:
                raise Fault(Outcome.FALSE_WORDS, f"{machine.name} is not refused like the first one: {said(done)}")
        self.check_nothing_is_left(name)

    def is_told_who_holds_it(self, machine, name, holder):
        done = self.linklock(machine, "acquire", name, "--protocol", self.protocol, "--pid", "none", "--nonblock")
        if done is not None and done.returncode == 0:
            raise Fault(Outcome.TWO_HOLDERS, f"{machine.name} acquires the lock that {holder.name} holds")
        if done is None or done.returncode != NOT_IN_TIME or holder.name not in done.stderr:
            raise Fault(Outcome.FALSE_WORDS, f"{machine.name} tries a lock that {holder.name} holds: {said(done)}")

    def sees_the_refresh(self, holder, watcher, name, token):
        before = self.status(watcher, name)
        self.does(holder, "refresh", name, token, "--lifetime", "1h")
        give_up = time.monotonic() + self.pace.patience_s
        while self.status(watcher, name)["expires_in_ms"] - before["expires_in_ms"] < 40 * 60_000:
            if time.monotonic() > give_up:
                raise Fault(Outcome.FALSE_WORDS, f"{watcher.name} does not see that {holder.name} has refreshed the lock")
            time.sleep(0.2)

    def status(self, machine, name):
        status = json.loads(self.does(machine, "status", name, "--json"))
        if (status["state"], status["host"]) != ("held", self.machines[0].name):
            raise Fault(Outcome.FALSE_WORDS, f"{machine.name} sees a held lock so: {status}")
        return status

    def does(self, machine, subcommand, name, *words):
        done = self.linklock(machine, subcommand, name, *words)
        if done is None or done.returncode:
            raise Fault(Outcome.FALSE_WORDS, f"{machine.name}, {subcommand}: {said(done)}")
        return done.stdout

    def linklock(self, machine, subcommand, name, *words):
        path = machine.directory / name
        separator = ["--separator", self.separator]
        return machine.run(self.programs["linklock"], subcommand, *separator, path, *words, limit_s=COMMAND_LIMIT_S)

    # --- Lifetime and grace ---

    def over_time(self):
        """Locks that are held on one machine and wanted on the other, in both directions at once."""
        one, other = self.machines
        cases = [(case, *order) for case in (self.overdue, self.killed, self.alive) for order in ((one, other), (other, one))]
        with ThreadPoolExecutor(len(cases)) as threads:
            for done in [threads.submit(self.attempt, *case) for case in cases]:
                done.result()

    def overdue(self, one, other):
        """A holder that does not refresh its lock stops trusting it before the other one has it."""
        lock = f"overdue-on-{one.name}"
        holder, waiter = self.contenders(lock, one, other, self.pace.short_grace_s)
        self.gets_it(holder)
        self.gets_it(waiter)
        waiter.ask("release")
        try:
            holder.ask("release")
        except Refused as e:
            told = e.kind
        else:
            told = "nothing"
        self.check_diary(lock)
        if told != "Lost":
            raise Fault(Outcome.FALSE_WORDS, f"a holder that has not refreshed its lock in time is told {told}")
        self.check_nothing_is_left(f"{self.protocol}-{lock}")

    def killed(self, one, other):
        lock, due_s = f"killed-on-{one.name}", self.pace.lifetime_s + LONG_GRACE_S
        holder, waiter = self.contenders(lock, one, other, LONG_GRACE_S)
        asked_ns = time.time_ns()
        self.gets_it(holder)
        holder.kill()
        after_s = (int(self.gets_it(waiter)[1]) - asked_ns) / NS
        waiter.ask("release")
        what = f"a lock of a killed holder on {one.name} is acquired after {after_s:.1f} s; lifetime and grace are {due_s} s"
        if after_s < due_s - COARSE_S:
            raise Fault(Outcome.TWO_HOLDERS, what)
        self.check_nothing_is_left(f"{self.protocol}-{lock}")
        self.say(what)

    def alive(self, one, other):
        """A lock that is kept alive is not broken. After the release, the other one has it."""
        lock = f"alive-on-{one.name}"
        holder, waiter = self.contenders(lock, one, other, self.pace.short_grace_s)
        self.gets_it(holder)
        holder.ask("keep-alive")
        waiter.tell("acquire")
        if not waiter.is_silent_for(2 * (self.pace.lifetime_s + self.pace.short_grace_s)):
            self.check_diary(lock)
            raise Fault(Outcome.FALSE_WORDS, f"a lock that {one.name} keeps alive was broken: {waiter.answer()}")
        holder.ask("release")
        self.in_time(waiter)
        waiter.ask("release")
        self.check_diary(lock)
        self.check_nothing_is_left(f"{self.protocol}-{lock}")
        self.say(f"a lock that {one.name} keeps alive is not broken")

    def contenders(self, lock, one, other, grace_s):
        return [self.peer(machine, lock, self.pace.lifetime_s, grace_s) for machine in (one, other)]

    # --- Contention ---

    def counter(self):
        """Processes of both machines increment one number, which is not on this file system, under the lock."""
        number, tally = (self.notes / f"{self.protocol}-{what}" for what in ("number", "tally"))
        number.write_text("0 0 nobody")
        tally.touch()
        crowd = [self.peer(machine, "counter", 15, 10) for machine in self.machines for _ in range(PROCESSES_OF_EACH_MACHINE)]
        began = time.monotonic()
        for peer in crowd:
            peer.tell("count-while", number, tally)
        crowd[0].is_silent_for(CONTENTION_S)
        done = tally.rename(f"{tally}-done")
        # Each takes one more turn at most.
        failed = [e for e in (self.counted(peer) for peer in crowd) if e]
        # Whatever they were told: did two of them hold the lock?
        self.check_diary("counter")
        if failed:
            raise failed[0]
        counted, due = int(number.read_text().split(" ")[0]), len(done.read_text().splitlines())
        if counted != due:
            raise Fault(Outcome.TWO_HOLDERS, f"{due - counted} of {due} increments were lost")
        self.check_nothing_is_left(f"{self.protocol}-counter")
        self.say(f"{len(crowd)} processes lose none of {due} increments, in {time.monotonic() - began:.0f} s")

    def counted(self, peer):
        """Waits until this peer has done its part. Returns why it has not."""
        try:
            while peer.is_silent_for(1):
                self.check_someone_gets_it()
            peer.answer()
        except (Refused, AssertionError, Fault) as e:
            return e

    def check_someone_gets_it(self):
        held = beliefs(self.diary("counter"))
        last_ns = held[-1][0] if held else self.diary("counter").stat().st_mtime_ns
        if time.time_ns() - last_ns > self.pace.patience_s * NS:
            raise Fault(Outcome.BLOCKS, f"nobody gets the lock for {self.pace.patience_s} s, after {len(held)} times")

    # --- The parts of these ---

    def peer(self, machine, lock, lifetime_s, grace_s):
        path = machine.directory / f"{self.protocol}-{lock}"
        times = [round(lifetime_s * 1000), round(grace_s * 1000)]
        self.diary(lock).touch()
        environment = ["env", f"CONTEND_SEPARATOR={self.separator}"]
        command = [*environment, self.programs["contend"], path, *times, self.protocol, self.diary(lock)]
        self.peers.append(machine.peer(*command))
        return self.peers[-1]

    def diary(self, lock):
        return self.notes / f"{self.protocol}-{lock}-diary"

    def gets_it(self, peer):
        peer.tell("acquire")
        return self.in_time(peer)

    def in_time(self, peer):
        """The answer of a peer that must get the lock."""
        if peer.is_silent_for(self.pace.patience_s):
            raise Fault(Outcome.BLOCKS, f"{peer.kind} does not get the lock within {self.pace.patience_s} s")
        return peer.answer()

    def check_diary(self, lock):
        for first, second in overlaps(beliefs(self.diary(lock))):
            raise Fault(Outcome.TWO_HOLDERS, f"{lock}: for {(first[1] - second[0]) / NS:.3f} s: {first[2]} and {second[2]}")

    def check_nothing_is_left(self, name):
        """On neither machine, once their caches are up to date; also no file that a client renamed as it was still open."""
        give_up = time.monotonic() + self.pace.patience_s / 4
        while left := self.leftovers(name):
            if time.monotonic() > give_up:
                raise Fault(Outcome.LEFTOVERS, f"left over: {sorted(left)}")
            time.sleep(0.2)

    def leftovers(self, name):
        seen = {entry for machine in self.machines for entry in machine.directory.iterdir()}
        left = {entry.name for entry in seen if not (self.leaves_directory and entry.name == name and not any(entry.iterdir()))}
        return [entry for entry in left if entry.startswith((name, ".fuse_hidden", ".nfs"))]


def said(done):
    return f"status {done.returncode}: {(done.stdout + done.stderr).strip()}" if done else f"it hangs for {COMMAND_LIMIT_S} s"
