"""The tree of the contract's section 2: what is where, and what it reads."""

import errno
import json
import os
import stat

import pytest

import lib

# name, path of its list, member that holds the id, fixed children, whether ID/ is listed
COLLECTIONS = {
    "contacts": ("/api/contacts", "id", ["by-email"], False),
    "tags": ("/api/tags", "id", ["by-name"], True),
    "contact_fields": ("/api/contact_fields", "slug", [], False),
    "courses": ("/api/school/courses", "id", ["by-name"], True),
    "enrollments": ("/api/school/enrollments", "id", [], False),
    "communities": ("/api/community/communities", "id", ["by-name"], True),
    "memberships": ("/api/community/memberships", "id", [], False),
    "subscriptions": ("/api/payment/subscriptions", "id", [], False),
    "webhooks": ("/api/webhooks", "id", [], False),
}
UNPAGED = ("contact_fields", "webhooks")

# directory, list, filter, collection that the directory is in
RELATIONS = {
    "tags/{}/contacts": ("/api/contacts", "tags", "/api/tags"),
    "courses/{}/enrollments": ("/api/school/enrollments", "course", "/api/school/courses"),
    "communities/{}/memberships": (
        "/api/community/memberships", "community", "/api/community/communities"),
    "contacts/{}/enrollments": ("/api/school/enrollments", "contact", "/api/contacts"),
    "contacts/{}/memberships": ("/api/community/memberships", "contact", "/api/contacts"),
    "contacts/{}/subscriptions": ("/api/payment/subscriptions", "contact", "/api/contacts"),
}


def records_of(sb, name):
    path = COLLECTIONS[name][0]
    return sb.get(path)["items"] if name in UNPAGED else sb.all(path)


def expect_error(number, function, *args):
    with pytest.raises(OSError) as e:
        function(*args)
    assert errno.errorcode[e.value.errno] == errno.errorcode[number]


def walk(m, top="."):
    """Every listed file below `top`, relative to the mount."""
    for where, _, files in os.walk(m / top):
        for name in files:
            yield os.path.relpath(os.path.join(where, name), m.path)


# ---- the root ----


def test_the_root_lists_the_collections(mount, mode):
    m = mount(mode=mode)
    expected = {"README.md", *COLLECTIONS}
    if mode == "gateway":
        expected.add("connections")
    assert set(m.ls()) == expected
    assert len(m.ls()) == len(expected)


def test_what_is_hidden_is_reachable(mount):
    m = mount()
    assert ".systemefs" not in m.ls()
    assert set(m.ls(".systemefs")) >= {"status", "errors", "requests", "metrics", "ctl"}


def test_connections_are_the_gateways(mount, sandbox):
    sb = sandbox(connections=2)
    direct = mount(sb)
    with sb.counting() as c:
        expect_error(errno.ENOENT, direct.ls, "connections")
        expect_error(errno.ENOENT, direct.stat, "connections")
    assert c.total == 0, c

    m = mount(sb, mode="gateway")
    records = sb.connections()
    assert len(records) > 2  # other states than ACTIVE, too
    assert m.ls("connections") == [r["connection_id"] + ".json" for r in records]
    for r in records:
        assert m.read(f"connections/{r['connection_id']}.json") == lib.pretty(r)


def test_readme_tells_how_to_use_the_tree(mount):
    m = mount()
    with m.sandbox.counting() as c:
        text = m.text("README.md")
    assert c.total == 0
    assert text.endswith("\n") and "contacts/" in text
    for name in COLLECTIONS:
        assert name + "/" in text, name


# ---- collections ----


@pytest.mark.parametrize("name", COLLECTIONS)
def test_a_collection_is_listed_in_the_apis_order(mount, sandbox, mode, name):
    sb = sandbox(contacts=230, all_subscriptions=True)
    records = records_of(sb, name)
    assert records
    m = mount(sb, mode=mode)
    _, id_member, fixed, dirs = COLLECTIONS[name]
    expected = list(fixed)
    for r in records:
        expected.append(f"{r[id_member]}.json")
        if dirs:
            expected.append(str(r[id_member]))
    assert m.ls(name) == expected


