"""Exact requests and replies as data: the file format, the server, and the run of one case.

A case is a text file:

    A contact by its id: one GET.               the title
    fact: where the API's behaviour is known from
    mode: direct                                or gateway
    options: ttl=0,timeout=5                    more -o options; may be left out

    === run cat contacts/5.json                 a shell command, run in the mount ...
    === request GET /api/contacts/5             ... the requests that it must cause, in this order,
    X-Example: also this header                 with the usual headers and these,
    === reply gzip                              and the bytes to answer with
    HTTP/1.1 200 OK
    Content-Type: application/json

    {"id":5}
    === output                                  exactly what it prints (stderr too); else nothing
    {
      "id": 5
    }
    === exit 0                                  may be left out

    === fails EACCES open contacts/6.json       a system call (see CALLS) and its errno
    === request ...

    === fails EEXIST save contacts/new.json     open, write and close: the errno of what fails first
    === text                                    what to save
    {"email": "ada@example.com"}
    === request POST /api/contacts
    X-Example: -                                this header must not be there

    {"email":"ada@example.com"}                 behind an empty line: exactly the body
    === reply ...

A step without requests must cause none, a request without a body must have none. With a body it
must have its Content-Length, and the Content-Type of its method. In all texts $HOST is the server's
host and port, $KEY the key, $VERSION the version of the program; a line of text or output that is
$EMPTY has nothing in it, and $NUL in a text is the character of that name.

Words behind `reply`:
    gzip         compress the body, and say so
    chunked N    send the body in chunks of N bytes, and say so
    cut N        send only N bytes of the body, and close
    close        close afterwards (in HTTP/1.1 style: the headers must say so themselves)
    delay MS     wait before answering
    bare         add no Content-Length
    lost         send nothing, and close
Behind `request`:
    on N         it must come over the Nth connection that the server has seen
"""

import contextlib
import errno
import gzip
import os
import re
import shlex
import socket
import subprocess
import threading
import time

KEYS = {"direct": "wire-direct-key-0123", "gateway": "wire-gateway-key-4567"}
WAIT = 20  # seconds that anything here may take
BODY_TYPES = {
    "POST": "application/json",
    "PUT": "application/json",
    "PATCH": "application/merge-patch+json",
}


class WireError(AssertionError):
    """The case does not hold."""


# ---- the file ----


class Step:
    def __init__(self, line, kind, text):
        self.line = line
        self.kind = kind  # run, fails
        self.text = text
        self.exchanges = []  # (Request, Reply)
        self.save = ""
        self.output = ""
        self.exit = 0


class Request:
    def __init__(self, line, text):
        words = text.split()
        self.line = line
        self.connection = None
        if "on" in words:
            at = words.index("on")
            self.connection = int(words[at + 1])
            del words[at : at + 2]
        self.method, self.path = words
        self.headers = {}
        self.body = b""

    def must_have(self, usual):
        """The headers that it must have, by lower-case name; None: whatever it says."""
        headers = dict(usual)
        if self.body:
            headers["content-type"] = BODY_TYPES.get(self.method)
            headers["content-length"] = str(len(self.body))
        headers.update(self.headers)
        return {name: value for name, value in headers.items() if value != "-"}


