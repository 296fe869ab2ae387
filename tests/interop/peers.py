"""Code that the tests and benchmarks with flufl.lock share: building, virtual environments, and contenders."""

import json
import os
import queue
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A time-out for answers that must come. It measures nothing.
PATIENCE_S = 120
# The exit status of a test that could not be run, the same as automake's.
CANNOT_RUN = 77


class CannotRun(Exception):
    pass


def cargo(*args, **options):
    """Runs cargo in the workspace. A fresh root shell may lack it in its PATH."""
    found = shutil.which("cargo") or str(Path.home() / ".cargo/bin/cargo")
    try:
        return subprocess.run([found, *args], cwd=ROOT, check=True, **options)
    except FileNotFoundError as e:
        raise CannotRun("cargo is not installed") from e


def target_dir():
    metadata = cargo("metadata", "--no-deps", "--format-version=1", stdout=subprocess.PIPE).stdout
    return Path(json.loads(metadata)["target_directory"])


def new_environment(env, python=sys.executable):
    """A virtual environment with nothing in it yet. Returns its Python."""
    made = subprocess.run([python, "-m", "venv", "--clear", env], capture_output=True, text=True)
    if made.returncode:
        shutil.rmtree(env, ignore_errors=True)
        raise CannotRun(f"no virtual environment (python3-venv missing?): {last_line(made.stdout + made.stderr)}")
    return env / "bin/python"


def other_pythons():
    """Each other CPython from 3.9 on that is installed, by its minor version."""
    found = {}
    for minor in range(9, 20):
        kept = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3"))
        for python in [shutil.which(f"python3.{minor}"), *kept]:
            if python and minor != sys.version_info.minor and is_usable(python):
                found[minor] = python
    return found


def is_usable(python):
    ask = "import ensurepip, sys, venv; sys.exit(sys.implementation.name != 'cpython')"
    return subprocess.run([python, "-c", ask], capture_output=True).returncode == 0


def flufl_python(target, major=None):
    """The Python of a virtual environment with the newest flufl.lock, or the newest of this major version, and the version. The
    environment is kept between runs. An old major version is installed once; for the newest, pip asks each time."""
    env = target / (f"flufl-venv-{major}" if major else "flufl-venv")
    python = env / "bin/python"
    if not python.exists():
        new_environment(env)
    version = flufl_version(python) if major else None
    if version and version.split(".")[0] == major:
        return python, version
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"]
    wanted = f"flufl.lock=={major}.*" if major else "flufl.lock"
    installed = subprocess.run([*pip, "--upgrade", wanted], capture_output=True, text=True)
    version = flufl_version(python)
    if not version:
        raise CannotRun(f"pip could not install {wanted}: {last_line(installed.stderr)}")
    if installed.returncode:
        version += " (installed earlier: pip could not ask for a newer one)"
    return python, version


def flufl_version(python):
    """The version of flufl.lock that this Python has, or None."""
    show = "import importlib.metadata as m; print(m.version('flufl.lock'))"
    version = subprocess.run([python, "-c", show], capture_output=True, text=True)
    return None if version.returncode else version.stdout.strip()


def package_python(target, *needed):
    """The Python of a fresh virtual environment with this project's Python package, built and installed as a wheel, and
    with the packages `needed`, which come from pip's cache after the first run."""
    env, wheels = target / "python/venv", target / "python/wheels"
    python = new_environment(env)
    pip(python, "install", "maturin>=1.9.4,<2", *needed, why="pip could not install the needed packages")
    shutil.rmtree(wheels, ignore_errors=True)
    # A failure from here on is a fault of this project.
    quiet = ["--disable-pip-version-check", "--quiet", "--no-deps"]
    package = ROOT / "crates/linklock-py"
    wheel = [python, "-m", "pip", "wheel", *quiet, "--no-build-isolation", "--wheel-dir", wheels, package]
    subprocess.run(wheel, check=True, env={**os.environ, "PATH": f"{env / 'bin'}:{os.environ['PATH']}"})
    install_wheels(python, *wheels.glob("*.whl"))
    return python


def install_wheels(python, *wheels):
    """Installs what was built, whatever of the same version was there. A failure is a fault of this project."""
    quiet = ["--disable-pip-version-check", "--quiet", "--no-deps", "--force-reinstall"]
    subprocess.run([python, "-m", "pip", "install", *quiet, *wheels], check=True)


def name_wheel(python, target):
    """linklock-flufl, built as a wheel."""
    wheels = target / "python/name"
    shutil.rmtree(wheels, ignore_errors=True)
    with tempfile.TemporaryDirectory() as copied:
        # Its build leaves files beside the sources.
        source = shutil.copytree(ROOT / "crates/linklock-py/linklock-flufl", Path(copied) / "linklock-flufl")
        pip(python, "wheel", "--no-deps", "--wheel-dir", wheels, source, why="pip could not build linklock-flufl")
    return next(wheels.glob("*.whl"))


def sources_of(package, python, target, directory):
    """The source distribution, unpacked. The download is kept between runs."""
    kept = target / "python/sdist" / package
    if not list(kept.glob("*.tar.gz")):
        options = ["--no-binary", ":all:", "--no-deps", "--dest", kept]
        pip(python, "download", *options, package, why=f"pip could not download the sources of {package}")
    with tarfile.open(next(kept.glob("*.tar.gz"))) as archive:
        archive.extractall(Path(directory) / package, filter="data")
    return next((Path(directory) / package).iterdir())


def pip(python, *args, why):
    command = [python, "-m", "pip", "--disable-pip-version-check", "--retries", "1", *args]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print(done.stdout)
        raise CannotRun(f"{why}: {last_line(done.stdout)}")


def last_line(text):
    return (text.strip().splitlines() or ["no message"])[-1]


class Refused(Exception):
    """A contender's answer was an error: its kind and its message."""

    def __init__(self, kind, message):
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class Peer:
    """A contender in its own process. It answers each line with a line."""

    def __init__(self, kind, *command):
        self.kind = kind
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.answers = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def pid(self):
        return self.process.pid

    def _listen(self):
        for line in self.process.stdout:
            self.answers.put(line.rstrip("\n").split("\t"))
        self.answers.put(None)

    def tell(self, *words):
        print(*words, sep="\t", file=self.process.stdin, flush=True)

    def answer(self):
        try:
            words = self.answers.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise AssertionError(f"{self.kind} (process {self.pid}) did not answer within {PATIENCE_S} s") from None
        if words is None:
            raise AssertionError(f"{self.kind} (process {self.pid}) ended unexpectedly with status {self.process.wait()}")
        if words[0] == "error":
            raise Refused(words[1], words[2])
        return words

    def is_silent_for(self, seconds):
        """Whether no answer comes within this time. An answer that comes can still be read."""
        try:
            early = self.answers.get(timeout=seconds)
        except queue.Empty:
            return True
        self.answers.put(early)
        return False

    def ask(self, *words):
        self.tell(*words)
        return self.answer()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
