"""While the API is slow or silent: what is cached goes on answering, and who waits can stop."""

import contextlib
import errno
import os
import signal
import subprocess
import sys

import pytest

from lib import PATIENCE, mounted, tool_env, wait_until


def fails(error, call, *args):
    with pytest.raises(OSError) as caught:
        call(*args)
    assert caught.value.errno == error, caught.value


@pytest.fixture
def spawn():
    """Starts programs that may wait for long. Signals mean to them what they mean in a shell."""
    running = []

    def default_signals():
        for number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)

    def start(m, *command):
        running.append(subprocess.Popen(
            list(map(str, command)), cwd=m.path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=tool_env(), preexec_fn=default_signals))
        return running[-1]
    yield start
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate()


@pytest.fixture
def hung(mount, sandbox):
    """A mount that knows its tags and the first contact, and whose API now hangs for the others.
    The time-out is far away: nothing here may end because of it."""
    s = sandbox(contacts=30, tags=5)
    m = mount(s, timeout=280)
    m.people = [p["id"] for p in s.all("/api/contacts")]
    m.tags = m.ls("tags")
    m.known = m.read(f"contacts/{m.people[0]}.json")
    s.faults({"path": "/api/contacts*", "action": "hang"})
    return m


def wait_for_hanging(m, count=1):
    wait_until(lambda: m.sandbox.counts()["concurrent"] >= count, f"{count} requests that hang")


def ended(process):
    process.wait(timeout=PATIENCE)
    return process.returncode


def test_what_is_cached_goes_on_answering(hung, spawn):
    reader = spawn(hung, "cat", f"contacts/{hung.people[1]}.json")
    lister = spawn(hung, "ls", "contacts")
    wait_for_hanging(hung, 2)
    assert hung.read(f"contacts/{hung.people[0]}.json") == hung.known
    assert hung.ls("tags") == hung.tags
    assert hung.run("ls", "-l", "tags").stdout.count(".json") == 5
    assert hung.status()["requests-under-way"] == "2"
    assert hung.ls("courses"), "and what can be asked for is asked for"
    assert reader.poll() is None and lister.poll() is None
    assert hung.sandbox.counts()["concurrent"] == 2
    # Let go, both get what they wanted.
    hung.sandbox.clear_faults()
    assert ended(reader) == 0 and ended(lister) == 0
    assert f'"id": {hung.people[1]}' in reader.stdout.read()
    assert lister.stdout.read().count(".json") == 30


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP,
                                    signal.SIGQUIT])
@pytest.mark.parametrize("what", ["file", "listing", "name"])
def test_who_waits_can_stop(hung, spawn, number, what):
    command = {"file": ["cat", f"contacts/{hung.people[1]}.json"], "listing": ["ls", "contacts"],
               "name": ["cat", "contacts/jane@example.com.json"]}[what]
    waiting = spawn(hung, *command)
    other = spawn(hung, "cat", f"contacts/{hung.people[2]}.json")
    wait_for_hanging(hung, 2)
    waiting.send_signal(number)
    assert ended(waiting) == -number
    assert other.poll() is None, "nobody else is disturbed"
    hung.sandbox.clear_faults()
    assert ended(other) == 0
    assert len(hung.ls("contacts")) == 31


def test_one_of_two_that_wait_for_the_same(hung, spawn):
    """Who stops does not take the answer from the other."""
    path = f"contacts/{hung.people[1]}.json"
    first, second = spawn(hung, "cat", path), None
    wait_for_hanging(hung)
    second = spawn(hung, "cat", path)
    wait_until(lambda: int(hung.status()["operations-under-way"]) >= 2, "two that wait")
    first.send_signal(signal.SIGINT)
    assert ended(first) == -signal.SIGINT
    assert second.poll() is None
    hung.sandbox.clear_faults()
    assert ended(second) == 0 and f'"id": {hung.people[1]}' in second.stdout.read()


def test_keyboard_interrupt(hung, spawn):
    reader = spawn(hung, sys.executable, "-c",
                   f"open('contacts/{hung.people[1]}.json').read()")
    wait_for_hanging(hung)
    reader.send_signal(signal.SIGINT)
    assert ended(reader) == -signal.SIGINT
    assert "KeyboardInterrupt" in reader.stderr.read()


