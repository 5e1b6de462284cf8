"""Saving with the editors and tools that people have (editors.py), first on a plain disk: the proof
that they are driven right. Then on a mount, where whatever they do on their way must come to one
minimal request."""

import ctypes
import fnmatch
import itertools
import json
import os
import struct

import pytest

import lib
from editors import PROGRAMS, Desk, Refused, Vim, replaced

# Before, after one save, after another: shorter, then longer; and for who can only overwrite.
TEXTS = ("Ada-before-the-change", "Ada-changed", "Ada-changed-once-more")
TEXTS_SAME_LENGTH = ("Ada-initial", "Ada-changed", "Ada-another")
# With its quote the document is no JSON any more.
BROKEN = 'Ada"changed'

every_program = pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)


def texts(program):
    return TEXTS_SAME_LENGTH if program.same_length else TEXTS


def named(patterns, path):
    return [pattern.format(os.path.basename(path)) for pattern in patterns]


@pytest.fixture
def desk(work):
    with Desk(f"{work}/desk") as d:
        yield d


# ---- on a disk ----

libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    """The names that appear in a directory from now on (inotify(7))."""

    CREATE, MOVED_TO = 0x100, 0x80

    def __init__(self, directory):
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self.fd >= 0
        assert libc.inotify_add_watch(self.fd, os.fsencode(directory),
                                      self.CREATE | self.MOVED_TO) >= 0

    def names(self):
        try:
            data = os.read(self.fd, 1 << 20)
        except BlockingIOError:
            data = b""
        os.close(self.fd)
        found = set()
        while data:
            length, = struct.unpack_from("12xI", data)
            found.add(data[16:16 + length].rstrip(b"\0").decode())
            data = data[16 + length:]
        return found


@every_program
def test_on_a_plain_directory(desk, work, program):
    """That it saves, does so the way it is here for, and leaves what the table says."""
    place = os.path.join(work, "plain")
    os.mkdir(place)
    path = os.path.join(place, "5.json")
    first = texts(program)[0]
    field = {"slug": "first_name", "value": first}
    with open(path, "wb") as f:
        f.write(lib.pretty({"id": 5, "fields": [field], "tags": ["é"]}))
    watch = Watch(place)
    for old, new in itertools.pairwise(texts(program)):
        with open(path, encoding="utf-8") as f:
            before = f.read()
        program.save(desk, path, old, new)
        with open(path, encoding="utf-8") as f:
            assert f.read() == before.replace(old, new)
        kept = named(program.keeps, path)
        assert sorted(os.listdir(place)) == sorted(["5.json", *kept, *named(program.others, path)])
        for name in kept:
            with open(os.path.join(place, name), encoding="utf-8") as f:
                assert f.read() == before
    seen = watch.names()
    for pattern in named(program.passes, path):
        assert fnmatch.filter(seen, pattern), (pattern, seen)
    # In place, or another file under this name.
    assert ("5.json" in seen) == ("{}" in program.passes), seen


# ---- on a mount ----


class Contact:
    """A contact of the sandbox, and where it is in the mount."""

    def __init__(self, sandbox, mount, first_name=TEXTS[0]):
        self.sandbox = sandbox
        self.id = sandbox.all("/api/contacts")[1]["id"]
        sandbox.change("patch_contact", id=self.id, fields={"first_name": first_name})
        self.url = f"/api/contacts/{self.id}"
        self.email = self.record()["email"]
        self.mount = mount(sandbox)
        self.name = f"contacts/{self.id}.json"
        self.field = f"contacts/{self.id}/fields/first_name"
        self.mount.ls("contacts")
        self.known_errors = self.mount.errors()

    def record(self):
        """As the server has it, whatever the mount believes."""
        return self.sandbox.get(self.url)

    def drafts(self):
        """Names and texts of all that was saved and not sent."""
        top = self.mount / ".systemefs/drafts"
        paths = [os.path.join(where, name) for where, _, names in os.walk(top) for name in names]
        return {os.path.relpath(path, top): self.mount.text(path) for path in paths}

    def new_errors(self):
        return self.mount.errors()[len(self.known_errors):]

    def untroubled(self):
        assert self.drafts() == {}
        assert self.new_errors() == []

    def is_as_the_server_has_it(self, name=None):
        expected = lib.pretty(self.record())
        assert self.mount.read(name or self.name) == expected
        assert os.stat(self.mount / (name or self.name)).st_size == len(expected)


