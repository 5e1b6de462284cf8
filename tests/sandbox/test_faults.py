"""Scripted trouble and the control endpoint."""

import http.client
import json
import threading
import time

import pytest

LIST = "/api/contacts?limit=10"


def broken(sandbox, path=LIST, method="GET", body=None):
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        sandbox.api(method, path, body)


def test_status_with_everything(sandbox):
    sandbox.faults({"path": "/api/contacts", "status": 429, "headers": {"Retry-After": "7"}})
    answer = sandbox.api("GET", LIST)
    assert answer.status == 429 and answer.headers["Retry-After"] == "7"
    assert answer.detail == "Too many requests"
    assert sandbox.api("GET", "/api/tags").status == 200
    sandbox.faults({"status": 502, "body": "<html>bad</html>", "content_type": "text/html"})
    answer = sandbox.api("GET", LIST)
    assert answer.raw == b"<html>bad</html>" and answer.headers["Content-Type"] == "text/html"
    sandbox.faults({"action": "status", "status": 422, "body": {"detail": "no", "n": [1]}})
    answer = sandbox.api("GET", LIST)
    assert answer.json == {"detail": "no", "n": [1]}
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 415, 422, 424, 429, 500, 502, 503])
def test_every_status(sandbox, status):
    sandbox.faults({"status": status})
    answer = sandbox.api("GET", LIST)
    assert answer.status == status and answer.detail


def test_rules_match_method_path_query(sandbox):
    sandbox.faults({"method": "DELETE", "path": "/api/tags/*", "status": 500},
                   {"path": "/api/contacts", "query": "*startingAfter=*", "status": 503})
    assert sandbox.api("DELETE", "/api/tags/1").status == 500
    assert sandbox.api("GET", "/api/tags/1").status == 404
    assert sandbox.api("GET", LIST).status == 200
    assert sandbox.api("GET", LIST + "&startingAfter=5").status == 503
    # The gateway's prefix is no part of the path.
    assert sandbox.gateway("DELETE", "/systeme/api/tags/1").status == 500


def test_occurrence_and_times(sandbox):
    def statuses(n=6):
        return [sandbox.api("GET", "/api/tags").status for _ in range(n)]

    sandbox.faults({"occurrence": 2, "status": 500})
    assert statuses() == [200, 500, 200, 200, 200, 200]
    sandbox.faults({"occurrence": "2-3", "status": 500})
    assert statuses() == [200, 500, 500, 200, 200, 200]
    sandbox.faults({"occurrence": "3-", "times": 2, "status": 500})
    assert statuses() == [200, 200, 500, 500, 200, 200]
    sandbox.faults({"times": 1, "status": 500}, {"times": 2, "status": 503})
    assert statuses() == [500, 503, 503, 200, 200, 200]
    sandbox.faults({"occurrence": 1, "status": 500}, {"occurrence": 2, "status": 503})
    assert statuses() == [500, 503, 200, 200, 200, 200]


def test_close_and_lost(sandbox):
    sandbox.faults({"method": "POST", "action": "close", "times": 1},
                   {"method": "POST", "action": "lost", "times": 1})
    broken(sandbox, "/api/tags", "POST", {"name": "never"})
    assert not sandbox.items("/api/tags?query=never")
    broken(sandbox, "/api/tags", "POST", {"name": "done"})
    assert sandbox.items("/api/tags?query=done")
    assert sandbox.control("GET", "requests").json[0]["status"] == 0


