"""What changing costs, counted by the sandbox: at most what the table of costs promises, and never
a request more than somebody meant."""

import datetime
import os
import subprocess

import pytest

from lib import PATIENCE, compact, pretty, wait_until
from office import fields

ADA = "contacts/%(ada)s.json"


def methods(counted):
    return [r["method"] for r in counted.requests]


def aged(o, path):
    """Waits until what is known of it is older than two seconds: then it is read again before a
    change."""
    fetched = os.getxattr(o.m / o.named(path), "user.systemefs.fetched").decode()
    # Shown in whole seconds.
    then = datetime.datetime.fromisoformat(fetched) + datetime.timedelta(seconds=3)
    wait_until(lambda: datetime.datetime.now(datetime.timezone.utc) > then, "two seconds")


def edited(o, **values):
    """The record's text with other values, on the desk."""
    record = o.record(ADA)
    for field in record["fields"]:
        field["value"] = values.get(field["slug"], field["value"])
    path = os.path.join(o.ids["desk"], "edited")
    with open(path, "wb") as f:
        f.write(pretty(record))
    return path


# What is known before, what is done, the requests.
COSTS = [
    ("save what was just read", "cat " + ADA, "cp %(desk)s/edited " + ADA, ["PATCH"]),
    ("save what is not known", "", "cp %(desk)s/edited " + ADA, ["GET", "PATCH"]),
    ("save a part of what is not known", "", """echo '{"locale":"fr"}' > """ + ADA,
     ["GET", "PATCH"]),
    ("save without a change", "cat " + ADA, "cat " + ADA + " > %(desk)s/x; cp %(desk)s/x " + ADA,
     []),
    ("save one field that is not known", "", "echo Rome > contacts/%(ada)s/fields/city",
     ["GET", "PATCH"]),
    ("save one field of what is known", "cat " + ADA, "echo Rome > contacts/%(ada)s/fields/city",
     ["PATCH"]),
    ("read after a save", "cat " + ADA, "echo Rome > contacts/%(ada)s/fields/city; cat " + ADA +
     "; cat contacts/%(ada)s/fields/*; ls -l " + ADA, ["PATCH"]),
    ("many saves", "cat " + ADA,
     "for i in 1 2 3 4 5; do echo $i > contacts/%(ada)s/fields/city; done",
     ["PATCH"] * 5),
    ("three tags", "cat " + ADA + "; ls tags", """echo '{"tags":["new","newer"]}' > """ + ADA,
     ["DELETE", "POST", "POST", "GET"]),
    ("three tags of what is not known", "",
     """echo '{"tags":[{"id":%(new)s},{"id":%(newer)s}]}' > """ + ADA,
     ["GET", "DELETE", "POST", "POST", "GET"]),
    ("mkdir a contact", "", "mkdir contacts/jane@example.org", ["GET", "POST"]),
    ("and read it", "ls contacts",
     "mkdir contacts/jane@example.org; cat contacts/jane@example.org.json;"
     " ls contacts/jane@example.org; ls contacts", ["POST"]),
    ("cp a contact", "", """echo '{"email":"jane@example.org"}' > contacts/jane.json""", ["POST"]),
    ("rm what is listed", "ls contacts", "rm " + ADA, ["DELETE"]),
    ("rm what is not known", "", "rm " + ADA, ["GET", "DELETE"]),
    ("rm and look again", "ls contacts", "rm " + ADA + "; ls contacts; cat " + ADA, ["DELETE"]),
    ("put a tag on what is known", "cat " + ADA + "; ls tags",
     "mkdir contacts/%(ada)s/tags/%(new)s", ["POST"]),
    ("take a tag off", "cat " + ADA + "; ls tags", "rm contacts/%(ada)s/tags/%(old)s.json",
     ["DELETE"]),
    ("rename a tag", "ls tags/by-name", "mv tags/by-name/old.json tags/by-name/older.json",
     ["PUT"]),
    ("mkdir a tag", "ls tags", "mkdir tags/VIP", ["POST"]),
    ("chmod, touch", "cat " + ADA, "chmod 600 " + ADA + "; touch " + ADA, []),
    ("temporary files", "",
     "echo x > contacts/.x.swp; echo x > contacts/x~; mv contacts/x~ contacts/4913;"
     " cat contacts/.x.swp; rm contacts/.x.swp contacts/4913", []),
]


@pytest.mark.parametrize("_, before, command, requests", COSTS, ids=[row[0] for row in COSTS])
def test_cost(office, _, before, command, requests):
    o = office()
    edited(o, first_name="Adele")
    if before:
        o.run(before)
    with o.s.counting() as c:
        o.run(command, check="cat " + ADA not in command)
    assert methods(c) == requests, c


# Programs that write a document in pieces, each on its way to standard output or a file.
PIECES = [
    "jq . %(desk)s/edited > {}", "dd bs=7 status=none if=%(desk)s/edited of={}",
    "while IFS= read -r line; do printf '%%s\\n' \"$line\"; done < %(desk)s/edited > {}",
    "python3 -uc 'for line in open(\"%(desk)s/edited\"): print(line, end=\"\")' > {}",
]


@pytest.mark.parametrize("command", PIECES, ids=lambda c: c.split()[0])
@pytest.mark.parametrize("path", [ADA, "contacts/new.json"], ids=["a record", "a new one"])
def test_in_pieces(office, command, path):
    """One request, when all of it is there."""
    o = office(account={"fields_per_contact": 60})
    o.run("cat " + ADA)
    mine = edited(o, first_name="Adele")
    if path != ADA:
        o.run(f"""sed -i 's/"ada@/"new@/' {mine}""")
    with o.s.counting() as c:
        o.run(command.format(path))
    assert os.stat(mine).st_size > 5000
    assert [m for m, where, _ in c.sent if not where.endswith("/tags")] == [
        "PATCH" if path == ADA else "POST"], c
    assert '"Adele"' in o.m.text(o.named(path))
    o.untroubled()


def test_the_reserve_is_for_people_who_save(office):
    """Nine requests of ten are kept back for the account's other tools: a save may use them."""
    o = office(reserve=90)
    o.run("cat " + ADA)
    o.s.quota(100, 60, remaining=20)
    o.run("cat contacts/%(grace)s.json")  # brings the news
    with o.s.counting() as c:
        o.run("echo Rome > contacts/%(ada)s/fields/city; mkdir contacts/jane@example.org;"
              " rm contacts/%(grace)s.json")
    assert [m for m, _, _ in c.sent] == ["PATCH", "POST", "DELETE"]
    o.untroubled()


def test_an_older_copy_costs_one_get(office):
    o = office()
    o.run("cat " + ADA)
    mine = edited(o, first_name="Adele")
    aged(o, ADA)
    with o.s.counting() as c:
        o.run(f"cp {mine} " + ADA)
    assert methods(c) == ["GET", "PATCH"], c
    # An editor's next save follows at once on its own.
    with o.s.counting() as c:
        o.run("echo Rome > contacts/%(ada)s/fields/city")
    assert methods(c) == ["PATCH"], c


@pytest.mark.parametrize("ttl", [0, 1, 3600])
def test_the_ttl_is_no_matter_of_a_save(office, ttl):
    """With 0 every look is a request; a save is one all the same."""
    o = office(ttl=ttl)
    o.run("cat " + ADA)
    with o.s.counting() as c:
        o.run(f"cp {edited(o, first_name='Adele')} " + ADA)
    assert [m for m in methods(c) if m != "GET"] == ["PATCH"]
    assert methods(c).count("GET") <= (4 if ttl == 0 else 1), c


def test_an_idle_mount_sends_nothing(office):
    """Nor does one that has just saved, created and removed."""
    o = office()
    o.run("echo Rome > contacts/%(ada)s/fields/city; mkdir tags/VIP; rm contacts/%(grace)s.json")
    o.s.settle()
    total = o.s.counts()["total"]
    for _ in range(20):
        o.m.status()
        o.m.kept("drafts")
    assert o.s.counts()["total"] == total


def test_a_hundred_new_contacts(office):
    """From a directory, as a person imports them: one request each."""
    o = office()
    os.mkdir(os.path.join(o.ids["desk"], "new"))
    for i in range(100):
        with open(os.path.join(o.ids["desk"], "new", f"n{i}.json"), "w", encoding="utf-8") as f:
            f.write(compact({"email": f"new.{i}@example.org"}))
    with o.s.counting() as c:
        o.run("cp %(desk)s/new/*.json contacts/")
    assert methods(c) == ["POST"] * 100
    with o.s.counting() as c:
        assert len(o.m.ls("contacts")) == 123
        o.run("cat contacts/n*.json; cat contacts/*.json > /dev/null", check=False)
    assert methods(c) == ["GET"] * 2, c


# Into place as it is; tar and install of their own accord would remove what is there first.
RESTORE = ["cp %(desk)s/backup/*.json contacts/", "cp -a %(desk)s/backup/*.json contacts/",
           "tar -C %(desk)s/backup -cf - . | tar -C contacts --overwrite -xf -"]


@pytest.mark.parametrize("command", RESTORE, ids=lambda c: " ".join(c.split()[:2]))
def test_a_backup_put_back(office, command):
    """What has not changed costs nothing; what has is one request."""
    o = office()
    o.run("mkdir %(desk)s/backup; cp contacts/*.json %(desk)s/backup/")
    with o.s.counting() as c:
        o.run(command)
    assert c.writes == 0, c
    o.run("echo Rome > contacts/%(ada)s/fields/city; echo Oslo > contacts/%(grace)s/fields/city")
    with o.s.counting() as c:
        o.run(command)
    assert sorted(c.sent) == sorted([
        ("PATCH", o.named("/api/contacts/%(ada)s"), compact({"fields": fields(city="London")})),
        ("PATCH", o.named("/api/contacts/%(grace)s"), compact({"fields": fields(city=None)}))])
    o.untroubled()


def test_all_of_a_listing(office):
    o = office(delete_limit=0)
    count = len(o.m.ls("contacts")) - 1
    with o.s.counting() as c:
        o.run("for c in contacts/2*.json; do echo Rome > ${c%%.json}/fields/city || exit; done")
    assert methods(c) == ["PATCH"] * count, c
    with o.s.counting() as c:
        o.run("rm contacts/*.json")
    assert methods(c) == ["DELETE"] * count, c
    with o.s.counting() as c:
        assert o.m.ls("contacts") == ["by-email"]
    assert c.total == 0


def test_many_who_save_the_same(office):
    """Sixteen programs at once: each change is made, in one request each."""
    o = office()
    o.run("cat " + ADA)
    with o.s.counting() as c:
        running = [subprocess.Popen(["bash", "-c",
                                     o.named(f"echo {i} > contacts/%(ada)s/fields/{slug}")],
                                    cwd=o.m.path)
                   for i, slug in enumerate(["surname", "phone_number", "city", "company_name",
                                             "favourite_colour", "shoe_size", "first_name"])]
        assert [p.wait(timeout=PATIENCE) for p in running] == [0] * len(running)
    assert c.writes == len(running)
    assert sorted(body for _, _, body in c.sent) == sorted(
        compact({"fields": fields(**{slug: str(i)})}) for i, slug in enumerate(
            ["surname", "phone_number", "city", "company_name", "favourite_colour", "shoe_size",
             "first_name"]))
    o.shows(ADA)
    o.untroubled()
