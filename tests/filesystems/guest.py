"""Servers and clients that need another kernel than this machine's: in a guest by tests/nfs/nfsvm, whose client K has its own
network namespace."""

from pathlib import Path

from ground import run, until

SERVER = "10.99.0.254"
# What the guest's kernel needs for the file systems that are tried there, besides what NFS needs.
MODULES = (
    "loop vfat exfat nls_cp437 nls_ascii nls_utf8 "
    "cifs md4 md5 hmac cmac sha256_generic sha512_generic ecb aes_generic ccm gcm ctr cbc ghash_generic seqiv echainiv"
)
# They would start servers on this machine, so only the guest gets them.
PACKAGES = "samba cifs-utils nfs-ganesha nfs-ganesha-vfs"

SMB_CONF = """[global]
server role = standalone
private dir = {path}
lock directory = {path}
state directory = {path}
cache directory = {path}
pid directory = {path}
ncalrpc dir = {path}/ncalrpc
log file = {path}/log
disable netbios = yes
smb ports = 445
load printers = no
printing = bsd
[share]
path = {share}
read only = no
"""

GANESHA_CONF = """
NFS_CORE_PARAM {{ Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false; }}
NFSv4 {{ Grace_Period = 10; Lease_Lifetime = 10; RecoveryBackend = fs; Delegations = false; }}
EXPORT {{
    Export_Id = 77; Path = {share}; Pseudo = /share; Access_Type = RW; Squash = No_Root_Squash; SecType = sys;
    Protocols = 4; Transports = TCP; FSAL {{ Name = VFS; }}
}}
"""


def smb(ground):
    """Samba, and the kernel's client with its default options."""
    return samba(ground, "")


def smb_without_caches(ground):
    return samba(ground, ",nolease,actimeo=0,closetimeo=0")


def samba(ground, options):
    settings = ground.path / "smb.conf"
    settings.write_text(SMB_CONF.format(path=ground.directory("smb"), share=ground.directory("share")))
    run("smbpasswd", "-c", settings, "-s", "-a", "root", input="secret\nsecret\n")
    run("smbd", "-s", settings, "-D")
    listens(445)
    options = f"username=root,password=secret,nosharesock{options}"
    return clients(ground, "cifs", f"//{SERVER}/share", options)


def ganesha(ground):
    """NFS by a server in user space."""
    run("nfsvm", "stop-nfsd")
    settings = ground.path / "ganesha.conf"
    settings.write_text(GANESHA_CONF.format(share=ground.directory("share")))
    for directory in ("ganesha", "rpcbind"):
        run("mkdir", "-p", f"/run/{directory}", f"/var/lib/nfs/{directory}")
    run("ganesha.nfsd", "-f", settings, "-L", ground.path / "log", "-p", ground.path / "pid")
    listens(2049)
    return clients(ground, "nfs4", f"{SERVER}:/share", "vers=4.2,hard,nosharecache")


def virtio_9p(ground):
    """What QEMU shares with the guest. Only one client can mount it."""
    to = Path(run("findmnt", "--noheadings", "--output=TARGET", "--source=share").stdout.strip())
    return to, to


def listens(port):
    until(lambda: run("ss", "-Hltn", f"sport = :{port}").stdout, f"a server listens on port {port}")


def clients(ground, kind, source, options):
    def mount(to):
        k = to.name[-1]
        on_client = ["nsenter", f"--net=/run/netns/c{k}", f"--uts=/run/uts/c{k}"]
        run(*on_client, "mount", "-t", kind, "-o", options, source, to)

    return ground.clients(mount)
