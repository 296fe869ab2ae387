"""Recipes for services: web workers, migrations, a cache."""

import os
import signal
import sqlite3
import sys

from world import HELD, finish, package, until

# A web application whose scheduler notes its process, and works until it must stop.
APP = """
import os, pathlib
journal = pathlib.Path(os.environ['JOURNAL'])

def run_jobs(stop):
    with journal.open('a') as file:
        file.write(f'begin scheduler {os.getpid()}\\n')
    stop.wait()
    with journal.open('a') as file:
        file.write(f'stop scheduler {os.getpid()}\\n')

def app(environ, start_response):
    start_response('200 OK', [])
    return [b'']
"""


def web_workers(world):
    """one worker of four schedules; when it is killed another takes over, and a broken lock stops it"""
    python = package(world.target)
    (world.directory / "app.py").write_text(APP)
    (world.directory / "gunicorn.conf.py").write_text(world.text("gunicorn.conf.py", changes={"lifetime=60": "lifetime=6"}))
    # A socket in the world's directory: the test is not reached from elsewhere.
    master = world.start(python.with_name("gunicorn"), "--bind", "unix:web", "app:app",
                         env={**world.env, "PYTHONPATH": str(world.directory), "PYTHONDONTWRITEBYTECODE": "1"})
    until(lambda: world.words() == ["begin"], "a worker schedules")
    until(lambda: len(children(master.pid)) == 4, "all workers work")
    first = world.journal()[0][2]
    assert int(first) in children(master.pid)
    assert world.status("scheduler.lock")["pid"] == int(first)
    os.kill(int(first), signal.SIGKILL)
    until(lambda: world.words() == ["begin", "begin"], "another worker schedules")
    second = world.journal()[1][2]
    assert second != first, world.journal()
    assert world.run(world.linklock, "break", "--force", world.shared / "scheduler.lock").status == 0
    until(lambda: ("stop", "scheduler", second) in world.journal(), "the scheduler has stopped")
    until(lambda: world.words().count("begin") == 3, "a worker schedules again")
    master.terminate()
    finish(master)
    assert world.words().count("begin") == 3, world.journal()
    # The dead holder's process has ended: nobody waits for its lifetime.
    assert world.status("scheduler.lock")["state"] in ("abandoned", "free")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def migrations(world):
    """three instances migrate once; one with an old number, or whose migration fails, does not start"""
    start, migrate = world.install("/usr/local/bin/start-app"), world.install("/usr/local/bin/migrate")
    world.env["PATH"] = f"{os.path.dirname(sys.executable)}:{world.env['PATH']}"
    world.worker("app", "true")
    database = world.shared / "app.db"
    instances = [finish(instance) for instance in [world.start(start) for _ in range(3)]]
    assert [instance.status for instance in instances] == [0, 0, 0], instances
    assert "".join(instance.out for instance in instances) == "version 1\nversion 2\n", instances
    assert world.words().count("begin") == 3, world.journal()
    with sqlite3.connect(database) as opened:
        noted = opened.execute("SELECT version, fence FROM schema").fetchall()
        assert [version for version, _ in noted] == [1, 2] and noted[0][1] == noted[1][1], noted
        opened.execute("INSERT INTO users VALUES ('name', 'mail')")
    # A machine that slept: its number is older.
    late = world.run(migrate, database, env={**world.env, "LINKLOCK_FENCE": str(noted[0][1] - 1)})
    assert late.status == 1 and "another instance migrates" in late.err, late
    world.program("migrate", "#!/bin/sh\nexit 4\n")
    assert world.run(start).status == 4
    assert world.words().count("begin") == 3, "the application started with an old schema"
    assert world.is_free("migrate.lock")


def build_cache(world):
    """an entry is built once for four who want it at a time, a failed build leaves none, and cleaning waits for readers"""
    cached, clean = world.install("/usr/local/bin/cached"), world.install("/usr/local/bin/clean-cache")
    cache = world.shared / "cache"
    cache.mkdir()
    world.program("build", '#!/bin/sh\necho "begin build $$" >>"$JOURNAL"\nsleep 0.5\necho "built $1"\n')
    users = [finish(user) for user in [world.start(cached, "key", "build", "it's") for _ in range(4)]]
    assert [(user.status, user.out) for user in users] == [(0, "built it's\n")] * 4, users
    assert world.words() == ["begin"], world.journal()
    failed = world.run(cached, "other", "false")
    assert failed.status == 1 and not (cache / "other").exists(), failed
    os.utime(cache / "key", (0, 0))
    # A reader, until its command ends.
    slow = 'echo "begin slow $$" >>"$JOURNAL"; while [ ! -e "$JOURNAL.go" ]; do sleep 0.1; done'
    reader = world.start(cached, "slow", "sh", "-c", slow)
    until(lambda: world.words() == ["begin", "begin"], "a reader works")
    cleaning = world.start(clean)
    newcomer = [world.linklock, "run", "-nqs", world.shared / "cache.lock", "--", "true"]
    until(lambda: world.run(*newcomer).status == HELD, "cleaning waits")
    assert (cache / "key").exists()
    world.journal_path.with_name("journal.go").touch()
    assert finish(reader).status == 0
    ended = finish(cleaning)
    assert ended.status == 0, ended
    assert not (cache / "key").exists() and (cache / "slow").exists()
    assert world.is_free("cache.lock")
