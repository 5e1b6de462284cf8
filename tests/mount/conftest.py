"""Factories for sandboxes and mounts (see lib.py), and what a failed test shows.

SYSTEMEFS and SYSTEMEFS_SANDBOX name the programs: a normal build or one with sanitizers.
"""

import os
import shutil
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(__file__))
import lib  # noqa: E402
import office as offices  # noqa: E402


def pytest_configure(config):
    for variable in ("SYSTEMEFS", "SYSTEMEFS_SANDBOX"):
        try:
            lib.program(variable)
        except AssertionError as e:
            raise pytest.UsageError(str(e)) from None
    lib.become_reaper()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed and call.when == "call":
        for mount in getattr(item, "mounts", []):
            report.sections.append(("mount", mount.report()))


@pytest.fixture
def work():
    """A directory for the test. Short, because mount points and sockets have to fit into it."""
    path = tempfile.mkdtemp(prefix="sfs-")
    yield path
    # Removing a directory must never walk into a mount and remove records.
    left = lib.mounts_below(path)
    for where in left:
        subprocess.run(["fusermount3", "-u", "-z", where], check=False)
    if lib.mounts_below(path):
        pytest.fail(f"{path} is still in use")
    shutil.rmtree(path)
    if left:
        pytest.fail(f"mounts were left: {left}")


@pytest.fixture(params=["direct", "gateway"])
def mode(request):
    return request.param


@pytest.fixture
def sandbox(work):
    """Starts a sandbox: sandbox(contacts=1000). All of them must end cleanly."""
    running = []

    def start(**options):
        directory = os.path.join(work, f"sandbox{len(running)}")
        os.mkdir(directory)
        running.append(lib.Sandbox(directory, **options))
        return running[-1]

    yield start
    problems = [problem for s in running for problem in s.stop()]
    if problems:
        pytest.fail("\n".join(problems))


@pytest.fixture
def mount(work, sandbox, request):
    """Mounts: mount(sandbox(), mode="gateway", ttl=0); mount() makes a sandbox of its own. All of
    them must end cleanly, and leave no mount."""
    running = request.node.mounts = []

    def start(api=None, **options):
        directory = os.path.join(work, f"mount{len(running)}")
        os.mkdir(directory)
        running.append(lib.Mount(directory, api or sandbox(), **options))
        running[-1].start()
        return running[-1]

    yield start
    problems = [problem for m in reversed(running) for problem in m.close()]
    if problems:
        pytest.fail("\n".join(problems))


@pytest.fixture
def office(sandbox, mount):
    """Starts a small account and mounts it: office(mode="gateway", account={"tags": 3}, ttl=0)."""

    def start(mode="direct", account=None, **options):
        sb = sandbox(**{"contacts": 20, "membership_delay": 0, **(account or {})})
        return offices.Office(sb, mount(sb, mode=mode, **options))

    return start
