"""Changing records with the ordinary tools: each row of the tree that creates, saves or removes,
with the exact requests that it sends, and what the tree shows right after. Relations between
records are in test_relations.py."""

import errno
import json
import os
import stat

import pytest

from lib import compact
from office import Office, fields, ids, sent
from test_tree import expect_error

ADA = "/api/contacts/%(ada)s"

# ---- saving ----

# What is done, the command, the record's file, the requests.
SAVES = [
    ("echo a part of a contact", """echo '{"locale":"fr"}' > contacts/%(ada)s.json""",
     "contacts/%(ada)s.json", [("PATCH", ADA, '{"locale":"fr"}')]),
    ("sed -i a contact", """sed -i 's/"locale": "en"/"locale": "fr"/' contacts/%(ada)s.json""",
     "contacts/%(ada)s.json", [("PATCH", ADA, '{"locale":"fr"}')]),
    ("cp over a contact", "sed s/Ada/Adele/ contacts/%(ada)s.json > %(desk)s/x &&"
     " cp %(desk)s/x contacts/%(ada)s.json",
     "contacts/%(ada)s.json", [("PATCH", ADA, compact({"fields": fields(first_name="Adele")}))]),
    ("mv a scratch file over a contact", "sed s/London/Rome/ contacts/%(ada)s.json > contacts/.x &&"
     " mv contacts/.x contacts/%(ada)s.json",
     "contacts/%(ada)s.json", [("PATCH", ADA, compact({"fields": fields(city="Rome")}))]),
    ("a field set to null", """sed -i 's/"London"/null/' contacts/%(ada)s.json""",
     "contacts/%(ada)s.json", [("PATCH", ADA, compact({"fields": fields(city=None)}))]),
    ("names where other software has them",
     """echo '{"firstName":"A","lastName":"B","phoneNumber":"+1"}' > contacts/%(ada)s.json""",
     "contacts/%(ada)s.json",
     [("PATCH", ADA, compact({"fields": fields(first_name="A", surname="B", phone_number="+1")}))]),
    ("through the e-mail address", """echo '{"locale":"fr"}' > contacts/ada@example.org.json""",
     "contacts/%(ada)s.json", [("PATCH", ADA, '{"locale":"fr"}')]),
    ("sed -i through the e-mail address",
     """sed -i 's/"locale": "en"/"locale": "fr"/' contacts/ada@example.org.json""",
     "contacts/%(ada)s.json", [("PATCH", ADA, '{"locale":"fr"}')]),
    ("through by-email", "ls contacts/by-email > /dev/null;"
     """ echo '{"locale":"fr"}' > contacts/by-email/ada@example.org.json""",
     "contacts/%(ada)s.json", [("PATCH", ADA, '{"locale":"fr"}')]),
    ("through a tag", """echo '{"locale":"fr"}' > tags/%(old)s/contacts/%(ada)s.json""",
     "contacts/%(ada)s.json", [("PATCH", ADA, '{"locale":"fr"}')]),
    ("echo one field", "echo Adele > contacts/%(ada)s/fields/first_name",
     "contacts/%(ada)s.json", [("PATCH", ADA, compact({"fields": fields(first_name="Adele")}))]),
    ("sed -i one field", "sed -i s/Ada/Adele/ contacts/%(ada)s/fields/first_name",
     "contacts/%(ada)s.json", [("PATCH", ADA, compact({"fields": fields(first_name="Adele")}))]),
    ("one field that is not ASCII", r"""printf 'Ünï "\\" 名\n' > contacts/%(ada)s/fields/city""",
     "contacts/%(ada)s.json", [("PATCH", ADA, compact({"fields": fields(city='Ünï "\\" 名')}))]),
    ("a line more in a field", "echo Soho >> contacts/%(ada)s/fields/city",
     "contacts/%(ada)s.json", [("PATCH", ADA, compact({"fields": fields(city="London\nSoho")}))]),
    ("one field emptied", "echo > contacts/%(ada)s/fields/city",
     "contacts/%(ada)s.json", [("PATCH", ADA, compact({"fields": fields(city=None)}))]),
    ("one field removed", "rm contacts/%(ada)s/fields/city",
     "contacts/%(ada)s.json", [("PATCH", ADA, compact({"fields": fields(city=None)}))]),
    ("no bytes in a field", ": > contacts/%(ada)s/fields/city", "contacts/%(ada)s.json", []),
    ("no bytes in a contact", ": > contacts/%(ada)s.json; truncate -s 0 contacts/%(ada)s.json",
     "contacts/%(ada)s.json", []),
    ("nothing new", "cp contacts/%(ada)s.json %(desk)s/x && cp %(desk)s/x contacts/%(ada)s.json",
     "contacts/%(ada)s.json", []),
    ("no new value in a field", "echo Ada > contacts/%(ada)s/fields/first_name",
     "contacts/%(ada)s.json", []),
    ("a tag", """echo '{"name":"VIP"}' > tags/%(old)s.json""",
     "tags/%(old)s.json", [("PUT", "/api/tags/%(old)s", '{"name":"VIP"}')]),
    ("a tag, below its contact", "sed -i s/old/VIP/ contacts/%(ada)s/tags/%(old)s.json",
     "tags/%(old)s.json", [("PUT", "/api/tags/%(old)s", '{"name":"VIP"}')]),
    ("mv in by-name renames a tag", "mv tags/by-name/old.json 'tags/by-name/a%%2Fb ✓.json'",
     "tags/%(old)s.json", [("PUT", "/api/tags/%(old)s", '{"name":"a/b ✓"}')]),
    ("a contact field", "sed -i 's/Shoe size/Size of shoe/' contact_fields/shoe_size.json",
     "contact_fields/shoe_size.json",
     [("PATCH", "/api/contact_fields/shoe_size", '{"fieldName":"Size of shoe"}')]),
    ("a webhook", "sed -i 's/\"active\": true/\"active\": false/' webhooks/%(hook)s.json",
     "webhooks/%(hook)s.json", [("PATCH", "/api/webhooks/%(hook)s", '{"active":false}')]),
    ("events of a webhook",
     """echo '{"subscriptions":["SALE_NEW","CONTACT_OPT_IN"]}' > webhooks/%(hook)s.json""",
     "webhooks/%(hook)s.json",
     [("PATCH", "/api/webhooks/%(hook)s", '{"subscriptions":["SALE_NEW","CONTACT_OPT_IN"]}')]),
    ("a webhook's secret, which is never shown",
     """echo '{"secret":"s3"}' > webhooks/%(hook)s.json""",
     "webhooks/%(hook)s.json", [("PATCH", "/api/webhooks/%(hook)s", '{"secret":"s3"}')]),
]


