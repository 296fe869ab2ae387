"""What is in the packages, and how they are made."""

import gzip
import json
import os
import subprocess
from pathlib import Path

from peers import CANNOT_RUN, ROOT
from release import DIST, WORK, call, clean_tree, fresh, not_run, of_release, unpack

CARGO_DENY = "0.20.2"


def make(root, *parts):
    """packaging/build. If it could not make all parts, it has said so, and the others are tested."""
    print("+ packaging/build", *parts, flush=True)
    status = subprocess.run(["packaging/build", *parts], cwd=root).returncode
    if status not in (0, CANNOT_RUN):
        raise subprocess.CalledProcessError(status, "packaging/build")


def build():
    """packaging/build"""
    make(ROOT)


def contents():
    """check sums, and no path of this machine"""
    call("sha256sum", "--check", "--quiet", "SHA256SUMS", cwd=DIST)
    summed = {line.split()[1] for line in (DIST / "SHA256SUMS").read_text().splitlines()}
    made = {str(file.relative_to(DIST)) for file in DIST.rglob("*") if file.is_file()}
    assert summed == made - {"SHA256SUMS"}, summed ^ made
    for bill in of_release("*.cdx.json"):
        named = [component["name"] for component in json.loads(bill.read_text())["components"]]
        assert "rustix" in named, f"{bill.name}: {named}"
    private = [str(ROOT), f"{Path.home()}/", os.environ.get("CARGO_HOME")]
    for package in of_release("*"):
        into = fresh("contents")
        unpack(package, into)
        for file in filter(Path.is_file, into.rglob("*")):
            content = file.read_bytes()
            content = gzip.decompress(content) if file.suffix == ".gz" else content
            found = [path for path in private if path and path.encode() in content]
            assert not found, f"{package.name}: {file.relative_to(into)} contains {found}"


def licences():
    """the notices of what is linked into each package"""
    for package in of_release("*"):
        if package.suffix == ".whl" and "-none-any" not in package.name or package.suffix in (".deb", ".rpm") or "-linux-" in package.name:
            into = fresh("licences")
            unpack(package, into)
            [notices] = into.rglob("third-party.txt")
            assert package.suffix != ".whl" or notices.parent.match("*.dist-info/licenses"), notices
            text = notices.read_text()
            # A package with its text, one of the standard library, and the library itself.
            for part in ["rustix ", "TERMS AND CONDITIONS FOR USE, REPRODUCTION", "hashbrown-", "The Rust Standard Library is dual-licensed"]:
                assert part in text, f"{package.name}: {notices.name} lacks {part!r}"


def lint():
    """lintian, cargo-deny"""
    call("lintian", "--allow-root", "--fail-on", "error,warning", *of_release("*.deb"))
    deny = f"cargo_tool cargo-deny cargo-deny {CARGO_DENY}; cargo deny check licenses bans sources"
    call("bash", "-c", f"source packaging/common.sh; {deny}", cwd=ROOT)


def again():
    """a second build has the same bytes"""
    if not clean_tree():
        not_run("a second build", "the work tree has changes, and only commits are built twice")
        return
    copy = fresh("again") / "a clone"
    call("git", "clone", "--quiet", ROOT, copy)
    tools = copy / "target/packaging"
    tools.mkdir(parents=True)
    for kept in [WORK / "venv", WORK / "tools"]:
        if kept.exists():
            (tools / kept.name).symlink_to(kept)
    make(copy)
    sums = [(dist / "SHA256SUMS").read_text().splitlines() for dist in (DIST, copy / "dist")]
    differing = set(sums[0]) ^ set(sums[1])
    assert not differing, "\n".join(sorted(differing))
