"""Small FUSE file systems that need no server, as their manuals mount them."""

from ground import run


def sshfs(ground):
    """With its default caches. The SFTP server is started without ssh between."""
    # sshfs gives it the arguments for ssh, which it would refuse.
    server = ground.path / "sftp"
    server.write_text("#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n")
    server.chmod(0o755)
    source = ground.directory("source")
    return ground.clients(lambda to: run("sshfs", "-o", f"ssh_command={server}", f"host:{source}", to))


def bindfs(ground):
    source = ground.directory("source")
    return ground.clients(lambda to: run("bindfs", source, to))


def mergerfs(ground):
    """Two branches; the policy decides on which of them a new name goes. Both names of a file have the same inode number."""
    return merged(ground, "use_ino")


def mergerfs_own_inodes(ground):
    """The same, where each name has an inode number of its own, as it was mergerfs's default for long."""
    return merged(ground, "noforget")


def merged(ground, option):
    branches = f"{ground.directory('one')}:{ground.directory('two')}"
    return ground.clients(lambda to: run("mergerfs", "-o", f"category.create=rand,{option}", branches, to))


def gocryptfs(ground):
    source = ground.directory("source")
    run("gocryptfs", "-q", "-init", "-scryptn", "10", source, input="secret")
    # For two clients of one directory, as its manual says.
    return ground.clients(lambda to: run("gocryptfs", "-q", "-sharedstorage", source, to, input="secret"))
