#!/usr/bin/python3
"""Lines and branches a file, from what `llvm-cov export` writes: `coverage.py /path/to/src`.

A branch is one way out of a condition; `if (a && b)` has four. Functions that were never called
come last.
"""

import json
import os
import sys


def share(part, whole):
    return "%5.1f %%" % (100 * part / whole) if whole else "%7s" % "-"


def row(name, lines, branches):
    return "%-32s %6d %s  %6d %s" % (
        name, lines[0], share(lines[1], lines[0]), branches[0], share(branches[1], branches[0]),
    )


def main():
    (root,) = sys.argv[1:]
    data = json.load(sys.stdin)["data"][0]
    sums = {}
    print("%-32s %6s %7s  %6s" % ("", "lines", "", "branches"))
    for file in sorted(data["files"], key=lambda file: file["filename"]):
        name = os.path.relpath(file["filename"], root)
        if name.startswith(".."):
            continue
        for of in (name, os.path.dirname(name) + "/", "all"):
            for kind, pair in zip(("lines", "branches"), sums.setdefault(of, ([0, 0], [0, 0]))):
                pair[0] += file["summary"][kind]["count"]
                pair[1] += file["summary"][kind]["covered"]
    files = [name for name in sums if name.endswith((".c", ".h"))]
    for names in (files, sorted(sums.keys() - set(files) - {"all"}) + ["all"]):
        for name in names:
            print(row(name, *sums[name]))
        print()

    called = {}
    for function in data["functions"]:
        where = os.path.relpath(function["filenames"][0], root)
        if not where.startswith(".."):
            name = (where, function["name"].split(":")[-1])
            called[name] = called.get(name, 0) + function["count"]
    print("never called:")
    for (where, name), count in sorted(called.items()):
        if not count:
            print("  %-30s %s" % (where, name))


if __name__ == "__main__":
    main()
