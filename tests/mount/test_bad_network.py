"""A network that stalls, cuts, repeats and invents, between the driver and an API that does as it is
told. For each kind of fault and of request: the errno, how often it went out, how often it was
executed, and where the text is afterwards."""

import errno
import os
import threading

import pytest

import proxy as net
from lib import pretty
from office import Office
from test_crash import ADA

OK, LOST, LATE, BAD = 0, errno.EREMOTEIO, errno.ETIMEDOUT, errno.EBADMSG
WORDS = {LOST: "the connection broke", LATE: "no answer in time", BAD: "answer"}


class Act:
    """One kind of request. `made` is what of it is true afterwards at the server."""

    def __init__(self, o, method, path, file):
        self.o, self.method, self.path, self.file = o, method, o.named(path), o.named(file)
        self.error = None

    def run(self):
        try:
            self.do()
            self.error = OK
        except OSError as e:
            self.error = e.errno

    def write(self, text):
        fd = os.open(self.o.m / self.file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(fd, text)
        finally:
            os.close(fd)

    def is_explained(self):
        """In `errors`, and beside the draft."""
        lines = [line for line in self.o.m.errors() if f" {self.file} " in line]
        assert bool(lines) == bool(self.error), lines
        if self.error:
            assert f" {errno.errorcode[self.error]} " in lines[-1]
            assert WORDS[self.error] in lines[-1]
            assert ("may have been carried out" in lines[-1]) == (self.method != "GET"), lines
            reason = self.o.m.kept("drafts").get(self.file + ".reason")
            assert reason is None or WORDS[self.error] in reason.decode()

    def again(self):
        self.run()
        assert self.error == OK

    def kept(self):
        return self.o.m.kept("drafts").get(self.file)


class Read(Act):
    def __init__(self, o):
        super().__init__(o, "GET", "/api/contacts/%(grace)s", "contacts/%(grace)s.json")
        self.text = pretty(o.record(self.file))

    def do(self):
        assert self.o.m.read(self.file) == self.text

    def check(self, executed):
        assert self.kept() is None


class Save(Act):
    text = b'{"locale": "fr"}\n'

    def __init__(self, o):
        super().__init__(o, "PATCH", "/api/contacts/%(ada)s", ADA)

    def do(self):
        self.write(self.text)

    def check(self, executed):
        assert (self.o.record(ADA)["locale"] == "fr") == bool(executed)
        assert self.kept() == (self.text if self.error else None)


class Create(Act):
    text = b'{"email": "jane@example.org"}\n'

    def __init__(self, o):
        super().__init__(o, "POST", "/api/contacts", "contacts/jane.json")

    def do(self):
        self.write(self.text)

    def again(self):
        """Its draft goes onto the record; whoever has been made is no other one."""
        if self.error:
            made = len(self.o.s.all("/api/contacts"))
            self.run()
            if self.error:
                assert self.error == errno.EEXIST and len(self.o.s.all("/api/contacts")) == made

    def check(self, executed):
        made = [c for c in self.o.s.all("/api/contacts") if c["email"] == "jane@example.org"]
        assert len(made) == executed
        assert self.kept() == (self.text if self.error else None)
        if self.error:
            reason = self.o.m.kept("drafts")[self.file + ".reason"].decode()
            assert "may have" in reason, reason


class Remove(Act):
    def __init__(self, o):
        super().__init__(o, "DELETE", "/api/tags/%(newer)s", "tags/%(newer)s.json")
        self.text = o.m.read(self.file)

    def do(self):
        os.unlink(self.o.m / self.file)

    def again(self):
        if self.error:
            self.run()
            assert self.error in (OK, errno.ENOENT)
        assert "newer" not in [t["name"] for t in self.o.s.all("/api/tags")]

    def check(self, executed):
        assert ("newer" in [t["name"] for t in self.o.s.all("/api/tags")]) == (not executed)
        assert self.o.m.kept("trash") == {self.file: self.text}


ACTS = [Read, Save, Create, Remove]


class Fault:
    """What happens to the first `times` requests of each act. By act: the errno, how often it is asked,
    how often it is executed."""

    def __init__(self, name, fault, times, read, save, create, remove):
        self.name, self.fault, self.times = name, fault, times
        late = LATE in (read[0], save[0], create[0], remove[0])
        self.timeout = 2 if late else 30
        self.expected = {Read: read, Save: save, Create: create, Remove: remove}


def with_more(more):
    """Bytes behind an answer that is whole."""
    return net.changed(lambda lines, body: net.joined(lines, body) + more)


def interim(bytes):
    return net.changed(lambda lines, body: bytes + net.joined(lines, body))


def said_length(text):
    return net.changed_and_closed(lambda lines, body: net.joined(lines, body, text(len(body))))


def chunked(bytes):
    def change(lines, body):
        head = [*lines, "Transfer-Encoding: chunked"]
        return "\r\n".join(head).encode() + b"\r\n\r\n" + bytes(body)
    return net.changed_and_closed(change)


HANG = net.Connection.wait_for_the_end
CLOSE = lambda connection: None  # noqa: E731
RESET = net.Connection.reset
STOLEN = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"id":77}'

