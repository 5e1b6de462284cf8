"""kill -9 at any moment of any work, mounted again, and compared with a model.

The model is a list of what was asked for, and whether it was said to have gone well. Afterwards
  - what had gone well is at the server;
  - what was under way is there, or in a draft, or was never accepted;
  - nothing was made twice, and nothing is there that nobody asked for.

A few rounds in ./check, each from a new seed; SYSTEMEFS_ROUNDS=300 for more, SYSTEMEFS_SEED=N for one
again (when the signal comes is not repeatable to the microsecond).
"""

import errno
import json
import os
import random
import threading
import time

ROUNDS = int(os.environ.get("SYSTEMEFS_ROUNDS", "4"))
FIELDS = ("first_name", "city")


class Person(threading.Thread):
    """Works through the mount until that is gone."""

    def __init__(self, o, seed, contact):
        super().__init__(daemon=True)
        self.m, self.random, self.contact, self.seed = o.m, random.Random(seed), contact, seed
        self.done = []  # [kind, what, value, result, file]: "asked", "accepted", "refused, ERRNO"
        self.serial = 0
        self.over = False  # the driver is about to be killed

    def run(self):
        kinds = [self.save, self.save, self.field, self.editor, self.create, self.tag, self.read]
        while True:
            try:
                self.random.choice(kinds)()
            except OSError:
                if not os.path.ismount(self.m.path):
                    return
                try:
                    os.stat(self.m.path)
                except OSError:
                    return

    def value(self):
        self.serial += 1
        return f"v{self.seed}-{self.serial}"

    def step(self, kind, what, value, act, path=None):
        entry = [kind, what, value, "asked", path]
        self.done.append(entry)
        try:
            act()
        except OSError as e:
            # What the kernel says when nobody is there any more is no verdict.
            if not self.over:
                entry[3] = f"refused, {errno.errorcode[e.errno]}"
            raise
        entry[3] = "accepted"

    def document(self, slug, value):
        return json.dumps({"fields": [{"slug": slug, "value": value}]})

    def write(self, name, text):
        fd = os.open(self.m.path / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    def save(self):
        slug, value = self.random.choice(FIELDS), self.value()
        self.step("field", slug, value,
                  lambda: self.write(f"contacts/{self.contact}.json", self.document(slug, value)),
                  "record")

    def field(self):
        slug, value = self.random.choice(FIELDS), self.value()
        self.step("field", slug, value,
                  lambda: self.write(f"contacts/{self.contact}/fields/{slug}", value + "\n"), slug)

    def editor(self):
        slug, value, temporary = self.random.choice(FIELDS), self.value(), ".tmp" + self.value()
        self.write("contacts/" + temporary, self.document(slug, value))
        self.step("field", slug, value,
                  lambda: os.rename(self.m.path / "contacts" / temporary,
                                    self.m.path / f"contacts/{self.contact}.json"), "record")

    def create(self):
        name = self.value() + "@example.org"
        self.step("contact", name, None, lambda: os.mkdir(self.m.path / "contacts" / name))

    def tag(self):
        name = self.value()
        self.step("tag", name, None, lambda: os.mkdir(self.m.path / "tags" / name))

    def read(self):
        os.listdir(self.m.path / self.random.choice(("contacts", "tags", ".systemefs/drafts")))


def check_fields(person, record, drafts):
    has = {f["slug"]: f["value"] for f in record["fields"]}
    for slug in FIELDS:
        steps = [e for e in person.done if e[0] == "field" and e[1] == slug]
        accepted = [i for i, e in enumerate(steps) if e[3] == "accepted"]
        since = steps[accepted[-1]:] if accepted else steps
        if not accepted and has.get(slug) not in {e[2] for e in steps}:
            continue  # as it was at first
        # The last that was accepted, or one that was under way then.
        assert has[slug] in {e[2] for e in since}, (has[slug], since)
    # A later save of the same file takes the place of a draft.
    last = {e[4]: e for e in person.done if e[0] == "field"}
    for _, _, value, result, _ in last.values():
        if result.startswith("refused") and value not in has.values():
            assert any(value in text for text in drafts), (value, person.done[-5:], drafts)


def check_made(person, kind, names, posts):
    for _, name, _, result, _ in [e for e in person.done if e[0] == kind]:
        assert names.count(name) <= 1, name
        assert posts.count(name) <= 1, name
        assert result != "accepted" or name in names, name
    wanted = {e[1] for e in person.done if e[0] == kind}
    assert {n for n in names if n.startswith(f"v{person.seed}-")} <= wanted


def one_round(o, seed):
    contacts = [o.ids["ada"], o.ids["grace"]]
    people = [Person(o, seed * 10 + i, contact) for i, contact in enumerate(contacts)]
    for person in people:
        person.start()
    time.sleep(random.Random(seed).uniform(0.0, 0.4))  # the moment is what is drawn
    for person in people:
        person.over = True
    o.m.crash()
    for person in people:
        person.join(timeout=30)
        assert not person.is_alive()
    o.m.start()
    kept = o.m.kept("drafts")
    drafts = [text.decode() for text in kept.values()]
    requests = [r for r in o.s.requests() if r["method"] == "POST"]
    for person, contact in zip(people, contacts):
        check_fields(person, o.s.get(f"/api/contacts/{contact}"), drafts)
        check_made(person, "contact", [c["email"] for c in o.s.all("/api/contacts")],
                   [json.loads(r["body"] or "{}").get("email") for r in requests if r["path"] == "/api/contacts"])
        check_made(person, "tag", [t["name"] for t in o.s.all("/api/tags")],
                   [json.loads(r["body"] or "{}").get("name") for r in requests if r["path"] == "/api/tags"])
        # What is shown is what is there.
        assert o.m.json(f"contacts/{contact}.json") == o.s.get(f"/api/contacts/{contact}")
    for name in sorted(kept, reverse=True):
        (o.m.path / ".systemefs/drafts" / name).unlink(missing_ok=True)
    return sum(len(person.done) for person in people)


def test_killed_at_any_moment(office):
    o = office(ttl=1)
    o.s.latency(0, 4)
    first = int(os.environ.get("SYSTEMEFS_SEED", random.randrange(10**6)))
    steps = 0
    for seed in range(first, first + ROUNDS):
        print(f"SYSTEMEFS_SEED={seed}", flush=True)
        steps += one_round(o, seed)
    print(f"{ROUNDS} rounds, {steps} steps")
    assert steps
