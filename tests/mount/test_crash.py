"""The program is killed, or its disk fails, or the API is away: what was saved is at the server or
in a draft, and nothing was sent twice.

The points at which it kills itself are those of base/fault, which only a build with
-Dfault_points=true has.
"""

import contextlib
import errno
import os
import shutil
import signal
import subprocess

import pytest

from lib import PATIENCE, pretty, program, tool_env, wait_until
from test_tree import expect_error

ADA = "contacts/%(ada)s.json"
INTERRUPTED = b"interrupted; it may have been sent\n"
POINTS = ["save-begun", "draft-written", "request-queued", "answer-there", "record-stored"]


@pytest.fixture(scope="module")
def fault_points():
    with open(program("SYSTEMEFS"), "rb") as f:
        there = b"SYSTEMEFS_FAULT_POINT" in f.read()
    assert there, "SYSTEMEFS has no fault points: build it with meson setup -Dfault_points=true"


class Change:
    """One kind of save: a file, what is copied onto it, and how the server has it afterwards."""

    def __init__(self, o, path, text):
        self.o, self.path, self.text = o, o.named(path), text

    def begin(self, source=None):
        """cp onto it, of its text or of another file."""
        if source is None:
            source = os.path.join(self.o.ids["desk"], "mine")
            with open(source, "wb") as f:
                f.write(self.text)
        return subprocess.Popen(["cp", source, self.path], cwd=self.o.m.path, env=tool_env(),
                                stderr=subprocess.PIPE, text=True)

    def copy(self, source=None):
        """What cp says of it: its exit code and its words."""
        p = self.begin(source)
        words = p.communicate(timeout=PATIENCE)[1]
        return p.returncode, words

    def posts(self):
        """Those that it sent, each as often as it was."""
        return [(r["path"], r["body"]) for r in self.o.s.requests() if r["method"] == "POST"]

    def is_kept(self):
        """As a draft that says what is not known."""
        assert self.o.m.kept("drafts") == {self.path: self.text, self.path + ".reason": INTERRUPTED}

    def again(self):
        """The draft is copied onto the record: what was wanted is so, once."""
        code, words = self.copy(f".systemefs/drafts/{self.path}")
        assert self.is_done(), words
        if code:
            # It had been made after all.
            assert "File exists" in words
            assert self.o.m.kept("drafts")[self.path] == self.text
        else:
            assert self.o.m.kept("drafts") == {}


class Patch(Change):
    """Of a contact: one value, and nothing else."""

    def __init__(self, o):
        record = o.record(ADA)
        record["fields"][0]["value"] = "Adele"
        super().__init__(o, ADA, pretty(record))

    def is_done(self):
        return self.o.record(ADA)["fields"][0]["value"] == "Adele"


class Post(Change):
    """A new contact."""

    def __init__(self, o):
        super().__init__(o, "contacts/jane.json", pretty({"email": "jane@example.org"}))

    def is_done(self):
        found = [c for c in self.o.s.all("/api/contacts") if c["email"] == "jane@example.org"]
        assert len(found) < 2
        return bool(found)


class Tags(Change):
    """Two tags on, one off."""

    def __init__(self, o):
        record = o.record(ADA)
        record["tags"] = [{"id": o.ids["new"]}, {"id": o.ids["newer"]}]
        super().__init__(o, ADA, pretty(record))

    def is_done(self):
        return {t["name"] for t in self.o.record(ADA)["tags"]} == {"new", "newer"}


class NewWithTags(Change):
    """A new contact, and a request for each of its tags."""

    def __init__(self, o):
        super().__init__(o, "contacts/jane.json",
                         pretty({"email": "jane@example.org", "tags": ["new", "newer"]}))

    def is_done(self):
        found = [c for c in self.o.s.all("/api/contacts") if c["email"] == "jane@example.org"]
        assert len(found) < 2
        return bool(found)


KINDS = [Patch, Post, Tags, NewWithTags]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)


