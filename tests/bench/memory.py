#!/usr/bin/env python3
"""How much memory a large account takes.

Mounts a sandbox of 100,000 contacts of about 700 bytes, lists them with and without their
attributes, and compares the driver's resident set with the text of the records as served. The bar
is 1.5 times that text and 30 MiB. Ends with 1 where it is passed.

    SYSTEMEFS=... SYSTEMEFS_SANDBOX=... tests/bench/memory.py [--contacts=N] [--padding=BYTES]
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "mount"))
import lib  # noqa: E402

MIB = 1 << 20
FACTOR, BASE = 1.5, 30 * MIB


def resident(pid, name="VmRSS"):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


def served(sandbox):
    """Bytes of the records' JSON as the API sends it, and how many there are."""
    total = count = 0
    after = None
    while True:
        cursor = f"&startingAfter={after}" if after else ""
        page = sandbox.get(f"/api/contacts?limit=100{cursor}")
        for item in page["items"]:
            text = json.dumps(item, ensure_ascii=False, separators=(",", ":"))
            total += len(text.encode())
            count += 1
        if not page["hasMore"]:
            return total, count
        after = page["items"][-1]["id"]


def timed(command, cwd):
    begin = time.monotonic()
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE) as process:
        lines = sum(block.count(b"\n") for block in iter(lambda: process.stdout.read(MIB), b""))
    assert process.returncode == 0, command
    return lines, time.monotonic() - begin


def show(label, value):
    print(f"{label:<34}{value:>14}")


def measure(sandbox, directory):
    text, count = served(sandbox)
    # The time to live is longer than the walk, so that nothing is asked for twice.
    mount = lib.Mount(directory, sandbox, ttl=3600, timeout=lib.PATIENCE)
    mount.start()
    try:
        before = resident(mount.pid)
        figures = [(command, *timed(command, mount.path)) for command in (
            ["ls", "-f", "contacts"], ["ls", "-l", "contacts"])]
        mount.settle()
        after, peak = resident(mount.pid), resident(mount.pid, "VmHWM")
        cached = int(mount.status()["records-cached"])
    finally:
        problems = mount.close()
    assert not problems, problems
    assert cached >= count, (cached, count)

    bar = int(FACTOR * text + BASE)
    show("contacts", count)
    show("bytes of a record, mean", round(text / count))
    show("records' text as served", f"{text / MIB:.1f} MiB")
    for command, lines, seconds in figures:
        show(" ".join(command), f"{lines} in {seconds:.1f} s")
    show("resident before", f"{before / MIB:.1f} MiB")
    show("resident after", f"{after / MIB:.1f} MiB")
    show("resident at most", f"{peak / MIB:.1f} MiB")
    show("growth / text", f"{(after - before) / text:.2f}")
    show("resident / text", f"{after / text:.2f}")
    show(f"bar ({FACTOR} x text + {BASE // MIB} MiB)", f"{bar / MIB:.1f} MiB")
    return after <= bar


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--contacts", type=int, default=100000)
    parser.add_argument("--padding", type=int, default=0, help="bytes more in each record")
    options = parser.parse_args()
    lib.become_reaper()
    with tempfile.TemporaryDirectory(prefix="sfs-") as work:
        os.makedirs(f"{work}/sandbox")
        os.makedirs(f"{work}/mount")
        sandbox = lib.Sandbox(f"{work}/sandbox", contacts=options.contacts,
                              padding=options.padding, quota="off")
        try:
            within = measure(sandbox, f"{work}/mount")
        finally:
            problems = sandbox.stop()
    assert not problems, problems
    print("within the bar" if within else "OVER THE BAR")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
