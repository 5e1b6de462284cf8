"""A bound on the text that is kept (cache_size): what it costs to read more than that."""

import math
import re

import pytest

import lib

N = 3000
PAGES = math.ceil(N / 100)
EVERY = '"email":'


@pytest.fixture
def world(sandbox):
    return sandbox(contacts=N, quota="off")


@pytest.fixture
def small(mount, world):
    return mount(world, ttl=3600, cache_size="64K")


def last(sb):
    return sb.world()["contacts"]["last"]


def within(m):
    """Within the bound, or no more than the last 400 texts (some 800 bytes each)."""
    status = m.status()
    assert int(status["cache-size"]) == 64 << 10
    assert int(status["bytes-cached"]) < 400 * 2000
    assert int(status["records-cached"]) >= N
    assert int(status["texts-evicted"]) >= N - 400
    return status


def test_ls_costs_the_pages_once(small, world):
    with world.counting() as c:
        names = [name for name in small.ls("contacts") if name.endswith(".json")]
    assert len(names) == N
    assert PAGES <= c.total <= PAGES * 1.05 + 1, c
    within(small)
    with world.counting() as c:
        small.run("ls", "-l", "contacts")
        small.run("find", "contacts", "-maxdepth", "1", "-size", "+1k", "-newermt", "2001-01-01")
    assert c.total == 0, c


def test_search_costs_each_page_twice(small, world):
    expected = {contact["email"] for contact in world.all("/api/contacts")}
    for turn in range(2):
        with world.counting() as c:
            found = small.run("grep", "-rh", "--include=*.json", "--exclude-dir=by-email",
                              EVERY, "contacts").stdout
        assert {re.search(r'"email": "(.*?)"', line)[1] for line in found.splitlines()} == expected
        # The first time with the listing itself.
        assert c.total <= (2 if turn == 0 else 1) * PAGES * 1.05 + 10, c
        within(small)


def test_search_from_the_oldest_up(small, world):
    """As the shell sorts the names, and as grep -r goes through a large directory."""
    ids = sorted(contact["id"] for contact in world.all("/api/contacts"))
    small.ls("contacts")
    with world.counting() as c:
        for id in ids:
            assert f'"id": {id},' in small.text(f"contacts/{id}.json")
    assert c.total <= PAGES + 10, c
    within(small)


def test_a_change_is_seen_when_the_text_comes_back(small, world):
    id = last(world)
    small.ls("contacts")
    before = small.stat(f"contacts/{id}.json")
    world.change("patch_contact", id=id, locale="sq", fields={"city": "x" * 3000})
    with world.counting() as c:
        assert small.stat(f"contacts/{id}.json").st_size == before.st_size
    assert c.total == 0, c
    expected = lib.pretty(world.get(f"/api/contacts/{id}"))
    assert small.run("cat", f"contacts/{id}.json", text=False).stdout == expected
    after = small.stat(f"contacts/{id}.json")
    assert after.st_size == len(expected)
    assert after.st_mtime > before.st_mtime
    assert after.st_ino == before.st_ino


def test_save_and_removal(small, world):
    id = last(world)
    small.ls("contacts")
    small.run(f"""echo '{{"locale":"fr"}}' > contacts/{id}.json""")
    assert world.get(f"/api/contacts/{id}")["locale"] == "fr"
    assert small.json(f"contacts/{id}.json")["locale"] == "fr"
    gone = world.all("/api/contacts")[500]
    small.run("rm", f"contacts/{gone['id']}.json")
    kept = small.json(f".systemefs/trash/contacts/{gone['id']}.json")
    assert kept["email"] == gone["email"]
    assert small.errors() in ("", [])


def test_names(small, world):
    expected = {contact["email"] + ".json" for contact in world.all("/api/contacts")}
    with world.counting() as c:
        names = small.ls("contacts/by-email")
    assert set(names) == expected
    assert c.total <= 2 * PAGES * 1.05 + 10, c
