"""How it is mounted, who may do what, and that nothing can be changed with `ro`."""

import errno
import os
import select
import signal
import stat
import subprocess

import pytest

import lib
from test_tree import expect_error


def modes(m, contact):
    names = ["README.md", "contacts", f"contacts/{contact}.json", f"contacts/{contact}",
             f"contacts/{contact}/fields/first_name", "courses", ".systemefs",
             ".systemefs/status", ".systemefs/ctl", "contacts/by-email"]
    names.append("courses/" + next(n for n in m.ls("courses") if n.endswith(".json")))
    return {name.replace(str(contact), "ID"): stat.S_IMODE(m.stat(name).st_mode) for name in names}


def test_only_the_owner_sees_it(mount, sandbox):
    sb = sandbox(contacts=5)
    m = mount(sb)
    found = modes(m, sb.world()["contacts"]["last"])
    course = [name for name in found if name.startswith("courses/")][0]
    assert found == {
        "README.md": 0o400, "contacts": 0o700, "contacts/ID.json": 0o600, "contacts/ID": 0o700,
        "contacts/ID/fields/first_name": 0o600, "courses": 0o700, course: 0o400,
        ".systemefs": 0o700, ".systemefs/status": 0o400, ".systemefs/ctl": 0o600,
        "contacts/by-email": 0o700,
    }
    st = m.stat(".")
    assert (st.st_uid, st.st_gid) == (os.getuid(), os.getgid())
    assert stat.S_IMODE(st.st_mode) == 0o700


def test_umask_uid_and_gid(mount, sandbox):
    sb = sandbox(contacts=5)
    m = mount(sb, umask="022", uid=12345, gid=54321)
    found = modes(m, sb.world()["contacts"]["last"])
    assert found["contacts/ID.json"] == 0o644
    assert found["contacts"] == found["contacts/ID"] == 0o755
    assert found["README.md"] == found[".systemefs/status"] == 0o444
    for name in (".", "contacts", f"contacts/{sb.world()['contacts']['last']}.json", "README.md"):
        assert (m.stat(name).st_uid, m.stat(name).st_gid) == (12345, 54321)


def test_other_users_are_kept_out(mount):
    if os.getuid() != 0:
        pytest.skip("needs another user")
    m = mount()
    os.chmod(m.directory, 0o755)
    os.chmod(os.path.dirname(m.directory), 0o755)
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    done = subprocess.run(["ls", m.path], capture_output=True, text=True, check=False, **nobody)
    assert done.returncode != 0 and "denied" in done.stderr


def test_other_users_with_allow_other(mount):
    if os.getuid() != 0:
        pytest.skip("needs another user")
    m = mount(allow_other=True, umask="022", default_permissions=True)
    os.chmod(m.directory, 0o755)
    os.chmod(os.path.dirname(m.directory), 0o755)
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    done = subprocess.run(["cat", m / "README.md"], capture_output=True, check=False, **nobody)
    assert done.stdout == m.read("README.md")


def test_it_is_there_when_the_command_returns(mount, mode):
    m = mount(mode=mode, background=True)
    assert "contacts" in m.ls()
    assert m.log() == ""  # success is silent
    assert os.readlink(f"/proc/{m.pid}/cwd") == "/"
    assert os.getsid(m.pid) == m.pid


def test_what_df_and_findmnt_show(mount):
    m = mount()
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        line = next(line for line in f if line.split()[4] == str(m.path))
    kind, source = line.split(" - ")[1].split()[:2]
    assert kind == "fuse.systemefs"
    assert source == "systemefs:" + m.sandbox.host
    assert "nosuid" in line and "nodev" in line
    assert m.run("df", ".").returncode == 0
    assert m.run("stat", "-f", "-c", "%l", ".").stdout.strip() == "255"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("background", [False, True])
def test_a_signal_unmounts(mount, number, background):
    m = mount(background=background)
    m.ls("tags")
    m.signal(number)
    assert m.wait_for_end() == 0
    assert not lib.mounted(m.path)
    assert os.listdir(m.path) == []


def test_unmounting_while_somebody_waits(mount, sandbox):
    """The reader gets an error, and the program ends."""
    sb = sandbox(contacts=5)
    m = mount(sb)
    sb.faults({"path": "/api/tags", "action": "hang"})
    reader = subprocess.Popen(["ls", str(m / "tags")], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE)
    sb.wait_for_requests(1)
    m.signal(signal.SIGTERM)
    assert m.wait_for_end() == 0
    assert reader.communicate(timeout=lib.PATIENCE)[1]
    assert reader.returncode != 0