@every_kind
@pytest.mark.parametrize("point", POINTS)
def test_killed_at(office, fault_points, point, kind):
    o = office(env={"SYSTEMEFS_FAULT_POINT": point})
    change = kind(o)
    o.run("ls tags; cat contacts/%(ada)s.json")
    code, words = change.copy()
    o.m.crashed()
    assert code != 0 and words
    posts = change.posts()
    assert len(posts) == len(set(posts))
    if point in ("save-begun", "draft-written"):
        assert not [r for r in o.s.requests() if r["method"] not in ("GET",)]

    del o.m.env["SYSTEMEFS_FAULT_POINT"]
    o.m.start()
    with o.s.counting() as c:
        kept = o.m.kept("drafts")
    assert c.total == 0
    if point == "save-begun":
        assert kept == {}  # cp was told that it failed
        return
    change.is_kept()
    if point == "record-stored" and kind in (Patch, Post):
        assert change.is_done()
    change.again()


@contextlib.contextmanager
def hanging(change, method="PATCH"):
    """It is under way, and the API does not answer."""
    s = change.o.s
    s.faults({"method": method, "action": "hang"})
    p = change.begin()
    wait_until(lambda: s.counts()["concurrent"] == 1, "a request that hangs")
    yield p
    s.clear_faults()
    p.communicate(timeout=PATIENCE)


@pytest.mark.parametrize("background", [False, True], ids=["-f", "daemon"])
@pytest.mark.parametrize("method, kind",
                         [("PATCH", Patch), ("POST", Post), ("POST", Tags), ("DELETE", Tags)],
                         ids=lambda v: getattr(v, "__name__", v))
def test_kill_9_while_the_api_is_silent(office, method, kind, background):
    o = office(background=background)
    change = kind(o)
    o.run("ls tags; cat contacts/%(ada)s.json")
    with hanging(change, method) as p:
        o.m.crash()
        assert p.wait(timeout=PATIENCE) != 0
    posts = change.posts()
    assert len(posts) == len(set(posts))
    o.m.start()
    change.is_kept()
    assert change.posts() == posts
    change.again()


@pytest.mark.parametrize("kind", [Post, Tags, NewWithTags], ids=lambda k: k.__name__)
def test_a_lost_answer_is_not_sent_again(office, kind):
    """The call fails, and says that it may have happened; then the program is killed."""
    o = office()
    change = kind(o)
    o.run("ls tags; cat contacts/%(ada)s.json")
    o.s.faults({"method": "POST", "action": "lost", "times": 1})
    code, words = change.copy()
    assert code != 0 and "Remote I/O error" in words
    assert len(change.posts()) == 1
    kept = o.m.kept("drafts")
    assert kept[change.path] == change.text
    assert b"may have" in kept[change.path + ".reason"]
    o.m.crash()
    o.m.start()
    assert o.m.kept("drafts") == kept
    assert len(change.posts()) == 1
    change.again()


def test_a_lost_answer_of_what_may_be_repeated(office):
    o = office()
    change = Patch(o)
    o.s.faults({"method": "PATCH", "action": "lost", "times": 1})
    with o.s.counting() as c:
        assert change.copy() == (0, "")
    assert [m for m, _, _ in c.sent] == ["PATCH", "PATCH"]
    assert change.is_done()
    o.untroubled()
    o.s.faults({"method": "DELETE", "action": "lost", "times": 1})
    with o.s.counting() as c:
        o.run("rm contacts/%(ada)s.json")
    assert [r["status"] for r in c.requests] == [0, 404]
    o.untroubled()


@pytest.mark.parametrize("point", ["request-queued", "answer-there"])
def test_killed_while_removing(office, fault_points, point):
    """The content is at the server or in the trash."""
    o = office(env={"SYSTEMEFS_FAULT_POINT": point})
    path = o.named(ADA)
    text = o.m.read(path)
    assert o.run("rm " + ADA, check=False).returncode != 0
    o.m.crashed()
    del o.m.env["SYSTEMEFS_FAULT_POINT"]
    o.m.start()
    assert o.m.kept("trash") == {path: text}
    if point == "answer-there":
        expect_error(errno.ENOENT, o.m.read, path)


