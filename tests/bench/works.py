"""What is timed. A work takes (lab, row, contestant), does it once, looks whether the result is
right, and gives its figures as a dict; the figure `seconds` is there where one is enough.

Works on a directory run in any contestant that can show one; the others are for one contestant.
"""

import contextlib
import functools
import os
import statistics
import subprocess
import time

import peers
from lab import (ENV, Missing, Wrong, digest, lines, messages, pages, process_status, run,
                 same_lines, ticks)

EVERY = '^  "email": '  # a line of every record
RARE = '^  "locale": "sv"'  # of some
EVERY_IN_PAGES = '{"id":[0-9]*,"email":"'


# ---- directories to work in ----


class Place:
    """A directory with records: where, how many, of which mount, before which files."""

    def __init__(self, path, count, files, mount=None, more=("by-email",)):
        self.path, self.count, self.files, self.mount = path, count, files, mount
        self.more = more  # names beside those of records
        self.whole = count == files.count

    @property
    def names(self):
        return self.files.names[:self.count]


@contextlib.contextmanager
def in_systemefs(lab, row, contestant):
    files = lab.files(row.n)
    with lab.mount(row.n, row.latency, **contestant.options) as mount:
        yield Place(mount / "contacts", row.n, files, mount)


@contextlib.contextmanager
def in_tmpfs(lab, row, contestant):
    files = lab.files(row.n)
    yield Place(files.path, row.n, files)


@contextlib.contextmanager
def in_peer(opened, lab, row, contestant):
    count = min(row.n, row.peer_n) if row.work.startswith("grep") else row.n
    files = lab.files(row.n)
    with opened(lab, files, count, row.latency) as path:
        os.stat(path)  # sshfs is mounted before it is connected
        yield Place(path / "contacts", count, files, more=())


PLACES = {"systemefs": in_systemefs, "tmpfs": in_tmpfs,
          **{name: functools.partial(in_peer, getattr(peers, name))
             for name in ("rclone", "sshfs", "davfs2")}}


def on_place(lab, row, contestant):
    with PLACES[contestant.kind](lab, row, contestant) as place:
        asked = place.mount.sandbox.counts()["total"] if place.mount else 0
        figures = {"ls": ls, "grep": grep, "regrep": regrep, "lists": lists,
                   "stat": stat}[row.work](lab, row, contestant, place)
        if place.mount and row.work in ("ls", "grep"):
            place.mount.settle()
            figures["requests"] = place.mount.sandbox.counts()["total"] - asked
            figures["over"] = figures["requests"] / pages(row.n)
        once = (row.name, contestant.name)
        if place.mount and once not in lab.checked and row.work in ("grep", "regrep"):
            if digest(place.path) != place.files.digest:
                raise Wrong("the bytes of all files are not those of the API's records")
            lab.checked.add(once)
    return figures


def names_of(place, *more):
    return lines("\n".join([*place.names, *more]).encode())


def listing(place):
    """What ls prints there. Peers have only the files."""
    return names_of(place, *place.more)


def expected_grep(place, pattern):
    """What grep finds in the files themselves; each directory is looked through once."""
    cache = place.files.__dict__.setdefault("grepped", {})
    key = (pattern, place.count)
    if key not in cache:
        _, out = run(["grep", "-r", pattern, "."], place.files.flat(place.count) / "contacts")
        cache[key] = lines(out)
    return cache[key]


def ls(lab, row, contestant, place):
    seconds, out = run(["ls"], place.path)
    same_lines(out, listing(place), "ls")
    return {"seconds": seconds}


def grep(lab, row, contestant, place):
    """Where it looks through fewer files than others, the directory is listed first, so that only
    the time of the files themselves is scaled."""
    listed = 0.0 if place.whole else run(["ls"], place.path)[0]
    seconds, out = run(["grep", "-r", EVERY, "."], place.path)
    same_lines(out, expected_grep(place, EVERY), "grep -r")
    if place.whole:
        return {"seconds": seconds}
    return {"seconds": listed + seconds * place.files.count / place.count,
            "scaled_from": place.count}


def regrep(lab, row, contestant, place):
    """grep -r three times, after an ls: everything is in the daemon's memory, or in tmpfs."""
    run(["ls"], place.path)
    if place.mount:
        place.mount.settle()
    figures, found = {}, expected_grep(place, RARE)
    for name in ("first", "second", "third"):
        figures[name], out = run(["grep", "-r", RARE, "."], place.path)
        same_lines(out, found, f"{name} grep -r")
    if place.mount and (row.name, contestant.name) not in lab.checked:
        before = process_status(place.mount.pid, "voluntary_ctxt_switches")[0]
        run(["grep", "-r", RARE, "."], place.path)
        after = process_status(place.mount.pid, "voluntary_ctxt_switches")[0]
        figures["wakeups_a_file"] = (after - before) / place.count
        with messages(lab, place.mount.pid) as seen:
            run(["grep", "-r", RARE, "."], place.path)
        if seen.count is not None:
            figures["messages_a_file"] = seen.count / place.count
    return figures


