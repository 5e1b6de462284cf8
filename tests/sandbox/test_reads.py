"""The lists and single records: shapes, cursors, filters."""

import json
import re
import urllib.parse

import pytest

LISTS = {
    "/api/contacts": ["id", "email", "registeredAt", "locale", "sourceURL", "unsubscribed",
                      "bounced", "needsConfirmation", "fields", "tags"],
    "/api/tags": ["id", "name", "createdAt"],
    "/api/contact_fields": ["slug", "fieldName"],
    "/api/school/courses": ["id", "locale", "domainName", "path", "active", "name", "description",
                            "modules"],
    "/api/school/enrollments": ["id", "contact", "course", "accessType", "active"],
    "/api/community/communities": ["id", "name", "domainName", "path"],
    "/api/community/memberships": ["id", "community", "contact"],
    "/api/webhooks": ["id", "name", "url", "active", "subscriptions"],
}
PAGED = [path for path in LISTS if path not in ("/api/contact_fields", "/api/webhooks")]


@pytest.mark.parametrize("path", LISTS)
def test_shape_of_each_list(sandbox, path):
    answer = sandbox.api("GET", path)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert sorted(answer.json) == ["hasMore", "items"]
    for item in answer.json["items"]:
        assert list(item) == LISTS[path]


@pytest.mark.parametrize("path", PAGED)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_walking_a_list_meets_each_record_once_in_order(sandbox, path, order):
    name = {"contacts": "contacts", "tags": "tags"}.get(path.split("/")[2], path.split("/")[-1])
    world = sandbox.control("GET", "world").json[name]
    ids = [item["id"] for item in sandbox.all(path, order=order, limit=10)]
    assert len(ids) == world["count"]
    assert ids == sorted(set(ids), reverse=order == "desc")
    assert {min(ids), max(ids)} == {world["first"], world["last"]}


def test_default_page_is_ten_newest_first(sandbox):
    page = sandbox.get("/api/contacts")
    ids = [c["id"] for c in page["items"]]
    assert len(ids) == 10 and page["hasMore"]
    assert ids == sorted(ids, reverse=True)
    assert ids[0] == sandbox.control("GET", "world").json["contacts"]["last"]


def test_last_page_that_is_exactly_full_says_no_more(start):
    # A client that asks once more after a full last page costs a request that nobody needs.
    sandbox = start("--contacts=20")
    page = sandbox.get("/api/contacts?limit=10")
    page = sandbox.get("/api/contacts?limit=10&startingAfter=%d" % page["items"][-1]["id"])
    assert len(page["items"]) == 10 and page["hasMore"] is False


def test_cursor_may_be_any_id(sandbox):
    ids = [c["id"] for c in sandbox.all("/api/contacts")]
    for cursor in (ids[7] - 1, ids[7], ids[7] + 1, 1, ids[-1] + 10**9):
        got = [c["id"] for c in sandbox.items(f"/api/contacts?limit=10&startingAfter={cursor}")]
        assert got == [i for i in ids if i < cursor][:10]
        got = [c["id"] for c in
               sandbox.items(f"/api/contacts?limit=10&order=asc&startingAfter={cursor}")]
        assert got == [i for i in reversed(ids) if i > cursor][:10]


def test_deleted_cursor_does_no_harm(sandbox):
    ids = [c["id"] for c in sandbox.all("/api/contacts")]
    assert sandbox.api("DELETE", f"/api/contacts/{ids[9]}").status == 204
    after = [c["id"] for c in sandbox.items(f"/api/contacts?limit=10&startingAfter={ids[9]}")]
    assert after == ids[10:20]


@pytest.mark.parametrize("query, path", [
    ("limit=9", "pagination.limit"), ("limit=101", "pagination.limit"),
    ("limit=", "pagination.limit"), ("limit=1e2", "pagination.limit"),
    ("startingAfter=0", "pagination.startingAfter"),
    ("startingAfter=-5", "pagination.startingAfter"),
    ("startingAfter=abc", "pagination.startingAfter"),
    ("order=up", "pagination.order"),
])
@pytest.mark.parametrize("collection", PAGED)
def test_bad_paging_is_refused(sandbox, collection, query, path):
    answer = sandbox.api("GET", f"{collection}?{query}")
    assert answer.status == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.violations[0][0] == path
    assert answer.detail.startswith(path + ": ")
    if path == "pagination.limit":
        assert answer.violations == [(path, "Wrong value of pagination limit parameter")]


def test_unknown_parameters_are_ignored(sandbox):
    assert sandbox.items("/api/contacts?page=2") == sandbox.items("/api/contacts")
    assert len(sandbox.items("/api/contacts?limit=20&limit=30")) == 30, "the last one wins"
    assert sandbox.items("/api/contacts?filters[email]=x") == sandbox.items("/api/contacts")
    assert sandbox.items("/api/contact_fields?limit=200") == sandbox.items("/api/contact_fields")


def test_single_records_equal_their_list_entry(sandbox):
    for path in ("/api/contacts", "/api/tags", "/api/webhooks"):
        for item in sandbox.items(path):
            assert sandbox.get(f"{path}/{item['id']}") == item


