"""What the kernel has to ask: a message costs more than all else of a file that is known.

Counted by the program itself (`kernel-requests` in status), so that a test can tell exactly. Reading
that figure costs some messages, too: COUNTING at most.
"""

import contextlib
import errno
import os
import signal
import subprocess

import pytest

import lib
from test_tree import expect_error

N = 400
COUNTING = 12
DIRECTORY = 8  # opendir, some readdirs, releasedir; there are two, by-email/ is the other
PATTERN = "\"locale\""


@pytest.fixture
def world(sandbox):
    return sandbox(contacts=N)


def asked(m):
    return int(m.status()["kernel-requests"])


@contextlib.contextmanager
def messages(m, at_most, at_least=0):
    before = asked(m)
    yield
    count = asked(m) - before
    assert at_least <= count <= at_most + COUNTING, f"{count} messages of the kernel"


def search(m):
    return len(m.run("grep", "-r", PATTERN, "contacts").stdout.splitlines())


def test_search(mount, world):
    """Open and release of each file are left, and the lookup of its symlink in by-email/."""
    m = mount(world, ttl=600)
    m.ls("contacts")
    with messages(m, 3 * N + N / 10 + 4 * DIRECTORY):
        assert search(m) == N
    for _ in range(2):
        with messages(m, 3 * N + 2 * DIRECTORY, N):
            assert search(m) == N


def test_search_read_only(mount, world):
    """Where nothing is written, nothing need be told: the kernel answers by itself."""
    m = mount(world, ttl=600, ro=True)
    m.ls("contacts")
    with messages(m, N / 10 + 4 * DIRECTORY):
        assert search(m) == N
    for _ in range(2):
        with messages(m, 2 * DIRECTORY):
            assert search(m) == N


@pytest.mark.parametrize("ro", [False, True])
def test_what_the_kernel_has(mount, world, ro):
    m = mount(world, ttl=600, ro=ro)
    m.run("ls", "-l", "contacts", "contacts/by-email")
    m.run("find", "contacts", "-size", "+1k")  # a readlink has made the times of symlinks old
    name = next(n for n in m.ls("contacts") if n.endswith(".json"))
    for command in (["ls", "-l", "contacts"], ["ls", "-f", "contacts/by-email"],
                    ["find", "contacts", "-name", "by-email", "-prune", "-o", "-size", "+1k"], ["stat", *[f"contacts/{name}"] * 50],
                    ["readlink", "-e", "contacts/by-email/../by-email"]):
        with messages(m, 2 * DIRECTORY):
            m.run(*command)


@pytest.mark.parametrize("ro", [False, True])
def test_its_names_are_of_the_listing(mount, sandbox, ro):
    """A directory that the kernel keeps was once a directory that stayed as it was."""
    sb = sandbox(contacts=30)
    m = mount(sb, ttl=1, ro=ro)
    for _ in range(2):
        before = m.ls("contacts"), m.ls("contacts/by-email")
        id = sb.change("create_contact", email=f"new{len(before[0])}@example.com")
        gone = before[0][1 if before[0][0] == "by-email" else 0]
        sb.change("delete_contact", id=int(gone.removesuffix(".json")))
        lib.wait_until(lambda: f"{id}.json" in m.ls("contacts"), "the new one")
        assert gone not in m.ls("contacts")
        lib.wait_until(lambda: f"new{len(before[0])}@example.com.json" in m.ls("contacts/by-email"),
                       "its name")
        assert len(m.ls("contacts")) == len(before[0])
        assert len(m.ls("contacts/by-email")) == len(before[1])


def test_a_name_that_the_kernel_keeps(mount, sandbox):
    """by-name/OLD.json led to the tag for as long as the ttl, though it was called NEW by then."""
    sb = sandbox(contacts=0)
    id = sb.change("create_tag", name="old")
    m = mount(sb, ttl=600, ro=True)
    m.run("ls", "-l", "tags/by-name")
    assert m.json("tags/by-name/old.json")["id"] == id
    sb.change("rename_tag", id=id, name="new")
    m.signal(signal.SIGHUP)
    lib.wait_until(lambda: m.json(f"tags/{id}.json")["name"] == "new", "the change")
    lib.wait_until(lambda: not (m / "tags/by-name/old.json").exists(), "the old name to go")
    assert m.json("tags/by-name/new.json")["id"] == id


