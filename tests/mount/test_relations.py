"""What joins two records: tags of contacts, enrollments, memberships; and subscriptions, which can
only be ended. Each from both of its sides."""

import errno
import os

import pytest

from lib import compact
from office import ids, sent
from test_tree import expect_error

TAGS = "/api/contacts/%(ada)s/tags"

# ---- tags ----

TO_GRACE = [("POST", "/api/contacts/%(grace)s/tags", '{"tagId":%(new)s}')]

ASSIGNMENTS = [
    ("ln", "ln tags/%(new)s.json contacts/%(grace)s/tags/"),
    ("ln under a name", "ln tags/%(new)s.json contacts/%(grace)s/tags/new.json"),
    ("ln -s", "ln -s ../../../tags/%(new)s.json contacts/%(grace)s/tags/"),
    ("ln -s of a name", "ln -s ../../../tags/by-name/new.json contacts/%(grace)s/tags/"),
    ("ln -s elsewhere", 'ln -s "$PWD/tags/%(new)s.json" contacts/%(grace)s/tags/x.json'),
    ("cp", "cp tags/%(new)s.json contacts/%(grace)s/tags/"),
    ("cp by name", "cp tags/new.json contacts/%(grace)s/tags/"),
    ("cp under a name", "cp tags/%(new)s.json contacts/%(grace)s/tags/x.json"),
    ("mkdir ID", "mkdir contacts/%(grace)s/tags/%(new)s"),
    ("mkdir NAME", "mkdir contacts/%(grace)s/tags/new"),
    ("through an address", "mkdir contacts/grace@example.org/tags/new"),
    ("ln, the other way round", "ln contacts/%(grace)s.json tags/%(new)s/contacts/"),
    ("ln -s, the other way round", "ln -s ../../../contacts/%(grace)s.json tags/%(new)s/contacts/"),
    ("cp, the other way round", "cp contacts/grace@example.org.json tags/%(new)s/contacts/"),
    ("mkdir ID, the other way round", "mkdir tags/%(new)s/contacts/%(grace)s"),
    ("mkdir EMAIL, the other way round", "mkdir tags/%(new)s/contacts/grace@example.org"),
]


def joined(o, contact, tag):
    """Whether a contact has a tag: as the server has it, and from each side in the tree."""
    id, tag_id = o.ids[contact], o.ids[tag]
    has = tag_id in [t["id"] for t in o.record(f"contacts/{id}.json")["tags"]]
    record, tag = o.m.json(f"contacts/{id}.json"), f"{tag_id}.json"
    shown = [tag_id in [t["id"] for t in record["tags"]], tag in o.m.ls(f"contacts/{id}/tags"),
             f"{id}.json" in o.m.ls(f"tags/{tag_id}/contacts")]
    assert shown == [has] * 3
    return has


@pytest.mark.parametrize("known", [False, True], ids=["", "known before"])
@pytest.mark.parametrize("_, command", ASSIGNMENTS, ids=ids(ASSIGNMENTS))
def test_a_tag_is_put_on(office, _, command, known):
    o = office()
    if known:
        assert not joined(o, "grace", "new")
    with o.s.counting() as c:
        o.run(command)
    assert c.sent == sent(o, TO_GRACE)
    assert joined(o, "grace", "new")
    o.shows("contacts/%(grace)s.json")
    o.shows("contacts/%(grace)s/tags/%(new)s.json", o.record("tags/%(new)s.json"))
    assert o.m.ls(o.named("contacts/%(grace)s/tags")) == [o.named("%(new)s.json")]
    o.untroubled()


@pytest.mark.parametrize("path",
                         ["contacts/%(ada)s/tags/%(old)s.json", "contacts/%(ada)s/tags/old.json",
                          "tags/%(old)s/contacts/%(ada)s.json"])
def test_a_tag_is_taken_off(office, path):
    o = office()
    assert joined(o, "ada", "old")
    with o.s.counting() as c:
        o.run("rm " + path, check="/old.json" not in path)
    if "/old.json" in path:  # another name of it, not the thing itself
        assert c.sent == [] and joined(o, "ada", "old")
        return
    assert c.sent == sent(o, [("DELETE", TAGS + "/%(old)s", None)])
    assert not joined(o, "ada", "old")
    o.shows("contacts/%(ada)s.json")
    o.shows("tags/%(old)s.json")
    o.untroubled()