@pytest.mark.parametrize("name", COLLECTIONS)
def test_a_record_reads_as_the_api_gives_it(mount, sandbox, mode, name):
    sb = sandbox(contacts=120, all_subscriptions=True)
    m = mount(sb, mode=mode)
    id_member = COLLECTIONS[name][1]
    for r in records_of(sb, name):
        assert m.read(f"{name}/{r[id_member]}.json") == lib.pretty(r)


@pytest.mark.parametrize("name", COLLECTIONS)
def test_a_record_reads_the_same_alone_and_after_a_listing(mount, sandbox, name):
    sb = sandbox(contacts=120, all_subscriptions=True)
    id_member = COLLECTIONS[name][1]
    r = records_of(sb, name)[-1]
    alone, listed = mount(sb), mount(sb)
    listed.ls(name)
    path = f"{name}/{r[id_member]}.json"
    assert alone.read(path) == listed.read(path) == lib.pretty(r)


@pytest.mark.parametrize("name", COLLECTIONS)
def test_an_id_that_nobody_has_is_no_file(mount, sandbox, name):
    m = mount(sandbox(all_subscriptions=True))
    unknown = {
        "contact_fields": "no_such_field",
        "webhooks": "0190d0a0-0000-7000-8000-000000000000",
    }.get(name, "999999999")
    expect_error(errno.ENOENT, m.read, f"{name}/{unknown}.json")
    expect_error(errno.ENOENT, m.ls, f"{name}/{unknown}")
    m.ls(name)
    expect_error(errno.ENOENT, m.read, f"{name}/{unknown}.json")


def test_an_empty_account_has_empty_directories(mount, sandbox, mode):
    sb = sandbox(contacts=0, tags=0, courses=0, communities=0, webhooks=0, all_subscriptions=True)
    m = mount(sb, mode=mode)
    for name, (_, _, fixed, _) in COLLECTIONS.items():
        if name != "contact_fields":
            assert m.ls(name) == fixed
            for names in fixed:
                assert m.ls(f"{name}/{names}") == []


def test_the_pretty_form(mount, sandbox):
    sb = sandbox(contacts=200, fields_per_contact=12, nasty_names=True)
    m = mount(sb)
    seen = set()
    for r in sb.all("/api/contacts"):
        data = m.read(f"contacts/{r['id']}.json")
        text = data.decode()
        assert text.startswith('{\n  "id": ') and text.endswith("\n}\n")
        assert "\\u" not in text or any(ord(c) < 0x20 for c in json.dumps(r, ensure_ascii=False)) \
            or any("\\u00" in line for line in text.splitlines())
        assert json.loads(text, object_pairs_hook=list) == json.loads(
            json.dumps(r), object_pairs_hook=list)
        assert all((len(line) - len(line.lstrip(" "))) % 2 == 0 for line in text.splitlines())
        seen.update(c for c in text if ord(c) > 127)
    assert len(seen) > 50  # the world is not an ASCII one


# ---- subscriptions ----


def test_all_subscriptions_where_the_api_wants_a_contact(mount, mode):
    m = mount(mode=mode)
    expect_error(errno.EOPNOTSUPP, m.ls, "subscriptions")
    assert "contacts/ID/subscriptions/" in m.errors()[-1]


def test_all_subscriptions_where_there_are_no_payments(mount, sandbox):
    m = mount(sandbox(no_payments=True))
    # A directory that exists must not look as if it did not, nor empty.
    expect_error(errno.EOPNOTSUPP, m.ls, "subscriptions")
    assert m.errors()


def test_cancel_tells_how_to_use_it(mount, sandbox):
    sb = sandbox()
    m = mount(sb)
    for contact in sb.all("/api/contacts"):
        records = sb.all("/api/payment/subscriptions", contact=contact["id"])
        if records:
            break
    base = f"contacts/{contact['id']}/subscriptions/{records[0]['id']}"
    assert m.ls(base) == ["cancel"]
    text = m.text(base + "/cancel")
    assert "now" in text and "period-end" in text


