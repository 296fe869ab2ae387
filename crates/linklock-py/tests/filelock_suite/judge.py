"""A pytest plugin: filelock's own tests, run against linklock.

The tests that left_out.toml names are left out. If filelock does not have one of them, that is an error. A test that is skipped for
another reason than those below, or that is expected to fail, counts as failed.
"""

import os
import tomllib
from pathlib import Path

import pytest

LEFT_OUT = Path(os.environ.get("LINKLOCK_LEFT_OUT") or Path(__file__).with_name("left_out.toml"))
# With the reasons that filelock's tests give: what only Windows has, and what root cannot try.
SKIPS = ("Windows only", "only on Windows", "Cannot make a read only file")


def left_out():
    """The tests; a name that ends with .py is a file's, which the runner does not give."""
    is_root = os.geteuid() == 0
    entries = tomllib.loads(LEFT_OUT.read_text()).items()
    entries = [(name, entry) for name, entry in entries if entry.get("only_as") != "root" or is_root]
    return {test for name, entry in entries for test in entry.get("tests", [name]) if not test.endswith(".py")}


def names_of(item):
    """With its parameters, without them, and with its file's."""
    return {item.name, item.originalname, f"{item.path.name}::{item.originalname}"}


def pytest_collection_modifyitems(config, items):
    import filelock
    import linklock.filelock

    assert filelock.FileLock is linklock.filelock.FileLock, "filelock is not mapped to linklock: nothing would be tested"
    names = left_out()
    missing = names - set().union(*map(names_of, items))
    if missing:
        raise pytest.UsageError(f"{LEFT_OUT} names tests that filelock does not have: {sorted(missing)}")
    config.hook.pytest_deselected(items=[item for item in items if names & names_of(item)])
    items[:] = [item for item in items if not names & names_of(item)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if hasattr(report, "wasxfail") or report.skipped and not any(why in str(report.longrepr) for why in SKIPS):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was not run: {report.longrepr}"
    return report
