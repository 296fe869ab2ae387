"""Recipes for mail: programs that messages are piped into, mailboxes, Mailman."""

import json
import os
import subprocess
import sys

from peers import ROOT, CannotRun, name_wheel
from world import assert_one_at_a_time, finish, need_program, package, until

# What mail systems know as EX_TEMPFAIL: the message is kept, and comes again.
LATER = 75
REFUSED = 74
MESSAGE = "From: a@example.com\nSubject: s\n\ntext\n"


def piped(world, *command):
    """A delivery of one message, as a mail system begins it."""
    process = world.start(*command, stdin=subprocess.PIPE)
    process.stdin.write(MESSAGE)
    process.stdin.close()
    process.stdin = None
    return process


def delivery(world):
    """three messages are filed one at a time; one that waits too long or loses the lock comes again, and a failure is passed on"""
    script = world.install("/usr/local/bin/deliver-in-turn", changes={"--timeout 1m": "--timeout 30s"})
    world.worker("file-message", 'cat >>"$JOURNAL.filed"; sleep 0.2')
    assert [finish(each).status for each in [piped(world, script) for _ in range(3)]] == [0, 0, 0]
    assert_one_at_a_time(world.words())
    assert (world.directory / "journal.filed").read_text() == MESSAGE * 3
    # A loss: linklock says 76, which would return the message.
    world.worker("file-message", f'linklock break --force "{world.shared}/filing.lock"; sleep 60')
    lost = world.text("/usr/local/bin/deliver-in-turn", changes={"-q": "-q --lifetime 6s"})
    ended = finish(piped(world, world.program("lost", lost)))
    assert ended.status == LATER and "TERM" in world.words(), ended
    world.program("file-message", "#!/bin/sh\nexit 67\n")
    assert finish(piped(world, script)).status == 67
    holder = world.holder("filing.lock")
    impatient = world.text("/usr/local/bin/deliver-in-turn", changes={"--timeout 1m": "--timeout 200ms"})
    ended = finish(piped(world, world.program("impatient", impatient)))
    assert (ended.status, ended.err) == (LATER, ""), ended
    holder.terminate()
    finish(holder)
    assert world.is_free("filing.lock")


def procmail(world):
    """procmail files a message; while another holds the lock for too long, it tells the mail system to come again, and files nothing"""
    program = need_program("procmail")
    world.install("/usr/local/bin/deliver-in-turn", changes={"--timeout 1m": "--timeout 200ms"})
    world.worker("file-message", 'cat >"$JOURNAL.filed"; true')
    box = world.directory / "box"
    rules = world.directory / "procmailrc"
    rules.write_text(f"PATH={world.env['PATH']}\nDEFAULT={box}\nLOGFILE={world.directory}/log\n" + world.text(".procmailrc"))
    # -p keeps the environment.
    deliver = [program, "-p", "-m", rules]
    ended = finish(piped(world, *deliver))
    assert ended.status == 0 and world.words() == ["begin", "end"], ended
    assert "Subject: s" in (world.directory / "journal.filed").read_text()
    holder = world.holder("filing.lock")
    ended = finish(piped(world, *deliver))
    assert ended.status == LATER and not box.exists(), ended
    assert world.words() == ["begin", "end"], world.journal()
    holder.terminate()
    finish(holder)


