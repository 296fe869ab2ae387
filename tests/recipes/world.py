"""A page's files, and the world in which a test runs them."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

from peers import PATIENCE_S, ROOT, CannotRun, package_python

PAGES = ROOT / "docs/recipes"
# The names in the recipes that a test puts its own directories in place of.
SHARED = "/srv/shared"
PROGRAMS = "/usr/local/bin"
# linklock's status if another holds the lock.
HELD = 75
# What a worker does for as long as the test lasts, also after its linklock was killed: the world's end removes the journal.
UNTIL_ENDED = 'while [ -e "$JOURNAL" ]; do sleep 0.2; done'


class Page:
    """The files on a page: the blocks of code, each named by a comment in its first or second line."""

    def __init__(self, name):
        self.name = name
        self.files = {}
        self.used = set()
        for language, text in re.findall(r"^```(\w+)\n(.*?)^```$", (PAGES / f"{name}.md").read_text(), re.M | re.S):
            named = re.match(r"(?:#!.*\n)?# (\S+)\n", text)
            assert named, f"{name}.md: a block of {language} has no name:\n{text}"
            assert named[1] not in self.files, f"{name}.md has two files {named[1]}"
            self.files[named[1]] = text
        assert self.files, f"{name}.md has no files"


class World:
    """A directory that stands for all hosts: /srv/shared, and the programs."""

    def __init__(self, directory, page, target):
        self.page, self.target = page, target
        self.directory = directory
        self.shared, self.bin = directory / "shared", directory / "bin"
        for path in (self.shared, self.bin):
            path.mkdir()
        self.linklock = target / "debug/linklock"
        (self.bin / "linklock").symlink_to(self.linklock)
        self.journal_path = directory / "journal"
        self.env = {"PATH": f"{self.bin}:{os.environ['PATH']}:/usr/sbin:/sbin", "HOME": str(directory), "LANG": "C.UTF-8"}
        self.env["JOURNAL"] = str(self.journal_path)
        self.started = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.started:
            if process.poll() is None:
                # Each leads a process group of its own.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def text(self, name, **changes):
        """A file of the page, with this world's directories, and with other words where a test must not wait for long."""
        self.page.used.add(name)
        text = self.page.files[name]
        for old, new in changes.pop("changes", {}).items():
            assert old in text, f"{self.page.name}.md: {name} no longer contains {old!r}"
            text = text.replace(old, new)
        return text.replace(SHARED, str(self.shared)).replace(PROGRAMS, str(self.bin))

    def install(self, name, **changes):
        """The same, as a program of the world."""
        return self.program(Path(name).name, self.text(name, **changes))

    def program(self, name, text):
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def worker(self, name, body="sleep 0.5"):
        """A program that notes its begin and its end. On TERM it notes that and ends."""
        return self.program(name, (
            '#!/bin/sh\nwork=$(basename "$0")\nnote() { echo "$1 $work $$" >>"$JOURNAL"; }\n'
            f"trap 'note TERM; exit 143' TERM\nnote begin\n{body} &\nwait $! || exit\nnote end\n"
        ))

    def journal(self):
        """What the workers have noted: (begin, end or TERM; the program; its process)."""
        text = self.journal_path.read_text() if self.journal_path.exists() else ""
        return [tuple(line.split()) for line in text.splitlines()]

    def words(self):
        return [word for word, *_ in self.journal()]

    def start(self, *command, **options):
        options = {"cwd": self.directory, "env": self.env, "text": True, "stdin": subprocess.DEVNULL, **options}
        process = subprocess.Popen(
            [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, **options
        )
        self.started.append(process)
        return process

    def run(self, *command, **options):
        """The ended process's status, output and errors."""
        return finish(self.start(*command, **options))

    def holder(self, lock, *options):
        """A process that holds the lock until it is ended."""
        process = self.start(self.linklock, "run", "--protocol", "dir", *options, self.shared / lock, "--", "sleep", "600")
        self.until_held(lock)
        return process

    def status(self, lock):
        return json.loads(self.run(self.linklock, "status", "--json", self.shared / lock).out)

    def is_free(self, lock):
        return self.status(lock)["state"] == "free"

    def until_held(self, lock):
        until(lambda: self.status(lock)["state"] == "held", f"{lock} is held")


class Ended:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return f"status {self.status}\nstdout: {self.out}\nstderr: {self.err}"


def finish(process):
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"{process.args} did not end within {PATIENCE_S} s") from None
    return Ended(process.returncode, out, err)


def until(condition, what):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.05)


ONE_BUILDS = threading.Lock()
BUILT = []


def package(target):
    """The Python of an environment with this project's package, built once, and with gunicorn."""
    with ONE_BUILDS:
        if not BUILT:
            BUILT.append(package_python(target, "gunicorn"))
        return BUILT[0]


def need_program(name):
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if not found:
        raise CannotRun(f"{name} is not installed")
    return found


def assert_one_at_a_time(words):
    assert words and len(words) % 2 == 0 and words == ["begin", "end"] * (len(words) // 2), words
