"""CephFS: one monitor, one store in memory, one metadata server, two clients by ceph-fuse."""

import os
import uuid

from ground import ADDRESS, run, until, with_address

SETTINGS = """[global]
fsid = {fsid}
mon host = {monitor}
mon initial members = x
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = true
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
osd crush chooseleaf type = 0
osd pool default crush rule = -1
osd objectstore = memstore
memstore device bytes = 1073741824
mon data avail crit = 1
mon data avail warn = 2
public addr = {address}
run dir = {path}
admin socket = {path}/$name.$pid.asok
log file = {path}/$name.log
pid file = {path}/$name.pid
mon data = {path}/mon
osd data = {path}/osd
mds data = {path}/mds
setuser match path =
"""


def cephfs(ground):
    with_address()
    fsid, store = uuid.uuid4(), uuid.uuid4()
    monitor = f"[v2:{ADDRESS}:3300,v1:{ADDRESS}:6789]"
    for name in ("mon", "osd", "mds"):
        ground.directory(name)
    settings = ground.path / "ceph.conf"
    settings.write_text(SETTINGS.format(fsid=fsid, monitor=monitor, address=ADDRESS, path=ground.path))
    os.environ["CEPH_CONF"] = str(settings)
    run("monmaptool", "--create", "--addv", "x", monitor, "--fsid", fsid, ground.path / "monmap")
    run("ceph-mon", "-i", "x", "--mkfs", "--monmap", ground.path / "monmap")
    run("ceph-mon", "-i", "x")
    run("ceph", "osd", "new", store, "0")
    run("ceph", "osd", "crush", "add", "osd.0", "1.0", "host=vm", "root=default")
    run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", store)
    run("ceph-osd", "-i", "0")
    run("ceph-mds", "-i", "a")
    for pool in ("data", "meta"):
        run("ceph", "osd", "pool", "create", pool, "8", "8")
    run("ceph", "fs", "new", "files", "meta", "data")
    until(lambda: "up:active" in run("ceph", "mds", "stat").stdout, "the metadata server is active")
    return ground.clients(lambda to: run("ceph-fuse", "-n", "client.admin", "--pid-file", f"{to}.pid", to))
