"""A server that lies: a clear errno, a bounded number of requests, and a mount that lives on."""

import errno
import json
import os
import unicodedata

import pytest

import liar
from liar import answer, contact

ID = 20
DEEP = b"[" * 20000 + b"]" * 20000


@pytest.fixture
def start_liar():
    running = []

    def start(**options):
        running.append(liar.Liar(**options))
        return running[-1]
    yield start
    for each in running:
        each.stop()


@pytest.fixture
def server(start_liar):
    return start_liar()


def page(*items, more=False, **members):
    return answer({"items": list(items), "hasMore": more, **members})


def whole(text, head=b"HTTP/1.1 200 OK\r\nContent-Type: application/json"):
    return head + b"\r\nContent-Length: %d\r\n\r\n" % len(text) + text


def fails(error, call, *args):
    with pytest.raises(OSError) as caught:
        call(*args)
    assert caught.value.errno == error, caught.value


def assert_lives_on(m, server):
    """The truth is told again, and believed."""
    server.lie = None
    m.ctl("refresh")
    assert m.json(f"contacts/{ID}.json") == server.contacts[ID]
    assert {n for n in m.ls("contacts") if n.endswith(".json")} == {
        f"{id}.json" for id in server.contacts}
    assert m.json(f"contacts/c{ID}@example.com.json") == server.contacts[ID]


BAD_RECORDS = {
    "html": answer("<!DOCTYPE html><h1>Down</h1>", content_type="text/html"),
    "nothing": answer(""),
    "no-content": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    "20-mib": answer('{"id":20,"x":"' + "x" * (20 << 20) + '"}'),
    "2-mib-record": answer({"id": ID, "x": "x" * (2 << 20)}),
    "list": answer([contact(ID)]),
    "text": answer('"hello"'),
    "null": answer("null"),
    "two-documents": answer('{"id":20}{"id":20}'),
    "cut": answer('{"id":20,"email":'),
    "no-id": answer({"email": "x@example.com"}),
    "id-text": answer(contact(str(ID))),
    "id-path": answer(contact("../20")),
    "id-fraction": answer(contact(20.5)),
    "id-negative": answer(contact(-20)),
    "id-zero": answer(contact(0)),
    "id-null": answer(contact(None)),
    "id-true": answer(contact(True)),
    "id-list": answer(contact([ID])),
    "id-huge": answer('{"id":123456789012345678901234567890}'),
    "id-past-a-key": answer('{"id":9223372036854775807}'),
    "id-exponent": answer('{"id":1e400}'),
    "another-record": answer(contact(30)),
    "bad-utf8": whole(b'{"id":20,"email":"\xff\xc0\xaf"}'),
    "lone-quote": whole(b'{"id":20,"email":"a\nb"}'),
    "raw-nul": whole(b'{"id":20,"email":"a\0b"}'),
    "deep": whole(b'{"id":20,"x":' + DEEP + b"}"),
    "deep-only": whole(DEEP),
    "leading-zeros": answer('{"id":0020}'),
    "comments": answer('{"id":20 /* yes */}'),
    "not-a-number": answer('{"id":20,"x":NaN}'),
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: /api/contacts/20\r\nContent-Length: 0\r\n\r\n",
    "status-299": answer("", status=299),
    "status-999": answer(contact(ID), status=999),
    "not-http": b"220 smtp.example.com ESMTP\r\n\r\n",
    "gzip-that-is-none": answer(contact(ID), headers=["Content-Encoding: gzip"]),
    "unknown-encoding": answer(contact(ID), headers=["Content-Encoding: rot13"]),
    "endless-headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 400000 + b"\r\n",
}


@pytest.mark.parametrize("lie", BAD_RECORDS)
def test_a_bad_record(mount, server, lie):
    m = mount(server)
    server.lie = lambda request: BAD_RECORDS[lie]
    fails(errno.EBADMSG, m.read, f"contacts/{ID}.json")
    assert len(server.asked) <= 2, list(map(str, server.asked))
    fails(errno.EBADMSG, m.read, f"contacts/{ID}/fields/city")
    reason = os.getxattr(m / f"contacts/{ID}.json", "user.systemefs.error").decode()
    assert "\n" not in reason and len(reason) < 1000
    assert_lives_on(m, server)