# open(2) itself, because Python's open() asks again after EINTR.
READER = """
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
for name in sys.argv[2:]:
    signal.signal(getattr(signal, name), lambda *_: None)
fd = libc.open(sys.argv[1].encode(), os.O_RDONLY)
if fd < 0:
    print("errno", ctypes.get_errno())
else:
    print(os.read(fd, 100000).decode())
"""


@pytest.mark.parametrize("name", ["SIGALRM", "SIGURG", "SIGPROF", "SIGCHLD", "SIGWINCH", "SIGUSR1"])
def test_signals_that_mean_something_else(hung, spawn, name):
    """The timers of git, the preemption of Go, a resized window: a waiting read goes on. It would
    end with EINTR, which those programs take for a failure."""
    reader = spawn(hung, sys.executable, "-c", READER, f"contacts/{hung.people[1]}.json", name)
    wait_for_hanging(hung)
    for _ in range(20):
        reader.send_signal(getattr(signal, name))
        hung.status()  # comes behind the interrupt in the queue of the driver
        assert reader.poll() is None
    hung.sandbox.clear_faults()
    assert ended(reader) == 0
    assert f'"id": {hung.people[1]}' in reader.stdout.read()


def test_stopping_after_such_a_signal(hung, spawn):
    """The kernel tells of the first signal only."""
    reader = spawn(hung, sys.executable, "-c", READER, f"contacts/{hung.people[1]}.json", "SIGALRM")
    wait_for_hanging(hung)
    reader.send_signal(signal.SIGALRM)
    hung.status()
    reader.send_signal(signal.SIGKILL)
    assert ended(reader) == -signal.SIGKILL
    assert hung.ls("tags") == hung.tags


def test_a_handler_of_its_own_sees_eintr(hung, spawn):
    reader = spawn(hung, sys.executable, "-c", READER, f"contacts/{hung.people[1]}.json", "SIGINT")
    wait_for_hanging(hung)
    reader.send_signal(signal.SIGINT)
    assert ended(reader) == 0
    assert reader.stdout.read() == f"errno {errno.EINTR}\n"


@pytest.mark.parametrize("what", ["file", "listing", "name", "below", "stat"])
def test_timeout_bounds_every_operation(mount, sandbox, what):
    s = sandbox(contacts=30)
    m = mount(s, timeout=1)
    id = s.all("/api/contacts")[0]["id"]
    s.faults({"path": "/api/*", "action": "hang"})
    call = {"file": lambda: m.read(f"contacts/{id}.json"), "listing": lambda: m.ls("contacts"),
            "name": lambda: m.read("contacts/jane@example.com.json"),
            "below": lambda: m.ls(f"contacts/{id}/tags"),
            "stat": lambda: os.stat(m / f"contacts/{id}/fields")}[what]
    fails(errno.ETIMEDOUT, call)
    wait_until(lambda: s.counts()["concurrent"] == 0, "requests that were given up")
    s.clear_faults()
    m.ctl("refresh")  # a failure is repeated for a moment, but not after this
    call()


def test_slow_pages_count_each_for_itself(mount, sandbox):
    """The limit is for an operation, not for a whole walk."""
    s = sandbox(contacts=1000)
    m = mount(s, timeout=2)
    s.latency(300)
    assert len(m.ls("contacts")) == 1001


# ---- the end of a mount that waits


