"""MooseFS: one master, one chunk server, two clients."""

from ground import ADDRESS, run, with_address

# An empty file system; the master turns it into its own format.
NEW = "MFSM NEW"


def moosefs(ground):
    with_address()
    (ground.directory("master") / "metadata.mfs").write_text(NEW)
    (ground.path / "exports").write_text("* / rw,alldirs,admin,maproot=0:0\n")
    (ground.path / "disks").write_text(f"{ground.directory('disk')}\n")
    user = {"WORKING_USER": "root", "WORKING_GROUP": "root"}
    listen = {f"{who}_LISTEN_HOST": ADDRESS for who in ("MATOML", "MATOCS", "MATOCL")}
    master = {"DATA_PATH": ground.path / "master", "EXPORTS_FILENAME": ground.path / "exports", **listen}
    chunks = {
        "DATA_PATH": ground.directory("chunks"),
        "HDD_CONF_FILENAME": ground.path / "disks",
        "HDD_LEAVE_SPACE_DEFAULT": 0,
        "MASTER_HOST": ADDRESS,
        "BIND_HOST": ADDRESS,
        "CSSERV_LISTEN_HOST": ADDRESS,
    }
    for daemon, settings in (("mfsmaster", master), ("mfschunkserver", chunks)):
        file = ground.path / f"{daemon}.cfg"
        file.write_text("".join(f"{key} = {value}\n" for key, value in {**user, **settings}.items()))
        run(daemon, "-c", file, "start")
    return ground.clients(lambda to: run("mfsmount", "-H", ADDRESS, to))
