"""A server that is stopped in the middle (SIGSTOP: it takes connections and says nothing), and a
process that may open few files."""

import errno
import os
import resource
import signal
import time

from lib import wait_until
from test_crash import ADA
from test_tree import expect_error

TIMEOUT = 3


def test_the_server_is_stopped(office):
    """People read, write and unmount meanwhile: each hears within the timeout, nothing is lost."""
    o = office(timeout=TIMEOUT)
    o.run("cat " + ADA)
    os.kill(o.s.process.pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        o.run("cat " + ADA + " .systemefs/status")
        assert time.monotonic() - started < 1  # known, or made here
        expect_error(errno.ETIMEDOUT, os.listdir, o.m.path / "tags")
        done = o.run("""cp /dev/stdin %s <<<'{"locale":"fr"}'""" % ADA, check=False)
        assert done.returncode != 0 and "timed out" in done.stderr
        name = o.named(ADA)
        assert o.m.kept("drafts")[name] == b'{"locale":"fr"}\n'
        assert time.monotonic() - started < 3 * TIMEOUT
        started = time.monotonic()
        o.m.unmount()
        assert time.monotonic() - started < 2 * TIMEOUT
    finally:
        os.kill(o.s.process.pid, signal.SIGCONT)
    o.m.start()
    assert o.m.kept("drafts")[name] == b'{"locale":"fr"}\n'
    o.run("ls tags && cp .systemefs/drafts/%s %s" % (ADA, ADA))
    assert o.record(ADA)["locale"] == "fr"


def test_few_descriptors(office):
    """Connections that cannot be opened wait for one that ends; nobody gets half a listing."""
    o = office(account={"contacts": 450}, jobs=8)
    used = max(int(n) for n in os.listdir(f"/proc/{o.m.pid}/fd"))
    before = resource.prlimit(o.m.pid, resource.RLIMIT_NOFILE)
    for room in (0, 1, 2, 3):
        resource.prlimit(o.m.pid, resource.RLIMIT_NOFILE, (used + 1 + room, before[1]))
        o.m.ctl("refresh")
        done = o.run("ls contacts | wc -l; find tags courses -name '*.json' | xargs cat >/dev/null",
                     check=False)
        lines = int(done.stdout.split()[0])
        assert lines >= 450 or done.stderr, done
        assert o.run("""echo '{"locale":"de"}' > .systemefs/drafts-not || echo no""",
                     check=False).stdout == "no\n"
    resource.prlimit(o.m.pid, resource.RLIMIT_NOFILE, before)
    wait_until(lambda: o.run("ls contacts", check=False).returncode == 0, "a listing")
    assert len(o.m.ls("contacts")) >= 450
    o.run("""echo '{"locale":"fr"}' > """ + ADA)
    assert o.record(ADA)["locale"] == "fr"
