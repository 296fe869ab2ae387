"""Soaks one ground: ground.py FILE-OF-SETTINGS. `run` starts it; in the guest for NFS."""

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

sys.dont_write_bytecode = True  # The work tree stays clean.

from arenas import named
from crowd import Crowd

SEGMENT_S_MOST = 240
SEGMENTS_LEAST = 3


class Ground:
    """Where the locks are, what is noted of them, and what was found so far."""

    def __init__(self, settings):
        self.settings = settings
        self.name = settings["ground"]
        self.programs = settings["programs"]
        self.arenas = named(settings["arenas"])
        self.clients = settings.get("clients", [])
        self.place = Path(settings.get("place", "/mnt/c1/soak"))
        # In the guest they must not be on a mount: the shared directory is as slow as the network.
        self.notes = Path("/run/soak") if self.clients else Path(settings["notes"])
        self.figures, self.violations = Counter(), []
        self.began = time.monotonic()
        for arena in self.arenas:
            directory = self.directory(arena)
            directory.mkdir(parents=True)
            if arena.counts:
                (directory / "counter").write_bytes(bytes(8))
        self.notes.mkdir(exist_ok=True)

    def directory(self, arena, client=None):
        return (Path(f"/mnt/c{client}/soak") if client else self.place) / arena.name

    def tally(self, arena):
        return self.notes / f"{arena.name}.tally"

    def say(self, text):
        print(f"{self.name}, {(time.monotonic() - self.began) / 60:.0f} min: {text}", flush=True)

    def violated(self, what):
        """Notes it, once: what a segment showed, the whole run shows again."""
        if what not in self.violations:
            self.violations.append(what)
            self.say(f"VIOLATION: {what}")

    # --- What was believed and counted ---

    def judge(self, arena, segments):
        """Judges the histories of an arena. Returns the judge's tally."""
        files = [self.notes / f"{segment}/{arena.name}.history" for segment in segments]
        done = subprocess.run([self.programs["judge"], "--json", *files], capture_output=True, text=True)
        if done.returncode not in (0, 1):
            self.violated(f"{arena.name}: {done.stderr.strip()}")
            return {}
        found = json.loads(done.stdout)
        for violation in found["violations"]:
            self.violated(f"{arena.name}: {violation}")
        if found["tally"]["locks"] > max(arena.slots, 1):
            self.violated(f"{arena.name}: its histories name {found['tally']['locks']} locks, so holds were not compared")
        return found["tally"]

    def check_counter(self, arena):
        """The numbers that were written: each once, and the last is still there."""
        lines = [line.split() for line in self.tally(arena).read_text().splitlines()] if self.tally(arena).exists() else []
        counter = self.directory(arena) / "counter"
        there = int.from_bytes(counter.read_bytes(), sys.byteorder)
        self.figures["increments"] += len(lines)
        if any(words[-1] == "in-doubt" for words in lines):
            # A holder came past its deadline, by a pause of the machine, so what it wrote proves nothing.
            self.figures["counters in doubt"] += 1
        elif sorted(int(words[0]) for words in lines) != list(range(1, there + 1)):
            self.violated(f"{arena.name}: the counter is at {there} after {len(lines)} increments: see {self.tally(arena).name}")
            return
        self.tally(arena).unlink(missing_ok=True)
        counter.write_bytes(bytes(8))

    # --- The run ---

    def soak(self):
        """Runs segments until the time is up or something is wrong."""
        total_s = self.settings["hours"] * 3600
        segment_s = min(SEGMENT_S_MOST, total_s / SEGMENTS_LEAST)
        segments = []
        while not self.violations and time.monotonic() < self.began + total_s - segment_s / 2:
            segments.append(f"{len(segments):04}")
            crowd = Crowd(self, segments[-1])
            try:
                crowd.contend(segment_s)
            finally:
                crowd.end()
            tallies = {arena.name: self.judge(arena, segments[-1:]) for arena in self.arenas}
            for arena in self.arenas:
                if arena.counts:
                    self.check_counter(arena)
            held = ", ".join(f"{name} {tally.get('holds', 0)}" for name, tally in tallies.items())
            self.say(f"segment {len(segments)} is judged; holds: {held}")
        whole = [self.judge(arena, segments) for arena in self.arenas]
        for key in ("holds", "shared", "killed", "expired", "operations", "refused"):
            self.figures[f"{key} judged"] = sum(tally.get(key, 0) for tally in whole)
        self.figures["violations"] = len(self.violations)
        self.figures["minutes"] = round((time.monotonic() - self.began) / 60)

    def leave(self):
        """Leaves the figures; after a violation, all there is."""
        kept = Path(self.settings["notes"])
        (kept / "figures.json").write_text(json.dumps(self.figures))
        self.say(f"figures: {json.dumps(self.figures)}")
        if self.violations:
            (kept / "violations").write_text("\n".join(self.violations) + "\n")
        if self.clients:
            shutil.copytree(self.notes, kept, dirs_exist_ok=True)
        if not self.violations:
            shutil.rmtree(self.place)
        elif self.clients:
            shutil.copytree(self.place, kept / "place", symlinks=True)
        else:
            self.say(f"the locks are kept in {self.place}")


def main():
    ground = Ground(json.loads(Path(sys.argv[1]).read_text()))
    try:
        ground.soak()
    finally:
        ground.leave()
    return 1 if ground.violations else 0


if __name__ == "__main__":
    sys.exit(main())
