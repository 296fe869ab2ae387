"""tox: two runs of `tox -p` in one project, each with two environments. They share the environment that builds the package, so one
builds at a time. Below it, virtualenv locks what it unpacks."""

from pathlib import Path

from pair import PATIENCE_S, run_both

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "trivial"
version = "1"
"""

TOX = """
[tox]
env_list = a, b, c, d

[testenv]
package = wheel
commands = python -c "import trivial"
"""

# It runs while tox holds the lock.
BACKEND = """
import os, time, zipfile
from pathlib import Path

NAME = "trivial-1-py3-none-any.whl"
INFO = "trivial-1.dist-info"
METADATA = "Metadata-Version: 2.1\\nName: trivial\\nVersion: 1\\n"
WHEEL = "Wheel-Version: 1.0\\nGenerator: backend\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
HERE = Path(__file__).parent

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    lock = HERE / ".tox/.pkg/file.lock"
    kind = "directory" if lock.is_dir() else "file" if lock.is_file() else "nothing"
    alone = "together"
    try:
        (HERE / "building").mkdir()
        alone = "alone"
    except FileExistsError:
        pass
    with (HERE / "builds").open("a") as file:
        file.write(f"{kind} {alone}\\n")
    # Long enough for another to come.
    time.sleep(0.5)
    if alone == "alone":
        (HERE / "building").rmdir()
    with zipfile.ZipFile(Path(wheel_directory, NAME), "w") as wheel:
        wheel.writestr("trivial.py", "")
        wheel.writestr(f"{INFO}/METADATA", METADATA)
        wheel.writestr(f"{INFO}/WHEEL", WHEEL)
        wheel.writestr(f"{INFO}/RECORD", "")
    return NAME
"""


def run(directory: Path):
    (directory / "pyproject.toml").write_text(PYPROJECT)
    (directory / "tox.ini").write_text(TOX)
    (directory / "backend.py").write_text(BACKEND)
    environment = {"VIRTUALENV_OVERRIDE_APP_DATA": str(directory / "app-data"), "PIP_NO_INDEX": "1", "TOX_PARALLEL_NO_SPINNER": "1"}
    said = run_both([["-m", "tox", "-p", "-e", names] for names in ("a,b", "c,d")], environment, directory)
    passed = sum(f"{name}: OK" in text for text in said for name in "abcd")
    builds = [line.split() for line in (directory / "builds").read_text().splitlines()]
    return {"passed": passed, "builds": [how for _, how in builds]}, [kind for kind, _ in builds]
