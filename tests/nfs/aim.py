"""Stops a process exactly before a chosen system call, see ptrace(2). So a fault hits one step of a protocol.

The thread that creates an Aim is the tracer, and must also end it. Only the process's first thread is stopped; its other
threads continue.
"""

import ctypes
import os
import signal
import time
from pathlib import Path

SEIZE, INTERRUPT, SYSCALL, DETACH, GET_SYSCALL_INFO = 0x4206, 0x4207, 24, 17, 0x420E
TRACESYSGOOD, EXITKILL = 0x1, 0x100000
AT_SYSCALL = signal.SIGTRAP | 0x80
WALL = 0x40000000
ENTRY = 1

# The numbers on x86-64, and which arguments are paths: a pair is the directory's descriptor and the path from there.
# Without `renameat2` with flags, which the NFS client refuses by itself, and without an open with O_PATH.
CALLS = {
    86: ("link", 0, 1), 265: ("link", (0, 1), (2, 3)),
    82: ("rename", 0, 1), 264: ("rename", (0, 1), (2, 3)), 316: ("rename", (0, 1), (2, 3)),
    87: ("unlink", 0), 263: ("unlink", (0, 1)),
    280: ("utimensat", (0, 1)),
    4: ("stat", 0), 6: ("stat", 0), 262: ("stat", (0, 1)), 332: ("stat", (0, 1)),
    2: ("open", 0), 257: ("open", (0, 1)), 83: ("mkdir", 0), 258: ("mkdir", (0, 1)), 84: ("rmdir", 0),
    3: ("close",), 0: ("read",), 1: ("write",), 217: ("getdents",), 138: ("fstatfs",), 137: ("statfs", 0),
}  # fmt: skip
UNLINKAT, RENAMEAT2, OPENAT = 263, 316, 257
O_PATH, AT_REMOVEDIR = 0o10000000, 0x200

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid, address=0, data=0):
    if libc.ptrace(request, pid, address, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace request {request:#x}")


class Aim:
    """A contender that is stopped until `let_go`. It must wait for a command when the Aim is created."""

    PATIENCE_S = 120

    def __init__(self, peer):
        self.pid = peer.pid
        ptrace(SEIZE, self.pid, 0, TRACESYSGOOD | EXITKILL)
        ptrace(INTERRUPT, self.pid)
        self._wait()

    def stop_before(self, name, meant):
        """Runs it to the call of that name for whose paths `meant` is true, and stops it there."""
        for call, paths in self.calls():
            if call == name and meant(*paths):
                return

    def calls(self):
        """Its calls, one by one: (name, paths), each before it is carried out."""
        deliver = 0
        while True:
            ptrace(SYSCALL, self.pid, 0, deliver)
            stopped_by = self._wait()
            deliver = 0 if stopped_by in (AT_SYSCALL, signal.SIGTRAP) else stopped_by
            call = self._entered() if stopped_by == AT_SYSCALL else None
            if call:
                yield call

    def let_go(self):
        ptrace(DETACH, self.pid)

    def _entered(self):
        """The call that it is about to make; None if the call is not in CALLS, or if it returns from a call."""
        info = (ctypes.c_uint64 * 11)()
        ptrace(GET_SYSCALL_INFO, self.pid, ctypes.sizeof(info), ctypes.addressof(info))
        number, args = info[3], info[4:10]
        if info[0] & 0xFF != ENTRY or number not in CALLS or (number == RENAMEAT2 and args[4]):
            return None
        name, *paths = CALLS[number]
        if name == "open" and args[paths[0][1] + 1 if number == OPENAT else 1] & O_PATH:
            return None
        if number == UNLINKAT and args[2] & AT_REMOVEDIR:
            name = "rmdir"
        return name, [self._path(args, at) for at in paths]

    def _path(self, args, at):
        if isinstance(at, int):
            return self._text(args[at])
        directory, path = ctypes.c_int(args[at[0]]).value, self._text(args[at[1]])
        if directory < 0 or not path or os.path.isabs(path):
            return path
        return os.path.join(os.readlink(f"/proc/{self.pid}/fd/{directory}"), path)

    def _text(self, address):
        if not address:
            return ""  # The call uses an open file.
        with Path(f"/proc/{self.pid}/mem").open("rb", buffering=0) as memory:
            return os.fsdecode(os.pread(memory.fileno(), 4096, address).split(b"\0")[0])

    def _wait(self):
        """The signal that stopped it."""
        give_up = time.monotonic() + self.PATIENCE_S
        while time.monotonic() < give_up:
            pid, status = os.waitpid(self.pid, WALL | os.WNOHANG)
            if pid:
                assert os.WIFSTOPPED(status), "the contender ended before the chosen call"
                return os.WSTOPSIG(status)
            time.sleep(0.0005)
        raise AssertionError(f"the contender did not make the chosen call within {self.PATIENCE_S} s")
