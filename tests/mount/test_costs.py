"""The contract's section 3: what each thing costs in requests, counted by the sandbox."""

import errno
import os
import random
import subprocess
import threading

import pytest

from test_tree import expect_error

N = 1000

# Each from cold, on a fresh mount. {} is a place outside.
WALKS = [
    "ls contacts",
    "ls -l contacts",
    "ls -lR contacts",
    "find contacts",
    "find contacts -name '*.json' -newermt 2001-01-01",
    "du -s contacts",
    "stat contacts/*.json",
    "grep -r zzz-nobody contacts || true",
    "grep -rl example.com contacts",
    "rg -j1 zzz-nobody contacts || true",
    "rg -j8 example.com contacts",
    "rg --hidden --no-ignore zzz-nobody contacts || true",
    "cat contacts/*.json",
    "jq -r .email contacts/*.json",
    "cp -r contacts {}/copy",
    "cp -a contacts {}/copy",
    "tar cf {}/all.tar contacts",
    "rsync -a contacts/ {}/copy/",
    "md5sum contacts/*.json",
    "wc -c contacts/*.json",
    "find contacts -type f -exec cat '{{}}' +",
    "find contacts -type f -print0 | xargs -0 -n 50 -P 4 cat",
]


@pytest.fixture
def big(sandbox):
    return sandbox(contacts=N)


@pytest.mark.parametrize("command", WALKS)
def test_a_walk_costs_its_pages(mount, big, work, command):
    m = mount(big)
    with big.counting() as c:
        m.run("bash", "-o", "pipefail", "-c", command.format(work))
    assert c.total == N // 100, f"{command}: {c}"
    with big.counting() as c:
        m.run("bash", "-o", "pipefail", "-c", command.format(work))
    assert c.total == 0, f"{command}, again: {c}"


@pytest.mark.parametrize("command", ["ls -l contacts", "grep -r zzz contacts || true",
                                     "cp -r contacts {}/copy"])
def test_a_walk_through_the_gateway_costs_the_same(mount, sandbox, work, command):
    sb = sandbox(contacts=730)
    m = mount(sb, mode="gateway")
    with sb.counting() as c:
        m.run("bash", "-c", command.format(work))
    assert c.total == 8, c


