"""Two virtual environments that differ in one package: in one is flufl.lock, in the other linklock-flufl in its place."""

import subprocess
import sys
from pathlib import Path

from peers import install_wheels, name_wheel, new_environment, package_python, pip

HERE = Path(__file__).resolve().parent
CONSTRAINTS = HERE / "constraints.txt"
# Their tests need these.
NEEDED = ["flufl.testing", "nose2", "pytest", "pytest-cov", "pytest-docker", "pytest-mock", "pytest-xdist", "dvc-ssh"]
SIDES = ("flufl.lock", "linklock")


def pinned(package):
    """`package==version`."""
    return next(line for line in CONSTRAINTS.read_text().splitlines() if line.startswith(f"{package}=="))


def environments(clients, target):
    """The Python of each side. The environments are kept between runs; linklock is built anew."""
    built = package_python(target)
    wheels = [*(target / "python/wheels").glob("*.whl"), name_wheel(built, target)]
    pythons = {side: clients_python(target / "clients" / side, clients) for side in SIDES}
    # As its README tells users.
    pip(pythons["linklock"], "uninstall", "--yes", "flufl.lock", why="pip could not uninstall flufl.lock")
    install_wheels(pythons["linklock"], *wheels)
    ask = "import flufl.lock; print(flufl.lock.Lock.__module__.split('.')[0])"
    found = [subprocess.check_output([python, "-c", ask], text=True).strip() for python in pythons.values()]
    assert found == ["flufl", "linklock"], f"the environments do not have the lock that they should have: {found}"
    return pythons


def clients_python(env, clients):
    made_of = "\n".join([sys.version, *clients, *NEEDED, CONSTRAINTS.read_text()])
    marker, python = env / "made-of", env / "bin/python"
    if not marker.exists() or marker.read_text() != made_of:
        new_environment(env)
        pip(python, "install", "--constraint", CONSTRAINTS, *clients, *NEEDED, why="pip could not install the clients")
        marker.write_text(made_of)
    return python
