"""The program, from each package that contains it."""

import os
import shutil
import time

from bare import RUN, SCRIPT, Root
from release import DIST, VERSION, call, fresh, not_run, of_release, unpack

INSTALLED = [
    "usr/bin/linklock",
    "usr/share/man/man1/linklock.1.gz",
    "usr/share/bash-completion/completions/linklock",
    "usr/share/fish/vendor_completions.d/linklock.fish",
    "usr/share/doc/linklock/README.md",
    "usr/share/doc/linklock/third-party.txt",
]


def debian():
    """the Debian package"""
    root = Root("debian")
    before = root.files()
    begin = time.monotonic()
    shutil.copy(DIST / f"linklock_{VERSION}_amd64.deb", root.path / "tmp")
    root.run("apt-get", "install", "--quiet=2", "--yes", f"/tmp/linklock_{VERSION}_amd64.deb")
    use(root)
    print(f"from the package to the end of its work: {time.monotonic() - begin:.1f} s")
    assert_installed(root, "usr/share/zsh/vendor-completions/_linklock", "usr/share/doc/linklock/copyright")
    root.run("dpkg", "--purge", "linklock")
    left = {name for name in root.files() - before if not name.startswith(("var/lib/dpkg", "var/lib/apt", "var/cache", "var/log"))}
    assert not left, f"left after its removal: {left}"
    elsewhere(f"linklock_{VERSION}_arm64.deb", "usr/bin/linklock")


def rpm():
    """the RPM package"""
    # Debian's rpm, so its database knows none of the packages. No other distribution can be had here.
    root = Root("rpm", "minbase", None, "rpm")
    package = f"linklock-{VERSION}-1.x86_64.rpm"
    shutil.copy(DIST / package, root.path / "tmp")
    root.run("rpm", "--install", "--force-debian", f"/tmp/{package}")
    root.run("rpm", "--verify", "linklock")
    use(root)
    assert_installed(root, "usr/share/zsh/site-functions/_linklock", "usr/share/licenses/linklock/LICENSE")
    root.run("rpm", "--erase", "--force-debian", "linklock")
    assert not (root.path / "usr/bin/linklock").exists()
    not_run("the RPM package on Red Hat's or SUSE's systems", "only Debian can be installed here; Debian's rpm has installed it")
    elsewhere(f"linklock-{VERSION}-1.aarch64.rpm", "usr/bin/linklock")


def archive():
    """the archive"""
    root = Root("archive")
    name = f"linklock-{VERSION}-x86_64-unknown-linux-musl"
    shutil.copy(DIST / f"{name}.tar.gz", root.path / "tmp")
    root.run("tar", "--extract", "--gzip", "--file", f"/tmp/{name}.tar.gz", "--directory", "/opt")
    for file in ["LICENSE", "third-party.txt", "man/linklock.1", "completions/linklock.bash", "completions/_linklock"]:
        assert (root.path / "opt" / name / file).stat().st_size > 1000, file
    root.run("install", f"/opt/{name}/linklock", "/usr/local/bin")
    use(root)
    elsewhere(f"linklock-{VERSION}-aarch64-unknown-linux-musl.tar.gz", f"linklock-{VERSION}-aarch64-unknown-linux-musl/linklock")


def use(root):
    version = root.run("linklock", "--version", capture_output=True, text=True).stdout
    assert version == f"linklock {VERSION}\n", version
    root.run("bash", "-c", RUN)
    root.run("bash", "-c", SCRIPT)


def assert_installed(root, *more):
    for name in [*INSTALLED, *more]:
        assert (root.path / name).stat().st_size > 100, name
    root.run("bash", "-ec", "source /usr/share/bash-completion/completions/linklock; complete -p linklock")


def elsewhere(package, program):
    """Runs the program of another kind of processor."""
    into = fresh("elsewhere")
    unpack(of_release(package)[0], into)
    if not shutil.which("qemu-aarch64-static"):
        not_run(package, "qemu-user-static is not installed")
        return
    wrapper = into / "bin/linklock"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec qemu-aarch64-static "{into / program}" "$@"\n')
    wrapper.chmod(0o755)
    # In an ELF header, 183 is AArch64.
    assert (into / program).read_bytes()[18:20] == bytes([183, 0])
    path = f"{wrapper.parent}:{os.environ['PATH']}"
    call("bash", "-c", SCRIPT, env={**os.environ, "PATH": path, "TMPDIR": str(into)})
    not_run(f"linklock run of {package}", "qemu-user has no prctl(PR_SET_CHILD_SUBREAPER)")
