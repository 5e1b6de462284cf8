"""Removing much: the brake, and the trash from which everything can be had back."""

import errno
import os

import pytest

from lib import compact, pretty
from office import fields
from test_tree import expect_error

ADA = "contacts/%(ada)s.json"


def records(o, home="contacts"):
    return [f"{home}/{name}" for name in o.m.ls(home) if name.endswith(".json")]


def remove_all(o, paths):
    """Those that could be removed."""
    done = []
    for path in paths:
        try:
            os.unlink(o.m / path)
            done.append(path)
        except OSError as e:
            assert e.errno == errno.EPERM, e
    return done


# ---- the brake ----

def test_a_mass_delete_stops(office):
    o = office(account={"contacts": 200})
    people = records(o)
    texts = {path: o.m.read(path) for path in people}
    with o.s.counting() as c:
        done = o.run("for c in contacts/*.json; do rm $c || exit 7; done", check=False)
    assert done.returncode == 7 and "Operation not permitted" in done.stderr
    assert c.total == c.writes == 50
    left = records(o)
    assert len(left) == len(people) - 50
    gone = set(people) - set(left)
    assert o.m.kept("trash") == {path: texts[path] for path in gone}
    refused = min(left)
    assert refused in o.m.errors()[-1] and "EPERM" in o.m.errors()[-1]
    assert "delete_limit" in o.m.errors()[-1] and "deletes" in o.m.errors()[-1]
    assert o.m.read(refused) == texts[refused]


def test_rm_of_many_names(office):
    """One command, as people type it."""
    o = office(account={"contacts": 100}, delete_limit=20)
    with o.s.counting() as c:
        done = o.run("rm contacts/*.json", check=False)
    assert done.returncode == 1
    assert c.writes == 20
    assert len(done.stderr.splitlines()) == len(records(o))


def test_deletes_lets_go_on(office):
    o = office(delete_limit=5)
    people = records(o)
    assert remove_all(o, people) == people[:5]
    o.m.ctl("deletes 7")
    assert remove_all(o, people[5:]) == people[5:12]
    assert remove_all(o, people[12:]) == []
    o.m.ctl("deletes 1000")
    assert remove_all(o, people[12:]) == people[12:]
    assert o.m.ls("contacts") == ["by-email"]


def test_no_limit(office):
    o = office(account={"contacts": 80}, delete_limit=0)
    people = records(o)
    assert remove_all(o, people) == people


@pytest.mark.parametrize("command",
                         ["deletes", "deletes -1", "deletes many", "deletes 5 6", "deletes 1e9",
                          "deletes 99999999999999999999"])
def test_no_number_of_deletes(office, command):
    o = office()
    expect_error(errno.EINVAL, o.m.ctl, command)
    assert ".systemefs/ctl" in o.m.errors()[-1]


def test_every_kind_of_delete_counts(office):
    o = office(delete_limit=3)
    o.run("rm contacts/%(ada)s/tags/%(old)s.json enrollments/%(enrollment)s.json;"
          " rmdir contacts/%(grace)s")
    with o.s.counting() as c:
        for path in (ADA, "tags/%(new)s.json", "memberships/%(membership)s.json",
                     "webhooks/%(hook)s.json", "contact_fields/shoe_size.json"):
            expect_error(errno.EPERM, os.unlink, o.m / o.named(path))
        expect_error(errno.EPERM, os.rmdir, o.m / o.named("contacts/%(ada)s"))
    assert c.writes == 0


def test_what_does_not_count(office):
    """Scratch files, drafts, what is in the trash, and what was not there."""
    o = office(delete_limit=1)
    o.run("rm tags/%(newer)s.json")
    for i in range(5):
        o.run("touch contacts/.x contacts/x~; rm contacts/.x contacts/x~")
        expect_error(errno.ENOENT, os.unlink, o.m / "tags/99999.json")
    o.run("echo broken > contacts/%(ada)s.json", check=False)
    assert o.m.kept("drafts")
    o.run("rm .systemefs/drafts/contacts/%(ada)s.json .systemefs/trash/tags/%(newer)s.json")
    expect_error(errno.EPERM, os.unlink, o.m / o.named(ADA))


# ---- the trash ----

SERVERS_OWN = ("id", "registeredAt", "sourceURL")


def test_a_contact_comes_back(office):
    """Without what is the server's own, and with its tags."""
    o = office()
    old = o.record(ADA)
    o.run("rm " + ADA)
    with o.s.counting() as c:
        o.run(f"cp .systemefs/trash/{ADA} contacts/back.json")
    made = o.s.world()["contacts"]["last"]
    filled = {f["slug"]: f["value"] for f in old["fields"] if f["value"] is not None}
    body = {"email": "ada@example.org", "locale": "en", "fields": fields(**filled)}
    assert c.sent == [("POST", "/api/contacts", compact(body)),
                      ("POST", f"/api/contacts/{made}/tags", compact({"tagId": o.ids["old"]}))]
    new = o.s.get(f"/api/contacts/{made}")
    assert {k: v for k, v in new.items() if k not in SERVERS_OWN} == {
        k: v for k, v in old.items() if k not in SERVERS_OWN}
    assert o.m.read("contacts/back.json") == pretty(new)
    o.untroubled()


