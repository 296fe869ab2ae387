"""Tries one file system, in namespaces of its own or in a guest: inside.py NAME SETTINGS. `run` starts it. When it ends, so do
all daemons and mounts there, as it is the first process."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.dont_write_bytecode = True  # The work tree stays clean.
sys.path.append(str(Path(__file__).resolve().parent.parent / "interop"))

from catalogue import CATALOGUE
from ground import Ground, run
from machines import Machine
from peers import CannotRun
from trial import PROTOCOLS, Trial

GUESTS_DISK = Path("/srv/nfs")

# It takes ten seconds where nothing hangs.
DOCTOR_LIMIT_S = 120


def facts(directory):
    """What the system says about a file system: linklock decides by it."""
    magic = run("stat", "--file-system", "--format=%t", directory).stdout.strip()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, rest = line.partition(" - ")
        if mount.split(" ")[4] == str(directory):
            kind, source, options = rest.split(" ", 2)
            return f"f_type 0x{magic}, type {kind}, source {source}, options {options}"
    raise AssertionError(f"{directory} is no mount")


def hide_traces():
    """Daemons leave sockets and logs there."""
    for directory in ("/run", "/var/log"):
        run("mount", "-t", "tmpfs", "tmpfs", directory)


def try_file_system(file_system, programs, path):
    """Returns the outcome for each protocol."""
    if not file_system.in_guest:
        hide_traces()
    directories = file_system.mount(Ground(path / "ground"))
    for directory in dict.fromkeys(directories):
        print(f"  {facts(directory)}", flush=True)
    machines = [Machine(name, at) for name, at in zip(("alpha", "beta"), directories)]
    trials = [Trial(file_system, protocol, machines, programs, path) for protocol in PROTOCOLS]
    # A guest's processor is emulated: there one after the other.
    with ThreadPoolExecutor(1 if file_system.in_guest else None) as threads:
        doctor = threads.submit(verdicts, machines[0], file_system, programs)
        outcomes = list(threads.map(Trial.judge, trials))
    return {"outcomes": dict(zip(PROTOCOLS, map(str, outcomes))), "doctor": doctor.result()}


def verdicts(machine, file_system, programs):
    """What linklock doctor says of each protocol."""
    words = ["--json", "--separator", file_system.separator, machine.directory]
    done = machine.run(programs["linklock"], "doctor", *words, limit_s=DOCTOR_LIMIT_S)
    try:
        found = json.loads(done.stdout)
    except (AttributeError, ValueError):
        return dict.fromkeys(PROTOCOLS, f"it fails: {done and done.stderr.strip()}")
    for finding in found["findings"]:
        if finding["level"] in ("warning", "fault"):
            print(f"  [doctor] {finding['level']}: {finding['protocol'] or 'both'}: {finding['about']}: {finding['text']}", flush=True)
    return {protocol: found[protocol] for protocol in PROTOCOLS}


def main():
    settings = json.loads(Path(sys.argv[2]).read_text())
    file_system = next(entry for entry in CATALOGUE if entry.name == sys.argv[1])
    path = GUESTS_DISK if file_system.in_guest else Path(sys.argv[2]).parent
    try:
        result = try_file_system(file_system, settings["programs"], path)
    except CannotRun as e:
        result = {"cannot run": str(e)}
    Path(sys.argv[2]).with_name("result").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
