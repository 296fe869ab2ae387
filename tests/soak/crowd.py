"""The crowds of all arenas in one segment, and the faults that hit them."""

import json
import random
import subprocess
import threading
import time
from dataclasses import dataclass, field
from itertools import count

from arenas import GUEST, LOCAL
from members import ACQUIRING, COUNTING, RELEASING, THINKING, Member, between, chance, now_ns

ROUND_S = 0.05
DAYS_AHEAD_S = 3 * 86400
# Of the clients in the guest, these may be cut off for long. The arenas with limits have no process there.
CUT_FOR_LONG = (1, 2)
NUMBERS = count(1)


@dataclass
class Faults:
    """When the next one is due, by kind, on the monotonic clock."""

    due: dict = field(default_factory=dict)

    def is_due(self, kind, mean_s):
        """Whether it is time for it, and the next one later."""
        now = time.monotonic()
        when = self.due.setdefault(kind, now + random.expovariate(1 / mean_s))
        if now >= when:
            self.due[kind] = now + random.expovariate(1 / mean_s)
        return now >= when


class Crowd:
    """Starts all processes."""

    def __init__(self, ground, segment):
        self.ground = ground
        self.terms = GUEST if ground.clients else LOCAL
        self.notes = ground.notes / segment
        self.notes.mkdir()
        self.members, self.cuts = [], []
        self.careless_is_there = False
        self.has_namespaces = not ground.clients and not subprocess.run(
            [*in_time_namespace(), "true"], stderr=subprocess.DEVNULL
        ).returncode
        for arena in ground.arenas:
            for _ in range(arena.crowd[bool(ground.clients)]):
                self.join(arena)

    def history(self, arena):
        return self.notes / f"{arena.name}.history"

    def join(self, arena, **more):
        """A new process, with settings of its own. For a third of them nobody can know whether they are alive."""
        terms, ground, number = self.terms, self.ground, next(NUMBERS)
        lifetime = terms.counter_lifetime if arena.counts else between(terms.lifetimes)
        client = random.choice([k for k in ground.clients if not arena.has_limits or k not in CUT_FOR_LONG] or [None])
        words = {
            "program": ground.programs["soak"],
            "path": ground.directory(arena, client) / "lock",
            "history": self.history(arena),
            "stop": self.notes / "stop",
            "protocol": random.choice(arena.protocols),
            "lifetime_ms": round(lifetime * 1000),
            "grace_ms": round(between(terms.graces) * 1000),
            "think_ms": round(ground.settings["think_s"] * 1000),
            "recover": int(chance(75)),
            "keep_alive": int(chance(25)),
            "queue": int(chance(arena.queue)),
        }
        shared = chance(arena.shared)
        words["shared"] = int(shared)
        if shared:
            words["queue"] = 0
        if arena.slots:
            words["slots"] = arena.slots
        if arena.counts:
            words |= {"counter": ground.directory(arena, client) / "counter", "tally": ground.tally(arena)}
        elif not arena.slots:
            words |= {"fence": 1, "register": self.notes / f"{arena.name}.register"}
        if not self.careless_is_there and ground.settings["careless"] == arena.name:
            self.careless_is_there = True
            words["careless"] = 2
        words |= more
        name = f"p{number}-c{client}" if client else f"p{number}"
        self.members.append(Member(name, arena, words, self.surroundings(words, client, number), self.notes))

    def surroundings(self, words, client, number):
        """The command that starts it there: on a client, on a host of its own, or with clocks that are days ahead."""
        if client:
            return ["nsenter", f"--net=/run/netns/c{client}", f"--uts=/run/uts/c{client}", "--"]
        kind = random.randrange(6)
        if kind < 2:
            words["host"] = f"elsewhere-{number}"
        elif kind == 2 and self.has_namespaces:
            words["ahead_ns"] = DAYS_AHEAD_S * 10**9
            self.ground.figures["processes in time namespaces"] += 1
            return in_time_namespace()
        return []

    # --- A segment ---

    def contend(self, seconds):
        """Disturbs them for so long, or until one ends by itself."""
        faults, until = Faults(), time.monotonic() + seconds
        minute = time.monotonic() + 60
        while time.monotonic() < until and not self.ground.violations:
            self.look_after()
            if faults.is_due("process", self.terms.between_faults):
                self.disturb(self.victim())
            if self.terms.between_cuts and faults.is_due("cut", self.terms.between_cuts):
                self.cut()
            if self.terms.between_clock_steps and faults.is_due("clock", self.terms.between_clock_steps):
                self.step_clock(faults)
            if time.monotonic() > minute:
                minute += 60
                self.tell_progress()
            time.sleep(ROUND_S)

    def look_after(self):
        for member in self.members:
            if member.stopped_until and time.monotonic() > member.stopped_until:
                member.go_on()
            if member.has_ended():
                self.ground.violated(f"{member.arena.name}: {member.what_went_wrong()}")

    def victim(self):
        """Half of the time one that holds or releases a lock, and mostly one that at least waits for it: few do at a time."""
        doing = [(member.doing() or (THINKING,))[0] for member in self.members]
        passed_over = [(), (THINKING,), (THINKING, ACQUIRING), (THINKING, ACQUIRING)][random.randrange(4)]
        busy = [member for member, what in zip(self.members, doing) if what not in passed_over]
        return random.choice(busy or self.members)

    def note(self, kind, what, began=None):
        """Counts a fault, and leaves when it was: for whoever looks into a violation."""
        self.ground.figures[kind] += 1
        with (self.notes / "faults").open("a") as faults:
            faults.write(f"{began or now_ns()} {now_ns()} {kind}: {what}\n")

    def disturb(self, member):
        if member.stopped_until:
            return
        doing = member.stop()
        if not doing:
            # It waits for the network, or has only just started.
            return
        if chance(25) and not (member.arena.counts and doing == COUNTING):
            self.kill(member)
            return
        is_limited = member.arena.counts or (member.protocol == "link" and doing == RELEASING)
        if is_limited or chance(50):
            # Nothing else may delay it.
            began = now_ns()
            time.sleep(random.uniform(0, self.terms.short_stop))
            member.go_on()
            self.note("short stops", f"{member.name}, {doing}", began)
        else:
            seconds = between(self.terms.long_stops)
            member.stopped_until = time.monotonic() + seconds
            self.note("long stops", f"{member.name}, {doing}, for {seconds:.3f} s from then")

    def kill(self, member):
        at, gone = member.kill()
        event = {"is": "killed", "process": member.name, "at": at, "gone": gone}
        with self.history(member.arena).open("a") as history:
            history.write(json.dumps(event) + "\n")
        self.members.remove(member)
        self.note("kills", member.name, at)
        self.join(member.arena)

    def cut(self):
        """Cuts a client off, in a thread of its own, so that the others are disturbed meanwhile."""
        client = random.choice(self.ground.clients)
        if any(thread.is_alive() and thread.name == str(client) for thread in self.cuts):
            return
        is_long = client in CUT_FOR_LONG
        seconds = between(self.terms.long_cuts) if is_long else random.uniform(0, self.terms.short_cut)

        def cut_off():
            began = now_ns()
            nfsvm("partition", client)
            time.sleep(seconds)
            nfsvm("heal", client)
            nfsvm("reconnect", client)
            self.note("long cuts" if is_long else "short cuts", f"c{client}", began)

        self.cuts.append(threading.Thread(target=cut_off, name=str(client)))
        self.cuts[-1].start()

    def step_clock(self, faults):
        """Steps the wall clock of the guest, which is the server's: never so that two steps add up within a lifetime and grace."""
        apart = self.terms.lifetimes[1] + self.terms.graces[1]
        faults.due["clock"] = max(faults.due["clock"], time.monotonic() + apart)
        step = random.uniform(-self.terms.clock_step, self.terms.clock_step)
        time.clock_settime(time.CLOCK_REALTIME, time.time() + step)
        self.note("clock steps", f"{step:+.3f} s")

    def end(self):
        """Ends all in order: whatever was stopped or cut off goes on before. Then one more process must get each lock."""
        for thread in self.cuts:
            thread.join()
        stop = self.notes / "stop"
        stop.touch()
        self.wait_for_all()
        if self.ground.violations:
            return
        stop.unlink()
        self.members = []
        for arena in self.ground.arenas:
            self.join(arena, turns=1, think_ms=0)
        self.wait_for_all()

    def wait_for_all(self):
        for member in self.members:
            member.go_on()
        give_up = time.monotonic() + self.terms.patience
        while time.monotonic() < give_up and not all(member.has_ended() for member in self.members):
            time.sleep(ROUND_S)
        for member in self.members:
            if not member.has_ended():
                self.ground.violated(f"{member.arena.name}: {member.name} did not end within {self.terms.patience} s")
                member.kill()
            elif member.process.returncode and not self.ground.violations:
                self.ground.violated(f"{member.arena.name}: {member.what_went_wrong()}")

    def tell_progress(self):
        holds = sum(self.history(arena).read_bytes().count(b'"acquired"') for arena in self.ground.arenas if self.history(arena).exists())
        figures = ", ".join(f"{number} {what}" for what, number in self.ground.figures.items())
        self.ground.say(f"{holds} holds in this segment; so far: {figures}")


def in_time_namespace():
    ahead = str(DAYS_AHEAD_S)
    return ["unshare", "--time", "--fork", "--kill-child", "--boottime", ahead, "--monotonic", ahead, "--"]


def nfsvm(*words):
    subprocess.run(["nfsvm", *map(str, words)], check=True)