# ---- files that are not opened ----


def test_what_changes_is_read(mount, world):
    """Longer, shorter, of the same length: the new bytes with their size."""
    m = mount(world, ttl=1, ro=True)
    id = world.world()["contacts"]["last"]
    name = f"contacts/{id}.json"
    m.read(name)
    for city in ("x" * 5000, "y", "z", "w" * 9000):
        world.change("patch_contact", id=id, fields={"city": city})
        expected = lib.pretty(world.get(f"/api/contacts/{id}"))
        lib.wait_until(lambda: m.read(name) == expected, "the new text")
        assert m.stat(name).st_size == len(expected)
        assert m.run("cat", m / name, text=False).stdout == expected
        lib.wait_until(lambda: m.text(f"contacts/{id}/fields/city") == city + "\n", "its field")


def test_signal(mount, world):
    m = mount(world, ttl=600, ro=True)
    id = world.world()["contacts"]["last"]
    name = f"contacts/{id}.json"
    m.ls("contacts"), search(m)
    before = m.stat(name)
    world.change("patch_contact", id=id, locale="sq")
    assert m.json(name)["locale"] != "sq"
    m.signal(signal.SIGHUP)
    lib.wait_until(lambda: m.json(name)["locale"] == "sq", "the new text")
    assert m.stat(name).st_mtime_ns > before.st_mtime_ns
    world.change("delete_contact", id=id)
    m.signal(signal.SIGHUP)
    lib.wait_until(lambda: not (m / name).exists(), "it to be gone")
    assert f"{id}.json" not in m.ls("contacts")


def test_texts_of_now(mount, world):
    """status, errors and the like change all the time, and are whole whenever they are read."""
    m = mount(world, ttl=600, ro=True)
    seen = 0
    for i in range(20):
        status = m.status()
        assert status["api-away"] == "0"  # the last line
        assert int(status["kernel-requests"]) > seen
        seen = int(status["kernel-requests"])
        expect_error(errno.ENOENT, m.read, f"contacts/{999000000 + i}.json")
        assert len(m.errors()) == i + 1
    assert m.text(".systemefs/metrics").endswith("\n")


def test_a_failure_is_told_by_the_read(mount, sandbox):
    sb = sandbox(contacts=3)
    id = sb.world()["contacts"]["last"]
    m = mount(sb, ttl=600, ro=True)
    sb.faults({"path": f"/api/contacts/{id}", "action": "status", "status": 403})
    expect_error(errno.EACCES, m.read, f"contacts/{id}.json")
    assert "403" in m.why(f"contacts/{id}.json")
    sb.clear_faults()
    assert m.json(f"contacts/{id}.json")["id"] == id
    assert not m.why(f"contacts/{id}.json")


def test_tools_read_only(mount, world, tmp_path):
    m = mount(world, ttl=600, ro=True)
    m.run("cp", "-r", "contacts", tmp_path / "copy")
    m.run("tar", "-cf", tmp_path / "all.tar", "contacts", "tags", "courses")
    m.run("diff", "-r", tmp_path / "copy", "contacts")
    for record in world.all("/api/contacts"):
        assert (tmp_path / f"copy/{record['id']}.json").read_bytes() == lib.pretty(record)
    fd = os.open(m / "README.md", os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def test_made_writable_behind_our_back(mount, sandbox):
    """mount -o remount,rw: nothing that is written then goes anywhere, and nothing breaks."""
    sb = sandbox(contacts=3)
    m = mount(sb, ttl=600, ro=True)
    id = sb.world()["contacts"]["last"]
    m.read(f"contacts/{id}.json")
    done = subprocess.run(["mount", "-i", "-o", "remount,rw", m.path], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mount -o remount is refused here: " + done.stderr.decode())
    with sb.counting() as c:
        expect_error(errno.EROFS, (m / f"contacts/{id}.json").write_text, '{"locale":"sq"}')
        expect_error(errno.EROFS, (m / ".systemefs/ctl").write_text, "refresh\n")
    assert not c.sent
    assert m.json(f"contacts/{id}.json")["id"] == id
