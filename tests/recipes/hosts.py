"""Recipes for what starts jobs on hosts: cron, systemd, Slurm, containers."""

import configparser
import os
import re
import shlex
import signal
import subprocess

from peers import CannotRun
from world import HELD, UNTIL_ENDED, finish, need_program, until


def cron(world):
    """one of two hosts runs the job, and the other says nothing, though it comes after the job's end"""
    lines = world.text("/etc/cron.d/nightly", changes={"10m": "600s"}).splitlines()
    settings = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]+=", line))
    [job] = [line for line in lines if re.match(r"[0-9*]", line)]
    *_, user, command = job.split(None, 6)
    assert user == "backup" and "%" not in command, job
    world.worker("nightly-report", "true")
    # cron's shell and environment.
    env = {"HOME": "/", "SHELL": "/bin/sh", "LOGNAME": user, "JOURNAL": world.env["JOURNAL"], **settings}
    first = world.start("/bin/sh", "-c", command, env=env)
    until(lambda: "end" in world.words(), "the job has ended")
    late = world.run("/bin/sh", "-c", command, env=env)
    assert (late.status, late.out, late.err) == (HELD, "", ""), late
    assert world.words() == ["begin", "end"], world.journal()
    # The end of the hold: TERM for linklock, not for cron's shell.
    os.kill(world.status("nightly.lock")["pid"], signal.SIGTERM)
    assert finish(first).err == "", "cron would send it by mail"
    assert world.is_free("nightly.lock")


def cron_that_must_be_done(world):
    """the job is done once a night; after a failure the next host does it"""
    script = world.install("/usr/local/bin/nightly-once")
    world.program("nightly-report", "#!/bin/sh\nexit 3\n")
    assert world.run(script).status == 3
    world.worker("nightly-report")
    hosts = [world.start(script) for _ in range(3)]
    assert [finish(host).status for host in hosts] == [0, 0, 0]
    assert world.words() == ["begin", "end"], world.journal()
    # Another night.
    world.program("date", "#!/bin/sh\necho 2030-01-01\n")
    assert world.run(script).status == 0
    assert world.words() == ["begin", "end"] * 2, world.journal()


def systemd_units(world):
    """systemd accepts the units, and the timer's job runs on one host"""
    analyze = need_program("systemd-analyze")
    world.worker("nightly-report", "true")
    world.worker("app")
    units = world.directory / "units"
    units.mkdir()
    for path in [path for path in world.page.files if path.startswith("/etc/systemd/system/")]:
        (units / path.rpartition("/")[2]).write_text(world.text(path))
    verify = [analyze, "verify", "--man=no", *sorted(units.iterdir())]
    seen = world.run(*verify)
    assert seen.status == 0 and "units/" not in seen.out + seen.err, seen
    # It would have said something.
    good = (units / "app.service").read_text()
    (units / "app.service").write_text(good.replace("KillMode", "KillingMode"))
    assert "KillingMode" in world.run(*verify).err
    unit = service(world, "nightly")
    first = world.start(*shlex.split(unit["ExecStart"]))
    until(lambda: "end" in world.words(), "the job has ended")
    assert world.run(*shlex.split(unit["ExecStart"])).status == int(unit["SuccessExitStatus"]) == HELD
    assert world.words() == ["begin", "end"], world.journal()
    first.terminate()
    finish(first)
    assert world.is_free("nightly.lock")


def service(world, name):
    parser = configparser.RawConfigParser()
    parser.optionxform = str
    parser.read_string(world.text(f"/etc/systemd/system/{name}.service"))
    unit = parser["Service"]
    # systemd sends TERM to the main process alone.
    assert unit["KillMode"] == "mixed", unit
    # Longer than --kill-after.
    assert int(unit["TimeoutStopSec"].removesuffix("s")) > 10, unit
    return unit


def systemd_service(world):
    """the application gets TERM once where it would get it twice, and a stand-by takes over"""
    command = shlex.split(service(world, "app")["ExecStart"])
    world.program("app", '#!/bin/sh\ntrap \'echo TERM app $$ >>"$JOURNAL"\' TERM\necho begin app $$ >>"$JOURNAL"\n'
                         "while [ ! -e \"$JOURNAL.stop\" ]; do sleep 0.1; done\n")
    active = world.start(*command)
    until(lambda: world.words() == ["begin"], "the application works")
    standby = world.start(*command)
    app = int(world.journal()[0][2])
    # KillMode=mixed.
    active.send_signal(signal.SIGTERM)
    until(lambda: world.words() == ["begin", "TERM"], "the application has TERM")
    # KillMode=control-group would signal the application too.
    subprocess.run(["kill", "-TERM", str(app)], check=True)
    until(lambda: world.words() == ["begin", "TERM", "TERM"], "the application has a second TERM")
    stop = world.journal_path.with_name("journal.stop")
    stop.touch()
    ended = finish(active)
    stop.unlink()
    # systemd takes both for a clean stop.
    assert ended.status in (0, -signal.SIGTERM), ended
    until(lambda: world.words().count("begin") == 2, "the stand-by works")
    stop.touch()
    assert finish(standby).status == 0
    assert world.words().count("TERM") == 2, world.journal()
    assert world.is_free("app.lock")


