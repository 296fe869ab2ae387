"""What one protocol does on one file system, used as people use it from two machines. Each part notes what went wrong."""

import enum
import json
import time
from pathlib import Path

from diary import beliefs, overlaps
from peers import Refused

NS = 10**9
# Somebody must get a free lock within this time; it covers caches of names and of attributes. It measures nothing.
PATIENCE_S = 20
# linklock run and the like, when nothing hangs.
COMMAND_LIMIT_S = 60
LIFETIME_S = 3
LONG_GRACE_S, SHORT_GRACE_S = 2, 0.2
# Why a lock may be broken or not, and its grace.
HELD_SO = (("overdue", SHORT_GRACE_S), ("killed", LONG_GRACE_S), ("alive", SHORT_GRACE_S))
# A file system may cut times to whole seconds.
COARSE_S = 1
PROCESSES_OF_EACH_MACHINE, INCREMENTS = 3, 20

# linklock's exit statuses, see linklock --help.
LACKS_SOMETHING, NOT_IN_TIME = 74, 75


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
        self.label = f"{file_system.name} {protocol}"
        self.notes = Path(notes)
        self.peers = []
        self.faults = []

    def judge(self):
        """Returns the outcome."""
        try:
            return self.run_parts()
        finally:
            for peer in self.peers:
                peer.kill()

    def run_parts(self):
        """A protocol that is refused at once is tried no further, and neither is a lock that blocks."""
        try:
            self.by_hand()
        except Fault as fault:
            if fault.outcome == Outcome.REFUSED:
                self.say(f"refused at once, and nothing is left: {fault}")
                return Outcome.REFUSED
            self.note(fault)
        parts = [self.over_time, self.counter]
        while parts and not any(fault.outcome == Outcome.BLOCKS for fault in self.faults):
            part = parts.pop(0)
            try:
                part()
            except Fault as fault:
                self.note(fault)
            except (Refused, AssertionError) as e:
                # An error where nobody did anything wrong, or a contender that ended by itself.
                self.note(Fault(Outcome.FALSE_WORDS, f"{part.__name__}: {e}"))
        return max((fault.outcome for fault in self.faults), default=Outcome.GREEN)

    def say(self, text):
        print(f"  [{self.label}] {text}", flush=True)

    def note(self, fault):
        self.faults.append(fault)
        self.say(f"FAULT, {fault.outcome}: {fault}")

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
        options = ["--protocol", self.protocol, "--pid", "none", "--lifetime", "10m", "--timeout", f"{PATIENCE_S}s"]
        began = time.monotonic()
        done = self.linklock(machine, "acquire", name, *options)
        if done is None or done.returncode == NOT_IN_TIME:
            what = done.stderr.strip() if done else "it hangs"
            raise Fault(Outcome.BLOCKS, f"{machine.name} does not get a free lock within {PATIENCE_S} s: {what}")
        if may_refuse and done.returncode == LACKS_SOMETHING and "file system" in done.stderr:
            self.check_refusal(name, time.monotonic() - began)
            raise Fault(Outcome.REFUSED, done.stderr.strip())
        if done.returncode:
            raise Fault(Outcome.FALSE_WORDS, f"{machine.name} acquires a free lock: {said(done)}")
        return done.stdout.strip()

    def check_refusal(self, name, took_s):
        """It comes at once, on every machine, and leaves nothing."""
        if took_s > PATIENCE_S / 4:
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
        give_up = time.monotonic() + PATIENCE_S
        while self.status(watcher, name)["expires_in_ms"] - before["expires_in_ms"] < 40 * 60_000:
            if time.monotonic() > give_up:
                raise Fault(Outcome.FALSE_WORDS, f"{watcher.name} does not see that {holder.name} has refreshed the lock")
            time.sleep(0.2)

    def status(self, machine, name):
        status = json.loads(self.does(machine, "status", name, "--json", protocol=False))
        if (status["state"], status["host"]) != ("held", self.machines[0].name):
            raise Fault(Outcome.FALSE_WORDS, f"{machine.name} sees a held lock so: {status}")
        return status

    def does(self, machine, subcommand, name, *words, protocol=True):
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
        """Three locks at once, each held on one machine and wanted on the other: of a killed holder, of one that does not
        refresh its lock, and of one that keeps it alive."""
        overdue, killed, alive = (self.contenders(what, grace_s) for what, grace_s in HELD_SO)
        asked_ns = time.time_ns()
        for holder, _ in (overdue, killed, alive):
            self.answer(holder, "acquire")
        alive[0].ask("keep-alive")
        killed[0].kill()
        for _, waiter in (overdue, killed, alive):
            waiter.tell("acquire")
        self.check_overdue(*overdue)
        self.check_killed(killed[1], asked_ns)
        self.check_alive(*alive, asked_ns)
        for what, _ in HELD_SO:
            # The diary of the killed one is not closed.
            if what != "killed":
                self.check_diary(what)
            self.check_nothing_is_left(f"{self.protocol}-{what}")

    def contenders(self, what, grace_s):
        return [self.peer(machine, what, LIFETIME_S, grace_s) for machine in self.machines]

    def check_overdue(self, holder, waiter):
        self.answer(waiter)
        waiter.ask("release")
        try:
            holder.ask("release")
        except Refused as e:
            if e.kind == "Lost":
                return
        raise Fault(Outcome.FALSE_WORDS, "a holder that has not refreshed its lock in time is not told that it is lost")

    def check_killed(self, waiter, asked_ns):
        due_s = LIFETIME_S + LONG_GRACE_S
        after_s = (int(self.answer(waiter)[1]) - asked_ns) / NS
        waiter.ask("release")
        if after_s < due_s - COARSE_S:
            raise Fault(Outcome.TWO_HOLDERS, f"a killed holder's lock was broken after {after_s:.2f} s, but is due after {due_s} s")
        self.say(f"a killed holder's lock is acquired after {after_s:.1f} s; lifetime and grace are {due_s} s")

    def check_alive(self, holder, waiter, asked_ns):
        watch_s = 2 * (LIFETIME_S + SHORT_GRACE_S) - (time.time_ns() - asked_ns) / NS
        if not waiter.is_silent_for(max(watch_s, 1)):
            raise Fault(Outcome.TWO_HOLDERS, f"a lock that is kept alive was broken: {waiter.answer()}")
        holder.ask("release")
        self.answer(waiter)
        waiter.ask("release")
        self.say("a lock that is kept alive is not broken; the other one has it after the release")

    # --- Contention ---

    def counter(self):
        """Processes of both machines increment one number, which is not on this file system, under the lock."""
        number = self.notes / f"{self.protocol}-number"
        number.write_text("0 0 nobody")
        crowd = [self.peer(machine, "counter", 15, 10) for machine in self.machines for _ in range(PROCESSES_OF_EACH_MACHINE)]
        for peer in crowd:
            peer.tell("count", number, INCREMENTS)
        began = time.monotonic()
        failed = [e for e in (self.counted(peer) for peer in crowd) if e]
        # Whatever they were told: did two of them hold the lock?
        self.check_diary("counter")
        if failed:
            raise failed[0]
        counted, due = int(number.read_text().split(" ")[0]), len(crowd) * INCREMENTS
        if counted != due:
            raise Fault(Outcome.TWO_HOLDERS, f"{due - counted} of {due} increments were lost")
        self.check_nothing_is_left(f"{self.protocol}-counter")
        self.say(f"{len(crowd)} processes lose none of {due} increments, in {time.monotonic() - began:.1f} s")

    def counted(self, peer):
        """Waits until this peer has done its part. Returns why it has not."""
        try:
            while peer.is_silent_for(1):
                self.check_someone_gets_it()
            peer.answer()
        except (Refused, AssertionError, Fault) as e:
            return e
        finally:
            peer.kill()

    def check_someone_gets_it(self):
        held = beliefs(self.diary("counter"))
        last_ns = held[-1][0] if held else self.diary("counter").stat().st_mtime_ns
        if time.time_ns() - last_ns > PATIENCE_S * NS:
            raise Fault(Outcome.BLOCKS, f"nobody gets the lock for {PATIENCE_S} s, after {len(held)} times")

    # --- The parts of these ---

    def peer(self, machine, what, lifetime_s, grace_s):
        path = machine.directory / f"{self.protocol}-{what}"
        times = [round(lifetime_s * 1000), round(grace_s * 1000)]
        self.diary(what).touch()
        environment = ["env", f"CONTEND_SEPARATOR={self.separator}"]
        command = [*environment, self.programs["contend"], path, *times, self.protocol, self.diary(what)]
        self.peers.append(machine.peer(*command))
        return self.peers[-1]

    def diary(self, what):
        return self.notes / f"{self.protocol}-{what}-diary"

    def answer(self, peer, *words):
        """The answer of a peer that must get the lock."""
        if words:
            peer.tell(*words)
        if peer.is_silent_for(PATIENCE_S):
            raise Fault(Outcome.BLOCKS, f"{peer.kind} does not get the lock within {PATIENCE_S} s")
        return peer.answer()

    def check_diary(self, what):
        for first, second in overlaps(beliefs(self.diary(what))):
            raise Fault(Outcome.TWO_HOLDERS, f"{what}: for {(first[1] - second[0]) / NS:.3f} s: {first[2]} and {second[2]}")

    def check_nothing_is_left(self, name):
        """On neither machine, once their caches are up to date; also no file that a client renamed as it was still open."""
        give_up = time.monotonic() + PATIENCE_S / 4
        while left := self.leftovers(name):
            if time.monotonic() > give_up:
                raise Fault(Outcome.LEFTOVERS, f"left over: {sorted(left)}")
            time.sleep(0.2)

    def leftovers(self, name):
        seen = {entry.name for machine in self.machines for entry in machine.directory.iterdir()}
        return [entry for entry in seen if entry.startswith((name, ".fuse_hidden", ".nfs"))]


def said(done):
    return f"status {done.returncode}: {(done.stdout + done.stderr).strip()}" if done else f"it hangs for {COMMAND_LIMIT_S} s"
