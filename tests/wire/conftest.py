import os
import subprocess

import pytest


@pytest.fixture(scope="session")
def program():
    path = os.environ.get("SYSTEMEFS")
    assert path, "set SYSTEMEFS to the systemefs program"
    return path


@pytest.fixture(scope="session")
def version(program):
    done = subprocess.run([program, "--version"], stdout=subprocess.PIPE, check=True)
    return done.stdout.decode().split()[1]
