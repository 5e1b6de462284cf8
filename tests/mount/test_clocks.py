"""Clocks that jump, and a server whose clock is another one: nobody waits longer for it than `timeout`,
what is cached neither lasts for ever nor is lost, and what is saved is saved."""

import email.utils
import errno
import os
import time

import pytest

import proxy as net
from clocks import Clocks
from lib import program
from test_crash import ADA

YEARS = 10 * 365 * 86400
DAY = 86400


@pytest.fixture
def clocks(work):
    return Clocks(work, program("SYSTEMEFS"))


def date(seconds):
    """As the server tells a time."""
    return email.utils.formatdate(seconds, usegmt=True)


@pytest.mark.parametrize("wall, form", [(YEARS, "unix"), (-YEARS, "date"), (-6 * YEARS, "unix"),
                                        (300, "date"), (-300, "unix")])
def test_the_wall_clock_jumps(office, clocks, wall, form):
    o = office(env=clocks.env, account={"quota": "500/60", "quota_format": form})
    for offset, locale in ((wall, "fr"), (0, "de")):
        o.run("ls contacts tags; cat " + ADA)
        clocks.set(wall=offset)
        with o.s.counting() as c:
            o.run("ls contacts tags; cat " + ADA)
        assert c.total == 0, c
        o.run("""echo '{"locale":"%s"}' > %s""" % (locale, ADA))
        assert o.record(ADA)["locale"] == locale
        o.shows(ADA)
        o.untroubled()
        # What the server says of its own time is waited for, and not what ours makes of it.
        o.s.faults({"path": "/api/tags", "status": 429, "times": 1,
                    "headers": {"Retry-After": date(time.time() + 1)}})
        o.m.ctl("refresh")
        o.run("ls tags")
        o.s.clear_faults()
        assert 0 < int(o.m.status()["quota-refill-seconds"]) <= 62
        assert abs(os.stat(o.m / ".systemefs/status").st_mtime - time.time() - offset) < 3600


@pytest.mark.parametrize("wall", [0, YEARS, -YEARS])
def test_the_machine_was_asleep(office, clocks, wall):
    """The time to live is over, and so is any quota; nothing else is."""
    o = office(env=clocks.env)
    o.run("ls contacts tags; cat " + ADA)
    o.s.change("patch_contact", id=o.ids["ada"], locale="pt")
    clocks.set(wall=wall, boot=3600)
    with o.s.counting() as c:
        assert o.m.json(o.named(ADA))["locale"] == "pt"
        o.run("ls contacts")
    assert c.total >= 1
    o.untroubled()


# What a server says with its answer, its clock so many seconds off (None: it does not say), and what
# whoever asks next meets.
SAYINGS = [
    ("429, +10 years, a date", 429, YEARS, lambda t: {"Retry-After": date(t + 1)}, 0),
    ("429, -10 years, a date", 429, -YEARS, lambda t: {"Retry-After": date(t + 1)}, 0),
    ("429, a date that is past", 429, 0, lambda t: {"Retry-After": date(t - YEARS)}, 0),
    ("429, no Date, a date", 429, None, lambda t: {"Retry-After": date(t + 1)}, 0),
    ("429, in ten years", 429, 0, lambda t: {"Retry-After": date(t + YEARS)}, errno.EAGAIN),
    ("429, below 0", 429, 0, lambda t: {"Retry-After": "-5"}, 0),
    ("429, 0", 429, 0, lambda t: {"Retry-After": "0"}, 0),
    ("429, no number", 429, 0, lambda t: {"Retry-After": "soon"}, 0),
    ("429, past any number", 429, 0, lambda t: {"Retry-After": "9" * 40}, 0),
    ("429, Date is none", 429, "yesterday", lambda t: {"Retry-After": "1"}, 0),
    ("none left, in ten years", 200, 0, lambda t: {"Refill": int(t + YEARS)}, errno.EAGAIN),
    ("none left, since ten years", 200, 0, lambda t: {"Refill": int(t - YEARS)}, errno.EAGAIN),
    ("none left, +10 years, soon", 200, YEARS, lambda t: {"Refill": int(t + 1)}, 0),
    ("none left, -10 years, soon", 200, -YEARS, lambda t: {"Refill": date(t + 1)}, 0),
    ("none left, no word when", 200, 0, lambda t: {}, errno.EAGAIN),
    ("none left, nonsense", 200, 0, lambda t: {"Refill": "never"}, errno.EAGAIN),
]


def saying(status, off, told):
    """An answer with such headers; executed, where it is none that refuses."""
    def fault(connection, request):
        t = time.time() + (off if isinstance(off, int) else 0)
        headers = {"Retry-After" if k == "Retry-After" else "X-RateLimit-" + k: v
                   for k, v in told(t).items()}
        if status == 200:
            headers = {"X-RateLimit-Limit": 60, "X-RateLimit-Remaining": 0, **headers}
            lines, body = connection.proxy.forward(request)
            lines = [line for line in lines
                     if not line.lower().startswith(("date:", "x-ratelimit-"))]
        else:
            lines, body = ["HTTP/1.1 429 Too Many Requests"], b""
        if off is not None:
            headers["Date"] = date(t) if isinstance(off, int) else off
        connection.send(net.joined(lines + [f"{k}: {v}" for k, v in headers.items()], body))
        return True
    return fault


@pytest.mark.parametrize("name, status, off, told, error", SAYINGS, ids=[row[0] for row in SAYINGS])
def test_a_server_that_lives_in_another_time(sandbox, mount, clocks, name, status, off, told, error):
    server = net.Proxy(sandbox(contacts=5))
    try:
        m = mount(server, timeout=6, env=clocks.env)
        fault = saying(status, off, told)
        server.fault = lambda request: fault if len(server.asked) == 1 else None
        began = time.monotonic()
        got = 0
        try:
            m.ls("tags")
            m.ls("courses")
        except OSError as e:
            got = e.errno
        assert got == error
        if error:
            assert len(server.asked) == 1 and time.monotonic() - began < 6
            assert "quota" in m.errors()[-1]
            clocks.set(boot=32 * DAY)
        assert m.ls("courses")
    finally:
        server.stop()
