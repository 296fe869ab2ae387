"""The C library."""

import re

from bare import Root
from peers import ROOT
from release import DIST, VERSION, call, fresh, not_run, of_release, printed, unpack

# Debian 12 has glibc 2.36: what a library needs of a newer one than this would not be noticed there.
GLIBC = (2, 17)


def c_library():
    """the C library, with the example of docs/c.md"""
    root = Root("c", "minbase", None, "gcc", "libc6-dev", "pkg-config")
    name = f"linklock-c-{VERSION}-x86_64-unknown-linux-gnu"
    call("tar", "--extract", "--file", DIST / f"{name}.tar.gz", "--strip-components=1", "--directory", root.path / "usr/local")
    example = re.search(r"```c\n(.*?)```", (ROOT / "docs/c.md").read_text(), re.DOTALL)[1]
    (root.path / "srv/shared").mkdir()
    (root.path / "tmp/job.c").write_text(example)
    root.run("ldconfig")
    for static in ["", "-static"]:
        link = "$(pkg-config --cflags --libs linklock)"
        if static:
            # The archive by its path: the rest stays dynamic.
            link = "-I/usr/local/include /usr/local/lib/liblinklock.a $(pkg-config --static --libs-only-l linklock | sed s/-llinklock//)"
        root.run("sh", "-ec", f"cc -o /tmp/job{static} /tmp/job.c {link}")
        said = root.run(f"/tmp/job{static}", capture_output=True, text=True).stdout
        assert said.startswith("under the lock of nightly.lock|"), said
        left = list((root.path / "srv/shared").iterdir())
        assert not left, left
    for archive in of_release("linklock-c-*.tar.gz"):
        needs(archive)
    not_run("the C library for aarch64", "no C compiler for it is installed; its symbols were looked at")


def needs(archive):
    into = fresh("c-contents")
    unpack(archive, into)
    library = next(into.glob("*/lib/liblinklock.so"))
    symbols = printed("readelf", "--dyn-syms", "--wide", library)
    versions = {tuple(map(int, version.split("."))) for version in re.findall(r"GLIBC_([0-9.]+)", symbols)}
    assert max(versions) <= GLIBC, f"{archive.name} needs glibc {max(versions)}"
    defined = re.findall(r"GLOBAL +DEFAULT +\d+ (\S+)", symbols)
    assert "linklock_acquire" in defined, defined
    assert "SONAME" in printed("readelf", "--dynamic", library), f"{archive.name} has no soname"
