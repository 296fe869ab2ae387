"""Starts and stops Mailman as an operator does, and prints what is seen at each step. The argument is an empty directory."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

PATIENCE_S = 60
DIRECTORY = Path(sys.argv[1])
BIN = Path(sys.executable).parent
VAR = DIRECTORY / "var"
PID = VAR / "master.pid"
CONFIGURATION = DIRECTORY / "mailman.cfg"
# One runner is enough, and none listens on a port.
OTHER_RUNNERS = "archive bad bounces command digest lmtp nntp out pipeline rest retry shunt task virgin".split()


def configure():
    CONFIGURATION.write_text(
        f"[mailman]\nlayout: here\n[paths.here]\nvar_dir: {VAR}\nbin_dir: {BIN}\n[mta]\nincoming: mailman.mta.null.NullMTA\n"
        + "".join(f"[runner.{name}]\nstart: no\n" for name in OTHER_RUNNERS)
    )


def mailman(*words):
    print("$ mailman", *words)
    as_root = ["--run-as-root"] if os.geteuid() == 0 else []
    # A daemon that it starts keeps its output open, so that is no pipe.
    with open(DIRECTORY / "console", "w+") as console:
        command = [BIN / "mailman", *as_root, "-C", CONFIGURATION, *words]
        status = subprocess.run(command, stdout=console, stderr=subprocess.STDOUT, timeout=PATIENCE_S).returncode
        console.seek(0)
        print(re.sub(r"pid: \d+", "pid: PID", console.read().strip()).replace(str(DIRECTORY), "DIRECTORY"))
    print("exit status", status)


def wait_for(what, condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    print(f"{what}: {'yes' if condition() else 'no'}")


def master():
    try:
        return int(PID.read_text())
    except (OSError, ValueError):
        return None


def processes():
    """The master and its runners, also those of an earlier master: they work in its directory."""
    return {int(process.name) for process in Path("/proc").glob("[0-9]*") if works_in_var(process)}


def works_in_var(process):
    try:
        return Path(os.readlink(process / "cwd")) == VAR
    except OSError:
        return False


def runners_started():
    log = VAR / "logs/mailman.log"
    return log.read_text().count("runner started.") if log.exists() else 0


def names_in_lock_directory():
    """Without the numbers of a claim file."""
    return sorted({name.split("|")[0] + ("|…" if "|" in name else "") for name in os.listdir(VAR / "locks")})


def start(*options):
    before = runners_started()
    mailman("start", *options)
    wait_for("its runner started", lambda: runners_started() == before + 1)
    print("processes:", len(processes()), "names in the lock directory:", names_in_lock_directory())
    mailman("status")


def main():
    configure()
    start()
    mailman("start")
    mailman("start", "--force")
    killed = master()
    os.kill(killed, signal.SIGKILL)
    # Until its parent has reaped it, Mailman takes it for a running one.
    wait_for("the killed master is gone", lambda: not Path(f"/proc/{killed}").exists())
    print("processes:", len(processes()))
    mailman("status")
    mailman("start")
    orphans = processes()
    start("--force")
    for orphan in orphans:
        os.kill(orphan, signal.SIGKILL)
    before = runners_started()
    mailman("restart")
    wait_for("its runner started again", lambda: runners_started() == before + 1)
    mailman("stop")
    wait_for("no process left", lambda: not processes())
    mailman("status")
    print("names in the lock directory:", names_in_lock_directory())


if __name__ == "__main__":
    main()
