"""Networks of one's own: a namespace for the driver, another one for who answers it, and a wire between
them that can be cut. Needs root; nothing is left of them when the process ends.

    cable = Cable()
    mount(Proxy(sandbox(), cable.listener()), within=cable.within, insecure_http=True)
    cable.pull(); cable.plug()      # at the other end: packets vanish
    cable.down(); cable.up()        # at this end: there is no route
"""

import ctypes
import os
import socket
import subprocess
import threading

CLONE_NEWNET = 0x40000000
HERE, THERE = "10.99.88.1", "10.99.88.2"
HERE_MAC, THERE_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"


def in_a_thread(function):
    """Namespaces are a thread's. The thread ends with what the function gives."""
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join()
    return result[0]


def libc(name, *args):
    lib = ctypes.CDLL(None, use_errno=True)
    if getattr(lib, name)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"{name}, which needs root")


class Namespace:
    def __init__(self):
        def make():
            libc("unshare", CLONE_NEWNET)
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self.fd = in_a_thread(make)
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"
        self.within = ("nsenter", f"--net={self.path}")

    def run(self, command):
        done = subprocess.run([*self.within, *command.split()], capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    def inside(self, function):
        def do():
            libc("setns", self.fd, CLONE_NEWNET)
            return function()
        return in_a_thread(do)

    def close(self):
        os.close(self.fd)


class Cable:
    def __init__(self):
        self.here, self.there = Namespace(), Namespace()
        self.within = self.here.within
        self.here.run("ip link set lo up")
        self.here.run(f"ip link add wire address {HERE_MAC} type veth peer name wire"
                      f" address {THERE_MAC} netns {self.there.path}")
        for side, own, other, mac in ((self.here, HERE, THERE, THERE_MAC),
                                      (self.there, THERE, HERE, HERE_MAC)):
            side.run(f"ip address add {own}/30 dev wire")
            side.run("ip link set wire up")
            # Or a packet in vain ends with "no route" when nobody has answered for three seconds.
            side.run(f"ip neighbour replace {other} lladdr {mac} dev wire nud permanent")

    def listener(self):
        return self.there.inside(lambda: socket.create_server((THERE, 0), backlog=128))

    def pull(self):
        self.there.run("ip link set wire down")

    def plug(self):
        self.there.run("ip link set wire up")
        self.there.run(f"ip neighbour replace {HERE} lladdr {HERE_MAC} dev wire nud permanent")

    def down(self):
        self.here.run("ip link set wire down")

    def up(self):
        self.here.run("ip link set wire up")
        self.here.run(f"ip neighbour replace {THERE} lladdr {THERE_MAC} dev wire nud permanent")

    def unsent(self):
        """What the driver's sockets still try to bring to the other end."""
        rows = [line.split() for line in self.here.run("ss -Htan").splitlines()]
        return [row for row in rows if row[0] != "LISTEN" and int(row[2]) > 0]

    def close(self):
        self.here.close()
        self.there.close()