# ---- what belongs to a record ----


@pytest.mark.parametrize("pattern", RELATIONS)
def test_a_relation_shows_the_records_that_belong(mount, sandbox, mode, pattern):
    path, param, owners = RELATIONS[pattern]
    sb = sandbox(contacts=150, all_subscriptions=True, tags=12)
    m = mount(sb, mode=mode)
    filled = empty = 0
    for owner in sb.all(owners):
        records = sb.all(path, **{param: owner["id"]})
        if not records and empty > 3:
            continue
        directory = pattern.format(owner["id"])
        expected = []
        for r in records:
            expected.append(f"{r['id']}.json")
            if param == "contact" and "payment" in path:
                expected.append(str(r["id"]))
        assert m.ls(directory) == expected
        for r in records:
            assert m.read(f"{directory}/{r['id']}.json") == lib.pretty(r)
        filled, empty = filled + bool(records), empty + (not records)
        if filled > 5:
            break
    assert filled


@pytest.mark.parametrize("pattern", RELATIONS)
def test_a_relation_does_not_show_the_records_of_others(mount, sandbox, pattern):
    path, param, owners = RELATIONS[pattern]
    sb = sandbox(contacts=150, all_subscriptions=True)
    m = mount(sb)
    owner = sb.all(owners)[0]
    mine = {r["id"] for r in sb.all(path, **{param: owner["id"]})}
    others = [r["id"] for r in sb.all(path) if r["id"] not in mine]
    directory = pattern.format(owner["id"])
    expect_error(errno.ENOENT, m.read, f"{directory}/{others[0]}.json")
    m.ls(directory)
    expect_error(errno.ENOENT, m.read, f"{directory}/{others[-1]}.json")


def test_a_contacts_directory(mount, sandbox, mode):
    sb = sandbox(contacts=40)
    m = mount(sb, mode=mode)
    r = sb.all("/api/contacts")[3]
    where = f"contacts/{r['id']}"
    assert str(r["id"]) not in m.ls("contacts")
    assert stat.S_ISDIR(m.stat(where).st_mode)
    assert set(m.ls(where)) == {"fields", "tags", "enrollments", "memberships", "subscriptions"}
    expect_error(errno.ENOENT, m.ls, "contacts/999999999")
    expect_error(errno.ENOENT, m.stat, where + "/nothing")


def test_fields_are_bare_values(mount, sandbox, mode):
    sb = sandbox(contacts=60)
    m = mount(sb, mode=mode)
    empty = full = 0
    for r in sb.all("/api/contacts"):
        where = f"contacts/{r['id']}/fields"
        assert m.ls(where) == [f["slug"] for f in r["fields"]]
        for f in r["fields"]:
            value = f["value"] if f["value"] is not None else ""
            assert m.read(f"{where}/{f['slug']}") == value.encode() + b"\n"
            empty, full = empty + (not value), full + bool(value)
    assert empty and full
    expect_error(errno.ENOENT, m.read, where + "/no_such_field")
    expect_error(errno.ENOENT, m.read, where + "/first_name.json")


def test_a_field_that_the_contact_does_not_show_has_no_value(mount, sandbox):
    sb = sandbox(contacts=60, filled_fields=True)
    m = mount(sb)
    slugs = {f["slug"] for f in sb.get("/api/contact_fields")["items"]}
    for r in sb.all("/api/contacts"):
        missing = slugs - {f["slug"] for f in r["fields"]}
        if missing:
            break
    where = f"contacts/{r['id']}/fields"
    assert m.read(f"{where}/{missing.pop()}") == b"\n"
    expect_error(errno.ENOENT, m.read, where + "/no_such_field")


