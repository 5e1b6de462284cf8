"""Human names: by-name/, by-email/, records called by their own name, and names from servers."""

import errno
import os
import unicodedata

import pytest

import lib
from test_tree import expect_error

NAMED = {
    "contacts": ("/api/contacts", "email", "by-email"),
    "tags": ("/api/tags", "name", "by-name"),
    "courses": ("/api/school/courses", "name", "by-name"),
    "communities": ("/api/community/communities", "name", "by-name"),
}


def encoded(name):
    """The contract's rule for a name without a byte too many."""
    out = ""
    for i, c in enumerate(name):
        raw = unicodedata.category(c) != "Cc" and c not in "/%" and not (i == 0 and c == ".")
        out += c if raw else "".join(f"%{byte:02X}" for byte in c.encode())
    return out or "%"


def file_names(records, member):
    """What each of the records is called in by-name/, where its name is not cut."""
    names = [r[member] for r in records]
    return {
        r["id"]: encoded(r[member])
        + (f" ({r['id']})" if names.count(r[member]) > 1 else "") + ".json"
        for r in records
    }


@pytest.mark.parametrize("nasty", [False, True])
@pytest.mark.parametrize("collection", NAMED)
def test_names_are_listed_and_lead_to_their_records(mount, sandbox, mode, collection, nasty):
    path, member, directory = NAMED[collection]
    sb = sandbox(contacts=60, tags=60, **({"nasty_names": True} if nasty else {}))
    m = mount(sb, mode=mode)
    records = sb.all(path)
    listed = m.ls(f"{collection}/{directory}")
    assert len(listed) == len(set(listed)) == len(records)
    expected = file_names(records, member)
    for r, name in zip(records, listed):
        assert len(os.fsencode(name)) <= 255
        if len(expected[r["id"]].encode()) <= 255:
            assert name == expected[r["id"]]
        else:
            assert name.endswith(f" ({r['id']}).json")
            assert expected[r["id"]].startswith(name.removesuffix(f" ({r['id']}).json"))
        where = f"{collection}/{directory}/{name}"
        assert os.readlink(m / where) == f"../{r['id']}.json"
        assert m.read(where) == lib.pretty(r)


@pytest.mark.parametrize("collection", NAMED)
def test_what_is_listed_is_found(mount, sandbox, collection):
    """Also by a mount that has listed nothing, and by one that keeps nothing."""
    path, _, directory = NAMED[collection]
    sb = sandbox(contacts=25, tags=60, nasty_names=True)
    listed = mount(sb).ls(f"{collection}/{directory}")
    cold, forgetful, warm = mount(sb), mount(sb, ttl=0), mount(sb)
    warm.ls(f"{collection}/{directory}")
    refused = [encoded(n) + ".json" for n in ("../up@example.com", ".dot@example.com")]
    for name in listed:
        # An address that the API itself refuses to look for can only be found in the listing.
        if name in refused:
            assert sb.api("GET", "/api/contacts?email=.dot%40example.com").status == 422
        for m in (warm,) if name in refused else (cold, forgetful, warm):
            r = sb_record(m, sb, path, f"{collection}/{directory}/{name}")
            assert m.read(f"{collection}/{directory}/{name}") == lib.pretty(r), name


def sb_record(m, sb, path, name):
    id = os.path.basename(os.readlink(m / name)).removesuffix(".json")
    return next(r for r in sb.all(path) if r["id"] == int(id))


