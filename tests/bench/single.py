"""Works of which there is one contestant only, or one for each size; see works.py."""

import contextlib
import http.client
import json
import os
import statistics
import subprocess
import time

from lab import ENV, Wrong, die_with_parent, end, pages, process_status, run, ticks
from works import EVERY

MIB = 1 << 20


def quota(lab, row, contestant):
    """ls -f under a quota: how long the quota itself would take for these requests, against how
    long it took. Begins with a window, where the whole burst is there."""
    sandbox, (limit, window) = lab.sandbox(row.n), row.quota
    try:
        with lab.mount(row.n, row.latency, **contestant.options) as mount:
            sandbox.request("DELETE", "/_sandbox/requests")
            sandbox.quota(limit, window)
            time.sleep(window - time.time() % window)
            begin = time.time()
            _, out = run(["ls", "-f"], mount / "contacts")
            took = time.time() - begin
            mount.settle()
            seen = sandbox.requests()
            total = sandbox.counts()["total"]
    finally:
        sandbox.quota(0)
    names = {name for name in out.split() if name.endswith(b".json")}
    if len(names) != row.n:
        raise Wrong(f"{len(names)} names, not {row.n}")
    windows = (pages(row.n) - 1) // limit  # that must have begun after the first
    needed = (begin // window + windows) * window - begin
    return {"seconds": took, "quota_needs": needed, "share": needed / took, "requests": total,
            "refused": sum(request["status"] == 429 for request in seen)}


def first(lab, row, contestant):
    """Until ls -f has shown a record."""
    with lab.mount(row.n, row.latency, **contestant.options) as mount:
        before = mount.sandbox.counts()["total"]
        begin = time.perf_counter()
        process = subprocess.Popen(["stdbuf", "-oL", "ls", "-f"], cwd=mount / "contacts", env=ENV,
                                   stdout=subprocess.PIPE, preexec_fn=die_with_parent)
        try:
            for line in process.stdout:
                if line.endswith(b".json\n"):
                    break
            else:
                raise Wrong("ls -f showed no record")
            seconds = time.perf_counter() - begin
            asked = mount.sandbox.counts()["total"] - before
        finally:
            end(process)
        return {"seconds": seconds, "requests": asked}


def read(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, 1 << 16)
    finally:
        os.close(fd)


def median_read(path, expected, until, pause):
    times = []
    while not until(len(times)):
        begin = time.perf_counter()
        text = read(path)
        times.append(time.perf_counter() - begin)
        if text != expected:
            raise Wrong(f"{path} has changed")
        time.sleep(pause)
    return statistics.median(times), max(times), len(times)


def beside(lab, row, contestant):
    """open, read, close of a known record, idle and while the whole collection is listed. No
    process is started for each, which would be most of the time."""
    with lab.mount(row.n, row.latency, **contestant.options) as mount:
        number = mount.sandbox.world()["contacts"]["last"]
        path = mount / "contacts" / f"{number}.json"
        text = read(path)
        idle, _, _ = median_read(path, text, lambda n: n >= 200, 0.002)
        process = subprocess.Popen(["ls", "-f"], cwd=mount / "contacts", env=ENV,
                                   stdout=subprocess.DEVNULL, preexec_fn=die_with_parent)
        try:
            busy, worst, count = median_read(path, text,
                                             lambda n: process.poll() is not None, 0.005)
            if process.returncode or count < 5:
                raise Wrong(f"ls ended with {process.returncode} after {count} reads")
        finally:
            end(process)
        return {"idle": idle, "busy": busy, "worst": worst}


def size(lab, row, contestant):
    """ls -f of a collection of row.n / contestant.part records: time, and resident memory against
    the text of the records as the API sends it."""
    count = row.n // contestant.part
    sandbox = lab.sandbox(count)
    said = run([lab.programs["walk"], sandbox.url, sandbox.key, os.devnull], lab.work)[1].split()
    text = int(said[1])
    with lab.mount(count, row.latency, **contestant.options) as mount:
        seconds, out = run(["ls", "-f"], mount / "contacts")
        mount.settle()
        cached = int(mount.status()["records-cached"])
        resident, peak = process_status(mount.pid, "VmRSS", "VmHWM")
    names = [name for name in out.split() if name.endswith(b".json")]
    if len(names) != count or len(set(names)) != count:
        raise Wrong(f"{len(names)} names, {len(set(names))} different, not {count}")
    return {"seconds": seconds, "a_record": seconds / count, "text": text, "resident": resident,
            "peak": peak, "cached": cached, "of_bar": peak / (1.25 * text + 32 * MIB)}


def idle(lab, row, contestant):
    """CPU ticks of a mount that was used and is left alone."""
    with lab.mount(row.n, row.latency, **contestant.options) as mount:
        run(["grep", "-r", EVERY, "."], mount / "contacts")
        mount.settle()
        time.sleep(1)
        before, woken = ticks(mount.pid), process_status(mount.pid, "voluntary_ctxt_switches")[0]
        time.sleep(row.seconds)
        return {"ticks": ticks(mount.pid) - before,
                "wakeups": process_status(mount.pid, "voluntary_ctxt_switches")[0] - woken}


LOCALES = ("fr", "de", "it", "pl", "cs", "nl")


def save(lab, row, contestant):
    """`echo '{"locale":"fr"}' > ID.json`: open, write, close. Once right after it was read, and
    once more than two seconds later, when the record is read again first. Beside it the request
    that such a save must make, over a connection that is already there."""
    with lab.mount(row.n, row.latency, **contestant.options) as mount:
        sandbox = mount.sandbox
        number = sandbox.world()["contacts"]["last"]
        path = mount / "contacts" / f"{number}.json"
        before = json.loads(read(path))["locale"]
        times = {"fresh": [], "older": []}
        asked = {"fresh": [], "older": []}
        for i in range(row.repeat):
            for how in ("fresh", "older"):
                if how == "older":
                    time.sleep(2.2)
                else:
                    mount.ctl("refresh")
                    read(path)
                before = next(name for name in LOCALES[i % 2:] if name != before)
                total = sandbox.counts()["total"]
                begin = time.perf_counter()
                fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
                try:
                    os.write(fd, json.dumps({"locale": before}).encode() + b"\n")
                finally:
                    os.close(fd)
                times[how].append(time.perf_counter() - begin)
                asked[how].append(sandbox.counts()["total"] - total)
                if sandbox.get(f"/api/contacts/{number}")["locale"] != before:
                    raise Wrong(f"the API does not have the locale {before}")
                if json.loads(read(path))["locale"] != before:
                    raise Wrong(f"the file does not show the locale {before}")
        request = request_time(lab, sandbox, row.latency, number)
    figures = {how: statistics.median(times[how]) for how in times}
    return {**figures, "request": request, "requests_fresh": max(asked["fresh"]),
            "requests_older": max(asked["older"]),
            "over_two": max(figures.values()) - 2 * request}


def request_time(lab, sandbox, latency, number):
    """One PATCH that changes nothing, as a client with a connection of its own makes it."""
    host = lab.url(sandbox, latency).removeprefix("http://")
    headers = {"X-API-Key": sandbox.key, "Content-Type": "application/merge-patch+json"}
    times = []
    with contextlib.closing(http.client.HTTPConnection(host, timeout=60)) as connection:
        for _ in range(6):
            begin = time.perf_counter()
            connection.request("PATCH", f"/api/contacts/{number}", b"{}", headers)
            answer = connection.getresponse()
            answer.read()
            times.append(time.perf_counter() - begin)
            if answer.status >= 300:
                raise Wrong(f"PATCH: {answer.status}")
    return statistics.median(times[1:])


CONTESTANTS = {"quota": quota, "first": first, "beside": beside, "size": size, "idle": idle,
               "save": save}
