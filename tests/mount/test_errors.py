"""Section 5 of the contract, row by row: the errno, and the reason in all its places."""

import errno
import os
import re
import socket
import threading

import pytest

import liar
from lib import wait_until

KEY_REJECTED = r"HTTP 401: Invalid API Key"
USED = {"detail": "email: used", "violations": [
    {"propertyPath": "email", "message": "This value is already used."},
    {"propertyPath": "fields", "message": "Something else."}]}
PLAN = {"detail": "no", "violations": [
    {"propertyPath": "", "message": "Please upgrade your plan."}]}


class Cause:
    """One row of the table: rules for the sandbox, and what a person must see."""

    def __init__(self, name, rule, error, words, status=None, listing=None, finding=None):
        self.name, self.error, self.words = name, error, words
        self.rule = {"path": "/api/*", **rule}
        self.status = status or rule.get("status")
        self.listing = listing or error  # for a whole collection
        self.finding = finding or self.listing  # for a human name

    def __repr__(self):
        return self.name


CAUSES = [
    Cause("401", {"status": 401}, errno.EKEYREJECTED, KEY_REJECTED),
    Cause("403", {"status": 403}, errno.EACCES, "HTTP 403: Access Denied"),
    Cause("404", {"status": 404}, errno.ENOENT, "HTTP 404: Not Found", listing=errno.EOPNOTSUPP),
    Cause("405", {"status": 405}, errno.EOPNOTSUPP, "HTTP 405: Method Not Allowed"),
    Cause("422-used", {"status": 422, "body": USED}, errno.EEXIST,
          r"HTTP 422: email: This value is already used\.; fields: Something else\.",
          finding=errno.ENOENT),
    Cause("422-plan", {"status": 422, "body": PLAN}, errno.EDQUOT,
          "HTTP 422: Please upgrade your plan", finding=errno.ENOENT),
    Cause("422", {"status": 422}, errno.EINVAL, "HTTP 422: This operation is not allowed",
          # The filter does not take it for an address: then nobody has it.
          finding=errno.ENOENT),
    Cause("400", {"status": 400}, errno.EINVAL, "HTTP 400: Syntax error"),
    Cause("415", {"status": 415}, errno.EINVAL, "HTTP 415: Unsupported Media Type"),
    Cause("424", {"status": 424}, errno.ENOTSUP, "HTTP 424: Twilio account is not configured"),
    Cause("429", {"status": 429, "headers": {"Retry-After": 3600}}, errno.EAGAIN,
          "quota of requests is used up; it refills in 3600 seconds"),
    Cause("500", {"status": 500}, errno.EREMOTEIO, "HTTP 500: Internal Server Error"),
    Cause("502-html", {"status": 502, "body": "<h1>Bad</h1>", "content_type": "text/html"},
          errno.EREMOTEIO, "HTTP 502: the server failed"),
    Cause("503", {"status": 503}, errno.EREMOTEIO, "HTTP 503: Service Unavailable"),
    Cause("504", {"status": 504}, errno.EREMOTEIO, "HTTP 504: Gateway Timeout"),
    Cause("redirect", {"action": "redirect", "url": "http://127.0.0.1:9/"}, errno.EBADMSG,
          "HTTP 302: the server redirects, which is never followed", status=302),
    Cause("not-json", {"action": "body", "body": "<html>"}, errno.EBADMSG, "not JSON", status=200),
    Cause("wrong-shape", {"action": "body", "body": "[1]"}, errno.EBADMSG,
          "not what the API promises", status=200),
    Cause("too-large", {"action": "huge", "bytes": 20 << 20}, errno.EBADMSG, "too large"),
    Cause("hang", {"action": "hang"}, errno.ETIMEDOUT, "no answer in time"),
    Cause("lost", {"action": "close"}, errno.EREMOTEIO, "the connection broke"),
    Cause("half", {"action": "close_mid"}, errno.EREMOTEIO, "the connection broke"),
]


def reason_of(m, path):
    """As a person asks for it."""
    return m.run("getfattr", "--only-values", "-n", "user.systemefs.error", path).stdout