BAD_PAGES = {
    **{name: BAD_RECORDS[name] for name in (
        "html", "nothing", "no-content", "20-mib", "text", "null", "cut", "deep-only",
        "redirect", "not-http", "gzip-that-is-none", "endless-headers")},
    "items-missing": answer({"hasMore": False}),
    "items-null": answer({"items": None, "hasMore": False}),
    "items-object": answer({"items": {"0": contact(ID)}, "hasMore": False}),
    "has-more-missing": answer({"items": [contact(ID)]}),
    "has-more-text": answer({"items": [contact(ID)], "hasMore": "no"}),
    "has-more-null": answer({"items": [contact(ID)], "hasMore": None}),
    "empty-with-more": page(more=True),
    "item-text": page("hello"),
    "item-null": page(None),
    "item-list": page([contact(ID)]),
    "item-without-id": page(contact(30), {"email": "x@example.com"}),
    "id-text": page(contact(30), contact("20")),
    "id-path": page(contact(30), contact("../../etc")),
    "id-negative": page(contact(-1)),
    "id-fraction": page(contact(1.5)),
    "id-null": page(contact(None)),
    "id-past-a-key": answer('{"items":[{"id":9223372036854775807}],"hasMore":false}'),
    "bad-utf8": whole(b'{"items":[{"id":20,"email":"\xff"}],"hasMore":false}'),
    "deep": whole(b'{"items":[{"id":20,"x":' + DEEP + b'}],"hasMore":false}'),
    "same-for-ever": page(contact(30), contact(ID), more=True),
}


@pytest.mark.parametrize("lie", BAD_PAGES)
def test_a_bad_page(mount, server, lie):
    m = mount(server)
    server.lie = lambda request: BAD_PAGES[lie] if request.path == "/api/contacts" else None
    fails(errno.EBADMSG, m.ls, "contacts")
    assert len(server.asked) <= 3, list(map(str, server.asked))
    done = m.run("ls", "contacts", check=False)
    assert done.returncode != 0 and "Bad message" in done.stderr, done
    assert len(server.asked) <= 6, list(map(str, server.asked))
    assert os.getxattr(m / "contacts", "user.systemefs.error")
    if lie != "same-for-ever":  # for a search its first page is an answer
        fails(errno.EBADMSG, m.read, "contacts/jane@example.com.json")
    assert_lives_on(m, server)


def test_more_for_ever(mount, server):
    """Pages that do bring something new, without end, are read as far as somebody reads."""
    m = mount(server)
    server.lie = lambda r: page(
        *[contact(i) for i in range(int(r.query.get("startingAfter", 1000000)) - 1, 0, -1)][:100],
        more=True)
    with os.scandir(m / "contacts") as entries:
        first = [next(entries).name for _ in range(50)]
    assert first[:2] == ["by-email", "999999.json"] or "999999.json" in first
    m.settle()
    assert len(server.asked) < 20, list(map(str, server.asked))
    assert_lives_on(m, server)


def test_pages_that_turn_back(mount, server):
    """The second page begins again: no loop, and no listing that looks complete."""
    m = mount(server)
    first, second = [contact(30), contact(ID)], [contact(30), contact(ID), contact(10)]
    server.lie = lambda r: page(*(second if "startingAfter" in r.query else first), more=True)
    fails(errno.EBADMSG, m.ls, "contacts")
    assert len(server.asked) <= 4, list(map(str, server.asked))
    assert_lives_on(m, server)


def test_the_same_record_twice(mount, server):
    m = mount(server)
    server.lie = lambda r: page(contact(30), contact(ID), contact(30), contact(ID))
    assert sorted(m.ls("contacts")) == [f"{ID}.json", "30.json", "by-email"]
    assert_lives_on(m, server)


def test_duplicate_members(mount, server):
    """Refused, or one of the two: the file and its name always agree."""
    m = mount(server)
    server.lie = lambda r: answer('{"id":20,"email":"a@example.com","id":30,"email":"b@b.example"}')
    try:
        text = m.text("contacts/20.json")
    except OSError as e:
        assert e.errno == errno.EBADMSG
    else:
        assert '"id": 20' in text
    assert_lives_on(m, server)


@pytest.mark.parametrize("slug", ["a/b", "..", ".", "", "a\0b", "a b", "x" * 300, "\n", ".hidden",
                                  "%2e", None, 5, {}])
def test_ids_that_are_no_file_names(mount, server, slug):
    m = mount(server)
    server.lie = lambda r: answer({"items": [{"slug": "ok", "fieldName": "Ok"},
                                             {"slug": slug, "fieldName": "Bad"}]})
    fails(errno.EBADMSG, m.ls, "contact_fields")
    server.lie = lambda r: answer(contact(ID, fields=[{"slug": slug, "value": "x"},
                                                      {"slug": "city", "value": "Ulm"}]))
    # A record that is otherwise sound can be read; what is no name is no file.
    assert m.ls(f"contacts/{ID}/fields") == ["city"]
    assert m.text(f"contacts/{ID}/fields/city") == "Ulm\n"
    assert m.json(f"contacts/{ID}.json")["fields"][0]["slug"] == slug
    assert_lives_on(m, server)


