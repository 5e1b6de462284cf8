"""What is not to be sent, and what the API refuses: the errno, the reason, and the text, which
stays."""

import errno
import json
import os

import pytest

from lib import compact, pretty
from office import fields
from test_tree import expect_error

ADA = "contacts/%(ada)s.json"


def save(path, data):
    """As most programs do it: all in one, and the verdict is that of close."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view):]
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)


def is_kept(o, path, data, why):
    """The bytes, and the reason: in the draft's file, in the newest line of errors, at the file."""
    kept = o.m.kept("drafts")
    assert kept.pop(path) == data
    reason = kept.pop(path + ".reason").decode()
    assert not kept
    assert reason.endswith("\n") and reason.count("\n") == 1
    newest = o.m.errors()[-1]
    assert path in newest
    for where in (reason, newest, o.m.log()):
        assert why in where, where
    if os.path.exists(o.m / path):
        assert why in o.m.why(path)


def with_member(name, value):
    def change(record):
        return pretty({**record, name: value})
    return change


def with_field(slug, value):
    def change(record):
        return pretty({**record, "fields": [{"slug": slug, "value": value}]})
    return change


def doubled(record):
    """The same member twice: which one was meant?"""
    return b'{"locale":"fr","locale":"de"}'


# What it is, the text made of the record, the errno, a part of the reason.
REFUSED_HERE = [
    ("not JSON", lambda r: b"hello\n", errno.EINVAL, "line 1"),
    ("half of it", lambda r: pretty(r)[:200], errno.EINVAL, "line"),
    ("a comma too many", lambda r: pretty(r).replace(b"\n}", b",\n}"), errno.EINVAL, "line"),
    ("two documents", lambda r: pretty(r) * 2, errno.EINVAL, "line"),
    ("an array", lambda r: pretty([r]), errno.EINVAL, "object"),
    ("a number", lambda r: b"5\n", errno.EINVAL, "object"),
    ("a text", lambda r: b'"fr"\n', errno.EINVAL, "object"),
    ("null", lambda r: b"null\n", errno.EINVAL, "object"),
    ("blanks", lambda r: b" \n\t\n", errno.EINVAL, "line"),
    ("a member twice", doubled, errno.EINVAL, "locale"),
    ("a member twice, far in", lambda r: b'{"fields":[{"slug":"city","slug":"state","value":"x"}]}',
     errno.EINVAL, "slug"),
    ("a NUL byte", lambda r: b'{"locale":"fr"}\0', errno.EINVAL, "NUL"),
    ("a NUL in a value", with_field("city", "Ro\0me"), errno.EINVAL, "the character 0"),
    ("a lone surrogate", lambda r: rb'{"fields":[{"slug":"city","value":"\ud83c"}]}', errno.EINVAL,
     "surrogate"),
    ("not UTF-8", lambda r: b'{"fields":[{"slug":"city","value":"\xff\xfe"}]}', errno.EINVAL,
     "line"),
    ("Latin-1", lambda r: pretty(r).replace(b"London", b"Z\xfcrich"), errno.EINVAL, "line"),
    ("a byte order mark", lambda r: b"\xef\xbb\xbf" + pretty(r), errno.EINVAL, "line 1"),
    ("a comment", lambda r: b'// locale\n{"locale":"fr"}', errno.EINVAL, "line 1"),
    ("depth", lambda r: b'{"locale":' + b"[" * 5000 + b"]" * 5000 + b"}", errno.EINVAL,
     "inside each other"),
    ("another id", lambda r: pretty({**r, "id": r["id"] + 1}), errno.EINVAL, '"id"'),
    ("an id that no double holds", lambda r: pretty({**r, "id": 2**53 + 1}), errno.EINVAL, '"id"'),
    ("another address", with_member("email", "other@example.org"), errno.EINVAL, '"email"'),
    ("another date", with_member("registeredAt", "2020-01-01T00:00:00+00:00"), errno.EINVAL,
     '"registeredAt"'),
    ("a flag of the server", with_member("bounced", True), errno.EINVAL, '"bounced"'),
    ("null for what is the server's", with_member("email", None), errno.EINVAL, '"email"'),
    ("an unknown member", with_member("favouriteColour", "green"), errno.EINVAL,
     '"favouriteColour"'),
    ("a wrong case", with_member("Locale", "fr"), errno.EINVAL, '"Locale"'),
    ("fields that are no array", with_member("fields", {"city": "Rome"}), errno.EINVAL, "fields"),
    ("a field without its slug", with_member("fields", [{"value": "Rome"}]), errno.EINVAL,
     "fields"),
    ("a field twice", with_member("fields", [*fields(city="a"), *fields(city="b")]), errno.EINVAL,
     "city"),
    ("another name of a field",
     with_member("fields", [{"slug": "city", "fieldName": "Town", "value": "London"}]),
     errno.EINVAL, "fieldName"),
    ("tags that are no array", with_member("tags", "old"), errno.EINVAL, "tags"),
    ("a tag without id and name", with_member("tags", [{}]), errno.EINVAL, "tags"),
    ("a tag that does not exist", with_member("tags", ["nonsense"]), errno.EINVAL, "nonsense"),
    ("a tag under another name",
     lambda r: pretty({**r, "tags": [{"id": r["tags"][0]["id"], "name": "x"}]}),
     errno.EINVAL, "tags"),
]


