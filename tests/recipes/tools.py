"""Recipes for tools that people and machines start: make, Ansible, git, CI jobs, backups."""

import json
import os
import signal
import subprocess
import threading

from peers import new_environment, pip
from world import HELD, UNTIL_ENDED, assert_one_at_a_time, finish, need_program, until


ONE_INSTALLS = threading.Lock()


def make(world):
    """two builds wait for each other, the second finds nothing to do, and the inner make has the outer one's job slots"""
    program = need_program("make")
    (world.directory / "Makefile").write_text(world.text("Makefile"))
    world.program("compile", '#!/bin/sh\necho "begin $1 $$" >>"$JOURNAL"\necho "$MAKEFLAGS" >>flags\nsleep 0.3\necho "$1" >"$1"\n'
                             'echo "end $1 $$" >>"$JOURNAL"\n')
    builds = [world.start(program, "-j2") for _ in range(2)]
    for build in builds:
        ended = finish(build)
        assert ended.status == 0 and "jobserver" not in ended.err, ended
    assert sorted(world.words()) == ["begin", "begin", "end", "end"], world.journal()
    assert "jobserver" in (world.directory / "flags").read_text()
    assert (world.directory / "program").read_text() == "part-1\npart-2\n"
    assert world.is_free("build.lock")


def environment(world):
    """A virtual environment with ansible-core, which brings a parser of YAML. It is kept between runs."""
    env = world.target / "recipes-venv"
    with ONE_INSTALLS:
        if not (env / "bin/ansible-playbook").exists():
            pip(new_environment(env), "install", "--quiet", "ansible-core", why="pip could not install ansible-core")
    return env / "bin/python"