@pytest.fixture
def contact(sandbox, mount):
    return lambda program=None: Contact(sandbox(contacts=5), mount,
                                        texts(program)[0] if program else TEXTS[0])


def writes(counted):
    return [(r["method"], r["path"], r["contentType"], r["body"])
            for r in counted.requests if r["method"] != "GET"]


def patch(contact, value):
    body = {"fields": [{"slug": "first_name", "value": value}]}
    return ("PATCH", contact.url, "application/merge-patch+json",
            json.dumps(body, separators=(",", ":")))


def with_first_name(record, value):
    fields = [{**f, "value": value} if f["slug"] == "first_name" else f for f in record["fields"]]
    return {**record, "fields": fields}


@pytest.mark.parametrize("program,where", [
    pytest.param(p, where, id=f"{p.name}-{where}")
    for p in PROGRAMS for where in ("name", "field") if where == "name" or not p.json])
def test_a_save_is_one_minimal_request(contact, desk, program, where):
    """In the record's own file, and in the file of the one field."""
    c = contact(program)
    path = c.mount / getattr(c, where)
    before = c.record()
    names = set(os.listdir(path.parent))
    for old, new in itertools.pairwise(texts(program)):
        text = path.read_text(encoding="utf-8")
        with c.sandbox.counting() as counted:
            program.save(desk, str(path), old, new)
        assert writes(counted) == [patch(c, new)]
        assert counted.total <= 2, counted
        assert c.record() == with_first_name(before, new)
        c.is_as_the_server_has_it()
        assert c.mount.text(c.field) == new + "\n"
        assert os.stat(c.mount / c.field).st_size == len(new) + 1
        kept = named(program.keeps, path)
        listed = c.mount.run("ls", "-A", path.parent).stdout.splitlines()
        assert sorted(listed) == sorted([*names, *kept, *named(program.others, path)])
        for name in kept:
            assert (path.parent / name).read_text(encoding="utf-8") == text
        c.untroubled()


@every_program
def test_a_save_without_a_change_is_none(contact, desk, program):
    c = contact(program)
    old = texts(program)[0]
    with c.sandbox.counting() as counted:
        program.save(desk, str(c.mount / c.name), old, old)
    assert counted.writes == 0, counted
    assert counted.total <= 1, counted
    c.is_as_the_server_has_it()
    c.untroubled()


@every_program
def test_through_an_email(contact, desk, program):
    """There the name is a symlink. Who writes through it saves the record; who puts another file in
    its place does so too, or fails with his text kept. Nobody creates a person, or deletes one."""
    c = contact(program)
    path = c.mount / f"contacts/{c.email}.json"
    old, new, _ = texts(program)
    names = set(c.mount.ls("contacts"))
    refused = None
    with c.sandbox.counting() as counted:
        try:
            program.save(desk, str(path), old, new)
        except OSError as e:
            refused = e
    if refused is None:
        assert writes(counted) == [patch(c, new)]
        c.untroubled()
    elif program.name.startswith("rsync"):
        # It removes the symlink before it sends a byte, and hears why not. Its source has the text.
        assert counted.writes == 0, counted
    else:
        assert "{}" in program.passes, refused
        assert counted.writes == 0, counted
        scratch = set(c.mount.ls("contacts")) - names
        kept = [*c.drafts().values(), *(c.mount.text(f"contacts/{name}") for name in scratch)]
        assert any(new in text for text in kept), (refused, kept)
    c.is_as_the_server_has_it()
    c.is_as_the_server_has_it(f"contacts/{c.email}.json")
    assert c.record()["email"] == c.email


