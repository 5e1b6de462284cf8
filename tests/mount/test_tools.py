"""The tools that people use, and how directories behave for programs that read them oddly."""

import contextlib
import ctypes
import hashlib
import json
import os
import struct
import tarfile

import pytest

import lib


@pytest.fixture
def world(sandbox):
    return sandbox(contacts=230, all_subscriptions=True)


# What the tools are to find, from the API itself.
def truth(sb):
    return {f"{r['id']}.json": lib.pretty(r) for r in sb.all("/api/contacts")}


def test_ls(mount, world):
    m = mount(world)
    names = m.run("ls", "contacts").stdout.split()
    assert sorted(names) == sorted([*truth(world), "by-email"])
    rows = m.run("ls", "-l", "--time-style=+%s", "contacts").stdout.splitlines()[1:]
    records = truth(world)
    for row in rows:
        mode, _, _, _, size, _, name = row.split()
        if name != "by-email":
            assert mode == "-rw-------" and int(size) == len(records[name])


def test_find(mount, world):
    m = mount(world)
    found = m.run("find . -type f | sort").stdout.split()
    listed = sorted(os.path.join(where, name).replace(str(m.path), ".")
                    for where, _, files in os.walk(m.path) for name in files
                    if not os.path.islink(os.path.join(where, name)))
    assert found == sorted(m.run("find . -type f").stdout.split())
    assert sorted(found) == listed
    assert m.run("find contacts -mindepth 1 -type d").stdout.split() == ["contacts/by-email"]
    # Inodes that are their own ancestors, or links that lie, make find complain.
    everything = m.run("find", "-L", ".", "-ls")
    assert everything.stderr == ""


def test_grep_and_rg(mount, world):
    m = mount(world)
    records = truth(world)
    wanted = sorted(name for name, text in records.items() if b"mail.example.com" in text)
    assert wanted
    for command in ("grep -rl mail.example.com contacts", "rg -l mail.example.com contacts",
                    "grep -l mail.example.com contacts/*.json"):
        found = sorted(os.path.basename(name) for name in m.run(command).stdout.split())
        assert found == wanted, command
    out = m.run("grep", "-rh", '"email": "jane@example.com"', "contacts").stdout
    assert out == '  "email": "jane@example.com",\n'


def test_jq(mount, world):
    m = mount(world)
    emails = m.run("jq -r .email contacts/*.json").stdout.split("\n")[:-1]
    assert sorted(emails) == sorted(r["email"] for r in world.all("/api/contacts"))
    # Its own pretty form is ours: so a rewrite with jq is no change.
    name = m.ls("contacts")[5]
    assert m.run("jq", ".", f"contacts/{name}").stdout == m.text(f"contacts/{name}")


def test_cp(mount, world, work):
    m = mount(world)
    records = truth(world)
    for option in ("-r", "-a", "-rL"):
        to = f"{work}/copy{option}"
        m.run("cp", option, "contacts", to)
        for name, text in records.items():
            with open(f"{to}/{name}", "rb") as f:
                assert f.read() == text
        assert len(os.listdir(f"{to}/by-email")) == len(records)
    assert os.stat(f"{work}/copy-a/{name}").st_mtime_ns == m.stat(f"contacts/{name}").st_mtime_ns


def test_tar(mount, world, work):
    m = mount(world)
    m.run("tar", "cf", f"{work}/all.tar", "--exclude=./subscriptions", ".")
    records = truth(world)
    with tarfile.open(f"{work}/all.tar") as tar:
        names = tar.getnames()
        assert len(names) == len(set(names))
        for name, text in records.items():
            assert tar.extractfile(f"./contacts/{name}").read() == text
        links = [t for t in tar.getmembers() if t.name.startswith("./contacts/by-email/")]
        assert len(links) == len(records) and all(t.issym() for t in links)
    m.run("tar", "df", f"{work}/all.tar", "--exclude=./subscriptions")  # and it compares equal


def test_rsync(mount, world, work):
    m = mount(world)
    to = f"{work}/copy/"
    m.run("rsync", "-a", "contacts/", to)
    records = truth(world)
    assert set(os.listdir(to)) == {*records, "by-email"}
    # A second run finds nothing to do, and a third compares the bytes.
    for options in (["-ai"], ["-aci"]):
        assert m.run("rsync", *options, "contacts/", to).stdout == ""
    m.ctl("refresh")
    assert m.run("rsync", "-ai", "contacts/", to).stdout == ""
    id = world.world()["contacts"]["last"]
    world.change("patch_contact", id=id, locale="sq")
    m.ctl("refresh")
    changed = m.run("rsync", "-ai", "contacts/", to).stdout.splitlines()
    assert [line.split()[1] for line in changed if line.startswith(">f")] == [f"{id}.json"]


def test_du_and_stat(mount, world):
    m = mount(world)
    records = truth(world)
    total = int(m.run("du", "-sb", "--exclude=by-email", "contacts").stdout.split()[0])
    assert total - os.stat(m / "contacts").st_size == sum(map(len, records.values()))
    assert int(m.run("du", "-s", "contacts").stdout.split()[0]) > 0
    for row in m.run("stat -c '%n %s %h %F' contacts/*.json").stdout.splitlines():
        name, size, links, kind = row.split(" ", 3)
        assert int(size) == len(records[os.path.basename(name)])
        assert int(links) >= 1 and kind == "regular file"