def slurm(world):
    """four jobs of an array at a time; TERM to the batch process ends the work and frees its slot"""
    name = "convert.sbatch"
    assert "#SBATCH --signal=B:TERM@" in world.text(name)
    script = world.install(name)
    world.worker("convert-part", UNTIL_ENDED)
    jobs = [world.start(script, env={**world.env, "SLURM_ARRAY_TASK_ID": str(n)}) for n in range(1, 6)]
    until(lambda: world.words() == ["begin"] * 4, "four jobs work")
    slots = [world.status(f"licence.{slot}") for slot in range(1, 5)]
    assert {slot["state"] for slot in slots} == {"held"}, slots
    # The batch process is linklock, by exec.
    preempted = next(job for job in jobs if job.pid == slots[0]["pid"])
    preempted.terminate()
    # The work's own.
    assert finish(preempted).status == 143
    until(lambda: world.words().count("begin") == 5, "the fifth job works")
    assert world.words().count("TERM") == 1, world.journal()
    # What happens without it: the shell does not pass the signal on.
    plain = world.program("plain", script.read_text().replace("exec linklock", "linklock", 1) + "exit\n")
    rest = [job for job in jobs if job is not preempted]
    for job in rest:
        job.terminate()
    for job in rest:
        finish(job)
    begun = world.words().count("begin")
    shell = world.start(plain, env={**world.env, "SLURM_ARRAY_TASK_ID": "6"})
    until(lambda: world.words().count("begin") == begun + 1, "the job works")
    shell.terminate()
    shell.wait()
    held = [slot for slot in range(1, 5) if not world.is_free(f"licence.{slot}")]
    assert held, "a job without exec ended on TERM, so the recipe's reason for it is wrong"


def container(world, name, *command):
    """Runs a command as process 1 of process numbers of its own, with a host name of its own."""
    words = " ".join(shlex.quote(str(word)) for word in command)
    # The shell becomes the command.
    inside = f"hostname {name} && exec {words}"
    return world.start("unshare", "--pid", "--uts", "--fork", "--mount-proc", "--kill-child", "sh", "-c", inside)


def needs_namespaces(world):
    need_program("unshare")
    tried = world.run("unshare", "--pid", "--uts", "--fork", "--mount-proc", "true")
    if tried.status:
        raise CannotRun(f"no namespaces: {tried.err.strip()}")


SHORT = {"--hold 10m": "--hold 1s", "--lifetime 30s": "--lifetime 2s"}


def docker(world):
    """a killed container's lock lasts for lifetime + grace, without namespaces it is free at once; process 1 passes TERM on"""
    needs_namespaces(world)
    words = shlex.split(world.text("start-report", changes=SHORT), comments=True)
    assert words[:2] == ["docker", "run"] and f"{world.shared}:{world.shared}" in words, words
    command = words[words.index("linklock"):]
    patient = [command[0], command[1], "--grace", "1s", *[word for word in command[2:] if word != "-n"]]
    world.worker("nightly-report", UNTIL_ENDED)
    killed = container(world, "one", *command)
    until(lambda: world.words() == ["begin"], "the first container works")
    killed.kill()
    killed.wait()
    # The same host name, and other processes.
    assert finish(container(world, "one", *command)).status == HELD
    # After the expiry and the grace.
    heir = container(world, "two", *patient)
    until(lambda: world.words() == ["begin"] * 2, "another container works")
    [one] = subprocess.run(["pgrep", "-P", str(heir.pid)], capture_output=True, text=True, check=True).stdout.split()
    assert world.status("nightly.lock")["pid"] == 1, world.status("nightly.lock")
    subprocess.run(["kill", "-TERM", one], check=True)
    # unshare ends as its child does.
    assert finish(heir).status in (143, -signal.SIGTERM)
    assert world.words() == ["begin", "begin", "TERM"], world.journal()
    assert world.is_free("nightly.lock")
    # --pid host --uts host: the machine's own names. The lifetime is too long to wait for.
    long = [word if word != "2s" else "10h" for word in command]
    killed = world.start(*long)
    until(lambda: world.words().count("begin") == 3, "the third works")
    killed.kill()
    killed.wait()
    heir = world.start(*[word for word in long if word != "-n"])
    until(lambda: world.words().count("begin") == 4, "the fourth works immediately")
    heir.terminate()
    finish(heir)
    assert world.is_free("nightly.lock")


def kubernetes(world):
    """the job's command runs once, and the pod that finds the lock held ends with 0"""
    needs_namespaces(world)
    from tools import yaml  # ansible-core's parser.

    job = yaml(world, world.text("cronjob.yaml", changes={"30s, --pr": "2s, --pr"}))
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    [inside] = pod["containers"]
    [mount], [volume] = inside["volumeMounts"], pod["volumes"]
    assert mount["mountPath"] == str(world.shared) and mount["name"] == volume["name"], pod
    assert int(pod["terminationGracePeriodSeconds"]) > 10 and pod["restartPolicy"] == "Never", pod
    world.worker("nightly-report")
    first = container(world, "nightly-1", *inside["command"])
    until(lambda: "end" in world.words(), "the job has ended")
    second = finish(container(world, "nightly-2", *inside["command"]))
    assert (second.status, second.out, second.err) == (0, "", ""), second
    assert world.words() == ["begin", "end"], world.journal()
    first.kill()
