"""The 20 operations that change something, and what they refuse."""

import json
import time

import pytest

USED = "This value is already used."
BLANK = "This value should not be blank."
TYPE = "https://tools.ietf.org/html/rfc2616#section-10"


def newest(sandbox):
    return sandbox.items("/api/contacts")[0]


def values(contact):
    return {f["slug"]: f["value"] for f in contact["fields"]}


def refused(answer, *violations):
    """A 422 in the API's form; each violation is a path, or a path and its message."""
    assert answer.status == 422, answer.raw
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json
    assert body["type"] == TYPE and body["title"] == "An error occurred"
    assert body["detail"] == "\n".join(
        f"{v['propertyPath']}: {v['message']}" for v in body["violations"])
    assert all(len(v["code"]) == 36 for v in body["violations"])
    for wanted, got in zip(violations, answer.violations, strict=True):
        assert got == wanted if isinstance(wanted, tuple) else got[0] == wanted


# ---- contacts


def test_create_contact(sandbox):
    before = newest(sandbox)
    answer = sandbox.api("POST", "/api/contacts", {
        "email": "New.One@example.com", "locale": "fr",
        "fields": [{"slug": "first_name", "value": "Zoë"}, {"slug": "country", "value": "FR"},
                   {"slug": "surname", "value": None}]})
    assert answer.status == 201
    contact = answer.json
    assert contact["id"] > before["id"]
    assert contact["email"] == "New.One@example.com" and contact["locale"] == "fr"
    assert contact["tags"] == [] and contact["sourceURL"] is None
    assert values(contact)["first_name"] == "Zoë" and values(contact)["surname"] is None
    assert newest(sandbox) == contact == sandbox.get(f"/api/contacts/{contact['id']}")
    assert sandbox.items("/api/contacts?email=new.one@EXAMPLE.com") == [contact]


def test_create_contact_with_next_to_nothing(sandbox):
    answer = sandbox.api("POST", "/api/contacts", {"email": "x@example.com", "locale": None})
    assert answer.status == 201 and answer.json["locale"] == "en"


def test_unknown_members_are_ignored(sandbox):
    # Top-level names are accepted and lost by the real service; a client has to notice.
    answer = sandbox.api("POST", "/api/contacts",
                         {"email": "x@example.com", "firstName": "Ada", "tags": [1], "id": 5})
    assert answer.status == 201
    assert values(answer.json)["first_name"] is None and answer.json["id"] != 5


def test_refuse_unknown_switch(start):
    sandbox = start("--refuse-unknown")
    refused(sandbox.api("POST", "/api/contacts", {"email": "x@example.com", "firstName": "A"}),
            "firstName")


@pytest.mark.parametrize("email", [
    "", " ", "x", "x@", "@x.com", "x@y", "a b@example.com", "a@@example.com", "x@exa mple.com",
    "x\n@example.com", "x@example..com", ".x@example.com", "x" * 200 + "@example.com",
])
def test_bad_address(sandbox, email):
    answer = sandbox.api("POST", "/api/contacts", {"email": email})
    assert answer.status == 422
    assert {path for path, _ in answer.violations} == {"email"}


def test_contact_refusals(sandbox):
    def post(**body):
        return sandbox.api("POST", "/api/contacts", body)

    refused(post(), ("email", BLANK))
    refused(post(email="ada@example.com"), ("email", USED))
    refused(post(email="ADA@EXAMPLE.COM"), ("email", USED))
    refused(post(email="nonsense"), ("email", "This value is not a valid email address."))
    refused(post(email="x@example.com", locale="xx"), "locale")
    refused(post(email="x@example.com", fields=[{"slug": "first_name", "value": "A"},
                                                {"slug": "last_name", "value": "B"}]),
            "fields[1].slug")
    refused(post(email="x@example.com", fields=[{"slug": "country", "value": "France"}]),
            "fields[0].value")
    refused(post(email="x@example.com", fields=[{"slug": "city", "value": "x" * 256}]),
            "fields[0].value")
    refused(post(email="nonsense", locale="xx", fields=[{"slug": "a", "value": "x" * 256}]),
            "locale", "email", "fields[0].slug", "fields[0].value")
    assert post(email="x@example.com", fields=[{"slug": "city", "value": "é" * 255}]).status == 201