@pytest.mark.parametrize("program", [p for p in PROGRAMS if not p.json], ids=lambda p: p.name)
def test_broken_text_is_refused_and_kept(contact, desk, program):
    """What the program does then must not undo it. vim removes the file that it could not write,
    and renames its backup to it: which must neither delete the contact nor discard the draft.
    emacs does not mind an fsync that fails with EINVAL: the close after it must fail too."""
    c = contact(program)
    before = c.record()
    path = str(c.mount / c.name)
    old = texts(program)[0]
    broken = replaced(path, old, BROKEN)
    with c.sandbox.counting() as counted:
        with pytest.raises(OSError):
            program.save(desk, path, old, BROKEN)
    assert counted.writes == 0, counted
    assert c.record() == before
    drafts = c.drafts()
    assert drafts.pop(f"contacts/{c.id}.json") == broken
    assert list(drafts) == [f"contacts/{c.id}.json.reason"]
    assert any("EINVAL" in line for line in c.new_errors())
    c.is_as_the_server_has_it()


def test_two_saves_in_one_session(contact, desk):
    """vim looks at the file after a save and before the next: were its time or size not those that
    it saw, it would ask whether to overwrite somebody's work."""
    c = contact()
    with c.sandbox.counting() as counted:
        with Vim(desk, str(c.mount / c.name)) as vim:
            for old, new in itertools.pairwise(TEXTS):
                vim.change(old, new)
                vim.write()
            vim.quit()
    assert writes(counted) == [patch(c, new) for new in TEXTS[1:]]
    assert counted.total <= 4, counted
    c.is_as_the_server_has_it()
    c.untroubled()


@pytest.mark.parametrize("setting", ["backupcopy=auto", "backupcopy=yes", "nowritebackup"])
def test_broken_text_mended_in_the_same_session(contact, desk, setting):
    c = contact()
    path = str(c.mount / c.name)
    broken = replaced(path, TEXTS[0], BROKEN)
    with Vim(desk, path, f"set {setting}") as vim:
        with c.sandbox.counting() as counted:
            vim.change(TEXTS[0], BROKEN)
            with pytest.raises(Refused):
                vim.write()
            assert c.drafts()[f"contacts/{c.id}.json"] == broken
        assert counted.writes == 0, counted
        with c.sandbox.counting() as counted:
            vim.change(BROKEN, TEXTS[1])
            vim.write()
            vim.quit()
        assert writes(counted) == [patch(c, TEXTS[1])]
    assert c.drafts() == {}
    c.is_as_the_server_has_it()


# ---- mv from another filesystem, which is no rename ----


def test_mv_onto_a_record_deletes_it_and_creates_nothing(contact, desk):
    """GNU mv removes the target first, then writes a new file: of a deleted contact nothing may
    make a new person. Both texts are kept."""
    c = contact()
    path = c.mount / c.name
    before = path.read_text(encoding="utf-8")
    source = desk.edited(str(path), TEXTS[0], TEXTS[1])
    with open(source, encoding="utf-8") as f:
        wanted = f.read()
    with c.sandbox.counting() as counted:
        done = c.mount.run("mv", source, path, check=False)
    assert done.returncode != 0
    assert [r[:2] for r in writes(counted)] == [("DELETE", c.url)]
    assert c.sandbox.api("GET", c.url).status == 404
    with open(source, encoding="utf-8") as f:
        assert f.read() == wanted
    assert c.drafts()[f"contacts/{c.id}.json"] == wanted
    assert c.drafts()[f"contacts/{c.id}.json.reason"]
    assert c.mount.text(f".systemefs/trash/contacts/{c.id}.json") == before
    assert f"{c.id}.json" not in c.mount.ls("contacts")


def test_mv_of_a_new_document_creates_once(contact, desk):
    c = contact()
    names = c.mount.ls("contacts")
    new = {"email": "newcomer@example.com", "fields": [{"slug": "first_name", "value": "Nova"}]}
    source = desk.file("newcomer.json", json.dumps(new))
    with c.sandbox.counting() as counted:
        c.mount.run("mv", source, "contacts/newcomer.json")
    (method, url, content_type, body), = writes(counted)
    assert (method, url, content_type) == ("POST", "/api/contacts", "application/json")
    assert json.loads(body) == new
    assert counted.total <= 2, counted
    assert not os.path.exists(source)
    created, = c.sandbox.get("/api/contacts?email=newcomer@example.com")["items"]
    assert os.readlink(c.mount / "contacts/newcomer.json") == f"{created['id']}.json"
    assert c.mount.read("contacts/newcomer.json") == lib.pretty(created)
    assert sorted(c.mount.ls("contacts")) == sorted([*names, f"{created['id']}.json"])
    c.untroubled()