NAMES = ["a/b", "../up", ".", "..", "", ".hidden", "nul\0nul", "line\nfeed", "\x1b[31mred", "100%",
         "%2F", "x" * 300, "é" * 200, "\U0001f600" * 100, "a\u202eb", " ", "same", "same", "\x7f",
         "name.json", "5 (5)", "\ufffd", "a\\b", "-rf", "\ud800", "tab\there"]


def test_names_from_the_server_are_data(mount, server):
    server.tags = {i + 1: {"id": i + 1, "name": name} for i, name in enumerate(NAMES)}
    m = mount(server)
    names = m.ls("tags/by-name")
    assert len(names) == len(set(names))
    for name in names:
        assert "/" not in name and not name.startswith(".") and len(os.fsencode(name)) <= 255
        assert not any(unicodedata.category(c) == "Cc" for c in name), repr(name)
        target = os.readlink(m / "tags/by-name" / name)
        assert target.startswith("../") and target.count("/") == 1
        assert m.json(f"tags/by-name/{name}")["id"] == int(target[3:-5])
    found = {int(os.readlink(m / "tags/by-name" / name)[3:-5]) for name in names}
    assert len(NAMES) - len(found) <= 2, "only what has no name at all may be missing"
    m.run("find", "tags", "-name", "x")
    m.run("ls", "-lR", "tags")


def test_a_redirect_is_never_followed(mount, server, start_liar):
    target = start_liar()
    m = mount(server)
    for status in (301, 302, 303, 307, 308):
        server.lie = lambda r: answer("", status=status, headers=[
            f"Location: {target.url}{r.path}", f"Refresh: 0; url={target.url}"])
        fails(errno.EBADMSG, m.read, f"contacts/{ID}.json")
        fails(errno.EBADMSG, m.ls, "contacts")
    assert target.connections == 0
    assert "redirects, which is never followed" in m.text(".systemefs/errors")
    assert_lives_on(m, server)


# ---- a server that repeats what it was told


def everything(m):
    """All that a person can see."""
    parts = [m.log(), *map(m.text, (".systemefs/" + name for name in (
        "errors", "requests", "status", "metrics", "ctl")))]
    for path in (m.path, m / "contacts", m / f"contacts/{ID}.json"):
        for name in os.listxattr(path):
            parts.append(os.getxattr(path, name).decode())
    return "\n".join(parts)


def by_itself(text):
    return json.dumps(text)[1:-1]


def as_php(text):
    # The driver looked for the key's own bytes only, and showed a key with a slash in it.
    return by_itself(text).replace("/", "\\/")


def all_escaped(text):
    return "".join(f"\\u{ord(c):04X}" for c in text)


@pytest.mark.parametrize("key, spell", [
    ("liars-key", by_itself), ("S3cr+t/with=signs", by_itself), ("S3cr+t/with=signs", as_php),
    ('quo"te\\key', by_itself), ("liars-key", all_escaped)])
@pytest.mark.parametrize("status", [200, 302, 401, 422, 500])
def test_a_key_that_comes_back(mount, start_liar, status, key, spell, mode):
    server = start_liar(key=key)
    m = mount(server, mode=mode, timeout=1)

    def lie(request):
        sent = request.headers.get("x-api-key", request.headers.get("authorization", ""))
        assert key in sent
        record = contact(ID, locale="KEY", fields=[{"slug": "city", "value": "in KEY here"}])
        problem = {"detail": "KEY is wrong", "items": [record], "hasMore": False,
                   "violations": [{"propertyPath": "KEY", "message": "KEY"}]}
        body = {**record, **problem} if request.path.endswith(str(ID)) else problem
        text = json.dumps(body).replace("KEY", spell(sent))
        return answer(text, status=status, headers=[
            f"Location: http://127.0.0.1:9/?key={sent}", f"WWW-Authenticate: {sent}"])

    server.lie = lie
    texts = []
    for path in (f"contacts/{ID}.json", f"contacts/{ID}/fields/city"):
        try:
            texts.append(m.text(path))
        except OSError as e:
            texts.append(str(e))
    try:
        m.ls("contacts")
        texts.append(m.text(f"contacts/{ID}.json"))
    except OSError:
        pass
    texts.append(everything(m))
    for text in texts:
        assert key not in text and by_itself(key) not in text
    assert any("***" in text for text in texts)


def test_a_lie_in_the_middle_of_a_walk(mount, sandbox, server):
    """A bad second page is no end of the listing, and spoils nothing that is known."""
    s = sandbox(contacts=250)
    m = mount(s)
    s.faults({"path": "/api/contacts", "query": "*startingAfter*", "action": "body", "body": "{"})
    fails(errno.EBADMSG, m.ls, "contacts")
    first = s.get("/api/contacts?limit=10")["items"][0]
    with s.counting() as counted:
        assert m.json(f"contacts/{first['id']}.json") == first
    assert counted.total == 0, counted
    s.clear_faults()
    assert len(m.ls("contacts")) == 251