def test_md5sum(mount, world):
    m = mount(world)
    expected = {name: hashlib.md5(text).hexdigest() for name, text in truth(world).items()}
    rows = m.run("md5sum contacts/*.json").stdout.splitlines()
    assert {os.path.basename(r.split()[1]): r.split()[0] for r in rows} == expected


def test_getfattr(mount, world):
    m = mount(world)
    id = world.world()["contacts"]["last"]
    out = m.run("getfattr", "-d", f"contacts/{id}.json").stdout
    shown = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    assert shown["user.systemefs.id"] == f'"{id}"'
    assert shown["user.systemefs.url"] == f'"{world.url}/api/contacts/{id}"'
    assert shown["user.systemefs.stale"] == '"no"'
    assert shown["user.systemefs.fetched"] < shown["user.systemefs.expires"]
    assert "user.systemefs.error" not in shown
    assert m.run("getfattr", "-n", "user.other", f"contacts/{id}.json", check=False).returncode == 1


def test_scandir(mount, world):
    m = mount(world)
    with os.scandir(m / "contacts") as entries:
        found = {e.name: e.stat().st_size for e in entries if e.is_file(follow_symlinks=False)}
    assert found == {name: len(text) for name, text in truth(world).items()}


def test_the_shell(mount, world):
    m = mount(world)
    assert m.run("cd contacts/jane@example.com && cat fields/first_name && cd .. && ls").stdout
    assert m.run("for f in contacts/*.json; do test -s $f || exit 1; done; echo fine").stdout
    assert m.run('head -c 2 contacts/jane@example.com.json').stdout == "{\n"
    assert m.run('tail -c 2 contacts/jane@example.com.json').stdout == "}\n"
    assert m.run("[ -e contacts/.git ] || echo none").stdout == "none\n"
    a, b = sorted(truth(world))[:2]
    assert m.run(f"cmp contacts/{a} contacts/{a} && diff -q contacts/{a} contacts/{b}",
                 check=False).returncode == 1


# ---- reading directories oddly ----

libc = ctypes.CDLL(None, use_errno=True)
SYS_GETDENTS64 = {"x86_64": 217, "aarch64": 61}.get(os.uname().machine)


def getdents(fd, size):
    """Entries as (name, cookie behind it); [] at the end."""
    buffer = ctypes.create_string_buffer(size)
    n = libc.syscall(SYS_GETDENTS64, fd, buffer, size)
    if n < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    found, at = [], 0
    while at < n:
        _, cookie, length, _ = struct.unpack_from("=QqHB", buffer, at)
        name = buffer.raw[at + 19:at + length].split(b"\0")[0].decode()
        found.append((name, cookie))
        at += length
    return found


