"""The file systems that are tested, and what is expected of each protocol there."""

from collections.abc import Callable
from dataclasses import dataclass

import blocks
import ceph
import fuse
import gluster
import guest
import moosefs
from trial import Outcome

GREEN, REFUSED = Outcome.GREEN, Outcome.REFUSED


@dataclass(frozen=True)
class FileSystem:
    name: str
    # Called with a Ground; returns the lock's directory as each of two machines sees it.
    mount: Callable
    link: Outcome
    dir: Outcome
    # Or only with --all.
    by_default: bool = True
    separator: str = "|"
    # In a guest with another kernel.
    in_guest: bool = False
    # It is NFS 4, where the empty directory of a free `dir` lock stays.
    is_nfs4: bool = False

    def expected(self, protocol):
        return getattr(self, protocol)


CATALOGUE = [
    FileSystem("sshfs", fuse.sshfs, link=REFUSED, dir=REFUSED),
    FileSystem("bindfs", fuse.bindfs, link=GREEN, dir=GREEN),
    FileSystem("ntfs-3g", blocks.ntfs_3g, link=GREEN, dir=GREEN),
    FileSystem("mergerfs", fuse.mergerfs, link=REFUSED, dir=REFUSED),
    FileSystem("mergerfs-own-inodes", fuse.mergerfs_own_inodes, link=REFUSED, dir=REFUSED),
    FileSystem("gocryptfs", fuse.gocryptfs, link=GREEN, dir=GREEN),
    FileSystem("overlayfs", blocks.overlayfs, link=GREEN, dir=GREEN),
    FileSystem("moosefs", moosefs.moosefs, link=GREEN, dir=GREEN),
    FileSystem("gluster", gluster.one_brick, link=GREEN, dir=GREEN),
    FileSystem("gluster-clock-ahead", gluster.clock_ahead, link=GREEN, dir=GREEN),
    FileSystem("gluster-replicated", gluster.replicated, link=GREEN, dir=GREEN, by_default=False),
    FileSystem("gluster-distributed", gluster.distributed, link=GREEN, dir=GREEN, by_default=False),
    FileSystem("cephfs", ceph.cephfs, link=GREEN, dir=GREEN, by_default=False),
    FileSystem("btrfs", blocks.btrfs, link=GREEN, dir=GREEN, by_default=False),
    FileSystem("xfs", blocks.xfs, link=GREEN, dir=GREEN, by_default=False),
    FileSystem("exfat-fuse", blocks.exfat_fuse, link=REFUSED, dir=GREEN, by_default=False, separator="^"),
    FileSystem("vfat", blocks.vfat, link=REFUSED, dir=GREEN, by_default=False, separator="^", in_guest=True),
    FileSystem("exfat", blocks.exfat, link=REFUSED, dir=GREEN, by_default=False, separator="^", in_guest=True),
    FileSystem("nfs-ganesha", guest.ganesha, link=GREEN, dir=GREEN, by_default=False, in_guest=True, is_nfs4=True),
    FileSystem("9p", guest.virtio_9p, link=GREEN, dir=GREEN, by_default=False, in_guest=True),
    FileSystem("smb", guest.smb, link=REFUSED, dir=GREEN, by_default=False, in_guest=True),
    FileSystem("smb-without-caches", guest.smb_without_caches, link=REFUSED, dir=GREEN, by_default=False, in_guest=True),
]
