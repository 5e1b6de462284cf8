"""What SECURITY.md says: descriptors, memory and files that nobody else gets to see."""

import os
import pathlib
import pwd
import shutil
import stat
import subprocess
import sys

import pytest

from lib import program
from place import Place

# The driver is not dumpable: only root sees what it has open.
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into the process")
O_CLOEXEC = 0o2000000

OPEN_FILES = """
import os, sys
found = {}
for number in os.listdir("/proc/self/fd"):
    try:
        found[number] = os.readlink("/proc/self/fd/" + number)
    except FileNotFoundError:
        pass # the one that lists
print(found, file=open(sys.argv[1], "w"))
print(sys.argv[2])
"""


@pytest.fixture
def place(work):
    p = Place(work)
    yield p
    problems = p.close()
    assert not problems, "\n".join(problems)


def open_files(pid):
    """Number, target and flags of each."""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            info = pathlib.Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
            flags, = [line.split()[1] for line in info.splitlines() if line.startswith("flags:")]
            yield int(fd), os.readlink(f"/proc/{pid}/fd/{fd}"), int(flags, 8)
        except FileNotFoundError:
            pass


@root
def test_every_descriptor_closes_on_exec(office):
    """fusermount3, which is root's, was given the socket pair by which libcurl wakes itself."""
    o = office()
    o.run("cat contacts/%(ada)s.json && ls tags && echo x > contacts/.scratch")
    o.run("""echo '{"locale":"xx-none"}' > contacts/%(ada)s.json""", check=False)
    found = list(open_files(o.m.pid))
    assert any("/dev/fuse" in target for _, target, _ in found), found
    assert any("socket" in target for _, target, _ in found), found
    left_open = [entry for entry in found if entry[0] > 2 and not entry[2] & O_CLOEXEC]
    assert not left_open


def test_a_key_command_inherits_nothing(place, sandbox):
    s = sandbox()
    script = pathlib.Path(place.work, "open_files.py")
    script.write_text(OPEN_FILES)
    place.configure(f"api_url = {s.url}\nauth = systeme\n"
                    f"key_command = {sys.executable} {script} {place.work}/found {s.key}\n")
    place.ok(env={"MATON_API_KEY": "not-for-children"})
    found = eval(pathlib.Path(place.work, "found").read_text())  # what we have just written
    assert set(found) == {"0", "1", "2"}, found


@root
def test_the_sandbox_shares_nothing_with_its_driver(place):
    place.ok("--sandbox")
    os.listdir(place.mnt / "contacts")
    by_name = {pathlib.Path(f"/proc/{pid}/comm").read_text().strip(): pid for pid in place.pids()}
    driver = {target for _, target, _ in open_files(by_name["systemefs"])}
    sandbox = {target for fd, target, _ in open_files(by_name["systemefs-sandb"]) if fd > 2}
    numbered = {t for t in sandbox if t.startswith(("socket:", "pipe:", "/dev/fuse", "/memfd"))}
    assert numbered and any("/dev/fuse" in target for target in driver)
    assert not numbered & driver


@root
def test_not_even_the_same_user_looks_into_it(place):
    """The parent that waits for the mount had the key too, and could be debugged: only the process
    that stays forbade it."""
    nobody = pwd.getpwnam("nobody")
    home = pathlib.Path(place.work, "nobody")
    home.mkdir()
    # A copy, for another user may not reach where this was built.
    binary = home / "systemefs"
    shutil.copy(program("SYSTEMEFS"), binary)
    config = home / "config"
    config.write_text(f"auth = systeme\nkey_command = stat -c %u /proc/$PPID/mem > {home}/owner;"
                      " exit 1\n")
    for path in (home, config):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    binary.chmod(0o755)
    os.chmod(place.work, 0o755)
    env = {**place.env, "HOME": str(home), "XDG_STATE_HOME": str(home)}
    subprocess.run([binary, "-o", f"config={config}", home], env=env, user=nobody.pw_uid,
                   group=nobody.pw_gid, extra_groups=[], capture_output=True, cwd="/", check=False, timeout=60)
    assert (home / "owner").read_text() == "0\n"


def test_a_stolen_state_directory(office):
    """Texts of people are in it, for them alone; the key is not."""
    o = office()
    o.run("""echo '{"locale":"xx-none"}' > contacts/%(ada)s.json""", check=False)
    o.run("rm contacts/%(grace)s.json", check=False)
    kept = pathlib.Path(o.m.env["XDG_STATE_HOME"])
    files = 0
    for directory, _, names in os.walk(kept / "systemefs"):
        assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700, directory
        for name in names:
            path = pathlib.Path(directory, name)
            files += 1
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
            assert o.s.key.encode() not in path.read_bytes()
    assert files
