"""What a client did, as a list of lines: a test and its result, or a step and what was seen."""

import difflib
import os
import signal
import subprocess
import tomllib
import xml.etree.ElementTree
from pathlib import Path

DIFFERENCES = Path(__file__).with_name("differences.toml")
# A time-out for programs that must end. It measures nothing.
PATIENCE_S = 300
SHOWN_LINES = 30


class Failed(Exception):
    """The client could not be observed, so there is nothing to compare. Of what it printed, the end is shown."""

    def __init__(self, why, said=""):
        super().__init__("\n".join([why, *said.splitlines()[-SHOWN_LINES:]]))


def run(command, directory, cwd=None, **environment):
    """Runs it, with `directory` for its temporary files, and returns its exit status and what it printed."""
    environment = {**os.environ, "TMPDIR": str(directory), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    # Not a pipe: a daemon that stays would keep it open.
    said = directory / "said"
    with open(said, "w") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd or directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Failed(f"it did not end within {PATIENCE_S} s:", said.read_text()) from None
    return process.returncode, said.read_text()


def of_tests(report, said):
    """The tests' results from their JUnit report. Something must have passed, or nothing was tested."""
    if not report.exists():
        raise Failed("the tests left no report:", said)
    results = []
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        unusual = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        results.append(f"{case.get('classname')}.{case.get('name')}: {' '.join(unusual) or 'passed'}")
    if not any(line.endswith(": passed") for line in results):
        raise Failed("no test passed:", said)
    return sorted(results)


def of_steps(status, said):
    if status:
        raise Failed(f"it ended with status {status}:", said)
    return said.splitlines()


def left_processes(directory):
    """Ends the processes that still work below the directory, and says how many there were."""
    left = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if Path(os.readlink(process / "cwd").removesuffix(" (deleted)")).is_relative_to(directory):
                os.kill(int(process.name), signal.SIGKILL)
                left.append(process.name)
        except OSError:
            pass  # It has ended, or is another user's.
    return f"processes left: {len(left)}"


def difference(client, ours, theirs):
    """The lines that differ, without the differences on purpose; None if there are none."""
    known = tomllib.loads(DIFFERENCES.read_text()).get(client, {})
    ours, theirs = set_aside(known, client, "linklock", ours), set_aside(known, client, "flufl.lock", theirs)
    return "\n".join(difflib.unified_diff(theirs, ours, "flufl.lock", "linklock", lineterm="", n=2)) or None


def set_aside(known, client, side, lines):
    """The lines without those of tests whose result is known to differ. These must be as known."""
    for name, entry in known.items():
        if f"{name}: {entry[side]}" not in lines:
            raise Failed(f"{DIFFERENCES.name}, {client}: with {side}, {name} is no longer: {entry[side]}")
    return [line for line in lines if line.rpartition(": ")[0] not in known]
