"""Real mounts against a real systemefs-sandbox: what the tests in this directory stand on.

    sandbox = ...            a running systemefs-sandbox, steered over its control endpoint
    mount = ...              a running systemefs; its files, its .systemefs, its log, its end

Both come from the factories in conftest.py, which also end them. Nothing here sleeps for a fixed
time: what is waited for has a descriptor, or a condition with a deadline.
"""

import contextlib
import ctypes
import http.client
import json
import os
import pathlib
import re
import select
import signal
import subprocess
import tempfile
import threading
import time

# The sanitizers make everything several times slower, and this machine may be busy.
PATIENCE = 60
# A mount that is alive for longer than this is taken to hang, and is killed.
MOUNT_LIFE = 300


def program(variable):
    path = os.environ.get(variable)
    assert path, f"set {variable} to the program to test"
    assert os.access(path, os.X_OK), f"{variable}={path} cannot be run"
    return os.path.abspath(path)


def wait_until(condition, what, patience=PATIENCE):
    """For conditions without a descriptor to wait on."""
    deadline = time.monotonic() + patience
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited {patience} s in vain: {what}"
        time.sleep(0.005)
    return result


def become_reaper():
    """Daemons come to us when their parent has gone: so their end can be seen."""
    pr_set_child_subreaper = 36
    assert ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0) == 0


def sanitizer_env(directory):
    """Reports go to files, because a daemon's standard error goes nowhere."""
    common = f"log_path={directory}/sanitizer:exitcode=99:abort_on_error=0"
    return {
        "ASAN_OPTIONS": f"{common}:detect_leaks=1",
        "UBSAN_OPTIONS": f"{common}:print_stacktrace=1:halt_on_error=1",
        "LSAN_OPTIONS": common,
        "TSAN_OPTIONS": f"{common}:second_deadlock_stack=1",
    }


def sanitizer_reports(directory):
    found = pathlib.Path(directory).glob("sanitizer.*")
    return [path.read_text(errors="replace") for path in found]


# ---- the sandbox ----


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.raw = response.read()

    @property
    def json(self):
        return json.loads(self.raw)


class Counted:
    """What the sandbox was asked while counting() ran. Filled when the block ends."""

    total = writes = None
    requests = ()  # of the API, oldest first, as GET /_sandbox/requests shows them

    @property
    def lines(self):
        """For a failed assertion to show."""
        return [
            f"{r['method']} {r['path']}{'?' if r['query'] else ''}{r['query'] or ''} {r['status']}"
            for r in self.requests
        ]

    @property
    def sent(self):
        """What was to change something: method, path, body."""
        return [(r["method"], r["path"], r["body"]) for r in self.requests if r["method"] != "GET"]

    def __repr__(self):
        return "\n".join([f"{self.total} requests:", *self.lines[:50]])