def test_a_mount_over_a_mount(mount, sandbox):
    m = mount()
    with pytest.raises(AssertionError, match="systemefs ended with 1.*mounted there already"):
        mount(m.sandbox, path=m.path)
    assert "contacts" in m.ls()


def test_a_dead_mount_is_healed(mount):
    m = mount(background=True)
    m.signal(signal.SIGKILL)
    assert m.wait_for_end() == -signal.SIGKILL
    expect_error(errno.ENOTCONN, m.ls)
    m.start()
    assert "contacts" in m.ls()


def test_sandbox_mode(work):
    """systemefs --sandbox MOUNTPOINT: the first thing that anybody tries."""
    path = os.path.join(work, "mnt")
    os.mkdir(path)
    env = lib.private_env(work, PATH=sandbox_path())
    command = [lib.program("SYSTEMEFS"), "--sandbox", "--sandbox-args=--contacts 120", path]
    with open(os.path.join(work, "log"), "w+b") as log:
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                              timeout=lib.PATIENCE, check=False)
        log.seek(0)
        output = log.read()
    try:
        assert done.returncode == 0, output
        assert output == b""
        assert len(os.listdir(path + "/contacts")) == 121
        with open(path + "/contacts/jane@example.com.json", encoding="utf-8") as f:
            assert '"jane@example.com"' in f.read()
        with open(path + "/.systemefs/status", encoding="utf-8") as f:
            assert "mode: sandbox\n" in f.read()
        daemons = processes_with(path)
        assert len(daemons) == 1
        sandboxes = children_of(daemons[0])
        assert len(sandboxes) == 1
    finally:
        subprocess.run(["fusermount3", "-u", path], check=lib.mounted(path))
    for pid in daemons + sandboxes:
        lib.wait_until(lambda p=pid: ended(p), "systemefs and its sandbox to end")
    assert not lib.mounted(path)
    assert not lib.sanitizer_reports(work)