def assert_explained(m, path, holder, error, words, status):
    """The reason of the failure that a person has just met on `path` is on `holder`, in `errors`
    and in the log, with one request number."""
    reason = reason_of(m, holder)  # may ask again, so it comes first
    shown = [line for line in m.errors() if f" {path} " in line]
    assert shown, (path, m.errors())
    fields = re.fullmatch(r"(\S+Z) request=(\d+) (\w+) (\S+) (\S+) http=(\S+) (.*)", shown[-1])
    assert fields, shown[-1]
    number, name, http, message = fields[2], fields[5], fields[6], fields[7]
    assert getattr(errno, name) == error, shown[-1]
    # Once the quota is known to be used up nothing is sent, and there is no status.
    unsent = status == 429 and http == "-"
    assert unsent or http == (str(status) if status else "-"), shown[-1]
    assert re.search(words, message), shown[-1]
    assert re.search(words, reason), reason
    assert reason.startswith(f"request {number}: "), (reason, shown[-1])
    assert any(f"(request {number})" in line and name in line and path in line
               for line in m.log().splitlines()), m.log()
    requests = [line for line in m.requests() if f" request={number} " in line]
    assert requests or unsent, (number, m.requests())
    if status and not unsent:
        assert f" {status} " in requests[-1], requests


def fails(error, call, *args):
    with pytest.raises(OSError) as caught:
        call(*args)
    assert caught.value.errno == error, caught.value


def tool_fails(m, error, *command):
    done = m.run(*command, check=False)
    assert done.returncode != 0
    assert os.strerror(error) in done.stderr, done.stderr


@pytest.fixture
def account(mount, sandbox, mode):
    def start(cause=None, **options):
        s = sandbox(contacts=150, tags=3)
        s.people = s.all("/api/contacts")
        m = mount(s, mode=mode, **{"timeout": 1, **options})
        if cause:
            s.faults(cause.rule)
        return m
    return start


@pytest.mark.parametrize("cause", CAUSES, ids=repr)
def test_a_record(account, cause):
    m = account(cause)
    path = f"contacts/{m.sandbox.people[70]['id']}.json"
    tool_fails(m, cause.error, "cat", path)
    holder = "contacts" if cause.error == errno.ENOENT else path
    assert_explained(m, path, holder, cause.error, cause.words, cause.status)
    fails(cause.error, m.read, path)


@pytest.mark.parametrize("cause", CAUSES, ids=repr)
def test_a_listing(account, cause):
    m = account(cause)
    tool_fails(m, cause.listing, "ls", "contacts")
    assert_explained(m, "contacts", "contacts", cause.listing, cause.words, cause.status)
    fails(cause.listing, m.ls, "contacts")


@pytest.mark.parametrize("cause", [c for c in CAUSES if c.finding != errno.ENOENT], ids=repr)
def test_a_human_name(account, cause):
    m = account(cause)
    path = f"contacts/{m.sandbox.people[70]['email']}.json"
    tool_fails(m, cause.finding, "cat", path)
    assert_explained(m, path, "contacts", cause.finding, cause.words, cause.status)


@pytest.mark.parametrize("cause", CAUSES, ids=repr)
def test_below_a_record(account, cause):
    m = account(cause)
    id = m.sandbox.people[70]["id"]
    tool_fails(m, cause.error, "cat", f"contacts/{id}/fields/first_name")
    assert_explained(m, f"contacts/{id}", "contacts", cause.error, cause.words, cause.status)


def test_nobody_has_an_address_that_the_filter_refuses(account):
    m = account()
    m.sandbox.faults({"path": "/api/contacts", "query": "*email=*", "status": 422})
    fails(errno.ENOENT, m.read, "contacts/somebody@example.com.json")


def test_it_goes_away(account):
    # A reason stays until the path works again, and no longer.
    m = account()
    path = f"contacts/{m.sandbox.people[70]['id']}.json"
    m.sandbox.faults({"path": "/api/contacts/*", "status": 403})
    fails(errno.EACCES, m.read, path)
    assert "user.systemefs.error" in os.listxattr(m / path)
    m.sandbox.clear_faults()

    def works():  # the failure is repeated for a moment
        try:
            return m.read(path)
        except PermissionError:
            return None
    wait_until(works, "the end of the failures")
    fails(errno.ENODATA, os.getxattr, m / path, "user.systemefs.error")
    assert "user.systemefs.error" not in os.listxattr(m / path)