# What ends the same for each kind of request.
FINE = [(OK, 1, 1)] * 4
UNSAID = [(LATE, 1, 0)] * 4  # nothing is repeated: its time is used up
SAID = [(LATE, 1, 1)] * 4
# Lost once: repeated, but for the one that would make a second record.
AGAIN = [(OK, 2, 1), (OK, 2, 1), (LOST, 1, 0), (OK, 2, 1)]
AGAIN_DONE = [(OK, 2, 2), (OK, 2, 2), (LOST, 1, 1), (OK, 2, 2)]
NEVER = [(LOST, 4, 0), (LOST, 4, 0), (LOST, 1, 0), (LOST, 4, 0)]
NEVER_DONE = [(LOST, 4, 4), (LOST, 4, 4), (LOST, 1, 1), (LOST, 4, 4)]

# Where only the answer's body is bad, a removal has none.
NO_BODY = (OK, 1, 1)
AGAIN_BODY = [*AGAIN_DONE[:3], NO_BODY]
BAD_BODY = [(BAD, 1, 1)] * 3 + [NO_BODY]

FAULTS = [
    Fault("silent", net.silent, 9, *UNSAID),
    Fault("executed, silent", net.executed_and_silent, 9, *SAID),
    Fault("half a head, silent", net.cut_off(-9, HANG), 9, *SAID),
    Fault("no body, silent", net.cut_off(0, HANG), 9, *SAID[:3], NO_BODY),
    Fault("half a body, silent", net.cut_off(0.5, HANG), 9, *SAID[:3], NO_BODY),
    Fault("a byte now and then", net.trickled, 9, *SAID),
    Fault("dropped", net.dropped, 1, *AGAIN),
    Fault("dropped always", net.dropped, 9, *NEVER),
    Fault("reset", net.reset, 1, *AGAIN),
    Fault("executed, dropped", net.executed_and_dropped, 1, *AGAIN_DONE),
    Fault("executed, dropped always", net.executed_and_dropped, 9, *NEVER_DONE),
    Fault("executed, reset", net.executed_and_reset, 1, *AGAIN_DONE),
    Fault("executed, half-closed", net.executed_and_half_closed, 1, *AGAIN_DONE),
    # It was taken for a whole answer without a body: a read failed, and a removal had gone well.
    Fault("half a head, closed", net.cut_off(-9, CLOSE), 1, *AGAIN_DONE),
    Fault("no body, closed", net.cut_off(0, CLOSE), 1, *AGAIN_BODY),
    Fault("half a body, closed", net.cut_off(0.5, CLOSE), 1, *AGAIN_BODY),
    Fault("half a body, reset", net.cut_off(0.5, RESET), 1, *AGAIN_BODY),
    Fault("a second answer", with_more(STOLEN), 1, *FINE),
    Fault("a line too many", with_more(b"\r\n"), 1, *FINE),
    Fault("100, 102, 103", interim(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
                                   b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), 1, *FINE),
    Fault("101", interim(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), 9, *SAID),
    Fault("100 for ever", interim(b"HTTP/1.1 100 Continue\r\n\r\n" * 5000), 9, *[(BAD, 1, 1)] * 4),
    Fault("length too big", said_length(lambda n: n + 10), 1, *AGAIN_BODY),
    Fault("length too small", said_length(lambda n: n - 10), 1, *BAD_BODY),
    Fault("length below 0", said_length(lambda n: -5), 1, *BAD_BODY),
    Fault("length no number", said_length(lambda n: "many"), 1, *BAD_BODY),
    Fault("length past any number", said_length(lambda n: 10**30), 1, *FINE),
    Fault("two lengths", said_length(lambda n: f"{n}\r\nContent-Length: {n - 10}"), 1, *BAD_BODY),
    Fault("chunk: no number", chunked(lambda b: b"ZZ\r\n" + b), 1, *AGAIN_BODY),
    Fault("chunk: negative", chunked(lambda b: b"-5\r\n" + b), 1, *AGAIN_BODY),
    Fault("chunk: huge", chunked(lambda b: b"7fffffffffffffff\r\n" + b), 1, *AGAIN_BODY),
    Fault("chunk: past any number", chunked(lambda b: b"f" * 40 + b"\r\n" + b), 1, *AGAIN_BODY),
    Fault("chunk: too short", chunked(lambda b: b"5\r\n" + b), 1, *AGAIN_BODY),
    Fault("chunk: no end", chunked(lambda b: b"%x\r\n" % len(b) + b + b"\r\n"), 1, *AGAIN_BODY),
]


