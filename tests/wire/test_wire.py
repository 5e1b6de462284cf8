"""Every file in data/ holds, every file in bad/ is found not to hold (see wire.py), and the server
that judges is itself judged, with a client that is no file system."""

import errno
import glob
import http.client
import json
import os

import pytest

import wire

HERE = os.path.dirname(os.path.abspath(__file__))


def cases(folder):
    paths = sorted(glob.glob(os.path.join(HERE, folder, "*.txt")))
    return [pytest.param(p, id=os.path.basename(p)[:-4]) for p in paths]


@pytest.mark.parametrize("path", cases("data"))
def test_wire(program, version, path, tmp_path):
    wire.run_case(program, version, wire.Case(path), tmp_path)


@pytest.mark.parametrize("path", cases("bad"))
def test_difference_is_found(program, version, path, tmp_path):
    """The title of such a case is what must be said about it."""
    case = wire.Case(path)
    with pytest.raises(wire.WireError) as caught:
        wire.run_case(program, version, case, tmp_path)
    assert case.title in str(caught.value)


@pytest.mark.parametrize("path", cases("data"))
def test_expected_bodies_are_compact(path):
    """A case that waits for what no JSON printer makes is a mistake in the case."""
    for step in wire.Case(path).steps:
        for request, _ in step.exchanges:
            assert bool(request.body) == (request.method in wire.BODY_TYPES)
            if request.body:
                text = request.body.decode()
                value = json.loads(text)
                assert text == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# ---- the server, with a client that does as it is told ----

PATCH = """a patch, and a removal
fact: of the test itself
mode: direct

=== run save
=== request PATCH /api/contacts/5
X-Extra: $HOST

{"locale":"fr"}
=== reply
HTTP/1.1 200 OK

{"id":5,"locale":"fr"}
=== request DELETE /api/contacts/5
=== reply lost
"""


@pytest.fixture
def server():
    it = wire.Server({})
    it.usual = wire.usual_headers("direct", it.host, "1.0")
    yield it
    it.close()


@pytest.fixture
def case(server, tmp_path):
    path = tmp_path / "case.txt"
    path.write_text(PATCH)
    it = wire.Case(str(path))
    it.fill_in({"HOST": server.host, "KEY": wire.KEYS["direct"], "VERSION": "1.0"})
    server.expect(it.steps[0].exchanges)
    return it


def send(server, method, path, body=None, **more):
    """The body of the answer; None when there was no answer at all."""
    headers = {**server.usual, "accept-encoding": "gzip", **more}
    connection = http.client.HTTPConnection(server.host, timeout=wire.WAIT)
    try:
        connection.request(method, path, body, headers)
        return connection.getresponse().read()
    except http.client.RemoteDisconnected:
        return None
    finally:
        connection.close()


def send_patch(server, body=b'{"locale":"fr"}', **more):
    kind = {"Content-Type": "application/merge-patch+json", "X-Extra": server.host}
    return send(server, "PATCH", "/api/contacts/5", body, **{**kind, **more})


def test_what_is_expected_is_not_wrong(server, case):
    assert send_patch(server) == b'{"id":5,"locale":"fr"}'
    assert [r.method for r in server.missing()] == ["DELETE"]
    assert send(server, "DELETE", "/api/contacts/5") is None
    assert server.wrong == [] and server.missing() == [] and server.served == 2


@pytest.mark.parametrize(
    "sent, found",
    [
        ({"body": b'{"locale":"de"}'}, 'body:\n{"locale":"de"}\n  instead of:\n{"locale":"fr"}'),
        ({"body": b'{"locale": "fr"}'}, "content-length: 16, not 15"),
        ({"body": None}, "body:\n(none)"),
        ({"Content-Type": "application/json"}, "application/json, not application/merge-patch"),
        ({"Expect": "100-continue"}, "an extra header expect"),
        ({"X-Extra": "other"}, "x-extra: other, not 127.0.0.1"),
    ],
    ids=["body", "blank", "no-body", "type", "expect", "header"],
)
def test_another_patch_is_wrong(server, case, sent, found):
    send_patch(server, **sent)
    assert found in "\n".join(server.wrong)