def test_unmount_after_the_reader(hung, spawn):
    reader = spawn(hung, "cat", f"contacts/{hung.people[1]}.json")
    wait_for_hanging(hung)
    reader.send_signal(signal.SIGINT)
    ended(reader)
    done = subprocess.run(["fusermount3", "-u", hung.path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert hung.wait_for_end() == 0


def test_unmount_while_one_waits_is_refused(hung, spawn):
    reader = spawn(hung, "cat", f"contacts/{hung.people[1]}.json")
    wait_for_hanging(hung)
    done = subprocess.run(["fusermount3", "-u", hung.path], capture_output=True, text=True)
    assert done.returncode != 0 and "busy" in done.stderr.lower()
    assert reader.poll() is None and hung.ls("tags") == hung.tags


def test_lazy_unmount_while_one_waits(hung, spawn):
    reader = spawn(hung, "cat", f"contacts/{hung.people[1]}.json")
    wait_for_hanging(hung)
    subprocess.run(["fusermount3", "-uz", hung.path], check=True)
    assert not mounted(hung.path)
    # The reader still has it; when it ends, so does the driver.
    reader.send_signal(signal.SIGINT)
    assert ended(reader) == -signal.SIGINT
    assert hung.wait_for_end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_driver_while_one_waits(hung, spawn, number):
    readers = [spawn(hung, "cat", f"contacts/{hung.people[1]}.json"), spawn(hung, "ls", "contacts")]
    wait_for_hanging(hung, 2)
    hung.signal(number)
    assert hung.wait_for_end() == 0
    assert not mounted(hung.path)
    for reader in readers:
        assert ended(reader) != 0 and reader.stderr.read()


# ---- many at once


def test_64_programs(mount, sandbox, spawn):
    s = sandbox(contacts=64, latency=20)
    m = mount(s)
    people = s.all("/api/contacts")
    readers = [(p, spawn(m, "cat", f"contacts/{p['id']}.json")) for p in people]
    for person, reader in readers:
        out, err = reader.communicate(timeout=PATIENCE)
        assert reader.returncode == 0, err
        assert f'"email": "{person["email"]}"' in out
    assert s.counts()["max_concurrent"] <= 8, "jobs"


def test_64_programs_for_one_thing(mount, sandbox, spawn):
    s = sandbox(contacts=150, latency=300)
    m = mount(s)
    listers = [spawn(m, "ls", "contacts") for _ in range(64)]
    texts = {lister.communicate(timeout=PATIENCE)[0] for lister in listers}
    assert len(texts) == 1 and texts.pop().count(".json") == 150
    assert s.counts()["by"]["GET /api/contacts"] == 2


def test_64_that_hang(hung, spawn):
    """More than `jobs` wait; one place is kept free, and what is cached answers."""
    listers = [spawn(hung, "cat", f"contacts/{i}/fields/city") for i in range(1, 65)]
    wait_for_hanging(hung, 8)
    wait_until(lambda: int(hung.status()["requests-waiting"]) >= 30, "a queue")
    assert hung.ls("tags") == hung.tags
    assert hung.read(f"contacts/{hung.people[0]}.json") == hung.known
    for lister in listers:
        lister.send_signal(signal.SIGINT)
    for lister in listers:
        assert ended(lister) == -signal.SIGINT
    hung.sandbox.clear_faults()
    assert len(hung.ls("contacts")) == 31


def test_a_person_does_not_queue_behind_a_walk(mount, sandbox, spawn):
    s = sandbox(contacts=300)
    m = mount(s, timeout=280, jobs=2)
    id = s.all("/api/contacts")[250]["id"]
    s.faults({"path": "/api/contacts", "action": "hang"}, {"path": "/api/tags", "action": "hang"})
    walks = [spawn(m, "ls", name) for name in ("contacts", "tags")]
    wait_for_hanging(m)
    assert m.json(f"contacts/{id}.json")["id"] == id
    assert all(walk.poll() is None for walk in walks)
    s.clear_faults()
    assert all(ended(walk) == 0 for walk in walks)


# ---- a listing that breaks off


@pytest.mark.parametrize("status, error", [(403, errno.EACCES), (500, errno.EREMOTEIO)])
@pytest.mark.parametrize("after", [1, 2])
def test_a_listing_never_ends_early(mount, sandbox, status, error, after):
    s = sandbox(contacts=350)
    m = mount(s)
    s.faults({"path": "/api/contacts", "occurrence": f"{after + 1}-", "status": status})
    done = m.run("ls", "-U", "contacts", check=False)
    assert done.returncode != 0
    assert f"reading directory 'contacts': {os.strerror(error)}" in done.stderr
    assert done.stdout.count(".json") <= 100 * after
    fails(error, m.ls, "contacts")
    assert f"HTTP {status}" in os.getxattr(m / "contacts", "user.systemefs.error").decode()
    for command in (["find", "contacts"], ["grep", "-rc", "x", "contacts"], ["du", "contacts"]):
        assert m.run(*command, check=False).returncode != 0, command
    s.clear_faults()
    assert len(m.ls("contacts")) == 351


def test_the_first_page_comes_first(mount, sandbox):
    s = sandbox(contacts=250)
    m = mount(s, timeout=280)
    s.faults({"path": "/api/contacts", "query": "*startingAfter*", "action": "hang"})
    with os.scandir(m / "contacts") as entries:
        names = [next(entries).name for _ in range(100)]
        assert len(set(names)) == 100
        wait_for_hanging(m)
        s.clear_faults()
        assert len(names) + len(list(entries)) == 251