@pytest.mark.parametrize("path", ["/api/contacts", "/api/tags", "/api/webhooks"])
@pytest.mark.parametrize("id", ["1", "0", "-1", "abc", "%2e%2e", "99999999999999999999999", "1.0"])
def test_unknown_and_non_numeric_ids(sandbox, path, id):
    answer = sandbox.api("GET", f"{path}/{id}")
    assert answer.status == 404
    assert answer.json == {"type": "https://tools.ietf.org/html/rfc2616#section-10",
                           "title": "An error occurred", "detail": "Not Found"}


def test_email_filter(sandbox):
    ada = sandbox.items("/api/contacts?email=ada@example.com")
    assert [c["email"] for c in ada] == ["ada@example.com"]
    assert sandbox.items("/api/contacts?email=ADA%40Example.com") == ada
    plus = sandbox.items("/api/contacts?email=grace%2Blist@example.com")
    assert len(plus) == 1
    # An unescaped '+' arrives as a blank, and that is no address.
    assert sandbox.api("GET", "/api/contacts?email=grace+list@example.com").status == 422
    assert sandbox.items("/api/contacts?email=nobody@example.com") == []
    for order in ("asc", "desc"):
        own = f"&order={order}&startingAfter={ada[0]['id']}"
        assert sandbox.items("/api/contacts?email=ada@example.com" + own) == []
    below = f"&order=asc&startingAfter={ada[0]['id'] - 1}"
    assert sandbox.items("/api/contacts?email=ada@example.com" + below) == ada
    for contact in sandbox.all("/api/contacts")[:50]:
        assert sandbox.items("/api/contacts?email=" + urllib.parse.quote(contact["email"])) == [
            contact]
    answer = sandbox.api("GET", "/api/contacts?email=nonsense")
    assert answer.violations == [("email", "This value is not a valid email address.")]


def test_tag_filter_wants_all_of_them(sandbox):
    contacts = sandbox.all("/api/contacts")
    two = next(c for c in contacts if len(c["tags"]) >= 2)
    a, b = two["tags"][0]["id"], two["tags"][1]["id"]

    def having(*tags):
        return [c for c in contacts if set(tags) <= {t["id"] for t in c["tags"]}]

    assert sandbox.all("/api/contacts", tags=a) == having(a)
    assert sandbox.all("/api/contacts", tags=f"{a},{b}") == having(a, b)
    assert len(having(a)) > len(having(a, b))
    assert sandbox.all("/api/contacts", tags=1) == []
    assert sandbox.api("GET", "/api/contacts?tags=abc").status == 422


@pytest.mark.parametrize("flag", ["bounced", "unsubscribed", "needsConfirmation"])
def test_flag_filters(sandbox, flag):
    contacts = sandbox.all("/api/contacts")
    for value in (True, False):
        got = sandbox.all("/api/contacts", **{flag: json.dumps(value)})
        assert got == [c for c in contacts if c[flag] is value] and got
    assert sandbox.api("GET", f"/api/contacts?{flag}=maybe").status == 422


def test_date_filters(sandbox):
    contacts = sandbox.all("/api/contacts")
    middle = contacts[200]["registeredAt"]
    escaped = urllib.parse.quote(middle)
    before = sandbox.all("/api/contacts", registeredBefore=escaped)
    after = sandbox.all("/api/contacts", registeredAfter=escaped)
    assert before == [c for c in contacts if c["registeredAt"] < middle]
    assert after == [c for c in contacts if c["registeredAt"] > middle]
    # The '+' of the offset must be escaped.
    assert sandbox.api("GET", f"/api/contacts?registeredAfter={middle}").status == 422
    for bad in ("yesterday", "2026-13-01T00:00:00Z", "2026-01-01"):
        assert sandbox.api("GET", f"/api/contacts?registeredBefore={bad}").status == 422


def test_text_searches(sandbox):
    names = [t["name"] for t in sandbox.items("/api/tags?query=TEST&limit=100")]
    assert sorted(names) == ["a%2Fb test", "a/b test"]
    courses = sandbox.all("/api/school/courses")
    by_module = sandbox.all("/api/school/courses", query="flour")
    assert by_module == [c for c in courses
                         if any("Flour" in m["name"] for m in c["modules"])] and by_module
    active = sandbox.all("/api/school/courses", active="false")
    assert active == [c for c in courses if not c["active"]] and active
    assert sandbox.all("/api/community/communities", query="corner")


def test_two_courses_share_a_name(sandbox):
    names = [c["name"] for c in sandbox.all("/api/school/courses")]
    assert len(names) > len(set(names))


