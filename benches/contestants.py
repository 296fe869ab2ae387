"""The contestants: linklock in all its forms, the floors, and the peers that this machine has or can install."""

import contextlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

from measure import ROOT
from peers import CannotRun, cargo, last_line, package_python, pip, target_dir

PYTHON_PEERS = ("flufl.lock", "filelock>=4", "fasteners")
BENCHES = ROOT / "benches"
NAMESPACES = ("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
ELSEWHERE = (*NAMESPACES, "sh", "-c", 'hostname elsewhere && exec "$@"', "-")


class Contestant:
    """A process with the commands of contestant.rs. `polls_s`: how long its waiter pauses at first between two looks, if it
    polls. `pairs`: how many pairs then run at once."""

    def __init__(self, name, *words, pairs=0, polls_s=0):
        self.name, self.words, self.pairs, self.polls_s = name, words, pairs, polls_s

    def command(self, path, *more):
        return [*self.words, path, *more]

    def elsewhere(self):
        """The same, with a host name and processes of its own, as if on another machine."""
        return Contestant(self.name, *ELSEWHERE, *self.words)


class Field:
    """All contestants by name, the programs, and why others are missing."""

    def __init__(self):
        self.target = target_dir()
        self.by_name, self.kept, self.missing = {}, {}, {}
        self.programs = build_programs(self.target, self.missing)
        self._add_rust()
        self._add_python()
        self._add_liblockfile()
        self._add_node()
        self.flock, self.strace = self.program("flock"), self.program("strace")
        self.dotlockfile = self.program("dotlockfile")

    def chosen(self, *names):
        """The available contestants with these names; without names all contestants."""
        return [self.by_name[name] for name in names or self.by_name if name in self.by_name]

    def versions(self):
        """Of the peers that take part."""
        python = "from importlib.metadata import version\nfor p in ('flufl.lock', 'filelock', 'fasteners'): print(p, version(p))"
        node = "console.log('proper-lockfile', require('proper-lockfile/package.json').version, 'on Node', process.versions.node)"
        packages = ["dpkg-query", "--show", "--showformat", "${Package} ${Version}\n", "liblockfile1", "util-linux"]
        for command in ([self.python, "-c", python], ["node", "-e", node], packages):
            environment = {**os.environ, "NODE_PATH": str(self.target / "node/node_modules")}
            with contextlib.suppress(OSError, TypeError):
                yield from subprocess.run(command, env=environment, capture_output=True, text=True).stdout.splitlines()

    def program(self, name):
        found = shutil.which(name) or (install_with_apt(name) and shutil.which(name))
        if not found:
            self.missing[name] = "not installed, and apt-get could not install it"
        return found

    def _add(self, name, *words, **options):
        self.by_name[name] = Contestant(name, *words, **options)

    def _add_rust(self):
        cargo("build", "--quiet", "--release", "--package", "linklock", "--example", "contestant")
        rust = self.target / "release/examples/contestant"
        for name, kind in {
            "floor of link": "link-floor",
            "floor of dir": "dir-floor",
            "linklock link": "link",
            "linklock dir": "dir",
            "File::lock": "flock",
        }.items():
            self._add(name, rust, kind)
        self.readers = {"linklock dir, shared": Contestant("", rust, "dir-shared"), "File::lock_shared": Contestant("", rust, "flock-shared")}
        self.slots = Contestant("", rust, "slots")

    def _add_python(self):
        try:
            self.python = package_python(self.target)
            pip(self.python, "install", "--quiet", *PYTHON_PEERS, why="pip could not install the peers in Python")
        except CannotRun as e:
            self.python = None
            self.missing["linklock in Python, flufl.lock, filelock, fasteners"] = str(e)
            return
        for name, kind, pairs, polls_s in (
            ("linklock Python", "linklock", 0, 0),
            ("linklock Python dir", "linklock-dir", 0, 0),
            ("linklock as filelock", "linklock-filelock", 0, 0),
            ("linklock as filelock, link", "linklock-filelock-link", 0, 0),
            ("flufl.lock", "flufl.lock", 12, 2),
            ("filelock soft", "filelock-soft", 2, 0.05),
            ("filelock soft, polls every 1 ms", "filelock-soft-1ms", 0, 0.001),
            ("filelock lease", "filelock-lease", 2, 0.05),
            ("filelock strict", "filelock-strict", 2, 0.05),
            ("filelock soft read-write", "filelock-soft-write", 4, 0.25),
            ("filelock read-write", "filelock-write", 2, 0.1),
            ("filelock flock", "filelock-flock", 2, 0.05),
            ("fasteners", "fasteners", 2, 0.1),
        ):
            self._add(name, self.python, BENCHES / "contestant.py", kind, pairs=pairs, polls_s=polls_s)
            self.kept[name] = Contestant(name, self.python, BENCHES / "contestant.py", f"{kind}-kept")
        for name, kind in (("linklock Python, shared", "linklock-shared"), ("filelock soft, reading", "filelock-soft-read")):
            self.readers[name] = Contestant("", self.python, BENCHES / "contestant.py", kind)

    def _add_liblockfile(self):
        python = self.python or shutil.which("python3")
        if has_library(python) or install_with_apt("liblockfile1") and has_library(python):
            self._add("liblockfile", python, BENCHES / "contestant.py", "liblockfile", pairs=8, polls_s=5)
        else:
            self.missing["liblockfile"] = "not installed, and apt-get could not be asked"

    def _add_node(self):
        node, npm = shutil.which("node"), shutil.which("npm")
        if not (node and npm):
            self.missing["proper-lockfile"] = "no node or no npm"
            return
        here = self.target / "node"
        here.mkdir(parents=True, exist_ok=True)
        if not (here / "node_modules/proper-lockfile").is_dir():
            command = [npm, "install", "--silent", "--prefix", here, "proper-lockfile@4"]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
            if done.returncode:
                self.missing["proper-lockfile"] = f"npm could not install it: {last_line(done.stdout + done.stderr)}"
                return
        packages = f"NODE_PATH={here / 'node_modules'}"
        script = ("env", packages, node, BENCHES / "contestant.js")
        self._add("proper-lockfile", *script, "default", pairs=8, polls_s=1)
        self._add("proper-lockfile, polls every 50 ms", *script, "50ms", pairs=2, polls_s=0.05)


def build_programs(target, missing):
    """The program, linked statically as README installs it, and as cargo builds it by default."""
    program = ("build", "--quiet", "--release", "--package", "linklock-cli")
    cargo(*program)
    dynamic = {"linklock run, dynamic": target / "release/linklock"}
    triple = f"{platform.machine()}-unknown-linux-musl"
    rustup = shutil.which("rustup") or Path.home() / ".cargo/bin/rustup"
    try:
        subprocess.run([rustup, "target", "add", triple], cwd=ROOT, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        missing["linklock run"] = f"rustup could not add {triple}"
        return dynamic
    cargo(*program, "--target", triple, "--config", 'build.rustflags=["-Crelocation-model=static"]')
    return {"linklock run": target / triple / "release/linklock", **dynamic}


def has_library(python):
    asked = "import ctypes; ctypes.CDLL('liblockfile.so.1')"
    return python and subprocess.run([python, "-c", asked], capture_output=True).returncode == 0


def install_with_apt(name):
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    package = {"flock": "util-linux", "dotlockfile": "liblockfile-bin"}.get(name, name)
    print(f"installing {package} with apt-get", flush=True)
    subprocess.run(["apt-get", "update", "--quiet=2"])
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(["apt-get", "install", "--quiet=2", "--yes", package], env=quiet).returncode == 0
