"""A pytest plugin: filelock's own tests, run against linklock.

The tests that left_out.toml names are left out. If filelock does not have one of them, that is an error. A test that is skipped for
another reason than those below, or that is expected to fail, counts as failed.
"""

import os
import tomllib
from pathlib import Path

import pytest

LEFT_OUT = Path(__file__).with_name("left_out.toml")
# With the reasons that filelock's tests give: what only Windows has, and what root cannot try.
SKIPS = ("Windows only", "Cannot make a read only file")


def left_out():
    is_root = os.geteuid() == 0
    entries = tomllib.loads(LEFT_OUT.read_text()).items()
    return {name for name, entry in entries if entry.get("only_as") != "root" or is_root}


def pytest_collection_modifyitems(config, items):
    import filelock
    import linklock.filelock

    assert filelock.FileLock is linklock.filelock.FileLock, "filelock is not mapped to linklock: nothing would be tested"
    names = left_out()
    missing = names - {item.name for item in items}
    if missing:
        raise pytest.UsageError(f"{LEFT_OUT.name} names tests that filelock does not have: {sorted(missing)}")
    config.hook.pytest_deselected(items=[item for item in items if item.name in names])
    items[:] = [item for item in items if item.name not in names]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if hasattr(report, "wasxfail") or report.skipped and not any(why in str(report.longrepr) for why in SKIPS):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was not run: {report.longrepr}"
    return report
