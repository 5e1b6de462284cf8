"""The account's quota: waiting for it, giving up in time, and never storming against it."""

import errno
import os
import subprocess
import time

import pytest

from lib import PATIENCE, tool_env


def fails(error, call, *args):
    with pytest.raises(OSError) as caught:
        call(*args)
    assert caught.value.errno == error, caught.value


def refused(s):
    """How often the sandbox had to say 429."""
    return sum(r["status"] == 429 for r in s.requests())


def left(m):
    return int(m.status()["quota-left"])


@pytest.mark.parametrize("path", ["file", "listing", "name"])
def test_waits_and_succeeds(mount, sandbox, mode, path):
    s = sandbox(contacts=30)
    person = s.all("/api/contacts")[3]
    m = mount(s, mode=mode)
    s.faults({"path": "/api/*", "status": 429, "headers": {"Retry-After": 1}, "times": 1})
    with s.counting() as counted:
        if path == "listing":
            assert len(m.ls("contacts")) == 31
        else:
            name = person["id"] if path == "file" else person["email"]
            assert m.json(f"contacts/{name}.json") == person
    first, second = counted.requests[:2]
    assert (first["status"], second["status"]) == (429, 200)
    assert second["atMs"] - first["atMs"] >= 990, "as the server said"
    assert m.errors() == [], "nobody was bothered"


def test_a_post_dated_answer(mount, sandbox):
    """Retry-After as a date."""
    s = sandbox(contacts=30)
    m = mount(s)
    when = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 2))
    s.faults({"path": "/api/tags", "status": 429, "headers": {"Retry-After": when}, "times": 1})
    assert m.ls("tags")
    assert refused(s) == 1


@pytest.mark.parametrize("what", ["file", "listing"])
def test_gives_up_at_once_where_waiting_is_in_vain(mount, sandbox, what):
    s = sandbox(contacts=30)
    m = mount(s, timeout=PATIENCE)
    s.faults({"path": "/api/*", "status": 429, "headers": {"Retry-After": 3600}})
    begin = time.monotonic()
    with s.counting() as counted:
        if what == "file":
            fails(errno.EAGAIN, m.read, "tags/1.json")
        else:
            fails(errno.EAGAIN, m.ls, "tags")
        # The next one knows already.
        for _ in range(20):
            fails(errno.EAGAIN, m.ls, "contacts")
    assert time.monotonic() - begin < PATIENCE / 2
    assert counted.total == 1, counted
    assert "it refills in 3" in os.getxattr(m / "contacts", "user.systemefs.error").decode()


def test_status_shows_the_servers_word(mount, sandbox):
    s = sandbox(contacts=30, quota="50/3600")
    m = mount(s)
    assert m.status()["quota-limit"] == m.status()["quota-left"] == "unknown"
    m.ls("tags")
    status = m.status()
    assert (status["quota-limit"], status["quota-left"]) == ("50", "49")
    assert 0 < int(status["quota-refill-seconds"]) <= 3601
    m.ls("courses")
    assert left(m) == 48
    assert "systemefs_quota_left 48\n" in m.text(".systemefs/metrics")
    s.api("GET", "/api/tags")  # somebody else
    m.ls("communities")
    assert left(m) == 46


@pytest.mark.parametrize("form", ["unix", "ms", "seconds", "date"])
def test_forms_of_the_refill(mount, sandbox, form):
    m = mount(sandbox(quota="50/3600", quota_format=form))
    m.ls("tags")
    assert 0 < int(m.status()["quota-refill-seconds"]) <= 3602


def test_the_reserve_is_for_people(mount, sandbox):
    """Listings stop at the reserve; a person's own reads go on to the end."""
    s = sandbox(contacts=2500, quota="20/3600")
    m = mount(s, timeout=5, reserve=50)
    fails(errno.EAGAIN, m.ls, "contacts")
    m.settle()
    assert left(m) == 10
    assert refused(s) == 0
    assert len(s.requests()) == 10
    # Ids far apart: nothing that could be taken for a scan.
    for i in range(10):
        fails(errno.ENOENT, m.read, f"tags/{5000 + i * 7919 % 101}.json")
    assert left(m) == 0
    fails(errno.EAGAIN, m.read, "tags/1.json")
    fails(errno.EAGAIN, m.ls, "courses")
    assert refused(s) == 0, "the driver counts for itself"


def test_no_reserve(mount, sandbox):
    s = sandbox(contacts=2500, quota="20/3600")
    m = mount(s, timeout=5, reserve=0)
    fails(errno.EAGAIN, m.ls, "contacts")
    m.settle()
    assert left(m) == 0 and refused(s) == 0


def test_goes_on_after_the_refill(mount, sandbox):
    """A small quota makes a walk slow, not wrong."""
    s = sandbox(contacts=1500, quota="6/2")
    m = mount(s, timeout=PATIENCE)
    assert len(m.ls("contacts")) == 1501
    assert refused(s) <= 2, [r["status"] for r in s.requests()]


def readers(m, names):
    return [subprocess.Popen(["cat", str(m / name)], stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True, env=tool_env()) for name in names]


def test_no_storm(mount, sandbox):
    """64 programs at once meet an empty quota: it costs no more than what was under way when the
    first answer came. The last request that is allowed may bring a page of them, where they happen to
    come in the order of the listing."""
    s = sandbox(contacts=1000, tags=100, quota="100/3600")
    ids = [p["id"] for p in s.all("/api/contacts")]
    s.quota(4, seconds=3600, remaining=4)
    m = mount(s, timeout=5, jobs=8)
    processes = readers(m, [f"contacts/{ids[i * 370 % 1000]}/fields/city" for i in range(64)])
    texts = [p.communicate(timeout=PATIENCE)[1] for p in processes]
    assert sum(p.returncode != 0 for p in processes) >= 40
    assert all(not text or "temporarily unavailable" in text for text in texts), texts
    assert refused(s) <= 8
    before = refused(s)
    for _ in range(20):
        fails(errno.EAGAIN, m.ls, "tags")
    assert refused(s) == before


def test_no_storm_where_no_header_tells(mount, sandbox):
    """Only 429s, and no word about when."""
    s = sandbox(contacts=100, quota="off")
    m = mount(s, timeout=3)
    s.faults({"path": "/api/*", "status": 429})
    processes = readers(m, [f"contacts/{i + 1}/fields/city" for i in range(0, 640, 10)])
    for process in processes:
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
    assert refused(s) <= 64, refused(s)


def test_the_gateways_own_pace(mount, sandbox):
    """Ten a second, which no header tells."""
    s = sandbox(contacts=2500, gateway_rate=10)
    m = mount(s, mode="gateway")
    assert len(m.ls("contacts")) == 2501
    assert refused(s) == 0


def test_a_429_in_the_middle_of_a_walk(mount, sandbox):
    s = sandbox(contacts=450)
    m = mount(s)
    s.faults({"path": "/api/contacts", "occurrence": 3, "status": 429,
              "headers": {"Retry-After": 1}})
    assert len(m.ls("contacts")) == 451
    assert refused(s) == 1
    assert m.errors() == []
