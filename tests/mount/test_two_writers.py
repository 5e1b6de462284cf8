"""Two who change one record, or one who reads while another writes. Nobody's change is undone, and
nobody's text is lost."""

import contextlib
import datetime
import errno
import json
import os
import subprocess
import sys

import pytest

from lib import PATIENCE, compact, pretty, wait_until
from office import fields
from test_tree import expect_error

ADA = "contacts/%(ada)s.json"


def with_field(text, **values):
    """The record's text, with other values in its fields."""
    record = json.loads(text)
    for field in record["fields"]:
        field["value"] = values.get(field["slug"], field["value"])
    return pretty(record)


@contextlib.contextmanager
def opened(path):
    """For writing; that closing says once more what fsync has said is no matter here."""
    fd = os.open(path, os.O_RDWR)
    yield fd
    with contextlib.suppress(OSError):
        os.close(fd)


class Writer:
    """One program that opened the record, as an editor does, and saves it later. A process of its
    own: what a save is a change of is what ITS program has opened."""

    PROGRAM = """
import json, sys
path, text = sys.argv[1], None
for line in sys.stdin:
    command = json.loads(line)
    try:
        if command == "read":
            with open(path) as f:
                text = f.read()
        else:
            text = text.replace(*command)
            with open(path, "w") as f:
                f.write(text)
        answer = 0
    except OSError as e:
        answer = e.errno
    print(json.dumps([answer, text]), flush=True)
"""

    def __init__(self, path):
        self.process = subprocess.Popen([sys.executable, "-c", self.PROGRAM, str(path)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.text = None
        self.does("read")

    def does(self, command):
        self.begins(command)
        return self.ended()

    def begins(self, command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def ended(self):
        """The errno, 0: it went well."""
        answer, self.text = json.loads(self.process.stdout.readline())
        return answer

    def save(self, old, new):
        assert old in self.text
        return self.does([old, new])


@pytest.fixture
def writer():
    started = []

    def start(path):
        started.append(Writer(path))
        return started[-1]

    yield start
    for w in started:
        w.process.stdin.close()
        w.process.wait(timeout=PATIENCE)
        w.process.stdout.close()


@pytest.fixture(params=["one mount", "two mounts", "the API"])
def pair(request, office, mount, writer):
    """Two who have opened the same contact: through one mount, through two of them, or the second
    one by other software. Returns the office, the file, and what saves for each."""
    o = office(ttl=60)
    path = o.named(ADA)
    first = writer(o.m / path)
    if request.param == "the API":
        def second(old, new):
            slug, = (slug for slug, value in values(o).items() if value == old)
            o.s.change("patch_contact", id=o.ids["ada"], fields={slug: new})
            # Later on what is known here is too old.
            o.m.ctl("refresh")
            return 0
        return o, path, first.save, second
    other = o.m if request.param == "one mount" else mount(o.s, ttl=60)
    second = writer(other / path)
    if other is o.m:
        return o, path, first.save, second.save

    def much_later(save, m):
        """More than two seconds after it was read: not waited for here."""
        def run(old, new):
            m.ctl("refresh")
            return save(old, new)
        return run
    return o, path, much_later(first.save, o.m), much_later(second.save, other)


def values(o):
    record = o.record(ADA)
    return {f["slug"]: f["value"] for f in record["fields"] if f["slug"] in ("first_name", "city")}


def test_different_members_both_survive(pair):
    o, path, first, second = pair
    assert second("London", "Rome") == 0
    with o.s.counting() as c:
        assert first("Ada", "Adele") == 0
    assert c.sent == [("PATCH", "/api/" + path.removesuffix(".json"),
                       compact({"fields": fields(first_name="Adele")}))]
    assert values(o) == {"first_name": "Adele", "city": "Rome"}
    o.shows(ADA)
    o.untroubled()


def test_the_same_member_is_a_conflict(pair):
    """The second one is told, nothing is sent, and both versions are there."""
    o, path, first, second = pair
    mine = with_field(o.m.read(path), first_name="Augusta")
    assert second("Ada", "Adele") == 0
    with o.s.counting() as c:
        assert first("Ada", "Augusta") == errno.ESTALE
    assert c.writes == 0
    assert values(o)["first_name"] == "Adele"
    o.shows(ADA)
    kept = o.m.kept("drafts")
    assert kept.pop(path) == mine
    reason, = kept.values()
    assert b"first_name" in reason
    assert "first_name" in o.m.why(path)
    assert "ESTALE" in o.m.errors()[-1]


def test_the_same_change_is_none(pair):
    o, path, first, second = pair
    assert second("Ada", "Adele") == 0
    with o.s.counting() as c:
        assert first("Ada", "Adele") == 0
    assert c.writes == 0
    o.untroubled()


def test_a_conflict_is_settled_by_the_draft(pair):
    """Whoever copies the draft onto the record has seen what is there now, and means it."""
    o, path, first, second = pair
    assert second("Ada", "Adele") == 0
    assert first("Ada", "Augusta") == errno.ESTALE
    o.m.read(path)
    with o.s.counting() as c:
        o.run(f"cat {ADA} > /dev/null; cp .systemefs/drafts/{ADA} {ADA}")
    assert [body for _, _, body in c.sent] == [compact({"fields": fields(first_name="Augusta")})]
    assert values(o)["first_name"] == "Augusta"
    assert o.m.kept("drafts") == {}


def test_a_draft_takes_back_nothing_of_others(pair):
    """It was compared with what is there when it is copied back, so whatever else others had
    changed since it was typed was undone, without a word."""
    o, path, first, second = pair
    assert second("Ada", "Adele") == 0
    assert first("Ada", "Augusta") == errno.ESTALE
    o.m.remount()
    o.s.change("patch_contact", id=o.ids["ada"], fields={"city": "Rome"})
    with o.s.counting() as c:
        o.run(f"cat {ADA} > /dev/null; cp .systemefs/drafts/{ADA} {ADA}")
    assert [body for _, _, body in c.sent] == [compact({"fields": fields(first_name="Augusta")})]
    assert values(o) == {"first_name": "Augusta", "city": "Rome"}
    assert o.m.kept("drafts") == {}


def test_a_second_save_without_reading_again(pair):
    """What the editor holds is not the server's record: somebody else's change is not in it. Saving
    once more must not take that back."""
    o, path, first, second = pair
    assert second("London", "Rome") == 0
    assert first("Ada", "Adele") == 0
    with o.s.counting() as c:
        assert first("Adele", "Augusta") == 0
    assert [body for _, _, body in c.sent] == [compact({"fields": fields(first_name="Augusta")})]
    assert values(o) == {"first_name": "Augusta", "city": "Rome"}
    o.untroubled()


def test_a_save_between_two_saves(pair):
    o, path, first, second = pair
    assert first("Ada", "Adele") == 0
    assert second("London", "Rome") == 0
    assert first("Adele", "Augusta") == 0
    assert values(o) == {"first_name": "Augusta", "city": "Rome"}
    assert second("Rome", "Paris") == 0
    assert values(o) == {"first_name": "Augusta", "city": "Paris"}
    o.untroubled()


def test_at_the_same_time(office, writer):
    """Both are under way: one after the other, each with what it changed."""
    o = office()
    path = o.named(ADA)
    first, second = writer(o.m / path), writer(o.m / path)
    o.s.latency(50, 100)
    with o.s.counting() as c:
        first.begins(["Ada", "Adele"])
        second.begins(["London", "Rome"])
        assert (first.ended(), second.ended()) == (0, 0)
    o.s.latency(0)
    assert sorted(body for _, _, body in c.sent) == [
        compact({"fields": fields(city="Rome")}), compact({"fields": fields(first_name="Adele")})]
    assert values(o) == {"first_name": "Adele", "city": "Rome"}
    o.shows(ADA)
    o.untroubled()


def test_both_change_the_same_member_at_the_same_time(office, writer):
    o = office()
    path = o.named(ADA)
    first, second = writer(o.m / path), writer(o.m / path)
    o.s.latency(50)
    first.begins(["Ada", "Adele"])
    second.begins(["Ada", "Augusta"])
    verdicts = [first.ended(), second.ended()]
    o.s.latency(0)
    assert sorted(verdicts) == [0, errno.ESTALE]
    winner = "Adele" if verdicts[0] == 0 else "Augusta"
    assert values(o)["first_name"] == winner
    # The other one had a number when both were under way.
    texts = [text for name, text in o.m.kept("drafts").items() if not name.endswith(".reason")]
    loser = "Augusta" if winner == "Adele" else "Adele"
    assert len(texts) == 1 and f'"{loser}"'.encode() in texts[0]


# ---- changes that are somebody else's alone ----

def test_somebody_elses_change_is_kept_after_two_seconds(office):
    """Not told by anybody: what is known is older than two seconds, and read again."""
    o = office(ttl=3600)
    path = o.m / o.named(ADA)
    text = path.read_bytes()
    o.s.change("patch_contact", id=o.ids["ada"], fields={"city": "Rome"})
    fetched = datetime.datetime.fromisoformat(os.getxattr(path, "user.systemefs.fetched").decode())
    wait_until(lambda: datetime.datetime.now(datetime.timezone.utc) - fetched
               > datetime.timedelta(seconds=3), "two seconds, and a rounded one")
    with o.s.counting() as c:
        path.write_bytes(with_field(text, first_name="Adele"))
    assert [r["method"] for r in c.requests] == ["GET", "PATCH"]
    assert values(o) == {"first_name": "Adele", "city": "Rome"}
    o.shows(ADA)


def test_a_tag_put_on_by_somebody_else_stays(office):
    """The file holds the set as it was; only what was changed in it is changed."""
    o = office()
    path = o.m / o.named(ADA)
    record = json.loads(path.read_text())
    o.s.change("tag_contact", id=o.ids["ada"], tag=o.ids["newer"])
    o.m.ctl("refresh")
    record["tags"].append({"name": "new"})
    with o.s.counting() as c:
        path.write_bytes(pretty(record))
    assert [(m, body) for m, _, body in c.sent] == [("POST", compact({"tagId": o.ids["new"]}))]
    assert {t["name"] for t in o.record(ADA)["tags"]} == {"old", "new", "newer"}


def test_a_record_deleted_meanwhile(pair):
    """It is not made again: the text is a draft, and the person is told."""
    o, path, first, _ = pair
    mine = with_field(o.m.read(path), first_name="Augusta")
    o.s.change("delete_contact", id=o.ids["ada"])
    o.m.ctl("refresh")
    with o.s.counting() as c:
        assert first("Ada", "Augusta") in (errno.ENOENT, errno.EPERM)
    assert c.writes == 0
    kept = o.m.kept("drafts")
    assert kept.pop(path) == mine
    reason, = kept.values()
    assert b"no such contact" in reason


def test_a_record_deleted_while_it_is_open(office):
    o = office()
    path = o.named(ADA)
    text = o.m.read(path)
    with opened(o.m / path) as fd:
        os.pwrite(fd, with_field(text, first_name="Bea"), 0)
        o.s.change("delete_contact", id=o.ids["ada"])
        o.m.ctl("refresh")
        with o.s.counting() as c:
            expect_error(errno.ENOENT, os.fsync, fd)
    assert c.writes == 0
    kept = o.m.kept("drafts")
    assert kept.pop(path) == with_field(text, first_name="Bea")
    assert list(kept) == [path + ".reason"]


def test_deleted_here_while_it_is_open(office):
    """A reader reads to the end; a writer is told."""
    o = office()
    path = o.named(ADA)
    text = o.m.read(path)
    with open(o.m / path, "rb", buffering=0) as reader, opened(o.m / path) as fd:
        half = reader.read(100)
        os.pwrite(fd, with_field(text, first_name="Bea"), 0)
        os.unlink(o.m / path)
        assert half + reader.read() == text
        expect_error(errno.ENOENT, os.fsync, fd)
    assert o.m.kept("drafts")[path] == with_field(text, first_name="Bea")
    assert o.m.kept("trash") == {path: text}


def test_removed_while_it_is_saved(office):
    """One after the other, in the order in which they were begun: the trash has what was saved."""
    o = office()
    o.run("cat " + ADA)
    o.s.faults({"method": "PATCH", "latency": 400})
    with o.s.counting() as c:
        o.run("echo Rome > contacts/%(ada)s/fields/city & "
              "until grep -q 'saves-under-way: 1' .systemefs/status; do :; done; "
              "rm contacts/%(ada)s.json; wait")
    assert [m for m, _, _ in c.sent] == ["PATCH", "DELETE"]
    assert '"Rome"' in o.m.kept("trash")[o.named(ADA)].decode()
    o.untroubled()


# ---- reading while somebody writes ----

def test_a_reader_reads_the_old_text_to_its_end(office):
    o = office()
    path = o.m / o.named(ADA)
    text = path.read_bytes()
    with open(path, "rb", buffering=0) as reader:
        start = reader.read(10)
        o.run("echo a-much-longer-name-than-it-was-before > contacts/%(ada)s/fields/first_name")
        assert os.fstat(reader.fileno()).st_size in (len(text), len(path.read_bytes()))
        assert start + reader.read() == text
        assert reader.read() == b""
    o.shows(ADA)


def test_a_read_after_a_save_is_never_old(office):
    """Under another name than the one that was saved: its pages and its size are new at once."""
    o = office()
    path, field = o.m / o.named(ADA), o.m / o.named("contacts/%(ada)s/fields/city")
    mine = bytearray(1 << 16)
    for i in range(150):
        value = "x" * (i % 7) + str(i)
        assert os.stat(path).st_size == len(path.read_bytes())
        field.write_text(value + "\n")
        size = os.stat(path).st_size
        with open(path, "rb", buffering=0) as f:
            read = f.readinto(mine)
        assert f'"{value}"'.encode() in mine[:read] and read == size
        assert field.read_text() == value + "\n"


def test_who_writes_reads_what_was_written(office):
    o = office()
    path = o.m / o.named(ADA)
    text = path.read_bytes()
    with open(path, "r+b", buffering=0) as f, open(path, "rb", buffering=0) as reader:
        f.write(b"{ half a docu")
        f.seek(0)
        assert f.read(13) == b"{ half a docu"
        # Half-done work is nobody else's business.
        assert reader.read() == text
        assert path.read_bytes() == text
        with o.s.counting() as c:
            f.seek(0)
            f.write(text)
            f.truncate()
            os.fsync(f.fileno())
    assert c.writes == 0
    o.untroubled()


def test_a_listing_under_way(office):
    """Records made, changed and removed while a directory is read: nothing else is skipped or told
    twice, and the listing ends."""
    o = office(account={"contacts": 450})
    o.s.latency(30)
    names = []
    with os.scandir(o.m / "contacts") as entries:
        names.append(next(entries).name)
        o.run("rm contacts/%(grace)s.json; mkdir contacts/jane@example.org;"
              """ echo '{"locale":"fr"}' > contacts/%(ada)s.json""")
        names += [entry.name for entry in entries]
    o.s.latency(0)
    assert len(names) == len(set(names))
    there = {f"{c['id']}.json" for c in o.s.all("/api/contacts")}
    made = {f"{o.s.world()['contacts']['last']}.json"}
    gone = {o.named("%(grace)s.json")}
    assert there - made <= set(names) <= there | gone | {"by-email"}
    assert set(o.m.ls("contacts")) == there | {"by-email"}


@contextlib.contextmanager
def listing_that_hangs(o):
    """Somebody reads contacts/, and its second page does not come."""
    o.run("cat contacts/%(ada)s.json; ls tags tags/by-name")
    o.s.faults({"method": "GET", "path": "/api/contacts", "query": "*startingAfter*",
                "action": "hang"})
    before = o.s.counts()["total"]
    reader = subprocess.Popen(["ls", "-f", str(o.m / "contacts")], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
    o.s.wait_for_requests(before + 2)
    yield reader
    o.s.clear_faults()
    listed = reader.communicate(timeout=PATIENCE)[0].decode().split()
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("command", [
    "mv tags/by-name/old.json tags/by-name/x.json", "echo x > contacts/%(ada)s/fields/city",
    """echo '{"locale":"fr"}' > contacts/%(ada)s.json""", "rm contacts/%(ada)s/tags/%(old)s.json"])
def test_while_a_listing_hangs(office, command):
    """What is known is changed at once, whoever waits for pages."""
    o = office(account={"contacts": 450})
    with listing_that_hangs(o) as reader:
        o.run(command)
        assert reader.poll() is None


def test_removing_in_a_directory_that_hangs(office):
    """The kernel removes no name from a directory while somebody reads that: it waits for the
    reader, who waits no longer than `timeout`."""
    o = office(account={"contacts": 450}, timeout=2)
    with listing_that_hangs(o):
        o.run("rm contacts/%(ada)s.json")
    expect_error(errno.ENOENT, o.m.read, o.named(ADA))
    o.s.clear_faults()
    assert o.named("%(ada)s.json") not in o.m.ls("contacts")
