"""The rows: what is done, with how many records, how far away, by whom, and what must come out.

Each size is for (--quick, neither, --full); the last is the one that the bar is meant for.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One that does a row's work. `kind` is the function or place; see works.py and single.py."""

    name: str
    kind: str
    slow: bool = False  # runs as often as the row's `slow_runs` says
    part: int = 1  # a size that is compared: this fraction of the row's n
    options: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Bar:
    """The median of a figure, or its ratio to another contestant's: at most, or at least."""

    who: str
    figure: str
    limit: float
    per: str = None
    per_figure: str = None
    at_least: bool = False


@dataclasses.dataclass
class Row:
    name: str
    title: str
    work: str
    n: tuple
    contestants: tuple
    latency: int = 0
    bars: tuple = ()
    against: str = None  # whom the table's ratios are against
    figures: tuple = ("seconds",)  # of these the table has a line each
    notes: tuple = ()  # shown in the last column
    peer_n: tuple = (10000,)  # as n: of how many files the slow ones do it, and it is scaled
    runs: tuple = (3, 5, 5)
    slow_runs: tuple = (1, 1, 3)
    quota: tuple = None  # requests, window in seconds
    seconds: tuple = (0,)
    repeat: tuple = (1,)

    def at(self, scale):
        """This row with one size instead of three."""
        sized = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name in ("n", "peer_n", "runs", "slow_runs", "seconds", "repeat", "quota"):
            if sized[name]:
                sized[name] = sized[name][min(scale, len(sized[name]) - 1)]
        return Row(**sized)


def systemefs(name="systemefs", kind="systemefs", part=1, **options):
    return Contestant(name, kind, part=part, options=options)


WALK, TMPFS = Contestant("walk", "walk"), Contestant("tmpfs", "tmpfs")
GETS = Contestant("gets", "gets", slow=True)
PEERS = tuple(Contestant(name, name, slow=True) for name in ("rclone", "sshfs", "davfs2"))
RW, RO = systemefs("rw"), systemefs("ro", ro=True)


def most(who, figure, limit, per=None, per_figure=None):
    return Bar(who, figure, limit, per, per_figure)


def times_faster(limit, than):
    return Bar(than, "seconds", limit, "systemefs", at_least=True)


ROWS = (
    Row("ls-20ms", "cold ls", "ls", (1000, 10000, 10000), (systemefs(), WALK, *PEERS), 20,
        (most("systemefs", "seconds", 0.35, "walk"),), "systemefs", notes=("requests",)),
    Row("grep-20ms", "cold grep -r", "grep", (1000, 10000, 10000),
        (systemefs(), RO, WALK, GETS, *PEERS), 20,
        (most("systemefs", "seconds", 0.35, "walk"),
         *(times_faster(250, peer.name) for peer in PEERS)), "systemefs", notes=("requests",),
        peer_n=(20, 300, 10000), slow_runs=(1, 1, 1)),
    Row("grep-peers-0ms", "cold grep -r, nobody is far away", "grep", (1000, 10000, 10000),
        (systemefs(), WALK, TMPFS, GETS, *PEERS), 0, (), "systemefs", notes=("requests",),
        peer_n=(100, 2000, 10000)),
    Row("grep-peers-100ms", "cold grep -r", "grep", (1000, 10000, 10000),
        (systemefs(), WALK, GETS, *PEERS), 100, (), "systemefs", notes=("requests",),
        peer_n=(10, 100, 1000), runs=(1, 3, 3), slow_runs=(1, 1, 1)),
    Row("grep-100ms", "cold grep -r, 16 jobs and one", "grep", (2000, 20000, 100000),
        (systemefs(), systemefs("one job", jobs=1), WALK), 100,
        (most("systemefs", "seconds", 0.12, "walk"), most("systemefs", "over", 1.05),
         most("one job", "seconds", 1.1, "walk")), "walk", notes=("requests", "over"),
        runs=(1, 3, 3)),
    Row("grep-0ms", "cold grep -r, and grep of the pages", "grep", (5000, 50000, 100000),
        (systemefs(), RO, WALK, TMPFS), 0, (most("systemefs", "seconds", 5, "walk"),), "walk",
        notes=("requests",)),
    Row("quota", "cold ls -f, limited to the quota (n requests in s seconds)", "quota",
        (3000, 10000, 20000), (systemefs("systemefs", "quota"),), 0,
        (Bar("systemefs", "share", 0.95, at_least=True), most("systemefs", "refused", 0)),
        figures=("seconds", "quota_needs", "share"), notes=("requests", "refused"),
        quota=((12, 1), (30, 2), (60, 3)), runs=(2, 3, 5)),
    Row("grep-memory", "grep -r thrice, all in the daemon's memory", "regrep",
        (2000, 20000, 20000), (RW, RO, TMPFS), 0,
        (most("rw", "first", 12, "tmpfs"), most("ro", "first", 2.5, "tmpfs"),
         most("rw", "third", 8, "tmpfs"), most("ro", "third", 1.3, "tmpfs"),
         most("ro", "messages_a_file", 0.01)), "tmpfs", ("first", "second", "third"),
        ("messages_a_file", "wakeups_a_file")),
    Row("ls-known", "ls of what is known, the kernel's caches dropped", "lists",
        (2000, 20000, 20000), (RW, RO, TMPFS), 0,
        (most("rw", "ls_f", 6, "tmpfs"), most("rw", "ls_l", 1.6, "tmpfs"),
         most("rw", "ls_l_again", 1.2, "tmpfs")), "tmpfs", ("ls_f", "ls_l", "ls_l_again")),
    Row("stat", "stat of one file, warm, 1000 times", "stat", (1000, 1000, 1000), (RW, TMPFS), 0,
        (most("rw", "messages", 0),), "tmpfs", notes=("messages",)),
    Row("first-entry", "first record that ls -f shows, and one page by curl", "first",
        (5000, 100000, 100000), (systemefs("systemefs", "first"), Contestant("one page", "walk")),
        100, (most("systemefs", "seconds", 2, "one page"),), "one page", notes=("requests",)),
    Row("cat-beside", "open, read, close of one while all are listed", "beside",
        (20000, 200000, 1000000), (systemefs("systemefs", "beside"),), 0,
        (most("systemefs", "busy", 5, "systemefs", "idle"),), figures=("idle", "busy", "worst"),
        runs=(2, 3, 3)),
    Row("size", "ls -f, time and memory as the collection grows", "size",
        (30000, 200000, 1000000),
        tuple(systemefs(name, "size", part) for name, part in
              (("n/100", 100), ("n/10", 10), ("n", 1))), 0,
        (most("n", "of_bar", 1), most("n", "a_record", 1.3, "n/100"),
         most("n", "a_record", 1.3, "n/10")), "n/100", ("seconds", "a_record"),
        ("text", "resident", "peak", "of_bar"), runs=(2, 3, 3)),
    Row("idle", "CPU of a mount that nobody uses", "idle", (1000, 1000, 10000),
        (systemefs("systemefs", "idle"),), 0, (most("systemefs", "ticks", 0),),
        figures=("ticks", "wakeups"), seconds=(3, 20, 60), runs=(1, 1, 2)),
    Row("save-20ms", "save of one record", "save", (300, 1000, 10000),
        (systemefs("systemefs", "save"),), 20, (most("systemefs", "over_two", 0.005),),
        figures=("fresh", "older", "request", "over_two"),
        notes=("requests_fresh", "requests_older"), repeat=(1, 3, 5), runs=(1, 3, 3)),
)
