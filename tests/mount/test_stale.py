"""The API is away and an older copy is at hand: it is served, and says so."""

import errno
import os

import pytest

from lib import wait_until


def fails(error, call, *args):
    with pytest.raises(OSError) as caught:
        call(*args)
    assert caught.value.errno == error, caught.value


def stale(m, path):
    return os.getxattr(m / path, "user.systemefs.stale").decode()


class Known:
    """A mount that has read a record, a listing and a name, all of them past their time."""

    def __init__(self, m):
        self.m, self.s = m, m.sandbox
        person = self.s.all("/api/contacts")[40]
        self.id, self.email = person["id"], person["email"]
        self.path, self.named = f"contacts/{self.id}.json", f"contacts/{self.email}.json"
        self.text, self.names = m.read(self.path), m.ls("contacts")
        assert m.read(self.named) == self.text
        assert stale(m, self.path) == "no"

    def served(self):
        m = self.m
        assert m.read(self.path) == self.text
        assert m.ls("contacts") == self.names
        assert m.read(self.named) == self.text
        assert m.text(f"contacts/{self.id}/fields/first_name")
        assert stale(m, self.path) == "yes"
        assert m.status()["api-away"] == "1"

    def fresh_again(self):
        """It notices by itself, soon."""
        self.s.change("patch_contact", id=self.id, fields={"first_name": "Fresh"})
        wait_until(lambda: b"Fresh" in self.m.read(self.path), "the new content")
        assert stale(self.m, self.path) == "no"
        new = self.s.change("create_contact", email="new@example.com")
        wait_until(lambda: f"{new}.json" in self.m.ls("contacts"), "the new contact")
        wait_until(lambda: self.m.status()["api-away"] == "0", "the end of it")


@pytest.fixture(params=["ttl=0", "refresh"])
def known(request, mount, sandbox, mode):
    """Past its time because nothing is ever fresh, or because somebody said so."""
    def start(**options):
        ttl = 0 if request.param == "ttl=0" else 3600
        k = Known(mount(sandbox(contacts=150), mode=mode, ttl=ttl, timeout=2, **options))
        if ttl:
            k.m.ctl("refresh")
        return k
    return start


@pytest.mark.parametrize("rule", [
    {"status": 500}, {"status": 503}, {"status": 502, "body": "<h1>no</h1>"}, {"action": "close"},
    {"action": "hang"}], ids=lambda r: str(r.get("status", r.get("action"))))
def test_away(known, rule):
    k = known()
    k.s.faults({"path": "/api/*", **rule})
    k.served()
    k.s.clear_faults()
    k.fresh_again()


def test_the_server_is_gone(mount, sandbox):
    s = sandbox(contacts=150)
    k = Known(mount(s, ttl=0, timeout=2))
    assert s.stop() == []
    k.served()
    fails(errno.ECONNREFUSED, k.m.read, "contacts/1.json")
    fails(errno.ECONNREFUSED, k.m.ls, "courses")
    # The same world at the same place.
    sandbox(contacts=150, listen=s.host)
    k.fresh_again()


def test_what_was_never_read_fails(known):
    k = known()
    k.s.faults({"path": "/api/*", "status": 503})
    fails(errno.EREMOTEIO, k.m.ls, "courses")
    fails(errno.EREMOTEIO, k.m.read, "contacts/nobody.here@example.com.json")


def test_a_listing_that_was_not_read_to_its_end_fails(mount, sandbox):
    s = sandbox(contacts=1500)
    m = mount(s, ttl=0, timeout=1)
    with os.scandir(m / "contacts") as entries:
        next(entries)
    m.settle()
    s.faults({"path": "/api/*", "status": 503})
    fails(errno.EREMOTEIO, m.ls, "contacts")


@pytest.mark.parametrize("status, error, listing", [
    (401, errno.EKEYREJECTED, errno.EKEYREJECTED), (403, errno.EACCES, errno.EACCES),
    (404, errno.ENOENT, errno.EOPNOTSUPP), (400, errno.EINVAL, errno.EINVAL)])
def test_never_where_the_api_has_spoken(known, status, error, listing):
    k = known()
    k.s.faults({"path": "/api/*", "status": status})
    fails(error, k.m.read, k.path)
    fails(listing, k.m.ls, "contacts")
    fails(listing, k.m.read, k.named)
    k.s.clear_faults()

    def again():  # a refusal is answered again for a moment, and that there is none for the ttl
        k.m.ctl("refresh")
        try:
            return k.m.read(k.path) == k.text and k.m.ls("contacts") == k.names
        except OSError:
            return False
    wait_until(again, "the end of the refusals")
    assert stale(k.m, k.path) == "no"


def test_never_for_an_answer_that_is_none(known):
    k = known()
    k.s.faults({"path": "/api/*", "action": "body", "body": "<html>"})
    fails(errno.EBADMSG, k.m.read, k.path)
    fails(errno.EBADMSG, k.m.ls, "contacts")


def test_rejected_while_it_was_away(known):
    """Away, then back with another word: the older copy is no answer any more."""
    k = known()
    k.s.faults({"path": "/api/*", "status": 503})
    k.served()
    k.s.faults({"path": "/api/*", "status": 401})

    def rejected():
        try:
            k.m.read(k.path)
        except OSError as e:
            return e.errno
    assert wait_until(rejected, "the refusal") == errno.EKEYREJECTED


def test_one_probe_at_a_time(known):
    """While it is away not every read waits for a time-out of its own."""
    k = known()
    k.s.faults({"path": "/api/*", "action": "hang"})
    k.m.read(k.path)
    with k.s.counting() as counted:
        for _ in range(200):
            assert k.m.read(k.path) == k.text
    assert counted.total <= 20, counted


def test_fetched_tells_how_old_it_is(mount, sandbox):
    k = Known(mount(sandbox(contacts=150), ttl=0, timeout=2))
    before = os.getxattr(k.m / k.path, "user.systemefs.fetched")
    k.s.faults({"path": "/api/*", "status": 503})
    k.served()
    assert os.getxattr(k.m / k.path, "user.systemefs.fetched")[:16] == before[:16]


def test_status_says_that_it_is_away(mount, sandbox):
    m = mount(sandbox(), ttl=0)
    m.ls("tags")
    assert m.status()["api-away"] == "0"
    m.sandbox.faults({"path": "/api/*", "status": 503})
    fails(errno.EREMOTEIO, m.ls, "courses")
    assert m.status()["api-away"] == "1"