@pytest.mark.parametrize("_, command, path, requests", SAVES, ids=ids(SAVES))
def test_saving(office, _, command, path, requests):
    o = office()
    o.run("cat " + path)
    before = os.stat(o.m / o.named(path)).st_mtime_ns
    with o.s.counting() as c:
        o.run(command)
    assert c.sent == sent(o, requests)
    o.shows(path)
    # What has changed is new; a secret is not seen.
    newer = os.stat(o.m / o.named(path)).st_mtime_ns > before
    assert newer == (bool(requests) and "secret" not in command)
    o.untroubled()


def test_through_the_gateway(sandbox, mount):
    """Each change names the connection that was asked for, and the type of its body."""
    sb = sandbox(contacts=20, connections=2)
    connection = [c for c in sb.connections() if c["status"] == "ACTIVE"][1]["connection_id"]
    o = Office(sb, mount(sb, mode="gateway", connection=connection))
    with sb.counting() as c:
        o.run("""echo '{"locale":"fr","tags":[]}' > contacts/%(ada)s.json;"""
              """ rm contacts/%(grace)s.json; mkdir tags/VIP;"""
              """ echo '{"name":"x"}' > tags/%(old)s.json""")
    assert {(r["auth"], r["matonConnection"]) for r in c.requests} == {("bearer", connection)}
    assert [(r["method"], r["contentType"]) for r in c.requests if r["method"] != "GET"] == [
        ("PATCH", "application/merge-patch+json"), ("DELETE", None), ("DELETE", None),
        ("POST", "application/json"), ("PUT", "application/json")]
    o.shows("contacts/%(ada)s.json")
    o.untroubled()