def test_the_reason_of_a_timeout_costs_no_other(account):
    # getfattr looks a name up three times: each waited for a time-out of its own.
    m = account()
    path = f"contacts/{m.sandbox.people[70]['id']}.json"
    m.sandbox.faults({"path": "/api/contacts/*", "action": "hang"})
    fails(errno.ETIMEDOUT, m.read, path)
    with m.sandbox.counting() as counted:
        assert "no answer in time" in reason_of(m, path)
    assert counted.total == 0, counted


def test_a_refresh_asks_at_once(account):
    # The failure of a moment ago was told again, to a person who had just asked for a new try.
    m = account()
    path = f"contacts/{m.sandbox.people[70]['id']}.json"
    for _ in range(5):
        m.sandbox.faults({"path": "/api/contacts/*", "status": 403})
        fails(errno.EACCES, m.read, path)
        m.sandbox.clear_faults()
        m.ctl("refresh")
        assert m.json(path) == m.sandbox.people[70]
        m.ctl("refresh")


def test_only_the_last_hundred(mount):
    m = mount()
    m.sandbox.faults({"path": "/api/tags*", "status": 403})
    for i in range(120):
        fails(errno.EACCES, m.read, f"tags/{i + 1}.json")
    errors = m.errors()
    assert len(errors) == 100
    assert " tags/120.json " in errors[-1] and " tags/21.json " in errors[0]


# ---- where the two ways in differ


def test_no_active_connection(mount, sandbox):
    s = sandbox(connections=0)
    m = mount(s, mode="gateway")
    tool_fails(m, errno.ENOLINK, "ls", "contacts")
    assert_explained(m, "contacts", "contacts", errno.ENOLINK, "no active connection.*connections/",
                     400)
    tool_fails(m, errno.ENOLINK, "cat", "contacts/5.json")
    assert_explained(m, "contacts/5.json", "contacts/5.json", errno.ENOLINK,
                     "no active connection", 400)
    # Where one looks for what is wrong.
    assert {m.json(f"connections/{name}")["status"]
            for name in m.ls("connections")} == {"PENDING", "FAILED"}


def test_a_connection_that_is_not_there(mount, sandbox):
    m = mount(sandbox(), mode="gateway", connection="11111111-2222-3333-4444-555555555555")
    tool_fails(m, errno.ENOLINK, "ls", "contacts")
    assert_explained(m, "contacts", "contacts", errno.ENOLINK, "connection", 400)
    assert "11111111-2222-3333-4444-555555555555" in m.text(".systemefs/status")


@pytest.mark.parametrize("mode, words", [
    ("direct", "Invalid API Key"), ("gateway", "the gateway's key")])
def test_a_wrong_key(mount, sandbox, mode, words):
    s = sandbox()
    variable = "MATON_API_KEY" if mode == "gateway" else "SYSTEME_API_KEY"
    m = mount(s, mode=mode, env={variable: "wrong-key-of-somebody"})
    tool_fails(m, errno.EKEYREJECTED, "ls", "contacts")
    assert_explained(m, "contacts", "contacts", errno.EKEYREJECTED, words, 401)
    tool_fails(m, errno.EKEYREJECTED, "cat", "tags/1.json")


def test_a_listing_that_needs_a_contact(mount, mode):
    m = mount(mode=mode)
    tool_fails(m, errno.EOPNOTSUPP, "ls", "subscriptions")
    assert "contacts/ID/subscriptions/" in reason_of(m, "subscriptions")


def test_payments_that_are_not_there(mount, sandbox):
    # An empty directory would say that there are none.
    m = mount(sandbox(no_payments=True))
    tool_fails(m, errno.EOPNOTSUPP, "ls", "subscriptions")


# ---- what no HTTP status speaks for


def closed_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def assert_unreachable(m, error, words):
    for path, command in (("contacts/5.json", "cat"), ("contacts", "ls"),
                          ("contacts/jane@example.com.json", "cat")):
        tool_fails(m, error, command, path)
        holder = "contacts" if "@" in path else path
        assert_explained(m, path, holder, error, words, None)


def test_connection_refused(mount, sandbox):
    m = mount(sandbox(), api_url=f"http://127.0.0.1:{closed_port()}")
    assert_unreachable(m, errno.ECONNREFUSED, "refuses the connection.*127.0.0.1:")


@pytest.mark.parametrize("host", ["api.systemefs.invalid", "255.255.255.255"])
def test_unreachable(mount, sandbox, host):
    # A name that no resolver may know (RFC 2606), and an address that no connection may go to.
    m = mount(sandbox(), api_url=f"https://{host}")
    assert_unreachable(m, errno.EHOSTUNREACH, f"cannot reach the server.*{host}")