@pytest.mark.parametrize("after", [1, 3, 8])
def test_kill_9_loses_nothing_that_close_has_accepted(office, after):
    """One change after the other; it ends somewhere between two of them, or in one."""
    o = office()
    o.run("cat contacts/%(ada)s.json")
    script = "i=0; while echo value-$((++i)) > contacts/%(ada)s/fields/city 2>/dev/null &&" \
             " [ $(cat contacts/%(ada)s/fields/city) = value-$i ]; do echo $i; done"
    p = subprocess.Popen(["bash", "-c", o.named(script)], cwd=o.m.path, stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, text=True)
    for _ in range(after):
        accepted = p.stdout.readline()
    o.m.crash()
    accepted = int((p.communicate(timeout=PATIENCE)[0].split() or [accepted])[-1])
    o.m.start()
    city = next(f["value"] for f in o.record(ADA)["fields"] if f["slug"] == "city")
    assert int(city.removeprefix("value-")) in (accepted, accepted + 1)
    sent = [r["body"] for r in o.s.requests() if r["method"] == "PATCH"]
    assert len(sent) == len(set(sent))
    for name, text in o.m.kept("drafts").items():
        assert name.endswith(".reason") or text == f"value-{accepted + 1}\n".encode()


def test_another_mount_does_not_take_a_draft_for_lost(office, mount):
    """Two mounts of one account over one directory: what the first one is sending is no draft that
    a crash left behind."""
    o = office()
    change = Patch(o)
    with hanging(change):
        second = mount(o.s, env={"XDG_STATE_HOME": o.m.env["XDG_STATE_HOME"]})
        assert second.kept("drafts") == {change.path: change.text}
        for m in (o.m, second):
            expect_error(errno.EBUSY, os.unlink, m / ".systemefs/drafts" / change.path)
    wait_until(lambda: o.m.status()["saves-under-way"] == "0", "its end")
    assert o.m.kept("drafts") == second.kept("drafts") == {}


# ---- the mount ends ----

@pytest.mark.parametrize("end", ["SIGTERM", "fusermount3 -uz"])
def test_a_save_is_seen_through_when_the_mount_ends(office, end):
    """It has been sent: the answer is waited for, and so nobody is told that it is not known."""
    o = office()
    change = Patch(o)
    o.run("cat contacts/%(ada)s.json")
    o.s.faults({"method": "PATCH", "latency": 700})
    p = change.begin()
    wait_until(lambda: o.s.counts()["concurrent"] == 1, "the request")
    if end == "SIGTERM":
        o.m.signal(signal.SIGTERM)
    else:
        subprocess.run(["fusermount3", "-uz", o.m.path], check=True)
    p.wait(timeout=PATIENCE)
    assert o.m.wait_for_end() == 0
    assert change.is_done()
    o.m.start()
    assert o.m.kept("drafts") == {}


def test_a_save_that_hangs_does_not_hold_the_mount_for_ever(office):
    """A second signal ends it at once. The text is a draft."""
    o = office(timeout=200)
    change = Patch(o)
    o.run("cat contacts/%(ada)s.json")
    with hanging(change):
        o.m.signal(signal.SIGTERM)
        wait_until(lambda: not o.m.path.is_mount() or o.m.signal(signal.SIGTERM), "the end", 5)
        assert o.m.wait_for_end() == 0
    o.m.start()
    change.is_kept()
    change.again()


# ---- the API is away ----

@pytest.mark.parametrize("rule, number", [
    ({"action": "hang"}, errno.ETIMEDOUT), ({"status": 503}, errno.EREMOTEIO),
    ({"status": 401}, errno.EKEYREJECTED), ({"status": 403}, errno.EACCES),
    ({"status": 429, "headers": {"Retry-After": "60"}}, errno.EAGAIN),
    ({"action": "body", "body": "<h1>hello</h1>"}, errno.EBADMSG),
    ({"status": 302, "headers": {"Location": "/"}}, errno.EBADMSG),
], ids=str)
@pytest.mark.parametrize("kind", [Patch, Post], ids=lambda k: k.__name__)
def test_the_api_is_away(office, kind, rule, number):
    o = office(timeout=2)
    change = kind(o)
    o.run("cat contacts/%(ada)s.json")
    o.s.faults({"method": "PATCH", **rule}, {"method": "POST", **rule})
    code, words = change.copy()
    assert code != 0 and os.strerror(number) in words
    kept = o.m.kept("drafts")
    assert kept[change.path] == change.text and kept[change.path + ".reason"].strip()
    assert errno.errorcode[number] in o.m.errors()[-1]
    o.s.clear_faults()
    if number == errno.EAGAIN:
        o.s.quota(100000)
        o.m.remount()  # what the server said of its quota is still to be kept to
    change.again()


