"""Stops a process exactly before a system call of one's choice, see ptrace(2): so a fault hits one step of a protocol.

The thread that takes aim is the tracer, and must be the one that lets go. Only the process's first thread is stopped;
what others do in the background goes on.
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

# What x86-64 calls them, and which arguments are paths. `renameat2` with flags is not meant: NFS refuses it unasked.
CALLS = {
    86: ("link", 0, 1), 265: ("link", 1, 3),
    82: ("rename", 0, 1), 264: ("rename", 1, 3), 316: ("rename", 1, 3),
    87: ("unlink", 0), 263: ("unlink", 1),
    280: ("utimensat", 1),
    4: ("stat", 0), 6: ("stat", 0), 262: ("stat", 1), 332: ("stat", 1),
    2: ("open", 0), 257: ("open", 1), 83: ("mkdir", 0), 258: ("mkdir", 1), 84: ("rmdir", 0),
    3: ("close",), 0: ("read",), 1: ("write",), 217: ("getdents",), 138: ("fstatfs",), 137: ("statfs", 0),
}  # fmt: skip
RENAMEAT2 = 316

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid, address=0, data=0):
    if libc.ptrace(request, pid, address, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace request {request:#x}")


class Aim:
    """A contender that is stopped until it is told to run on. It must be waiting for a command when it is aimed at."""

    PATIENCE_S = 120

    def __init__(self, peer):
        self.pid = peer.pid
        ptrace(SEIZE, self.pid, 0, TRACESYSGOOD | EXITKILL)
        ptrace(INTERRUPT, self.pid)
        self._wait()

    def stop_before(self, name, meant):
        """Runs it up to the call of that name whose paths are `meant`, and stops it there."""
        for call, paths in self.calls():
            if call == name and meant(*paths):
                return

    def calls(self):
        """The calls that it makes, one by one: (name, paths), each before it is carried out."""
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
        """The call that it is about to make; None if it is none of CALLS, or comes back from one."""
        info = (ctypes.c_uint64 * 11)()
        ptrace(GET_SYSCALL_INFO, self.pid, ctypes.sizeof(info), ctypes.addressof(info))
        number, args = info[3], info[4:10]
        if info[0] & 0xFF != ENTRY or number not in CALLS or (number == RENAMEAT2 and args[4]):
            return None
        name, *paths = CALLS[number]
        return name, [self._text(args[i]) for i in paths]

    def _text(self, address):
        if not address:
            return ""  # An open file is meant.
        with Path(f"/proc/{self.pid}/mem").open("rb", buffering=0) as memory:
            return os.fsdecode(os.pread(memory.fileno(), 4096, address).split(b"\0")[0])

    def _wait(self):
        """The signal that it is stopped by."""
        give_up = time.monotonic() + self.PATIENCE_S
        while time.monotonic() < give_up:
            pid, status = os.waitpid(self.pid, WALL | os.WNOHANG)
            if pid:
                assert os.WIFSTOPPED(status), "the contender ended before it made the call that was aimed at"
                return os.WSTOPSIG(status)
            time.sleep(0.0005)
        raise AssertionError(f"the contender has not made the call that was aimed at within {self.PATIENCE_S} s")