# What the file says of the tags, and the requests.
SETS = [
    ("one more, by id", '[{"id":%(old)s},{"id":%(new)s}]', [("POST", TAGS, '{"tagId":%(new)s}')]),
    ("one more, by name", '[{"name":"old"},{"name":"new"}]', [("POST", TAGS, '{"tagId":%(new)s}')]),
    ("one more, as a word", '["old","new"]', [("POST", TAGS, '{"tagId":%(new)s}')]),
    ("one less", "[]", [("DELETE", TAGS + "/%(old)s", None)]),
    ("null", "null", [("DELETE", TAGS + "/%(old)s", None)]),
    ("others", '["new","newer"]',
     [("DELETE", TAGS + "/%(old)s", None), ("POST", TAGS, '{"tagId":%(new)s}'),
      ("POST", TAGS, '{"tagId":%(newer)s}')]),
    ("the same", '["old"]', []),
    ("with another member", '["old","new"],"locale":"fr"',
     [("PATCH", "/api/contacts/%(ada)s", '{"locale":"fr"}'), ("POST", TAGS, '{"tagId":%(new)s}')]),
]


@pytest.mark.parametrize("_, tags, requests", SETS, ids=ids(SETS))
def test_tags_in_the_record(office, _, tags, requests):
    o = office()
    o.run("cat contacts/%(ada)s.json; ls tags")
    with o.s.counting() as c:
        o.run("""echo '{"tags":%s}' > contacts/%%(ada)s.json""" % tags)
    assert c.sent == sent(o, requests)
    o.shows("contacts/%(ada)s.json")
    for tag in ("old", "new", "newer"):
        assert joined(o, "ada", tag) == (f'"{tag}"' in tags or f"%({tag})s" in tags)
    o.untroubled()


def test_a_tag_in_vain(office):
    """What is there already is put on again, as the API has it; what is not there is no tag."""
    o = office()
    with o.s.counting() as c:
        expect_error(errno.EEXIST, os.link, o.m / o.named("tags/%(old)s.json"),
                     o.m / o.named("contacts/%(ada)s/tags/%(old)s.json"))
        expect_error(errno.EINVAL, os.mkdir, o.m / o.named("contacts/%(ada)s/tags/nonsense"))
        expect_error(errno.EINVAL, os.symlink, "../nonsense.json",
                     o.m / o.named("contacts/%(ada)s/tags/nonsense.json"))
        expect_error(errno.EPERM, os.link, o.m / o.named("contacts/%(grace)s.json"),
                     o.m / o.named("contacts/%(ada)s/tags/x.json"))
        expect_error(errno.EPERM, os.link, o.m / o.named("tags/%(new)s.json"), o.m / "tags/x.json")
    assert c.writes == 0
    with o.s.counting() as c:
        expect_error(errno.EINVAL, os.mkdir, o.m / o.named("contacts/%(ada)s/tags/424242"))
    assert [r["status"] for r in c.requests if r["method"] == "POST"] == [422]
    assert "Tag with ID 424242 not found." in o.m.errors()[-1]


@pytest.mark.parametrize("command", [
    # ln -f makes a link under another name first.
    "ln -sf ../../../tags/%(old)s.json contacts/%(ada)s/tags/",
    "ln -s ../../../tags/%(old)s.json contacts/%(ada)s/tags/x.json",
    "ln tags/%(old)s.json contacts/%(ada)s/tags/x.json",
    "cp tags/%(old)s.json contacts/%(ada)s/tags/x.json",
    "mkdir contacts/%(ada)s/tags/old", "mkdir tags/%(old)s/contacts/ada@example.org",
    "ln contacts/%(ada)s.json tags/%(old)s/contacts/x.json"])
def test_what_is_there_is_not_put_on_again(office, command):
    """Each time would start the tag's automation rules: a customer would get the mail twice."""
    o = office()
    assert joined(o, "ada", "old")
    with o.s.counting() as c:
        o.run(command, check=False)
    assert c.sent == []
    assert joined(o, "ada", "old")