@pytest.mark.parametrize("body, attribute, wanted, given", [
    ({"email": 5}, "email", "string", "int"),
    ({"email": None}, "email", "string", "null"),
    ({"email": "x@example.com", "locale": True}, "locale", "string", "bool"),
    ({"email": "x@example.com", "fields": {}}, "fields", "array", "object"),
    ({"email": "x@example.com", "fields": ["a"]}, "fields[0]", "object", "string"),
    ({"email": "x@example.com", "fields": [{"slug": 1, "value": "a"}]}, "fields[0].slug",
     "string", "int"),
    ({"email": "x@example.com", "fields": [{"slug": "city", "value": 1.5}]}, "fields[0].value",
     "string", "float"),
])
def test_wrong_types_are_400(sandbox, body, attribute, wanted, given):
    answer = sandbox.api("POST", "/api/contacts", body)
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.detail == (f'The type of the "{attribute}" attribute must be "{wanted}", '
                             f'"{given}" given.')


@pytest.mark.parametrize("body", [b"", b"{", b"{} x", b"[1,2]", b'"text"', b"null",
                                  b'{"email":"x@example.com",}', b'{"email":"\xff@example.com"}'])
def test_bad_json_is_400(sandbox, body):
    assert sandbox.api("POST", "/api/contacts", body).status == 400
    assert sandbox.counts()["by"] == {"POST /api/contacts": 1}


def test_patch_contact_merges_pairs_by_slug(sandbox):
    contact = sandbox.api("POST", "/api/contacts", {
        "email": "x@example.com", "fields": [{"slug": "first_name", "value": "A"},
                                             {"slug": "city", "value": "B"}]}).json
    path = f"/api/contacts/{contact['id']}"
    answer = sandbox.api("PATCH", path, {"fields": [{"slug": "city", "value": "C"},
                                                    {"slug": "surname", "value": "D"}]})
    assert answer.status == 200
    got = values(answer.json)
    assert (got["first_name"], got["city"], got["surname"]) == ("A", "C", "D")
    answer = sandbox.api("PATCH", path, {"fields": [{"slug": "first_name", "value": None}]})
    assert values(answer.json)["first_name"] is None and values(answer.json)["city"] == "C"
    assert sandbox.api("PATCH", path, {"locale": "de"}).json["locale"] == "de"
    assert sandbox.get(path)["locale"] == "de"


def test_patch_of_a_generated_contact_changes_nothing_else(sandbox):
    for contact in sandbox.items("/api/contacts?limit=30"):
        path = f"/api/contacts/{contact['id']}"
        assert sandbox.api("PATCH", path, {}).json == contact
        answer = sandbox.api("PATCH", path, {"fields": [{"slug": "city", "value": "Here"}]})
        for field in contact["fields"]:
            if field["slug"] == "city":
                field["value"] = "Here"
        assert answer.json == contact == sandbox.get(path)


def test_patch_contact_ignores_what_cannot_change(sandbox):
    contact = newest(sandbox)
    answer = sandbox.api("PATCH", f"/api/contacts/{contact['id']}",
                         {"email": "other@example.com", "unsubscribed": True, "firstName": "A"})
    assert answer.status == 200 and answer.json == contact


def test_one_bad_pair_refuses_the_whole_patch(sandbox):
    contact = newest(sandbox)
    answer = sandbox.api("PATCH", f"/api/contacts/{contact['id']}",
                         {"locale": "it", "fields": [{"slug": "city", "value": "X"},
                                                     {"slug": "nope", "value": "Y"}]})
    refused(answer, "fields[1].slug")
    assert sandbox.get(f"/api/contacts/{contact['id']}") == contact