def test_a_body_where_none_belongs(server, case):
    send_patch(server)
    send(server, "DELETE", "/api/contacts/5", b"{}", **{"Content-Type": "application/json"})
    wrong = "\n".join(server.wrong)
    assert "body:\n{}\n  instead of:\n(none)" in wrong
    assert "an extra header content-type" in wrong and "an extra header content-length" in wrong


def test_an_extra_write_is_wrong_and_shown(server, case):
    send_patch(server)
    send_patch(server)
    assert server.wrong == [
        "another request: PATCH /api/contacts/5 HTTP/1.1\n"
        "  instead of: DELETE /api/contacts/5 HTTP/1.1"
    ]
    server.expect([])
    send(server, "POST", "/api/contacts", b'{"email":"a@example.com"}')
    assert server.wrong[1] == (
        'an extra request: POST /api/contacts HTTP/1.1\n{"email":"a@example.com"}'
    )


def test_texts_are_filled_in(tmp_path):
    path = tmp_path / "case.txt"
    path.write_text(
        "a save\nfact: of the test itself\nmode: direct\n\n"
        "=== fails EINVAL save $KEY\n"
        "=== text\n$HOST$NUL\n$EMPTY\n\nend\n\n"
        "=== request POST /api/contacts\n\n{\"$KEY\":1}\n"
        "=== reply\nHTTP/1.1 200 $VERSION\n"
    )
    it = wire.Case(str(path))
    it.fill_in({"HOST": "host:1", "KEY": "key", "VERSION": "2"})
    (step,) = it.steps
    ((request, reply),) = step.exchanges
    assert (step.kind, step.text) == ("fails", "EINVAL save key")
    assert step.save == "host:1\0\n\n\nend\n"
    assert request.body == b'{"key":1}'
    assert reply.wire_bytes() == b"HTTP/1.1 200 2\r\nContent-Length: 0\r\n\r\n"


# ---- the system calls, on a plain directory ----


@pytest.mark.parametrize(
    "line, wanted",
    [
        ("open nothing", errno.ENOENT),
        ("stat nothing", errno.ENOENT),
        ("list file", errno.ENOTDIR),
        ("getxattr nothing user.x", errno.ENOENT),
        ("save file", 0),
        ("save 'two words/file'", errno.ENOENT),
        ("save /dev/full", errno.ENOSPC),
        ("truncate file 1", 0),
        ("truncate folder 1", errno.EISDIR),
        ("mkdir folder", errno.EEXIST),
        ("rmdir folder", errno.ENOTEMPTY),
        ("unlink nothing", errno.ENOENT),
        ("rename file folder", errno.EISDIR),
        ("link file folder/within", errno.EEXIST),
        ("symlink file folder/within", errno.EEXIST),
    ],
)
def test_system_call(tmp_path, line, wanted):
    (tmp_path / "file").write_text("older")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/within").write_text("")
    assert wire.system_call(str(tmp_path), line, "new") == wanted
    text = {"save file": "new", "truncate file 1": "o"}.get(line, "older")
    assert (tmp_path / "file").read_text() == text


def test_a_failing_close_counts(tmp_path, monkeypatch):
    """As on a network file system, where the close is the first to hear of it."""
    close = os.close

    def fail(fd):
        close(fd)
        raise OSError(errno.EDQUOT, "close")

    with monkeypatch.context() as patch:
        patch.setattr(os, "close", fail)
        closed = wire.system_call(str(tmp_path), "save file", "new")
        written = wire.system_call(str(tmp_path), "save /dev/full", "new")
    assert (closed, written) == (errno.EDQUOT, errno.ENOSPC), "what fails first"


def test_system_call_that_is_none(tmp_path):
    for line in ("chown file", "rename file"):
        with pytest.raises(wire.WireError):
            wire.system_call(str(tmp_path), line, "")
