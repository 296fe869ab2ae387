"""The clients. Each is a function that runs one with a given Python, in an empty directory, and returns its outcome.

`sources(NAME)` is its source distribution, unpacked.
"""

from pathlib import Path

from outcome import of_steps, of_tests, run

HERE = Path(__file__).resolve().parent

# Those that take or read a lock.
MAILMAN_TESTS = r"test_(master|cli_control|cli_status|prototype|uid|aliases)|/status\.rst"
# They need the lock to be slow, or a worker to be quick: 4 processes must each get one of 10 tasks; a run of 10 tasks of 0.1 s
# must see a heartbeat, which comes once a second.
LAUFBAND_LEFT_OUT = ["test_multiprocessing_sequential_task", "test_kill_sequential_task_worker"]


def mailman(python, sources, directory):
    """Mailman's tests"""
    report = directory / "report.xml"
    options = ["--plugin", "nose2.plugins.junitxml", "--junit-xml", "--junit-xml-path", report]
    _, said = run([python, "-m", "nose2", *options, "-P", MAILMAN_TESTS], directory, cwd=sources("mailman"))
    return of_tests(report, said)


def mailman_in_operation(python, sources, directory):
    """Mailman, started and stopped"""
    return of_steps(*run([python, HERE / "mailman_operation.py", directory], directory))


def rachis(python, sources, directory):
    """the cache tests of rachis (QIIME 2)"""
    return pytest(python, directory, directory, "--pyargs", "rachis.core.tests.test_cache", QIIMETEST="1")


def dvc(python, sources, directory):
    """DVC's lock tests, with its HardlinkLock"""
    tests = ["tests/func/test_lock.py", "tests/unit/test_rwlock.py"]
    return pytest(python, directory, sources("dvc"), "-p", "dvc_hardlink", *tests)


def dvc_in_contention(python, sources, directory):
    """DVC's HardlinkLock in contention"""
    # DVC_TEST: its commands leave no daemon that asks for updates.
    return of_steps(*run([python, HERE / "dvc_contention.py", directory], directory, DVC_TEST="true"))


def laufband(python, sources, directory):
    """laufband's tests"""
    chosen = ["-k", " and ".join(f"not {name}" for name in LAUFBAND_LEFT_OUT)]
    return pytest(python, directory, sources("laufband"), "-p", "laufband_garbage", *chosen, "tests")


def pytest(python, directory, cwd, *options, **environment):
    report = directory / "report.xml"
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junit-xml", report, *options]
    _, said = run(command, directory, cwd=cwd, PYTHONPATH=str(HERE / "plugins"), **environment)
    return of_tests(report, said)


PACKAGES = ["mailman", "rachis", "dvc", "laufband"]
# Those whose tests are only in their source distribution, or only run there.
SOURCES = ["mailman", "dvc", "laufband"]
CLIENTS = [mailman, mailman_in_operation, rachis, dvc, dvc_in_contention, laufband]
