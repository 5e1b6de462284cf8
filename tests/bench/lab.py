"""Where it happens: sandboxes, their records as files on tmpfs, the way there, what is ended when.

Everything here is a context, or belongs to the Lab's one stack of contexts: what was started is
ended, what was mounted is unmounted, however the run ends.
"""

import contextlib
import ctypes
import hashlib
import math
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from build import HERE, found

sys.path.append(str(HERE.parent / "mount"))
import lib  # noqa: E402

# The tests' mounts are killed after five minutes; a walk with one job takes longer.
lib.MOUNT_LIFE = 24 * 3600
lib.PATIENCE = 600

ENV = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "HOME": "/",
       "no_proxy": "*"}
TMPFS = "/dev/shm"


class Missing(Exception):
    """A contestant cannot take part here, and why."""


class Wrong(Exception):
    """A contestant did something, but not what it should."""


def die_with_parent():
    """Between fork and exec: should this program be killed, its children end, too."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)


@contextlib.contextmanager
def running(command, log, **more):
    """A program in the background, ended with SIGTERM. Its output goes to the file `log`."""
    with open(log, "ab") as out:
        process = subprocess.Popen(command, **{
            "stdin": subprocess.DEVNULL, "stdout": out, "stderr": out, "env": ENV,
            "preexec_fn": die_with_parent, "start_new_session": True, **more})
    try:
        yield process
    finally:
        end(process)


def end(process, number=signal.SIGTERM, patience=20):
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout:
        process.stdout.close()


def wait_until(condition, what, patience, log=None):
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            tail = pathlib.Path(log).read_text(errors="replace")[-300:].strip() if log else ""
            raise Missing(f"{what} did not come in {patience} s; {' '.join(tail.split())}")
        time.sleep(0.01)


def unmount(path, command="fusermount3"):
    """Whatever is mounted there, and however it feels."""
    if not lib.mounted(path):
        return
    tries = [["fusermount3", "-u"], ["umount"], ["fusermount3", "-u", "-z"], ["umount", "-l"]]
    if command == "umount":
        tries[0], tries[1] = tries[1], tries[0]
    for words in tries:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run([*words, str(path)], capture_output=True, check=False, timeout=60)
        if not lib.mounted(path):
            return


class Files:
    """The records of a sandbox as files on tmpfs, as the mount shows them.

    path    contacts/: a file each, and by-email/ with a symlink each, as in the mount
    flat    the first `count` of the files in a directory of their own, for the peers
    """

    def __init__(self, top, sandbox, count):
        self.count, self.top = count, pathlib.Path(top)
        self.path = self.top / "contacts"
        links = self.path / "by-email"
        os.makedirs(links)
        self.names = []
        for record in sandbox.all("/api/contacts", order="asc"):
            name = f"{record['id']}.json"
            (self.path / name).write_bytes(lib.pretty(record))
            label = record["email"].replace("/", "%2F")[:240]
            link = links / f"{label}.json"
            if link.is_symlink():
                link = links / f"{label} ({record['id']}).json"
            link.symlink_to(f"../{name}")
            self.names.append(name)
        if len(self.names) != count:
            raise Wrong(f"the API has {len(self.names)} contacts, not {count}")
        self._digest = None

    def flat(self, count):
        """contacts/ is below it, because davfs2 reads the top when it mounts."""
        path = self.top / f"first-{count}"
        if not path.exists():
            os.makedirs(path / "contacts")
            for name in self.names[:count]:
                os.link(self.path / name, path / "contacts" / name)
        return path

    @property
    def digest(self):
        self._digest = self._digest or digest(self.path)
        return self._digest


def digest(path):
    """Of all bytes of the records in a directory, in the order of their names."""
    command = ("find . -maxdepth 1 -name '*.json' -printf '%f\\0' | sort -z | xargs -0 -r cat"
               " | sha256sum")
    done = subprocess.run(["sh", "-c", command], cwd=path, env={**ENV, "LC_ALL": "C"},
                          capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:
        raise Wrong(f"reading all files: {done.stderr[-300:]}")
    return done.stdout.split()[0]


class Lab:
    """What the contestants share. `options` are those of the command line."""

    def __init__(self, options, programs):
        self.options, self.programs = options, programs
        self.stack = contextlib.ExitStack()
        self.checked = set()  # (row, contestant): all its bytes were compared
        self._sandbox, self._sandbox_count = None, None
        self._files, self._delays, self._servers = {}, {}, {}

    def __enter__(self):
        os.environ["SYSTEMEFS"] = self.programs["systemefs"]
        os.environ["SYSTEMEFS_SANDBOX"] = self.programs["sandbox"]
        self.work = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="sfs-bench-"))
        self.memory = None
        if os.access(TMPFS, os.W_OK) and any(
                line.split()[1:3] == [TMPFS, "tmpfs"] for line in open("/proc/mounts")):
            self.memory = self.stack.enter_context(
                tempfile.TemporaryDirectory(prefix="sfs-bench-", dir=TMPFS))
            os.chmod(self.memory, 0o755)
        os.chmod(self.work, 0o755)
        return self

    def __exit__(self, *why):
        # A second Ctrl-C must not stop the cleaning up.
        before = [(n, signal.signal(n, signal.SIG_IGN)) for n in (signal.SIGINT, signal.SIGTERM)]
        try:
            for path in lib.mounts_below(self.work):
                unmount(path)
            self.stack.callback(self._end_sandbox)
            self.stack.close()
        finally:
            for number, handler in before:
                signal.signal(number, handler)

    # -- the API

    def sandbox(self, count):
        """The one with so many contacts; another one ends then."""
        if self._sandbox_count != count:
            self._end_sandbox()
            self._sandbox = lib.Sandbox(self.directory(), contacts=count, quota="off")
            self._sandbox_count = count
        return self._sandbox

    def _end_sandbox(self):
        if self._sandbox:
            for port in list(self._delays):
                self._delays.pop(port).close()
            sandbox, self._sandbox, self._sandbox_count = self._sandbox, None, None
            problems = sandbox.stop()
            if problems:
                raise Wrong("; ".join(problems))

    def url(self, sandbox, latency):
        return f"http://127.0.0.1:{self.through(int(sandbox.host.split(':')[1]), latency)}"

    def through(self, port, latency):
        """A port that leads to this one, so many milliseconds away."""
        if not latency:
            return port
        key = (port, latency)
        if key not in self._delays:
            stack = contextlib.ExitStack()
            process = stack.enter_context(running(
                [self.programs["delay"], str(port), str(latency)], f"{self.work}/delay.log",
                stdout=subprocess.PIPE))
            process.where = int(process.stdout.readline())
            stack.where = process.where
            self.stack.push(stack)
            self._delays[key] = stack
        return self._delays[key].where

    # -- files

    def directory(self):
        return tempfile.mkdtemp(dir=self.work)

    def files(self, count):
        """The records as files, on tmpfs."""
        if not self.memory:
            raise Missing(f"{TMPFS} is no tmpfs that one can write to")
        if count not in self._files:
            self._files[count] = Files(f"{self.memory}/{count}", self.sandbox(count), count)
        return self._files[count]

    def scratch(self, name):
        """A file for what a program collects; on tmpfs, so that no disk is measured."""
        return os.path.join(self.memory or self.work, name)

    def server(self, name, make):
        """A server that several contestants use; it ends with the lab."""
        if name not in self._servers:
            self._servers[name] = self.stack.enter_context(make())
        return self._servers[name]

    # -- the program under test

    @contextlib.contextmanager
    def mount(self, count, latency, **options):
        sandbox = self.sandbox(count)
        directory = self.directory()
        mount = lib.Mount(directory, sandbox, api_url=self.url(sandbox, latency), **{
            "jobs": 16, "reserve": 0, "ttl": 7200, "timeout": 3600, **options})
        try:
            mount.start()
            yield mount
        except BaseException:
            mount.close()
            raise
        else:
            problems = mount.close()
            if problems:
                raise Wrong("; ".join(problems))
        finally:
            sandbox.mounts.remove(mount)


# ---- measuring ----


def run(command, cwd, limit=7200):
    """Seconds, and its output. Standard error must be empty and its end a success."""
    begin = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env=ENV, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=limit, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode or done.stderr:
        raise Wrong(f"{' '.join(command)[:80]} ended with {done.returncode}: "
                    f"{done.stderr[-300:].decode(errors='replace')}")
    return seconds, done.stdout


def same_lines(output, expected, what):
    """As sets of lines: a directory has its own order. `expected` is a digest of lines()."""
    if lines(output) != expected:
        raise Wrong(f"{what}: {output.count(10)} lines, not those that it should give")


def lines(output):
    return hashlib.sha256(b"\n".join(sorted(output.splitlines()))).hexdigest()


def pages(count):
    return max(1, math.ceil(count / 100))


def process_status(pid, *names):
    """Numbers of /proc/PID/status; kB become bytes."""
    found_ = {}
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        name, value = line.split(":", 1)
        words = value.split()
        if name in names:
            found_[name] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return [found_[name] for name in names]


def ticks(pid):
    """CPU time, user and system, in clock ticks."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


class Messages:
    count = None


@contextlib.contextmanager
def messages(lab, pid):
    """What the kernel asks a daemon meanwhile: its successful reads of /dev/fuse. None is counted
    where strace is absent or not allowed to look. Slows it down: never where time is measured."""
    seen, strace = Messages(), found("strace")
    if not strace:
        yield seen
        return
    out, log = f"{lab.directory()}/counts", f"{lab.directory()}/strace.log"
    with running([strace, "-f", "-c", "-P", "/dev/fuse", "-e", "trace=read,readv,splice", "-o",
                  out, "-p", str(pid)], log) as process:
        with contextlib.suppress(Missing):
            wait_until(lambda: "attached" in open(log).read() or process.poll() is not None,
                       "strace", 10)
        attached = process.poll() is None
        yield seen
        end(process, signal.SIGINT)
    if attached:
        seen.count = 0
        for words in map(str.split, open(out)):
            # % time, seconds, usecs/call, calls, errors (or nothing), syscall
            if words and words[-1] in ("read", "readv", "splice"):
                seen.count += int(words[3]) - (int(words[4]) if len(words) == 6 else 0)