def test_a_tag_of_many_contacts(office):
    o = office()
    people = [name for name in o.m.ls("contacts") if name.endswith(".json")]
    with o.s.counting() as c:
        o.run("for c in contacts/*.json; do ln $c tags/%(newer)s/contacts/ || exit 1; done")
    assert c.writes == len(people)
    assert c.total <= 2 * len(people) + 1  # a link is answered with the record as it is then
    assert sorted(o.m.ls(o.named("tags/%(newer)s/contacts"))) == sorted(people)
    with o.s.counting() as c:
        o.run("rm tags/%(newer)s/contacts/*.json")
    assert c.total == c.writes == len(people)
    assert o.m.ls(o.named("tags/%(newer)s/contacts")) == []
    o.untroubled()


# ---- enrollments and memberships ----

ENROLL = "/api/school/courses/%(other_course)s/enrollments"
JOIN = "/api/community/communities/%(other_community)s/memberships"
GRANTED = '{"contactId":%(ada)s,"accessType":"full_access"}'
CONTACT = '{"contactId":%(ada)s}'

JOINING = [
    ("enroll, in the contact", "mkdir contacts/%(ada)s/enrollments/%(other_course)s", ENROLL,
     GRANTED),
    ("enroll, in the course", "mkdir courses/%(other_course)s/enrollments/%(ada)s", ENROLL,
     GRANTED),
    ("enroll by address", "mkdir courses/%(other_course)s/enrollments/ada@example.org", ENROLL,
     GRANTED),
    ("enroll by a file in the contact",
     """echo '{"courseId":%(other_course)s,"accessType":"full_access"}' """
     "> contacts/%(ada)s/enrollments/x.json",
     ENROLL, GRANTED),
    ("enroll by a file in the course",
     """echo '{"contactId":%(ada)s,"accessType":"full_access"}' """
     "> courses/%(other_course)s/enrollments/x.json",
     ENROLL, GRANTED),
    ("enroll by a file", """echo '{"courseId":%(other_course)s,"contactId":%(ada)s,"""
     """"accessType":"full_access"}' > enrollments/x.json""", ENROLL, GRANTED),
    ("enroll by another one's file", "jq '.course.id = %(other_course)s' "
     "enrollments/%(enrollment)s.json > enrollments/x.json", ENROLL, GRANTED),
    ("join, in the contact", "mkdir contacts/%(ada)s/memberships/%(other_community)s", JOIN,
     CONTACT),
    ("join, in the community", "mkdir communities/%(other_community)s/memberships/%(ada)s", JOIN,
     CONTACT),
    ("join by address", "mkdir communities/%(other_community)s/memberships/ada@example.org", JOIN,
     CONTACT),
    ("join by a file in the contact",
     """echo '{"communityId":%(other_community)s}' > contacts/%(ada)s/memberships/x.json""",
     JOIN, CONTACT),
    ("join by a file in the community",
     """echo '{"contactId":%(ada)s}' > communities/%(other_community)s/memberships/x.json""",
     JOIN, CONTACT),
    ("join by a file", """echo '{"communityId":%(other_community)s,"contactId":%(ada)s}'"""
     " > memberships/x.json", JOIN, CONTACT),
]


def sides(o, request_path):
    """The directories that a new enrollment or membership must be in."""
    kind, one = (("enrollments", "courses/%(other_course)s") if "enrollments" in request_path
                 else ("memberships", "communities/%(other_community)s"))
    return kind, [kind, o.named("contacts/%(ada)s/") + kind, o.named(one) + "/" + kind]


