"""From figures to what one reads: medians, spreads, ratios, bars; a table, and JSON."""

import datetime
import json
import os
import platform
import statistics

BYTES = ("text", "resident", "peak")
COUNTS = ("ticks", "wakeups", "requests", "requests_fresh", "requests_older", "messages",
          "refused", "cached")
RATIOS = ("share", "over", "of_bar", "messages_a_file", "wakeups_a_file")


def shown(figure, value):
    """A value for people, in the unit of its figure."""
    if figure in BYTES:
        return f"{value / (1 << 20):.1f} MiB"
    if figure in COUNTS:
        return f"{value:.0f}"
    if figure in RATIOS:
        return f"{value:.3g}"
    for unit, scale in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if abs(value) * scale >= 1:
            break
    if abs(value) >= 1000:
        return f"{value:.0f} s"
    return f"{value * scale:.3g} {unit}"


class Result:
    """What a row has given.

    samples  contestant -> a dict of figures for each run
    absent   contestant -> why it did not take part
    wrong    contestant -> what it did wrong: its figures do not count
    """

    def __init__(self, row):
        self.row = row
        self.samples = {c.name: [] for c in row.contestants}
        self.absent, self.wrong = {}, {}

    def values(self, who, figure):
        return [run[figure] for run in self.samples.get(who, ()) if figure in run]

    def median(self, who, figure):
        values = self.values(who, figure)
        return statistics.median(values) if values and who not in self.wrong else None

    def bar(self, bar):
        """(value or None, whether it is met or None)"""
        value = self.median(bar.who, bar.figure)
        if value is not None and bar.per:
            other = self.median(bar.per, bar.per_figure or bar.figure)
            value = value / other if other else None
        if value is None:
            return None, None
        return value, value >= bar.limit if bar.at_least else value <= bar.limit

    # -- the table

    def lines(self):
        row = self.row
        where = f", {row.latency} ms a request" if row.latency else ""
        quota = f", {row.quota[0]} in {row.quota[1]} s" if row.quota else ""
        yield f"{row.name}: {row.title}; N = {row.n:,}{where}{quota}"
        for contestant in row.contestants:
            yield from self.contestant_lines(contestant.name)
        for bar in row.bars:
            yield "  " + self.bar_line(bar)

    def contestant_lines(self, who):
        for problem, what in ((self.wrong.get(who), "WRONG"), (self.absent.get(who), "missing")):
            if problem:
                yield f"  {who:<10} {what}: {problem}"
        if who in self.wrong or not self.samples[who]:
            return
        for i, figure in enumerate(f for f in self.row.figures if self.values(who, f)):
            values, middle = self.values(who, figure), self.median(who, figure)
            label = "" if figure == "seconds" else figure
            spread = f"({shown(figure, min(values))} - {shown(figure, max(values))})"
            ratio = ""
            if self.row.against and (other := self.median(self.row.against, figure)):
                ratio = f"{middle / other:.3g} x"
            notes = [f"{len(values)} runs" if len(values) > 1 else "1 run"]
            if i == 0:
                notes += [f"{name} {shown(name, self.median(who, name))}"
                          for name in self.row.notes if self.values(who, name)]
                if scaled := self.values(who, "scaled_from"):
                    notes.append(f"scaled from {scaled[0]} files")
            yield (f"  {who:<10} {label:<11} {shown(figure, middle):>9} {spread:<22} "
                   f"{ratio:>8}  {', '.join(notes)}")

    def bar_line(self, bar):
        value, met = self.bar(bar)
        who = f"{bar.who} {bar.figure}"
        if bar.per:
            figure = bar.per_figure or bar.figure
            who += f" / {bar.per}" + (f" {figure}" if figure != bar.figure else "")
        sign = "at least" if bar.at_least else "at most"
        show = (lambda v: f"{v:.3g}") if bar.per else (lambda v: shown(bar.figure, v))
        verdict = {True: "met", False: "MISSED", None: "not measured"}[met]
        return (f"bar: {who} {sign} {show(bar.limit)}: "
                f"{show(value) + ', ' if value is not None else ''}{verdict}")

    # -- JSON

    def record(self):
        row, contestants = self.row, {}
        for contestant in row.contestants:
            who = contestant.name
            figures = {f: None for run in self.samples[who] for f in run}
            contestants[who] = {
                "options": contestant.options, "missing": self.absent.get(who),
                "wrong": self.wrong.get(who),
                "figures": {f: {"median": statistics.median(v), "min": min(v), "max": max(v),
                                "runs": v} for f in figures if (v := self.values(who, f))}}
        bars = [{"text": self.bar_line(bar), "limit": bar.limit, "value": self.bar(bar)[0],
                 "met": self.bar(bar)[1]} for bar in row.bars]
        return {"name": row.name, "title": row.title, "n": row.n, "latency_ms": row.latency,
                "ratios_against": row.against, "contestants": contestants, "bars": bars}


def machine(versions, command):
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo")
                if line.startswith("model name")), platform.machine())
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo")
                  if line.startswith("MemTotal:"))
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"date": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "command": command, "kernel": platform.release(), "cpu": cpu,
            "cpus": len(os.sched_getaffinity(0)), "memory_mib": memory // 1024,
            "versions": versions}


def heading(about):
    return (f"{about['date']}  {about['command']}\n"
            f"{about['cpus']} x {about['cpu']}, {about['memory_mib']} MiB, Linux "
            f"{about['kernel']}\n" + "; ".join(f"{k}: {v}" for k, v in about["versions"].items())
            + "\nmedian (min - max), ratio to the one that has 1 x")


def summary(results):
    """A line, and the exit status: 1 where something was wrong. A bar is missed without that."""
    bars = [result.bar(bar)[1] for result in results for bar in result.row.bars]
    wrong = sum(len(result.wrong) for result in results)
    absent = sum(len(result.absent) for result in results)
    text = (f"{len(results)} rows: {bars.count(True)} bars met, {bars.count(False)} missed, "
            f"{bars.count(None)} not measured; {wrong} wrong, {absent} missing")
    return text, 1 if wrong else 0


def save(path, about, scale, results):
    with open(path, "w", encoding="utf-8") as f:
        json.dump({**about, "scale": scale, "rows": [r.record() for r in results]}, f, indent=2)
        f.write("\n")
