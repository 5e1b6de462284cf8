"""A small account with one of everything: what the tests of writing stand on."""

import os

from lib import pretty

# Where the API has the collections: by one GET each, or in their list only.
SINGLE = {"contacts": "/api/contacts", "tags": "/api/tags", "webhooks": "/api/webhooks"}
LISTS = {
    **SINGLE,
    "contact_fields": "/api/contact_fields",
    "enrollments": "/api/school/enrollments",
    "memberships": "/api/community/memberships",
}


class Office:
    """A small account with one of everything, a mount of it, and the ids by which the rows below
    name what is in it."""

    def __init__(self, sb, m):
        self.s, self.m = sb, m
        change = sb.change
        ada = change("create_contact", email="ada@example.org", locale="en",
                     fields={"first_name": "Ada", "city": "London"})
        grace = change("create_contact", email="grace@example.org", locale="en")
        tags = {name: change("create_tag", name=name) for name in ("old", "new", "newer")}
        change("tag_contact", id=ada, tag=tags["old"])
        courses = [c["id"] for c in sb.all("/api/school/courses")[:2]]
        communities = [c["id"] for c in sb.all("/api/community/communities")[:2]]
        hooks = sb.get("/api/webhooks")["items"]
        self.ids = {
            "ada": ada, "grace": grace, **tags, "course": courses[0], "other_course": courses[1],
            "community": communities[0], "other_community": communities[1],
            "enrollment": change("create_enrollment", contact=ada, course=courses[0]),
            "membership": change("create_membership", contact=ada, community=communities[0]),
            "hook": hooks[0]["id"], "desk": os.path.join(m.directory, "desk"),
        }
        os.mkdir(self.ids["desk"])
        change("create_field", slug="shoe_size", name="Shoe size")
        self.errors = m.errors()

    def named(self, text):
        return text % self.ids if isinstance(text, str) else text

    def run(self, command, **more):
        return self.m.run("bash", "-c", self.named(command), **more)

    def all(self, home):
        if home == "connections":
            return {c["connection_id"]: c for c in self.s.connections()}
        return {r.get("id", r.get("slug")): r for r in self.s.all(LISTS[home])}

    def record(self, path):
        """As the server has it."""
        home, name = os.path.split(self.named(path))
        name = name.removesuffix(".json")
        if home in SINGLE:
            return self.s.get(f"{SINGLE[home]}/{name}")
        return {str(id): record for id, record in self.all(home).items()}[name]

    def shows(self, path, record=None):
        """The file is the server's record, to the byte, and its size is known without reading."""
        text = pretty(record or self.record(path))
        assert self.m.read(self.named(path)) == text
        assert os.stat(self.m / self.named(path)).st_size == len(text)

    def untroubled(self):
        assert self.m.errors() == self.errors
        assert self.m.kept("drafts") == {}


def ids(rows):
    return [row[0] for row in rows]


def sent(office, requests):
    return [tuple(office.named(part) for part in request) for request in requests]


def fields(**values):
    return [{"slug": slug, "value": value} for slug, value in values.items()]
