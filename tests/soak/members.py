"""One process of a crowd: it is started, stopped, let go on, killed."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

# A process that waits for an NFS server cannot be stopped before the answer.
STOPS_WITHIN_S = 1.0
THINKING, ACQUIRING, COUNTING, RELEASING = "TACR"


def now_ns():
    """On the histories' clock."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Member:
    """A running contender of an arena."""

    def __init__(self, name, arena, words, prefix, notes):
        self.name, self.arena = name, arena
        self.protocol = words["protocol"]
        self.doing_file = notes / f"{name}.doing"
        self.errors = notes / f"{name}.errors"
        self.stopped_until = None
        words = {**words, "name": name, "doing": self.doing_file}
        program, path = words.pop("program"), words.pop("path")
        with self.errors.open("w") as errors:
            command = [*prefix, program, path, *(f"{key}={value}" for key, value in words.items())]
            self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stderr=errors)

    def doing(self):
        """What it does, and its own pid: that of the started program, or of the one below unshare(1). None before it tells."""
        try:
            what, pid = self.doing_file.read_text().split()
            return what, int(pid)
        except (FileNotFoundError, ValueError):
            return None

    def has_ended(self):
        return self.process.poll() is not None

    def stop(self):
        """Stops it. Returns what it is doing, or None if it cannot be stopped now: then it goes on."""
        doing = self.doing()
        if self.has_ended() or not doing:
            return None
        os.kill(doing[1], signal.SIGSTOP)
        give_up = time.monotonic() + STOPS_WITHIN_S
        while time.monotonic() < give_up:
            if state_of(doing[1]) == "T":
                return self.doing()[0]
            time.sleep(0.001)
        os.kill(doing[1], signal.SIGCONT)
        return None

    def go_on(self):
        self.stopped_until = None
        doing = self.doing()
        if not self.has_ended() and doing:
            os.kill(doing[1], signal.SIGCONT)

    def kill(self):
        """Kills it. Returns when: before, and after it was gone."""
        doing, at = self.doing(), now_ns()
        if doing and not self.has_ended():
            os.kill(doing[1], signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait()
        return at, now_ns()

    def what_went_wrong(self):
        """Why it ended by itself."""
        return f"{self.name} ended with status {self.process.returncode}: {self.errors.read_text().strip()[-2000:]}"


def state_of(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def between(limits):
    return random.uniform(*limits)


def chance(percent):
    return random.randrange(100) < percent