def test_patch_needs_the_merge_patch_type(start):
    plain = {"Content-Type": "application/json"}
    strict = start()
    path = f"/api/contacts/{newest(strict)['id']}"
    answer = strict.api("PATCH", path, {"locale": "fr"}, plain)
    assert answer.status == 415 and "merge-patch" in answer.detail
    assert strict.api("PATCH", path, {}, {"Content-Type": "application/merge-patch+json; "
                                                          "charset=utf-8"}).status == 200
    assert strict.api("POST", "/api/tags", {"name": "x"},
                      {"Content-Type": "text/plain"}).status == 415
    lenient = start("--accept-plain-patch")
    assert lenient.api("PATCH", path, {"locale": "fr"}, plain).status == 200


def test_delete_contact_takes_its_relations_along(sandbox):
    enrolled = {e["contact"]["id"] for e in sandbox.all("/api/school/enrollments")}
    members = {m["contact"]["id"] for m in sandbox.all("/api/community/memberships")}
    contact = next(c for c in sorted(enrolled & members)
                   if sandbox.items(f"/api/payment/subscriptions?contact={c}"))
    path = f"/api/contacts/{contact}"
    answer = sandbox.api("DELETE", path)
    assert answer.status == 204 and answer.raw == b""
    assert sandbox.api("GET", path).status == 404
    assert sandbox.api("DELETE", path).status == 404
    assert sandbox.api("PATCH", path, {}).status == 404
    assert contact not in [c["id"] for c in sandbox.all("/api/contacts")]
    for listing in ("school/enrollments", "community/memberships", "payment/subscriptions"):
        assert sandbox.items(f"/api/{listing}?contact={contact}") == []


def test_deleted_linger_switch(start):
    sandbox = start("--deleted-linger=3600")
    contact = newest(sandbox)
    sandbox.api("DELETE", f"/api/contacts/{contact['id']}")
    assert newest(sandbox)["id"] == contact["id"]
    assert sandbox.api("GET", f"/api/contacts/{contact['id']}").status == 404


@pytest.mark.parametrize("inherits", [False, True])
def test_address_of_a_deleted_contact(start, inherits):
    sandbox = start(*(["--inherit-deleted"] if inherits else []))
    old = sandbox.items("/api/contacts?email=ada@example.com")[0]
    tag = sandbox.items("/api/tags")[0]["id"]
    sandbox.api("POST", f"/api/contacts/{old['id']}/tags", {"tagId": tag})
    sandbox.api("DELETE", f"/api/contacts/{old['id']}")
    assert sandbox.items("/api/contacts?email=ada@example.com") == []
    answer = sandbox.api("POST", "/api/contacts", {"email": "Ada@example.com"})
    assert answer.status == 201 and answer.json["id"] > old["id"]
    assert (values(answer.json)["first_name"] == "Ada") is inherits
    assert (tag in [t["id"] for t in answer.json["tags"]]) is inherits
    assert sandbox.items("/api/contacts?email=ada@example.com") == [answer.json]


# ---- tags


def test_assign_and_remove_a_tag(sandbox):
    contact = next(c for c in sandbox.all("/api/contacts") if not c["tags"])
    tag = sandbox.items("/api/tags")[0]
    path = f"/api/contacts/{contact['id']}"
    for _ in range(2):  # assigning again succeeds
        answer = sandbox.api("POST", path + "/tags", {"tagId": tag["id"]})
        assert answer.status == 204 and answer.raw == b""
    assert sandbox.get(path)["tags"] == [{"id": tag["id"], "name": tag["name"]}]
    assert sandbox.api("DELETE", f"{path}/tags/{tag['id']}").status == 204
    assert sandbox.get(path) == contact
    assert sandbox.api("DELETE", f"{path}/tags/{tag['id']}").status == 404
    assert sandbox.api("GET", path + "/tags").status == 405


