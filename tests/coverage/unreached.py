#!/usr/bin/env python3
"""Reads coverage in lcov's format: unreached.py LCOV TO. Prints what part of each file of the protocols was reached, and writes the
lines that were not to TO. Fails if less than LEAST percent were reached: then runs or worlds are missing."""

import re
import sys
from pathlib import Path

# What decides who holds the lock.
WANTED = re.compile(
    r"linklock/src/((?:protocol/(?!leftovers|private|silly_names|warned|fitness).*|acquire/(?!until_free).*"
    r"|claim|lease|tenure|keepalive|guard)(?:\.rs)?)$"
)
LEAST = 70


def read(lcov: Path) -> dict[Path, dict[int, int]]:
    """How often each line of each wanted file was reached."""
    files: dict[Path, dict[int, int]] = {}
    lines: dict[int, int] | None = None
    for entry in lcov.read_text().splitlines():
        kind, _, rest = entry.partition(":")
        if kind == "SF":
            path = Path(rest).resolve()
            lines = files.setdefault(path, {}) if WANTED.search(str(path)) else None
        elif kind == "DA" and lines is not None:
            number, count = (int(part) for part in rest.split(",")[:2])
            lines[number] = max(count, lines.get(number, 0))
    return files


def main(lcov: Path, to: Path) -> int:
    reached, all_lines, report = 0, 0, []
    for path, lines in sorted(read(lcov).items()):
        text, name = path.read_text().splitlines(), WANTED.search(str(path))[1]
        # Tests that stand in the file itself say nothing of what a run reaches.
        end = next((n for n, line in enumerate(text, 1) if line == "#[cfg(test)]"), len(text) + 1)
        lines = {number: count for number, count in lines.items() if number < end}
        missed = [number for number, count in lines.items() if count == 0]
        reached, all_lines = reached + len(lines) - len(missed), all_lines + len(lines)
        print(f"{name:28}{len(lines) - len(missed):5} of {len(lines):4} lines")
        report += [f"{name}:{number}: {text[number - 1].strip()}" for number in missed]
    to.write_text("\n".join(report) + "\n")
    percent = 100 * reached / max(all_lines, 1)
    print(f"reached {reached} of {all_lines} lines, {percent:.1f} %; the others are in {to}")
    if percent < LEAST:
        print(f"FAILED: that is less than {LEAST} %")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