def test_a_port_that_says_nothing(mount, sandbox):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        m = mount(sandbox(), timeout=1, api_url="http://127.0.0.1:%d" % silent.getsockname()[1])
        assert_unreachable(m, errno.ETIMEDOUT, "no answer in time")


@pytest.fixture
def start_liar():
    running = []

    def start(**options):
        running.append(liar.Liar(**options))
        return running[-1]
    yield start
    for each in running:
        each.stop()


def test_a_certificate_that_nobody_signed(mount, start_liar, work):
    context, cert = liar.certificate(work)
    server = start_liar(context=context)
    m = mount(server)
    assert_unreachable(m, errno.EPROTO, "no secure connection.*certificate.*127.0.0.1:")
    assert server.asked == [], "the key is not sent to strangers"
    m = mount(server, cacert=cert)
    assert m.json("contacts/10.json") == server.contacts[10]


def test_a_certificate_of_another_server(mount, start_liar, work):
    context, cert = liar.certificate(work, name="127.0.0.2")
    server = start_liar(context=context)
    m = mount(server, cacert=cert)
    assert_unreachable(m, errno.EPROTO, "no secure connection.*")
    assert server.asked == []


def test_a_plain_port_spoken_to_with_tls(mount, sandbox):
    s = sandbox()
    m = mount(s, api_url="https://" + s.host)
    assert_unreachable(m, errno.EPROTO, "no secure connection")


def test_a_tls_port_spoken_to_without(mount, start_liar, work):
    server = start_liar(context=liar.certificate(work)[0])
    m = mount(server, api_url="http://" + server.host, timeout=2)
    with pytest.raises(OSError) as caught:
        m.read("contacts/5.json")
    assert caught.value.errno in (errno.EREMOTEIO, errno.EBADMSG), caught.value
    assert reason_of(m, "contacts/5.json")


# ---- what programs make of it


def test_programs_fail_aloud(account):
    """Every one ends with a status that says so, and names the file."""
    m = account(Cause("403", {"status": 403}, errno.EACCES, ""), timeout=30)
    id = m.sandbox.people[0]["id"]
    for command in (["grep", "-r", "x", "contacts"], ["find", "contacts"], ["du", "contacts"],
                    ["tar", "cf", "/dev/null", "contacts"],
                    ["cp", f"contacts/{id}.json", "/dev/null"],
                    ["wc", "-c", f"contacts/{id}.json"], ["head", f"contacts/{id}.json"],
                    ["ls", "-l", "contacts"], ["md5sum", f"contacts/{id}.json"]):
        done = m.run(*command, check=False)
        assert done.returncode != 0, command
        assert "Permission denied" in done.stderr and "contacts" in done.stderr, done


@pytest.mark.parametrize("umask", ["022", "077"])
def test_a_backup_fails_aloud(account, umask):
    """What could not be read looked like an empty file, which GNU tar does not even open where
    everybody may read it: the backup had an empty record, and tar said nothing."""
    m = account(umask=umask)
    person = next(p for p in m.sandbox.people if p["tags"])
    m.sandbox.faults({"path": "/api/tags*", "status": 403})
    done = m.run("tar", "cf", "-", f"contacts/{person['id']}/tags", check=False, text=False)
    assert done.returncode != 0 and b"Permission denied" in done.stderr, done.stderr


def test_one_failure_does_not_stop_the_others(account):
    m = account()
    bad, good = (p["id"] for p in m.sandbox.people[:2])
    m.sandbox.faults({"path": f"/api/contacts/{bad}", "status": 500})
    done = m.run("cat", f"contacts/{bad}.json", f"contacts/{good}.json", check=False)
    assert done.returncode == 1 and f'"id": {good}' in done.stdout
    assert "Remote I/O error" in done.stderr


def test_many_fail_alike(account):
    """One fetch serves all that wait for it, and each is told."""
    m = account()
    id = m.sandbox.people[0]["id"]
    m.sandbox.faults({"path": f"/api/contacts/{id}", "status": 403, "latency": 300})
    seen = []

    def read():
        try:
            m.read(f"contacts/{id}.json")
            seen.append(0)
        except OSError as e:
            seen.append(e.errno)

    with m.sandbox.counting() as counted:
        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen == [errno.EACCES] * 8
    assert counted.total <= 2, counted