def test_assign_refusals(sandbox):
    path = f"/api/contacts/{newest(sandbox)['id']}/tags"
    refused(sandbox.api("POST", path, {"tagId": 9}), ("tagId", "Tag with ID 9 not found."))
    refused(sandbox.api("POST", path, {}), "tagId")
    assert sandbox.api("POST", path, {"tagId": "9"}).status == 400
    assert sandbox.api("POST", path, {"tagId": 9.5}).status == 400
    tag = sandbox.items("/api/tags")[0]["id"]
    assert sandbox.api("POST", "/api/contacts/1/tags", {"tagId": tag}).status == 404
    assert sandbox.api("DELETE", f"/api/contacts/1/tags/{tag}").status == 404
    assert sandbox.api("DELETE", path + "/1").status == 404


def test_absent_tag_switch(start):
    sandbox = start("--absent-tag=204")
    contact = next(c for c in sandbox.all("/api/contacts") if not c["tags"])
    tag = sandbox.items("/api/tags")[0]["id"]
    assert sandbox.api("DELETE", f"/api/contacts/{contact['id']}/tags/{tag}").status == 204


def test_tag_life(sandbox):
    answer = sandbox.api("POST", "/api/tags", {"name": "Neu / 新 🎉"})
    assert answer.status == 201 and list(answer.json) == ["id", "name", "createdAt"]
    tag = answer.json
    assert sandbox.items("/api/tags")[0] == tag
    path = f"/api/tags/{tag['id']}"
    contact = newest(sandbox)
    sandbox.api("POST", f"/api/contacts/{contact['id']}/tags", {"tagId": tag["id"]})

    answer = sandbox.api("PUT", path, {"name": "renamed"})
    assert answer.status == 200
    assert answer.json == {**tag, "name": "renamed"} == sandbox.get(path)
    assert {"id": tag["id"], "name": "renamed"} in newest(sandbox)["tags"]
    assert sandbox.api("PUT", path, {"name": "RENAMED"}).status == 200, "its own name"
    assert sandbox.api("PATCH", path, {"name": "x"}).status == 405

    assert sandbox.api("DELETE", path).status == 204
    assert sandbox.api("DELETE", path).status == 404
    assert sandbox.api("PUT", path, {"name": "x"}).status == 404
    assert newest(sandbox)["tags"] == contact["tags"]
    assert sandbox.items(f"/api/contacts?tags={tag['id']}") == []
    assert sandbox.api("POST", "/api/tags", {"name": "renamed"}).status == 201, "free again"


def test_tag_refusals(sandbox):
    first, second = sandbox.items("/api/tags")[:2]
    long = "This value is too long. It should have 64 characters or less."
    for send in (lambda b: sandbox.api("POST", "/api/tags", b),
                 lambda b: sandbox.api("PUT", f"/api/tags/{second['id']}", b)):
        refused(send({"name": first["name"].upper()}), ("name", USED))
        refused(send({"name": "x" * 65}), ("name", long))
        refused(send({"name": ""}), ("name", BLANK))
        refused(send({}), ("name", BLANK))
        assert send({"name": 5}).status == 400
    assert sandbox.api("POST", "/api/tags", {"name": "é" * 64}).status == 201


def test_max_tags_switch(start):
    sandbox = start("--tags=1", "--max-tags=1")
    answer = sandbox.api("POST", "/api/tags", {"name": "second"})
    assert answer.status == 422 and "upgrade your plan" in answer.detail
    assert "violations" not in answer.json


# ---- contact fields