@pytest.mark.parametrize("contacts", [0, 1, 99, 100, 101, 200, 201])
def test_a_walk_costs_no_page_too_many(mount, sandbox, contacts):
    sb = sandbox(contacts=contacts)
    m = mount(sb)
    with sb.counting() as c:
        assert len(m.ls("contacts")) == contacts + 1
        m.run("cat contacts/*.json > /dev/null; true")
    assert c.total == max(1, -(-contacts // 100)), c


def test_the_walk_asks_for_full_pages(mount, big):
    m = mount(big)
    with big.counting() as c:
        m.ls("contacts")
    assert all("limit=100" in r["query"] for r in c.requests), c
    assert len({r["query"] for r in c.requests}) == len(c.requests)


@pytest.mark.parametrize("name", ["tags", "contact_fields", "courses", "communities", "webhooks"])
def test_a_short_collection_costs_one(mount, sandbox, mode, name):
    sb = sandbox()
    m = mount(sb, mode=mode)
    with sb.counting() as c:
        m.run(f"ls -l {name}; cat {name}/*.json; ls -lL {name}/by-name 2> /dev/null; true")
    assert c.total == 1, c


def test_reading_one_contact(mount, big, mode):
    ids = big.world()["contacts"]
    m = mount(big, mode=mode)
    with big.counting() as c:
        m.run("cat", f"contacts/{ids['last']}.json")
    assert c.total == 1, c
    assert c.requests[0]["path"] == f"/api/contacts/{ids['last']}"
    with big.counting() as c:
        m.run(f"cat contacts/{ids['last']}.json; ls -l contacts/{ids['last']}.json")
    assert c.total == 0, c


def test_reading_one_contact_by_address(mount, big, mode):
    m = mount(big, mode=mode)
    with big.counting() as c:
        m.run("cat", "contacts/jane@example.com.json")
    assert c.total == 1, c
    with big.counting() as c:
        m.run("cat contacts/jane@example.com.json contacts/jane@example.com/fields/first_name")
        m.run("cat contacts/by-email/jane@example.com.json")
    assert c.total == 0, c


def test_reading_one_contact_in_by_email(mount, big):
    m = mount(big)
    with big.counting() as c:
        m.run("cat", "contacts/by-email/jane@example.com.json")
    assert c.total == 1, c


def test_reading_a_field(mount, big, mode):
    id = big.world()["contacts"]["first"]
    m = mount(big, mode=mode)
    with big.counting() as c:
        m.run("cat", f"contacts/{id}/fields/first_name")
    assert c.total == 1, c
    with big.counting() as c:
        m.run(f"ls -l contacts/{id}/fields/; cat contacts/{id}/fields/*; cat contacts/{id}.json")
    assert c.total == 0, c


def test_reading_a_field_by_address(mount, big):
    m = mount(big)
    with big.counting() as c:
        m.run("cat", "contacts/jane@example.com/fields/first_name")
    assert c.total == 1, c


def test_listing_the_fields(mount, big):
    m = mount(big)
    with big.counting() as c:
        m.run(f"ls -l contacts/{big.world()['contacts']['first']}/fields/")
    assert c.total == 1, c


def test_listing_the_tags_of_a_contact(mount, big, mode):
    contact = next(r for r in big.all("/api/contacts") if len(r["tags"]) > 2)
    m = mount(big, mode=mode)
    with big.counting() as c:
        out = m.run(f"ls contacts/{contact['id']}/tags/").stdout.split()
    assert c.total == 1, c
    assert len(out) == len(contact["tags"])


def test_listing_the_tags_of_a_contact_at_length(mount, big):
    """The tags are records of their own: all of them for one request more."""
    contact = next(r for r in big.all("/api/contacts") if len(r["tags"]) > 2)
    m = mount(big)
    with big.counting() as c:
        m.run(f"ls -l contacts/{contact['id']}/tags/; cat contacts/{contact['id']}/tags/*")
    assert c.total <= 2, c


def test_listing_the_students_of_a_course(mount, sandbox, mode):
    sb = sandbox(contacts=900, enrollments=900, courses=3)
    for course in sb.all("/api/school/courses"):
        n = len(sb.all("/api/school/enrollments", course=course["id"]))
        m = mount(sb, mode=mode)
        with sb.counting() as c:
            assert len(m.ls(f"courses/{course['id']}/enrollments")) == n
            m.run(f"cat courses/{course['id']}/enrollments/*.json")
        pages = max(1, -(-n // 100))
        listed = [r for r in c.requests if r["path"] == "/api/school/enrollments"]
        assert len(listed) == pages, c
        # Its enrollments name the course: the list of courses is needed only where there are none.
        assert c.total == pages + (n == 0), c
        m.unmount()


def test_the_contacts_of_a_tag(mount, big):
    """Read through the tag, they are known as contacts, too."""
    tag = big.all("/api/contacts")[0]["tags"] or next(
        r["tags"] for r in big.all("/api/contacts") if r["tags"])
    records = big.all("/api/contacts", tags=tag[0]["id"])
    m = mount(big)
    with big.counting() as c:
        m.run(f"cat tags/{tag[0]['id']}/contacts/*.json")
        for r in records:
            m.read(f"contacts/{r['id']}.json")
    assert c.total <= -(-len(records) // 100) + 1, c


IMPOSSIBLE = [
    ".git", ".hidden", ".hidden.json", "package.json", "Makefile", "index.html", "x", "x.json",
    "4913", "#x#", ".#x", "x~", "1234.json~", ".1234.json.swp", "sedAbC123", "x.json.tmp.1",
    ".goutputstream-X123", "1234.json___jb_tmp___", "1234.json.bak", "0", "00.json", "-1.json",
    "jane@example.com.json.bak", "jane@example.com.json~", ".jane@example.com.json.swp", "@", "a@b",
    "a@b@c.com.json", "jane@.com.json", "autorun.inf", "Thumbs.db", ".DS_Store", "._x",
    ".Trash-1000",
    "AGENTS.md", "node_modules", "%", "%zz.json", "by-name",
]


def test_impossible_names_cost_nothing(mount, big):
    m = mount(big)
    with big.counting() as c:
        for name in IMPOSSIBLE:
            expect_error(errno.ENOENT, os.lstat, m / "contacts" / name)
            if "@" not in name:  # there, whatever holds an '@' could have been listed
                expect_error(errno.ENOENT, os.lstat, m / "contacts/by-email" / name)
    assert c.total == 0, c


@pytest.mark.parametrize("where", [
    "", "contact_fields", "webhooks", "enrollments", "memberships", ".systemefs"])
def test_names_that_tools_try_cost_nothing(mount, sandbox, where):
    m = mount(sandbox())
    with m.sandbox.counting() as c:
        for name in (".git", ".hidden", "package.json.bak", "x~", ".x.swp", "HEAD.json", "#x#",
                     "x y.json", "HEAD"):
            expect_error(errno.ENOENT, os.lstat, m / where / name)
    # HEAD could be a slug: whether it is, one listing tells.
    assert c.total == (1 if where == "contact_fields" else 0), c


def test_a_shell_that_looks_for_git(mount, big):
    """As a prompt, an editor and a file manager do in every directory on the way up."""
    id = big.world()["contacts"]["last"]
    m = mount(big)
    m.read(f"contacts/{id}.json")
    with big.counting() as c:
        for where in ("", "contacts", f"contacts/{id}", f"contacts/{id}/fields",
                      f"contacts/{id}/tags"):
            for name in (".git", ".hg", ".svn", ".envrc", ".editorconfig", ".nvmrc", "package.json",
                         "Cargo.toml", ".git/HEAD"):
                expect_error(errno.ENOENT, os.lstat, m / where / name)
    assert c.total == 0, c


# ---- many at once ----


def at_once(count, run):
    """Runs it in so many threads, which all begin together. Its results."""
    results, barrier = [], threading.Barrier(count)

    def thread(i):
        barrier.wait()
        results.append(run(i))

    threads = [threading.Thread(target=thread, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def test_sixteen_readers_of_one_record_cost_one(mount, big):
    m = mount(big)
    id = big.world()["contacts"]["last"]
    big.latency(100)  # so that they really meet
    with big.counting() as c:
        texts = at_once(16, lambda _: m.read(f"contacts/{id}.json"))
    assert c.total == 1, c
    assert len(texts) == 16 and len(set(texts)) == 1


def test_sixteen_readers_of_one_address_cost_one(mount, big):
    m = mount(big)
    big.latency(100)
    with big.counting() as c:
        texts = at_once(16, lambda _: m.read("contacts/jane@example.com.json"))
    assert c.total == 1, c
    assert len(texts) == 16 and len(set(texts)) == 1


def test_sixteen_listings_cost_one(mount, big):
    m = mount(big)
    big.latency(20)
    with big.counting() as c:
        lists = at_once(16, lambda _: tuple(m.ls("contacts")))
    assert c.total == N // 100, c
    assert len(lists) == 16 and len(set(lists)) == 1


def test_sixteen_programs_cost_as_one(mount, big):
    m = mount(big)
    commands = ["grep -r zzz contacts; true", "ls -l contacts", "cat contacts/*.json",
                "du contacts"]
    with big.counting() as c:
        at_once(16, lambda i: m.run("bash", "-c", commands[i % 4]))
    assert c.total == N // 100, c


def test_somebody_who_waits_does_not_block_the_others(mount, sandbox):
    """What is cached answers while a request hangs."""
    sb = sandbox(contacts=50)
    m = mount(sb)
    m.ls("tags")
    sb.faults({"path": "/api/school/courses", "action": "hang"})
    with subprocess.Popen(["ls", m / "courses"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as waiting:
        sb.wait_for_requests(2)
        with sb_uncounted(m):
            assert m.ls("tags")
            assert m.json("contacts/jane@example.com.json")
            assert len(m.ls("contacts")) == 51
        assert waiting.poll() is None
        sb.clear_faults()
        waiting.kill()


class sb_uncounted:
    """The mount is not settled inside: something hangs on purpose."""

    def __init__(self, m):
        self.m = m

    def __enter__(self):
        self.m.sandbox.mounts.remove(self.m)

    def __exit__(self, *_):
        self.m.sandbox.mounts.append(self.m)


# ---- scans ----


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_a_script_over_known_ids_turns_into_pages(mount, big, order):
    ids = sorted((r["id"] for r in big.all("/api/contacts")), reverse=order == "descending")
    m = mount(big)
    with big.counting() as c:
        for id in ids[:500]:
            assert m.json(f"contacts/{id}.json")["id"] == id
    single = [r for r in c.requests if not r["query"]]
    assert len(single) <= 3, c
    assert c.total <= 3 + 6, c


def test_a_script_that_begins_in_the_middle(mount, big):
    ids = sorted(r["id"] for r in big.all("/api/contacts"))
    m = mount(big)
    with big.counting() as c:
        for id in ids[437:537]:
            m.read(f"contacts/{id}.json")
    assert c.total <= 3 + 2, c


def test_a_scan_over_ids_that_are_not_there(mount, sandbox):
    """for i in $(seq ...): most ids do not exist. A page tells about all that lie between."""
    sb = sandbox(contacts=400)
    ids = sorted(r["id"] for r in sb.all("/api/contacts"))
    known, m = set(ids), mount(sb)
    low, high = ids[100], ids[110]
    with sb.counting() as c:
        for id in range(low, high):
            if id in known:
                assert m.json(f"contacts/{id}.json")["id"] == id
            else:
                expect_error(errno.ENOENT, m.read, f"contacts/{id}.json")
    # One a hole would be high - low.
    assert c.total <= high - low, c


def test_far_apart_ids_stay_single(mount, sandbox):
    """A page for each would cost the same and bring a hundred times as much."""
    sb = sandbox(contacts=4000)
    ids = sorted(r["id"] for r in sb.all("/api/contacts"))[::200]
    m = mount(sb)
    with sb.counting() as c:
        for id in ids:
            m.read(f"contacts/{id}.json")
    assert c.total <= len(ids) + 1, c
    pages = [r for r in c.requests if r["query"]]
    assert len(pages) <= len(ids) // 4, c


def test_ids_in_no_order_stay_single(mount, big):
    ids = [r["id"] for r in big.all("/api/contacts")]
    random.Random(1).shuffle(ids)
    m = mount(big)
    with big.counting() as c:
        for id in ids[:30]:
            m.read(f"contacts/{id}.json")
    assert c.total <= 30, c


# ---- idling ----


def test_an_idle_mount_sends_nothing(mount, sandbox):
    """Not even when everything that it knows runs out."""
    sb = sandbox(contacts=150)
    m = mount(sb, ttl=1)
    m.run("cat contacts/*.json tags/*.json > /dev/null")
    m.settle()
    before = sb.counts()["total"]
    # The sandbox's own clock: an answer that it delays by more than the ttl.
    sb.faults({"path": "/api/nothing", "latency": 1300})
    sb.api("GET", "/api/nothing")
    assert sb.counts()["total"] == before + 1
    assert m.status()["requests-under-way"] == "0"
