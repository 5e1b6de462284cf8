"""./demo does what it says, and each line that it prints can be typed."""

import os
import subprocess

import pytest


@pytest.fixture
def demo(repository, tmp_path):
    def run(*arguments):
        done = subprocess.run(
            [os.path.join(repository, "demo"), *arguments], cwd=tmp_path, timeout=300,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    yield run
    if os.path.ismount(tmp_path / "here"):
        subprocess.run(["fusermount3", "-u", tmp_path / "here"], check=True)


def typed(line, directory):
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], cwd=directory, timeout=60,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )


def test_demo(demo, tmp_path):
    code, out, err = demo("here")
    assert (code, err) == (0, "")
    lines = [line[2:] for line in out.splitlines() if line.startswith("  ")]
    assert len(lines) > 20
    assert lines[-1] == "fusermount3 -u here"
    for line in lines[:-1]:
        done = typed(line, tmp_path)
        # What `head' cuts off ends with SIGPIPE.
        assert done.returncode in (0, 141), (line, done.stderr)
        assert done.stdout, line
        assert done.stderr == b"", line

    code, out, err = demo("here")
    assert (code, err) == (0, "")
    assert out.startswith("It is mounted already.\n")

    assert typed(lines[-1], tmp_path).returncode == 0
    assert not os.path.ismount(tmp_path / "here")


def test_not_empty(demo, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "file").write_text("precious")
    code, out, err = demo("here")
    assert code != 0
    assert out == ""
    assert "not empty" in err


def test_usage(demo):
    assert demo("--help")[0] == 0
    assert demo("--what")[0] == 2
    assert demo("a", "b")[0] == 2
