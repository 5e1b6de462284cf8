#!/usr/bin/python3
"""Counts the tests of a finished run: `tally.py meson LOG.json`, `tally.py junit FILE.xml`.

Prints "passed failed skipped", then one line for each test that failed. A run that cannot be read
has failed; a program that ended badly without naming a failed test is one failed test; one that
ended well without having run a test is one too.
"""

import json
import re
import sys
import xml.etree.ElementTree

CMOCKA = {
    "passed": re.compile(r"^\[  PASSED  \] (\d+) test\(s\)\.$", re.M),
    "failed": re.compile(r"^\[  FAILED  \] (?:\S+: )?(\d+) test\(s\)", re.M),
    "skipped": re.compile(r"^\[  SKIPPED \] (?:\S+: )?(\d+) test\(s\)", re.M),
}


def meson(path):
    totals, notes = dict.fromkeys(CMOCKA, 0), []
    with open(path, encoding="utf-8") as lines:
        runs = [json.loads(line) for line in lines]
    for run in runs:
        text = run.get("stdout") or ""
        text += run.get("stderr") or ""
        found = {k: sum(map(int, r.findall(text))) for k, r in CMOCKA.items()}
        bad = run["result"] not in ("OK", "EXPECTEDFAIL")
        nothing = not bad and found["passed"] + found["skipped"] == 0
        if (bad and not found["failed"]) or nothing:
            found["failed"] += 1
        if bad or nothing:
            notes.append("%s: %s" % (run["name"], "ran no test" if nothing else run["result"]))
        for key in totals:
            totals[key] += found[key]
    return totals["passed"], totals["failed"], totals["skipped"], notes


def junit(path):
    passed = failed = skipped = 0
    notes = []
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failed += 1
            notes.append("%s.%s" % (case.get("classname"), case.get("name")))
        elif "skipped" in kinds:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped, notes


def main():
    kind, path = sys.argv[1:]
    try:
        passed, failed, skipped, notes = {"meson": meson, "junit": junit}[kind](path)
    except (OSError, ValueError, KeyError, xml.etree.ElementTree.ParseError) as e:
        passed, failed, skipped, notes = 0, 1, 0, ["no result: %s" % e]
    if passed + failed == 0:
        failed, notes = 1, notes + ["the suite ran no test"]
    print(passed, failed, skipped)
    for note in notes:
        print(note)


if __name__ == "__main__":
    main()
