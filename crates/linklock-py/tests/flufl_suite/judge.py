"""A pytest plugin: flufl.lock's own tests, run against linklock.

The tests that patched.toml names are left out. If flufl.lock does not have one of them, that is an error. If any other test
is skipped or expected to fail, it counts as failed.
"""

import re
import tomllib
from pathlib import Path

import pytest

PATCHED = Path(__file__).with_name("patched.toml")
LIBRARY = Path(__file__).resolve().parents[3] / "linklock"


def patched():
    return tomllib.loads(PATCHED.read_text())


def check_rust_tests():
    for name, entry in patched().items():
        for rust in entry["rust"]:
            file, test = rust.split(": ")
            if not re.search(rf"#\[test\]\nfn {test}\(\)", (LIBRARY / file).read_text()):
                raise pytest.UsageError(f"{PATCHED.name}, {name}: there is no Rust test {rust}")


def pytest_collection_modifyitems(config, items):
    import flufl.lock
    import linklock

    assert flufl.lock.Lock is linklock.Lock, "flufl.lock is not mapped to linklock: nothing would be tested"
    check_rust_tests()
    left_out = [item for item in items if item.name in patched()]
    missing = patched().keys() - {item.name for item in left_out}
    if missing:
        raise pytest.UsageError(f"{PATCHED.name} names tests that flufl.lock does not have: {sorted(missing)}")
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item.name not in patched()]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.skipped or hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was not run: {report.longrepr}"
    return report
