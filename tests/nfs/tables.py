"""Writes the measurements of the guests into docs/nfs.md: the rows of its generated tables, between their markers."""

import json
import re

HEADS = {
    "cycles": "NFS | `link`, first | later | `dir`, first | later | flufl.lock, first | later",
    "waits": "NFS | `link`, a minute | hand-off | `dir`, a minute | hand-off",
    "options": "options (NFS) | `link`, a cycle | hand-off | `dir`, a cycle | hand-off",
}


def write_tables(document, notes):
    """Replaces the measured rows, and keeps the others."""
    text = document.read_text()
    for name, head in HEADS.items():
        rows = {}
        for file in sorted(notes.glob(f"{name}-*.json")):
            rows |= rows_of(name, file.stem.partition("-")[2], json.loads(file.read_text()))
        block = re.compile(f"(<!-- measured: {name} -->\n).*?(<!-- /measured -->)", re.DOTALL)
        kept = re.findall(r"^\| ([^|]*[^| ]) \|(.*)\|$", block.search(text)[0], re.MULTILINE)[2:]
        rows = {first: rest.strip() for first, rest in kept} | rows
        columns = head.count("|") + 1
        lines = [f"| {head} |", "| --- " * columns + "|"]
        lines += [f"| {first} | {rest} |" for first, rest in sorted(rows.items())]
        text = block.sub(lambda found: found[1] + "\n".join(lines) + "\n" + found[2], text)
    document.write_text(text)


def rows_of(name, version, measured):
    """{a row's first cell: the other cells}."""
    if name == "cycles":
        return {version: joined(number(n) for first_and_later in measured.values() for n in first_and_later)}
    if name == "waits":
        return {version: joined(cell for sent, wait_s in measured.values() for cell in (number(sent), seconds(wait_s)))}
    return {
        f"{options or 'none'} ({version})": joined([number(link), seconds(link_s), number(dir_), seconds(dir_s)])
        for options, (link, link_s, dir_, dir_s) in measured
    }


def joined(cells):
    return " | ".join(cells)


def number(value):
    return f"{value:.1f}".removesuffix(".0")


def seconds(value):
    return f"{value:.2f} s"