@pytest.fixture
def through(sandbox, mount):
    """An office whose mount goes through a proxy."""
    running = []

    def start(**options):
        running.append(net.Proxy(sandbox(contacts=20)))
        return Office(running[-1], mount(running[-1], **options))
    yield start
    for each in running:
        each.stop()


class Watch:
    """How often the driver asks for what each of the acts wants, and how often that is executed."""

    def __init__(self, o, acts):
        self.o, self.acts = o, acts
        self.asked = {act: [] for act in acts}
        self.lock = threading.Lock()
        self.before = o.s.requests()[-1]["number"]

    def is_asked(self, request):
        """The act that wants it, if it is any's."""
        for act in self.acts:
            if request.method == act.method and request.path == act.path:
                with self.lock:
                    self.asked[act].append(request)
                return act
        return None

    def result(self):
        self.o.s.settle()
        journal = [(r["method"], r["path"]) for r in self.o.s.requests()
                   if r["number"] > self.before]
        return {type(act): (act.error, len(asked), journal.count((act.method, act.path)))
                for act, asked in self.asked.items()}


def start(o):
    o.run("cat " + ADA + " > /dev/null; ls tags > /dev/null")
    return [act(o) for act in ACTS]


def check_all(o, acts, result):
    for act in acts:
        act.check(result[type(act)][2])
        act.is_explained()
    # The network is well again: so is everything else, and what is true by now is seen.
    o.s.fault = None
    o.m.ctl("refresh")
    for act in acts:
        act.again()
    assert [c["email"] for c in o.s.all("/api/contacts")].count("jane@example.org") == 1


@pytest.mark.parametrize("row", FAULTS, ids=lambda row: row.name)
def test_a_fault_of_the_network(through, row):
    """All four at the same time, each on a connection that is new."""
    o = through(timeout=row.timeout)
    acts = start(o)
    watch = Watch(o, acts)

    def fault(request):
        act = watch.is_asked(request)
        return row.fault if act and len(watch.asked[act]) <= row.times else None

    o.s.hang_up()
    o.s.fault = fault
    threads = [threading.Thread(target=act.run) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result = watch.result()
    assert result == row.expected
    check_all(o, acts, result)


@pytest.mark.parametrize("fault, posted", [
    (net.dropped, 0), (net.reset, 0), (net.executed_and_dropped, 1), (net.executed_and_reset, 1)],
    ids=lambda v: getattr(v, "__name__", None))
def test_a_kept_connection_is_closed_as_it_is_used(through, fault, posted):
    """Request and FIN meet on the way. libcurl repeats what it has sent on a connection that was
    used before, whatever it is: a second POST would make a second contact."""
    o = through()
    acts = start(o)
    watch = Watch(o, acts)

    def once(request):
        act = watch.is_asked(request)
        return fault if act and len(watch.asked[act]) == 1 else None

    o.s.fault = once
    for act in sorted(acts, key=lambda act: type(act) is Create):  # then the API counts as away
        o.m.ctl("refresh")
        o.m.ls("courses")
        if type(act) in (Save, Remove):
            o.m.read(act.file)
        o.m.settle()
        act.run()
        assert watch.asked[act][0].reused, o.s.asked
    result = watch.result()
    again = (OK, 2, 1 + posted)
    assert result == {Read: again, Save: again, Create: (LOST, 1, posted), Remove: again}
    check_all(o, acts, result)


def test_an_answer_out_of_nowhere(through):
    """It comes while nothing was asked, and must not be taken for what is asked next."""
    o = through()
    acts = start(o)
    watch = Watch(o, acts)
    o.s.fault = lambda request: watch.is_asked(request) and None
    for act in acts:
        o.m.ls("courses")
        stolen = 0
        for connection in o.s.open_connections():
            try:
                connection.send(STOLEN)
                stolen += 1
            except ConnectionError:
                pass  # one that the act before has closed, which is not known here yet
        assert stolen
        act.run()
    result = watch.result()
    assert result == {act: (OK, 1, 1) for act in ACTS}
    check_all(o, acts, result)
