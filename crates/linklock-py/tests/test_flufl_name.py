"""linklock-flufl: linklock behind `import flufl.lock`."""

import os
import subprocess
import sys
from pathlib import Path

import linklock

SOURCE = Path(__file__).resolve().parents[1] / "linklock-flufl/src"

LOGS = """
import logging, sys
from flufl.lock import Lock, TimeOutError
import flufl.lock._lockfile as inner

heard = []
class Ear(logging.Handler):
    def emit(self, record):
        heard.append(record.getMessage())
logging.getLogger("flufl.lock").addHandler(Ear())

def time_out():
    try:
        Lock(sys.argv[1]).lock(timeout=0.05)
    except inner.TimeOutError:
        pass

holder = Lock(sys.argv[1])
with holder:
    time_out()
    assert any("timed out" in line for line in heard), heard
    heard.clear()
    # As Mailman does.
    logging.getLogger("flufl.lock").setLevel(logging.CRITICAL)
    time_out()
    assert heard == [], heard
print(inner.CLOCK_SLOP, inner.SEP, inner.MAXINT == sys.maxsize)
"""


def run(code, *args, also=()):
    paths = [str(SOURCE), *map(str, also), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-c", code, *args], env=environment, capture_output=True, text=True)


def test_programs_find_its_names_and_rule_its_log(path):
    done = run(LOGS, path)
    assert (done.stdout, done.stderr) == (f"0:00:10 {linklock.SEP} True\n", "")


def test_beside_the_real_one_it_is_an_error_that_says_what_to_do(tmp_path):
    real = tmp_path / "flufl_lock-10.0.0.dist-info"
    real.mkdir()
    (real / "METADATA").write_text("Metadata-Version: 2.1\nName: flufl.lock\nVersion: 10.0.0\n")
    done = run("import flufl.lock", also=[tmp_path])
    assert done.returncode == 1 and "uninstall both" in done.stderr