def test_field_life(sandbox):
    answer = sandbox.api("POST", "/api/contact_fields",
                         {"slug": "shoe_size", "fieldName": "Größe"})
    assert answer.status == 201 and answer.json == {"slug": "shoe_size", "fieldName": "Größe"}
    assert sandbox.items("/api/contact_fields")[-1] == answer.json
    contact = newest(sandbox)
    assert contact["fields"][-1] == {"fieldName": "Größe", "slug": "shoe_size", "value": None}
    path = f"/api/contacts/{contact['id']}"
    sandbox.api("PATCH", path, {"fields": [{"slug": "shoe_size", "value": "42"}]})
    field = "/api/contact_fields/shoe_size"
    answer = sandbox.api("PATCH", field, {"fieldName": "Size", "slug": "other"})
    assert answer.status == 200 and answer.json == {"slug": "shoe_size", "fieldName": "Size"}
    assert sandbox.get(path)["fields"][-1] == {"fieldName": "Size", "slug": "shoe_size",
                                               "value": "42"}
    assert sandbox.api("GET", field).status == 405
    assert sandbox.api("DELETE", field).status == 204
    assert sandbox.api("DELETE", field).status == 404
    assert sandbox.api("PATCH", field, {"fieldName": "x"}).status == 404
    assert "shoe_size" not in values(sandbox.get(path))


def test_field_refusals(sandbox):
    def post(**body):
        return sandbox.api("POST", "/api/contact_fields", body)

    refused(post(slug="city", fieldName="x"), ("slug", USED))
    refused(post(slug="a-b", fieldName="x"), "slug")
    refused(post(slug="a b/c", fieldName="x"), "slug")
    refused(post(name="x"), ("fieldName", BLANK), ("slug", BLANK))
    refused(post(slug="ok", fieldName="x" * 256), "fieldName")
    refused(sandbox.api("PATCH", "/api/contact_fields/city", {"name": "x"}), "fieldName")
    assert post(slug="größe", fieldName="x").status == 201
    assert sandbox.api("PATCH", "/api/contact_fields/gr%C3%B6%C3%9Fe",
                       {"fieldName": "y"}).status == 200


def test_builtin_field_cannot_be_deleted(start):
    answer = start().api("DELETE", "/api/contact_fields/first_name")
    assert answer.status == 422 and "violations" not in answer.json
    assert start("--builtin-delete=204").api(
        "DELETE", "/api/contact_fields/first_name").status == 204


def test_filled_fields_switch(start):
    for contact in start("--filled-fields").all("/api/contacts"):
        assert all(f["value"] is not None for f in contact["fields"])


# ---- school, community, payment


def unenrolled(sandbox, course):
    taken = {e["contact"]["id"] for e in sandbox.all("/api/school/enrollments", course=course)}
    return next(c["id"] for c in sandbox.items("/api/contacts?limit=100")
                if c["id"] not in taken)


def test_enroll_and_end(start):
    for repeat in ("422", "201"):
        sandbox = start("--repeated-join=" + repeat)
        course = sandbox.items("/api/school/courses")[0]
        contact = unenrolled(sandbox, course["id"])
        path = f"/api/school/courses/{course['id']}/enrollments"
        body = {"contactId": contact, "accessType": "full_access"}
        answer = sandbox.api("POST", path, body)
        assert answer.status == 201
        assert answer.json["contact"]["id"] == contact
        assert answer.json["course"]["id"] == course["id"]
        assert answer.json["accessType"] == "full_access" and answer.json["active"] is True
        assert sandbox.items("/api/school/enrollments")[0] == answer.json
        again = sandbox.api("POST", path, body)
        assert again.status == int(repeat)
        if repeat == "201":
            assert again.json == answer.json
        end = f"/api/school/enrollments/{answer.json['id']}"
        assert sandbox.api("DELETE", end).status == 204
        assert sandbox.api("DELETE", end).status == 404
        assert sandbox.api("GET", end).status == 405