@pytest.mark.parametrize("known", [False, True], ids=["", "known before"])
@pytest.mark.parametrize("_, command, path, body", JOINING, ids=ids(JOINING))
def test_joining(office, _, command, path, body, known):
    o = office()
    kind, directories = sides(o, path)
    before = {d: set(o.m.ls(d)) for d in directories} if known else {}
    existing = set(o.all(kind))
    with o.s.counting() as c:
        o.run(command)
    (method, path_sent, body_sent), = c.sent
    assert (method, path_sent) == ("POST", o.named(path))
    # The order of members is that of the row or of the document.
    assert sorted(body_sent.strip("{}").split(",")) == sorted(o.named(body).strip("{}").split(","))
    made, = set(o.all(kind)) - existing
    for d in directories:
        assert f"{made}.json" in o.m.ls(d)
        o.shows(f"{d}/{made}.json", o.all(kind)[made])
        if known:
            assert set(o.m.ls(d)) == before[d] | {f"{made}.json"}
    o.untroubled()


LEAVING = [
    ("contacts/%(ada)s/enrollments/%(enrollment)s.json", "/api/school/enrollments/%(enrollment)s"),
    ("courses/%(course)s/enrollments/%(enrollment)s.json",
     "/api/school/enrollments/%(enrollment)s"),
    ("enrollments/%(enrollment)s.json", "/api/school/enrollments/%(enrollment)s"),
    ("contacts/%(ada)s/memberships/%(membership)s.json",
     "/api/community/memberships/%(membership)s"),
    ("communities/%(community)s/memberships/%(membership)s.json",
     "/api/community/memberships/%(membership)s"),
    ("memberships/%(membership)s.json", "/api/community/memberships/%(membership)s"),
]


@pytest.mark.parametrize("path, request_path", LEAVING, ids=lambda v: v.split("%")[0])
def test_leaving(office, path, request_path):
    o = office()
    text = o.m.read(o.named(path))
    others = [o.named(p) for p, r in LEAVING if r == request_path]
    for other in others:
        assert os.path.basename(other) in o.m.ls(os.path.dirname(other))
    with o.s.counting() as c:
        o.run("rm " + path)
    assert c.sent == [("DELETE", o.named(request_path), None)]
    for other in others:
        assert os.path.basename(other) not in o.m.ls(os.path.dirname(other))
        expect_error(errno.ENOENT, o.m.read, other)
    assert o.m.kept("trash") == {o.named(path): text}
    o.untroubled()


@pytest.mark.parametrize("access", ["partial_access", "dripping_content"])
def test_what_mkdir_grants(office, access):
    o = office(access_type=access)
    command = "mkdir contacts/%(ada)s/enrollments/%(other_course)s"
    with o.s.counting() as c:
        done = o.run(command, check=False)
    assert [body for _, _, body in c.sent] == [
        compact({"contactId": o.ids["ada"], "accessType": access})]
    # The partial ones want modules, which mkdir cannot name: the API says so.
    assert (done.returncode == 0) == (access == "dripping_content")
    if done.returncode:
        assert "Invalid argument" in done.stderr and "modules: " in o.m.errors()[-1]


def test_a_membership_that_is_slow_to_appear(office):
    """It is accepted with 202 and is there later: mkdir returns when it is."""
    o = office(account={"membership_delay": 700})
    with o.s.counting() as c:
        o.run("mkdir contacts/%(ada)s/memberships/%(other_community)s")
        assert len(o.m.ls(o.named("contacts/%(ada)s/memberships"))) == 2
    assert [method for method, _, _ in c.sent] == ["POST"]
    o.untroubled()


def test_a_membership_that_does_not_appear(office):
    """The API has taken it: it is no draft, is not sent again, and the reason says what to do."""
    o = office(account={"membership_delay": 60000}, timeout=2)
    path = o.m / o.named("contacts/%(ada)s/memberships/x.json")
    with o.s.counting() as c:
        expect_error(errno.ETIMEDOUT, path.write_text,
                     o.named('{"communityId":%(other_community)s}'))
    assert [method for method, _, _ in c.sent] == ["POST"]
    assert "accepted" in o.m.errors()[-1]
    assert o.m.kept("drafts") == {}


def test_a_contact_takes_what_is_its_own_with_it(office):
    o = office()
    directories = {d: o.m.ls(o.named(d)) for d in (
        "enrollments", "courses/%(course)s/enrollments", "memberships",
        "communities/%(community)s/memberships", "tags/%(old)s/contacts")}
    o.run("rm contacts/%(ada)s.json")
    o.m.ctl("refresh")
    for d, names in directories.items():
        left = set(o.m.ls(o.named(d)))
        assert len(left) == len(names) - 1, d
        assert left < set(names)


