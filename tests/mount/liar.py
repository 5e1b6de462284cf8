"""A server that is not what it says: answers that no systemefs-sandbox would give, byte for byte.

It stands where the sandbox stands: mount(Liar(...)) speaks to it. It serves a small true world,
and lies where a test tells it to:

    liar.lie = lambda request: b"..."           # instead of the whole HTTP answer
    liar.lie = lambda request: answer(...)      # a proper answer with a body of one's own
    liar.lie = lambda request: None             # the truth

Every connection and request is counted.
"""

import json
import re
import shutil
import socketserver
import ssl
import subprocess
import threading
import urllib.parse

import pytest


def answer(body, status=200, content_type="application/json", headers=()):
    """A whole HTTP answer. `body`: bytes, a text, or a value for JSON."""
    if not isinstance(body, (bytes, str)):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    lines = [f"HTTP/1.1 {status} Said So", f"Content-Type: {content_type}",
             f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def contact(id, email=None, **more):
    return {"id": id, "email": email or f"c{id}@example.com",
            "registeredAt": "2024-01-02T03:04:05+00:00", "locale": "en",
            "sourceURL": None, "unsubscribed": False, "bounced": False,
            "needsConfirmation": False, "fields": [], "tags": [], **more}


class Request:
    def __init__(self, method, target, headers):
        parts = urllib.parse.urlsplit(target)
        self.method, self.path, self.headers = method, parts.path, headers
        self.query = dict(urllib.parse.parse_qsl(parts.query))

    def __str__(self):
        return f"{self.method} {self.path} {self.query}"


class Liar(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 64

    def __init__(self, context=None, key="liars-key"):
        super().__init__(("127.0.0.1", 0), Handler)
        self.context = context
        self.host = "127.0.0.1:%d" % self.server_address[1]
        self.url = ("https://" if context else "http://") + self.host
        self.key = self.gateway_key = key
        self.mounts = []
        self.lie = None
        self.connections = 0
        self.asked = []
        self.contacts = {id: contact(id) for id in (30, 20, 10)}
        self.tags = {5: {"id": 5, "name": "five"}}
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def stop(self):
        self.shutdown()
        self.server_close()
        self.thread.join()

    def handle_error(self, request, client_address):
        pass  # a driver that hangs up on a liar is right

    def truth(self, request):
        path = request.path
        found = re.fullmatch(r"/api/(contacts|tags)(?:/(\d+))?", path)
        if path == "/api/contact_fields":
            return answer({"items": []})
        if not found:
            return answer({"detail": "Not Found"}, 404)
        world = getattr(self, found[1])
        if found[2]:
            record = world.get(int(found[2]))
            return answer(record) if record else answer({"detail": "Not Found"}, 404)
        after = int(request.query.get("startingAfter", 1 << 60))
        items = [r for r in world.values() if r["id"] < after]
        if "email" in request.query:
            items = [r for r in items if r["email"] == request.query["email"]]
        return answer({"items": items, "hasMore": False})


class Handler(socketserver.StreamRequestHandler):
    def setup(self):
        self.server.connections += 1
        if self.server.context:
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self):
        while self.one():
            pass

    def one(self):
        first = self.rfile.readline()
        if not first.strip():
            return False
        headers = {}
        while (line := self.rfile.readline().strip()):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        method, target = first.decode("latin-1").split()[:2]
        request = Request(method, target, headers)
        self.server.asked.append(request)
        said = self.server.lie(request) if self.server.lie else None
        self.wfile.write(self.server.truth(request) if said is None else said)
        # What has no length ends with the connection.
        return said is None or b"content-length:" in said.lower()


def certificate(directory, name="127.0.0.1", days=2):
    """A self-made certificate for an address; (context for a server, file for cacert)."""
    if not shutil.which("openssl"):
        pytest.skip("needs the openssl program")
    cert, key = f"{directory}/{name}.pem", f"{directory}/{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", str(days), "-subj", f"/CN={name}", "-addext",
         f"subjectAltName=IP:{name}", "-keyout", key, "-out", cert],
        check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert
