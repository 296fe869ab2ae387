"""The arenas of a soak: one lock each, with its crowd, and the faults that it may suffer.

The limits of `link` (docs/guarantees.md) say what is beyond it. So where `link` takes part, no process is stopped for long in a
release by `link`, and no client of NFS is cut off for longer than a fraction of the grace. A counter has no fencing token, so
there nobody may work past a deadline: lifetimes are long, stops and cuts are short, and nobody is killed while it writes. All
else is hit without regard.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Arena:
    """One lock and its crowd."""

    name: str
    protocols: tuple[str, ...]
    # Processes on a local file system, and in the guest.
    crowd: tuple[int, int]
    # So many of a hundred wait in the queue, or share the lock.
    queue: int = 0
    shared: int = 0
    slots: int = 0
    # They increment a counter on the tested file system, in place of the register behind fencing tokens.
    counts: bool = False

    @property
    def has_limits(self):
        """Whether a cut must be short here."""
        return self.counts or "link" in self.protocols


ARENAS = [
    Arena("dir", ("dir",), (8, 4), queue=30),
    Arena("queue", ("dir",), (6, 3), queue=100),
    Arena("link", ("link",), (6, 3), queue=30),
    Arena("mixed", ("link", "dir"), (6, 3), queue=30),
    Arena("shared", ("dir",), (8, 4), shared=65),
    Arena("slots", ("dir",), (6, 4), slots=3),
    Arena("slots-link", ("link",), (4, 2), slots=2),
    Arena("counter", ("dir",), (4, 2), counts=True),
    Arena("counter-link", ("link",), (4, 2), counts=True),
]


def named(names):
    """The arenas of these names; without names, all."""
    return [arena for arena in ARENAS if not names or arena.name in names]


@dataclass(frozen=True)
class Terms:
    """Times of a kind of ground, in seconds."""

    lifetimes: tuple[float, float]
    graces: tuple[float, float]
    # Where a counter is written.
    counter_lifetime: float
    short_stop: float
    # Mostly longer than a lifetime and a grace together.
    long_stops: tuple[float, float]
    # Mean times between two faults of a kind, in the whole crowd.
    between_faults: float
    between_cuts: float
    between_clock_steps: float
    short_cut: float
    long_cuts: tuple[float, float]
    clock_step: float
    # By when a process must have ended that was told to.
    patience: float


LOCAL = Terms(
    lifetimes=(1, 2), graces=(1, 1.5), counter_lifetime=20, short_stop=0.05, long_stops=(2.5, 5), between_faults=0.5,
    between_cuts=0, between_clock_steps=0, short_cut=0, long_cuts=(0, 0), clock_step=0, patience=120,
)  # fmt: skip
# Emulated, so all takes longer. The clock is stepped by less than the smallest grace within the longest lifetime and grace.
GUEST = Terms(
    lifetimes=(6, 8), graces=(4, 5), counter_lifetime=40, short_stop=0.3, long_stops=(11, 14), between_faults=2,
    between_cuts=25, between_clock_steps=30, short_cut=1, long_cuts=(12, 25), clock_step=0.8, patience=300,
)  # fmt: skip
