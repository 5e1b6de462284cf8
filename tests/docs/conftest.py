import contextlib
import os
import re
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "mount"))  # `editors`, and what drives them

# $ a command
# > that goes on
# what it prints
STEP = re.compile(r"^\$ (.*(?:\n> .*)*)\n((?:(?!\$ ).*\n)*)", re.M)


def read(*parts):
    with open(os.path.join(*parts), encoding="utf-8") as f:
        return f.read()


@pytest.fixture(scope="session")
def repository():
    return os.path.dirname(os.path.dirname(HERE))


@pytest.fixture(scope="session")
def program():
    path = os.environ.get("SYSTEMEFS")
    assert path, "set SYSTEMEFS to the systemefs program"
    return path


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of its own, for drafts, trash, and what the examples put there."""
    path = tmp_path / "home"
    path.mkdir()
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(path))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    return path


@pytest.fixture
def mount(program):
    """mount(directory): the sandbox, as --sandbox makes it, until the test ends or ends it."""
    with contextlib.ExitStack() as stack:

        def begin(directory):
            directory.mkdir()
            subprocess.run([program, "--sandbox", directory], check=True, timeout=60,
                           stdin=subprocess.DEVNULL)
            stack.callback(end, directory)
            return str(directory)

        def end(directory):
            if os.path.ismount(directory):
                subprocess.run(["fusermount3", "-u", directory], check=True, timeout=60)

        yield begin


@pytest.fixture
def sandbox_mount(mount, tmp_path):
    return mount(tmp_path / "crm")


def steps(session):
    """A session as it is printed: [(command, output)]."""
    found = [(step[0].replace("\n> ", "\n"), step[1]) for step in STEP.findall(session)]
    assert len(found) == session.count("$ ", 0, 2) + session.count("\n$ ")
    return found


class Shell:
    """One shell, in which one line after the other is typed. It has no terminal, and no settings."""

    def __init__(self, directory):
        self.bash = subprocess.Popen(
            ["bash", "--norc"], cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)

    def type(self, line):
        """What is shown until the next line can be typed."""
        self.bash.stdin.write(f"{{ {line}\n}} </dev/null\nprintf '\\0'\n".encode())
        self.bash.stdin.flush()
        shown = bytearray()
        while (byte := self.bash.stdout.read(1)) != b"\0":
            assert byte, f"the shell has ended: {shown.decode()}"
            shown += byte
        return shown.decode()

    def end(self):
        self.bash.stdin.close()
        self.bash.stdout.close()
        self.bash.wait(timeout=60)


@pytest.fixture
def shell():
    shells = []

    def begin(directory):
        shells.append(Shell(directory))
        return shells[-1]

    yield begin
    for each in shells:
        each.end()
