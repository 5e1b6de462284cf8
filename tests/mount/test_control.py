""".systemefs/: what the driver tells about itself, and the words that steer it; and that no key is
ever to be found."""

import errno
import os
import re
import signal

import pytest

import lib
from test_tree import expect_error

MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z"


def test_status_is_name_and_value(mount, sandbox, mode):
    sb = sandbox(contacts=250)
    m = mount(sb, mode=mode)
    lines = m.text(".systemefs/status").splitlines()
    assert all(re.fullmatch(r"[a-z-]+: \S.*", line) for line in lines)
    status = m.status()
    assert len(status) == len(lines)
    assert status["mode"] == mode
    assert status["url"] == sb.url + ("/systeme" if mode == "gateway" else "")
    assert re.fullmatch(MOMENT, status["since"])
    assert status["records-cached"] == status["requests-made"] == status["failures"] == "0"
    assert status["quota-limit"] == "unknown"  # nobody has been asked yet

    m.run("cat contacts/*.json > /dev/null")
    m.settle()
    status = m.status()
    assert status["records-cached"] == "250"
    assert status["requests-made"] == "3"
    assert status["quota-limit"] == "100000"
    assert int(status["quota-left"]) == 99997
    assert 0 <= int(status["quota-refill-seconds"]) <= 60
    assert int(status["bytes-cached"]) > 250 * 300 < int(status["bytes-received"])


def test_status_shows_the_connection(mount, sandbox):
    sb = sandbox(connections=2)
    connection = [c for c in sb.connections() if c["status"] == "ACTIVE"][1]["connection_id"]
    m = mount(sb, mode="gateway", connection=connection)
    assert m.status()["connection"] == connection
    with sb.counting() as c:
        m.ls("tags")
    assert {r["matonConnection"] for r in c.requests} == {connection}


def test_requests_tells_what_was_asked(mount, sandbox, mode):
    sb = sandbox(contacts=150)
    m = mount(sb, mode=mode)
    assert m.requests() == []
    id = sb.world()["contacts"]["last"]
    with sb.counting() as c:
        m.read(f"contacts/{id}.json")
        expect_error(errno.ENOENT, m.read, "contacts/999999999.json")
        m.ls("tags")
    lines = m.requests()
    pattern = re.compile(
        rf"({MOMENT}) request=(\d+) try=1 GET (\S+) (\d{{3}}) \d+ms (\d+)B")
    found = [pattern.fullmatch(line) for line in lines]
    assert all(found), lines
    assert [int(f[3]) for f in found] == [1, 2, 3]
    prefix = "/systeme" if mode == "gateway" else ""
    assert [(f[4], int(f[5])) for f in found] == [
        (prefix + r["path"] + ("?" + r["query"] if r["query"] else ""), r["status"])
        for r in c.requests]


def test_requests_keeps_the_last_thousand(mount, sandbox):
    m = mount(sandbox(contacts=10), ttl=0)
    id = m.sandbox.world()["contacts"]["last"]
    with m.sandbox.counting() as c:
        for _ in range(1010):
            os.stat(m / f"contacts/{id}.json")
    assert c.total >= 1010
    lines = m.requests()
    assert len(lines) == 1000
    assert f" request={c.total} " in lines[-1]


def test_errors_tell_why(mount, sandbox, mode):
    sb = sandbox()
    m = mount(sb, mode=mode)
    assert m.errors() == []
    sb.faults({"path": "/api/tags", "status": 403})
    expect_error(errno.EACCES, m.ls, "tags")
    line = m.errors()[-1]
    assert re.fullmatch(rf"{MOMENT} request=1 readdir tags EACCES http=403 \S.*", line), line
    assert " request=1 " in m.requests()[-1]
    shown = m.run("getfattr", "-n", "user.systemefs.error", "--only-values", "tags").stdout
    assert "request 1" in shown
    assert re.search(r"EACCES.*request 1\b", m.log())
    assert m.status()["failures"] == "1"


def test_errors_keep_the_last_hundred(mount):
    m = mount()
    for i in range(130):
        expect_error(errno.EPERM, os.mkdir, m / f"new {i}")
    lines = m.errors()
    assert len(lines) == 100
    assert " new 30 " in lines[0] and " new 129 " in lines[-1]


def test_a_name_cannot_forge_a_line(mount):
    m = mount()
    expect_error(errno.EPERM, os.mkdir, m / "a\n2026-01-01T00:00:00Z forged")
    lines = m.errors()
    assert len(lines) == 1 and "forged" in lines[0]
    assert len([line for line in m.log().splitlines() if "forged" in line]) == 1


def test_metrics_are_prometheus_text(mount, sandbox):
    sb = sandbox(contacts=250)
    m = mount(sb)
    m.run("cat contacts/*.json > /dev/null")
    expect_error(errno.ENOENT, m.read, "tags/999999999.json")
    expect_error(errno.EPERM, os.mkdir, m / "new")
    m.settle()
    text = m.text(".systemefs/metrics")
    assert text.endswith("\n")
    values, typed, helped = {}, {}, set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped.add(line.split()[2])
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert kind in ("counter", "gauge") and name in helped and name not in typed
            typed[name] = kind
        else:
            sample = re.fullmatch(r'(([a-z_]+)(\{class="\w+"\})?) (-?\d+)', line)
            assert sample and sample[2] in typed, line
            assert sample[1] not in values
            values[sample[1]] = int(sample[4])
    assert all((kind == "counter") == name.endswith("_total") for name, kind in typed.items())
    assert values["systemefs_records_cached"] == 250
    assert values["systemefs_requests_total"] == values['systemefs_answers_total{class="2xx"}'] + \
        values['systemefs_answers_total{class="4xx"}']
    assert values["systemefs_failures_total"] >= 1
    assert values["systemefs_quota_limit"] == 100000