def yaml(world, text):
    read = "import json, sys, yaml; print(json.dumps(yaml.load(sys.stdin, yaml.BaseLoader)))"
    done = subprocess.run([environment(world), "-c", read], input=text, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def playbook(world, text):
    """Prepares ansible-playbook for a playbook that reaches this machine alone."""
    world.env["PATH"] = f"{environment(world).parent}:{world.env['PATH']}"
    world.env["ANSIBLE_LOCALHOST_WARNING"] = "false"
    (world.directory / "site.yml").write_text(text)
    return ["-i", "lockhost,", "-c", "local", "-e", f"ansible_python_interpreter={environment(world)}"]


def ansible_wrapped(world):
    """two who start a playbook deploy one after the other"""
    script = world.install("/usr/local/bin/deploy-site")
    options = playbook(world, "- hosts: all\n  gather_facts: false\n  tasks:\n    - command: deploy-step 1\n")
    world.worker("deploy-step", 'while [ ! -e "$JOURNAL.go" ]; do sleep 0.1; done')
    first = world.start(script, *options)
    until(lambda: world.words() == ["begin"], "the first deploys")
    second = world.start(script, *options)
    until(lambda: list(world.shared.glob("deploy.lock|*")), "the second waits")
    world.journal_path.with_name("journal.go").touch()
    for ended in finish(first), finish(second):
        assert ended.status == 0, ended
    assert world.words() == ["begin", "end"] * 2, world.journal()
    assert world.is_free("deploy.lock")


def ansible_tasks(world):
    """the lock is held between tasks, released after a failure, and no step begins after a loss"""
    options = playbook(world, world.text("site.yml"))
    run = ["ansible-playbook", *options, "site.yml"]
    # Each step looks who holds the lock.
    look = 'linklock status --json "{}" >"$JOURNAL.$1"'.format(world.shared / "tasks.lock")
    world.program("deploy-step", f'#!/bin/sh\n{look}\necho "step $1 $$" >>"$JOURNAL"\n')
    ended = world.run(*run)
    assert ended.status == 0, ended
    holders = [json.loads((world.directory / f"journal.{step}").read_text()) for step in (1, 2)]
    assert [holder["state"] for holder in holders] == ["held", "held"], holders
    assert holders[0]["token"] == holders[1]["token"], holders
    assert [step for _, step, _ in world.journal()] == ["1", "2"], world.journal()
    assert world.is_free("tasks.lock")
    # A failure.
    world.program("deploy-step", "#!/bin/sh\nexit 1\n")
    assert world.run(*run).status != 0
    assert world.is_free("tasks.lock")
    # A loss.
    broken = f'linklock break --force "{world.shared}/tasks.lock"'
    world.program("deploy-step", f'#!/bin/sh\necho "step $1 $$" >>"$JOURNAL.lost"\n{broken}\n')
    ended = world.run(*run)
    assert ended.status != 0 and '"rc": 76' in ended.out + ended.err, ended
    assert (world.directory / "journal.lost").read_text().startswith("step 1"), "the first step was taken"
    assert "step 2" not in (world.directory / "journal.lost").read_text(), "the second step was taken"


def git_hook(world):
    """two pushes that wait for the lock deploy the newest commit, whichever is first"""
    need_program("git")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
    bare, work, site = world.directory / "site.git", world.directory / "work", world.shared / "site"
    site.mkdir()
    for command in (["init", "-q", "--bare", bare], ["init", "-q", work]):
        assert world.run(*git, *command).status == 0
    hook = bare / "hooks/post-receive"
    hook.write_text(world.text("hooks/post-receive"))
    hook.chmod(0o755)
    holder = world.holder("site.lock")
    pushes = []
    for number in range(2):
        (work / "page").write_text(f"{number}\n")
        for command in (["add", "page"], ["commit", "-qm", "page"]):
            assert world.run(*git, "-C", work, *command).status == 0
        pushes.append(world.start(*git, "-C", work, "push", "-q", bare, "main"))
        newest = world.run(*git, "-C", work, "rev-parse", "main").out
        until(lambda: world.run(*git, "-C", bare, "rev-parse", "main").out == newest, "the push has arrived")
    assert not (site / "page").exists(), "a hook did not wait"
    holder.terminate()
    ended = [finish(push) for push in pushes]
    assert [push.status for push in ended] == [0, 0], ended
    assert "index.lock" not in ended[0].err + ended[1].err, ended
    assert (site / "page").read_text() == "1\n"
    assert world.is_free("site.lock")


def ci(world):
    """jobs run one after the other; when a runner kills one, its script ends, and the next acquires the lock immediately"""
    job = yaml(world, world.text(".github/workflows/deploy.yml"))["jobs"]["deploy"]
    [command] = [step["run"] for step in job["steps"] if "run" in step]
    assert int(job["timeout-minutes"]) > 30, job
    deploy = world.worker("deploy.sh")
    os.symlink(deploy, world.directory / "deploy.sh")
    step = world.program("step", command)
    runner = ["bash", "--noprofile", "--norc", "-eo", "pipefail", step]
    assert [finish(started).status for started in [world.start(*runner) for _ in range(2)]] == [0, 0]
    assert_one_at_a_time(world.words())
    world.worker("deploy.sh", UNTIL_ENDED)
    killed = world.start(*runner)
    until(lambda: world.words().count("begin") == 3, "the third job works")
    script = world.journal()[-1][2]
    os.kill(world.status("deploy.lock")["pid"], signal.SIGKILL)
    assert killed.wait() in (137, -signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{script}") or " Z " in stat(script), "deploy.sh has ended")
    cancelled = world.start(*runner)
    until(lambda: world.words().count("begin") == 4, "the next job works")
    waiting = world.start(*runner)
    until(lambda: list(world.shared.glob("deploy.lock|*")), "another job waits")
    os.killpg(waiting.pid, signal.SIGTERM)
    finish(waiting)
    until(lambda: not list(world.shared.glob("deploy.lock|*")), "nothing is left of the job that waited")
    # A runner signals all of a job.
    os.killpg(cancelled.pid, signal.SIGTERM)
    finish(cancelled)
    until(lambda: world.is_free("deploy.lock"), "the lock is released")
    assert "TERM" in world.words(), world.journal()


def stat(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read()
    except OSError:
        return " Z "


def restic(world):
    """backups run beside each other, pruning waits for them, and removes what a killed one left"""
    program = need_program("restic")
    backup, prune = world.install("/usr/local/bin/backup-host"), world.install("/usr/local/bin/prune-backups")
    world.env.update(RESTIC_REPOSITORY=str(world.shared / "restic"), RESTIC_PASSWORD="x")
    assert world.run(program, "init").status == 0
    (world.directory / "data").write_text("data\n")
    # Two backups that read until they are ended: they wait for stdin's end.
    reads, writes = os.pipe()
    slow = [world.start(backup, "--stdin", "--stdin-filename", "part", stdin=reads) for _ in range(2)]
    os.close(reads)
    locks = world.shared / "restic/locks"
    until(lambda: len(list(locks.iterdir())) == 2, "two backups work")
    pruning = world.start(prune)
    # Whoever waits for the lock is seen by newcomers.
    hit = world.run("linklock", "run", "-n", "--shared", world.shared / "restic.lock", "--", "true")
    until(lambda: world.run("linklock", "run", "-nq", "--shared", world.shared / "restic.lock", "--", "true").status == HELD,
          "pruning waits, and newcomers let it have its turn")
    assert hit.status in (0, HELD) and pruning.poll() is None, hit
    # One is killed, and leaves restic's lock; the other ends.
    slow[0].kill()
    slow[0].wait()
    os.write(writes, b"data")
    os.close(writes)
    ended = finish(slow[1])
    assert ended.status == 0, ended
    ended = finish(pruning)
    assert ended.status == 0, ended
    assert list(locks.iterdir()) == [], "restic's locks are left"
    assert world.run(backup, world.directory / "data").status == 0
    listed = json.loads(world.run(program, "snapshots", "--json").out)
    assert len(listed) == 2, listed
    assert world.is_free("restic.lock")


def rsync(world):
    """one mirror is written at a time; a second run ends at once with 0"""
    need_program("rsync")
    script = world.install("/usr/local/bin/mirror")
    source = world.directory / "source"
    source.mkdir()
    (source / "file").write_text("new\n")
    (world.shared / "mirror").mkdir()
    (world.shared / "mirror/old").touch()
    holder = world.holder("mirror.lock")
    beside = world.run(script, source)
    assert (beside.status, beside.out, beside.err) == (0, "", ""), beside
    assert [path.name for path in (world.shared / "mirror").iterdir()] == ["old"]
    holder.terminate()
    finish(holder)
    assert world.run(script, source).status == 0
    assert [path.name for path in (world.shared / "mirror").iterdir()] == ["file"]
    assert world.is_free("mirror.lock")
