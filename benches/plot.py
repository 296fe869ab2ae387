"""Some of the table's figures as bars, on a log scale. The colours are readable on light and on dark backgrounds."""

import math
from html import escape

# The panels: how the section's title begins, the caption, the seconds of one unit of its figures, and the rows with their labels.
PANELS = (
    (
        "recovery",
        "The holder is killed: until a waiter on the same machine has the lock",
        1e-3,
        {
            "linklock dir": "linklock dir",
            "linklock link": "linklock link",
            "filelock lease": "filelock lease",
            "filelock soft": "filelock soft",
            "fasteners": "fasteners",
            "liblockfile": "liblockfile",
            "proper-lockfile": "proper-lockfile",
            "flufl.lock": "flufl.lock",
        },
    ),
    (
        "hand-off on one machine",
        "A release: until a waiter on the same machine has the lock",
        1e-3,
        {
            "linklock link": "linklock link",
            "linklock dir": "linklock dir",
            "File::lock": "flock(2)",
            "fasteners": "fasteners",
            "filelock soft": "filelock soft",
            "flufl.lock": "flufl.lock",
            "proper-lockfile": "proper-lockfile",
        },
    ),
    (
        "a cycle on tmpfs",
        "Acquire and release without contention, all in Python, on tmpfs",
        1e-6,
        {
            "linklock Python": "linklock link",
            "linklock Python dir": "linklock dir",
            "fasteners": "fasteners",
            "flufl.lock": "flufl.lock",
            "filelock soft": "filelock soft",
            "filelock lease": "filelock lease",
        },
    ),
    (
        "wrapping `true`",
        "A command that does nothing, run under a lock",
        1e-3,
        {"bare `true`": "without a lock", "linklock run": "linklock run", "dotlockfile": "dotlockfile", "flock(1)": "flock(1)"},
    ),
)
OURS, PEER, FLOOR, TEXT = "#2f81c7", "#98a1ab", "#c08a2d", "#6e7781"
MARGIN, NAMES, BARS, FIGURES = 12, 120, 440, 80
ROW, HEAD, FOOT = 20, 30, 38
LEFT, WIDTH = MARGIN + NAMES, 2 * MARGIN + NAMES + BARS + FIGURES


def svg(table):
    y, parts = MARGIN, []
    for begins, caption, unit_s, labels in PANELS:
        section = next((s for s in table.sections if s.title.startswith(begins)), None)
        seconds = {labels[row.name]: row.figure * unit_s for row in section.rows if row.name in labels and row.figure} if section else {}
        if seconds:
            parts += panel(seconds, caption, y)
            y += HEAD + ROW * len(seconds) + FOOT
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}"'
    title = "<title>linklock beside its peers: shorter is faster, log scale</title>"
    return "\n".join([head + f' font-family="sans-serif" font-size="13" fill="{TEXT}">', title, *parts, "</svg>", ""])


def panel(seconds, caption, y):
    # The scale starts at the power of ten below the least figure, so that this one has a bar too.
    least, most = math.floor(math.log10(min(seconds.values())) - 0.1), math.ceil(math.log10(max(seconds.values())))
    top, bottom = y + HEAD - 4, y + HEAD + ROW * len(seconds)
    yield f'<text x="{MARGIN}" y="{y + 16}" font-weight="bold">{escape(caption)}</text>'
    for power in range(least, most + 1):
        x = LEFT + BARS * (power - least) / (most - least)
        yield f'<path d="M{x:.0f} {top}V{bottom}" stroke="{TEXT}" stroke-opacity="0.35"/>'
        yield f'<text x="{x:.0f}" y="{bottom + 14}" font-size="11" text-anchor="middle">{shown(10.0**power)}</text>'
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
