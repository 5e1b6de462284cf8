"""dry_run: every kind of change succeeds, is told to the log, and changes nothing."""

import errno
import os
import re

import pytest

from lib import compact
from office import ids, sent
from test_tree import expect_error, walk
from test_write import CREATIONS, REMOVALS, SAVES
from test_relations import ASSIGNMENTS, JOINING, LEAVING, SETS, TO_GRACE, subscription

WOULD = re.compile(r"dry run: would send ([A-Z]+) (\S+)(?: (.*))?$")


def would_send(o, log_before):
    """What the log has said since then."""
    found = [WOULD.search(line) for line in o.m.log()[len(log_before):].splitlines()]
    return [(f[1], f[2], f[3]) for f in found if f]


def is_json(text):
    return text and text.startswith("{")


ROWS = (
    [(name, command, requests) for name, command, _, requests in SAVES]
    + [(name, command, requests) for name, command, home, _, requests in CREATIONS
       if home != "connections"]
    + [(name, command, [("DELETE", request_path, None)])
       for name, command, _, _, request_path in REMOVALS if "connection" not in command]
    + [(name, command, TO_GRACE) for name, command in ASSIGNMENTS]
    + [("tags, " + name, """echo '{"tags":%s}' > contacts/%%(ada)s.json""" % tags, requests)
       for name, tags, requests in SETS]
    + [(name, command, [("POST", path, body)]) for name, command, path, body in JOINING]
    + [("leave " + path.split("%")[0], "rm " + path, [("DELETE", request, None)])
       for path, request in LEAVING]
    + [("take a tag off", "rm contacts/%(ada)s/tags/%(old)s.json",
        [("DELETE", "/api/contacts/%(ada)s/tags/%(old)s", None)])]
)


def same_body(said, wanted):
    """Members in whatever order."""
    if not is_json(wanted):
        return said == wanted
    return sorted(said.strip("{}").split(",")) == sorted(wanted.strip("{}").split(","))


@pytest.fixture
def dry(office):
    def start(**options):
        return office(dry_run=True, **options)
    return start


def everything(o):
    """All that the tree shows, and all that the server has."""
    homes = ("contacts", "tags", "contact_fields", "enrollments", "memberships", "webhooks")
    tree = {path: o.m.read(path) for home in homes for path in walk(o.m, home)}
    for home in homes:
        tree[home] = set(o.m.ls(home))
    return tree, {home: o.all(home) for home in homes}


@pytest.mark.parametrize("_, command, requests", ROWS, ids=ids(ROWS))
def test_a_change_is_only_told(dry, _, command, requests):
    o = dry()
    before, log = everything(o), o.m.log()
    with o.s.counting() as c:
        o.run(command)
    assert c.writes == 0
    said = would_send(o, log)
    wanted = [r for r in sent(o, [r for r in requests if "%(made)s" not in r[1]])]
    assert [s[:2] for s in said][:len(wanted)] == [w[:2] for w in wanted]
    assert all(same_body(s[2], w[2]) for s, w in zip(said, wanted))
    assert len(said) == len(requests)
    assert o.m.errors() == []
    o.m.ctl("refresh")
    assert everything(o) == before
    assert o.m.kept("trash") == {}
    for name, text in o.m.kept("drafts").items():
        assert not name.endswith(".reason") or text == b"dry run: nothing was sent\n"


def test_what_was_typed_is_kept(dry):
    """mv takes the original away, because all went well."""
    o = dry()
    text = compact({"email": "jane@example.org"}).encode()
    with open(os.path.join(o.ids["desk"], "jane.json"), "wb") as f:
        f.write(text)
    o.run("mv %(desk)s/jane.json contacts/; mkdir contacts/joe@example.org; rm tags/%(new)s.json")
    assert os.listdir(o.ids["desk"]) == []
    assert o.m.kept("drafts") == {"contacts/jane.json": text,
                                  "contacts/jane.json.reason": b"dry run: nothing was sent\n"}


@pytest.mark.parametrize("word, sent_word",
                         [("now", "Now"), ("period-end", "WhenBillingPeriodEnds")])
def test_cancel(dry, word, sent_word):
    o = dry(account={"subscriptions": 20})
    contact, id = subscription(o)
    path = f"contacts/{contact}/subscriptions/{id}.json"
    text, log = o.m.read(path), o.m.log()
    with o.s.counting() as c:
        o.run(f"echo {word} > contacts/{contact}/subscriptions/{id}/cancel")
    assert c.writes == 0
    assert would_send(o, log) == [
        ("POST", f"/api/payment/subscriptions/{id}/cancel", compact({"cancel": sent_word}))]
    assert o.m.read(path) == text


def test_what_is_wrong_is_refused_all_the_same(dry):
    """Checked as if it were sent."""
    o = dry()
    path = o.m / o.named("contacts/%(ada)s.json")
    with o.s.counting() as c:
        expect_error(errno.EINVAL, path.write_text, "not JSON")
        expect_error(errno.EINVAL, path.write_text, '{"email":"other@example.org"}')
        expect_error(errno.EPERM, (o.m / "contacts/424242.json").write_text, '{"email":"a@b.c"}')
        expect_error(errno.EPERM, os.unlink, o.m / o.named("courses/%(course)s.json"))
    assert c.writes == 0


def test_a_mass_delete_is_stopped_here_too(dry):
    """A try that goes well would mean nothing if the real one did not."""
    o = dry(delete_limit=3)
    done = o.run("rm contacts/*.json", check=False)
    assert done.returncode == 1
    assert len(would_send(o, "")) == 3


def test_many_changes_and_none(dry):
    o = dry(background=False)
    before = everything(o)
    with o.s.counting() as c:
        o.run("for i in 1 2 3; do echo v$i > contacts/%(ada)s/fields/city;"
              " mkdir contacts/new$i@example.org tags/new$i; done;"
              " mv tags/by-name/old.json tags/by-name/x.json; rm tags/%(new)s.json;"
              " rmdir contacts/%(ada)s")
    assert c.writes == 0
    assert everything(o) == before
    assert len(would_send(o, "")) == 12