@pytest.mark.parametrize("_, text, number, why", REFUSED_HERE, ids=[r[0] for r in REFUSED_HERE])
def test_refused_before_anything_is_sent(office, _, text, number, why):
    o = office()
    o.run("cat " + ADA + "; ls tags")
    data = text(o.record(ADA))
    with o.s.counting() as c:
        expect_error(number, save, o.m / o.named(ADA), data)
    assert c.writes == 0
    is_kept(o, o.named(ADA), data, why)
    o.shows(ADA)


def test_too_large(office):
    o = office()
    o.run("cat " + ADA)
    big = pretty({"locale": "fr", "fields": fields(city="x" * (2 << 20))})
    with o.s.counting() as c:
        expect_error(errno.EFBIG, save, o.m / o.named(ADA), big)
    assert c.writes == 0
    is_kept(o, o.named(ADA), big, "longer than")
    o.shows(ADA)


# What the API refuses: the text, the errno, its own words.
REFUSED_THERE = [
    ("an unknown field", with_field("nonsense", "x"), errno.EINVAL,
     "fields[0].slug: This value is not valid."),
    ("no country", with_field("country", "Atlantis"), errno.EINVAL,
     "fields[0].value: This value is not valid."),
    ("a value that is too long", with_field("city", "x" * 300), errno.EINVAL,
     "fields[0].value: This value is too long. It should have 255 characters or less."),
    ("no locale", with_member("locale", "xx"), errno.EINVAL,
     "locale: The value you selected is not a valid choice."),
    ("a number for a text", with_member("locale", 5), errno.EINVAL, "must be \"string\""),
    ("a number that no double holds", with_field("city", 2**53 + 1), errno.EINVAL,
     "must be \"string\""),
    ("a tag by an id that does not exist", with_member("tags", [{"id": 424242}]), errno.EINVAL,
     "tagId: Tag with ID 424242 not found."),
]


@pytest.mark.parametrize("_, text, number, why", REFUSED_THERE, ids=[r[0] for r in REFUSED_THERE])
def test_refused_by_the_api(office, _, text, number, why):
    o = office()
    o.run("cat " + ADA + "; ls tags")
    data = text(o.record(ADA))
    with o.s.counting() as c:
        expect_error(number, save, o.m / o.named(ADA), data)
    assert [r["status"] for r in c.requests if r["method"] == "PATCH"] in ([422], [400], [])
    is_kept(o, o.named(ADA), data, why)
    # The number of the request is the same everywhere.
    reason = o.m.kept("drafts")[o.named(ADA) + ".reason"].decode()
    number = reason.split("request ")[1].split(":")[0]
    assert f" request={number} " in o.m.errors()[-1]
    assert any(f" request={number} " in line for line in o.m.requests())
    assert f"request {number}" in o.m.why(o.named(ADA))
    o.shows(ADA)


