"""What the benchmark needs: the programs under test, the two helpers in C, the peers."""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent

# package: the program that shows that it is there
PEERS = {"rclone": "rclone", "sshfs": "sshfs", "davfs2": "mount.davfs", "openssh-server": "sshd",
         "openssh-client": "ssh", "strace": "strace", "curl": "curl"}


def found(program):
    """Its path, or None. Daemons are not in everybody's PATH."""
    return shutil.which(program, path=os.environ.get("PATH", "/usr/bin:/bin")
                        + ":/usr/sbin:/sbin:/usr/local/sbin")


def loud(*command):
    """Runs quietly, unless it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    if done.returncode:
        sys.exit(f"{shlex.join(map(str, command))} failed:\n{done.stdout[-4000:]}")
    return done.stdout


def install():
    absent = [package for package, program in PEERS.items() if not found(program)]
    if absent:
        environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
        loud(*environment, "apt-get", "update")
        loud(*environment, "apt-get", "install", "-y", "--no-install-recommends", *absent)


def build(directory):
    """Paths by name: systemefs, sandbox, walk, delay."""
    directory = pathlib.Path(directory).resolve()
    programs = directory / "release"
    if not (programs / "build.ninja").exists():
        loud("meson", "setup", "--buildtype=release", str(programs), str(TOP))
    targets = {"systemefs": "src/systemefs", "sandbox": "src/sandbox/systemefs-sandbox"}
    loud("ninja", "-C", str(programs), *targets.values())
    made = {name: str(programs / path) for name, path in targets.items()}

    compiler = shlex.split(os.environ.get("CC", "cc"))
    curl = loud("pkg-config", "--cflags", "--libs", "libcurl").split()
    for name, libraries in (("walk", curl), ("delay", [])):
        made[name] = str(directory / name)
        loud(*compiler, "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-o", made[name],
             str(HERE / f"{name}.c"), *libraries)
    return made


def version(program, *options):
    path = found(program)
    if not path:
        return "missing"
    done = subprocess.run([path, *options], capture_output=True, text=True, check=False)
    return ((done.stdout or done.stderr).splitlines() or ["?"])[0]


def versions(programs):
    return {"systemefs": version(programs["systemefs"], "--version"),
            "rclone": version("rclone", "version"), "sshfs": version("sshfs", "--version"),
            "davfs2": version("mount.davfs", "--version"), "ssh": version("ssh", "-V"),
            "curl": version("curl", "--version"), "grep": version("grep", "--version")}
