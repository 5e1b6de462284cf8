"""Starting and ending: what people type, what they get wrong, and what must not be left behind."""

import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import threading

import pytest

import lib
import liar
from lib import PATIENCE, mounted, program, wait_until
from place import Place

USAGE, FAILURE = 2, 1


@pytest.fixture
def place(work):
    p = Place(work)
    yield p
    problems = p.close()
    assert not problems, "\n".join(problems)


@pytest.fixture
def account(place, sandbox):
    """The place with a sandbox that its configuration names."""
    place.sandbox = sandbox(contacts=30)
    place.configure(f"api_url = {place.sandbox.url}\nctrl_url = {place.sandbox.url}\n")
    return place


# ---- what is said and nothing done


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(place, option):
    done = place.ok(option, mnt="")
    assert done.stderr == "" and done.stdout.startswith("usage: systemefs")
    for name in ("api_url", "auth", "connection", "ttl", "timeout", "jobs", "reserve",
                 "delete_limit", "access_type", "ro", "dry_run", "cacert", "uid", "gid", "umask",
                 "allow_other", "config", "account", "key_command", "key_file", "insecure_http",
                 "--sandbox", "-f"):
        assert re.search(rf"(^|\W){re.escape(name)}(\W|$)", done.stdout), name


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(place, option):
    done = place.ok(option, mnt="")
    assert re.fullmatch(r"systemefs \d+\.\d+\.\d+\S*\n", done.stdout) and done.stderr == ""


@pytest.mark.parametrize("args, words", [
    (["--nonsense"], "nonsense"), (["-o", "nonsense=1"], "nonsense"), (["-Q"], "-Q"),
    (["-o", "tttl=5"], "ttl"), (["--timout=3"], "timeout"), (["--ttl=soon"], "ttl.*soon"),
    (["--ttl=-1"], "ttl"), (["--timeout=0"], "timeout"), (["--jobs=0"], "jobs"),
    (["--jobs=1000000"], "jobs"), (["--reserve=101"], "reserve"), (["--umask=999"], "umask"),
    (["--auth=magic"], "auth.*magic"), (["--api-url=ftp://x"], "api_url"),
    (["--api-url=http://example.com"], "unencrypted|insecure_http"),
    (["--connection=a b"], "connection"), (["--uid=nobody-here-at-all"], "uid"),
    (["--ttl"], "ttl"), (["--log-level=loud"], "log_level"), (["--cacert=/nonexistent"], "cacert"),
    (["--key=secret"], "key"), (["one", "more"], "one|more|mnt")])
def test_a_wrong_command_line(place, args, words):
    said = place.refused(*args, code=USAGE, env={"MATON_API_KEY": "k" * 20})
    assert re.search(words, said), said
    assert said.count("\n") <= 2, "one sentence"


def test_no_mount_point(place):
    said = place.refused(code=USAGE, mnt="", env={"SYSTEME_API_KEY": "x" * 20})
    assert "MOUNTPOINT" in said or "mount point" in said


# ---- the configuration file


@pytest.mark.parametrize("text, line, words", [
    ("ttl = 5\nnonsense = 1\n", 2, "nonsense"), ("ttl = soon\n", 1, "soon"),
    ("\n\n# fine\ntimeout 5\n", 4, ""), ("[account a\n", 1, ""), ("[other]\n", 1, ""),
    ("ttl = 5\n[account a]\nttl = -3\n", 3, "ttl"), ("jobs = 4\njobs = none\n", 2, "jobs"),
    ("key = secret-key-here\n", 1, "key")])
def test_a_wrong_line(place, text, line, words):
    place.configure(text)
    said = place.refused(code=USAGE, env={"SYSTEME_API_KEY": "x" * 20})
    assert f"{place.config}:{line}" in said, said
    assert words in said
    assert "secret-key-here" not in said


def test_a_config_that_is_no_text(place):
    place.configure("ttl = 1\0 2\n")
    assert str(place.config) in place.refused(code=USAGE, env={"SYSTEME_API_KEY": "x" * 20})


def test_a_config_that_is_not_there(place):
    said = place.refused("--config=/nonexistent/config", env={"SYSTEME_API_KEY": "x" * 20})
    assert "/nonexistent/config" in said