class Sandbox:
    """One running systemefs-sandbox. Options are those of its command line: contacts=1000,
    nasty_names=True."""

    def __init__(self, directory, args=(), **options):
        self.directory = directory
        self.mounts = []  # to settle before counting
        command = [program("SYSTEMEFS_SANDBOX"), "--die-with-parent"]
        for name, value in options.items():
            name = "--" + name.replace("_", "-")
            command += [name] if value is True else [f"{name}={value}"]
        ready, ready_child = os.pipe()
        self.log_path = os.path.join(directory, "sandbox.log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [*command, f"--ready-fd={ready_child}", *args],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, **sanitizer_env(directory)},
                pass_fds=[ready_child],
            )
        os.close(ready_child)
        # An end of file without a line means that it ended before it listened.
        select.select([ready], [], [], PATIENCE)
        os.set_blocking(ready, False)
        with os.fdopen(ready) as stream:
            line = stream.readline()
        assert line, "the sandbox did not start: " + open(self.log_path).read()
        self.url, self.key, self.gateway_key = line.split()
        self.host = self.url.removeprefix("http://")

    # -- HTTP

    def request(self, method, path, body=None, headers=None, timeout=PATIENCE):
        connection = http.client.HTTPConnection(self.host, timeout=timeout)
        try:
            headers = dict(headers or {})
            if body is not None and not isinstance(body, (bytes, str)):
                body = json.dumps(body)
            if isinstance(body, str):
                body = body.encode()
            if body is not None and "Content-Type" not in headers:
                patch = "merge-patch+" if method == "PATCH" else ""
                headers["Content-Type"] = f"application/{patch}json"
            connection.request(method, path, body, headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def api(self, method, path, body=None, **more):
        """A request of somebody else: it counts."""
        return self.request(method, path, body, {"X-API-Key": self.key}, **more)

    def gateway(self, method, path, body=None, **more):
        return self.request(
            method, path, body, {"Authorization": "Bearer " + self.gateway_key}, **more
        )

    def get(self, path):
        answer = self.api("GET", path)
        assert answer.status == 200, (path, answer.status, answer.raw)
        return answer.json

    def all(self, path, **query):
        """A list to its end, as the API says it must be walked; in the API's order."""
        found, after = [], None
        while True:
            args = {"limit": 100, **query, **({"startingAfter": after} if after else {})}
            page = self.get(path + "?" + "&".join(f"{k}={v}" for k, v in args.items()))
            found += page["items"]
            if not page.get("hasMore"):
                return found
            after = found[-1]["id"]

    def connections(self):
        return self.gateway("GET", "/connections?app=systeme").json["connections"]

    # -- control: none of these is counted

    def control(self, method, name, body=None):
        answer = self.request(method, "/_sandbox/" + name, body)
        assert answer.status == 200, (method, name, body, answer.status, answer.raw)
        return answer.json

    def faults(self, *rules):
        self.control("POST", "faults", list(rules))

    def clear_faults(self):
        """Also lets go of what hangs."""
        self.control("DELETE", "faults")

    def latency(self, ms, most=None):
        self.control("POST", "latency", {"ms": ms, "max": most if most is not None else ms})

    def quota(self, limit, seconds=60, **more):
        self.control("POST", "quota", {"limit": limit, "seconds": seconds, **more})

    def world(self):
        return self.control("GET", "world")

    def change(self, op, **members):
        """Something happens behind the driver's back. Returns the id of what was made, or 0."""
        return self.control("POST", "world", {"op": op, **members})["id"]

    def counts(self):
        return self.control("GET", "counts")

    def requests(self):
        return self.control("GET", "requests")

    @contextlib.contextmanager
    def counting(self):
        """What is asked inside the block, with what the driver fetches ahead because of it."""
        self.settle()
        before = self.counts()
        seen = self.requests()
        last = seen[-1]["number"] if seen else 0
        counted = Counted()
        yield counted
        self.settle()
        after = self.counts()
        counted.total = after["total"] - before["total"]
        counted.writes = after["writes"] - before["writes"]
        counted.requests = [r for r in self.requests() if r["number"] > last]

    def settle(self):
        for mount in self.mounts:
            if mount.alive():
                mount.settle()

    def wait_for_requests(self, count, patience=PATIENCE):
        """Until the sandbox has been asked so many things in all."""
        wait_until(lambda: self.counts()["total"] >= count, f"{count} requests", patience)

    # -- the end

    def stop(self):
        """Problems, as texts."""
        if self.process.poll() is None:
            with contextlib.suppress(OSError, AssertionError):
                self.clear_faults()
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return ["the sandbox did not end"]
        problems = [f"the sandbox ended with {code}"] if code else []
        return problems + sanitizer_reports(self.directory)


# ---- the mount ----


def mount_points():
    """The kernel's number of each mount, and where it is."""
    with open("/proc/self/mountinfo", "rb") as lines:
        rows = [line.split() for line in lines]
    plain = lambda text: re.sub(rb"\\(\d{3})", lambda m: bytes([int(m[1], 8)]), text)
    return {int(row[0]): os.fsdecode(plain(row[4])) for row in rows}


def mounts_at(path):
    return {number for number, where in mount_points().items() if where == str(path)}


def mounted(path):
    """Whether something is mounted there."""
    return bool(mounts_at(path))


def mounts_below(path):
    return [where for where in mount_points().values() if where.startswith(str(path) + "/")]


def private_env(directory, **more):
    """Nothing of the person who runs the tests: no config file, no key, no proxy."""
    env = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LANG": "C.UTF-8",
        "HOME": f"{directory}/home",
        "XDG_CONFIG_HOME": f"{directory}/config",
        "XDG_STATE_HOME": f"{directory}/state",
        "XDG_CACHE_HOME": f"{directory}/cache",
        "XDG_RUNTIME_DIR": f"{directory}/run",
        **sanitizer_env(directory),
        **more,
    }
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        os.makedirs(env[name], mode=0o700, exist_ok=True)
    return env


def holders(path):
    """Who is in there, for a failed unmount to say."""
    found = []
    for entry in [*pathlib.Path("/proc").glob("[0-9]*/cwd"), *pathlib.Path("/proc").glob("[0-9]*/fd/*")]:
        with contextlib.suppress(OSError):
            if os.readlink(entry).startswith(str(path)):
                command = pathlib.Path("/proc", entry.parts[2], "cmdline").read_bytes()
                found.append(f"{entry} -> {os.readlink(entry)} {command!r}")
    return "".join("\n" + line for line in found)