def test_the_tags_of_a_contact_are_the_tags(mount, sandbox, mode):
    sb = sandbox(contacts=60)
    tags = {t["id"]: t for t in sb.all("/api/tags")}
    m = mount(sb, mode=mode)
    tagged = 0
    for r in sb.all("/api/contacts"):
        where = f"contacts/{r['id']}/tags"
        assert m.ls(where) == [f"{t['id']}.json" for t in r["tags"]]
        for t in r["tags"]:
            assert m.read(f"{where}/{t['id']}.json") == lib.pretty(tags[t["id"]])
            assert m.stat(f"{where}/{t['id']}.json").st_ino == m.stat(f"tags/{t['id']}.json").st_ino
            tagged += 1
        absent = next(t for t in tags if t not in [t["id"] for t in r["tags"]])
        expect_error(errno.ENOENT, m.stat, f"{where}/{absent}.json")
    assert tagged


# ---- sizes, inodes, dates ----


def test_every_size_is_exact(mount, sandbox, mode):
    """Before a file is opened, and the same as what reading it gives."""
    sb = sandbox(contacts=90, padding=3000, nasty_names=True, all_subscriptions=True)
    m = mount(sb, mode=mode, ttl=600)
    contacts = [r["id"] for r in sb.all("/api/contacts")][:4]
    tops = [".", ".systemefs", *(f"contacts/{id}" for id in contacts)]
    checked = 0
    for top in tops:
        for name in walk(m, top):
            if name.startswith(".systemefs/") and "ctl" not in name:
                continue  # these change while one looks
            st = os.lstat(m / name)
            if stat.S_ISLNK(st.st_mode):
                assert st.st_size == len(os.readlink(os.fsencode(m / name)))
            else:
                assert st.st_size == len(m.read(name)), name
                assert st.st_size == os.stat(m / name).st_size
            checked += 1
    assert checked > 400


def test_one_inode_under_every_name(mount, sandbox, mode):
    sb = sandbox(contacts=80)
    m = mount(sb, mode=mode)
    enrollment = sb.all("/api/school/enrollments")[0]
    membership = sb.all("/api/community/memberships")[0]
    contact = next(r for r in sb.all("/api/contacts") if r["tags"])
    e, p, c, t = enrollment["id"], membership["id"], contact["id"], contact["tags"][0]["id"]
    groups = [
        [f"contacts/{c}.json", f"contacts/{contact['email']}.json", f"tags/{t}/contacts/{c}.json",
         f"contacts/by-email/{contact['email']}.json"],
        [f"tags/{t}.json", f"contacts/{c}/tags/{t}.json"],
        [f"contacts/{c}", f"contacts/{contact['email']}"],
        [f"enrollments/{e}.json", f"courses/{enrollment['course']['id']}/enrollments/{e}.json",
         f"contacts/{enrollment['contact']['id']}/enrollments/{e}.json"],
        [f"memberships/{p}.json",
         f"communities/{membership['community']['id']}/memberships/{p}.json",
         f"contacts/{membership['contact']['id']}/memberships/{p}.json"],
    ]
    first = [{os.stat(m / name).st_ino for name in group} for group in groups]
    assert all(len(inodes) == 1 for inodes in first)
    assert len(set.union(*first)) == len(groups)
    # cp -a removes a file that says it has other names before it writes: that would delete the record.
    for name in (f"contacts/{c}.json", f"enrollments/{e}.json", f"memberships/{p}.json"):
        assert os.stat(m / name).st_nlink == 1, name

    m.remount()
    again = [{os.stat(m / name).st_ino for name in reversed(group)} for group in groups]
    assert again == first


def test_inodes_are_unique_and_last(mount, sandbox):
    sb = sandbox(contacts=70, all_subscriptions=True)
    m = mount(sb)
    contact = sb.all("/api/contacts")[0]["id"]

    def inodes():
        found = {}
        for top in (".", f"contacts/{contact}"):
            for where, dirs, files in os.walk(m / top):
                for name in dirs + files:
                    path = os.path.join(where, name)
                    found[os.path.relpath(path, m.path)] = os.lstat(path).st_ino
        return found

    first = inodes()
    records = {}
    for name, ino in first.items():
        # A record's names end alike; everything else has an inode of its own.
        records.setdefault(ino, set()).add(os.path.basename(name))
    assert all(len(names) == 1 for names in records.values())
    m.remount()
    assert inodes() == first