def test_a_name_is_cut_at_a_character(mount, sandbox):
    """A multi-byte character is never split, nor an escape."""
    sb = sandbox()
    bakers = sb.change("create_tag", name="a" + "🍞" * 63)  # 253 bytes, and ".json" behind it
    slashes = sb.change("create_tag", name="/" * 100)
    fits = sb.change("create_tag", name="b" * 250)
    cut = sb.change("create_tag", name="b" * 251)
    m = mount(sb)
    by_id = {os.readlink(m / "tags/by-name" / name): name for name in m.ls("tags/by-name")}
    assert by_id[f"../{fits}.json"] == "b" * 250 + ".json"
    for id, unit in ((bakers, "🍞"), (slashes, "%2F"), (cut, "b")):
        name = by_id[f"../{id}.json"]
        stem = name.removesuffix(f" ({id}).json").removeprefix("a")
        assert stem == unit * (len(stem) // len(unit)) and stem
        assert 255 - len(unit.encode()) < len(name.encode()) <= 255
        assert m.json(f"tags/by-name/{name}")["id"] == id


def test_names_that_two_records_share(mount, sandbox, mode):
    sb = sandbox()
    m = mount(sb, mode=mode)
    twins = [r for r in sb.all("/api/school/courses") if r["name"] == "Bread basics"]
    assert len(twins) == 2
    listed = m.ls("courses/by-name")
    for r in twins:
        assert f"Bread basics ({r['id']}).json" in listed
        assert m.json(f"courses/by-name/Bread basics ({r['id']}).json") == r
    assert "Bread basics.json" not in listed
    expect_error(errno.ENOENT, m.read, "courses/by-name/Bread basics.json")
    expect_error(errno.ENOENT, m.read, "courses/Bread basics.json")
    assert "more than one" in m.errors()[-1]
    # The right name with an id that is not its own is no name.
    other = next(r for r in sb.all("/api/school/courses") if r["name"] != "Bread basics")
    expect_error(errno.ENOENT, m.stat, f"courses/by-name/Bread basics ({other['id']}).json")
    expect_error(errno.ENOENT, m.stat, f"courses/by-name/{other['name']} ({other['id']}).json")


def test_a_name_that_looks_like_a_shared_one(mount, sandbox):
    """Three tags "x", "x" and "x (ID of the first)" still have three file names."""
    sb = sandbox()
    first, second = sb.change("create_tag", name="x"), sb.change("create_tag", name="x")
    third = sb.change("create_tag", name=f"x ({first})")
    m = mount(sb)
    names = [n for n in m.ls("tags/by-name") if n.startswith("x")]
    assert len(set(names)) == 3
    found = {m.json(f"tags/by-name/{n}")["id"] for n in names}
    assert found == {first, second, third}


def test_a_name_with_brackets_at_its_end(mount, sandbox):
    sb = sandbox()
    m = mount(sb)
    vip = next(t for t in sb.all("/api/tags") if t["name"] == "VIP (1)")
    assert m.json("tags/by-name/VIP (1).json") == vip
    assert m.json("tags/VIP (1).json") == vip


# ---- a record called by its own name ----


def test_a_contact_by_address(mount, sandbox, mode):
    sb = sandbox()
    m = mount(sb, mode=mode)
    r = next(r for r in sb.all("/api/contacts") if r["email"] == "grace+list@example.com")
    name = "contacts/grace+list@example.com.json"
    assert os.readlink(m / name) == f"{r['id']}.json"
    assert m.read(name) == lib.pretty(r)
    directory = "contacts/grace+list@example.com"
    assert os.readlink(m / directory) == str(r["id"])
    assert m.text(directory + "/fields/first_name") == "Grace\n"
    listed = m.ls("contacts")
    assert not [n for n in listed if "@" in n]


def test_an_address_knows_no_case(mount):
    m = mount()
    id = m.json("contacts/jane@example.com.json")["id"]
    assert m.json("contacts/Jane@Example.COM.json")["id"] == id
    assert m.json("contacts/by-email/JANE@example.com.json")["id"] == id


def test_an_address_that_nobody_has(mount):
    m = mount()
    for _ in range(2):
        expect_error(errno.ENOENT, m.read, "contacts/nobody@example.com.json")
        expect_error(errno.ENOENT, m.ls, "contacts/nobody@example.com")
        m.ls("contacts")


def test_a_contact_by_address_wherever_contacts_are(mount, sandbox):
    sb = sandbox(contacts=60)
    m = mount(sb)
    r = next(r for r in sb.all("/api/contacts") if r["tags"])
    tag, others = r["tags"][0]["id"], [t["id"] for t in sb.all("/api/tags")]
    other = next(t for t in others if t not in [t["id"] for t in r["tags"]])
    where = f"tags/{tag}/contacts"
    assert m.json(f"{where}/{r['email']}.json") == r
    assert r["email"] + ".json" not in m.ls(where)
    expect_error(errno.ENOENT, m.read, f"tags/{other}/contacts/{r['email']}.json")


@pytest.mark.parametrize("collection, inner", [
    ("tags", "contacts"), ("courses", "enrollments"), ("communities", "memberships")])
def test_a_record_by_name(mount, sandbox, mode, collection, inner):
    path, member, _ = NAMED[collection]
    sb = sandbox(contacts=60, tags=60)
    m = mount(sb, mode=mode)
    records = sb.all(path)
    names = [r[member] for r in records]
    listed = m.ls(collection)
    tried = 0
    for r in records:
        name = encoded(r[member])
        # What looks like an id or like a tool's own file is one; by-name/ has these, too.
        if names.count(r[member]) > 1 or name.isdigit() or name[0] in "#~" or len(name) > 200 \
                or len(name.encode()) > 250:
            continue
        assert m.json(f"{collection}/{name}.json") == r, name
        assert os.readlink(m / collection / (name + ".json")) == f"{r['id']}.json"
        if name.endswith(".json"):
            continue  # as a directory's name it is another one's file
        assert os.readlink(m / collection / name) == str(r["id"])
        if tried < 3:
            assert m.ls(f"{collection}/{name}") == [inner]
            assert m.ls(f"{collection}/{name}/{inner}") == m.ls(f"{collection}/{r['id']}/{inner}")
        tried += 1
    assert tried >= 3
    assert m.ls(collection) == listed


def test_a_name_has_one_spelling(mount):
    m = mount()
    assert m.json("tags/by-name/a%2Fb test.json")["name"] == "a/b test"
    assert m.json("tags/by-name/a%252Fb test.json")["name"] == "a%2Fb test"
    for name in ("a%2fb test.json", "%61%2Fb test.json", "a%2Fb%20test.json", "a%2Fb test",
                 "a%2Fb test.json.json", "newsletter.JSON", "Newsletter.json"):
        expect_error(errno.ENOENT, m.stat, "tags/by-name/" + name)


def test_ids_have_one_spelling(mount, sandbox):
    sb = sandbox()
    m = mount(sb)
    contact = sb.world()["contacts"]["last"]
    webhook = sb.get("/api/webhooks")["items"][0]["id"]
    with sb.counting() as c:
        for name in (f"contacts/0{contact}.json", f"contacts/+{contact}.json",
                     f"contacts/{contact}.json.json", f"contacts/{contact}.JSON",
                     f"contacts/ {contact}.json", "contacts/0.json", "contacts/-1.json",
                     "contacts/99999999999999999999999.json"):
            expect_error(errno.ENOENT, m.stat, name)
    assert c.total == 0, c
    expect_error(errno.ENOENT, m.stat, f"webhooks/{webhook.upper()}.json")
    assert m.json(f"webhooks/{webhook}.json")["id"] == webhook


def test_names_follow_the_server(mount, sandbox):
    sb = sandbox()
    m = mount(sb)
    tag = next(t for t in sb.all("/api/tags") if t["name"] == "lead")
    assert "lead.json" in m.ls("tags/by-name")
    assert m.json("tags/lead.json")["id"] == tag["id"]
    sb.change("rename_tag", id=tag["id"], name="lost lead")
    m.ctl("refresh")
    listed = m.ls("tags/by-name")
    assert "lead.json" not in listed and "lost lead.json" in listed
    expect_error(errno.ENOENT, m.read, "tags/by-name/lead.json")
    expect_error(errno.ENOENT, m.read, "tags/lead.json")
    assert m.json("tags/lost lead.json") == {**tag, "name": "lost lead"}


def test_no_name_can_do_harm(mount, sandbox):
    sb = sandbox(contacts=60, tags=60, nasty_names=True)
    m = mount(sb)
    for where, dirs, files in os.walk(os.fsencode(m.path)):
        for name in dirs + files:
            text = name.decode()  # UTF-8, always
            assert not any(unicodedata.category(c) == "Cc" for c in text), name
            assert not text.startswith("."), name
            target = os.path.realpath(os.path.join(where, name))
            assert target.startswith(os.fsencode(os.path.realpath(m.path)) + b"/"), name


def test_too_long_a_name(mount):
    m = mount()
    with m.sandbox.counting() as c:
        expect_error(errno.ENAMETOOLONG, m.stat, "contacts/" + "x" * 256)
        expect_error(errno.ENOENT, m.stat, "contacts/" + "x" * 255)
        expect_error(errno.ENOENT, m.stat, "contacts/" + "x" * 250 + ".json")
    assert c.total == 0, c