def test_a_number_keeps_its_digits(office):
    """Beyond 2^53, and with an exponent: what is sent is what was written."""
    o = office()
    o.run("cat " + ADA)
    text = b'{"fields":[{"slug":"city","value":90071992547409931234567890.10e+3}]}'
    with o.s.counting() as c:
        expect_error(errno.EINVAL, save, o.m / o.named(ADA), text)
    assert [body for _, _, body in c.sent] == [text.decode()]


# New records: where, the text, the errno, the words.
NEW = [
    ("contacts/jane.json", {"email": "nonsense"}, errno.EINVAL,
     "email: This value is not a valid email address."),
    ("contacts/jane.json", {"email": "grace@example.org"}, errno.EEXIST,
     "email: This value is already used."),
    ("contacts/jane.json", {"locale": "fr"}, errno.EINVAL,
     "email: This value should not be blank."),
    ("contacts/jane.json", {"email": "jane@example.org", "nonsense": 1}, errno.EINVAL,
     '"nonsense"'),
    ("contacts/jane.json", {"email": "jane@example.org", "tags": ["nonsense"]}, errno.EINVAL,
     "nonsense"),
    ("contacts/424242.json", {"email": "jane@example.org"}, errno.EPERM, "no such contact"),
    ("tags/x.json", {"name": "old"}, errno.EEXIST, "name: This value is already used."),
    ("tags/x.json", {"name": "x" * 65}, errno.EINVAL, "name: This value is too long."),
    ("tags/x.json", {}, errno.EINVAL, "name: This value should not be blank."),
    ("contact_fields/hat.json", {"fieldName": "Hat"}, errno.EINVAL,
     "slug: This value should not be blank."),
    ("contact_fields/hat.json", {"fieldName": "Hat", "slug": "no slug"}, errno.EINVAL, "slug: "),
    ("webhooks/x.json", {"name": "x"}, errno.EINVAL, "secret: "),
    ("webhooks/x.json", {"name": "x", "secret": "s", "url": "https://x.example.org/",
                         "subscriptions": ["NONSENSE"]}, errno.EINVAL, "subscriptions: "),
    ("enrollments/x.json", {"contactId": 5}, errno.EINVAL, '"courseId"'),
    ("enrollments/x.json",
     {"courseId": "%(course)s", "accessType": "full_access", "contactId": 424242},
     errno.EINVAL, "contactId: Contact with ID 424242 not found."),
    ("enrollments/x.json",
     {"courseId": "%(course)s", "contactId": "%(grace)s", "accessType": "partial_access"},
     errno.EINVAL, "modules: This value should not be blank."),
    ("enrollments/x.json",
     {"courseId": "%(course)s", "contactId": "%(grace)s", "accessType": "nonsense"},
     errno.EINVAL, "accessType: "),
    ("enrollments/x.json",
     {"courseId": "%(course)s", "contactId": "%(ada)s", "accessType": "full_access"},
     errno.EEXIST, "contactId: This value is already used."),
    ("contacts/%(grace)s/enrollments/x.json", {"courseId": "%(course)s", "contactId": "%(ada)s"},
     errno.EINVAL, '"contactId"'),
    ("courses/%(course)s/enrollments/x.json",
     {"courseId": "%(other_course)s", "contactId": "%(ada)s"},
     errno.EINVAL, '"courseId"'),
    ("memberships/x.json", {"contactId": "%(ada)s"}, errno.EINVAL, '"communityId"'),
    ("memberships/x.json", {"communityId": "%(community)s", "contactId": "%(ada)s"},
     errno.EEXIST, "contactId: This value is already used."),
]


@pytest.mark.parametrize("path, document, number, why", NEW,
                         ids=[f"{row[0].split('/')[-2]}-{i}" for i, row in enumerate(NEW)])
def test_a_new_record_that_is_refused(office, path, document, number, why):
    """The text stays; nothing half-made is in the tree, and the name can be used again."""
    o = office()
    path = o.named(path)
    numbers = {f"%({name})s": id for name, id in o.ids.items()}
    data = pretty({k: numbers.get(v, v) if isinstance(v, str) else v for k, v in document.items()})
    before = {home: set(o.all(home)) for home in ("contacts", "tags", "enrollments", "memberships")}
    expect_error(number, save, o.m / path, data)
    is_kept(o, path, data, why)
    assert {home: set(o.all(home)) for home in before} == before
    assert os.path.basename(path) not in o.m.ls(os.path.dirname(path))
    expect_error(errno.ENOENT, o.m.read, path)