@pytest.mark.parametrize("kind", [Patch, Post], ids=lambda k: k.__name__)
def test_a_pause_of_the_quota_is_waited_for(office, kind):
    """429: nothing was done, so also what is sent once only goes again."""
    o = office()
    change = kind(o)
    o.s.faults({"path": "/api/contacts*", "method": "PATCH", "times": 1, "status": 429,
                "headers": {"Retry-After": "1"}},
               {"method": "POST", "times": 1, "status": 429, "headers": {"Retry-After": "1"}})
    with o.s.counting() as c:
        assert change.copy() == (0, "")
    statuses = [r["status"] for r in c.requests if r["method"] != "GET"]
    assert statuses == [429, 201 if kind is Post else 200]
    assert change.is_done()
    o.untroubled()


def test_the_server_is_gone(office):
    """What is cached can be read; what is saved is kept, over a restart, too."""
    o = office(timeout=2)
    change = Patch(o)
    o.run("cat contacts/%(ada)s.json")
    assert o.s.stop() == []
    code, words = change.copy()
    assert code != 0 and os.strerror(errno.ECONNREFUSED) in words
    assert o.m.kept("drafts")[change.path] == change.text
    assert o.m.read(change.path) != change.text
    assert o.run("rm " + ADA, check=False).returncode != 0
    assert o.m.kept("trash") == {}
    o.m.remount()
    assert o.m.kept("drafts")[change.path] == change.text


def test_a_slow_save_holds_up_nothing_else(office):
    o = office()
    o.run("cat contacts/*.json tags/*.json > /dev/null; ls tags/by-name contacts/%(ada)s/tags",
          check=False)
    with hanging(Patch(o)) as p:
        asked = o.s.counts()["total"]
        assert b'"Ada"' in o.m.read(o.named(ADA))
        assert o.m.text(o.named("contacts/%(ada)s/fields/first_name")) == "Ada\n"
        o.run("cat contacts/%(grace)s.json tags/%(old)s.json; ls contacts tags")
        assert p.poll() is None and o.s.counts()["total"] == asked
        # Nor another save.
        o.run("""echo '{"name":"VIP"}' > tags/%(old)s.json""")
        assert p.poll() is None


def test_ctrl_c_waits_for_the_verdict(office):
    """A save that has been sent is seen through to its answer."""
    o = office()
    change = Patch(o)
    o.run("cat contacts/%(ada)s.json")
    o.s.faults({"method": "PATCH", "latency": 700})
    p = change.begin()
    wait_until(lambda: o.s.counts()["concurrent"] == 1, "the request")
    p.send_signal(signal.SIGINT)
    p.wait(timeout=PATIENCE)
    # The program did not end before it.
    assert o.m.status()["saves-under-way"] == "0"
    assert change.is_done()
    o.s.settle()
    assert len([r for r in o.s.requests() if r["method"] == "PATCH"]) == 1
    o.shows(ADA)
    o.untroubled()


# ---- the disk ----