def test_accounts(account):
    other = lib.Sandbox(account.work, contacts=3)
    try:
        account.configure(
            f"auth = systeme\napi_url = {account.sandbox.url}\nttl = 7\n"
            f"[account one]\nkey_command = echo {account.sandbox.key}\n"
            f"[account two]\nkey_command = printf '%s' {other.key}\napi_url = {other.url}\n")
        said = account.refused()
        assert "one" in said and "two" in said, "which there are"
        assert "three" in account.refused("-o", "account=three")
        for name, count in (("one", 30), ("two", 3)):
            account.ok("-o", f"account={name}")
            assert len(os.listdir(account.mnt / "contacts")) == count + 1
            account.unmount()
    finally:
        assert other.stop() == []


def test_the_command_line_wins(account):
    account.configure(f"api_url = {account.sandbox.url}\numask = 077\n")
    account.ok("-o", "umask=027", env=account.keys(account.sandbox))
    assert (account.mnt / "README.md").stat().st_mode & 0o777 in (0o640, 0o440)


# ---- keys


def test_no_key(place):
    said = place.refused(code=FAILURE)
    assert "MATON_API_KEY" in said and "SYSTEME_API_KEY" in said and "--sandbox" in said


@pytest.mark.parametrize("auth, variable", [("maton", "MATON_API_KEY"),
                                            ("systeme", "SYSTEME_API_KEY")])
def test_the_key_of_the_other(place, auth, variable):
    other = {"MATON_API_KEY": "SYSTEME_API_KEY", "SYSTEME_API_KEY": "MATON_API_KEY"}[variable]
    said = place.refused("-o", f"auth={auth}", code=FAILURE, env={other: "k" * 20})
    assert variable in said


def test_both_keys(account):
    done = account.ok("-o", f"api_url={account.sandbox.url}/systeme", env={
        "MATON_API_KEY": account.sandbox.gateway_key, "SYSTEME_API_KEY": account.sandbox.key})
    assert "both" in done.stderr and "gateway" in done.stderr and done.stderr.count("\n") == 1
    assert "mode: gateway" in (account.mnt / ".systemefs/status").read_text()


def test_both_keys_and_a_choice(account):
    done = account.ok("-o", "auth=systeme", env={
        "MATON_API_KEY": account.sandbox.gateway_key, "SYSTEME_API_KEY": account.sandbox.key})
    assert done.stderr == ""
    assert "mode: direct" in (account.mnt / ".systemefs/status").read_text()
    assert not (account.mnt / "connections").exists()


def key_file(place, mode):
    path = pathlib.Path(place.work, "key")
    path.write_text(place.sandbox.key + "\n")
    path.chmod(mode)
    return path


def test_a_key_file(account):
    account.ok("-o", f"auth=systeme,key_file={key_file(account, 0o600)}")
    assert len(os.listdir(account.mnt / "contacts")) == 31


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666])
def test_a_key_file_that_others_can_read(account, mode):
    path = key_file(account, mode)
    said = account.refused("-o", f"auth=systeme,key_file={path}", code=FAILURE)
    assert str(path) in said and re.search("chmod|others|0600", said)
    assert account.sandbox.key not in said


def test_a_key_file_that_cannot_be_read(account):
    said = account.refused("-o", f"auth=systeme,key_file={account.work}/none")
    assert f"{account.work}/none" in said
    said = account.refused("-o", f"auth=systeme,key_file={account.work}")
    assert str(account.work) in said
    if os.geteuid() != 0:
        assert "ermission" in account.refused("-o", f"auth=systeme,key_file={key_file(account, 0)}")


@pytest.mark.parametrize("text", ["", "\n\n", "two words\n", "a\0b", "x" * 10000])
def test_a_key_file_without_a_key(account, text):
    path = key_file(account, 0o600)
    path.write_text(text)
    said = account.refused("-o", f"auth=systeme,key_file={path}")
    assert "two words" not in said


def test_a_key_command(account):
    account.configure(f"api_url = {account.sandbox.url}\nauth = systeme\n"
                      f"key_command = printf '%s\\nsecond line\\n' {account.sandbox.key}\n")
    account.ok()
    assert len(os.listdir(account.mnt / "contacts")) == 31


@pytest.mark.parametrize("command, words", [
    ("exit 3", "3"), ("true", ""), ("kill -9 $$", ""), ("no-such-program-here", ""),
    ("echo 'two words'", "")])
