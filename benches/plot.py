"""Some figures of docs/performance.txt as bars, on a log scale. The colours are readable on light and on dark backgrounds. Where
the peers are in Python, so is linklock."""

import math
import re
from html import escape

# The panels: how the section's title begins, the caption, and the rows.
PANELS = (
    (
        "recovery",
        "The holder is killed: until a waiter on the same machine has the lock",
        ("linklock Python", "linklock Python dir", "filelock lease", "filelock soft", "fasteners", "liblockfile")
        + ("proper-lockfile", "flufl.lock"),
    ),
    (
        "hand-off on one machine",
        "A release: until a waiter on the same machine has the lock",
        ("linklock Python", "linklock Python dir", "File::lock", "fasteners", "filelock soft", "flufl.lock", "proper-lockfile"),
    ),
    (
        "a cycle on tmpfs",
        "Acquire and release without contention, on tmpfs",
        ("linklock Python", "linklock Python dir", "fasteners", "flufl.lock", "filelock soft", "filelock lease"),
    ),
    (
        "wrapping `true`",
        "A command that does nothing, run under a lock",
        ("bare `true`", "linklock run", "dotlockfile", "flock(1)"),
    ),
)
LABELS = {
    "linklock Python": "linklock link",
    "linklock Python dir": "linklock dir",
    "File::lock": "flock(2)",
    "bare `true`": "without a lock",
}
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1}
OURS, PEER, FLOOR, TEXT = "#2f81c7", "#98a1ab", "#c08a2d", "#6e7781"
MARGIN, NAMES, BARS, FIGURES = 12, 120, 440, 80
ROW, HEAD, FOOT = 20, 30, 38
LEFT, WIDTH = MARGIN + NAMES, 2 * MARGIN + NAMES + BARS + FIGURES


def svg(text):
    y, parts = MARGIN, []
    for begins, caption, names in PANELS:
        seconds = {LABELS.get(name, name): figure for name, figure in figures(text, begins) if name in names}
        if seconds:
            parts += panel(seconds, caption, y)
            y += HEAD + ROW * len(seconds) + FOOT
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}"'
    title = "<title>linklock beside its peers: shorter is faster, log scale</title>"
    return "\n".join([head + f' font-family="sans-serif" font-size="13" fill="{TEXT}">', title, *parts, "</svg>", ""])


def figures(text, begins):
    """The name and the first duration, in seconds, of each row of a section."""
    section = next((section for section in text.split("\n\n") if section.startswith(begins)), "")
    for row in section.splitlines()[1:]:
        name, shown, *_ = [*re.split("  +", row.strip()), ""]
        found = re.match(r"([\d.]+)(?:, [\d.]+)? (us|ms|s)\b", shown)
        if found:
            yield name, float(found[1]) * UNITS[found[2]]


def panel(seconds, caption, y):
    # The scale starts at the power of ten below the least figure, so that this one has a bar too.
    least, most = math.floor(math.log10(min(seconds.values())) - 0.1), math.ceil(math.log10(max(seconds.values())))
    bottom = y + HEAD + ROW * len(seconds)
    yield f'<text x="{MARGIN}" y="{y + 16}" font-weight="bold">{escape(caption)}</text>'
    yield f'<path d="M{LEFT} {bottom}h{BARS}" stroke="{TEXT}"/>'
    for power in range(least, most + 1):
        x = LEFT + BARS * (power - least) / (most - least)
        yield f'<path d="M{x:.0f} {bottom}v5" stroke="{TEXT}"/>'
        yield f'<text x="{x:.0f}" y="{bottom + 17}" font-size="11" text-anchor="middle">{shown(10.0**power)}</text>'
    for n, (name, value) in enumerate(sorted(seconds.items(), key=lambda item: item[1])):
        middle = y + HEAD + ROW * n + 11
        length = BARS * (math.log10(value) - least) / (most - least)
        colour = OURS if name.startswith("linklock") else FLOOR if name.startswith("without") else PEER
        yield f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>'
        yield f'<rect x="{LEFT}" y="{middle - 11}" width="{length:.0f}" height="14" fill="{colour}"/>'
        yield f'<text x="{LEFT + length + 6:.0f}" y="{middle}">{shown(value)}</text>'


def shown(seconds):
    """A duration with two digits, in the unit that suits it."""
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size * 0.995 or unit == "µs":
            value = seconds / size
            return f"{value:,.0f} {unit}" if value >= 9.95 else f"{value:.2g} {unit}"
