"""What the documents say is so: options, examples, links."""

import glob
import os
import re
import subprocess

import pytest

from conftest import read

MAN = ["systemefs.1", "systemefs-sandbox.1", "systemefs.conf.5", "systemefs.7"]
COMPLETIONS = ["systemefs.bash", "_systemefs", "systemefs.fish"]
TEXTS = ["README.md", "HACKING.md", "SECURITY.md", "CHANGELOG.md"]


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


# They mean here what they mean everywhere, or never reach a person.
ORDINARY = set("""EBADF EBUSY EILSEQ EISDIR ELOOP ENAMETOOLONG ENODATA ENODEV ENOMEM ENOTCONN ENOTDIR
                  EWOULDBLOCK""".split())


def test_every_errno_is_in_the_manual(repository):
    """Those that the API's answers become, and those of the tree's own refusals."""
    used = set(re.findall(r"\b(E[A-Z]{3,})\b", read(repository, "src", "api", "errors.c")))
    for layer in ("fuse", "tree", "store"):
        for source in glob.glob(os.path.join(repository, "src", layer, "*.c")):
            used |= set(re.findall(r"-(E[A-Z]{3,})\b", read(source)))
    failures = read(repository, "man", "systemefs.7").split(".Sh FAILURES")[1]
    rows = re.findall(r"^\.It Er (.*)", failures, re.M)
    listed = {errno for row in rows for errno in re.findall(r"E[A-Z]{3,}", row)}
    assert used - listed - ORDINARY == set()
    assert len(used - ORDINARY) > 15


def test_the_control_files_are_in_the_manual(repository, sandbox_mount):
    control = os.path.join(sandbox_mount, ".systemefs")
    manual, readme = read(repository, "man", "systemefs.7"), read(repository, "README.md")
    for name in os.listdir(control):
        assert re.search(rf"^\.It Pa \.systemefs/{name}/?$", manual, re.M), name
        assert re.search(rf"^\.systemefs/.*\b{name}\b", readme, re.M), name
    commands = re.findall(r"^#   (\w+)", read(control, "ctl"), re.M)
    assert len(commands) > 2
    for command in commands:
        assert re.search(rf"^\.It Li {command}\b", manual, re.M), command


def test_security_names_tests_that_exist(repository):
    """A table of proofs is worth as much as the tests that it names."""
    text = read(os.path.join(repository, "SECURITY.md"))
    named = re.findall(r"`((?:unit|mount|sandbox|fuzz)/[\w.]+)(?:::(\w+))?`(?: \(`(\w+)`\))?", text)
    assert len(named) > 40
    for file, test, function in named:
        source = read(os.path.join(repository, "tests", file))
        for name in filter(None, (test, function)):
            assert re.search(rf"(def |static (void|bool|int) |struct ){name}\(", source), (file, name)