def test_a_key_command_that_fails(account, command, words):
    account.configure(f"api_url = {account.sandbox.url}\nauth = systeme\nkey_command = {command}\n")
    said = account.refused()
    last = said.splitlines()[-1]
    assert "key_command" in last or "command" in last, said
    assert words in said


def test_a_wrong_key(account):
    """The mount may stand, but the first look into it says what is wrong."""
    done = account.start(env={"SYSTEME_API_KEY": "wrong-wrong-wrong"})
    if done.returncode:
        assert "key" in done.stderr and "401" in done.stderr
        return
    with pytest.raises(OSError) as caught:
        os.listdir(account.mnt / "contacts")
    assert "rejected" in str(caught.value)


@pytest.mark.parametrize("how", ["environment", "command", "file"])
def test_the_key_is_nowhere_to_be_seen(account, how):
    key = account.sandbox.key
    assert len(key) > 8
    if how == "environment":
        account.ok(env={"SYSTEME_API_KEY": key})
    elif how == "file":
        account.ok("-o", f"auth=systeme,key_file={key_file(account, 0o600)}")
    else:
        path = key_file(account, 0o600)
        account.ok("-o", f"auth=systeme,key_command=cat {path}")
    os.listdir(account.mnt / "contacts")
    pids = account.pids()
    assert pids
    for pid in pids:
        for name in ("environ", "cmdline", "comm", "status"):
            assert key.encode() not in pathlib.Path(f"/proc/{pid}/{name}").read_bytes(), name
    # Only our own: other tests that run beside this one give their programs the same key.
    ps = ["ps", "eww", "-p", ",".join(map(str, pids))]
    assert key not in subprocess.run(ps, capture_output=True, text=True, check=True).stdout
    assert key not in subprocess.run(["mount"], capture_output=True, text=True).stdout
    done = subprocess.run(["grep", "-rl", key, "."], cwd=account.mnt, capture_output=True,
                          text=True, check=False)
    assert done.stdout == "", done
    for name in ("status", "errors", "requests", "metrics", "ctl"):
        assert key not in (account.mnt / ".systemefs" / name).read_text()


# ---- the mount point


def test_a_mount_point_that_is_not_there(account):
    said = account.refused(mnt=account.work + "/nowhere", env=account.keys(account.sandbox))
    assert "/nowhere" in said and "does not exist" in said


def test_a_mount_point_that_is_a_file(account):
    path = pathlib.Path(account.work, "file")
    path.write_text("mine")
    assert "not a directory" in account.refused(mnt=path, env=account.keys(account.sandbox))
    assert path.read_text() == "mine"


def test_a_mount_point_that_is_not_empty(account):
    (account.mnt / "mine").write_text("mine")
    assert "not empty" in account.refused(env=account.keys(account.sandbox))
    account.ok("-o", "nonempty", env=account.keys(account.sandbox))
    assert (account.mnt / "README.md").exists() and not (account.mnt / "mine").exists()
    account.unmount()
    assert (account.mnt / "mine").read_text() == "mine"
    (account.mnt / "mine").unlink()


def test_mounted_already(account):
    account.ok(env=account.keys(account.sandbox))
    done = account.start(env=account.keys(account.sandbox))
    assert done.returncode == FAILURE
    assert "mounted there already" in done.stderr and "fusermount3 -u" in done.stderr
    assert len(os.listdir(account.mnt / "contacts")) == 31, "and goes on"


def test_a_dead_mount_is_healed(account):
    account.ok(env=account.keys(account.sandbox))
    os.listdir(account.mnt / "contacts")
    (pid,) = account.pids()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not account.left(), "its end")
    assert mounted(account.mnt), "it had no time to unmount"
    with pytest.raises(OSError, match="not connected|connection abort"):
        os.listdir(account.mnt)
    account.ok(env=account.keys(account.sandbox))
    assert len(os.listdir(account.mnt / "contacts")) == 31
    account.unmount()


def test_a_relative_mount_point(account):
    account.ok(mnt="mnt", env=account.keys(account.sandbox))
    assert len(os.listdir(account.mnt / "contacts")) == 31
    account.unmount()


def test_a_mount_point_with_blanks_and_commas(account):
    path = pathlib.Path(account.work, "my, mount\\point é")
    path.mkdir()
    account.mnt = path
    account.ok(env=account.keys(account.sandbox))
    assert len(os.listdir(path / "contacts")) == 31
    account.unmount()


