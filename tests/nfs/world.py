"""The parts of the scenarios: lock paths on real NFS, contenders on its clients, faults, and the diaries of the holders.

All clients run on one kernel and share its clock, so their diaries can be compared. NFSVM_EXPORT shows the server's files
without NFS.
"""

import contextlib
import json
import os
import shutil
import stat
import subprocess
import time
import traceback
from pathlib import Path

import diary
from peers import Peer

EXPORT = Path(os.environ.get("NFSVM_EXPORT", "/srv/nfs"))
# A time-out for events that must happen. It measures nothing.
PATIENCE_S = 120
NS = 10**9
# Where one fault cannot hit two requests of one client at once, `dir` uses the third client in place of the first.
CLIENTS = (1, 2, 3)
# The fourth and the fifth have no faults, and are there so that more can be measured at once.
ALL_CLIENTS = (*CLIENTS, 4, 5)


def nfsvm(*words):
    subprocess.run(["nfsvm", *map(str, words)], check=True)


def on_client(k, *command):
    """The command that executes another one in client K's namespaces, as the same process."""
    return ["nsenter", f"--net=/run/netns/c{k}", f"--uts=/run/uts/c{k}", "--", *map(str, command)]


def until(true, what, patience_s=PATIENCE_S):
    """Waits until `true()` is true, and returns its result."""
    give_up = time.monotonic() + patience_s
    while time.monotonic() < give_up:
        if found := true():
            return found
        time.sleep(0.02)
    raise AssertionError(f"it did not happen within {patience_s} s: {what}")


def shown(text):
    print(f"  shown: {text}", flush=True)