def test_relations_by_parent_and_by_contact(sandbox):
    enrollments = sandbox.all("/api/school/enrollments")
    one = enrollments[0]
    assert list(one["contact"]) == ["id", "email", "registeredAt", "locale", "sourceURL",
                                    "unsubscribed", "bounced", "needsConfirmation"]
    assert list(one["course"]) == ["id", "locale", "path", "active", "name"]
    course, contact = one["course"]["id"], one["contact"]["id"]
    assert sandbox.all("/api/school/enrollments", course=course) == [
        e for e in enrollments if e["course"]["id"] == course]
    assert one in sandbox.all("/api/school/enrollments", contact=contact, course=course)

    memberships = sandbox.all("/api/community/memberships")
    one = memberships[0]
    assert list(one["contact"]) == ["id"]
    assert sandbox.all("/api/community/memberships", community=one["community"]["id"]) == [
        m for m in memberships if m["community"]["id"] == one["community"]["id"]]
    assert sandbox.items("/api/community/memberships?contact=1") == []
    for bad in ("0", "-1", "abc", ""):
        answer = sandbox.api("GET", f"/api/school/enrollments?contact={bad}")
        assert answer.violations == [("contact", "This value should be positive.")]


def test_subscriptions_need_a_contact(sandbox):
    answer = sandbox.api("GET", "/api/payment/subscriptions")
    assert answer.status == 422 and answer.violations[0][0] == "contact"
    answer = sandbox.api("GET", "/api/payment/subscriptions?contact=0")
    assert answer.violations == [("contact", "This value should be positive.")]
    assert sandbox.items("/api/payment/subscriptions?contact=1") == []
    found = [s for c in sandbox.all("/api/contacts")[:60]
             for s in sandbox.items(f"/api/payment/subscriptions?contact={c['id']}")]
    assert found
    for subscription in found:
        assert list(subscription) == ["id", "createdAt", "status", "completedAt", "cancelledAt",
                                      "pricePlan"]


def test_same_seed_same_world(start):
    first, second, other = start("--seed=7"), start("--seed=7"), start("--seed=8")
    for path in ("/api/contacts", "/api/tags", "/api/school/enrollments",
                 "/api/community/memberships"):
        assert first.all(path) == second.all(path)
    assert first.all("/api/contacts") != other.all("/api/contacts")
    assert first.items("/api/webhooks") == second.items("/api/webhooks")
    assert first.gateway("GET", "/connections").json == second.gateway("GET", "/connections").json


def test_believable_data(sandbox):
    answer = sandbox.api("GET", "/api/contacts?limit=100")
    assert 600 < len(answer.raw) / 100 < 800
    contacts = sandbox.all("/api/contacts")
    names = "".join(f["value"] or "" for c in contacts for f in c["fields"])
    for script in ("[à-ö]", "[а-я]", "[α-ω]", "[\u0621-\u064a]", "[\u4e00-\u9fff]",
                   "[\u3041-\u3096]", "[\u0904-\u0939]", "[\u0e01-\u0e2e]"):
        assert re.search(script, names), script
    assert not re.search(r"[\x00-\x1f\x7f]", names)
    assert len({c["email"].lower() for c in contacts}) == len(contacts)
    tags = [t["name"] for t in sandbox.all("/api/tags")]
    assert all(0 < len(t) <= 64 for t in tags)
    assert len({t.lower() for t in tags}) == len(tags)
    assert {"a/b test", ".hidden list", '"early bird" buyers', "🍞 bakers", "4913"} <= set(tags)
    assert any(len(t.encode()) > 255 for t in tags)


def test_ids_are_clustered_and_sparse(start):
    ids = [c["id"] for c in start("--contacts=5000", "--quota=off").all("/api/contacts")]
    gaps = [a - b for a, b in zip(ids, ids[1:])]
    assert min(gaps) == 1 and gaps.count(1) > 1000 and max(gaps) > 10
    ids = [c["id"] for c in start("--contacts=300", "--id-gap=1").all("/api/contacts")]
    assert ids[0] - ids[-1] == 299


def test_nasty_names_only_when_asked(start):
    sandbox = start("--nasty-names", "--tags=60", "--courses=30")
    names = {t["name"] for t in sandbox.all("/api/tags")}
    assert {"..", ".", "../../etc/passwd", "line\nbreak", "", "/"} <= names
    assert any(len(n) >= 300 for n in names)
    assert ".." in {c["name"] for c in sandbox.all("/api/school/courses")}
    emails = {c["email"] for c in sandbox.all("/api/contacts")}
    assert "../up@example.com" in emails


def test_sizes(start):
    sandbox = start("--contacts=30", "--tags=2", "--courses=1", "--communities=0", "--webhooks=0",
                    "--enrollments=3", "--memberships=5", "--fields-per-contact=20",
                    "--padding=1000")
    world = sandbox.control("GET", "world").json
    assert world["contacts"]["count"] == 30 and world["tags"]["count"] == 2
    assert world["enrollments"]["count"] == 3
    assert world["memberships"]["count"] == 0, "no community, no member"
    assert len(sandbox.items("/api/contact_fields")) == 21
    fields = {f["slug"]: f["value"] for f in sandbox.items("/api/contacts")[0]["fields"]}
    assert len(fields["notes"]) == 1000 and "custom_9" in fields
    empty = start("--contacts=0", "--tags=0")
    assert empty.get("/api/contacts") == {"items": [], "hasMore": False}
    assert empty.get("/api/school/enrollments")["items"] == []
