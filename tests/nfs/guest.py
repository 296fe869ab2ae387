"""Runs scenarios in the guest: guest.py FILE-OF-SETTINGS [SCENARIO...]. `run` starts it, once for each boot."""

import json
import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # The work tree stays clean.
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../interop"))

import contention
import costs
import data
import delegations
import faults
import sharing
import slots
import waking
from peers import Refused
from world import NS, World, on_client, say_where, shown


def conformance(world):
    """Two clients ask this server the questions that the simulated server must answer in the same way."""
    views = [f"/mnt/c{client}/{world.arenas[0].name}" for client in (1, 2)]
    done = subprocess.run([world.settings["programs"]["linklock-sim"], "conformance", *views])
    assert done.returncode == 0, "the real server and the simulation gave different answers"


def doctor(world):
    """linklock doctor finds this mount fit for both protocols, and two clients that contend for its locks never overlap."""
    views = [f"/mnt/c{client}/{world.arenas[0].name}" for client in (1, 2)]
    command = [world.settings["programs"]["linklock"], "doctor", "--json", "--contend", "5s", *views]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    faults = [finding for finding in found["findings"] if finding["level"] in ("warning", "fault")]
    assert (done.returncode, found["link"], found["dir"], faults) == (0, "fit", "fit", []), done.stdout
    for finding in found["findings"]:
        if finding["about"] in ("lateness", "sight", "contention"):
            shown(f"{finding['protocol'] or 'both'}: {finding['text']}")
    left = [name for view in views for name in os.listdir(view)]
    assert not left, f"the doctor leaves {left}"


def free_dir_lock(world):
    """On NFS 4 it is an empty directory: in no contender's way, of neither protocol, and removed before flufl.lock comes back."""
    arena = next(arena for arena in world.arenas if arena.protocol == "dir")
    path, directory, holder = arena.path(2), arena.directory(), arena.peer(1)

    def linklock(*words):
        done = subprocess.run(on_client(2, arena.programs["linklock"], *words), capture_output=True, text=True)
        assert done.returncode == 0, f"linklock {words[0]}: {done.stderr}"
        return done.stdout

    def is_left():
        holder.ask("acquire")
        holder.ask("release")
        assert json.loads(linklock("status", "--json", path))["state"] == "free"
        return os.listdir(directory) == ["lock"]

    leaves = world.version != "3"
    for protocol in ("link", "dir"):
        assert is_left() == leaves, f"on the server: {os.listdir(directory)}"
        linklock("run", "--nonblock", "--protocol", protocol, path, "--", "true")
        assert os.listdir(directory) == (["lock"] if leaves and protocol == "dir" else [])
    shown("contenders of both protocols acquire it at once")
    flufl = arena.flufl_peer(2, lifetime_s=60)
    if leaves:
        faults.refused(flufl, "IsADirectoryError", "acquire")
    linklock("clean", "--yes", path)
    assert "lock" not in os.listdir(directory)
    flufl.ask("acquire")
    flufl.ask("release")
    shown("flufl.lock acquires it after `linklock clean`")


def clock_skew(world):
    """The server's clock differs by an hour: a lock is broken after lifetime and grace, not before."""
    lifetime_s, grace_s = 5, 2
    apart_s = os.stat(f"/mnt/c1/{world.arenas[0].name}").st_mtime - time.time()
    assert abs(apart_s) > 1800, f"the server's clock is only {apart_s:.0f} s ahead, so the test would prove nothing"
    shown(f"the server's clock is {apart_s:.0f} s ahead of the clients'")
    contenders = []
    for arena in world.arenas:
        expired, kept = arena.peer(1, lifetime_s, grace_s), arena.peer(1, lifetime_s, grace_s, lock="kept")
        breaker, rival = arena.peer(2, lifetime_s, grace_s), arena.peer(2, lifetime_s, grace_s, lock="kept")
        acquired = int(expired.ask("acquire")[1])
        kept.ask("acquire")
        kept.ask("keep-alive")
        for peer in (breaker, rival):
            peer.tell("acquire")
        contenders.append((arena, acquired, breaker, kept, rival))
    for arena, acquired, breaker, kept, rival in contenders:
        after_s = (int(breaker.answer()[1]) - acquired) / NS
        due_s = lifetime_s + grace_s
        # The diary shows that it was not early. A wrong clock would make it an hour late.
        assert due_s - 1 < after_s < due_s + 60, f"{arena.protocol}: broken after {after_s:.1f} s, due after {due_s} s"
        assert rival.is_silent_for(2 * due_s), f"{arena.protocol}: a lock with keep-alive was broken"
        kept.ask("release")
        rival.answer()
        shown(f"{arena.protocol}: broken after {after_s:.1f} s, due after {due_s} s; the lock with keep-alive is not broken")


# Each is called with a World, and fails by an exception. Afterwards no two holders may have trusted a lock at once.
SCENARIOS = [
    conformance,
    doctor,
    free_dir_lock,
    *faults.SCENARIOS,
    *delegations.SCENARIOS,
    *data.SCENARIOS,
    *contention.SCENARIOS,
    *sharing.SCENARIOS,
    *slots.SCENARIOS,
    *waking.SCENARIOS,
    costs.requests_of_a_cycle,
]
# They take minutes, and measure rather than test: for docs/nfs.md.
MEASUREMENTS = [
    costs.requests_while_waiting,
    costs.handoffs_after_long_holds,
    costs.mount_options,
    costs.turns,
    costs.requests_of_a_crowd,
]
# It needs a separate guest for the server.
APART = [clock_skew]


def run(scenario, settings):
    name = name_of(scenario)
    print(f"{settings['version']}: {name}: {scenario.__doc__}", flush=True)
    started = time.monotonic()
    try:
        with World(name, settings) as world:
            scenario(world)
            for arena in world.arenas:
                arena.check_one_holder()
        return True
    except Exception as e:
        what = e if isinstance(e, (AssertionError, Refused)) else repr(e)
        print(f"  FAILED: {what} ({say_where(e)})", flush=True)
        return False
    finally:
        print(f"  ({time.monotonic() - started:.0f} s)", flush=True)


def name_of(scenario):
    return scenario.__name__.replace("_", "-")


def main():
    with open(sys.argv[1]) as f:
        settings = json.load(f)
    names = sys.argv[2:]
    named = {name_of(scenario): scenario for scenario in [*SCENARIOS, *MEASUREMENTS, *APART]}
    unknown = [name for name in names if name not in named]
    if unknown:
        sys.exit(f"there is no such scenario: {', '.join(unknown)}; there are: {', '.join(named)}")
    chosen = [named[name] for name in names] or SCENARIOS
    results = [run(scenario, settings) for scenario in chosen]
    print(f"NFS {settings['version']}: {results.count(True)} passed, {results.count(False)} failed", flush=True)
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