def test_the_plan_does_not_allow_more(office):
    o = office(account={"tags": 3, "max_tags": 6})
    with o.s.counting() as c:
        expect_error(errno.EDQUOT, os.mkdir, o.m / "tags/VIP")
    assert c.writes == 1
    assert "upgrade your plan" in o.m.errors()[-1]


def test_a_domain_that_is_refused(office):
    o = office(account={"reject_domains": "nowhere.example.org"})
    expect_error(errno.EINVAL, os.mkdir, o.m / "contacts/jane@nowhere.example.org")
    assert "email: This value is not a valid email address." in o.m.errors()[-1]


def test_a_refused_item_in_the_middle(office):
    """What was done, and what was not: the reason says both, the draft sends the rest."""
    o = office()
    o.run("cat " + ADA + "; ls tags")
    o.s.faults({"method": "POST", "path": "*/tags", "occurrence": 2, "status": 403})
    data = pretty({"locale": "fr", "tags": ["old", "new", "newer"]})
    with o.s.counting() as c:
        expect_error(errno.EACCES, save, o.m / o.named(ADA), data)
    assert [(m, body) for m, _, body in c.sent] == [
        ("PATCH", '{"locale":"fr"}'), ("POST", compact({"tagId": o.ids["new"]})),
        ("POST", compact({"tagId": o.ids["newer"]}))]
    is_kept(o, o.named(ADA), data, f"tag {o.ids['new']} was put on")
    o.shows(ADA)
    with o.s.counting() as c:
        o.run(f"cp .systemefs/drafts/{ADA} {ADA}")
    assert [(m, body) for m, _, body in c.sent] == [("POST", compact({"tagId": o.ids["newer"]}))]
    assert o.m.kept("drafts") == {}


# ---- one field's file ----

@pytest.mark.parametrize("slug, data, number, why", [
    ("country", b"Atlantis\n", errno.EINVAL, "fields[0].value: This value is not valid."),
    ("city", b"x" * 300 + b"\n", errno.EINVAL, "too long"),
    ("city", b"a\0b\n", errno.EINVAL, "UTF-8"),
    ("city", b"\xff\n", errno.EINVAL, "UTF-8"),
], ids=["no country", "too long", "NUL", "not UTF-8"])
def test_a_bad_value(office, slug, data, number, why):
    o = office()
    path = o.named(f"contacts/%(ada)s/fields/{slug}")
    before = o.m.read(path)
    expect_error(number, save, o.m / path, data)
    is_kept(o, path, data, why)
    assert o.m.read(path) == before
    o.shows(ADA)


def test_what_is_no_field_is_scratch(office):
    """In fields/, only slugs that the account has are names."""
    o = office()
    with o.s.counting() as c:
        o.run("echo x > contacts/%(ada)s/fields/nonsense")
    assert c.writes == 0
    assert o.m.kept("drafts") == {}
    assert o.m.text(o.named("contacts/%(ada)s/fields/nonsense")) == "x\n"


def test_many_lines_and_blanks_are_a_value(office):
    o = office()
    with o.s.counting() as c:
        save(o.m / o.named("contacts/%(ada)s/fields/city"), b" two\nlines \t\n\n")
    assert [body for _, _, body in c.sent] == [compact({"fields": fields(city=" two\nlines \t\n")})]


# ---- how it is told ----

def test_a_shell_hears_of_it(office):
    """bash and dash do not look at the result of close: echo's own write must tell."""
    o = office()
    for shell in ("bash", "dash"):
        for text in ("hello", '{"locale":"xx"}', '{"email":"x@y.z"}', '{"nonsense":1}'):
            done = o.m.run(shell, "-c", f"echo '{text}' > {o.named(ADA)}", check=False)
            words = {"bash": "Invalid argument", "dash": "I/O error"}[shell]
            assert done.returncode != 0 and words in done.stderr, (shell, text)


