"""The Python packages."""

import os
import re
import shutil
import sys

from bare import Root
from peers import new_environment, other_pythons
from release import DIST, VERSION, call, fresh, not_run, of_release, printed, unpack

# The parts that no test of the package's own needs to be told of: it is found, its core is, and it locks.
USE = """
import os, sys, tempfile, threading
from linklock import Lock, TimeOutError
import linklock.filelock
with tempfile.TemporaryDirectory() as directory:
    for protocol in ("link", "dir"):
        path = os.path.join(directory, "job.lock")
        with Lock(path, keep_alive=True, protocol=protocol) as held:
            assert held.is_locked and os.path.lexists(path)
            try:
                Lock(path, default_timeout=0.1, protocol=protocol).lock()
                sys.exit("two holders")
            except TimeOutError:
                pass
        assert not os.listdir(directory), os.listdir(directory)
print("it locks:", sys.version.split()[0], os.uname().machine)
"""
FLUFL = "import flufl.lock, linklock; assert issubclass(flufl.lock.Lock, linklock.Lock), flufl.lock.Lock"


def wheels():
    """the Python packages"""
    on_this_machine()
    from_source()
    on_another_processor()
    musl()


def on_this_machine():
    for minor, python in {sys.version_info.minor: sys.executable, **other_pythons()}.items():
        fresh_python = new_environment(fresh(f"venv-3.{minor}"), python)
        install(fresh_python, "--no-index", "--find-links", DIST, "--only-binary", ":all:", f"linklock-flufl=={VERSION}")
        call(fresh_python, "-c", USE, env=bare_environment())
        call(fresh_python, "-c", FLUFL, env=bare_environment())


def from_source():
    python = new_environment(fresh("venv-source"))
    install(python, of_release(f"linklock-{VERSION}.tar.gz")[0])
    call(python, "-c", USE, env=bare_environment())


def on_another_processor():
    qemu = shutil.which("qemu-aarch64-static")
    if not qemu:
        not_run("the wheel for aarch64", "qemu-user-static is not installed")
        return
    # Only unpacked: what is run is run by qemu.
    root = Root("aarch64", "extract", "arm64", "python3")
    shutil.copy(qemu, root.path)
    (root.path / "proc").mkdir(exist_ok=True)
    unpack(of_release("linklock-*manylinux*_aarch64.whl")[0], root.path / "opt")
    root.run("/qemu-aarch64-static", "-E", "PYTHONPATH=/opt", "/usr/bin/python3.11", "-c", USE)


def musl():
    for wheel in of_release("linklock-*musllinux*.whl"):
        into = fresh("musl")
        unpack(wheel, into)
        needed = re.findall(r"NEEDED.*\[(.*)\]", printed("readelf", "--dynamic", next(into.glob("linklock/_core*.so"))))
        assert needed == ["libc.so"], f"{wheel.name} needs {needed}"
    not_run("the wheels for musl", "no Python that is linked with musl can be had here; they need only musl's libc.so")


def install(python, *what):
    call(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what)


def bare_environment():
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