def test_without_fuse_programs(account):
    """A PATH that leads nowhere: said in a sentence. (Root needs no fusermount3.)"""
    done = account.start(env={**account.keys(account.sandbox), "PATH": "/nonexistent"})
    if done.returncode:
        assert "mount" in done.stderr


# ---- mount(8)


@pytest.fixture
def mount8(account):
    """A shell where the program is installed: mount(8) sets a PATH of its own. The shell has a
    mount namespace of its own too, so that nothing of this is seen outside."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root and unshare(1)")
    if not shutil.which("mount.fuse3", path=os.environ["PATH"] + ":/sbin:/usr/sbin"):
        pytest.skip("needs mount.fuse3")
    directory = pathlib.Path(account.work, "bin")
    directory.mkdir()
    for variable in ("SYSTEMEFS", "SYSTEMEFS_SANDBOX"):
        source = pathlib.Path(program(variable))
        (directory / source.name).symlink_to(source)

    def run(script):
        start = f"mount --bind {directory} /usr/local/bin && cd {account.work} && "
        return subprocess.run(
            ["unshare", "-m", "--propagation", "private", "sh", "-ec", start + script],
            env={**account.env, **account.keys(account.sandbox)}, capture_output=True, text=True,
            timeout=PATIENCE, check=False)
    return run


def test_mount(account, mount8):
    done = mount8(f"""
        mount -t fuse.systemefs systemefs mnt -o api_url={account.sandbox.url},ttl=5,noatime
        ls mnt/contacts | wc -l
        grep {account.mnt} /proc/self/mountinfo
        umount mnt""")
    assert done.returncode == 0, done
    count, line = done.stdout.splitlines()
    assert count == "31"
    assert re.search(r" - fuse.systemefs (systemefs|systemefs:\S+) ", line), line
    account.gone()


def test_mount_from_fstab(account, mount8):
    """What fstab(5) and systemd add to the options is for others."""
    table = pathlib.Path(account.work, "fstab")
    table.write_text(f"systemefs {account.mnt} fuse.systemefs "
                     f"noauto,_netdev,nofail,user,x-systemd.automount,x-gvfs-show,ro,nodev,nosuid,"
                     f"noexec,relatime,umask=022,api_url={account.sandbox.url} 0 0\n")
    done = mount8(f"mount -T {table} {account.mnt}; ls mnt/contacts | wc -l; umount mnt")
    assert (done.returncode, done.stdout) == (0, "31\n"), done
    account.gone()


def test_mount_that_fails(account, mount8):
    """mount(8) says why, and fails."""
    done = mount8("mount -t fuse.systemefs systemefs mnt -o tttl=5")
    assert done.returncode != 0 and "ttl" in done.stderr, done


# ---- --sandbox


@pytest.mark.parametrize("auth", [None, "systeme", "maton"])
def test_sandbox(place, auth):
    place.ok("--sandbox", *(["-o", f"auth={auth}"] if auth else []))
    assert len(os.listdir(place.mnt / "contacts")) == 501
    status = (place.mnt / ".systemefs/status").read_text()
    assert "mode: sandbox" in status and "url: http://127.0.0.1:" in status
    assert ("/systeme\n" in status) == (auth == "maton")
    assert (place.mnt / "connections").exists() == (auth == "maton")
    if auth == "maton":
        assert os.listdir(place.mnt / "connections")
    assert len(place.pids()) == 2
    place.unmount()


def test_sandbox_needs_no_key_and_uses_none(place):
    place.ok("--sandbox", env={"MATON_API_KEY": "real-key", "SYSTEME_API_KEY": "real-key-too"})
    assert os.listdir(place.mnt / "tags")
    place.unmount()


def test_sandbox_arguments(place):
    place.ok("--sandbox", "-o", "sandbox_args=--contacts=7 --tags=2")
    assert len(os.listdir(place.mnt / "contacts")) == 8
    place.unmount()
    said = place.refused("--sandbox", "-o", "sandbox_args=--nonsense")
    assert "nonsense" in said and "could not start" in said
    place.gone()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_sandbox_ends_with_its_mount(place, number):
    place.ok("--sandbox")
    os.listdir(place.mnt / "contacts")
    (driver,) = [pid for pid in place.pids() if b"--sandbox" in
                 pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
    os.kill(driver, number)
    wait_until(lambda: not place.left(), "the end of both")
    if number == signal.SIGKILL:
        assert mounted(place.mnt)
        subprocess.run(["fusermount3", "-u", place.mnt], check=True)
    assert not mounted(place.mnt)


def test_the_sandbox_ends_where_the_start_fails(place):
    (place.mnt / "x").mkdir()
    place.refused("--sandbox")
    place.gone()


def test_what_has_no_place_beside_a_sandbox(place):
    assert "api_url" in place.refused("--sandbox", "-o", "api_url=https://x.example", code=USAGE)


# ---- the background


def test_it_returns_when_the_mount_answers(account):
    """The very next command works, and nothing of the terminal is kept."""
    read, write = os.pipe()
    process = subprocess.Popen(
        [program("SYSTEMEFS"), str(account.mnt)],
        env={**account.env, **account.keys(account.sandbox)}, stdin=subprocess.DEVNULL,
        stdout=write, stderr=write, cwd=account.work)
    os.close(write)
    assert process.wait(timeout=PATIENCE) == 0
    assert mounted(account.mnt) and (account.mnt / "README.md").read_text()
    # End of file: the daemon has let go of what a shell's $( ) or a pipe waits for.
    assert select.select([read], [], [], PATIENCE)[0] and os.read(read, 1000) == b""
    os.close(read)
    (pid,) = account.pids()
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.getsid(pid) != os.getsid(0)


def test_it_does_not_wait_for_the_api(account):
    """A slow API is no reason for a slow start."""
    account.sandbox.faults({"action": "hang"})
    account.ok(env=account.keys(account.sandbox))
    assert "README.md" in os.listdir(account.mnt)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_unmounts(account, number):
    account.ok(env=account.keys(account.sandbox))
    os.listdir(account.mnt / "contacts")
    (pid,) = account.pids()
    os.kill(pid, number)
    wait_until(lambda: not account.left(), "its end")
    assert not mounted(account.mnt)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_foreground(mount, number):
    m = mount()
    m.ls("contacts")
    m.signal(number)
    assert m.wait_for_end() == 0
    assert not mounted(m.path)


def test_hangup_is_refresh(mount):
    m = mount()
    m.ls("tags")
    with m.sandbox.counting() as counted:
        m.ls("tags")
    assert counted.total == 0
    m.signal(signal.SIGHUP)
    wait_until(lambda: "SIGHUP" in m.log(), "a line in the log")
    with m.sandbox.counting() as counted:
        m.ls("tags")
    assert counted.total == 1


def test_signals_that_come_at_once(account):
    """During the start too, nothing is left."""
    for _ in range(5):
        process = subprocess.Popen(
            [program("SYSTEMEFS"), "-f", "--sandbox", str(account.mnt)],
            env=account.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        wait_until(lambda: mounted(account.mnt) or process.poll() is not None, "the mount")
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=PATIENCE)
        account.gone()


# ---- the network of the environment


def test_proxies_never_carry_loopback(account):
    """A proxy of the environment sees nothing of what goes to this machine."""
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        def accept():
            try:
                while True:
                    seen.append(proxy.accept()[1])
            except OSError:
                pass
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        url = "http://127.0.0.1:%d" % proxy.getsockname()[1]
        account.ok(env={**account.keys(account.sandbox), "http_proxy": url, "HTTP_PROXY": url,
                        "https_proxy": url, "all_proxy": url, "ALL_PROXY": url, "NO_PROXY": ""})
        assert len(os.listdir(account.mnt / "contacts")) == 31
        assert not seen
        account.unmount()
        proxy.shutdown(socket.SHUT_RDWR)


def test_a_server_that_is_not_systeme_io(place):
    """Something else answers there: the tree stands, each look says what is wrong."""
    server = liar.Liar()
    try:
        server.lie = lambda request: liar.answer("<html>It works!</html>",
                                                 content_type="text/html")
        place.ok("-o", f"api_url={server.url}", env={"SYSTEME_API_KEY": "some-key-here"})
        with pytest.raises(OSError) as caught:
            os.listdir(place.mnt / "contacts")
        assert "Bad message" in str(caught.value)
        assert "not JSON" in os.getxattr(place.mnt / "contacts", "user.systemefs.error").decode()
        place.unmount()
    finally:
        server.stop()