class Arena:
    """A lock of one protocol in its own directory, and its contenders."""

    def __init__(self, protocol, name, programs, version):
        self.protocol = protocol
        # The empty directory of a free lock stays at the lock path.
        self.leaves_directory = protocol == "dir" and version != "3"
        self.name = f"{name}-{protocol}"
        self.programs = programs
        self.own_client = {"link": 1, "dir": 3}[protocol]
        self.diary = Path(f"/run/diary-{self.name}")
        self.diary.unlink(missing_ok=True)
        self.peers = []
        os.mkdir(f"/mnt/c1/{self.name}")

    def path(self, client, lock="lock"):
        return f"/mnt/c{client}/{self.name}/{lock}"

    def peer(self, client, lifetime_s=60, grace_s=2, lock="lock", mount=None, queue=False, wake="poll", shared=False, slots=0):
        """A contender of linklock on that client, by its usual mount or another one, in the queue or not, with `wake`; one who
        shares the lock or not, or contends for so many slots of it."""
        path = f"{mount}/{self.name}/{lock}" if mount else self.path(client, lock)
        times = [round(lifetime_s * 1000), round(grace_s * 1000)]
        switches = {"CONTEND_QUEUE=1": queue, "CONTEND_SHARED=1": shared, f"CONTEND_SLOTS={slots}": slots}
        environment = ["env", f"CONTEND_WAKE={wake}", *(name for name, is_on in switches.items() if is_on)]
        command = [*environment, self.programs["contend"], path, *times, self.protocol, self.diary]
        who = "a reader" if shared else self.protocol
        return self._started(f"{who} on c{client}", client, command)

    def flufl_peer(self, client, lifetime_s):
        """A contender of flufl.lock, with its default slop and pauses."""
        script = Path(__file__).parents[1] / "interop/flufl_peer.py"
        command = [self.programs["flufl"], script, self.path(client), round(lifetime_s * 1000)]
        return self._started(f"flufl on c{client}", client, command)

    def hub_peer(self, client, turns):
        """A process that counts under huggingface_hub's lock, which is linklock's there."""
        script = Path(__file__).with_name("hub_peer.py")
        paths = [self.path(client), self.path(client, "counter"), turns, self.diary]
        # It has no home in the guest.
        command = ["env", "HF_HOME=/run/hub", self.programs["hub"], script, *paths]
        return self._started(f"huggingface_hub on c{client}", client, command)

    def _started(self, kind, client, command):
        peer = Peer(kind, *on_client(client, *command))
        self.peers.append(peer)
        return peer

    # --- The steps at which faults are aimed ---

    def takes_the_lock(self):
        """The call that makes the claim the lock."""
        return {"link": "link", "dir": "rename"}[self.protocol], lambda _, to: to.endswith("/lock")

    def is_what_tells_the_holder(self, path):
        """Whether the path is that of the lock's shared name (link), or of the entry below it (dir), whose name is unique."""
        return path.endswith("/lock") if self.protocol == "link" else "/lock/" in path

    def gives_it_back(self):
        return "unlink", self.is_what_tells_the_holder

    def breaks_it(self):
        """The call by which a breaker removes another's lock."""
        if self.protocol == "link":
            return "rename", lambda path, _: path.endswith("/lock")
        return self.gives_it_back()

    def moves_the_expiry_on(self):
        return "utimensat", lambda _: True

    # --- What is on the server ---

    def directory(self):
        return EXPORT / self.name

    def holder(self, lock="lock"):
        """The token of the claim at the lock path on the server; None if there is none."""
        path = self.directory() / lock
        try:
            if self.protocol == "link":
                return os.path.basename(path.read_text())
            return next(iter(os.listdir(path)), None)
        except FileNotFoundError:
            return None

    def holders(self, lock="lock"):
        """The tokens in the directory at the lock path of `dir`: one, or those of all readers."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(os.listdir(self.directory() / lock))
        return []

    def expiry_ns(self, lock="lock", token=None):
        path = self.directory() / lock
        if self.protocol == "link":
            return os.stat(path).st_mtime_ns
        entry = path / (token or self.holder(lock))
        attributes = os.stat(entry)
        lifetime_ns = json.loads(entry.read_text())["lifetime_ms"] * NS // 1000
        return max(attributes.st_mtime_ns, attributes.st_ctime_ns + lifetime_ns)

    def bell(self, lock="lock"):
        """What the bell beside the lock path says on the server; None if there is none."""
        try:
            return os.readlink(self.directory() / f"{lock}|bell")
        except FileNotFoundError:
            return None

    def check_nothing_is_left(self, *but):
        left = {name: self._content(name) for name in set(os.listdir(self.directory())) - set(but)}
        left = {name: content for name, content in left.items() if content or not self._may_stay(name)}
        assert not left, f"{self.protocol}: leftovers on the server: {left}"

    def _may_stay(self, name):
        """Whether an empty directory of this name is in nobody's way, since the next claim's rename replaces it."""
        if name.endswith("|break"):
            # While a process of the same client looks at a break lock's entry, its removal leaves a .nfs* file for a moment, and
            # rmdir fails.
            return True
        return self.leaves_directory and "|" not in name and bool((self.directory() / name).stat().st_mode & stat.S_ISVTX)

    def _content(self, name):
        path = self.directory() / name
        return sorted(os.listdir(path)) if path.is_dir() else "a file"

    def kill(self, peers_and_tokens):
        """Kills holders, and closes their pages of the diary, which they cannot do any more."""
        for peer, token in peers_and_tokens:
            peer.kill()
            with self.diary.open("a") as f:
                f.write(f"until {token} {time.time_ns()}\n")

    def dismiss(self):
        """Ends all contenders, those who came first last: else a waiter would take the lock of a holder that was killed, which the
        diary does not tell from two holders."""
        for peer in reversed(self.peers):
            peer.kill()
        self.peers = []

    def clear(self):
        self.dismiss()
        shutil.rmtree(f"/mnt/c1/{self.name}")

    # --- What the holders believed ---

    def beliefs(self):
        return diary.beliefs(self.diary)

    def overlaps(self):
        """Pairs of holders who trusted the same lock at the same time, but for readers, who may."""
        return [pair for pair in diary.overlaps(self.beliefs()) if not all(diary.is_shared(held[2]) for held in pair)]

    def sharers(self):
        """Pairs of readers who trusted the same lock at the same time."""
        return [pair for pair in diary.overlaps(self.beliefs()) if all(diary.is_shared(held[2]) for held in pair)]

    def check_one_holder(self):
        for first, second in self.overlaps():
            raise AssertionError(
                f"{self.protocol}: two holders for {(first[1] - second[0]) / NS:.3f} s: {first[2]} and {second[2]}"
            )
        self.judge()

    def judge(self):
        """Asks the judge of histories too. It takes an end that was noted as a deadline."""
        lines = [
            {
                "is": "acquired", "lock": diary.lock_of(token), "hold": token, "process": token, "shares": diary.is_shared(token),
                "asked": asked, "at": since, "until": till,
            }
            for since, till, token, asked in self.beliefs()
        ]  # fmt: skip
        if lines:
            history = self.diary.with_suffix(".history")
            history.write_text("".join(json.dumps(line) + "\n" for line in lines))
            done = subprocess.run([self.programs["judge"], history], capture_output=True, text=True)
            assert done.returncode == 0, f"{self.protocol}: the judge: {done.stdout}{done.stderr}"


class World:
    """One scenario's arenas, and the faults that hit them all."""

    def __init__(self, name, settings):
        self.name = name
        self.settings = settings
        self.version = settings["version"]
        self.arenas = []
        for protocol in ("link", "dir"):
            self.add_arena(protocol, name)

    def add_arena(self, protocol, name):
        self.arenas.append(Arena(protocol, name, self.settings["programs"], self.version))
        return self.arenas[-1]

    def note(self, what, rows):
        """Leaves the measured rows for `run`."""
        Path(self.settings["notes"], f"{what}-{self.version}.json").write_text(json.dumps(rows))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.heal(*CLIENTS)
        for arena in self.arenas:
            arena.clear()

    def heal(self, *clients):
        """Repairs the network and reconnects the clients at once. TCP alone would notice only with its next attempt."""
        for k in clients:
            nfsvm("heal", k)
            nfsvm("reconnect", k)


def say_where(error):
    where = [frame for frame in traceback.extract_tb(error.__traceback__) if "tests/nfs" in frame.filename]
    return ", ".join(f"{Path(frame.filename).name} line {frame.lineno}" for frame in where[-2:])