@contextlib.contextmanager
def opened(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def read_all(fd, size):
    found = []
    while part := getdents(fd, size):
        found += part
    return found


@pytest.mark.parametrize("where", ["contacts", "contacts/by-email", "tags", "webhooks", "."])
@pytest.mark.parametrize("size", [60, 100, 280, 1000, 32768, 1 << 20])
def test_small_buffers(mount, sandbox, where, size):
    sb = sandbox(contacts=130)
    m = mount(sb)
    with opened(m / where) as fd:
        # An entry that does not fit ends the answer, and is the first of the next.
        if size < 280 and where not in ("contacts", "tags"):
            size = 280
        names = [name for name, _ in read_all(fd, size)]
    assert names == [".", "..", *m.ls(where)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("where", ["contacts", "contacts/by-email", "tags", "courses", "."])
def test_seeking_in_a_directory(mount, sandbox, where):
    """telldir() and seekdir(): what follows a cookie is the same, from every cookie, in any order,
    through the same descriptor or another."""
    sb = sandbox(contacts=230)
    m = mount(sb)
    with opened(m / where) as fd:
        entries = read_all(fd, 1000)
        cookies = [cookie for _, cookie in entries]
        assert len(set(cookies)) == len(cookies) and all(c > 0 for c in cookies)
        places = sorted({0, 1, 2, 3, 7, 99, 100, 101, 102, len(entries) - 2, len(entries) - 1}
                        & set(range(len(entries))), key=lambda i: (i * 7) % 11)
        for i in places:
            os.lseek(fd, cookies[i], os.SEEK_SET)
            assert read_all(fd, 1000) == entries[i + 1:]
            with opened(m / where) as other:
                os.lseek(other, cookies[i], os.SEEK_SET)
                assert read_all(other, 1000) == entries[i + 1:]
        os.lseek(fd, 0, os.SEEK_SET)
        assert read_all(fd, 1000) == entries


def test_a_cookie_lasts_over_a_remount(mount, sandbox):
    m = mount(sandbox(contacts=230))
    with opened(m / "contacts") as fd:
        entries = read_all(fd, 4096)
    m.remount()
    with opened(m / "contacts") as fd:
        os.lseek(fd, entries[150][1], os.SEEK_SET)
        assert read_all(fd, 4096) == entries[151:]


def test_rewinding_sees_what_is_new(mount, sandbox):
    sb = sandbox(contacts=30)
    m = mount(sb, ttl=0)
    with opened(m / "contacts") as fd:
        first = {name for name, _ in read_all(fd, 4096)}
        new = sb.change("create_contact", email="new@example.com")
        os.lseek(fd, 0, os.SEEK_SET)
        assert {name for name, _ in read_all(fd, 4096)} == first | {f"{new}.json"}


@pytest.mark.parametrize("ttl", [0, 60])
@pytest.mark.parametrize("collection", ["contacts", "enrollments"])
def test_a_listing_that_changes_while_it_is_read(mount, sandbox, ttl, collection):
    """What was there all the time is met exactly once; what came or went, at most once."""
    sb = sandbox(contacts=900, enrollments=900)
    kind = {"contacts": "contact", "enrollments": "enrollment"}[collection]
    path = {"contacts": "/api/contacts", "enrollments": "/api/school/enrollments"}[collection]
    ids = [r["id"] for r in sb.all(path)]
    students = sb.all("/api/contacts")
    courses = sb.all("/api/school/courses")
    m = mount(sb, ttl=ttl)
    gone, new, names = set(), set(), []
    with opened(m / collection) as fd:
        i = 0
        while part := getdents(fd, 600):
            names += [name for name, _ in part]
            i += 1
            if i % 4 == 0 and len(ids) > 50:
                # One right before the reader, one behind him, and one at the far end.
                at = min(len(names), len(ids) - 10)
                for victim in {ids.pop(at), ids.pop(max(at - 40, 0)), ids.pop()}:
                    sb.change(f"delete_{kind}", id=victim)
                    gone.add(victim)
                if kind == "contact":
                    new.add(sb.change("create_contact", email=f"new{i}@example.com"))
                else:
                    new.add(sb.change("create_enrollment", contact=students[i]["id"],
                                      course=courses[0]["id"]))
            if i % 16 == 0:
                m.ctl("refresh")
    names = [n for n in names if n.endswith(".json")]
    assert len(names) == len(set(names))
    met = {int(n.removesuffix(".json")) for n in names}
    assert met >= set(ids)
    assert met <= set(ids) | gone | new
    assert gone and new
    # And afterwards the tree is what the account is.
    m.ctl("refresh")
    assert {n for n in m.ls(collection) if n.endswith(".json")} == {
        f"{r['id']}.json" for r in sb.all(path)}


def test_seeking_where_a_record_was(mount, sandbox):
    """The cookie of a record that is gone: what follows it is still what follows it."""
    sb = sandbox(contacts=230)
    m = mount(sb)
    with opened(m / "contacts") as fd:
        entries = read_all(fd, 4096)
        at = 120
        sb.change("delete_contact", id=int(entries[at][0].removesuffix(".json")))
        m.ctl("refresh")
        for fd2 in (fd, os.dup(fd)):
            os.lseek(fd2, 0, os.SEEK_SET)
            assert read_all(fd2, 4096) == entries[:at] + entries[at + 1:]
            os.lseek(fd2, entries[at][1], os.SEEK_SET)
            assert read_all(fd2, 4096) == entries[at + 1:]
        os.close(fd2)


def test_the_first_entries_come_after_the_first_page(mount, sandbox):
    sb = sandbox(contacts=1000)
    m = mount(sb)
    sb.faults({"path": "/api/contacts", "occurrence": "2-", "action": "hang"})
    with opened(m / "contacts") as fd:
        names = []
        while len(names) < 60:
            names += [name for name, _ in getdents(fd, 2000)]
    sb.clear_faults()
    assert len(names) >= 60


def test_a_listing_of_many(mount, sandbox):
    sb = sandbox(contacts=5000)
    m = mount(sb)
    with sb.counting() as c:
        names = m.ls("contacts")
    assert len(names) == len(set(names)) == 5001
    # Where a walk is split: up to 5 % more.
    assert 50 <= c.total <= 53, c
    assert sum(len(m.read(f"contacts/{n}")) > 100 for n in names[1:200]) == 199


def test_reading_at_every_offset(mount, sandbox):
    sb = sandbox(contacts=3, padding=20000)
    m = mount(sb)
    r = sb.all("/api/contacts")[0]
    expected = lib.pretty(r)
    fd = os.open(m / f"contacts/{r['id']}.json", os.O_RDONLY)
    try:
        assert os.pread(fd, 1 << 20, 0) == expected
        for offset in (0, 1, 4095, 4096, 4097, 8192, len(expected) - 1, len(expected),
                       len(expected) + 1, 1 << 40):
            for size in (1, 10, 4096, 5000):
                assert os.pread(fd, size, offset) == expected[offset:offset + size]
        assert os.lseek(fd, 0, os.SEEK_END) == len(expected)
    finally:
        os.close(fd)
    assert json.loads(m.run("dd", f"if=contacts/{r['id']}.json", "bs=7", "status=none").stdout) == r