@pytest.mark.parametrize("path, api_path, member", [
    ("tags/%(old)s.json", "/api/tags", '{"name":"old"}'),
    ("contact_fields/shoe_size.json", "/api/contact_fields",
     '{"fieldName":"Shoe size","slug":"shoe_size"}'),
    ("enrollments/%(enrollment)s.json", "/api/school/courses/%(course)s/enrollments",
     '{"contactId":%(ada)s,"accessType":"full_access"}'),
    ("memberships/%(membership)s.json", "/api/community/communities/%(community)s/memberships",
     '{"contactId":%(ada)s}'),
], ids=lambda v: v.split("/")[0])
def test_others_come_back(office, path, api_path, member):
    o = office()
    home, name = path.split("/")
    name = name if name == "shoe_size.json" else "back.json"
    o.m.read(o.named(path))
    o.run("rm " + path)
    with o.s.counting() as c:
        o.run(f"cp .systemefs/trash/{path} {home}/{name}")
    (method, where, body), = c.sent
    assert (method, where) == ("POST", o.named(api_path))
    assert sorted(body.strip("{}").split(",")) == sorted(o.named(member).strip("{}").split(","))
    o.untroubled()


def test_a_webhook_comes_back_when_it_is_given_a_secret(office):
    """The API never shows the secret, so it is not in the trash."""
    o = office()
    path = "webhooks/%(hook)s.json"
    o.m.read(o.named(path))
    o.run("rm " + path)
    assert o.run(f"cp .systemefs/trash/{path} webhooks/back.json", check=False).returncode != 0
    assert "secret: This value should not be blank." in o.m.errors()[-1]
    with o.s.counting() as c:
        o.run(f"jq '.secret=\"s\"' .systemefs/trash/{path} > webhooks/back.json")
    assert [m for m, _, _ in c.sent] == ["POST"]
    assert o.m.json("webhooks/back.json")["url"].startswith("https://hooks.example.com/")


def test_every_version_is_kept(office):
    """The same name again and again."""
    o = office()
    texts = []
    for name in ("one", "two", "three"):
        o.run(f"mkdir contact_fields/hat; sed -i 's/\"hat\"$/\"{name}\"/' contact_fields/hat.json")
        texts.append(o.m.read("contact_fields/hat.json"))
        o.run("rm contact_fields/hat.json")
    assert len(set(texts)) == 3
    top = "contact_fields/hat.json"
    kept = {top: texts[0], top + ".2": texts[1], top + ".3": texts[2]}
    assert o.m.kept("trash") == kept
    o.m.remount()
    assert o.m.kept("trash") == kept
    st = o.m.stat(".systemefs/trash/" + top)
    assert st.st_size == len(texts[0])


def test_rm_empties_the_trash(office):
    o = office()
    o.run("rm " + ADA + " tags/%(new)s.json")
    with o.s.counting() as c:
        o.run("rm .systemefs/trash/" + ADA)
        assert list(o.m.kept("trash")) == [o.named("tags/%(new)s.json")]
        o.run("rm -rf .systemefs/trash/*")
    assert c.total == 0
    assert o.m.kept("trash") == {} and o.m.ls(".systemefs/trash") == []
    o.m.remount()
    assert o.m.kept("trash") == {}


def test_the_trash_takes_nothing_in(office):
    o = office()
    o.run("rm " + ADA)
    top = o.m / ".systemefs/trash"
    expect_error(errno.EPERM, (top / "x").write_text, "x")
    expect_error(errno.EPERM, os.mkdir, top / "x")
    expect_error(errno.EPERM, os.rename, o.m / o.named("tags/%(new)s.json"), top / "x")
    with pytest.raises(OSError) as e:
        (top / o.named(ADA)).write_text("x")
    assert e.value.errno in (errno.EACCES, errno.EPERM)


def test_a_delete_that_the_api_refuses(office):
    """It is still there, and so not in the trash."""
    o = office()
    path = o.named("contact_fields/first_name.json")
    text = o.m.read(path)
    expect_error(errno.EINVAL, os.unlink, o.m / path)
    assert "cannot be deleted" in o.m.why(path)
    assert o.m.read(path) == text
    assert o.m.kept("trash") == {}
    o.s.faults({"method": "DELETE", "status": 403})
    expect_error(errno.EACCES, os.unlink, o.m / o.named(ADA))
    o.shows(ADA)
    assert o.m.kept("trash") == {}


def test_a_delete_of_what_is_gone(office):
    o = office(ttl=3600)
    o.m.read(o.named(ADA))
    o.s.change("delete_contact", id=o.ids["ada"])
    expect_error(errno.ENOENT, os.unlink, o.m / o.named(ADA))
    expect_error(errno.ENOENT, o.m.read, o.named(ADA))
    assert o.named("%(ada)s.json") not in o.m.ls("contacts")