def test_the_reason_goes_when_it_goes_well(office):
    o = office()
    o.run("echo hello > " + ADA, check=False)
    assert o.m.why(o.named(ADA))
    o.run(f"""echo '{{"locale":"fr"}}' > {ADA}""")
    assert o.m.why(o.named(ADA)) is None


def test_a_rename_that_is_refused(office):
    """The file is still where it was, for another try."""
    o = office()
    o.s.faults({"method": "PATCH", "status": 403})
    text = b'{"locale":"fr"}'
    save(o.m / "contacts/.x", text)
    expect_error(errno.EACCES, os.rename, o.m / "contacts/.x", o.m / o.named(ADA))
    is_kept(o, o.named(ADA), text, "HTTP 403")
    assert o.m.read("contacts/.x") == text
    o.s.clear_faults()
    os.rename(o.m / "contacts/.x", o.m / o.named(ADA))
    assert o.record(ADA)["locale"] == "fr"
    assert o.m.kept("drafts") == {}
    expect_error(errno.ENOENT, o.m.read, "contacts/.x")


def test_a_draft_can_be_thrown_away(office):
    o = office()
    o.run("echo hello > " + ADA, check=False)
    o.m.remount()
    path = o.named(ADA)
    assert o.m.kept("drafts")[path] == b"hello\n"
    assert o.m.status()["drafts"] == "1"
    with o.s.counting() as c:
        o.run("rm .systemefs/drafts/" + ADA)
    assert c.total == 0
    assert o.m.kept("drafts") == {} and o.m.status()["drafts"] == "0"


def test_a_draft_is_private(office):
    o = office()
    o.run("echo hello > " + ADA, check=False)
    state = os.path.join(o.m.env["XDG_STATE_HOME"], "systemefs")
    for where, directories, files in os.walk(state):
        modes = [os.stat(os.path.join(where, n)).st_mode & 0o777 for n in files]
        assert set(modes) <= {0o600}, where
        assert {os.stat(os.path.join(where, n)).st_mode & 0o777 for n in directories} <= {0o700}


def test_another_text_is_another_draft(office):
    """Of two people: neither is overwritten. A copy of the same text is the same draft."""
    o = office()
    desk = o.ids["desk"]
    for name, text in (("one", "hello"), ("two", "bye")):
        with open(os.path.join(desk, name), "w", encoding="utf-8") as f:
            f.write(text)
        for _ in range(2):
            assert o.run(f"cp {desk}/{name} " + ADA, check=False).returncode != 0
    kept = o.m.kept("drafts")
    path = o.named(ADA)
    assert {kept[path], kept[path + ".2"]} == {b"hello", b"bye"}
    assert set(kept) == {path, path + ".reason", path + ".2", path + ".2.reason"}


def test_mended_in_the_same_program(office):
    """An editor that says no, is told why, and saves again: one request, no draft left."""
    o = office()
    path = o.named(ADA)
    record = o.record(ADA)
    o.m.read(path)
    with o.s.counting() as c:
        expect_error(errno.EINVAL, save, o.m / path, pretty(record)[:-3])
        assert path in o.m.kept("drafts")
        save(o.m / path, json.dumps({**record, "locale": "fr"}).encode())
    assert [body for _, _, body in c.sent] == ['{"locale":"fr"}']
    assert o.m.kept("drafts") == {}
    assert o.m.why(path) is None


def test_a_mixed_up_document_below_a_relation(office):
    """A tag's file that is not that tag."""
    o = office()
    with o.s.counting() as c:
        expect_error(errno.EINVAL, save, o.m / o.named("contacts/%(grace)s/tags/%(new)s.json"),
                     pretty(o.record("tags/%(old)s.json")))
        expect_error(errno.EINVAL, save, o.m / o.named("contacts/%(grace)s/tags/x.json"), b"{}\n")
        expect_error(errno.EINVAL, save, o.m / o.named("contacts/%(grace)s/tags/x.json"), b"old\n")
    assert c.writes == 0
    # The last two are one program's at one path: its newer text is the draft.
    assert set(o.m.kept("drafts").values()) >= {b"old\n", pretty(o.record("tags/%(old)s.json"))}
    assert len(o.m.kept("drafts")) == 4
