"""The table's main figures as bars, on a log scale. The colours are readable on light and on dark backgrounds."""

import math
from html import escape

# The panels: how the section's title begins, the caption above its bars, and the unit of its figures.
PANELS = (
    ("a cycle on ext4", "one process, acquire and release", "µs"),
    ("hand-off on one machine", "from one process's release to the next one's acquire", "ms"),
    ("8 processes x 50 turns:", "eight processes, fifty turns each", "s"),
    ("wrapping `true`", "a lock for a command that does nothing", "ms"),
    ("recovery", "from the holder's SIGKILL to the waiter's lock", "ms"),
)
OURS, PEER, FLOOR, TEXT = "#2f81c7", "#98a1ab", "#c08a2d", "#6e7781"
ROW, NAMES, BARS, FIGURES, HEAD = 17, 190, 400, 90, 34
WIDTH = NAMES + BARS + FIGURES


def svg(table):
    y, parts = 0, []
    for begins, caption, unit in PANELS:
        section = next((s for s in table.sections if s.title.startswith(begins)), None)
        rows = [row for row in section.rows if row.figure] if section else []
        if rows:
            parts += panel(rows, caption, unit, y)
            y += HEAD + ROW * len(rows) + 10
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}"'
    title = "<title>linklock beside its peers: shorter is faster, log scale</title>"
    return "\n".join([head + f' font-family="sans-serif" font-size="12" fill="{TEXT}">', title, *parts, "</svg>", ""])


def panel(rows, caption, unit, y):
    rows = sorted(rows, key=lambda row: row.figure)
    least, most = (math.log10(row.figure) for row in (rows[0], rows[-1]))
    # The scale starts at the power of ten below the least figure, so that this one has a bar too.
    least, most = math.floor(least - 0.1), math.ceil(most)
    bottom = y + HEAD + ROW * len(rows) - 4
    yield f'<text x="0" y="{y + 22}" font-weight="bold">{escape(caption)}, {unit}</text>'
    for power in range(least, most + 1):
        x = NAMES + BARS * (power - least) / (most - least)
        yield f'<path d="M{x:.0f} {y + HEAD - 4}V{bottom}" stroke="{TEXT}" stroke-opacity="0.3"/>'
    for row in rows:
        y += ROW
        length = BARS * (math.log10(row.figure) - least) / (most - least)
        colour = OURS if row.name.startswith("linklock") else FLOOR if row.name.startswith(("floor", "bare")) else PEER
        middle = y + HEAD - ROW + 9
        yield f'<text x="{NAMES - 6}" y="{middle}" text-anchor="end">{escape(row.name)}</text>'
        yield f'<rect x="{NAMES}" y="{middle - 9}" width="{length:.0f}" height="11" fill="{colour}"/>'
        yield f'<text x="{NAMES + length + 5:.0f}" y="{middle}">{shown(row.figure)}</text>'


def shown(figure):
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
