"""What the steps share: where a release is, what is said and asked, and commands."""

import re
import shutil
import subprocess
from pathlib import Path

from peers import ROOT, CannotRun

DIST = ROOT / "dist"
WORK = ROOT / "target/packaging"
VERSION = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]


def not_run(what, why):
    print(f"not run: {what}: {why}", flush=True)


def call(*command, through=(), **options):
    """Runs a command, maybe through others, which must succeed."""
    # Of a program in the command, the first line.
    print("+", *(str(word).strip().partition("\n")[0] for word in command), flush=True)
    return subprocess.run(list(map(str, [*through, *command])), check=True, **options)


def printed(*command, **options):
    return call(*command, stdout=subprocess.PIPE, text=True, **options).stdout


def of_release(pattern):
    """The files of a kind. A build that made none of them has said why."""
    found = sorted(DIST.glob(pattern))
    if not found:
        raise CannotRun(f"packaging/build has not made {pattern}")
    return found


def fresh(name):
    """An empty directory."""
    path = WORK / "tests" / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def unpack(package, into):
    """What a package would install, below a directory, without its scripts."""
    if package.suffix == ".deb":
        call("dpkg-deb", "--extract", package, into)
    elif package.suffix == ".rpm":
        with subprocess.Popen(["rpm2cpio", package], stdout=subprocess.PIPE) as archive:
            call("cpio", "--extract", "--make-directories", "--quiet", cwd=into, stdin=archive.stdout)
    elif package.suffix == ".whl":
        call("python3", "-m", "zipfile", "--extract", package, into)
    elif package.name.endswith((".tar.gz", ".crate")):
        call("tar", "--extract", "--file", package, "--directory", into)
    else:
        shutil.copy(package, into)


def clean_tree():
    """Whether what was built is what is committed."""
    return not printed("git", "status", "--porcelain", cwd=ROOT)
