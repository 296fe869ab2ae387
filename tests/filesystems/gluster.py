"""GlusterFS: one server with its bricks, and two clients. A client stamps what it changes by its own clock, so in one of these
file systems the second client's clock is a minute ahead."""

import os
import time
from pathlib import Path

from ground import ADDRESS, run, until, with_address

AHEAD_S = 60
CLI = ("gluster", "--mode=script")


def one_brick(ground):
    return gluster(ground, ["one"])


def clock_ahead(ground):
    one, other = gluster(ground, ["one"], ahead=True)
    new = other / "new"
    new.touch()
    ahead_s = new.stat().st_ctime - time.time()
    assert ahead_s > AHEAD_S / 2, f"the client's clock is only {ahead_s:.0f} s ahead, so the test would prove nothing"
    new.unlink()
    return one, other


def replicated(ground):
    return gluster(ground, ["one", "two"], "replica", "2")


def distributed(ground):
    return gluster(ground, ["one", "two"])


def gluster(ground, bricks, *layout, ahead=False):
    with_address()
    Path("/var/log/glusterfs").mkdir()
    settings = ground.path / "glusterd.vol"
    packaged = Path("/etc/glusterfs/glusterd.vol").read_text()
    settings.write_text(packaged.replace("/var/lib/glusterd", str(ground.directory("glusterd"))))
    run("glusterd", "-f", settings, "-p", ground.path / "glusterd.pid", "-l", ground.path / "glusterd.log")
    until(lambda: run(*CLI, "volume", "list", must=False).returncode == 0, "glusterd answers")
    places = [f"{ADDRESS}:{ground.directory(brick)}/brick" for brick in bricks]
    run(*CLI, "volume", "create", "files", *layout, *places, "force")
    run(*CLI, "volume", "start", "files")

    def mount(to):
        log = f"--log-file={ground.path}/{to.name}.log"
        client = ["glusterfs", f"--volfile-server={ADDRESS}", "--volfile-id=files", log, to]
        run(*client, env={**os.environ, **(clock(ground) if ahead and to.name == "client-2" else {})})

    return ground.clients(mount)


def clock(ground):
    """The environment of a program whose clock is ahead."""
    library = ground.path / "ahead.so"
    run("cc", "-shared", "-fPIC", "-o", library, Path(__file__).with_name("ahead.c"))
    return {"LD_PRELOAD": str(library), "AHEAD_S": str(AHEAD_S)}
