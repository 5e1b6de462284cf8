"""Each allocation of a small session fails, one in each run: a clean errno, or a clean end, and never
a text that is lost though its save was said to have gone well.

In ./check some of them, others in each run; SYSTEMEFS_EVERY=1 tries all (some minutes).
"""

import errno
import os
import random
import re


from lib import sanitizer_reports
from test_crash import ADA, fault_points  # noqa: F401 (a fixture)

STEP = int(os.environ.get("SYSTEMEFS_EVERY", "60"))
NOW = "SYSTEMEFS_FAIL_ALLOCATION: now"

# Each is done whatever became of the one before. %s: a number of its own.
SESSION = [
    "ls contacts tags contacts/by-email",
    "cat " + ADA,
    "cat contacts/ada@example.org.json contacts/%(ada)s/fields/first_name",
    "getfattr -n user.systemefs.error " + ADA,
    "mkdir tags/t-%%s",
    "ln tags/%(new)s.json contacts/%(ada)s/tags/",
    "rm contacts/%(ada)s/tags/%(new)s.json",
    "echo x > contacts/.x && mv contacts/.x contacts/.y && rm contacts/.y",
    "cat .systemefs/status .systemefs/errors .systemefs/requests",
    "find .systemefs/drafts",
]
SAVE = """echo '{"fields":[{"slug":"city","value":"c-%s"}]}' > """ + ADA


def city(o):
    return {f["slug"]: f["value"] for f in o.record(ADA)["fields"]}["city"]


def one_run(o, number):
    """False once there are fewer allocations than that."""
    m = o.m
    m.env["SYSTEMEFS_FAIL_ALLOCATION"] = str(number)
    size = os.path.getsize(m.log_path)
    try:
        m.start()
    except AssertionError as e:
        # It has ended before there was a mount: aloud, and not by a signal.
        code = re.search(r"ended with (-?\d+)", str(e))
        assert code and int(code[1]) in (1, 2), (number, str(e))
        assert not sanitizer_reports(m.directory), number
        return True
    except OSError as e:  # the first look at the mount
        assert e.errno == errno.ENOMEM, number
    o.s.change("patch_contact", id=o.ids["ada"], fields={"city": "before"})
    for command in SESSION:
        o.run(command.replace("%%s", str(number)), check=False)
    saved = o.run(SAVE.replace("%s", str(number), 1), check=False)
    wanted = f"c-{number}"
    if saved.returncode == 0:
        assert city(o) == wanted, number
    elif city(o) != wanted:
        assert city(o) == "before", number
    for tag in o.s.all("/api/tags"):
        if tag["name"].startswith("t-"):  # or each run would have more to do than the one before
            o.s.change("delete_tag", id=tag["id"])
    problems = m.close()
    assert not [p for p in problems if "ended with" not in p], (number, problems)
    assert m.exit_code in (0, 1), (number, problems)
    with open(m.log_path, encoding="utf-8", errors="replace") as log:
        log.seek(size)
        return NOW in log.read()


def test_each_allocation_fails_once(office, fault_points):  # noqa: F811
    o = office(timeout=5)
    o.m.unmount()
    number = 1 if STEP == 1 else random.randint(1, STEP)
    runs = 0
    while one_run(o, number):
        number += STEP
        runs += 1
    del o.m.env["SYSTEMEFS_FAIL_ALLOCATION"]
    print(f"{runs} runs, {number} allocations")
    assert runs > 5
    o.m.start()
