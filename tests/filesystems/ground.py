"""What all families of file systems need: to run commands, and to say why something cannot be mounted here."""

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "interop"))

from peers import CannotRun

# The address of all daemons of a file system, in a network namespace of their own. Some refuse the loopback's usual one.
ADDRESS = "10.98.0.1"
COMMAND_LIMIT_S = 60


@dataclass
class Ground:
    """An empty directory on this machine, for what a file system is made of."""

    path: Path

    def __post_init__(self):
        self.path.mkdir()

    def directory(self, name):
        made = self.path / name
        made.mkdir(parents=True, exist_ok=True)
        return made

    def clients(self, mount):
        """Two clients of one file system, each mounted by `mount(directory)`."""
        directories = [self.directory(f"client-{k}") for k in (1, 2)]
        for directory in directories:
            mount(directory)
            mounted(directory)
        return directories


def run(*command, must=True, **options):
    """Runs a command. Without its success, the file system cannot be mounted."""
    command = [str(word) for word in command]
    if not shutil.which(command[0]):
        raise CannotRun(f"not installed: {command[0]}")
    options = {"capture_output": True, "text": True, "timeout": COMMAND_LIMIT_S, **options}
    try:
        done = subprocess.run(command, **options)
    except subprocess.TimeoutExpired as e:
        raise CannotRun(f"it hangs: {' '.join(command)}") from e
    if must and done.returncode:
        raise CannotRun(f"{' '.join(command)}: {' '.join((done.stdout + done.stderr).split())[-300:]}")
    return done


def until(true, what, patience_s=COMMAND_LIMIT_S):
    give_up = time.monotonic() + patience_s
    while not true():
        if time.monotonic() > give_up:
            raise CannotRun(f"it did not happen within {patience_s} s: {what}")
        time.sleep(0.2)


def mounted(directory):
    until(directory.is_mount, f"{directory.name} is mounted", patience_s=15)


def with_address():
    run("ip", "link", "set", "lo", "up")
    run("ip", "addr", "add", f"{ADDRESS}/32", "dev", "lo")
