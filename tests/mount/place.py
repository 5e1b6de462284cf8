"""Where the tests of starting start it: a directory, and an environment without a key.

Unlike lib.Mount it expects failures, and knows nothing of what it starts but that nothing may be
left of it.
"""

import os
import pathlib
import signal
import subprocess
import time

import lib
from lib import PATIENCE, mounted, private_env, program, wait_until


class Place:
    """One directory to mount on, and whatever gets mounted there."""

    def __init__(self, work):
        self.work = work
        self.mnt = pathlib.Path(work, "mnt")
        self.mnt.mkdir()
        self.env = private_env(work)
        self.config = pathlib.Path(self.env["XDG_CONFIG_HOME"], "systemefs", "config")

    def start(self, *args, env=None, mnt=None, **more):
        """Runs it to the end of the start: in the background, or until it fails."""
        target = [] if mnt == "" else [str(mnt or self.mnt)]
        return subprocess.run(
            [program("SYSTEMEFS"), *map(str, args), *target], env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
            cwd=self.work, check=False, **more)

    def ok(self, *args, **more):
        done = self.start(*args, **more)
        assert done.returncode == 0, done
        return done

    def refused(self, *args, code=None, **more):
        """What it says where it does not start."""
        done = self.start(*args, **more)
        assert done.returncode != 0, done
        if code:
            assert done.returncode == code, done
        assert done.stdout == ""
        # Above it stands what a command or the sandbox said itself.
        assert done.stderr.splitlines()[-1].startswith("systemefs: "), done
        assert not mounted(self.mnt)
        return done.stderr

    def configure(self, text, mode=0o600):
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(text)
        self.config.chmod(mode)

    def keys(self, s):
        return {"SYSTEME_API_KEY": s.key}

    def pids(self):
        """Of the programs that know this place: drivers, and the sandboxes that they began."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and self.is_ours(entry):
                    found.append(int(entry.name))
            except OSError:
                pass
        return found

    def is_ours(self, entry):
        environ = (entry / "environ").read_bytes()
        return (f"HOME={self.env['HOME']}".encode() in environ.split(b"\0")
                and b"systemefs" in (entry / "cmdline").read_bytes().split(b"\0")[0])

    def unmount(self):
        subprocess.run(["fusermount3", "-u", str(self.mnt)], check=True)
        self.gone()

    def gone(self):
        """Nothing is left. Daemons come to us (lib.become_reaper), so we wait for them."""
        wait_until(lambda: not self.left(), "the end of all processes")
        assert not mounted(self.mnt)

    def left(self):
        for pid in self.pids():
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
        return self.pids()

    def close(self):
        problems = []
        while mounted(self.mnt):
            subprocess.run(["fusermount3", "-uz", str(self.mnt)], check=False)
        deadline = time.monotonic() + PATIENCE
        while (pids := self.left()) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in pids:
            problems.append(f"process {pid} was left")
            os.kill(pid, signal.SIGKILL)
        return problems + lib.sanitizer_reports(self.work)
