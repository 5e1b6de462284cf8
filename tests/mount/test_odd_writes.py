"""Ways to write that no editor uses, and what a person does to a mount that is at work: what was meant is
sent once, or refused with a reason; nothing hangs, and nothing is lost."""

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import subprocess

import pytest

from lib import PATIENCE, mounted, wait_until
from place import Place
from test_crash import ADA, Patch, hanging

NEW = b'{"locale": "fr"}\n'
BLOCK = 4096


def opened(flags):
    """Of a way to write: what it does with a descriptor, which is closed afterwards."""
    def decorate(function):
        def way(path, desk):
            fd = os.open(path, flags, 0o600)
            try:
                function(fd, desk)
            finally:
                os.close(fd)
        way.__name__ = function.__name__
        return way
    return decorate


def source(desk):
    with open(f"{desk}/source", "wb") as f:
        f.write(NEW)
    return os.open(f"{desk}/source", os.O_RDONLY)


def command(text):
    def way(path, desk):
        os.close(source(desk))
        done = subprocess.run(["bash", "-c", text, "-", path, f"{desk}/source"],
                              capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode:
            names = [n for n in errno.errorcode if os.strerror(n) in done.stderr]
            raise OSError(names[0] if names else 0, done.stderr)
    way.__name__ = text.replace("/", "")
    return way


@opened(os.O_RDWR)
def mapped(fd, desk):
    size = os.fstat(fd).st_size
    with mmap.mmap(fd, size) as m:
        at = m.find(b'"locale": "en"')
        m[at:at + 14] = b'"locale": "fr"'
        m.flush()


@opened(os.O_WRONLY | os.O_TRUNC | os.O_DIRECT)
def direct(fd, desk):
    with mmap.mmap(-1, BLOCK) as block:
        block[:] = NEW.strip().ljust(BLOCK)
        os.writev(fd, [block])


@opened(os.O_WRONLY | os.O_TRUNC | os.O_SYNC)
def synchronous(fd, desk):
    os.write(fd, NEW)


@opened(os.O_WRONLY | os.O_TRUNC)
def sent_file(fd, desk):
    other = source(desk)
    assert os.sendfile(fd, other, 0, len(NEW)) == len(NEW)
    os.close(other)


@opened(os.O_WRONLY | os.O_TRUNC)
def spliced(fd, desk):
    read, write = os.pipe()
    os.write(write, NEW)
    assert os.splice(read, fd, len(NEW)) == len(NEW)
    os.close(read)
    os.close(write)


@opened(os.O_WRONLY | os.O_TRUNC)
def copied_range(fd, desk):
    other = source(desk)
    try:
        os.copy_file_range(other, fd, len(NEW))
    finally:
        os.close(other)


@opened(os.O_WRONLY | os.O_TRUNC)
def allocated(fd, desk):
    """As rsync --preallocate does: what cannot be had is done without."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.fallocate(fd, 0, ctypes.c_long(0), ctypes.c_long(len(NEW))) == -1
    assert ctypes.get_errno() == errno.EOPNOTSUPP
    os.pwrite(fd, NEW, 0)


@opened(os.O_RDWR | os.O_TRUNC)
def allocated_by_libc(fd, desk):
    """Which writes a zero at the end where there is no such call."""
    os.posix_fallocate(fd, 0, len(NEW))
    os.pwrite(fd, NEW, 0)


@opened(os.O_WRONLY | os.O_TRUNC)
def locked(fd, desk):
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.write(fd, NEW)
    fcntl.flock(fd, fcntl.LOCK_UN)


@opened(os.O_WRONLY | os.O_TRUNC)
def backwards(fd, desk):
    for i in reversed(range(len(NEW))):
        os.pwrite(fd, NEW[i:i + 1], i)


@opened(os.O_RDWR | os.O_TRUNC)
def too_long_and_cut(fd, desk):
    os.write(fd, NEW + b"x" * 100000)
    os.ftruncate(fd, len(NEW))


@opened(os.O_WRONLY | os.O_TRUNC)
def a_hole(fd, desk):
    os.pwrite(fd, NEW, 5000)


@opened(os.O_WRONLY)
def longer(fd, desk):
    os.ftruncate(fd, 100000)


@opened(os.O_WRONLY | os.O_TRUNC)
def past_the_limit(fd, desk):
    """The draft was of 17 MiB, and could not be opened."""
    block = b" " * (1 << 20)
    for _ in range(17):
        os.write(fd, block)


@opened(os.O_WRONLY)
def far_away(fd, desk):
    os.pwrite(fd, b"x", 1 << 50)


@opened(os.O_WRONLY)
def stretched(fd, desk):
    os.ftruncate(fd, 1 << 60)


def renamed_past_the_limit(path, desk):
    """What could not be read again as a draft is none: the text stays where it is."""
    scratch = os.path.join(os.path.dirname(path), ".new")
    subprocess.run(["truncate", "-s", "17M", scratch], check=True)
    try:
        os.rename(scratch, path)
    finally:
        assert os.path.getsize(scratch) == 17 << 20


def renamed(flags):
    def way(path, desk):
        scratch = os.path.join(os.path.dirname(path), ".new")
        with open(scratch, "wb") as f:
            f.write(NEW)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.renameat2(-100, os.fsencode(scratch), -100, os.fsencode(path), flags) != 0:
            raise OSError(ctypes.get_errno(), "renameat2")
    way.__name__ = f"renamed_{flags}"
    return way


def nameless(path, desk):
    """O_TMPFILE."""
    os.close(os.open(os.path.dirname(path), os.O_TMPFILE | os.O_WRONLY, 0o600))


RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
SAVED, KEPT, NOTHING = "saved", "refused, and a draft", "refused, and nothing to keep"

# A way, its errno, and what has become of it.
WAYS = [
    (direct, 0, SAVED),
    (synchronous, 0, SAVED), (sent_file, 0, SAVED), (spliced, 0, SAVED),
    (allocated, 0, SAVED),
    (allocated_by_libc, 0, SAVED), (locked, 0, SAVED), (backwards, 0, SAVED),
    (too_long_and_cut, 0, SAVED), (renamed(0), 0, SAVED),
    (command('cp --reflink=auto "$2" "$1"'), 0, SAVED),
    (command('cp --sparse=always "$2" "$1"'), 0, SAVED),
    (command('dd if="$2" of="$1" bs=3 conv=fsync'), 0, SAVED),
    (command('dd if="$2" of="$1" oflag=sync bs=1'), 0, SAVED),
    (command('tee -a "$1" < "$2" | cat >/dev/null; sync -f "$1"'), 0, KEPT),
    # The program is told, and does it in another way.
    (mapped, errno.ENODEV, NOTHING), (copied_range, errno.EXDEV, NOTHING),
    (command('cp --reflink=always "$2" "$1"'), errno.EXDEV, NOTHING),
    (renamed(RENAME_NOREPLACE), errno.EEXIST, NOTHING),
    (renamed(RENAME_EXCHANGE), errno.EINVAL, NOTHING),
    (nameless, errno.EOPNOTSUPP, NOTHING),
    (a_hole, errno.EINVAL, KEPT), (longer, errno.EINVAL, KEPT),
    (past_the_limit, errno.EFBIG, KEPT), (renamed_past_the_limit, errno.EFBIG, NOTHING),
    (far_away, errno.EFBIG, NOTHING),
    (stretched, errno.EFBIG, NOTHING),
]


@pytest.mark.parametrize("way, error, end", WAYS, ids=[row[0].__name__ for row in WAYS])
def test_a_way_to_write(office, way, error, end):
    o = office()
    path = str(o.m / o.named(ADA))
    o.run("cat " + ADA)
    got = 0
    with o.s.counting() as c:
        try:
            way(path, o.ids["desk"])
        except OSError as e:
            got = e.errno
        wait_until(lambda: o.m.status()["saves-under-way"] == "0", "the end of it")
    assert got == error
    sent = [(method, body) for method, _, body in c.sent]
    assert sent == ([("PATCH", '{"locale":"fr"}')] if end == SAVED else [])
    assert (o.named(ADA) in o.m.kept("drafts")) == (end == KEPT)
    o.m.run("bash", "-c", "rm -f contacts/.new")
    o.shows(ADA)


# ---- a mount at work


def test_a_lazy_unmount_with_an_open_file(office):
    """The file is still there for who has it open, and its close is a save."""
    o = office()
    fd = os.open(o.m / o.named(ADA), os.O_WRONLY | os.O_TRUNC)
    os.write(fd, b'{"locale": ')
    subprocess.run(["fusermount3", "-uz", o.m.path], check=True)
    assert not mounted(o.m.path)
    os.write(fd, b'"fr"}')
    os.close(fd)
    assert o.m.wait_for_end() == 0
    assert o.record(ADA)["locale"] == "fr"
    o.m.start()
    assert o.m.kept("drafts") == {}


def test_killed_with_an_open_file_after_a_lazy_unmount(office):
    """Half a text is none."""
    o = office()
    script = f"exec 3>{o.m / o.named(ADA)}; echo -n '{{\"locale\":' >&3; echo there; exec sleep 1000"
    p = subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"there\n"
    p.stdout.close()
    subprocess.run(["fusermount3", "-uz", o.m.path], check=True)
    p.kill()
    p.wait()
    assert o.m.wait_for_end() == 0
    assert not [r for r in o.s.requests() if r["method"] != "GET"]
    o.m.start()
    assert o.m.kept("drafts")[o.named(ADA)] == b'{"locale":'


def test_hangup_during_a_save(office):
    """SIGHUP is a refresh, and no end."""
    o = office()
    change = Patch(o)
    o.run("cat " + ADA)
    with hanging(change) as p:
        for _ in range(20):
            o.m.signal(signal.SIGHUP)
            o.m.status()
    assert p.returncode == 0
    assert change.is_done()
    assert len([r for r in o.s.requests() if r["method"] == "PATCH"]) == 2  # one hung, and was let go
    o.untroubled()


def test_find_delete_is_interrupted(office):
    """What has been removed is in the trash, and the rest is there; the one under way is seen through."""
    o = office(delete_limit=0, account={"tags": 60})
    before = {t["id"] for t in o.s.all("/api/tags")}
    o.s.faults({"method": "DELETE", "latency": 20})
    asked = o.s.counts()["total"]
    p = subprocess.Popen(["find", "tags", "-maxdepth", "1", "-name", "*.json", "-delete"],
                         cwd=o.m.path)
    o.s.wait_for_requests(asked + 10)
    p.send_signal(signal.SIGINT)
    p.wait(timeout=PATIENCE)
    o.m.settle()
    gone = before - {t["id"] for t in o.s.all("/api/tags")}
    deleted = [int(r["path"].rpartition("/")[2]) for r in o.s.requests()
               if r["method"] == "DELETE"]
    assert set(deleted) == gone and len(deleted) == len(gone) < len(before)
    assert set(o.m.kept("trash")) == {f"tags/{id}.json" for id in gone}


def test_unmounting_under_watchers(office):
    """A file manager has the directories open in its own way (inotify)."""
    o = office()
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    for name in (".", "contacts", o.named(ADA)):
        assert libc.inotify_add_watch(fd, os.fsencode(o.m / name), 0xfff) >= 0
    o.run("""echo '{"locale":"fr"}' > """ + ADA)
    assert os.read(fd, 4096)
    o.m.remount()
    os.close(fd)
    assert o.m.json(o.named(ADA))["locale"] == "fr"


def test_many_lists_at_once(office):
    o = office(account={"contacts": 150})
    o.s.latency(20)
    done = o.run("for i in {1..150}; do ls contacts | md5sum & done; wait")
    assert len(set(done.stdout.split("\n")) - {""}) == 1
    assert o.s.counts()["by"]["GET /api/contacts"] <= 4


def test_the_sandbox_is_killed_first(place_of_a_sandbox):
    """As the order of a shutdown may be: its mount ends all the same, at once."""
    place, driver, sandbox = place_of_a_sandbox
    os.kill(sandbox, signal.SIGKILL)
    with pytest.raises(OSError):
        os.listdir(place.mnt / "contacts")
    os.kill(driver, signal.SIGTERM)
    place.gone()


@pytest.fixture
def place_of_a_sandbox(work):
    place = Place(work)
    place.ok("--sandbox", "-o", "timeout=2")
    pids = place.pids()
    names = {pid: os.path.basename(os.readlink(f"/proc/{pid}/exe")) for pid in pids}
    driver, = [pid for pid in pids if names[pid] == "systemefs"]
    sandbox, = [pid for pid in pids if names[pid] == "systemefs-sandbox"]
    yield place, driver, sandbox
    assert place.close() == []