# ---- subscriptions ----

def subscription(o):
    """A contact and its subscription."""
    for contact in o.s.all("/api/contacts"):
        for s in o.s.all("/api/payment/subscriptions", contact=contact["id"]):
            if s["status"] == "active":
                return contact["id"], s["id"]
    raise AssertionError("the sandbox has none")


@pytest.mark.parametrize("word, sent_word, status", [
    ("now", "Now", "cancelled"), ("period-end", "WhenBillingPeriodEnds", "active")])
def test_cancel(office, word, sent_word, status):
    o = office(account={"subscriptions": 20})
    contact, id = subscription(o)
    path = f"contacts/{contact}/subscriptions/{id}.json"
    o.m.read(path)
    assert "now" in o.m.text(f"contacts/{contact}/subscriptions/{id}/cancel")
    with o.s.counting() as c:
        o.run(f"echo {word} > contacts/{contact}/subscriptions/{id}/cancel")
    assert c.sent == [("POST", f"/api/payment/subscriptions/{id}/cancel",
                       compact({"cancel": sent_word}))]
    theirs = o.s.all("/api/payment/subscriptions", contact=contact)
    record = next(s for s in theirs if s["id"] == id)
    assert record["status"] == status and record["cancelledAt"]
    o.shows(path, record)
    o.untroubled()


@pytest.mark.parametrize("word", ["Now", "never", "now please", "period_end", '{"cancel":"Now"}'])
def test_cancel_with_another_word(office, word):
    o = office(account={"subscriptions": 20})
    contact, id = subscription(o)
    cancel = f"contacts/{contact}/subscriptions/{id}/cancel"
    with o.s.counting() as c:
        expect_error(errno.EINVAL, (o.m / cancel).write_text, word + "\n")
    assert c.writes == 0
    assert "now" in o.m.why(cancel) and "period-end" in o.m.why(cancel)


def test_cancel_says_what_the_api_says(office):
    o = office(account={"subscriptions": 20})
    contact, id = subscription(o)
    cancel = f"contacts/{contact}/subscriptions/{id}/cancel"
    o.run(f"echo now > {cancel}")
    expect_error(errno.EINVAL, (o.m / cancel).write_text, "now")
    assert "already cancelled" in o.m.why(cancel)


def test_cancel_what_is_somebody_elses(office):
    o = office(account={"subscriptions": 20})
    contact, id = subscription(o)
    o.s.faults({"method": "POST", "path": "*/cancel", "status": 403})
    cancel = f"contacts/{contact}/subscriptions/{id}/cancel"
    expect_error(errno.EACCES, (o.m / cancel).write_text, "now\n")
    assert "HTTP 403" in o.m.why(cancel)


def test_a_subscription_is_not_removed_or_changed(office):
    o = office(account={"subscriptions": 20})
    contact, id = subscription(o)
    path = f"contacts/{contact}/subscriptions/{id}.json"
    with o.s.counting() as c:
        expect_error(errno.EPERM, os.unlink, o.m / path)
        assert "cancel" in o.m.why(path)
        done = o.run(f"echo '{{}}' > {path}", check=False)
        assert done.returncode != 0
        expect_error(errno.EPERM, os.mkdir, o.m / f"contacts/{contact}/subscriptions/x")
    assert c.writes == 0


def test_each_word_is_a_request(office):
    o = office(account={"subscriptions": 20})
    contact, id = subscription(o)
    cancel = o.m / f"contacts/{contact}/subscriptions/{id}/cancel"
    with o.s.counting() as c, open(cancel, "wb", buffering=0) as f:
        f.write(b"period-end\n")
        f.write(b"now\n")
    assert [body for _, _, body in c.sent] == ['{"cancel":"WhenBillingPeriodEnds"}',
                                               '{"cancel":"Now"}']
    assert o.m.json(f"contacts/{contact}/subscriptions/{id}.json")["status"] == "cancelled"