def test_a_listing_tells_the_types_and_inodes(mount, sandbox):
    """d_type and d_ino are those of stat; '.' and '..' too."""
    sb = sandbox(contacts=30, all_subscriptions=True)
    m = mount(sb)
    contact = sb.all("/api/contacts")[0]["id"]
    for where in (".", "contacts", "contacts/by-email", "tags", "courses", "webhooks",
                  "contact_fields", f"contacts/{contact}", f"contacts/{contact}/fields",
                  f"contacts/{contact}/tags", ".systemefs"):
        for entry in os.scandir(m / where):
            st = os.lstat(entry.path)
            assert entry.inode() == st.st_ino, entry.path
            assert entry.is_dir(follow_symlinks=False) == stat.S_ISDIR(st.st_mode)
            assert entry.is_symlink() == stat.S_ISLNK(st.st_mode)
    out = m.run("ls", "-ai1", "contacts").stdout.split()
    assert out[:4] == [str(m.stat("contacts").st_ino), ".", str(m.stat(".").st_ino), ".."]


def test_mtime_is_the_records_own_date(mount, sandbox, mode):
    sb = sandbox(contacts=30, all_subscriptions=True)
    m = mount(sb, mode=mode)
    for collection, member in (("contacts", "registeredAt"), ("tags", "createdAt"),
                               ("subscriptions", "createdAt")):
        dated = [r for r in records_of(sb, collection) if r.get(member)]
        for r in dated:
            assert m.stat(f"{collection}/{r['id']}.json").st_mtime == instant(r[member])
        assert dated or collection != "contacts"


def instant(text):
    from datetime import datetime

    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def test_mtime_changes_with_the_content(mount, sandbox):
    sb = sandbox(contacts=30)
    m = mount(sb, ttl=0)
    id = sb.world()["contacts"]["last"]
    name, other = f"contacts/{id}.json", f"contacts/{sb.world()['contacts']['first']}.json"
    before, other_before = m.stat(name), m.stat(other)
    sb.change("patch_contact", id=id, locale="sv")
    after = m.stat(name)
    assert after.st_mtime_ns > before.st_mtime_ns
    assert after.st_ino == before.st_ino
    assert m.stat(name).st_mtime_ns == after.st_mtime_ns  # it stays at that
    assert m.stat(other) == other_before


def test_directories_have_dates_and_links(mount):
    m = mount()
    for where in (".", "contacts", "tags", ".systemefs"):
        st = m.stat(where)
        assert stat.S_ISDIR(st.st_mode) and st.st_nlink >= 1 and st.st_mtime > 0


def test_by_email_is_in_the_listings_order(mount, sandbox, mode):
    sb = sandbox(contacts=120)
    m = mount(sb, mode=mode)
    records = sb.all("/api/contacts")
    assert m.ls("contacts/by-email") == [r["email"] + ".json" for r in records]
    for r in records[::17]:
        name = f"contacts/by-email/{r['email']}.json"
        assert os.readlink(m / name) == f"../{r['id']}.json"
        assert stat.S_ISLNK(m.stat(name).st_mode)


def test_another_world(mount, sandbox):
    """Servers differ in what their documentation leaves open."""
    sb = sandbox(contacts=150, order_ignored=True, filled_fields=True, page_size=10, id_gap=1)
    m = mount(sb)
    with sb.counting() as c:
        listed = m.ls("contacts")
    assert c.total == 2, c
    records = {f"{r['id']}.json": r for r in sb.all("/api/contacts")}
    assert sorted(listed[1:]) == sorted(records)
    for name, r in records.items():
        assert m.read(f"contacts/{name}") == lib.pretty(r)
    # A script over known ids: where pages come in another order than asked for, still right.
    other = mount(sb)
    for name in sorted(records)[:60]:
        assert other.read(f"contacts/{name}") == lib.pretty(records[name])