def test_saving_shows_everywhere(office):
    """The record, its fields, its other names: one content, no request to see it."""
    o = office()
    ada = o.ids["ada"]
    o.run("ls tags/%(old)s/contacts contacts/by-email; cat contacts/%(ada)s.json")
    o.run("echo Adele > contacts/%(ada)s/fields/first_name")
    with o.s.counting() as c:
        for path in ("contacts/%(ada)s.json", "contacts/ada@example.org.json",
                     "contacts/by-email/ada@example.org.json",
                     "tags/%(old)s/contacts/%(ada)s.json"):
            assert '"Adele"' in o.m.text(o.named(path)), path
        assert o.m.text(f"contacts/{ada}/fields/first_name") == "Adele\n"
        assert o.m.stat(f"contacts/{ada}/fields/first_name").st_size == 6
        assert len(o.m.text(f"contacts/{ada}/fields/city")) == 7
    assert c.total == 0, c


def test_a_field_that_the_record_does_not_show(office):
    """Some accounts show only fields that have a value: the others can be filled all the same."""
    o = office(account={"filled_fields": True})
    field = o.named("contacts/%(ada)s/fields/favourite_colour")
    assert "favourite_colour" not in o.m.ls(os.path.dirname(field))
    for value, sent_value in (("green", "green"), ("", None), ("red", "red")):
        with o.s.counting() as c:
            o.run(f"echo {value} > {field}")
        body = compact({"fields": fields(favourite_colour=sent_value)})
        assert [sent_body for _, _, sent_body in c.sent] == [body]
        assert o.m.text(field) == value + "\n"
        assert ("favourite_colour" in o.m.ls(os.path.dirname(field))) == bool(value)
        o.shows("contacts/%(ada)s.json")
    o.untroubled()


def test_a_new_field_is_one_of_every_contact(office):
    o = office()
    o.run("cat contacts/%(ada)s.json; ls contacts/%(ada)s/fields")
    o.run("mkdir contact_fields/hat; echo 57 > contacts/%(ada)s/fields/hat")
    assert o.m.text(o.named("contacts/%(ada)s/fields/hat")) == "57\n"
    o.run("sed -i 's/\"hat\"$/\"Size of hat\"/' contact_fields/hat.json")
    assert '"Size of hat"' in o.m.text(o.named("contacts/%(ada)s.json"))
    o.run("rm contact_fields/hat.json")
    expect_error(errno.ENOENT, o.m.read, o.named("contacts/%(ada)s/fields/hat"))
    o.shows("contacts/%(ada)s.json")
    o.untroubled()


def test_renaming_a_tag_moves_its_name(office):
    o = office()
    o.run("mv tags/by-name/old.json tags/by-name/ancient.json")
    names = o.m.ls("tags/by-name")
    assert "ancient.json" in names and "old.json" not in names
    o.shows("tags/by-name/ancient.json", o.record("tags/%(old)s.json"))
    o.shows("tags/ancient.json", o.record("tags/%(old)s.json"))
    expect_error(errno.ENOENT, o.m.read, "tags/by-name/old.json")
    # Its name is in the contact, too.
    assert "ancient" in o.m.text(o.named("contacts/%(ada)s.json"))


def test_a_name_in_use_is_refused(office):
    o = office()
    with o.s.counting() as c:
        expect_error(errno.EEXIST, os.rename, o.m / "tags/by-name/old.json",
                     o.m / "tags/by-name/new.json")
    assert c.writes == 0


# ---- creating ----