class Reply:
    def __init__(self, text):
        self.words = {}
        words = text.split()
        while words:
            word = words.pop(0)
            if word not in ("gzip", "chunked", "cut", "close", "delay", "bare", "lost"):
                raise WireError("unknown word behind reply: " + word)
            self.words[word] = int(words.pop(0)) if word in ("chunked", "cut", "delay") else True
        self.head = []
        self.body = b""

    def wire_bytes(self):
        if "lost" in self.words:
            return b""
        body, head = self.body, list(self.head)
        if "gzip" in self.words:
            body = gzip.compress(body, mtime=0)
            head.append("Content-Encoding: gzip")
        if "chunked" in self.words:
            size = self.words["chunked"]
            parts = [body[i : i + size] for i in range(0, len(body), size)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"
            head.append("Transfer-Encoding: chunked")
        elif "bare" not in self.words:
            head.append("Content-Length: %d" % len(body))
        if "cut" in self.words:
            body = body[: self.words["cut"]]
        return "".join(line + "\r\n" for line in head).encode() + b"\r\n" + body


def split_message(lines):
    """The lines before the first empty one, and the bytes behind it."""
    at = lines.index("") if "" in lines else len(lines)
    return lines[:at], "\n".join(lines[at + 1 :]).encode()


def whole_lines(lines):
    return "".join(("" if line == "$EMPTY" else line) + "\n" for line in lines)


class Case:
    def __init__(self, path):
        self.path = path
        self.title = self.fact = ""
        self.mode, self.options = "direct", ""
        self.steps = []
        with open(path, encoding="utf-8", newline="\n") as f:
            self._parse(f.read())
        if not self.title or not self.fact or not self.steps or self.mode not in KEYS:
            raise WireError("%s: a case needs a title, a fact, a mode and steps" % path)

    def _parse(self, text):
        sections = []  # (line number, heading, lines)
        head = []
        for number, line in enumerate(text.split("\n"), 1):
            if line.startswith("=== "):
                sections.append((number, line[4:], []))
            elif sections:
                sections[-1][2].append(line)
            elif line:
                head.append(line)
        if not head:
            raise WireError("%s: empty" % self.path)
        self.title = head[0]
        for line in head[1:]:
            if line.startswith("  "):
                self.fact += " " + line.strip()
                continue
            name, _, value = line.partition(": ")
            if name not in ("fact", "mode", "options"):
                raise WireError("%s: %s?" % (self.path, name))
            setattr(self, name, value)
        for number, heading, lines in sections:
            self._section(number, heading, lines)

    def _section(self, number, heading, lines):
        while lines and not lines[-1]:
            lines.pop()
        word, _, rest = heading.partition(" ")
        if word in ("run", "fails"):
            self.steps.append(Step(number, word, rest))
            return
        if not self.steps:
            raise WireError("%s:%d: before the first step" % (self.path, number))
        step = self.steps[-1]
        if word == "request":
            request = Request(number, rest)
            head, request.body = split_message(lines)
            for line in head:
                name, _, value = line.partition(": ")
                request.headers[name.lower()] = value
            step.exchanges.append([request, None])
        elif word == "reply":
            reply = Reply(rest)
            reply.head, reply.body = split_message(lines)
            step.exchanges[-1][1] = reply
        elif word == "text":
            step.save = whole_lines(lines).replace("$NUL", "\0")
        elif word == "output":
            step.output = whole_lines(lines)
        elif word == "exit":
            step.exit = int(rest)
        else:
            raise WireError("%s:%d: %s?" % (self.path, number, word))

    def fill_in(self, values):
        """Puts host, key and version into all texts."""

        def f(text):
            return re.sub(r"\$(HOST|KEY|VERSION)\b", lambda m: values[m[1]], text)

        self.options = f(self.options)
        for step in self.steps:
            step.text, step.save, step.output = f(step.text), f(step.save), f(step.output)
            for request, reply in step.exchanges:
                request.path = f(request.path)
                request.headers = {k: f(v) for k, v in request.headers.items()}
                request.body = f(request.body.decode()).encode()
                if reply is None:
                    raise WireError("%s:%d: a request without a reply" % (self.path, request.line))
                reply.head = [f(line) for line in reply.head]
                reply.body = f(reply.body.decode()).encode()


# ---- the server ----


def shown(body):
    return body.decode(errors="backslashreplace") if body else "(none)"


class Server:
    """Answers the expected requests in order, and keeps a list of everything that was wrong."""

    def __init__(self, usual):
        self.usual = usual  # headers of every request, by lower-case name; None: anything
        self.lock = threading.Lock()
        self.expected = []
        self.wrong = []
        self.served = 0
        self.connections = 0
        self.open = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def expect(self, exchanges):
        with self.lock:
            self.expected = list(exchanges)

    def missing(self):
        with self.lock:
            return [request for request, _ in self.expected]

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            for connection in self.open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # the other side was faster
        self.thread.join(WAIT)

    def _accept(self):
        threads = []
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                break
            with self.lock:
                self.connections += 1
                self.open.add(connection)
                number = self.connections
            threads.append(
                threading.Thread(target=self._serve, args=(connection, number), daemon=True)
            )
            threads[-1].start()
        for thread in threads:
            thread.join(WAIT)

    def _serve(self, connection, number):
        with connection:
            try:
                stream = connection.makefile("rb")
                while self._one(connection, stream, number):
                    pass
            except OSError:
                pass  # the client has gone
        with self.lock:
            self.open.discard(connection)

    def _one(self, connection, stream, number):
        line = stream.readline()
        if not line:
            return False
        headers = []
        while True:
            header = stream.readline()
            if header in (b"\r\n", b""):
                break
            name, _, value = header.decode().rstrip("\r\n").partition(": ")
            headers.append((name.lower(), value))
        body = stream.read(int(dict(headers).get("content-length", 0)))
        with self.lock:
            reply = self._judge(line.decode().rstrip("\r\n"), headers, body, number)
            self.served += 1
        if reply is None:
            connection.sendall(b"HTTP/1.1 418 Not expected\r\nContent-Length: 0\r\n\r\n")
            return True
        if "delay" in reply.words:
            time.sleep(reply.words["delay"] / 1000)
        connection.sendall(reply.wire_bytes())
        return not {"close", "cut", "lost"} & reply.words.keys()

    def _judge(self, line, headers, body, number):
        if not self.expected:
            self.wrong.append("an extra request: %s\n%s" % (line, shown(body)))
            return None
        request, reply = self.expected[0]
        wanted = "%s %s HTTP/1.1" % (request.method, request.path)
        if line != wanted:
            self.wrong.append("another request: %s\n  instead of: %s" % (line, wanted))
            return None
        self.expected.pop(0)
        must = request.must_have(self.usual)
        given = dict(headers)
        if len(given) != len(headers):
            self.wrong.append("%s: a header twice: %s" % (line, headers))
        for name in sorted(must.keys() | given.keys()):
            if name not in given:
                self.wrong.append("%s: no header %s" % (line, name))
            elif name not in must:
                self.wrong.append("%s: an extra header %s: %s" % (line, name, given[name]))
            elif must[name] is not None and must[name] != given[name]:
                self.wrong.append(
                    "%s: %s: %s, not %s" % (line, name, given[name], must[name])
                )
        if body != request.body:
            self.wrong.append(
                "%s: body:\n%s\n  instead of:\n%s" % (line, shown(body), shown(request.body))
            )
        if "gzip" not in given.get("accept-encoding", ""):
            self.wrong.append("%s: gzip is not offered" % line)
        if request.connection and request.connection != number:
            self.wrong.append(
                "%s: over connection %d, not %d" % (line, number, request.connection)
            )
        return reply


# ---- a run ----


def usual_headers(mode, host, version):
    key = KEYS[mode]
    headers = {
        "host": host,
        "user-agent": "systemefs/" + version,
        "accept": "application/json",
        "accept-encoding": None,
    }
    if mode == "direct":
        headers["x-api-key"] = key
    else:
        headers["authorization"] = "Bearer " + key
    return headers


def save(path, text):
    """As a careful program does it: the close may be what fails, and counts."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        left = text.encode()
        while left:
            left = left[os.write(fd, left) :]
    except OSError:
        with contextlib.suppress(OSError):
            os.close(fd)
        raise
    os.close(fd)


# By the word behind the errno: what it does, and what its arguments are (P: a path below the mount
# point; W: a word as it stands; N: a number; T: the step's text).
CALLS = {
    "open": (lambda path: os.close(os.open(path, os.O_RDONLY)), "P"),
    "stat": (os.lstat, "P"),
    "list": (os.listdir, "P"),
    "getxattr": (os.getxattr, "PW"),
    "save": (save, "PT"),
    "truncate": (os.truncate, "PN"),
    "mkdir": (os.mkdir, "P"),
    "rmdir": (os.rmdir, "P"),
    "unlink": (os.unlink, "P"),
    "rename": (os.rename, "PP"),
    "link": (os.link, "PP"),
    "symlink": (os.symlink, "WP"),
}


def system_call(mount, line, text):
    """Does what a `fails` line says; returns the errno, 0 when it succeeds."""
    word, *words = shlex.split(line)
    if word not in CALLS:
        raise WireError("unknown system call: " + word)
    call, kinds = CALLS[word]
    if len(words) != len(kinds.replace("T", "")):
        raise WireError("arguments of %s: %s" % (word, line))
    read = {"P": lambda word: os.path.join(mount, word), "W": str, "N": int, "T": str}
    values = [read[kind](value) for kind, value in zip(kinds, [*words, text])]
    try:
        call(*values)
    except OSError as e:
        return e.errno
    return 0


class Mount:
    def __init__(self, program, case, server, home):
        self.path = os.path.join(home, "mount")
        self.log = os.path.join(home, "log")
        os.mkdir(self.path)
        clean = {k: v for k, v in os.environ.items() if not re.search("proxy|^XDG_|_API_KEY$", k, re.I)}
        variable = "SYSTEME_API_KEY" if case.mode == "direct" else "MATON_API_KEY"
        base = "http://" + server.host
        options = "api_url=" + base
        if case.mode == "gateway":
            options += "/systeme,ctrl_url=" + base
        if case.options:
            options += "," + case.options
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [program, "-f", "-o", options, self.path],
                env={**clean, "HOME": home, variable: KEYS[case.mode]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + WAIT
        while not os.path.ismount(self.path):
            if self.process.poll() is not None or time.monotonic() > until:
                self.process.kill()
                raise WireError("it does not mount: " + self.read_log())
            time.sleep(0.005)

    def read_log(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def run(self, command):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.path,
            env={**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=WAIT,
        )
        return done.stdout.decode(errors="replace"), done.returncode

    def requests(self):
        """What the program itself says: requests made, and under way or waiting."""
        with open(os.path.join(self.path, ".systemefs/status"), encoding="utf-8") as f:
            rows = dict(line.rstrip("\n").split(": ", 1) for line in f)
        return (
            int(rows["requests-made"]),
            int(rows["requests-waiting"]) + int(rows["requests-under-way"]),
        )

    def end(self):
        subprocess.run(["fusermount3", "-u", self.path], check=True, timeout=WAIT)
        return self.process.wait(WAIT)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if os.path.ismount(self.path):
            subprocess.run(["fusermount3", "-uz", self.path], check=False, timeout=WAIT)


def check_step(case, step, mount, server):
    __tracebackhide__ = True  # the message says it all
    where = "%s:%d: %s %s" % (os.path.basename(case.path), step.line, step.kind, step.text)
    server.expect(step.exchanges)
    if step.kind == "run":
        output, code = mount.run(step.text)
    else:
        wanted, _, call = step.text.partition(" ")
        output, code = "", 0
        got = system_call(mount.path, call, step.save)
        if got != getattr(errno, wanted):
            output = "errno %s, not %s\n" % (errno.errorcode.get(got, got), wanted)

    problems = list(server.wrong)
    problems += ["missing: %s %s" % (r.method, r.path) for r in server.missing()]
    if output != step.output:
        problems.append("output:\n%s  instead of:\n%s" % (output, step.output))
    if code != step.exit:
        problems.append("exit code %d, not %d" % (code, step.exit))
    made, pending = mount.requests()
    if not problems and (made, pending) != (server.served, 0):
        problems.append("%d requests made, %d more to come, %d served" % (made, pending, server.served))
    if problems:
        raise WireError("\n".join([where, *problems]))


def run_case(program, version, case, home):
    __tracebackhide__ = True
    server = Server({})
    mount = None
    try:
        server.usual = usual_headers(case.mode, server.host, version)
        case.fill_in({"HOST": server.host, "KEY": KEYS[case.mode], "VERSION": version})
        mount = Mount(program, case, server, str(home))
        for step in case.steps:
            check_step(case, step, mount, server)
        code = mount.end()
        log = mount.read_log()
        if server.wrong:
            raise WireError("after the last step: " + "; ".join(server.wrong))
        if code != 0:
            raise WireError("systemefs ended with %d\n%s" % (code, log))
        if KEYS[case.mode] in log:
            raise WireError("the key is in the log")
    finally:
        if mount:
            mount.kill()
        server.close()
