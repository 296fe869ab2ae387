#!/usr/bin/env python3
"""Linux and Windows processes contend for one lock path. Wine runs the latter, and shows this machine's disk as Z:.

Usage: mixed.py LINUX_PROGRAM WINDOWS_PROGRAM   (examples/contend.rs, built for each)

Both have the same host name but cannot see each other's processes. If one took that for "dead", there would be two holders.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
# Windows does not allow Linux' separator in names.
SEPARATOR = "^"
ROUNDS = 100
HOUR_MS = 3_600_000
# The program for each system.
PROGRAMS = {}


class Contender:
    """One process of examples/contend.rs, on either system."""

    def __init__(self, system, lock, protocol, lifetime_ms=15_000, grace_ms=10_000):
        self.system = system
        self.process = subprocess.Popen(
            [*PROGRAMS[system], self.path(lock), str(lifetime_ms), str(grace_ms), protocol],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "CONTEND_SEPARATOR": SEPARATOR},
        )

    def path(self, path):
        return str(path) if self.system == "linux" else "Z:" + str(path).replace("/", "\\")

    def tell(self, *words):
        print(*words, sep="\t", file=self.process.stdin, flush=True)

    def answer(self):
        line = self.process.stdout.readline().rstrip("\r\n")
        expect(line, f"{self.system}: the contender died")
        return line.split("\t")

    def ask(self, *words):
        self.tell(*words)
        return self.answer()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def expect(true, message):
    if not true:
        sys.exit(f"mixed.py: FAILED: {message}")


def count(protocol, how):
    """Two processes of each system count together. Returns the count, and the names that are left in the directory."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        counter = folder / "counter"
        counter.write_text("0 0 nobody")
        systems = ["linux", "windows"] * 2
        contenders = [Contender(system, folder / "lock", protocol) for system in systems]
        for contender in contenders:
            # The answer shows that it has started, so that all begin at once.
            contender.ask("details")
        for contender in contenders:
            contender.tell(how, contender.path(counter), ROUNDS)
        for contender in contenders:
            answer = contender.answer()
            expect(answer == ["counted"], f"{protocol}: a {contender.system} process: {answer}")
        for contender in contenders:
            contender.end()
        counted = int(counter.read_text().split()[0])
        return counted, sorted(path.name for path in folder.iterdir() if path != counter)


def no_update_is_lost(protocol):
    counted, left = count(protocol, "count")
    expect(counted == 4 * ROUNDS, f"{protocol}: {counted} of {4 * ROUNDS} updates")
    expect(not left, f"{protocol}: leftovers: {left}")
    print(f"{protocol}: 2 Linux and 2 Windows processes, {counted} updates, none lost")


def without_the_lock_updates_are_lost():
    counted, _ = count("link", "count-unlocked")
    expect(counted < 4 * ROUNDS, "without the lock no update was lost, so the counter proves nothing")
    print(f"without the lock: {counted} of {4 * ROUNDS} updates, as expected")


def a_live_holder_of_the_other_system_is_not_taken_for_dead(protocol, holder, other):
    with tempfile.TemporaryDirectory() as folder:
        lock = pathlib.Path(folder, "lock")
        holder, other = (Contender(system, lock, protocol, HOUR_MS, 0) for system in (holder, other))
        held = holder.ask("acquire")
        expect(held[0] == "acquired", held)
        what = f"{protocol}: a {holder.system} lock, as {other.system} sees it"
        mine, theirs = holder.ask("details"), other.ask("details")
        # By its host name it could be a lock of the same system. The times differ, since Windows reads them in steps of 100 ns.
        expect(mine[:-1] == theirs[:-1] and theirs[1] == "held", f"{what}: {mine}, {theirs}")
        refused = other.ask("acquire", 100)
        expect(refused[:2] == ["error", "Timeout"], f"{what}: {refused}")
        expect(holder.ask("release")[0] == "released", what)
        expect(other.ask("acquire", 5000)[0] == "acquired", f"{what}: after its release")
        # It ends without a release. The other system does not see that, so the lock ends only with its lifetime.
        other.process.kill()
        other.process.wait()
        expect(holder.ask("details")[1] == "held", f"{what}: killed")
        holder.end()
    print(f"{what}: held, not abandoned")


def an_expired_lock_is_broken_by_the_other_system(protocol, holder, other):
    with tempfile.TemporaryDirectory() as folder:
        lock = pathlib.Path(folder, "lock")
        holder, other = (Contender(system, lock, protocol, 100, 0) for system in (holder, other))
        expect(holder.ask("acquire")[0] == "acquired", holder.system)
        taken = other.ask("acquire", 10_000)
        expect(taken[0] == "acquired", f"{protocol}: an expired {holder.system} lock: {taken}")
        lost = holder.ask("release")
        expect(lost[:2] == ["error", "Lost"], f"{protocol}: its {holder.system} holder: {lost}")
        holder.end()
        other.end()
    print(f"{protocol}: an expired {holder.system} lock is broken by {other.system}, and its holder gets an error")


def main():
    if len(sys.argv) != 3:
        return __doc__.strip()
    linux, windows = sys.argv[1:]
    PROGRAMS.update(linux=[linux], windows=[HERE / "winbuild", "run", windows])
    without_the_lock_updates_are_lost()
    for protocol in ("link", "dir"):
        for pair in (("linux", "windows"), ("windows", "linux")):
            a_live_holder_of_the_other_system_is_not_taken_for_dead(protocol, *pair)
            an_expired_lock_is_broken_by_the_other_system(protocol, *pair)
        no_update_is_lost(protocol)
    return 0


if __name__ == "__main__":
    sys.exit(main())