class Mount:
    """One running systemefs.

    sandbox     the API it speaks to
    mode        "direct" or "gateway"
    background  as a daemon, as people start it; else with -f, and the log is kept
    path        the mount point; made when left out
    env, args   more of both
    within      words before the command: ("nsenter", "--net=...")
    options     those of -o: ttl=0, umask="022", ro=True

    start() mounts; the factory in conftest.py calls it.
    """

    def __init__(self, directory, sandbox, mode="direct", background=False, path=None, env=None,
                 args=(), within=(), **options):
        self.directory, self.sandbox, self.mode = str(directory), sandbox, mode
        self.within = list(within)
        self.background = background
        self.path = pathlib.Path(path or os.path.join(directory, "mnt"))
        self.path.mkdir(exist_ok=True)
        if mode == "gateway":
            keys = {"MATON_API_KEY": sandbox.gateway_key}
            urls = {"api_url": sandbox.url + "/systeme", "ctrl_url": sandbox.url}
        else:
            assert mode == "direct", mode
            keys, urls = {"SYSTEME_API_KEY": sandbox.key}, {"api_url": sandbox.url}
        self.env = private_env(self.directory, **{**keys, **(env or {})})
        self.command = [program("SYSTEMEFS")]
        for name, value in {**urls, **options}.items():
            self.command += ["-o", name if value is True else f"{name}={value}"]
        self.command += [*args, str(self.path)]
        self.log_path = os.path.join(self.directory, "mount.log")
        self.pid = None
        self.others = set()  # mounts that were here before
        self.exit_code = None
        self.problems = []
        self.timer = None
        sandbox.mounts.append(self)

    # -- its life

    def start(self):
        self.exit_code = None
        before = self.others = mounts_at(self.path)
        with open(self.log_path, "ab") as log:
            command, *args = self.command
            process = subprocess.Popen(
                [*self.within, command, *([] if self.background else ["-f"]), *args],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
                cwd=self.directory,
            )
        if self.background:
            try:
                code = process.wait(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AssertionError("systemefs neither mounted nor failed")
            assert code == 0, f"systemefs ended with {code}: {self.log()}"
            self.pid = self._daemon_pid()
        else:
            self.pid = process.pid
            process.returncode = 0  # it is ours to wait for, not Popen's
            self._wait_for_mount(before)
        self.timer = threading.Timer(MOUNT_LIFE, self._hangs)
        self.timer.daemon = True
        self.timer.start()

    def _wait_for_mount(self, before):
        """Until there is a mount that was not there `before`. The kernel marks the list of mounts as
        readable when it has changed."""
        deadline = time.monotonic() + PATIENCE
        pidfd = os.pidfd_open(self.pid)
        with open("/proc/self/mounts", "rb") as mounts:
            poll = select.poll()
            poll.register(mounts, select.POLLPRI | select.POLLERR)
            poll.register(pidfd, select.POLLIN)
            while not mounts_at(self.path) - before:
                assert time.monotonic() < deadline, f"systemefs did not mount: {self.log()}"
                for fd, _ in poll.poll(1000):
                    if fd == pidfd:
                        self._reap()
                        self.pid = None
                        os.close(pidfd)
                        raise AssertionError(
                            f"systemefs ended with {self.exit_code}: {self.log()}")
                os.pread(mounts.fileno(), 1, 0)
        os.close(pidfd)
        os.stat(self.path)  # waits for the first answer

    def _daemon_pid(self):
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as f:
                    words = f.read().split(b"\0")
            except OSError:
                continue
            if words[0] == os.fsencode(self.command[0]) and os.fsencode(self.path) in words:
                return int(entry)
        raise AssertionError("there is no daemon")

    def _hangs(self):
        self.problems.append(f"the mount was killed after {MOUNT_LIFE} s")
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def _reap(self):
        try:
            _, status = os.waitpid(self.pid, 0)
            self.exit_code = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            self.exit_code = None

    def alive(self):
        return self.pid is not None

    def wait_for_end(self, patience=PATIENCE):
        """Waits until the program has ended by itself; its exit code."""
        if self.pid is None:
            return self.exit_code
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            pidfd = -1
        if pidfd >= 0:
            ended = select.select([pidfd], [], [], patience)[0]
            os.close(pidfd)
            assert ended, "systemefs did not end"
        self._reap()
        if self.timer:
            self.timer.cancel()
        self.pid = None
        return self.exit_code

    def signal(self, number):
        os.kill(self.pid, number)

    def unmount(self):
        """As a person does it. Raises where something was not as it should be."""
        problems = self.close()
        assert not problems, "\n".join(problems)

    def remount(self):
        """Ends it and starts it again: same place, same account."""
        self.unmount()
        self.start()

    def crash(self):
        """kill -9. What was in memory only is gone; start() begins with what is on disk."""
        self.signal(signal.SIGKILL)
        self.crashed()

    def crashed(self):
        """Waits until it has been killed, and clears the mount point away."""
        assert self.wait_for_end() == -signal.SIGKILL, self.log()
        subprocess.run(["fusermount3", "-u", "-z", str(self.path)], check=True)

    def close(self):
        """Ends it whatever happened. Problems, as texts."""
        problems, self.problems = self.problems, []
        if self.pid is not None:
            if mounted(self.path):
                done = subprocess.run(["fusermount3", "-u", str(self.path)], capture_output=True,
                                      text=True, check=False)
                if done.returncode:
                    problems.append("cannot unmount: " + done.stderr.strip() + holders(self.path))
                    subprocess.run(["fusermount3", "-u", "-z", str(self.path)], check=False,
                                   capture_output=True)
            try:
                code = self.wait_for_end(patience=PATIENCE)
            except AssertionError as e:
                problems.append(str(e))
                os.kill(self.pid, signal.SIGKILL)
                code = self.wait_for_end()
            if code != 0:
                problems.append(f"systemefs ended with {code}; its log ends with:\n"
                                + self.log()[-2000:])
        if mounts_at(self.path) - self.others:
            problems.append("a mount was left")
            subprocess.run(["fusermount3", "-u", "-z", str(self.path)], check=False,
                           capture_output=True)
        return problems + sanitizer_reports(self.directory)

    def settle(self):
        """Until nothing is under way between the driver and the API."""
        idle = {"requests-waiting": "0", "requests-under-way": "0", "saves-under-way": "0"}
        wait_until(lambda: {k: self.status()[k] for k in idle} == idle, "an idle driver")

    # -- its files

    def __truediv__(self, name):
        return self.path / name

    def read(self, name):
        return (self.path / name).read_bytes()

    def text(self, name):
        return (self.path / name).read_text(encoding="utf-8")

    def json(self, name):
        return json.loads(self.read(name))

    def ls(self, name="."):
        """In the order in which the directory gives them."""
        return os.listdir(self.path / name)

    def stat(self, name):
        return os.lstat(self.path / name)

    def run(self, *command, check=True, **more):
        """A program with the mount as its working directory. A text is for the shell."""
        shell = len(command) == 1 and isinstance(command[0], str) and " " in command[0]
        done = subprocess.run(command[0] if shell else list(map(str, command)), shell=shell,
                              cwd=self.path, capture_output=True, timeout=MOUNT_LIFE, check=False,
                              **{"text": True, "env": tool_env(), **more})
        if check:
            assert done.returncode == 0, (
                command, done.returncode, done.stdout[-1000:], done.stderr[-1000:])
        return done

    # -- .systemefs

    def status(self):
        lines = self.text(".systemefs/status").splitlines()
        return dict(line.split(": ", 1) for line in lines)

    def errors(self):
        return self.text(".systemefs/errors").splitlines()

    def requests(self):
        return self.text(".systemefs/requests").splitlines()

    def ctl(self, command):
        """Raises OSError where the command is refused."""
        fd = os.open(self.path / ".systemefs/ctl", os.O_WRONLY)
        try:
            os.write(fd, (command + "\n").encode())
        finally:
            os.close(fd)

    def why(self, name):
        """Why the last operation on it failed; None: it did not."""
        path, attribute = self.path / name, "user.systemefs.error"
        return os.getxattr(path, attribute).decode() if attribute in os.listxattr(path) else None

    def kept(self, shelf):
        """What is in "drafts" or "trash": paths below it, and their bytes."""
        top = self.path / ".systemefs" / shelf
        return {str(path.relative_to(top)): path.read_bytes()
                for path in top.rglob("*") if path.is_file()}

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    # -- for a report

    def tail(self, name, lines=30):
        """Of a file in .systemefs; asks another program, because the mount may hang."""
        try:
            done = subprocess.run(["tail", "-n", str(lines), str(self.path / ".systemefs" / name)],
                                  capture_output=True, text=True, timeout=5, check=False)
        except subprocess.TimeoutExpired:
            return "(the mount does not answer)"
        return done.stdout + done.stderr

    def report(self):
        title = f"{' '.join(self.command)} ({'alive' if self.alive() else 'ended'})"
        parts = [title]
        if self.alive():
            parts += [f"-- {name}\n{self.tail(name)}" for name in ("errors", "requests", "status")]
        return "\n".join([*parts, "-- log\n" + self.log()[-4000:]])


def tool_env():
    """For programs that read the tree: their messages and order must not depend on a locale."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8",
            "HOME": tempfile.gettempdir()}


def compact(value):
    """A body as the driver sends it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def pretty(value):
    """The pretty form that the contract promises for a record."""
    return json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"
