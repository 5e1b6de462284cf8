"""Keys, the gateway, quotas, the order of checks, the program itself."""

import gzip
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest


def test_keys(sandbox):
    answer = sandbox.request("GET", "/api/contacts")
    assert answer.status == 401 and "WWW-Authenticate" not in answer.headers
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json == {"detail": "Full authentication is required to access this resource."}
    for wrong in ("x", "", sandbox.key + "x", sandbox.key[:-1], sandbox.gateway_key):
        answer = sandbox.request("GET", "/api/contacts", headers={"X-API-Key": wrong})
        assert answer.status == 401 and answer.headers["WWW-Authenticate"] == "API Key"
        assert answer.json == {"detail": "Invalid API Key."}
    bearer = {"Authorization": "Bearer " + sandbox.key}
    assert sandbox.request("GET", "/api/contacts", headers=bearer).status == 401


def test_gateway_is_the_same_account(sandbox):
    assert sandbox.gateway("GET", "/systeme/api/contacts").json == sandbox.get("/api/contacts")
    answer = sandbox.gateway("POST", "/systeme/api/tags", {"name": "by gateway"})
    assert answer.status == 201
    path = f"/systeme/api/tags/{answer.json['id']}"
    assert sandbox.get(path.removeprefix("/systeme")) == answer.json
    assert sandbox.gateway("DELETE", path).status == 204
    assert sandbox.gateway("GET", "/systeme/api/nope").status == 404
    assert "X-RateLimit-Limit" in sandbox.gateway("GET", "/systeme/api/contacts").headers


def test_gateway_keys(sandbox):
    for headers in ({}, {"Authorization": "Bearer nope"}, {"Authorization": "Basic abc"},
                    {"X-API-Key": sandbox.key}):
        for path in ("/systeme/api/contacts", "/connections"):
            answer = sandbox.request("GET", path, headers=headers)
            assert answer.status == 401
            assert answer.headers["Content-Type"] == "application/json"
            assert list(answer.json) == ["error"]


def connections(sandbox, query="?app=systeme"):
    return sandbox.gateway("GET", "/connections" + query).json["connections"]


def test_connections(sandbox):
    everything = connections(sandbox, "")
    assert {c["app"] for c in everything} == {"systeme", "google-mail"}
    mine = connections(sandbox)
    assert [c["status"] for c in mine] == ["ACTIVE", "PENDING", "FAILED"]
    assert connections(sandbox, "?app=systeme&status=PENDING") == [mine[1]]
    assert list(mine[0]) == ["connection_id", "status", "creation_time", "last_updated_time",
                             "url", "app", "method", "metadata"]
    assert mine[0]["creation_time"].endswith("Z") and "." in mine[0]["creation_time"]
    path = "/connections/" + mine[0]["connection_id"]
    assert sandbox.gateway("GET", path).json == {"connection": mine[0]}
    answer = sandbox.gateway("POST", "/connections", {"app": "systeme"})
    assert answer.json["connection"]["status"] == "PENDING"
    assert answer.json["connection"]["url"].startswith("https://")
    assert sandbox.gateway("POST", "/connections", {}).status == 400
    assert sandbox.gateway("DELETE", path).status == 200
    assert sandbox.gateway("GET", path).status == 404
    assert sandbox.gateway("DELETE", path).status == 404
    assert sandbox.gateway("PUT", path, {}).status == 405
    assert sandbox.gateway("GET", path + "/x").status == 404


def test_gateway_needs_an_active_connection(start):
    none = start("--connections=0")
    answer = none.gateway("GET", "/systeme/api/contacts")
    assert answer.status == 400 and list(answer.json) == ["error"]
    assert none.api("GET", "/api/contacts").status == 200

    sandbox = start("--connections=2")
    active, other, pending, _ = connections(sandbox)

    def status(connection):
        return sandbox.gateway("GET", "/systeme/api/contacts",
                               headers={"Maton-Connection": connection}).status

    assert status(active["connection_id"]) == status(other["connection_id"]) == 200
    assert status(pending["connection_id"]) == 400
    assert status("21fd90f9-5935-43cd-b6c8-bde9d915ca80") == 400
    assert status(connections(sandbox, "?app=google-mail")[0]["connection_id"]) == 400
    change = {"op": "set_connection", "id": pending["connection_id"], "status": "ACTIVE"}
    assert sandbox.control("POST", "world", change).status == 200
    assert status(pending["connection_id"]) == 200


