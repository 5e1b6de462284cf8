"""A forwarding proxy between the driver and its sandbox: a network that stalls, cuts and adds.

It takes the sandbox's place: mount(Proxy(sandbox())) goes through it, and everything else that one
asks of a sandbox (counts, requests, faults) it hands on. What the driver asked is in `asked`, what
came to be executed is in the sandbox's own journal.

    proxy.fault = lambda request: silent        # what becomes of this request: a function below
    proxy.fault = lambda request: None          # it is passed on, and so is its answer

A fault is called with the connection and the request, and says with True that the connection can go on.
"""

import contextlib
import select
import socket
import struct
import threading
import urllib.parse

from lib import PATIENCE


class Request:
    def __init__(self, connection, head, body):
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, target, _ = first.split(" ")
        parts = urllib.parse.urlsplit(target)
        self.target, self.path, self.query = target, parts.path, parts.query
        self.headers = [line for line in lines if line]
        self.connection, self.body = connection, body
        self.reused = connection.served > 0

    def __repr__(self):
        return f"{self.method} {self.target} (connection {self.connection.number})"


class Reader:
    """Of what comes over a socket: to a mark, or so many bytes."""

    def __init__(self, sock):
        self.sock, self.bytes = sock, b""

    def more(self):
        data = self.sock.recv(65536)
        self.bytes += data
        return bool(data)

    def head(self):
        while b"\r\n\r\n" not in self.bytes:
            if not self.more():
                return None
        head, _, self.bytes = self.bytes.partition(b"\r\n\r\n")
        return head

    def body(self, length):
        while len(self.bytes) < length and self.more():
            pass
        body, self.bytes = self.bytes[:length], self.bytes[length:]
        return body

    def rest(self):
        while self.more():
            pass
        return self.bytes


def length_of(lines):
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


class Connection:
    def __init__(self, proxy, sock, number):
        self.proxy, self.sock, self.number, self.served = proxy, sock, number, 0

    def send(self, data):
        self.sock.sendall(data)

    def serve(self):
        reader = Reader(self.sock)
        while (head := reader.head()) is not None:
            request = Request(self, head, b"")
            request.body = reader.body(length_of(request.headers))
            self.proxy.asked.append(request)
            fault = self.proxy.fault and self.proxy.fault(request)
            if not (fault or passed_on)(self, request):
                return
            self.served += 1

    def wait_for_the_end(self):
        """Until the driver hangs up, or the proxy is stopped."""
        while self.sock.recv(65536):
            pass

    def hang_up(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Proxy:
    def __init__(self, sandbox, listener=None):
        self.sandbox, self.fault, self.asked = sandbox, None, []
        self.listener = listener or socket.create_server(("127.0.0.1", 0), backlog=128)
        self.host = "%s:%d" % self.listener.getsockname()
        self.url = "http://" + self.host
        self.connections, self.threads = [], []
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def __getattr__(self, name):
        return getattr(self.sandbox, name)

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, sock, len(self.connections))
            self.connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _serve(self, connection):
        try:
            connection.serve()
        except OSError:
            pass  # the driver has hung up
        connection.sock.close()

    def forward(self, request):
        """Has it executed: the answer as (status line and header lines, body)."""
        lines = [line for line in request.headers if not line.lower().startswith("connection:")]
        head = [f"{request.method} {request.target} HTTP/1.1", *lines, "Connection: close"]
        host, port = self.sandbox.host.split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as upstream:
            upstream.sendall("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + request.body)
            reader = Reader(upstream)
            answer = reader.head()
            if answer is None:
                raise ConnectionError("the sandbox hung up")
            body = reader.rest()
        return [line for line in answer.decode("latin-1").split("\r\n")
                if line.lower().partition(":")[0] not in ("connection", "content-length")], body

    def open_connections(self):
        return [c for c in self.connections if c.sock.fileno() >= 0]

    def hang_up(self):
        """Of all connections: the next request comes on a new one."""
        for connection in self.connections:
            connection.hang_up()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        self.hang_up()
        for thread in self.threads:
            thread.join()


def joined(lines, body, length=None):
    """An answer's bytes. `length`: what it says of the body's."""
    length = len(body) if length is None else length
    return "\r\n".join([*lines, f"Content-Length: {length}"]).encode("latin-1") + b"\r\n\r\n" + body


# ---- what can become of a request

def passed_on(connection, request):
    connection.send(joined(*connection.proxy.forward(request)))
    return True


def silent(connection, request):
    connection.wait_for_the_end()


def executed_and_silent(connection, request):
    connection.proxy.forward(request)
    connection.wait_for_the_end()


def cut_off(at, then):
    """Executed. So much of the answer's head (below 0) or body (a share) comes, and then ..."""
    def fault(connection, request):
        lines, body = connection.proxy.forward(request)
        answer = joined(lines, body)
        if at < 0:
            connection.send(answer[:answer.index(b"\r\n\r\n") + at])
        else:
            connection.send(answer[:len(answer) - len(body) + int(at * len(body))])
            if not body:
                return True  # nothing is missing
        then(connection)
        return False
    return fault


def trickled(connection, request):
    """Executed. The answer comes in bytes, the last of them never."""
    answer = joined(*connection.proxy.forward(request))
    for byte in answer[:-1]:
        connection.send(bytes([byte]))
        if select.select([connection.sock], [], [], 0.02)[0]:
            return  # the driver has hung up
    connection.wait_for_the_end()


def dropped(connection, request):
    pass


def reset(connection, request):
    connection.reset()


def executed_and_dropped(connection, request):
    connection.proxy.forward(request)


def executed_and_reset(connection, request):
    connection.proxy.forward(request)
    connection.reset()


def executed_and_half_closed(connection, request):
    """No more will be said; listening goes on."""
    connection.proxy.forward(request)
    connection.sock.shutdown(socket.SHUT_WR)
    connection.wait_for_the_end()


def changed(change):
    """Executed; the answer's lines and body go through a function that makes bytes of them."""
    def fault(connection, request):
        connection.send(change(*connection.proxy.forward(request)))
        return True
    return fault


def changed_and_closed(change):
    def fault(connection, request):
        changed(change)(connection, request)
    return fault
