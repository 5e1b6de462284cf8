"""The others: what mounts files from elsewhere, out of Debian. Each is a context that yields a
directory with the first `count` records in its contacts/; where it cannot, Missing says why.

All get their defaults, but for what makes them possible (no questions) or comparable (read-only,
nothing left from the run before). rclone and davfs2 speak WebDAV to `rclone serve webdav`, sshfs
SFTP to a sshd of this user; both serve files on tmpfs, and both are reached through the delay.
"""

import contextlib
import getpass
import os
import pathlib
import platform
import shutil
import socket
import subprocess

from build import found
from lab import ENV, Missing, lib, running, unmount, wait_until

PATIENCE = 30


def needs(*programs):
    absent = [program for program in programs if not found(program)]
    if absent:
        raise Missing(f"{', '.join(absent)} not installed (see --install)")
    return [found(program) for program in programs]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def webdav(lab, path):
    """A WebDAV server of a directory; its port."""
    rclone, = needs("rclone")
    port, log = free_port(), f"{lab.directory()}/webdav.log"
    with running([rclone, "--config", os.devnull, "serve", "webdav", str(path), "--read-only",
                  "--addr", f"127.0.0.1:{port}", "--dir-cache-time", "24h"], log):
        wait_until(lambda: answers(port), "the WebDAV server", PATIENCE, log)
        yield port


@contextlib.contextmanager
def ssh_server(lab):
    """Its port, and the options with which ssh gets in."""
    sshd, ssh, keygen = needs("sshd", "ssh", "ssh-keygen")
    del ssh
    directory = pathlib.Path(lab.directory())
    for key in ("host", "user"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(directory / key)],
                       check=True, capture_output=True)
    (directory / "allowed").write_bytes((directory / "user.pub").read_bytes())
    port, log = free_port(), str(directory / "sshd.log")
    (directory / "config").write_text(f"""
ListenAddress 127.0.0.1:{port}
HostKey {directory}/host
AuthorizedKeysFile {directory}/allowed
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
Subsystem sftp internal-sftp
""")
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # where it wants to be locked in
    with running([sshd, "-D", "-e", "-f", str(directory / "config")], log):
        wait_until(lambda: answers(port), "sshd", PATIENCE, log)
        yield port, ["-o", f"IdentityFile={directory}/user", "-o", "IdentitiesOnly=yes",
                     "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                     "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]


def mountpoint(lab):
    if not os.path.exists("/dev/fuse"):
        raise Missing("there is no /dev/fuse")
    path = pathlib.Path(lab.directory()) / "mnt"
    path.mkdir()
    return path


@contextlib.contextmanager
def mounted(lab, command, log, path, patience=PATIENCE):
    """A mount program in the foreground, until it is unmounted."""
    with running(command, log) as process:
        try:
            wait_until(lambda: lib.mounted(path) or process.poll() is not None, command[0],
                       patience, log)
            if not lib.mounted(path):
                tail = pathlib.Path(log).read_text(errors="replace").split()
                raise Missing("it did not mount: " + " ".join(tail)[-300:])
            yield path
        finally:
            unmount(path)


@contextlib.contextmanager
def rclone(lab, files, count, latency):
    program, = needs("rclone")
    flat = files.flat(count)
    port = lab.server(("webdav", str(flat)), lambda: webdav(lab, flat))
    path, directory = mountpoint(lab), lab.directory()
    with mounted(lab, [program, "--config", os.devnull, "--cache-dir", f"{directory}/cache",
                       "mount", "--read-only", "--webdav-url",
                       f"http://127.0.0.1:{lab.through(port, latency)}", "--webdav-vendor", "other",
                       ":webdav:", str(path)], f"{directory}/log", path):
        yield path


@contextlib.contextmanager
def sshfs(lab, files, count, latency):
    program, _ = needs("sshfs", "ssh")
    port, options = lab.server("ssh", lambda: ssh_server(lab))
    path = mountpoint(lab)
    with mounted(lab, [program, "-f", "-p", str(lab.through(port, latency)), *options, "-o", "ro",
                       f"{getpass.getuser()}@127.0.0.1:{files.flat(count)}", str(path)],
                 f"{lab.directory()}/log", path):
        yield path


def kernel():
    return tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])


@contextlib.contextmanager
def davfs2(lab, files, count, latency):
    program, _ = needs("mount.davfs", "rclone")
    if os.geteuid() != 0:
        raise Missing("mount.davfs wants root, or a line in /etc/fstab")
    flat = files.flat(count)
    port = lab.server(("webdav", str(flat)), lambda: webdav(lab, flat))
    path, directory = mountpoint(lab), pathlib.Path(lab.directory())
    directory.chmod(0o755)
    cache = directory / "cache"
    cache.mkdir()
    with contextlib.suppress(LookupError):
        shutil.chown(cache, group="davfs2")  # as whom its daemon runs
    cache.chmod(0o775)
    (directory / "secrets").touch(mode=0o600)
    # From 6.16 on the kernel asks for more of a directory than the default buffer holds.
    buffer = "buf_size 64\n" if kernel() >= (6, 16) else ""
    (directory / "conf").write_text(
        f"{buffer}ask_auth 0\nuse_locks 0\ncache_dir {cache}\nsecrets {directory}/secrets\n")
    done = None
    try:
        done = subprocess.run(
            [program, f"http://127.0.0.1:{lab.through(port, latency)}/", str(path), "-o",
             f"ro,conf={directory}/conf"], capture_output=True, text=True, timeout=PATIENCE,
            check=False, stdin=subprocess.DEVNULL, env=ENV)
        if done.returncode or not lib.mounted(path):
            said = " ".join((done.stderr + done.stdout).split())
            raise Missing(f"it did not mount: {said[-300:]}")
        yield path
    except subprocess.TimeoutExpired as e:
        raise Missing(f"it did not mount in {PATIENCE} s") from e
    finally:
        # The daemon writes its cache and goes; umount waits for it.
        unmount(path, "umount")


def curl_script(lab, sandbox, url, names):
    """One GET a record, by one curl with one connection: what a script does that knows the ids.
    The path of its input file."""
    path = f"{lab.directory()}/urls"
    with open(path, "w") as f:
        f.write(f'header = "X-API-Key: {sandbox.key}"\nnoproxy = "*"\nsilent\nshow-error\nfail\n')
        for name in names:
            f.write(f'url = "{url}/api/contacts/{name.removesuffix(".json")}"\n')
    return path
