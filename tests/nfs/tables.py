"""Writes the measurements of the guests into docs/nfs.md: the rows of its generated tables, between their markers."""

import json
import re

HEADS = {
    "cycles": "NFS | `link`, first | later | `dir`, first | later | flufl.lock, first | later",
    "shared": "NFS | a reader who is alone, first | later | a reader beside another, first | later",
    "waits": "NFS | `link`, bell's owner | another | bell | datagram | `dir`, bell's owner | another | bell | datagram",
    "long": "protocol, wake (NFS) | hand-off",
    "turns": "protocol, wake (NFS) | turns | of each client | longest wait",
    "crowd": "protocol, wake (NFS) | requests a second",
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
    if name in ("cycles", "shared"):
        return {version: joined(number(n) for first_and_later in measured.values() for n in first_and_later)}
    if name == "waits":
        cells = []
        for owner, other, bell_s, udp_s in measured.values():
            cells += [number(owner), number(other), seconds(bell_s), seconds(udp_s)]
        return {version: joined(cells)}
    if name == "long":
        return {f"{what} ({version})": seconds(handoff_s) for what, handoff_s in measured}
    if name == "turns":
        return {
            f"{what} ({version})": joined([number(all_), f"{least} to {most}", seconds(longest_s)])
            for what, all_, least, most, longest_s in measured
        }
    if name == "crowd":
        return {f"{what} ({version})": number(rate) for what, rate in measured}
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