JANE = {"email": "jane@example.org", "locale": "fr", "fields": fields(first_name="Jane")}
HOOK = {"name": "crm", "secret": "s", "url": "https://h.example.org/",
        "subscriptions": ["SALE_NEW"]}

# What is done, the command, where it is made, a name that it then has, the requests.
CREATIONS = [
    ("mkdir a contact", "mkdir contacts/jane@example.org", "contacts", "jane@example.org.json",
     [("POST", "/api/contacts", '{"email":"jane@example.org"}')]),
    ("echo a contact", f"echo '{compact(JANE)}' > contacts/x.json", "contacts", "x.json",
     [("POST", "/api/contacts", compact(JANE))]),
    ("cp a contact", f"echo '{compact(JANE)}' > %(desk)s/x.json && cp %(desk)s/x.json contacts/",
     "contacts", "x.json", [("POST", "/api/contacts", compact(JANE))]),
    ("mv a contact", f"echo '{compact(JANE)}' > %(desk)s/x.json && mv %(desk)s/x.json contacts/",
     "contacts", "x.json", [("POST", "/api/contacts", compact(JANE))]),
    ("mv a scratch file to a new name",
     f"echo '{compact(JANE)}' > contacts/.x && mv contacts/.x contacts/x.json",
     "contacts", "x.json", [("POST", "/api/contacts", compact(JANE))]),
    ("a contact with tags",
     """echo '{"email":"jane@example.org","tags":["old","new"]}' > contacts/x.json""",
     "contacts", "x.json",
     [("POST", "/api/contacts", '{"email":"jane@example.org"}'),
      ("POST", "/api/contacts/%(made)s/tags", '{"tagId":%(old)s}'),
      ("POST", "/api/contacts/%(made)s/tags", '{"tagId":%(new)s}')]),
    ("a contact from another one's file",
     "sed s/ada@/jane@/ contacts/%(ada)s.json | jq '{email, locale, id, registeredAt, bounced}' "
     "> contacts/x.json", "contacts", "x.json",
     [("POST", "/api/contacts", '{"email":"jane@example.org","locale":"en"}')]),
    ("mkdir a tag", "mkdir 'tags/a%%2Fb ✓'", "tags", "a%%2Fb ✓.json",
     [("POST", "/api/tags", '{"name":"a/b ✓"}')]),
    ("echo a tag", """echo '{"name":"VIP"}' > tags/x.json""", "tags", "x.json",
     [("POST", "/api/tags", '{"name":"VIP"}')]),
    ("cp a tag under another name", "sed s/old/VIP/ tags/%(old)s.json > tags/x.json", "tags",
     "x.json",
     [("POST", "/api/tags", '{"name":"VIP"}')]),
    ("mkdir a contact field", "mkdir contact_fields/hat_size", "contact_fields", "hat_size.json",
     [("POST", "/api/contact_fields", '{"fieldName":"hat_size","slug":"hat_size"}')]),
    ("echo a contact field",
     """echo '{"fieldName":"Hat","slug":"hat_size"}' > contact_fields/hat_size.json""",
     "contact_fields", "hat_size.json",
     [("POST", "/api/contact_fields", '{"fieldName":"Hat","slug":"hat_size"}')]),
    ("echo a webhook", f"echo '{compact(HOOK)}' > webhooks/x.json", "webhooks", "x.json",
     [("POST", "/api/webhooks", compact(HOOK))]),
    ("mkdir a connection", "mkdir connections/systeme", "connections", None,
     [("POST", "/connections", '{"app":"systeme"}')]),
]