def test_gateway_rate(start):
    assert start().gateway("GET", "/systeme/api/tags").status == 200
    sandbox = start("--gateway-rate=3")
    answers = [sandbox.gateway("GET", "/systeme/api/tags") for _ in range(12)]
    statuses = [a.status for a in answers]
    assert 200 in statuses and 429 in statuses
    limited = next(a for a in answers if a.status == 429)
    assert limited.headers["Retry-After"] == "1" and list(limited.json) == ["error"]
    assert sandbox.api("GET", "/api/tags").status == 200


def test_quota_headers_and_429(start):
    sandbox = start("--quota=5/86400")
    for left in (4, 3, 2, 1, 0):
        answer = sandbox.api("GET", "/api/tags")
        assert answer.status == 200
        assert answer.headers["X-RateLimit-Limit"] == "5"
        assert answer.headers["X-RateLimit-Remaining"] == str(left)
        refill = int(answer.headers["X-RateLimit-Refill"])
        assert refill % 86400 == 0 and 0 < refill - time.time() <= 86400
        assert "Retry-After" not in answer.headers
    answer = sandbox.api("GET", "/api/tags")
    assert answer.status == 429 and answer.detail == "Too many requests"
    assert answer.headers["X-RateLimit-Remaining"] == "0"
    assert 0 < int(answer.headers["Retry-After"]) <= 86400
    # A refused key costs nothing and comes first; a missing route comes before both.
    assert sandbox.request("GET", "/api/tags").status == 401
    assert sandbox.api("GET", "/api/nope").status == 404
    assert sandbox.control("POST", "quota", {"limit": 10, "seconds": 86400,
                                             "remaining": 2}).status == 200
    assert [sandbox.api("GET", "/api/tags").status for _ in range(3)] == [200, 200, 429]
    assert sandbox.control("POST", "quota", {"limit": 0}).status == 200
    assert "X-RateLimit-Limit" not in sandbox.api("GET", "/api/tags").headers


@pytest.mark.parametrize("form, check", [
    ("unix", lambda v: abs(int(v) - time.time()) <= 61),
    ("ms", lambda v: abs(int(v) / 1000 - time.time()) <= 61),
    ("seconds", lambda v: 0 < int(v) <= 60),
    ("date", lambda v: len(v) == 25 and v.endswith("+00:00")),
])
def test_quota_formats(start, form, check):
    answer = start("--quota=60", f"--quota-format={form}").api("GET", "/api/tags")
    assert answer.headers["X-RateLimit-Limit"] == "60"
    assert check(answer.headers["X-RateLimit-Refill"])


def test_default_quota_is_generous_and_shown(start):
    assert start().api("GET", "/api/tags").headers["X-RateLimit-Limit"] == "100000"
    assert "X-RateLimit-Limit" not in start("--quota=off").api("GET", "/api/tags").headers


def test_order_of_checks(start):
    # Each request has every fault that comes after the one that is reported.
    sandbox = start("--quota=1/86400")
    bad = {"Content-Type": "text/plain"}
    assert sandbox.request("POST", "/api/nope", b"{", bad).status == 404
    assert sandbox.request("POST", "/api/contacts/1", b"{", bad).status == 405
    assert sandbox.request("PATCH", "/api/contacts/1", b"{", bad).status == 401
    assert sandbox.api("PATCH", "/api/contacts/1", b"{", bad).status == 415
    assert sandbox.api("PATCH", "/api/contacts/1", b"{", bad).status == 429
    sandbox.control("POST", "quota", {"limit": 0})
    assert sandbox.api("PATCH", "/api/contacts/1", b"{").status == 400
    assert sandbox.api("PATCH", "/api/contacts/1", {"locale": 5}).status == 400
    assert sandbox.api("PATCH", "/api/contacts/1", {"locale": "xx"}).status == 404
    id = sandbox.items("/api/contacts")[0]["id"]
    assert sandbox.api("PATCH", f"/api/contacts/{id}", {"locale": "xx"}).status == 422


