#!/usr/bin/env python3
"""Prints the notices of all crates that are linked into a crate, and of Rust's standard library, whose licences ask for that.

    packaging/third_party.py CRATE TARGET...
"""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

HEADER = """This contains the following packages, and the Rust standard library, whose own notices come last. Where a package offers a
choice of licences, each is listed.
"""
MUSL = """It also contains musl libc (MIT; Copyright (c) 2005-2020 Rich Felker, et al.).
"""
NAMES = ("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE")


def linked(crate, target):
    """The ids, in cargo's form, of what is compiled for the target: no build scripts and no macros."""
    tree = ["cargo", "tree", "--locked", "--package", crate, "--target", target, "--edges", "normal,no-proc-macro"]
    lines = subprocess.run([*tree, "--prefix=none", "--format={p}"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return {tuple(line.split()[:2]) for line in lines.splitlines()}


def notices(manifest):
    return sorted(file for file in Path(manifest).parent.iterdir() if file.is_file() and file.name.upper().startswith(NAMES))


class Text(HTMLParser):
    """The text of a page, without its markup."""

    def __init__(self, page):
        super().__init__()
        self.parts = []
        self.feed(page)

    def handle_data(self, data):
        self.parts.append(data)

    def __str__(self):
        return re.sub(r"\n\s*\n", "\n\n", "".join(self.parts)).strip()


def of_the_standard_library():
    """What comes with the toolchain: of the library, and of the packages that it contains on any system."""
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return Text((Path(sysroot) / "share/doc/rust/COPYRIGHT-library.html").read_text())


def main():
    crate, *targets = sys.argv[1:]
    wanted = set.union(*(linked(crate, target) for target in targets))
    metadata = subprocess.run(["cargo", "metadata", "--locked", "--format-version=1"], check=True, stdout=subprocess.PIPE).stdout
    print(HEADER)
    if all(target.endswith("musl") for target in targets):
        print(MUSL)
    for package in sorted(json.loads(metadata)["packages"], key=lambda package: (package["name"], package["version"])):
        # Without a source it is one of ours.
        if (package["name"], f"v{package['version']}") not in wanted or not package["source"]:
            continue
        print("=" * 100, f"{package['name']} {package['version']}: {package['license']}", sep="\n")
        files = notices(package["manifest_path"])
        if not files:
            print(f"Its authors ({', '.join(package['authors']) or 'not named'}) give no text beside the name of the licence.")
        for file in files:
            print("-" * 100, file.name, "", file.read_text(errors="replace").strip(), sep="\n")
    print("=" * 100, of_the_standard_library(), sep="\n")


if __name__ == "__main__":
    main()