def test_these_files_have_their_size_and_need_no_request(mount):
    m = mount()
    with m.sandbox.counting() as c:
        for name in set(m.ls(".systemefs")) - {"drafts", "trash"}:
            # Tools that trust the size (cp, tail -c, rsync) get the whole file.
            assert m.run("cp", f".systemefs/{name}", "/dev/stdout").stdout == m.text(
                f".systemefs/{name}") or name in ("status", "metrics")
        assert m.run("tail", "-n1", ".systemefs/status").stdout == "api-away: 0\n"
    assert c.total == 0


def test_the_files_are_of_now(mount, sandbox):
    """Nothing of them is kept in the kernel."""
    m = mount(sandbox(contacts=20))
    for i in range(1, 5):
        expect_error(errno.EPERM, os.mkdir, m / f"new {i}")
        assert len(m.errors()) == i
        assert m.status()["failures"] == str(i)
        assert m.run("wc", "-l", ".systemefs/errors").stdout.split()[0] == str(i)


# ---- ctl ----


def test_ctl_tells_its_commands(mount):
    text = mount().text(".systemefs/ctl")
    assert "refresh" in text and "log" in text
    assert all(line.startswith("#") for line in text.splitlines())


@pytest.mark.parametrize("command", [
    "refresh", "refresh contacts", "refresh /contacts/", "  refresh  ", "# a comment", "",
    "refresh .", "refresh tags/by-name", "refresh README.md", "log debug", "log info",
    "refresh tags/two  blanks.json", "refresh tags\nrefresh contacts"])
def test_a_good_command(mount, command):
    m = mount()
    m.ctl(command)
    assert m.errors() == []


@pytest.mark.parametrize("command, why", [
    ("frobnicate", "frobnicate"), ("REFRESH", "REFRESH"),
    ("refresh nowhere/at/all", "nowhere/at/all"),
    ("refresh contacts/999999999.json", "999999999"), ("log", "log LEVEL"), ("log loud", "loud"),
    ("refresh\nfrobnicate", "frobnicate")])
def test_a_bad_command_is_explained(mount, command, why):
    m = mount()
    expect_error(errno.EINVAL, m.ctl, command)
    assert len(m.errors()) == 1
    assert " EINVAL " in m.errors()[0] and ".systemefs/ctl" in m.errors()[0]
    assert why in m.errors()[0]


def test_ctl_from_the_shell(mount):
    m = mount()
    m.run("echo refresh > .systemefs/ctl")
    m.run("echo refresh contacts >> .systemefs/ctl")
    m.run("printf 'refresh tags' | tee .systemefs/ctl")
    bad = m.run("bash", "-c", "echo nonsense > .systemefs/ctl", check=False)
    assert bad.returncode != 0 and "Invalid argument" in bad.stderr
    shown = m.run("getfattr", "-n", "user.systemefs.error", "--only-values", ".systemefs/ctl")
    assert "nonsense" in shown.stdout


def test_log_level(mount):
    m = mount()
    m.ls("tags")
    assert "/api/tags" not in m.log()
    m.ctl("log debug")
    m.ls("courses")
    assert "/api/school/courses" in m.log()
    m.ctl("log error")
    before = m.log()
    expect_error(errno.EPERM, os.mkdir, m / "new")
    assert m.log() == before


# ---- keys ----


@pytest.mark.parametrize("background", [False, True])
def test_the_key_is_nowhere(mount, sandbox, mode, background):
    sb = sandbox(contacts=30, key="sekrit-direct-0123456789",
                 gateway_key="sekrit-gateway-0123456789")
    m = mount(sb, mode=mode, background=background, log_level="debug")
    key = (sb.gateway_key if mode == "gateway" else sb.key).encode()
    assert key.startswith(b"sekrit")
    m.ls("tags")
    m.run("cat contacts/*.json")
    # A server that says it back makes no difference.
    sb.faults({"path": "/api/school/courses", "action": "echo_key"},
              {"path": "/api/community/communities", "status": 401})
    for name in ("courses", "communities"):
        try:
            m.ls(name)
        except OSError:
            pass
    for where, _, files in os.walk(m / ".systemefs"):
        for name in files:
            assert key not in m.read(os.path.join(where, name)), name
    for where, dirs, files in os.walk(m.path):
        dirs[:] = [d for d in dirs if d not in ("courses", "communities", "subscriptions")]
        for name in files:
            assert key not in name.encode()
            assert key not in m.read(os.path.join(where, name)), name
    assert key not in m.log().encode()
    for name in ("cmdline", "environ", "comm"):
        with open(f"/proc/{m.pid}/{name}", "rb") as f:
            assert key not in f.read(), name
    for where, _, files in os.walk(m.directory):
        if where.startswith(str(m.path)):
            continue
        for name in files:
            with open(os.path.join(where, name), "rb") as f:
                assert key not in f.read(), name


def test_sighup_leaves_the_mount_alone(mount, sandbox):
    m = mount(sandbox(contacts=5))
    m.ls("contacts")
    m.signal(signal.SIGHUP)
    lib.wait_until(lambda: "SIGHUP" in m.log(), "the signal to be noted")
    assert len(m.ls("contacts")) == 6
    assert m.status()["mode"] == "direct"