def mailbox(world):
    """the job waits for a mail program's dot-lock, and mail programs for the job; linklock refuses a dot-lock, and dotlockfile waits for linklock's"""
    dotlockfile = need_program("dotlockfile")
    script = world.install("/usr/local/bin/archive-mailbox", changes={"-r 10": "-r 100 -i 1"})
    world.worker("archive-old-mail", 'while [ ! -e "$JOURNAL.go" ]; do sleep 0.1; done')
    dot_lock = world.shared / "mbox.lock"
    once = [dotlockfile, "-l", "-q", "-r", "0"]
    # A mail program has the mailbox.
    assert world.run(*once, dot_lock).status == 0
    job = world.start(script)
    until(lambda: world.status("archive.lock")["state"] == "held", "the job has linklock's lock")
    refused = world.run("linklock", "run", "--timeout", "1m", dot_lock, "true")
    assert refused.status == REFUSED and "ordinary file" in refused.err, refused
    assert world.words() == [] and dot_lock.exists(), world.journal()
    assert world.run(dotlockfile, "-u", dot_lock).status == 0
    until(lambda: world.words() == ["begin"], "the job works")
    assert world.run(*once, "-p", dot_lock).status != 0, "a mail program has the mailbox beside the job"
    assert world.run(script).status == LATER, "a second job"
    world.journal_path.with_name("journal.go").touch()
    assert finish(job).status == 0 and world.words() == ["begin", "end"], world.journal()
    assert not dot_lock.exists() and world.is_free("archive.lock")
    # The table.
    for protocol, when_expired in ("link", 0), ("dir", 8):
        acquire = ["linklock", "acquire", "--pid", "none", "--lifetime", "1h", "--protocol", protocol, dot_lock]
        token = world.run(*acquire).out.strip()
        assert world.run(*once, dot_lock).status == 4, protocol
        for name in [dot_lock, *dot_lock.glob("*"), *world.shared.glob("mbox.lock|*")]:
            os.utime(name, (0, 0))
        assert world.run(dotlockfile, "-l", "-q", "-r", "2", "-i", "1", dot_lock).status == when_expired, protocol
        # Where dotlockfile has acquired it, a dot-lock is there now.
        assert world.run("linklock", "release", dot_lock, token).status == (REFUSED if when_expired == 0 else 0)
        dot_lock.unlink(missing_ok=True)


def mailman(world):
    """Mailman takes its locks from linklock: its master holds one until it is stopped"""
    python = package(world.target)
    wheels = [*(world.target / "python/wheels").glob("*.whl"), name_wheel(python, world.target)]
    home = world.directory / "mailman"
    script = world.program("install-mailman", world.text("/usr/local/bin/install-mailman").replace("/opt/mailman", str(home)))
    constraints = {**world.env, "PIP_CONSTRAINT": str(ROOT / "tests/clients/constraints.txt"), "HOME": os.environ["HOME"]}
    installed = subprocess.run([script, *wheels], env={**os.environ, **constraints}, capture_output=True, text=True)
    if installed.returncode:
        raise CannotRun(f"Mailman could not be installed: {(installed.stderr.strip().splitlines() or ['no message'])[-1]}")
    said = world.run(home / "bin/python", "-c", "import flufl.lock; print(flufl.lock.Lock.__module__)")
    assert said.out.startswith("linklock"), said
    var = world.shared / "var"
    runners = "archive bad bounces command digest lmtp nntp out pipeline rest retry shunt task virgin".split()
    (world.directory / "mailman.cfg").write_text(
        f"[mailman]\nlayout: here\n[paths.here]\nvar_dir: {var}\nbin_dir: {home}/bin\n[mta]\nincoming: mailman.mta.null.NullMTA\n"
        + "".join(f"[runner.{name}]\nstart: no\n" for name in runners)
    )
    as_root = ["--run-as-root"] if os.geteuid() == 0 else []
    call = [home / "bin/mailman", *as_root, "-C", world.directory / "mailman.cfg"]

    def held():
        listed = json.loads(world.run("linklock", "ls", "--json", var / "locks").out)["locks"]
        return [lock for lock in listed if lock["path"].endswith("master.lck") and lock["state"] == "held"]

    # A daemon keeps its output open.
    quiet = {"env": {**os.environ, **world.env}, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    assert subprocess.run([*call, "start"], **quiet).returncode == 0
    until(held, "the master holds its lock")
    [lock] = held()
    assert lock["protocol"] == "link" and lock["pid"], lock
    assert subprocess.run([*call, "stop"], **quiet).returncode == 0
    until(lambda: not held(), "the master has released its lock")