def test_enroll_refusals(sandbox):
    courses = sandbox.all("/api/school/courses")
    course = next(c for c in courses if c["modules"])
    contact = unenrolled(sandbox, course["id"])

    def post(**body):
        return sandbox.api("POST", f"/api/school/courses/{course['id']}/enrollments", body)

    refused(post(), "contactId", "accessType")
    refused(post(contactId=1, accessType="full_access"), "contactId")
    refused(post(contactId=contact, accessType="some"), "accessType")
    refused(post(contactId=contact, accessType="partial_access"), "modules")
    refused(post(contactId=contact, accessType="partial_access", modules=[1]), "modules[0]")
    assert post(contactId=str(contact), accessType="full_access").status == 400
    assert post(contactId=contact, accessType="full_access", modules="x").status == 400
    module = course["modules"][0]["id"]
    assert post(contactId=contact, accessType="partial_access", modules=[module]).status == 201


def test_join_appears_later(start):
    sandbox = start("--membership-delay=600")
    community = sandbox.items("/api/community/communities")[0]["id"]
    contact = newest(sandbox)["id"]
    path = f"/api/community/communities/{community}/memberships"
    listing = f"/api/community/memberships?community={community}&contact={contact}"
    answer = sandbox.api("POST", path, {"contactId": contact})
    assert answer.status == 202 and "id" not in answer.json
    assert sandbox.items(listing) == []
    refused(sandbox.api("POST", path, {"contactId": contact}), "contactId")
    end = time.monotonic() + 5
    while not (found := sandbox.items(listing)) and time.monotonic() < end:
        time.sleep(0.02)
    assert found[0]["contact"] == {"id": contact} and found[0]["community"]["id"] == community
    end = f"/api/community/memberships/{found[0]['id']}"
    assert sandbox.api("DELETE", end).status == 204
    assert sandbox.api("DELETE", end).status == 404
    refused(sandbox.api("POST", path, {"contactId": 1}), "contactId")


def subscriptions(sandbox):
    for contact in sandbox.all("/api/contacts"):
        path = f"/api/payment/subscriptions?contact={contact['id']}"
        for subscription in sandbox.items(path):
            yield path, subscription


def test_cancel(sandbox):
    active = [(p, s) for p, s in subscriptions(sandbox)
              if s["status"] == "active" and not s["cancelledAt"]]
    (now_path, now), (later_path, later) = active[:2]

    def cancel(subscription, how):
        return sandbox.api("POST", f"/api/payment/subscriptions/{subscription['id']}/cancel", how)

    refused(cancel(now, {}), "cancel")
    refused(cancel(now, {"cancel": "now"}), "cancel")
    refused(cancel(now, {"cancel": "WhenBillingCycleEnds"}), "cancel")
    assert cancel(now, {"cancel": "Now"}).status == 204
    assert sandbox.items(now_path)[0]["status"] == "cancelled"
    assert sandbox.items(now_path)[0]["cancelledAt"]
    answer = cancel(now, {"cancel": "Now"})
    assert answer.status == 422 and "already cancelled" in answer.detail
    assert cancel(later, {"cancel": "WhenBillingPeriodEnds"}).status == 204
    assert sandbox.items(later_path)[0]["status"] == "active"
    assert sandbox.items(later_path)[0]["cancelledAt"]
    assert cancel({"id": 1}, {"cancel": "Now"}).status == 404
    foreign = sandbox.control("GET", "world").json["foreign_subscription"]
    answer = cancel({"id": foreign}, {"cancel": "Now"})
    assert answer.status == 403 and answer.detail == "Access Denied."


def test_payment_switches(start):
    contact = newest(start())["id"]
    assert start("--no-payments").api(
        "GET", f"/api/payment/subscriptions?contact={contact}").status == 404
    sandbox = start("--all-subscriptions")
    assert len(sandbox.all("/api/payment/subscriptions")) == 50


def test_unknown_parent_switch(start):
    for status in (404, 422):
        sandbox = start(f"--unknown-parent={status}")
        for path, body in (
                ("/api/contacts/1/tags", {"tagId": sandbox.items("/api/tags")[0]["id"]}),
                ("/api/school/courses/1/enrollments", {"contactId": newest(sandbox)["id"],
                                                       "accessType": "full_access"}),
                ("/api/community/communities/x/memberships", {"contactId": 5}),
                ("/api/payment/subscriptions/1/cancel", {"cancel": "Now"})):
            assert sandbox.api("POST", path, body).status == status, path


