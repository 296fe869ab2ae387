"""Processes contend for DVC's HardlinkLock, alone and in its commands. It prints what is seen. The argument is an empty directory."""

import multiprocessing
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from dvc.lock import DEFAULT_TIMEOUT, LockError, make_lock

PATIENCE_S = 120
PROCESSES = 4
TURNS = 3
DIRECTORY = Path(sys.argv[1])
REPOSITORY = DIRECTORY / "repository"


def hardlink_lock(path, wait):
    claims = DIRECTORY / "claims"
    claims.mkdir(exist_ok=True)
    return make_lock(str(path), tmp_dir=str(claims), hardlink_lock=True, wait=wait)


def take_turns(path, counter):
    for _ in range(TURNS):
        with hardlink_lock(path, wait=True):
            read = int(counter.read_text())
            time.sleep(0.05)
            counter.write_text(str(read + 1))


def contend(path):
    counter = DIRECTORY / "counter"
    counter.write_text("0")
    processes = [multiprocessing.Process(target=take_turns, args=(path, counter)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE_S)
        print("exit status", process.exitcode)
        process.kill()
    print(f"{PROCESSES} processes, {TURNS} turns each: {counter.read_text()} turns counted")


def time_out(path):
    with hardlink_lock(path, wait=False):
        started = time.monotonic()
        try:
            with multiprocessing.Pool(1) as pool:
                pool.apply(lock_once, [path])
        except LockError as e:
            print("LockError:", e)
        print("it waited for its time-out:", DEFAULT_TIMEOUT <= time.monotonic() - started)


def lock_once(path):
    with hardlink_lock(path, wait=False):
        pass


def dvc(*words):
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", *words], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def report(what, process):
    said = process.communicate(timeout=PATIENCE_S)[0]
    errors = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", said).splitlines() if "ERROR" in line]
    print(f"$ dvc {what}: exit status {process.returncode}", *errors)


def commands():
    REPOSITORY.mkdir()
    names = [f"data{number}" for number in range(3)]
    for name in names:
        (REPOSITORY / name).write_text(name)
    report("init", dvc("init", "--no-scm"))
    report("config", dvc("config", "core.hardlink_lock", "true"))
    with hardlink_lock(REPOSITORY / ".dvc/tmp/lock", wait=False):
        report("add, while the lock is held", dvc("add", names[0]))
        waiting = dvc("--wait-for-lock", "add", names[0])
        time.sleep(DEFAULT_TIMEOUT + 1)
        print("it waits:", waiting.poll() is None)
    report("--wait-for-lock add", waiting)
    for name, process in [(name, dvc("--wait-for-lock", "add", name)) for name in names]:
        report(f"--wait-for-lock add {name}, beside others", process)
    print("added:", sorted(path.name for path in REPOSITORY.glob("data*.dvc")))
    print("lock and claims left:", sorted(path.name for path in (REPOSITORY / ".dvc/tmp").glob("*lock*")))


def main():
    path = DIRECTORY / "lock"
    contend(path)
    time_out(path)
    print("left:", sorted(os.listdir(DIRECTORY)), os.listdir(DIRECTORY / "claims"))
    commands()


if __name__ == "__main__":
    main()
