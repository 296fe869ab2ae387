"""The diaries that contenders of one lock path write, see crates/linklock/examples/contend.rs."""

import re
import time
from itertools import islice, takewhile
from pathlib import Path


def beliefs(diary):
    """Who trusted the lock, from when to when: [(since, until, token, asked)], sorted by since."""
    since, till = {}, {}
    diary = Path(diary)
    for line in diary.read_text().splitlines() if diary.exists() else []:
        what, token, when, *asked = line.split(" ")
        if what == "since":
            since[token] = (int(when), int(asked[0]))
        else:
            till[token] = min(int(when), till.get(token, int(when)))
    now = time.time_ns()
    return sorted((at, till.get(token, now), token, asked) for token, (at, asked) in since.items())


def overlaps(held):
    """Pairs of beliefs in the same lock at the same time, also of readers who share it."""
    return [
        (first, second)
        for i, first in enumerate(held)
        for second in takewhile(lambda second: second[0] < first[1], islice(held, i + 1, None))
        if lock_of(first[2]) == lock_of(second[2])
    ]


def lock_of(token):
    return re.split(r"[|^]", token)[0]


def is_shared(token):
    """Whether it is a reader's, who shares the lock."""
    return token.endswith("s")