@pytest.mark.parametrize("path", ["/", "/api", "/api/", "/api/contacts/", "/api/contacts/1/x",
                                  "/api//contacts", "/API/contacts", "/api/newsletters", "/x/y/z",
                                  "/api/contacts/1/tags/2/3", "/a/b/c/d/e/f/g/h/i/j"])
def test_no_such_route(sandbox, path):
    assert sandbox.api("GET", path).status == 404


def test_405_says_what_is_allowed(sandbox):
    answer = sandbox.api("PUT", "/api/contacts/1", {})
    assert answer.status == 405 and answer.detail == "Method Not Allowed"
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "PATCH", "DELETE"}


def test_keep_alive_and_latency_hold_no_thread(start):
    # Three hundred slow answers at once must take as long as one.
    sandbox = start("--latency=400", "--threads=1", "--quota=off")
    statuses = []

    def ask():
        statuses.append(sandbox.api("GET", "/api/contacts").status)

    threads = [threading.Thread(target=ask) for _ in range(300)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - begin
    assert statuses == [200] * 300
    assert 0.4 <= took < 3.0
    assert sandbox.counts()["max_concurrent"] > 100


def test_latency_can_be_changed(sandbox):
    assert sandbox.control("POST", "latency", {"ms": 150, "max": 200}).status == 200
    begin = time.monotonic()
    sandbox.api("GET", "/api/tags")
    assert 0.14 < time.monotonic() - begin < 1.5
    assert sandbox.control("POST", "latency", {"ms": 0}).status == 200
    for bad in ({}, {"ms": -1}, {"ms": 10, "max": 5}, {"ms": "x"}):
        assert sandbox.control("POST", "latency", bad).status == 400


def test_an_old_answer_can_arrive_after_a_newer_write(sandbox):
    # A driver that stores the late answer would undo the write in its cache.
    contact = sandbox.items("/api/contacts")[0]
    path = f"/api/contacts/{contact['id']}"
    sandbox.faults({"method": "GET", "path": path, "times": 1, "latency": 400})
    late = []
    reader = threading.Thread(target=lambda: late.append(sandbox.api("GET", path).json))
    reader.start()
    while not sandbox.counts()["concurrent"]:
        time.sleep(0.01)
    assert sandbox.api("PATCH", path, {"fields": [{"slug": "city", "value": "new"}]}).status == 200
    reader.join()
    assert late == [contact]


# ---- the program


def run(program, *options, **more):
    return subprocess.run([program, *options], capture_output=True, text=True, timeout=20, **more)


def test_prints_where_it_is(program):
    process = subprocess.Popen([program, "--key=k1", "--gateway-key=g1", "--die-with-parent"],
                               stdout=subprocess.PIPE, text=True)
    lines = [process.stdout.readline().rstrip("\n").split(": ", 1) for _ in range(6)]
    said = dict(lines)
    assert list(said) == ["url", "key", "gateway-url", "ctrl-url", "gateway-key", "control"]
    assert said["gateway-url"] == said["url"] + "/systeme" and said["ctrl-url"] == said["url"]
    assert said["key"] == "k1" and said["gateway-key"] == "g1"
    assert said["control"] == said["url"] + "/_sandbox"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 0
    process.stdout.close()


def test_help_and_version(program):
    help = run(program, "--help")
    assert help.returncode == 0 and "--gateway-rate N" in help.stdout
    assert max(map(len, help.stdout.splitlines())) <= 130
    assert run(program, "--version").stdout.startswith("systemefs-sandbox ")


@pytest.mark.parametrize("options, says", [
    (["--nope"], "unknown option '--nope'"),
    (["extra"], "unexpected argument 'extra'"),
    (["--contacts"], "--contacts needs a value"),
    (["--contacts=x"], "not a number from 0"),
    (["--contacts=-1"], "not a number from 0"),
    (["--contacts=99999999999999999999"], "not a number"),
    (["--verbose=yes"], "takes no value"),
    (["--latency=5-2"], "is not MS|MIN-MAX"),
    (["--latency=x"], "is not MS|MIN-MAX"),
    (["--quota=0"], "is not N/SECONDS|off"),
    (["--quota=5/0"], "is not N/SECONDS|off"),
    (["--unknown-parent=500"], "is not 404|422"),
    (["--page-size=5"], "not a number from 10 to 100"),
    (["--key="], "is not KEY"),
    (["--listen=0.0.0.0:0"], "is not loopback"),
    (["--listen=127.0.0.1"], "is not HOST:PORT"),
    (["--listen=127.0.0.1:99999"], "is not HOST:PORT"),
    (["--faults=/nonexistent"], "No such file"),
])
def test_bad_usage(program, options, says):
    result = run(program, *options)
    assert result.returncode == 2 and says in result.stderr and result.stdout == ""


def test_port_in_use(program):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = run(program, "--listen=127.0.0.1:%d" % taken.getsockname()[1])
    assert result.returncode == 1 and "Address already in use" in result.stderr


def test_other_listeners(start):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    sandbox = start("--listen=[::1]:0")
    assert sandbox.url.startswith("http://[::1]:")
    assert start("--listen=localhost:0").get("/api/tags")
    assert start("--listen=0.0.0.0:0", "--insecure-listen").url.startswith("http://0.0.0.0:")


def test_dies_with_its_parent(program):
    script = ("import subprocess,sys,time\n"
              "p=subprocess.Popen([sys.argv[1],'--die-with-parent'],stdout=subprocess.PIPE)\n"
              "p.stdout.readline()\nprint(p.pid,flush=True)\ntime.sleep(60)\n")
    parent = subprocess.Popen([sys.executable, "-c", script, program],
                              stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()

    def alive():
        try:
            with open(f"/proc/{child}/stat") as stat:
                return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
        except FileNotFoundError:
            return False

    end = time.monotonic() + 10
    while alive() and time.monotonic() < end:
        time.sleep(0.02)
    assert not alive()


def test_verbose_never_says_a_key(program):
    process = subprocess.Popen([program, "--verbose", "--key=k1secret", "--die-with-parent"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    host = process.stdout.readline().split("//")[1].strip()
    connection = http.client.HTTPConnection(host)
    connection.request("GET", "/api/tags?limit=10", headers={"X-API-Key": "k1secret"})
    assert connection.getresponse().status == 200
    connection.close()
    process.send_signal(signal.SIGTERM)
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0
    assert "GET /api/tags?limit=10 -> 200" in said and "k1secret" not in said


def test_a_million_contacts_start_in_no_time(start):
    begin = time.monotonic()
    sandbox = start("--contacts=1000000")
    assert time.monotonic() - begin < 5
    world = sandbox.control("GET", "world").json["contacts"]
    assert world["count"] == 1000000
    assert sandbox.get(f"/api/contacts/{world['first']}")["email"] == "ada@example.com"
    assert len(sandbox.items(f"/api/contacts?startingAfter={world['first'] + 500}&limit=10")) == 10


def test_gzip_when_both_want_it(program, start):
    probe = run(program, "--gzip", "--listen=nonsense")
    if "without zlib" in probe.stderr:
        pytest.skip("built without zlib")
    sandbox, accepts = start("--gzip"), {"Accept-Encoding": "deflate, gzip"}
    plain = sandbox.api("GET", "/api/contacts")
    assert "Content-Encoding" not in plain.headers
    packed = sandbox.api("GET", "/api/contacts", headers=accepts)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.raw) == plain.raw and len(packed.raw) < len(plain.raw) / 2
    assert "Content-Encoding" not in start().api("GET", "/api/contacts", headers=accepts).headers


def test_sends_raw_utf8_and_valid_json(sandbox):
    answer = sandbox.api("GET", "/api/contacts?limit=100")
    assert b"\\u" not in answer.raw and json.loads(answer.raw.decode())
    assert int(answer.headers["Content-Length"]) == len(answer.raw)


