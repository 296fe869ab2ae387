"""File systems that only one machine can mount; two containers on it count as two machines."""

from ground import mounted, run


def overlayfs(ground):
    lower, upper, work, to = (ground.directory(name) for name in ("lower", "upper", "work", "mounted"))
    run("mount", "-t", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", "overlay", to)
    mounted(to)
    return to, to


def btrfs(ground):
    return on_image(ground, "btrfs", 256, "mkfs.btrfs", "-qf")


def xfs(ground):
    return on_image(ground, "xfs", 350, "mkfs.xfs", "-qf")


def vfat(ground):
    return on_image(ground, "vfat", 64, "mkfs.vfat")


def exfat(ground):
    return on_image(ground, "exfat", 64, "mkfs.exfat")


def exfat_fuse(ground):
    return on_image(ground, "exfat-fuse", 64, "mkfs.exfat")


def ntfs_3g(ground):
    return on_image(ground, "ntfs-3g", 64, "mkfs.ntfs", "-qF")


def on_image(ground, kind, megabytes, *mkfs):
    """A new file system in a file. The loop device goes with its mount."""
    image, to = ground.path / "image", ground.directory("mounted")
    with open(image, "wb") as f:
        f.truncate(megabytes << 20)
    run(*mkfs, image)
    run("mount", "-t", kind, "-o", "loop", image, to)
    mounted(to)
    return to, to
