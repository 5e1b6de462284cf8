"""Editors and tools, driven as people drive them, to save a file wherever it is.

    with Desk(directory) as desk:
        for program in PROGRAMS:
            program.save(desk, path, old, new)

finds the one `old` in the file, puts `new` in its place and saves, each program in its own way. A
program that says it could not raises Refused. What is typed is typed on a terminal of its own, at a
private home: no settings of the person who runs the tests.

Texts are of letters, digits, '-' and '"': no shell, pattern or editor takes them for more.
"""

import contextlib
import os
import re
import secrets
import select
import shlex
import signal
import subprocess
from dataclasses import dataclass
from typing import Callable

from lib import PATIENCE, wait_until


class Refused(OSError):
    """The program failed, and said so."""


class Desk:
    """Where the programs run: a home, a place for other files, a terminal when one is needed.

    Neither vim nor emacs makes backups of what lies below /tmp, where tests are: they are told that
    this is no reason. Nor is emacs to compile its packages meanwhile: that is a process of its own,
    which has the directory of the file as its own for as long as it likes."""

    EMACS = """
        (setq inhibit-startup-screen t  auto-mode-alist nil  auto-save-list-file-prefix nil
              backup-enable-predicate (lambda (_) t))
    """
    EMACS_EARLY = "(setq native-comp-deferred-compilation nil  native-comp-jit-compilation nil)"
    # A dead program's last words stay on the screen.
    TMUX = "set -g remain-on-exit on\nset -g default-terminal screen\n"

    def __init__(self, directory):
        self.directory = str(directory)
        os.makedirs(self.directory, exist_ok=True)
        self.env = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8",
            "HOME": self.directory, "SHELL": "/bin/sh", "TMUX_TMPDIR": self.directory,
        }
        os.makedirs(os.path.join(self.directory, ".emacs.d"), exist_ok=True)
        self.file(".emacs.d/early-init.el", self.EMACS_EARLY)
        self.file(".emacs.d/init.el", self.EMACS)
        self.tmux = ["tmux", "-L", "desk", "-f", self.file("tmux.conf", self.TMUX)]
        self.server = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.server:
            self.server.terminate()
            self.server.wait()

    def file(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def edited(self, path, old, new):
        """A file here, with what `path` is to hold."""
        return self.file("edited", replaced(path, old, new))

    def run(self, *command, failure=Refused, **more):
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False,
                              timeout=PATIENCE, **{"stdin": subprocess.DEVNULL, **more})
        if done.returncode:
            raise failure(f"{shlex.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def screens(self, *command):
        """A command for the server of terminals, which never starts another one (-N)."""
        return self.run(*self.tmux, "-N", *command, failure=AssertionError)

    def serve(self):
        """The server in the foreground: so it is our child, and ends with us."""
        if self.server:
            return
        self.server = subprocess.Popen([*self.tmux, "-D"], env=self.env, stdin=subprocess.DEVNULL)

        def answers():
            with contextlib.suppress(AssertionError):
                return self.screens("show-options", "-g")

        wait_until(answers, "a server of terminals")


class Terminal:
    """A program on a screen, started in the directory of the file that it is to edit. The block
    begins when the screen shows `ready`, and the program ends with it."""

    def __init__(self, desk, path, ready, *command):
        desk.serve()
        self.desk, self.ready = desk, ready
        where, self.name = os.path.split(path)
        row = desk.screens("new-session", "-d", "-x", "120", "-y", "50", "-c", where,
                           "-P", "-F", "#{session_id} #{pane_pid}", "--", *command, self.name)
        self.session, pid = row.split()
        try:
            self.pidfd = os.pidfd_open(int(pid))
        except ProcessLookupError:
            raise AssertionError("it ended at once:\n" + self.screen()) from None

    def __enter__(self):
        try:
            self.wait_for(self.ready)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        """What has not ended by itself is killed: nothing may run on in a directory that is about
        to be unmounted, or save its text for emergencies there."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        select.select([self.pidfd], [], [], PATIENCE)
        os.close(self.pidfd)
        self.desk.screens("kill-session", "-t", self.session)

    def screen(self):
        return self.desk.screens("capture-pane", "-p", "-t", self.session).rstrip()

    def type(self, text):
        self.desk.screens("send-keys", "-t", self.session, "-l", "--", text)

    def press(self, *keys):
        self.desk.screens("send-keys", "-t", self.session, *keys)

    def wait_for(self, wanted, refused="(?!)"):
        """Until the screen shows `wanted`; Refused where it shows `refused`. Both are patterns."""
        def look():
            shown = self.screen()
            if re.search(refused, shown, re.M):
                raise Refused(shown)
            return re.search(wanted, shown, re.M)

        try:
            wait_until(look, wanted)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.screen()}") from None

    def reply(self, prompt, text):
        self.wait_for(prompt)
        self.type(text)
        self.press("Enter")

    def wait_for_end(self):
        ended = select.select([self.pidfd], [], [], PATIENCE)[0]
        assert ended, "the program runs on:\n" + self.screen()


def replaced(path, old, new):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    assert text.count(old) == 1, (old, text)
    return text.replace(old, new)


def beside(path):
    """The directory of a file, for programs that are started there."""
    return os.path.dirname(path)


# ---- editors ----

class Vim(Terminal):
    """One session: change(), write(), again and again, quit(). Settings are lines of .vimrc."""

    def __init__(self, desk, path, *settings):
        desk.file(".vimrc", "".join(f"{line}\n" for line in (
            "source $VIMRUNTIME/defaults.vim", "set backupskip=", *settings)))
        super().__init__(desk, path, r'^".*" .*\d+L, \d+B', "vim")

    def command(self, text):
        """Typed, seen, and only then entered: so the answer is no older one."""
        self.type(":" + text)
        self.wait_for(rf"^:{re.escape(text)}\Z")
        self.press("Enter")

    def change(self, old, new):
        self.command(f"%s/{old}/{new}/")

    def write(self):
        self.command("w")
        self.wait_for(r'^".*" .* written\b', refused=r"\bE\d+:|WARNING|W1\d:")

    def quit(self):
        self.command("q")
        self.wait_for_end()


def vim(*settings):
    def save(desk, path, old, new):
        with Vim(desk, path, *settings) as editor:
            editor.change(old, new)
            editor.write()
            editor.quit()

    return save


def vim_batch(desk, path, old, new):
    """Without a .vimrc, and so with the manners of vi: no backup."""
    desk.run("vim", "-es", "-c", f"%s/{old}/{new}/", "-c", "wq", path)


def nano(*options):
    def save(desk, path, old, new):
        command = ("nano", "--ignorercfiles", *options)
        with Terminal(desk, path, r"\[ Read \d+ lines? \]", *command) as editor:
            editor.press("C-\\")
            editor.reply(r"^Search \(to replace\)", old)
            editor.reply("^Replace with", new)
            editor.wait_for("^Replace this instance")
            editor.type("y")
            editor.wait_for(r"\[ Replaced 1 occurrence \]")
            editor.press("C-o")
            editor.reply("^File Name to Write", "")
            editor.wait_for(r"\[ Wrote \d+ lines? \]", refused="^Cannot make backup|Error writing")
            editor.press("C-x")
            editor.wait_for_end()

    return save


def emacs(*settings):
    def save(desk, path, old, new):
        more = [word for setting in settings for word in ("--eval", f"(setq {setting})")]
        command = ("emacs", "-nw", "--no-site-file", "--no-splash", *more)
        with Terminal(desk, path, r"^-.*\(Fundamental\)", *command) as editor:
            editor.press("M-x")
            editor.reply("^M-x", "replace-string")
            editor.reply("^Replace string", old)
            editor.reply("^Replace string .* with:", new)
            editor.wait_for("^Replaced 1 occurrence")
            # What it does by itself after a while.
            editor.press("M-x")
            editor.reply("^M-x", "do-auto-save")
            editor.wait_for("^Auto-saving...done", refused="^Auto-saving .*:")
            editor.press("C-x", "C-s")
            editor.wait_for("^Wrote ", refused="^Opening output file|^Write error|^Renaming")
            editor.press("C-x", "C-c")
            editor.wait_for_end()

    return save


def ed(desk, path, old, new):
    desk.run("ed", "-s", path, stdin=None, input=f",s/{old}/{new}/\nw\nq\n")


def pretend_vscode(desk, path, old, new):
    """As Visual Studio Code writes, and most programs that think nothing of it."""
    text = replaced(path, old, new).encode()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        write_all(fd, text)
        os.fsync(fd)
    finally:
        os.close(fd)


def pretend_jetbrains(desk, path, old, new):
    """Their "safe write", which takes the old file back where it fails."""
    write_new(path + "___jb_tmp___", replaced(path, old, new))
    os.rename(path, path + "___jb_old___")
    try:
        os.rename(path + "___jb_tmp___", path)
    except OSError:
        os.rename(path + "___jb_old___", path)
        raise
    os.unlink(path + "___jb_old___")


def pretend_agent(desk, path, old, new):
    """As coding agents write: a name of their own, with the mode of the file, renamed."""
    other = f"{path}.tmp.{os.getpid()}.{secrets.token_hex(6)}"
    write_new(other, replaced(path, old, new))
    os.chmod(other, os.stat(path).st_mode & 0o777)
    os.rename(other, path)


# ---- tools ----


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


def write_new(path, text):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        write_all(fd, text.encode())
        os.fsync(fd)
    finally:
        os.close(fd)


def in_place(*command):
    """sed and perl: an expression, and a file."""
    return lambda desk, path, old, new: desk.run(
        *command, f"s/{old}/{new}/", os.path.basename(path), cwd=beside(path))


def from_elsewhere(*command):
    """A program that gets a file of another filesystem, and the name to save to."""
    return lambda desk, path, old, new: desk.run(*command, desk.edited(path, old, new), path)


def shell(script):
    """A line for the shell: $1 is the file, $2 one with the new text, $3 and $4 the two texts."""
    return lambda desk, path, old, new: desk.run(
        "sh", "-ec", script, "sh", os.path.basename(path), desk.edited(path, old, new), old, new,
        cwd=beside(path))


def gio(*options):
    def save(desk, path, old, new):
        with open(desk.edited(path, old, new), "rb") as text:
            desk.run("gio", "save", *options, path, stdin=text)

    return save


def python_replace(desk, path, old, new):
    text = replaced(path, old, new)
    other = os.path.join(beside(path), "tmp" + secrets.token_hex(4))
    with open(other, "x", encoding="utf-8") as f:
        f.write(text)
    os.replace(other, path)


def python_update(desk, path, old, new):
    text = replaced(path, old, new)
    with open(path, "r+", encoding="utf-8") as f:
        f.write(text)
        f.truncate()


def dd(desk, path, old, new):
    """Over the old text, byte for byte, and nothing else."""
    assert len(old) == len(new)
    with open(path, encoding="utf-8") as f:
        at = len(f.read().split(old)[0].encode())
    desk.run("dd", f"of={path}", "conv=notrunc", "oflag=seek_bytes", f"seek={at}", "status=none",
             stdin=None, input=new)


JQ = 'jq --arg old "$3" --arg new "$4" \'walk(if . == $old then $new else . end)\' "$1"'


# ---- all of them ----


@dataclass(frozen=True)
class Program:
    """passes  names that it makes in the directory on its way, as patterns; {} is the file's name
       keeps   names that it leaves there on purpose: a backup, with the text before,
       others  or something else
    """

    name: str
    save: Callable
    passes: tuple = ()
    keeps: tuple = ()
    others: tuple = ()
    same_length: bool = False  # of the old text and the new
    json: bool = False         # the file must be JSON, and stay so


# Else it takes a file of the same length and second for the same.
RSYNC = ("rsync", "--ignore-times")
SWAP, BACKUP = ".{}.swp", "{}~"
EMACS = (".#{}", "#{}#", BACKUP)

PROGRAMS = [
    Program("vim", vim(), ("{}", SWAP, BACKUP, "4913")),
    Program("vim-backupcopy-yes", vim("set backupcopy=yes"), (SWAP, BACKUP)),
    Program("vim-backupcopy-no", vim("set backupcopy=no"), ("{}", SWAP, BACKUP)),
    Program("vim-everything", vim("set undofile swapfile backup writebackup"),
            ("{}", SWAP, BACKUP, "4913", ".{}.un~"), (BACKUP,), (".{}.un~",)),
    Program("vim-es", vim_batch, (SWAP,)),
    Program("nano", nano()),
    Program("nano-B", nano("-B"), (BACKUP,), (BACKUP,)),
    Program("emacs", emacs(), ("{}", *EMACS), (BACKUP,)),
    Program("emacs-by-copying", emacs("backup-by-copying t"), EMACS, (BACKUP,)),
    Program("ed", ed),
    Program("vscode", pretend_vscode),
    Program("jetbrains", pretend_jetbrains, ("{}", "{}___jb_tmp___", "{}___jb_old___")),
    Program("agent", pretend_agent, ("{}", "{}.tmp.*.*")),
    Program("gio", gio(), ("{}", ".goutputstream-??????")),
    Program("gio-backup", gio("--backup"), ("{}", ".goutputstream-??????", BACKUP), (BACKUP,)),
    Program("sed-i", in_place("sed", "-i"), ("{}", "sed??????")),
    Program("sed-i.bak", in_place("sed", "-i.bak"), ("{}", "sed??????", "{}.bak"), ("{}.bak",)),
    Program("perl-pi", in_place("perl", "-pi", "-e"), ("{}", "XX??????")),
    Program("perl-pi.orig", in_place("perl", "-pi.orig", "-e"), ("{}", "XX??????", "{}.orig"),
            ("{}.orig",)),
    Program("python-replace", python_replace, ("{}", "tmp????????")),
    Program("python-r+", python_update),
    Program("rsync", from_elsewhere(*RSYNC), ("{}", ".{}.??????")),
    Program("rsync-inplace", from_elsewhere(*RSYNC, "--inplace")),
    Program("cp", from_elsewhere("cp")),
    Program("cat", shell('cat "$2" > "$1"')),
    Program("tee", shell('tee "$1" < "$2"')),
    Program("mv", shell('cp "$2" "$1.new"; mv "$1.new" "$1"'), ("{}", "{}.new")),
    Program("jq-mv", shell(JQ + ' > tmp && mv tmp "$1"'), ("{}", "tmp"), json=True),
    Program("dd", dd, same_length=True),
]
