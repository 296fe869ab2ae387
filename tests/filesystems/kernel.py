"""File systems of this kernel. Only one machine can mount them; two containers on it count as two."""

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
    """By the kernel, or without it by FUSE."""
    image, to = ground.image(64, "mkfs.exfat"), ground.directory("mounted")
    if run("mount", "-t", "exfat", "-o", "loop", image, to, must=False).returncode:
        run("mount.exfat-fuse", image, to)
    mounted(to)
    return to, to


def on_image(ground, kind, megabytes, *mkfs):
    image, to = ground.image(megabytes, *mkfs), ground.directory("mounted")
    run("mount", "-t", kind, "-o", "loop", image, to)
    mounted(to)
    return to, to
