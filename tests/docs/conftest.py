import os
import subprocess

import pytest


@pytest.fixture(scope="session")
def repository():
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture(scope="session")
def program():
    path = os.environ.get("SYSTEMEFS")
    assert path, "set SYSTEMEFS to the systemefs program"
    return path


@pytest.fixture
def sandbox_mount(program, tmp_path):
    """A mounted sandbox, as --sandbox makes it; yields the mount point."""
    path = tmp_path / "crm"
    path.mkdir()
    subprocess.run([program, "--sandbox", path], check=True, stdin=subprocess.DEVNULL, timeout=60)
    try:
        yield str(path)
    finally:
        subprocess.run(["fusermount3", "-u", path], check=True, timeout=60)
