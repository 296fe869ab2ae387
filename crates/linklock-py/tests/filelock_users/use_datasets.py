"""datasets, whose lock is a subclass of FileLock: two processes need a dataset that is not in their cache yet. One makes it, and the
other one reads it."""

from pathlib import Path

from pair import run_both

LOAD = """
import glob, os, sys, time
from pair import kind_of
from pathlib import Path
import datasets

cache, started, made = map(Path, sys.argv[1:])

def rows(cache, made):
    with made.open("a") as file:
        locks = list(cache.rglob("*_builder.lock"))
        file.write(f"{', '.join(map(kind_of, locks))}\\n")
    for number in range(5):
        # Long enough for the other one to come.
        time.sleep(0.1)
        yield {"number": number}

(started / str(os.getpid())).touch()
while len(list(started.iterdir())) < 2:
    time.sleep(0.01)
datasets.disable_progress_bars()
made = datasets.Dataset.from_generator(rows, gen_kwargs={"cache": cache, "made": made}, cache_dir=str(cache))
print(sum(made["number"]))
"""


def run(directory: Path):
    cache, started, made = (directory / name for name in ("cache", "started", "made"))
    started.mkdir()
    environment = {
        "HF_HOME": str(directory / "home"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    read = run_both([["-c", LOAD, cache, started, made]] * 2, environment, directory)
    held = made.read_text().splitlines()
    return {"made": len(held), "read": [text.strip() for text in read]}, held
