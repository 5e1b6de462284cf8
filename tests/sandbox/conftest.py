"""Starts the real systemefs-sandbox and speaks HTTP to it. SYSTEMEFS_SANDBOX names the program."""

import http.client
import json
import os
import select
import signal
import subprocess

import pytest


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.raw = response.read()

    @property
    def json(self):
        return json.loads(self.raw)

    @property
    def detail(self):
        return self.json["detail"]

    @property
    def violations(self):
        return [(v["propertyPath"], v["message"]) for v in self.json["violations"]]


class Sandbox:
    """One running program. `api()` calls it directly, `gateway()` through the gateway's form."""

    def __init__(self, program, options):
        ready, ready_child = os.pipe()
        self.process = subprocess.Popen(
            [program, "--die-with-parent", f"--ready-fd={ready_child}", *options],
            stdout=subprocess.PIPE,
            pass_fds=[ready_child],
        )
        os.close(ready_child)
        # An end of file without a line means that it ended before it listened.
        select.select([ready], [], [], 20)
        with os.fdopen(ready) as stream:
            line = stream.readline()
        assert line, "the sandbox did not start"
        self.url, self.key, self.gateway_key = line.split()
        self.host = self.url.removeprefix("http://")

    def request(self, method, path, body=None, headers=None, timeout=10):
        connection = http.client.HTTPConnection(self.host, timeout=timeout)
        try:
            headers = dict(headers or {})
            if body is not None and not isinstance(body, (bytes, str)):
                body = json.dumps(body)
            if isinstance(body, str):
                body = body.encode()
            if body is not None and "Content-Type" not in headers:
                patch = method == "PATCH"
                headers["Content-Type"] = "application/%sjson" % ("merge-patch+" if patch else "")
            connection.request(method, path, body, headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def api(self, method, path, body=None, headers=None, **more):
        return self.request(method, path, body, {"X-API-Key": self.key, **(headers or {})}, **more)

    def gateway(self, method, path, body=None, headers=None, **more):
        bearer = {"Authorization": "Bearer " + self.gateway_key}
        return self.request(method, path, body, {**bearer, **(headers or {})}, **more)

    def control(self, method, path, body=None):
        return self.request(method, "/_sandbox/" + path, body)

    def get(self, path):
        answer = self.api("GET", path)
        assert answer.status == 200, (path, answer.status, answer.raw)
        return answer.json

    def items(self, path):
        return self.get(path)["items"]

    def all(self, path, **query):
        """Walks a list to its end, as the API says it must be done."""
        found, after = [], None
        while True:
            args = {"limit": 100, **query, **({"startingAfter": after} if after else {})}
            page = self.get(path + "?" + "&".join(f"{k}={v}" for k, v in args.items()))
            found += page["items"]
            if not page["hasMore"]:
                return found
            after = found[-1]["id"]

    def faults(self, *rules):
        answer = self.control("POST", "faults", list(rules))
        assert answer.status == 200, answer.raw

    def counts(self):
        return self.control("GET", "counts").json

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.stdout.close()
        return self.process.wait(timeout=20)


@pytest.fixture(scope="session")
def program():
    path = os.environ.get("SYSTEMEFS_SANDBOX")
    assert path, "set SYSTEMEFS_SANDBOX to the systemefs-sandbox program"
    return path


@pytest.fixture
def start(program):
    """A function that starts a sandbox with options. All of them must end cleanly."""
    running = []

    def run(*options):
        running.append(Sandbox(program, options))
        return running[-1]

    yield run
    for sandbox in running:
        assert sandbox.stop() == 0


@pytest.fixture
def sandbox(start):
    return start()
