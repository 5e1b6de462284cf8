"""What the documents say is so: options, examples, links."""

import glob
import os
import re
import subprocess

import pytest

MAN = ["systemefs.1", "systemefs-sandbox.1", "systemefs.conf.5", "systemefs.7"]
COMPLETIONS = ["systemefs.bash", "_systemefs", "systemefs.fish"]
TEXTS = ["README.md", "HACKING.md", "CHANGELOG.md"]


def read(*parts):
    with open(os.path.join(*parts), encoding="utf-8") as f:
        return f.read()


def options(program):
    """The names in --help: ("ttl", True) where a value follows."""
    done = subprocess.run([program, "--help"], stdout=subprocess.PIPE, check=True)
    found = re.findall(r"^  (?:-o |-\w, --)([\w*-]+)(=?)", done.stdout.decode(), re.M)
    assert len(found) > 40
    return [(name, value == "=") for name, value in found]


@pytest.mark.parametrize("page", MAN)
def test_man_page_renders(repository, page):
    path = os.path.join(repository, "man", page)
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", path],
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANPAGER": "cat", "MANROFFSEQ": ""},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=60,
    )
    assert done.returncode == 0
    assert done.stderr == b""
    assert len(done.stdout) > 2000


@pytest.mark.parametrize("page", MAN)
def test_man_page_lint(repository, page):
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", os.path.join(repository, "man", page)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
    )
    assert done.stdout == b""
    assert done.returncode == 0


def test_man_page_has_every_option(repository, program):
    page = read(repository, "man", "systemefs.1")
    # Written as words of its own, or with the macro's dash in front.
    words = set(re.findall(r"[\w*-]+", page)) | {w.lstrip("-") for w in re.findall(r"[\w*-]+", page)}
    assert [name for name, _ in options(program) if name not in words] == []


@pytest.mark.parametrize("name", COMPLETIONS)
def test_completion_has_every_option(repository, program, name):
    words = set(re.findall(r"[\w*-]+", read(repository, "completions", name)))
    words |= {word.lstrip("-") for word in words}
    assert [name for name, _ in options(program) if name not in words] == []


def test_bash_completion_works(repository):
    script = """
        compopt() { :; }
        . completions/systemefs.bash
        try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _systemefs; echo "${COMPREPLY[*]}"; }
        try systemefs -o auth = m
        try systemefs -o ro,key_
        try systemefs --sand
        try systemefs --log-level =
    """
    done = subprocess.run(
        ["bash", "-c", script], cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.stdout.decode().splitlines() == [
        "maton",
        "ro,key_file= ro,key_command=",
        "--sandbox --sandbox_args=",
        "error warn info debug",
    ]


def test_the_session_of_the_man_page(repository, sandbox_mount):
    """The first example of systemefs(7), typed line by line."""
    text = read(repository, "man", "systemefs.7")
    session = text[text.index(".Sh EXAMPLES") :].split(".Bd -literal -offset indent\n")[1]
    session = session.split(".Ed")[0]
    steps = re.split(r"^\$ ", session, flags=re.M)[1:]
    assert len(steps) > 6
    assert steps[0].startswith("systemefs --sandbox ~/crm && cd ~/crm")
    assert steps[-1].startswith("cd && fusermount3")
    for step in steps[1:-1]:
        command, _, output = step.partition("\n")
        done = subprocess.run(
            ["bash", "-c", command], cwd=sandbox_mount, timeout=60,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )
        assert done.stdout.decode() == output, command


def test_the_tree_of_the_readme(repository, sandbox_mount):
    """Every directory that README.md draws is there."""
    picture = read(repository, "README.md").split("```")[1]
    drawn = re.findall(r"^(\w+)/", picture, re.M)
    there = sorted(n for n in os.listdir(sandbox_mount) if n != "README.md")
    assert sorted(drawn) == there


@pytest.mark.parametrize("name", TEXTS)
def test_links(repository, name):
    """Files that a document names are there."""
    text = read(repository, name)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert os.path.exists(os.path.join(repository, target)), target
    for target in re.findall(r"`((?:src|include|tests|man|tools|completions)/[\w./-]*)`", text):
        assert glob.glob(os.path.join(repository, target.rstrip("/"))), target


def test_version(repository, program):
    done = subprocess.run([program, "--version"], stdout=subprocess.PIPE, check=True)
    version = done.stdout.decode().split()[1]
    assert "## " + version in read(repository, "CHANGELOG.md")
