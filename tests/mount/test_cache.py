"""What is kept, for how long, and that old bytes are never read for new ones."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

import lib
from test_tree import expect_error

LONG = "x" * 3000


@pytest.fixture
def world(sandbox):
    return sandbox(contacts=150, fields_per_contact=9)


def last(sb):
    return sb.world()["contacts"]["last"]


def served(sb, id):
    return lib.pretty(sb.get(f"/api/contacts/{id}"))


def refresh(m, how, id):
    if how == "SIGHUP":
        m.signal(signal.SIGHUP)
        lib.wait_until(lambda: "SIGHUP" in m.log(), "the signal to be taken")
        m.ctl("refresh README.md")  # nothing by itself: comes back when the kernel is told
        with open(m.log_path, "w", encoding="utf-8"):
            pass  # the next SIGHUP's line must be told from this one's
    else:
        m.ctl(how.format(id))


# ---- ttl ----


def test_within_the_ttl_nothing_is_asked_again(mount, world, mode):
    m = mount(world, mode=mode)
    id = last(world)
    everything = (f"cat contacts/{id}.json contacts/{id}/fields/*; ls contacts/{id}/tags;"
                  f"ls -l contacts; ls contacts/{id}/enrollments tags courses/by-name;"
                  "cat contacts/jane@example.com.json; ls -l tags")
    first = m.run(everything).stdout
    world.change("patch_contact", id=id, locale="sq")
    with world.counting() as c:
        assert m.run(everything).stdout == first
    assert c.total == 0, c


def test_ttl_0_asks_each_time(mount, world):
    m = mount(world, ttl=0)
    id = last(world)
    for locale in ("sq", "sv", "tr"):
        world.change("patch_contact", id=id, locale=locale)
        with world.counting() as c:
            assert m.json(f"contacts/{id}.json")["locale"] == locale
        assert 1 <= c.total <= 3, c  # lookup, open and stat may each ask
    with world.counting() as c:
        m.ls("tags")
        m.ls("tags")
    assert c.total >= 2, c


def test_ttl_0_shows_each_change_at_once(mount, world):
    """Longer, shorter, and of the same length: always the new size and the new bytes."""
    m = mount(world, ttl=0)
    id = last(world)
    for value in ("a", "bb" * 4000, "c", "d", "", "é" * 50, "x" * 99):
        world.change("patch_contact", id=id, fields={"city": value})
        expected = served(world, id)
        assert m.stat(f"contacts/{id}.json").st_size == len(expected)
        assert m.read(f"contacts/{id}.json") == expected
        assert m.text(f"contacts/{id}/fields/city") == value + "\n"
        assert m.run("cat", f"contacts/{id}.json", text=False).stdout == expected


def test_after_the_ttl_it_is_asked_again(mount, world):
    m = mount(world, ttl=1)
    id = last(world)
    m.read(f"contacts/{id}.json")
    names = m.ls("tags")
    world.change("patch_contact", id=id, locale="sq")
    world.change("create_tag", name="new")
    lib.wait_until(lambda: m.json(f"contacts/{id}.json")["locale"] == "sq", "the change")
    lib.wait_until(lambda: len(m.ls("tags")) == len(names) + 2, "the new tag")  # ID.json and ID/


def test_what_does_not_exist_is_remembered(mount, world):
    m = mount(world)
    with world.counting() as c:
        for _ in range(5):
            expect_error(errno.ENOENT, m.read, "contacts/999999999.json")
            expect_error(errno.ENOENT, m.read, "contacts/nobody@example.com.json")
    assert c.total <= 2, c


def test_something_new_is_found_after_a_refresh(mount, world):
    m = mount(world)
    expect_error(errno.ENOENT, m.read, "contacts/new@example.com.json")
    before = m.ls("contacts")
    id = world.change("create_contact", email="new@example.com")
    m.ctl("refresh")
    assert m.read("contacts/new@example.com.json") == served(world, id)
    assert set(m.ls("contacts")) - set(before) == {f"{id}.json"}


def test_a_whole_listing_knows_what_is_not_there(mount, world):
    m = mount(world)
    m.ls("contacts")
    with world.counting() as c:
        expect_error(errno.ENOENT, m.read, "contacts/999999999.json")
        expect_error(errno.ENOENT, m.read, "contacts/nobody@example.com.json")
        expect_error(errno.ENOENT, m.ls, "contacts/999999999")
    assert c.total == 0, c


# ---- refresh ----


@pytest.mark.parametrize("how", ["refresh", "refresh contacts", "refresh contacts/{}.json",
                                 "refresh contacts/{}", "refresh contacts/{}/fields/city",
                                 "refresh contacts/{}/fields", "refresh /contacts/{}.json",
                                 "SIGHUP"])
@pytest.mark.parametrize("listed", [False, True])
def test_after_a_refresh_the_new_is_read(mount, world, how, listed):
    m = mount(world)
    id = last(world)
    if listed:
        m.run("cat contacts/*.json > /dev/null")
    name, field = f"contacts/{id}.json", f"contacts/{id}/fields/city"
    for value in (LONG, "short", "SHORT"):
        m.read(name), m.read(field)  # into the kernel's page cache
        before = m.stat(name)
        world.change("patch_contact", id=id, fields={"city": value})
        expected = served(world, id)
        assert m.read(name) != expected
        refresh(m, how, id)
        after = m.stat(name)
        assert after.st_size == len(expected)
        assert after.st_ino == before.st_ino
        assert after.st_mtime_ns > before.st_mtime_ns
        assert m.read(name) == expected
        assert m.text(field) == value + "\n"
        assert m.stat(field).st_size == len(value) + 1
        assert m.run("cat", name, text=False).stdout == expected


def test_a_refresh_asks_only_for_what_it_names(mount, world):
    m = mount(world)
    id = last(world)
    m.run("cat contacts/*.json tags/*.json > /dev/null")
    m.ctl(f"refresh contacts/{id}.json")
    with world.counting() as c:
        m.run("cat contacts/*.json > /dev/null")
        m.ls("tags")
    assert [r["path"] for r in c.requests] == [f"/api/contacts/{id}"], c
    m.ctl("refresh tags")
    with world.counting() as c:
        m.run("cat contacts/*.json tags/*.json > /dev/null")
    assert [r["path"] for r in c.requests] == ["/api/tags"], c
    m.ctl("refresh contacts")
    with world.counting() as c:
        m.run("cat contacts/*.json tags/*.json > /dev/null")
    assert [r["path"] for r in c.requests] == ["/api/contacts"] * 2, c


def test_a_refresh_alone_sends_nothing(mount, world):
    m = mount(world)
    m.run("cat contacts/*.json > /dev/null")
    with world.counting() as c:
        m.ctl("refresh")
        m.ctl("refresh contacts")
        m.status()
    assert c.total == 0, c


def test_what_did_not_change_stays_as_it_is(mount, world):
    m = mount(world)
    id = last(world)
    names = [f"contacts/{n}" for n in m.ls("contacts") if n.endswith(".json")]
    texts = {n: m.read(n) for n in names}
    stats = {n: m.stat(n) for n in names}
    world.change("patch_contact", id=id, locale="sq")
    m.ctl("refresh")
    changed = [n for n in names if m.stat(n) != stats[n]]
    assert changed == [f"contacts/{id}.json"]
    assert [n for n in names if m.read(n) != texts[n]] == changed
    assert all(m.stat(n).st_ino == stats[n].st_ino for n in names)


@pytest.mark.parametrize("how", ["refresh", "refresh contacts", "refresh contacts/{}.json",
                                 "SIGHUP"])
def test_what_was_deleted_elsewhere_is_gone(mount, world, how):
    m = mount(world)
    id = last(world)
    m.run("cat contacts/*.json > /dev/null")
    m.ls(f"contacts/{id}/tags"), m.ls("contacts/by-email")
    email = m.json(f"contacts/{id}.json")["email"]
    world.change("delete_contact", id=id)
    assert m.stat(f"contacts/{id}.json").st_size > 0  # not known yet
    refresh(m, how, id)
    for name in (f"contacts/{id}.json", f"contacts/{id}", f"contacts/{id}/fields/city"):
        expect_error(errno.ENOENT, m.stat, name)
        expect_error(errno.ENOENT, os.listdir if "." not in name else open, m / name)
    if how != "refresh contacts/{}.json":
        assert f"{id}.json" not in m.ls("contacts")
        assert email + ".json" not in m.ls("contacts/by-email")
        expect_error(errno.ENOENT, m.read, f"contacts/{email}.json")


def test_new_tags_and_relations_show_after_a_refresh(mount, world):
    m = mount(world)
    contact = next(r for r in world.all("/api/contacts") if r["tags"])
    tags = [t["id"] for t in world.all("/api/tags")]
    new = next(t for t in tags if t not in [t["id"] for t in contact["tags"]])
    old = contact["tags"][0]["id"]
    where, with_new, with_old = (f"contacts/{contact['id']}/tags", f"tags/{new}/contacts",
                                 f"tags/{old}/contacts")
    m.ls(where), m.ls(with_new), m.ls(with_old)
    world.change("tag_contact", id=contact["id"], tag=new)
    world.change("untag_contact", id=contact["id"], tag=old)
    m.ctl("refresh")
    assert f"{new}.json" in m.ls(where) and f"{old}.json" not in m.ls(where)
    assert f"{contact['id']}.json" in m.ls(with_new)
    assert f"{contact['id']}.json" not in m.ls(with_old)
    expect_error(errno.ENOENT, m.stat, f"{where}/{old}.json")
    expect_error(errno.ENOENT, m.stat, f"{with_old}/{contact['id']}.json")
    assert m.stat(f"{where}/{new}.json") and m.stat(f"{with_new}/{contact['id']}.json")


# ---- files that are open ----


@pytest.mark.parametrize("value", [LONG, "b"], ids=["longer", "shorter"])
def test_two_descriptors(mount, world, value):
    """The older one reads its text to the end, the newer one the new text; and never a mixture."""
    m = mount(world)
    id = last(world)
    world.change("patch_contact", id=id, fields={"city": "a" * 5000 if value == "b" else "a"})
    path = m / f"contacts/{id}.json"
    old_text = served(world, id)
    first = os.open(path, os.O_RDONLY)
    try:
        assert os.read(first, 100) == old_text[:100]
        world.change("patch_contact", id=id, fields={"city": value})
        new_text = served(world, id)
        m.ctl("refresh")
        second = os.open(path, os.O_RDONLY)
        try:
            assert os.pread(second, 1 << 20, 0) == new_text
            assert read_to_end(first) == old_text[100:]
            assert os.pread(first, 1 << 20, 0) == old_text
            assert os.pread(second, 1 << 20, 0) == new_text
        finally:
            os.close(second)
        assert m.read(f"contacts/{id}.json") == new_text
    finally:
        os.close(first)
    assert m.read(f"contacts/{id}.json") == new_text
    assert m.stat(f"contacts/{id}.json").st_size == len(new_text)
    assert m.run("cat", path, text=False).stdout == new_text


def read_to_end(fd):
    text = b""
    while part := os.read(fd, 64):
        text += part
    return text


def test_open_while_the_record_is_deleted(mount, world):
    m = mount(world)
    id = last(world)
    text = m.read(f"contacts/{id}.json")
    fd = os.open(m / f"contacts/{id}.json", os.O_RDONLY)
    try:
        world.change("delete_contact", id=id)
        m.ctl("refresh")
        expect_error(errno.ENOENT, m.read, f"contacts/{id}.json")
        assert os.pread(fd, 1 << 20, 0) == text
    finally:
        os.close(fd)


MAPPER = """
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(fd).st_size
m = mmap.mmap(fd, size, prot=mmap.PROT_READ)
sys.stdout.buffer.write(m[:]); sys.stdout.flush()
sys.stdin.readline()
"""


def test_mapped_elsewhere(mount, world):
    """Somebody holds a mapping (an editor, a viewer): whoever reads anew gets the new bytes."""
    m = mount(world)
    id = last(world)
    path = m / f"contacts/{id}.json"
    for value in (LONG, "s"):
        old_text = served(world, id)
        with subprocess.Popen([sys.executable, "-c", MAPPER, path], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as mapper:
            assert mapper.stdout.read(len(old_text)) == old_text
            world.change("patch_contact", id=id, fields={"city": value})
            new_text = served(world, id)
            m.ctl("refresh")
            assert m.read(f"contacts/{id}.json") == new_text
            assert m.stat(f"contacts/{id}.json").st_size == len(new_text)
            assert m.run("cat", path, text=False).stdout == new_text
            mapper.stdin.close()
            mapper.wait(timeout=lib.PATIENCE)
        assert m.read(f"contacts/{id}.json") == new_text
        mapped = m.run(sys.executable, "-c", MAPPER, path, text=False, input=b"\n").stdout
        assert mapped == new_text


def test_never_a_mixture(mount, world):
    """Readers while the record changes all the time: each text is one that the API served."""
    m = mount(world, ttl=0)
    id = last(world)
    versions, wrong, stop = {served(world, id)}, [], threading.Event()
    lock = threading.Lock()

    def read():
        while not stop.is_set():
            with open(m / f"contacts/{id}.json", "rb", buffering=0) as f:
                text = b""
                while part := f.read(700):
                    text += part
            with lock:
                known = text in versions
            if not known:
                wrong.append(text)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for t in threads:
        t.start()
    base = world.get(f"/api/contacts/{id}")
    for i in range(120):
        value = str(i % 10) * (1 + (i * 977) % 3000)
        for f in base["fields"]:
            if f["slug"] == "city":
                f["value"] = value
        with lock:  # known before it is served
            versions.add(lib.pretty(base))
        world.change("patch_contact", id=id, fields={"city": value})
    stop.set()
    for t in threads:
        t.join()
    assert not wrong, (len(wrong), wrong[0][-300:])
    assert m.read(f"contacts/{id}.json") == lib.pretty(base)


def test_refreshing_while_everybody_reads(mount, world):
    """A record that changes all the time was read torn: old bytes cut at the new size."""
    m = mount(world)
    m.json(f"contacts/{last(world)}.json")
    for city in ("x", "y", "z"):  # from here on it is known to be restless
        world.change("patch_contact", id=last(world), fields={"city": city})
        m.ctl("refresh")
        m.json(f"contacts/{last(world)}.json")
    stop, failed = threading.Event(), []

    def read():
        while not stop.is_set():
            for name in m.ls("contacts")[1:]:
                try:
                    r = m.json(f"contacts/{name}")
                    assert name == f"{r['id']}.json"
                except Exception as e:  # of whatever kind: it is for the test to show
                    failed.append(repr(e))
                    return

    threads = [threading.Thread(target=read) for _ in range(3)]
    for t in threads:
        t.start()
    for i in range(60):
        world.change("patch_contact", id=last(world), fields={"city": "x" * (i * 50)})
        m.ctl("refresh" if i % 2 else f"refresh contacts/{last(world)}.json")
    stop.set()
    for t in threads:
        t.join()
    assert failed == []


def test_a_refresh_while_the_answer_is_under_way(mount, world):
    """What was asked before the refresh is not the answer to it."""
    m = mount(world)
    id = last(world)
    # The world is read when the request comes, and the answer stays away for a while.
    world.faults({"path": f"/api/contacts/{id}", "occurrence": 1, "latency": 300})
    seen = []
    reader = threading.Thread(target=lambda: seen.append(m.json(f"contacts/{id}.json")))
    reader.start()
    lib.wait_until(lambda: world.counts()["total"] == 1, "the request")
    m.ctl("refresh")
    world.change("patch_contact", id=id, locale="sq")
    reader.join()
    assert seen[0]["id"] == id
    m.ctl("refresh")
    assert m.json(f"contacts/{id}.json")["locale"] == "sq"


def test_json_is_never_torn(mount, world):
    """Through a listing, too: pages come in while files are read."""
    m = mount(world, ttl=0)
    for _ in range(5):
        for name in m.ls("contacts")[1:20]:
            json.loads(m.read(f"contacts/{name}"))


def test_a_value_that_changes_while_it_is_open(mount, world):
    m = mount(world)
    id = last(world)
    world.change("patch_contact", id=id, fields={"city": "a" * 5000})
    first = os.open(m / f"contacts/{id}/fields/city", os.O_RDONLY)
    try:
        assert os.read(first, 10) == b"a" * 10
        world.change("patch_contact", id=id, fields={"city": "b"})
        m.ctl("refresh")
        assert m.text(f"contacts/{id}/fields/city") == "b\n"
        assert read_to_end(first) == b"a" * 4990 + b"\n"
    finally:
        os.close(first)
    assert m.stat(f"contacts/{id}/fields/city").st_size == 2


def test_a_working_directory_survives_a_refresh(mount, world):
    """A shell stands in contacts/ID: it is still there, and sees the new."""
    m = mount(world)
    id = last(world)
    out = m.run("bash", "-ec", f"""
        cd contacts/{id}; cat fields/first_name > /dev/null
        echo refresh > ../../.systemefs/ctl
        /bin/pwd; cat fields/first_name; ls ..
    """).stdout.splitlines()
    assert out[0] == f"{m.path}/contacts/{id}"
    assert len(out) == 2 + len(m.ls("contacts"))


def test_reading_on_after_the_account_was_emptied(mount, world):
    m = mount(world)
    names = m.ls("contacts")[1:]
    for name in names[:30]:
        world.change("delete_contact", id=int(name.removesuffix(".json")))
    m.ctl("refresh")
    for name in names[:30]:
        expect_error(errno.ENOENT, m.read, f"contacts/{name}")
    assert m.ls("contacts")[1:] == names[30:]