# ---- webhooks


def test_webhook_life(sandbox):
    body = {"name": "h", "secret": "s3cret", "url": "https://example.com/h",
            "subscriptions": ["CONTACT_CREATED", {"event": "SALE_NEW", "schemaVersion": 1},
                              "SALE_CANCELED"]}
    answer = sandbox.api("POST", "/api/webhooks", body)
    assert answer.status == 201 and b"s3cret" not in answer.raw
    hook = answer.json
    assert hook["active"] is True
    assert [(s["event"], s["schemaVersion"]) for s in hook["subscriptions"]] == [
        ("CONTACT_CREATED", 1), ("SALE_NEW", 1), ("SALE_CANCELED", 2)]
    path = f"/api/webhooks/{hook['id']}"
    assert sandbox.get(path) == hook == sandbox.items("/api/webhooks")[-1]

    answer = sandbox.api("PATCH", path, {"name": "other", "active": False,
                                         "url": "https://elsewhere.example.com/"})
    assert answer.json == {**hook, "name": "other", "active": False}
    answer = sandbox.api("PATCH", path, {"subscriptions": ["CONTACT_OPT_IN"], "secret": "new"})
    assert [s["event"] for s in answer.json["subscriptions"]] == ["CONTACT_OPT_IN"]
    assert sandbox.api("PATCH", path, {}).json == answer.json
    assert sandbox.api("DELETE", path).status == 204
    assert sandbox.api("DELETE", path).status == 404
    assert sandbox.api("GET", path).status == 404


def test_webhook_refusals(sandbox):
    old = sandbox.items("/api/webhooks")[0]
    good = {"name": "h", "secret": "s", "url": "https://example.com/h",
            "subscriptions": ["SALE_NEW"]}

    def post(**changes):
        return sandbox.api("POST", "/api/webhooks", {**good, **changes})

    refused(sandbox.api("POST", "/api/webhooks", {}), "name", "secret", "url", "subscriptions")
    refused(post(name=old["name"]), ("name", USED))
    refused(post(url=old["url"]), ("url", USED))
    refused(post(url="ftp://example.com"), "url")
    for events in ([], ["NOPE"], ["SALE_NEW", "SALE_NEW"], [{"event": "NOPE"}]):
        refused(post(subscriptions=events), ("subscriptions", "This value is not valid."))
    assert post(subscriptions="SALE_NEW").status == 400
    assert post(subscriptions=[{"schemaVersion": 1}]).status == 400
    assert post(active="yes").status == 400
    assert post(active=None).status == 201


def test_webhook_limit(start):
    sandbox = start("--webhooks=2", "--max-webhooks=2")
    answer = sandbox.api("POST", "/api/webhooks", {
        "name": "h", "secret": "s", "url": "https://example.com/h",
        "subscriptions": ["SALE_NEW"]})
    assert answer.status == 422


def test_reject_domains_switch(start):
    sandbox = start("--reject-domains=bad.example,worse.example")
    refused(sandbox.api("POST", "/api/contacts", {"email": "x@Worse.example"}),
            ("email", "This value is not a valid email address."))
    assert sandbox.api("POST", "/api/contacts", {"email": "x@fine.example"}).status == 201


def test_order_ignored_switch(start):
    sandbox = start("--order-ignored")
    assert sandbox.items("/api/contacts?order=asc") == sandbox.items("/api/contacts")
    assert sandbox.items("/api/tags?order=asc") != sandbox.items("/api/tags")


def test_page_size_switch(start):
    assert len(start("--page-size=25").items("/api/contacts")) == 25


def test_bodies_over_the_cap(sandbox):
    answer = sandbox.api("POST", "/api/tags", json.dumps({"name": "x" * (5 << 20)}))
    assert answer.status == 413
