"""Two machines on this one: each has its own host name, and linklock takes each for another boot.

linklock identifies a machine by its boot and by the namespaces of pids and of time. So each machine has a time namespace of
its own, with the same time in it: the diaries of both can be compared.
"""

import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "interop"))

from peers import Peer


class Machine:
    """A host name, and the directory in which this machine finds the locks."""

    def __init__(self, name, directory):
        self.name = name
        self.directory = Path(directory)
        keeper = ["sh", "-c", f"hostname {name} && echo $$ && exec sleep infinity"]
        command = ["unshare", "--uts", "--time", "--fork", "--kill-child", *keeper]
        # It keeps the namespaces, and ends with the file system's own ones.
        self.keeper = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.inside = ["nsenter", f"--target={self.keeper.stdout.readline().strip()}", "--uts", "--time", "--"]

    def run(self, *command, limit_s):
        """Runs a command here. None if it did not end in time."""
        try:
            return subprocess.run(self.inside + [str(word) for word in command], capture_output=True, text=True, timeout=limit_s)
        except subprocess.TimeoutExpired:
            return None

    def peer(self, *command):
        return Peer(self.name, *self.inside, *command)
