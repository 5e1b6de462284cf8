"""The network goes while people read, write and unmount, and comes back: a wire between two network
namespaces that is cut (root is needed for it)."""

import errno
import os
import signal
import subprocess
import threading
import time

import pytest

import proxy as net
from lib import PATIENCE, mounted, wait_until
from namespaces import Cable
from office import Office
from test_crash import ADA

TIMEOUT = 2
GONE = {errno.ETIMEDOUT, errno.EHOSTUNREACH}


@pytest.fixture
def wired(sandbox, mount):
    """Offices whose mount has a wire to the server, which is `o.cable`."""
    running = []

    def start(**options):
        cable = Cable()
        server = net.Proxy(sandbox(contacts=150), cable.listener())
        running.append((cable, server))
        m = mount(server, within=cable.within, insecure_http=True,
                  **{"timeout": TIMEOUT, **options})
        o = Office(server, m)
        o.cable = cable
        return o
    yield start
    for cable, server in running:
        server.stop()
        cable.close()


class Try(threading.Thread):
    """One thing that a person does: its errno, 0 when it went well."""

    def __init__(self, function, *args):
        super().__init__(daemon=True)
        self.function, self.args, self.error = function, args, None
        self.start()

    def run(self):
        try:
            self.function(*self.args)
            self.error = 0
        except OSError as e:
            self.error = e.errno

    def end(self):
        self.join(timeout=PATIENCE)
        assert not self.is_alive(), "it hangs"
        return self.error


def write(path, text):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, text)
    finally:
        os.close(fd)


def replace(path, text):
    temporary = path.with_name(".tmp-" + path.name)
    write(temporary, text)
    os.rename(temporary, path)


CHANGES = [
    ("save", ADA, lambda path: write(path, b'{"locale": "fr"}\n')),
    ("replace", "contacts/%(grace)s.json", lambda path: replace(path, b'{"locale": "de"}\n')),
    ("create", "contacts/jane.json", lambda path: write(path, b'{"email": "jane@example.org"}\n')),
    ("mkdir", "tags/made", os.mkdir),
    ("remove", "tags/%(newer)s.json", os.unlink),
    ("untag", "contacts/%(ada)s/tags/%(old)s.json", os.unlink),
]
READS = [
    ("list", "courses", os.listdir),
    ("stat", "webhooks/%(hook)s.json", lambda path: path.read_bytes()),
    ("find", "contacts/nobody@example.org.json", lambda path: path.read_bytes()),
]


def state(o):
    """What the changes above change, as the server has it."""
    contacts = o.s.all("/api/contacts")
    tags = [t["name"] for t in o.s.all("/api/tags")]
    ada = o.record(ADA)
    return {"save": ada["locale"] == "fr",
            "replace": o.record("contacts/%(grace)s.json")["locale"] == "de",
            "create": [c["email"] for c in contacts].count("jane@example.org"),
            "mkdir": tags.count("made"), "remove": "newer" not in tags,
            "untag": "old" not in [t["name"] for t in ada["tags"]]}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("cut, mend", [("pull", "plug"), ("down", "up")])