def test_close_mid(sandbox):
    whole = sandbox.api("GET", LIST).raw
    sandbox.faults({"action": "close_mid"})
    with pytest.raises(http.client.IncompleteRead) as caught:
        sandbox.api("GET", LIST)
    assert caught.value.partial == whole[: len(whole) // 2]


def test_hang_until_cleared(sandbox):
    sandbox.faults({"path": "/api/tags", "action": "hang"})
    outcome = []

    def ask():
        try:
            outcome.append(sandbox.api("GET", "/api/tags").status)
        except (ConnectionError, http.client.HTTPException):
            outcome.append("closed")

    thread = threading.Thread(target=ask)
    thread.start()
    while not sandbox.counts()["concurrent"]:
        time.sleep(0.01)
    assert sandbox.api("GET", LIST).status == 200, "others go on"
    thread.join(0.3)
    assert not outcome
    assert sandbox.control("DELETE", "faults").status == 200
    thread.join(5)
    assert outcome == ["closed"]


def test_hang_until_the_client_goes(sandbox):
    # A client that gave up must not be counted as waiting for ever.
    sandbox.faults({"path": "/api/tags", "action": "hang"})
    with pytest.raises(TimeoutError):
        sandbox.api("GET", "/api/tags", timeout=0.2)
    end = time.monotonic() + 5
    while sandbox.counts()["concurrent"] and time.monotonic() < end:
        time.sleep(0.02)
    assert sandbox.counts()["concurrent"] == 0


def test_stops_with_hanging_requests(start):
    sandbox = start("--latency=60000")
    for _ in range(3):
        with pytest.raises(TimeoutError):
            sandbox.api("GET", "/api/tags", timeout=0.1)
    assert sandbox.stop() == 0


def test_bodies(sandbox):
    for body in ("", "{", "<!DOCTYPE html><h1>Busy</h1>", "null", '{"items":5}'):
        sandbox.faults({"action": "body", "body": body})
        answer = sandbox.api("GET", LIST)
        assert answer.status == 200 and answer.raw.decode() == body


def test_huge_is_valid_json_of_that_size(sandbox):
    for size in (60, 70000, 20 << 20):
        sandbox.faults({"action": "huge", "bytes": size})
        answer = sandbox.api("GET", LIST)
        assert len(answer.raw) == size
        assert answer.json["items"] == [] and set(answer.json["filler"]) == {"x"}


def test_paging_lies(sandbox):
    first = sandbox.get(LIST)
    cursor = first["items"][-1]["id"]
    sandbox.faults({"action": "has_more_forever"})
    for query in ("", f"&startingAfter={cursor}", "&startingAfter=1"):
        page = sandbox.get(LIST + query)
        assert page["hasMore"] is True and page["items"] == first["items"]
    sandbox.faults({"action": "empty_more"})
    assert sandbox.get(LIST) == {"items": [], "hasMore": True}
    sandbox.faults({"action": "no_items"})
    assert sandbox.get(LIST) == {"hasMore": False}


def test_wrong_ids(sandbox):
    good = sandbox.items(LIST)
    sandbox.faults({"action": "wrong_ids"})
    bad = sandbox.items(LIST)
    assert [c["id"] for c in bad[:4]] == ["../12", -7, 1.5, None]
    assert [c["email"] for c in bad] == [c["email"] for c in good]
    single = sandbox.get(f"/api/contacts/{good[0]['id']}")
    assert single["id"] == "../12"


def test_garbage_utf8(sandbox):
    sandbox.faults({"action": "garbage_utf8"})
    raw = sandbox.api("GET", LIST).raw
    with pytest.raises(UnicodeDecodeError):
        raw.decode()
    assert raw.count(b"\xff\xc0\xaf") > 20


def test_redirect(sandbox):
    sandbox.faults({"action": "redirect", "url": "http://elsewhere.example.com/x"},
                   )
    answer = sandbox.api("GET", LIST)
    assert answer.status == 302
    assert answer.headers["Location"] == "http://elsewhere.example.com/x"
    sandbox.faults({"action": "redirect", "status": 308, "url": "/api/tags"})
    assert sandbox.api("GET", LIST).status == 308


def test_echo_key(sandbox):
    sandbox.faults({"action": "echo_key"})
    answer = sandbox.api("GET", LIST)
    assert answer.status == 401 and sandbox.key in answer.detail
    assert sandbox.gateway_key in sandbox.gateway("GET", "/systeme" + LIST).detail


def test_latency_beside_an_action(sandbox):
    sandbox.faults({"latency": 200, "times": 1}, {"latency": 200, "status": 500})
    for status in (200, 500):
        begin = time.monotonic()
        assert sandbox.api("GET", LIST).status == status
        assert 0.19 < time.monotonic() - begin < 2


@pytest.mark.parametrize("rules, why", [
    ({}, "list"), ([5], "object"), ([{}], "no action"), ([{"action": "explode"}], "explode"),
    ([{"status": 500}, {"stauts": 500}], "rule 2: a rule has no member 'stauts'"),
    ([{"status": 99}], "200 to 599"), ([{"status": "500"}], "'status'"),
    ([{"status": 500, "occurrence": 0}], "occurrence"),
    ([{"status": 500, "occurrence": "4-2"}], "occurrence"),
    ([{"status": 500, "occurrence": "x"}], "occurrence"),
    ([{"action": "redirect"}], "needs 'url'"), ([{"action": "huge"}], "needs 'bytes'"),
])
def test_bad_rules_are_refused_and_change_nothing(sandbox, rules, why):
    sandbox.faults({"status": 503})
    answer = sandbox.control("POST", "faults", rules)
    assert answer.status == 400 and why in answer.json["error"]
    assert sandbox.api("GET", LIST).status == 503


def test_faults_from_a_file(start, tmp_path):
    script = tmp_path / "faults.json"
    script.write_text(json.dumps([{"path": "/api/tags*", "status": 500}]))
    sandbox = start(f"--faults={script}")
    assert sandbox.api("GET", "/api/tags").status == 500
    assert sandbox.control("DELETE", "faults").status == 200
    assert sandbox.api("GET", "/api/tags").status == 200


# ---- the control endpoint


def test_requests_are_written_down(sandbox):
    sandbox.api("GET", "/api/tags?limit=10&query=a%2Fb", headers={"Accept-Encoding": "gzip"})
    sandbox.gateway("POST", "/systeme/api/tags", '{"name": "né"}',
                    {"Maton-Connection": "nope"})
    sandbox.request("PATCH", "/api/contacts/1", {"locale": "fr"})
    said = sandbox.control("GET", "requests")
    first, second, third = said.json
    assert (first["method"], first["path"], first["query"], first["status"]) == (
        "GET", "/api/tags", "limit=10&query=a%2Fb", 200)
    assert first["auth"] == "x-api-key" and first["gateway"] is False
    assert first["acceptEncoding"] == "gzip" and first["body"] is None
    assert (second["method"], second["path"], second["status"]) == ("POST", "/api/tags", 400)
    assert second["gateway"] is True and second["auth"] == "bearer"
    assert second["matonConnection"] == "nope" and second["body"] == '{"name": "né"}'
    assert third["auth"] == "none" and third["status"] == 401
    assert third["contentType"] == "application/merge-patch+json"
    assert [r["number"] for r in said.json] == [1, 2, 3]
    assert sandbox.key.encode() not in said.raw and sandbox.gateway_key.encode() not in said.raw


def test_counts(sandbox):
    for path in ("/api/contacts", "/api/contacts?limit=10", "/api/contacts/1", "/api/contacts/2",
                 "/api/nope"):
        sandbox.api("GET", path)
    sandbox.api("POST", "/api/tags", {"name": "x"})
    sandbox.api("DELETE", "/api/contacts/1/tags/2")
    sandbox.gateway("GET", "/connections?app=systeme")
    sandbox.gateway("GET", "/connections/x")
    counts = sandbox.counts()
    assert (counts["total"], counts["writes"]) == (9, 2)
    assert counts["by"] == {
        "GET /api/contacts": 2, "GET /api/contacts/{id}": 2, "(no route)": 1,
        "POST /api/tags": 1, "DELETE /api/contacts/{id}/tags/{tagId}": 1, "GET /connections": 1,
        "GET /connections/{id}": 1}
    assert counts["max_concurrent"] == 1 and counts["concurrent"] == 0
    assert sandbox.control("DELETE", "requests").status == 200
    counts = sandbox.counts()
    assert counts["total"] == 0 and counts["by"] == {}
    assert sandbox.control("GET", "requests").json == []


def test_only_the_last_ten_thousand_are_kept(sandbox):
    connection = http.client.HTTPConnection(sandbox.host)
    for _ in range(10005):
        connection.request("GET", "/api/nope")
        connection.getresponse().read()
    connection.close()
    said = sandbox.control("GET", "requests").json
    assert len(said) == 10000 and said[0]["number"] == 6 and said[-1]["number"] == 10005
    assert sandbox.counts()["total"] == 10005


def test_changes_behind_the_drivers_back(sandbox):
    def change(op, **members):
        answer = sandbox.control("POST", "world", {"op": op, **members})
        assert answer.status == 200, answer.raw
        return answer.json["id"]

    contact = sandbox.items("/api/contacts")[0]
    change("patch_contact", id=contact["id"], fields={"first_name": "Changed", "city": None},
           unsubscribed=True, locale="fr", sourceURL="https://x.example.com/")
    got = sandbox.get(f"/api/contacts/{contact['id']}")
    values = {f["slug"]: f["value"] for f in got["fields"]}
    assert values["first_name"] == "Changed" and values["city"] is None
    assert got["unsubscribed"] and got["locale"] == "fr"
    assert got["sourceURL"] == "https://x.example.com/"

    id = change("create_contact", email="behind@example.com", fields={"surname": "X"})
    assert sandbox.get(f"/api/contacts/{id}")["email"] == "behind@example.com"
    tag = change("create_tag", name="behind")
    change("tag_contact", id=id, tag=tag)
    change("rename_tag", id=tag, name="back")
    assert sandbox.get(f"/api/contacts/{id}")["tags"] == [{"id": tag, "name": "back"}]
    change("untag_contact", id=id, tag=tag)
    assert sandbox.get(f"/api/contacts/{id}")["tags"] == []
    change("delete_tag", id=tag)
    assert sandbox.api("GET", f"/api/tags/{tag}").status == 404
    change("create_field", slug="f1", name="F")
    change("rename_field", slug="f1", name="G")
    assert {"slug": "f1", "fieldName": "G"} in sandbox.items("/api/contact_fields")
    change("delete_field", slug="f1")
    course = sandbox.items("/api/school/courses")[0]["id"]
    change("rename_course", id=course, name="C2")
    assert sandbox.items("/api/school/courses")[0]["name"] == "C2"
    enrollment = change("create_enrollment", contact=id, course=course)
    assert sandbox.items(f"/api/school/enrollments?contact={id}")[0]["id"] == enrollment
    change("delete_enrollment", id=enrollment)
    assert sandbox.items(f"/api/school/enrollments?contact={id}") == []
    change("delete_contact", id=id)
    assert sandbox.api("GET", f"/api/contacts/{id}").status == 404

    for bad in ({}, {"op": "nope"}, {"op": "delete_contact", "id": 1},
                {"op": "rename_tag", "id": 1, "name": "x"}, {"op": "create_contact"}):
        answer = sandbox.control("POST", "world", bad)
        assert answer.status == 400 and answer.json["error"]


def test_control_is_not_counted_and_needs_no_key(sandbox):
    assert sandbox.control("GET", "health").json == {"ok": True}
    assert sandbox.control("GET", "nope").status == 404
    assert sandbox.control("POST", "health").status == 404
    assert sandbox.control("POST", "quota", {}).status == 400
    assert sandbox.counts()["total"] == 0
    sandbox.faults({"status": 500})
    assert sandbox.control("GET", "health").status == 200
