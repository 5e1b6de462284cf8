"""64 programs at once, with an API that is slow and fails, compared with a model.

A few seconds in ./check; SYSTEMEFS_SECONDS=300 for more, SYSTEMEFS_SEED=N for the same plans again.
"""

import collections
import errno
import json
import os
import pathlib
import random
import subprocess
import sys

import proxy as net
from lib import MOUNT_LIFE, wait_until
from office import Office

SECONDS = float(os.environ.get("SYSTEMEFS_SECONDS", "3"))
TIMEOUT = 5
CROWD = str(pathlib.Path(__file__).with_name("crowd.py"))


def unavailable(connection, request):
    connection.send(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    return True


TROUBLE = [net.dropped, net.reset, net.executed_and_dropped, net.executed_and_reset, unavailable,
           net.cut_off(-9, lambda c: None), net.cut_off(0.5, net.Connection.reset)]


def last_writes(writes):
    """Those that may be the last one: none that had gone well began after their end. What failed may
    have been carried out, and a little later."""
    accepted = [w for w in writes if w[3] == 0]
    return [w for w in writes
            if not any(a[4] > w[5] + (TIMEOUT if w[3] else 0) for a in accepted)]


def check_saves(o, people, drafts):
    by_field = collections.defaultdict(list)
    for kind, contact, _, done in people:
        if kind == "Writer":
            for step in done:
                by_field[contact, step[1]].append(step)
    records = {contact: o.s.get(f"/api/contacts/{contact}") for contact, _ in by_field}
    for (contact, slug), writes in by_field.items():
        value = {f["slug"]: f["value"] for f in records[contact]["fields"]}[slug]
        if any(w[3] == 0 for w in writes) or str(value).startswith("p"):
            assert value in [w[2] for w in last_writes(writes)], (contact, slug, value, writes[-6:])
    for contact, record in records.items():
        assert o.m.json(f"contacts/{contact}.json") == record
    texts = "\n".join(drafts)
    for kind, contact, _, done in people:
        if kind == "Writer" and done and done[-1][3] and contact != o.shared:
            value = done[-1][2]
            assert value in texts or value in json.dumps(records[contact]), (done[-3:], drafts)


def check_made(o, people, posts):
    names = collections.Counter(t["name"] for t in o.s.all("/api/tags"))
    steps = [step for person in people for step in person[3]]
    removed = {step[1]: step[3] for step in steps if step[0] == "remove"}
    for _, name, _, result, *_ in [step for step in steps if step[0] == "tag"]:
        assert posts[name] <= 1, name
        assert names[name] <= 1, name
        if result == 0 and name not in removed:
            assert names[name] == 1, name
        if removed.get(name) == 0:
            assert names[name] == 0, name


def test_64_programs_at_once(sandbox, mount):
    seed = int(os.environ.get("SYSTEMEFS_SEED", random.randrange(10**6)))
    print(f"SYSTEMEFS_SEED={seed}")
    draw = random.Random(seed)
    server = net.Proxy(sandbox(contacts=120))
    try:
        o = Office(server, mount(server, timeout=TIMEOUT, ttl=1, delete_limit=0))
        contacts = [c["id"] for c in server.all("/api/contacts")][:17]
        o.shared = str(contacts[0])
        server.latency(0, 30)
        server.fault = lambda request: draw.choice(TROUBLE) if draw.random() < 0.04 else None
        done = subprocess.run(
            [sys.executable, "-B", CROWD, o.m.path, str(SECONDS), str(seed), *map(str, contacts)],
            capture_output=True, text=True, timeout=MOUNT_LIFE + SECONDS)
        assert done.returncode == 0 and not done.stderr, done.stderr[-3000:]
        people = json.loads(done.stdout)
        server.fault = None
        assert len(people) == 64 and None not in people
        o.m.settle()
        # settle() asks itself.
        wait_until(lambda: o.m.status()["operations-under-way"] in ("0", "1"), "no operation")
        assert server.counts()["max_concurrent"] <= 8, "jobs"
        o.m.ctl("refresh")
        posts = collections.Counter(
            json.loads(r.body).get("name") for r in server.asked if r.method == "POST")
        steps = [step for person in people for step in person[3]]
        check_saves(o, people, [t.decode() for t in o.m.kept("drafts").values()])
        check_made(o, people, posts)
        assert not [step for step in steps if step[0] == "mixed"]
        # Nobody else changes those.
        assert not [step for person in people if person[1] and person[1] != o.shared
                    for step in person[3] if step[3] == errno.ESTALE]
        counts = collections.Counter(
            (step[0], step[3] and errno.errorcode.get(step[3], step[3])) for step in steps
            if step[0] != "tool")
        longest = {kind: round(max(person[2] for person in people if person[0] == kind), 1)
                   for kind in ("Writer", "Maker", "Reader", "Tool")}
        print(f"{len(steps)} steps, {len(server.asked)} requests, longest {longest}", dict(counts))
        assert counts["save", 0] and counts["tag", 0] and counts["read", 0]
    finally:
        server.stop()