def test_it_goes_and_comes_back(wired, cut, mend, when):
    """Each hears within `timeout` that it is gone, and nothing is sent again when it is back. `when`:
    it goes before the requests have reached the server, or when they are there and their answers are
    not."""
    o = wired()
    o.run("cat " + ADA + " contacts/%(grace)s.json; ls tags contacts/%(ada)s/tags; stat contacts")
    o.m.settle()
    seen = o.s.requests()[-1]["number"]
    if when == "after":
        o.s.fault = lambda request: net.executed_and_silent
        there = len(o.s.asked)
    else:
        getattr(o.cable, cut)()
    started = time.monotonic()
    tries = {name: Try(act, o.m / o.named(path)) for name, path, act in CHANGES}
    if when == "after":
        wait_until(lambda: len(o.s.asked) >= there + 3, "requests at the server")
        getattr(o.cable, cut)()
        o.s.fault = None
    reads = {name: Try(act, o.m / o.named(path)) for name, path, act in READS}
    known = o.m.json(o.named(ADA))
    assert known["id"] == o.ids["ada"]
    ends = {name: each.end() for name, each in {**tries, **reads}.items()}
    # One that had waited for another change of its record until its time was up said EREMOTEIO.
    assert set(ends.values()) <= GONE, ends
    # One after the other, because changes of one contact wait for each other, and for locks.
    assert time.monotonic() - started < 5 * TIMEOUT
    assert o.cable.unsent() == []

    text = "\n".join(o.m.errors())
    for name, path, _ in CHANGES + READS:
        assert f" {o.named(path)} " in text or name in ("find", "stat"), (name, text)
    drafts = o.m.kept("drafts")
    assert drafts[o.named(ADA)] == b'{"locale": "fr"}\n'
    assert drafts[o.named("contacts/%(grace)s.json")] == b'{"locale": "de"}\n'
    assert drafts["contacts/jane.json"] == b'{"email": "jane@example.org"}\n'
    for name in list(drafts):
        assert name.endswith(".reason") or drafts[name + ".reason"].strip()

    getattr(o.cable, mend)()

    def is_back():
        try:
            return o.m.ls("courses")
        except OSError as e:
            assert e.errno in GONE
            return None
    wait_until(is_back, "a listing, without anybody's help")
    o.m.settle()
    changes = [(r["method"], r["path"], r["body"]) for r in o.s.requests()
               if r["number"] > seen and r["method"] != "GET"]
    assert len(changes) == len(set(changes)), changes
    before = state(o)
    assert all(value <= 1 for value in before.values())
    if when == "before":
        assert changes == [] and not any(before.values())
    o.m.ctl("refresh")
    # Again, all of it: what has been done already is not done twice.
    again = {name: Try(act, o.m / o.named(path)).end() for name, path, act in CHANGES}
    assert set(again.values()) <= {0, errno.EEXIST, errno.ENOENT}, again
    assert state(o) == dict.fromkeys(before, 1)
    for name, path, act in READS[:2]:
        act(o.m / o.named(path))


def test_nothing_is_brought_later(wired):
    """What a connection had not got rid of when its request was given up was sent by the kernel when
    the network came back: a save that had failed went over the one that was made after it."""
    o = wired()
    o.run("cat " + ADA)
    o.m.settle()
    o.cable.pull()
    assert Try(write, o.m / o.named(ADA), b'{"locale": "fr"}\n').end() == errno.ETIMEDOUT
    assert o.cable.unsent() == []
    o.cable.plug()
    assert Try(write, o.m / o.named(ADA), b'{"locale": "de"}\n').end() == 0
    assert [body for _, _, body in
            ((r["method"], r["path"], r["body"]) for r in o.s.requests() if r["method"] == "PATCH")
            ] == ['{"locale":"de"}']


@pytest.mark.parametrize("end", [["fusermount3", "-u"], ["fusermount3", "-uz"],
                                 ["umount", "-l"], signal.SIGTERM], ids=str)
def test_unmounting_without_a_network(wired, end):
    """A save is under way whose answer will never come: the end waits for it, and no longer."""
    o = wired()
    o.run("cat " + ADA)
    o.m.settle()
    o.cable.pull()
    save = Try(write, o.m / o.named(ADA), b'{"locale": "fr"}\n')
    wait_until(lambda: o.m.status()["saves-under-way"] == "1", "the save")
    started = time.monotonic()
    if isinstance(end, signal.Signals):
        o.m.signal(end)
    else:
        done = subprocess.run([*end, o.m.path], capture_output=True, text=True)
        if done.returncode:  # the saving program has a file open
            assert "busy" in done.stderr.lower()
            assert save.end() == errno.ETIMEDOUT
            subprocess.run([*end, o.m.path], check=True)
    assert save.end() in (errno.ETIMEDOUT, errno.ENOTCONN, errno.ECONNABORTED)
    assert o.m.wait_for_end() == 0
    assert time.monotonic() - started < 5 * TIMEOUT
    assert not mounted(o.m.path)
    o.cable.plug()
    o.m.start()
    assert o.m.kept("drafts")[o.named(ADA)] == b'{"locale": "fr"}\n'
    assert o.record(ADA)["locale"] == "en"
