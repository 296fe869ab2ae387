"""Writes what the guests measured into docs/nfs.md: the rows of its generated tables, between their markers."""

import json
import re

HEADS = {
    "costs": "NFS | `link`, first | repeated | `dir`, first | repeated | flufl.lock, first | repeated "
    "| `link` waits a minute | `dir` waits a minute | `link` hand-off | `dir` hand-off",
    "options": "options (NFS) | `link` | `dir` | `link` hand-off | `dir` hand-off",
}


def write_tables(document, notes):
    """Replaces the rows that were measured, and keeps the others."""
    text = document.read_text()
    for name, head in HEADS.items():
        rows = {}
        for file in sorted(notes.glob(f"{name}-*.json")):
            rows |= ROWS[name](file.stem.partition("-")[2], json.loads(file.read_text()))
        block = re.compile(f"(<!-- measured: {name} -->\n).*?(<!-- /measured -->)", re.DOTALL)
        kept = re.findall(r"^\| ([^|]*[^| ]) \|(.*)\|$", block.search(text)[0], re.MULTILINE)[2:]
        rows = {first: rest.strip() for first, rest in kept} | rows
        columns = head.count("|") + 1
        lines = [f"| {head} |", "| --- " * columns + "|", *(f"| {first} | {rest} |" for first, rest in sorted(rows.items()))]
        text = block.sub(lambda found: found[1] + "\n".join(lines) + "\n" + found[2], text)
    document.write_text(text)


def number(value):
    return f"{value:.1f}".removesuffix(".0")


def cost_rows(version, measured):
    cells = [number(measured[who][which]) for who in ("link", "dir", "flufl.lock") for which in ("first", "repeated")]
    cells += [number(measured[who]["minute"]) for who in ("link", "dir")]
    cells += [f"{measured[who]['handoff_s']:.2f} s" for who in ("link", "dir")]
    return {version: " | ".join(cells)}


def option_rows(version, measured):
    return {
        f"{row['options'] or 'none'} ({version})": " | ".join(
            [number(row["link"]), number(row["dir"]), f"{row['link_handoff_s']:.2f} s", f"{row['dir_handoff_s']:.2f} s"]
        )
        for row in measured
    }


ROWS = {"costs": cost_rows, "options": option_rows}