@pytest.fixture
def small_disk(work):
    """A file system of 64 KiB."""
    if os.getuid() != 0:
        pytest.skip("needs root to mount it")
    path = os.path.join(work, "disk")
    os.mkdir(path, 0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


def fill(path):
    with contextlib.suppress(OSError), open(os.path.join(path, "ballast"), "wb", buffering=0) as f:
        while f.write(bytes(1024)):
            pass


@every_kind
def test_the_disk_is_full(small_disk, office, kind):
    """Nothing is sent that could not be kept; reading goes on."""
    o = office(env={"XDG_STATE_HOME": small_disk})
    change = kind(o)
    text = o.m.read(o.named(ADA))
    fill(small_disk)
    with o.s.counting() as c:
        code, words = change.copy()
    assert code != 0 and "No space left on device" in words
    assert c.writes == 0
    assert "nothing was sent" in o.m.errors()[-1]
    with o.s.counting() as c:
        expect_error(errno.ENOSPC, os.unlink, o.m / o.named(ADA))
    assert c.writes == 0
    assert o.m.read(o.named(ADA)) == text
    assert o.m.kept("drafts") == o.m.kept("trash") == {}
    os.unlink(os.path.join(small_disk, "ballast"))
    assert change.copy() == (0, "")
    assert change.is_done()


def test_the_disk_becomes_read_only(small_disk, office):
    o = office(env={"XDG_STATE_HOME": small_disk})
    change = Patch(o)
    text = o.m.read(o.named(ADA))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with o.s.counting() as c:
        code, words = change.copy()
        expect_error(errno.EROFS, os.unlink, o.m / o.named(ADA))
    assert code != 0 and "Read-only file system" in words
    assert c.writes == 0
    assert "nothing was sent" in o.m.errors()[-1]
    assert o.m.read(o.named(ADA)) == text


@pytest.mark.parametrize("command", [
    f"""echo '{{"locale":"fr"}}' > {ADA}""",
    f"""echo '{{"locale":"fr"}}' > contacts/.x && mv contacts/.x {ADA}""",
    f"rm -f {ADA}", "rm -rf tags/%(old)s.json"])
def test_the_state_directory_is_removed(office, command):
    """The disk's ENOENT was told as the record's, and so "rm -f" went well, with nothing removed."""
    o = office()
    record = o.record(ADA)
    shutil.rmtree(os.path.join(o.m.env["XDG_STATE_HOME"], "systemefs"))
    with o.s.counting() as c:
        done = o.run(command, check=False)
    assert done.returncode != 0 and "Input/output error" in done.stderr, done
    assert c.writes == 0
    assert "No such file or directory): nothing was sent" in o.m.errors()[-1]
    assert o.record(ADA) == record
    o.shows(ADA)


def test_the_state_directory_is_moved(office):
    """Drafts and trash go with it."""
    o = office()
    home = os.path.join(o.m.env["XDG_STATE_HOME"], "systemefs")
    os.rename(home, home + "-moved")
    o.run("rm tags/%(newer)s.json")
    assert o.run(f"echo '{{x' > {ADA}", check=False).returncode != 0
    assert o.m.kept("drafts")[o.named(ADA)] == b"{x\n"
    assert list(o.m.kept("trash")) == [o.named("tags/%(newer)s.json")]
    assert not os.path.exists(home)


@pytest.mark.parametrize("shelf", ["drafts", "trash"])
def test_a_file_where_a_directory_should_be(office, shelf):
    o = office()
    state, = os.scandir(os.path.join(o.m.env["XDG_STATE_HOME"], "systemefs"))
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(os.path.join(state.path, shelf))
    with open(os.path.join(state.path, shelf), "wb"):
        pass
    with o.s.counting() as c:
        done = o.run("rm " + ADA if shelf == "trash" else f"""echo '{{"locale":"fr"}}' > {ADA}""",
                     check=False)
    assert done.returncode != 0 and "Not a directory" in done.stderr
    assert c.writes == 0
    assert "nothing was sent" in o.m.errors()[-1]
    o.shows(ADA)


@pytest.mark.parametrize("what", ["a symlink", "open to others", "a file"])
def test_a_state_directory_that_cannot_be_trusted(mount, sandbox, work, what):
    home = os.path.join(work, "state")
    place = os.path.join(home, "systemefs", "sandbox-or-not")
    os.makedirs(os.path.dirname(place), 0o700)
    m = mount(sandbox(), env={"XDG_STATE_HOME": home})
    m.unmount()
    state, = os.scandir(os.path.dirname(place))
    if what == "open to others":
        os.chmod(state.path, 0o777)
    else:
        os.rename(state.path, state.path + "-moved")
        if what == "a symlink":
            os.symlink(state.path + "-moved", state.path)
        else:
            open(state.path, "wb").close()
    with pytest.raises(AssertionError, match="systemefs ended with [1-9]"):
        m.start()
    words = {"a symlink": "symbolic link", "open to others": "chmod 700",
             "a file": "Not a directory"}
    last = m.log().splitlines()[-1]
    assert last.startswith("systemefs: ") and words[what] in last and state.path in last