@pytest.mark.parametrize("_, command, home, name, requests", CREATIONS, ids=ids(CREATIONS))
def test_creating(office, _, command, home, name, requests):
    o = office(mode="gateway" if home == "connections" else "direct")
    listed = set(o.m.ls(home))
    before = o.all(home)
    with o.s.counting() as c:
        o.run(command)
    made, = set(o.all(home)) - set(before)
    o.ids["made"] = made
    assert c.sent == sent(o, requests)
    record = o.all(home)[made]
    with o.s.counting() as c:
        for path in (f"{made}.json", name):
            if path:
                o.shows(f"{home}/{path}", record)
        assert set(o.m.ls(home)) - listed - {str(made)} == {f"{made}.json"}
    assert c.total <= (1 if home in ("contact_fields", "webhooks", "connections") else 0), c
    if name and o.named(name) != f"{made}.json":
        assert os.readlink(o.m / home / o.named(name)) == f"{made}.json"
        assert stat.S_IMODE(o.m.stat(f"{home}/{o.named(name)}").st_mode) == 0o777
    o.untroubled()


def test_a_name_goes_on_standing_for_the_record(office):
    """A file that has become a record: what is written to its name, or to the descriptor that is
    still open, is a save of that."""
    o = office()
    fd = os.open(o.m / "contacts/x.json", os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        os.write(fd, b'{"email":"jane@example.org"}')
        os.fsync(fd)
        with o.s.counting() as c:
            os.ftruncate(fd, 0)
            os.pwrite(fd, b'{"email":"jane@example.org","locale":"fr"}', 0)
            os.fsync(fd)
    finally:
        os.close(fd)
    made = o.s.world()["contacts"]["last"]
    assert c.sent == [("PATCH", f"/api/contacts/{made}", '{"locale":"fr"}')]
    with o.s.counting() as c:
        o.run("""echo '{"locale":"de"}' > contacts/x.json""")
    assert c.sent == [("PATCH", f"/api/contacts/{made}", '{"locale":"de"}')]
    with o.s.counting() as c:
        o.run("sed -i 's/\"locale\": \"de\"/\"locale\": \"es\"/' contacts/x.json")
    assert c.sent == [("PATCH", f"/api/contacts/{made}", '{"locale":"es"}')]
    o.shows("contacts/x.json", o.s.get(f"/api/contacts/{made}"))
    o.untroubled()


def test_a_created_name_goes_with_the_mount(office):
    o = office()
    o.run("""echo '{"name":"VIP"}' > tags/x.json""")
    o.m.remount()
    expect_error(errno.ENOENT, o.m.read, "tags/x.json")
    assert '"VIP"' in o.m.text("tags/VIP.json")


# ---- removing ----

REMOVALS = [
    ("rm a contact", "rm contacts/%(ada)s.json", "contacts/%(ada)s.json",
     "contacts/%(ada)s.json", "/api/contacts/%(ada)s"),
    ("rmdir a contact", "rmdir contacts/%(ada)s", "contacts/%(ada)s.json",
     "contacts/%(ada)s.json", "/api/contacts/%(ada)s"),
    ("rm a tag", "rm tags/%(old)s.json", "tags/%(old)s.json", "tags/%(old)s.json",
     "/api/tags/%(old)s"),
    ("rm a contact field", "rm contact_fields/shoe_size.json", "contact_fields/shoe_size.json",
     "contact_fields/shoe_size.json", "/api/contact_fields/shoe_size"),
    ("rm an enrollment", "rm enrollments/%(enrollment)s.json", "enrollments/%(enrollment)s.json",
     "enrollments/%(enrollment)s.json", "/api/school/enrollments/%(enrollment)s"),
    ("rm a membership", "rm memberships/%(membership)s.json", "memberships/%(membership)s.json",
     "memberships/%(membership)s.json", "/api/community/memberships/%(membership)s"),
    ("rm a webhook", "rm webhooks/%(hook)s.json", "webhooks/%(hook)s.json",
     "webhooks/%(hook)s.json", "/api/webhooks/%(hook)s"),
    ("rm a connection", "rm connections/%(connection)s.json", "connections/%(connection)s.json",
     "connections/%(connection)s.json", "/connections/%(connection)s"),
]


@pytest.mark.parametrize("_, command, path, kept, request_path", REMOVALS, ids=ids(REMOVALS))
def test_removing(office, _, command, path, kept, request_path):
    o = office(mode="gateway" if "connection" in command else "direct")
    o.ids["connection"] = o.s.connections()[-1]["connection_id"]
    home, name = os.path.split(o.named(path))
    text = o.m.read(o.named(path))
    assert name in o.m.ls(home)
    with o.s.counting() as c:
        o.run(command)
    assert c.sent == [("DELETE", o.named(request_path), None)]
    assert c.total == 1, c
    expect_error(errno.ENOENT, o.m.read, o.named(path))
    assert name not in o.m.ls(home)
    assert name.removesuffix(".json") not in map(str, o.all(home))
    assert o.m.kept("trash") == {o.named(kept): text}
    o.untroubled()


# ---- what is refused ----

REFUSED = [
    ("a course", "open", "courses/%(course)s.json"),
    ("a community", "open", "communities/%(community)s.json"),
    ("an enrollment", "open", "enrollments/%(enrollment)s.json"),
    ("README", "open", "README.md"), ("status", "open", ".systemefs/status"),
    ("a course", "unlink", "courses/%(course)s.json"), ("a listing", "rmdir", "contacts"),
    ("a tag's directory", "rmdir", "tags/%(old)s"),
    ("a symlink", "unlink", "contacts/ada@example.org.json"),
    ("a course", "mkdir", "courses/Bread"), ("in the root", "mkdir", "Bread"),
    ("a webhook by its name", "mkdir", "webhooks/crm"), ("by an id", "mkdir", "tags/424242"),
    ("by no address", "mkdir", "contacts/jane"),
    ("what is there", "mkdir", "contacts/ada@example.org"),
]


@pytest.mark.parametrize("_, call, path", REFUSED, ids=lambda v: v)
def test_what_cannot_be(office, _, call, path):
    o = office()
    path = o.named(path)
    calls = {"open": lambda p: os.close(os.open(p, os.O_WRONLY)), "unlink": os.unlink,
             "rmdir": os.rmdir, "mkdir": os.mkdir}
    with o.s.counting() as c, pytest.raises(OSError) as e:
        calls[call](o.m / path)
    wanted = {"contacts/jane": [errno.EINVAL], "contacts/ada@example.org": [errno.EEXIST]}
    assert e.value.errno in wanted.get(path, [errno.EPERM, errno.EACCES]), e.value
    assert c.writes == 0
    if e.value.errno != errno.EEXIST:
        assert path in o.m.errors()[-1]


def test_a_name_that_is_taken(office):
    """O_EXCL and mv -n find what is there, under each of its names."""
    o = office()
    for name in ("contacts/%(ada)s.json", "contacts/ada@example.org.json", "tags/old.json",
                 "contacts/%(ada)s/tags/%(old)s.json", "contacts/%(ada)s/fields/city"):
        expect_error(errno.EEXIST, os.open, o.m / o.named(name),
                     os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    with o.s.counting() as c:
        o.run("""echo '{"locale":"fr"}' > contacts/.x; mv -n contacts/.x contacts/%(ada)s.json""",
              check=False)
    assert c.writes == 0
    assert o.m.text("contacts/.x") == '{"locale":"fr"}\n'


def test_a_record_is_not_cut_off(office):
    o = office()
    with o.s.counting() as c:
        expect_error(errno.EINVAL, os.truncate, o.m / o.named("contacts/%(ada)s.json"), 5)
        expect_error(errno.EINVAL, os.truncate, o.m / o.named("contacts/%(ada)s.json"), 1 << 20)
    assert c.writes == 0
    o.shows("contacts/%(ada)s.json")


def test_modes_owners_and_times_are_taken_and_change_nothing(office):
    o = office()
    path = o.m / o.named("contacts/%(ada)s.json")
    before = os.stat(path)
    with o.s.counting() as c:
        o.run("chmod 444 contacts/%(ada)s.json && chown 1:1 contacts/%(ada)s.json &&"
              " touch contacts/%(ada)s.json && touch -d 2001-01-01 contacts/%(ada)s.json &&"
              " chmod 700 contacts/%(ada)s/fields/city contacts && touch tags/%(old)s.json")
    after = os.stat(path)
    same = ("st_mode", "st_uid", "st_gid", "st_mtime", "st_size")
    assert [getattr(before, n) for n in same] == [getattr(after, n) for n in same]
    assert c.writes == 0
    o.untroubled()


# ---- names that are only here ----

SCRATCH = [".5.json.swp", "5.json~", "4913", "#5.json#", "sedAbC123", "x.json.tmp.1",
           ".goutputstream-X", "5.json___jb_tmp___", "notes.txt", ".git", "~lock.json", "#x.json",
           "x.json.orig"]


@pytest.mark.parametrize("home",
                         ["contacts", "tags", "contacts/%(ada)s/fields", "contacts/%(ada)s/tags",
                          "tags/%(old)s/contacts", "webhooks", "courses"])
def test_scratch(office, home):
    o = office()
    home = o.named(home)
    listed = set(o.m.ls(home))
    o.run("cat " + home + "/*", check=False)
    with o.s.counting() as c:
        for name in SCRATCH:
            path = o.m / home / name
            path.write_text("not JSON, and not sent")
            assert path.read_text() == "not JSON, and not sent"
            assert name in o.m.ls(home)
        os.rename(path, o.m / home / "y.bak")
        assert set(o.m.ls(home)) == listed | set(SCRATCH[:-1]) | {"y.bak"}
        for name in [*SCRATCH[:-1], "y.bak"]:
            os.unlink(o.m / home / name)
        os.symlink("me@host.1:2", o.m / home / ".#5.json")
        assert os.readlink(o.m / home / ".#5.json") == "me@host.1:2"
        os.unlink(o.m / home / ".#5.json")
    assert c.total <= 1 and c.writes == 0, c
    assert set(o.m.ls(home)) == listed
    o.untroubled()


def test_a_record_moved_aside_stays(office):
    """An editor's backup by rename: a copy is here, the record is where it was."""
    o = office()
    path = o.named("contacts/%(ada)s.json")
    text = o.m.read(path)
    with o.s.counting() as c:
        o.run("mv contacts/%(ada)s.json contacts/%(ada)s.json~")
    assert c.total == 0
    assert o.m.read(path) == o.m.read(path + "~") == text
    with o.s.counting() as c:
        (o.m / (path + "~")).write_bytes(json.dumps({"locale": "fr"}).encode())
    assert c.total == 0
    o.shows("contacts/%(ada)s.json")


def test_a_record_cannot_take_anothers_place(office):
    o = office()
    ada, grace, old = (o.named(p) for p in (
        "contacts/%(ada)s.json", "contacts/%(grace)s.json", "tags/%(old)s.json"))
    with o.s.counting() as c:
        expect_error(errno.EPERM, os.rename, o.m / ada, o.m / grace)
        expect_error(errno.EPERM, os.rename, o.m / ada, o.m / "contacts/x.json")
        expect_error(errno.EPERM, os.rename, o.m / old, o.m / "contacts/x.json")
        expect_error(errno.EPERM, os.rename, o.m / "contacts", o.m / "people")
    assert c.writes == 0
    o.shows("contacts/%(ada)s.json")
    o.shows("contacts/%(grace)s.json")


def test_times_of_scratch_far_away(office):
    """A time past the year 2262 overflowed on its way into nanoseconds, and one before 1970 with a
    fraction came out with more than a second of them (found by tests/fuzz, kernel)."""
    o = office()
    path = o.m / "contacts/.x"
    path.write_text("x")
    for wanted in (-1_500_000_000, -1, 0, 1, 10**18 + 1):
        os.utime(path, ns=(wanted, wanted))
        assert os.stat(path).st_mtime_ns == wanted
    for far in ("@99999999999", "@-99999999999"):
        o.run(f"touch -d {far} contacts/.x")
        assert os.stat(path).st_mtime_ns
    path.unlink()
    o.untroubled()