def forget_kernel_caches(mount):
    """Names, inodes and pages that the kernel has. Its news for the daemon is awaited. tmpfs is
    compared as it is: it has nothing else than these."""
    if not mount:
        return
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3\n")
    except OSError as e:
        raise Missing(f"the kernel's caches cannot be dropped: {e.strerror}") from e
    quiet = ticks(mount.pid)
    for _ in range(100):
        time.sleep(0.05)
        quiet, before = ticks(mount.pid), quiet
        if quiet == before:
            break
    run(["ls", "-l"], mount.directory)  # the program itself was dropped, too


def lists(lab, row, contestant, place):
    """ls -f and ls -l of what the daemon knows and the kernel does not; ls -l again."""
    run(["ls"], place.path)
    if place.mount:
        place.mount.settle()
    all_names = names_of(place, *place.more, ".", "..")
    forget_kernel_caches(place.mount)
    first, out = run(["ls", "-f"], place.path)
    same_lines(out, all_names, "ls -f")
    forget_kernel_caches(place.mount)
    long, out = run(["ls", "-l"], place.path)
    again, out2 = run(["ls", "-l"], place.path)
    for text in (out, out2):
        rows = [line.split() for line in text.splitlines()[1:]]
        same_lines(b"\n".join(words[-1] for words in rows), listing(place), "ls -l")
    return {"ls_f": first, "ls_l": long, "ls_l_again": again}


def stat(lab, row, contestant, place):
    """Of one file, again and again."""
    path = place.path / place.names[place.count // 2]
    size = os.lstat(place.files.path / path.name).st_size
    os.lstat(path)
    times = []
    for _ in range(1000):
        begin = time.perf_counter()
        got = os.lstat(path).st_size
        times.append(time.perf_counter() - begin)
        if got != size:
            raise Wrong(f"{path.name} has {got} bytes, not {size}")
    figures = {"seconds": statistics.median(times)}
    if place.mount:
        with messages(lab, place.mount.pid) as seen:
            for _ in range(1000):
                os.lstat(path)
        if seen.count is None:
            raise Missing("messages cannot be counted: strace is absent, or not allowed to look")
        figures["messages"] = seen.count
    return figures


# ---- programs that ask the API themselves ----


def walk(lab, row, contestant):
    """The pages one after the other, into a file; where the row searches, grep of that file."""
    sandbox, out = lab.sandbox(row.n), lab.scratch("walk.json")
    most = ["1"] if row.work == "first" else []
    seconds, said = run([lab.programs["walk"], lab.url(sandbox, row.latency), sandbox.key, out,
                         *most], lab.work)
    figures = {"seconds": seconds, "requests": int(said.split()[0])}
    count = min(100, row.n) if most else row.n
    searched, found = run(["grep", "-o", EVERY_IN_PAGES, out], lab.work)
    if len(set(found.splitlines())) != count or found.count(b"\n") != count:
        raise Wrong(f"{found.count(10)} records in the pages, not {count}")
    if row.work.startswith("grep"):
        figures["seconds"] += searched
    os.unlink(out)
    return figures


def gets(lab, row, contestant):
    """One curl, one connection, one GET a record, into a file; then grep of it."""
    peers.needs("curl")
    sandbox, files, out = lab.sandbox(row.n), lab.files(row.n), lab.scratch("gets.json")
    count = min(row.n, row.peer_n)
    script = peers.curl_script(lab, sandbox, lab.url(sandbox, row.latency), files.names[:count])
    with open(out, "wb") as f:
        begin = time.perf_counter()
        done = subprocess.run(["curl", "-q", "-K", script], stdout=f, stderr=subprocess.PIPE,
                              env=ENV, check=False)
        seconds = time.perf_counter() - begin
    if done.returncode:
        raise Wrong(done.stderr[-300:].decode(errors="replace"))
    searched, found = run(["grep", "-o", EVERY_IN_PAGES, out], lab.work)
    if len(set(found.splitlines())) != count:
        raise Wrong(f"{found.count(10)} records, not {count}")
    os.unlink(out)
    figures = {"seconds": (seconds + searched) * row.n / count}
    return figures if count == row.n else {**figures, "scaled_from": count}


CONTESTANTS = {**{name: on_place for name in PLACES}, "walk": walk, "gets": gets}