def test_sandbox_mode_lets_go_of_its_terminal(work):
    """out=$(systemefs --sandbox MOUNTPOINT 2>&1) comes back: nobody keeps the pipe open."""
    path = os.path.join(work, "mnt")
    os.mkdir(path)
    env = lib.private_env(work, PATH=sandbox_path())
    process = subprocess.Popen([lib.program("SYSTEMEFS"), "--sandbox", path], env=env,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    try:
        assert process.wait(timeout=lib.PATIENCE) == 0
        assert select.select([process.stdout], [], [], 2)[0], "somebody still holds the pipe"
        assert process.stdout.read() == b""
    finally:
        daemons = processes_with(path)
        subprocess.run(["fusermount3", "-u", path], check=lib.mounted(path))
        process.stdout.close()
    for pid in daemons:
        lib.wait_until(lambda p=pid: ended(p), "systemefs to end")


def sandbox_path():
    """Where --sandbox finds the program that is to be tested."""
    return os.path.dirname(lib.program("SYSTEMEFS_SANDBOX")) + ":/usr/bin:/bin"


def processes_with(argument):
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as f:
                if os.fsencode(argument) in f.read().split(b"\0"):
                    found.append(int(entry))
        except OSError:
            pass
    return found


def children_of(pid):
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", "rb") as f:
                if int(f.read().rsplit(b")", 1)[1].split()[1]) == pid:
                    found.append(int(entry))
        except OSError:
            pass
    return found


def ended(pid):
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not os.path.exists(f"/proc/{pid}")


# ---- ro ----


def changes(m, contact, tag):
    """Every way to change something: a name for it, and the call."""
    record, other = m / f"contacts/{contact}.json", m / f"tags/{tag}.json"
    field = m / f"contacts/{contact}/fields/first_name"

    def write(path, flags):
        os.close(os.open(path, flags, 0o600))

    return {
        "write": lambda: write(record, os.O_WRONLY),
        "read and write": lambda: write(record, os.O_RDWR),
        "truncate at open": lambda: write(record, os.O_WRONLY | os.O_TRUNC),
        "append": lambda: write(record, os.O_WRONLY | os.O_APPEND),
        "write a field": lambda: write(field, os.O_WRONLY | os.O_TRUNC),
        "truncate": lambda: os.truncate(record, 0),
        "create": lambda: write(m / "contacts/new@example.com.json", os.O_WRONLY | os.O_CREAT),
        "create an id": lambda: write(m / "contacts/4913", os.O_WRONLY | os.O_CREAT | os.O_EXCL),
        "create scratch": lambda: write(m / "contacts/.x.swp", os.O_RDWR | os.O_CREAT | os.O_EXCL),
        "create in the root": lambda: write(m / "notes.txt", os.O_WRONLY | os.O_CREAT),
        "create in .systemefs": lambda: write(m / ".systemefs/new", os.O_WRONLY | os.O_CREAT),
        "create a field": lambda: write(m / f"contacts/{contact}/fields/new",
                                        os.O_WRONLY | os.O_CREAT),
        "mknod": lambda: os.mknod(m / "contacts/fifo", stat.S_IFIFO | 0o600),
        "mkdir": lambda: os.mkdir(m / "contacts/new@example.com"),
        "mkdir a tag": lambda: os.mkdir(m / "tags/new"),
        "mkdir in tags of a contact": lambda: os.mkdir(m / f"contacts/{contact}/tags/{tag}"),
        "rm": lambda: os.unlink(record),
        "rm a field": lambda: os.unlink(field),
        "rm a tag": lambda: os.unlink(other),
        "rmdir": lambda: os.rmdir(m / f"contacts/{contact}"),
        "rmdir a collection": lambda: os.rmdir(m / "contacts"),
        "mv": lambda: os.rename(record, m / "contacts/x.json"),
        "mv onto a record": lambda: os.rename(other, m / "tags/.tmp"),
        "ln": lambda: os.link(other, m / f"contacts/{contact}/tags/new.json"),
        "ln -s": lambda: os.symlink("x", m / "tags/link"),
        "chmod": lambda: os.chmod(record, 0o644),
        "chown": lambda: os.chown(record, os.getuid(), os.getgid()),
        "touch": lambda: os.utime(record),
        "setfattr": lambda: os.setxattr(record, "user.x", b"1"),
        "removexattr": lambda: os.removexattr(record, "user.systemefs.id"),
        "write status": lambda: write(m / ".systemefs/status", os.O_WRONLY),
        "write README": lambda: write(m / "README.md", os.O_WRONLY),
    }


CHANGES = list(changes(lib.pathlib.Path("/"), 0, 0))


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_refused(mount, sandbox, change):
    sb = sandbox(contacts=5)
    contact, tag = sb.world()["contacts"]["last"], sb.world()["tags"]["last"]
    before = (sb.all("/api/contacts"), sb.all("/api/tags"))
    m = mount(sb, ro=True)
    with sb.counting() as c:
        expect_error(errno.EROFS, changes(m, contact, tag)[change])
    assert c.writes == 0
    assert (sb.all("/api/contacts"), sb.all("/api/tags")) == before


def test_tools_are_refused_too(mount, sandbox, mode):
    sb = sandbox(contacts=5)
    contact, tag = sb.world()["contacts"]["last"], sb.world()["tags"]["last"]
    m = mount(sb, mode=mode, ro=True)
    record = f"contacts/{contact}.json"
    text = m.read(record)
    with sb.counting() as c:
        for command in (
            f"echo '{{}}' > {record}", f"rm -f {record}", f"rm -rf contacts/{contact}",
            f"mv {record} contacts/x.json", f"cp tags/{tag}.json {record}",
            f"sed -i s/a/b/ {record}", f"touch {record}", f"chmod 644 {record}", "mkdir tags/new",
            f"ln -s ../../../tags/{tag}.json contacts/{contact}/tags/", f"setfattr -n user.x -v 1 {record}",
            f"echo now > contacts/{contact}/fields/first_name", "touch contacts/x.json",
        ):
            done = m.run("bash", "-c", command, check=False)
            assert done.returncode != 0, command
            assert "Read-only file system" in done.stderr, (command, done.stderr)
    assert c.writes == 0
    assert m.read(record) == text


@pytest.mark.parametrize("change, number", [
    ("mknod", errno.EPERM), ("setfattr", errno.EOPNOTSUPP), ("removexattr", errno.EOPNOTSUPP),
    ("rmdir a collection", errno.EPERM), ("create in .systemefs", errno.EPERM)])
def test_what_cannot_be_changed_without_it_either(mount, sandbox, change, number):
    sb = sandbox(contacts=5)
    m = mount(sb)
    contact, tag = sb.world()["contacts"]["last"], sb.world()["tags"]["last"]
    with sb.counting() as c:
        expect_error(number, changes(m, contact, tag)[change])
    assert c.writes == 0


def test_ro_needs_no_state_directory(mount, sandbox, work):
    """Nothing is kept, because nothing is written: it mounts, and says so."""
    home = os.path.join(work, "state")
    os.mkdir(home, 0o700)
    open(os.path.join(home, "systemefs"), "wb").close()
    m = mount(sandbox(), ro=True, env={"XDG_STATE_HOME": home})
    assert "contacts" in m.ls()
    assert "no drafts and no trash" in m.log()
