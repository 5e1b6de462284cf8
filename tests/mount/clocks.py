"""Clocks of the driver that a test moves: a library that is loaded into it adds seconds to what the
system says."""

import mmap
import os
import struct
import subprocess

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offsets; /* seconds: of the wall clock; of the other one */

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("TEST_CLOCKS");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *p = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    offsets = p == MAP_FAILED ? NULL : p;
    if (fd >= 0)
        close(fd);
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    static int (*next)(clockid_t, struct timespec *);
    if (!next)
        next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int r = next(id, ts);
    if (r == 0 && offsets && id == CLOCK_REALTIME)
        ts->tv_sec += offsets[0];
    if (r == 0 && offsets && id == CLOCK_BOOTTIME)
        ts->tv_sec += offsets[1];
    return r;
}
"""


class Clocks:
    """Made before the mount that gets `env`."""

    def __init__(self, directory, program):
        source, library = f"{directory}/clocks.c", f"{directory}/clocks.so"
        with open(source, "w", encoding="utf-8") as f:
            f.write(SOURCE)
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        path = f"{directory}/clocks"
        with open(path, "wb") as f:
            f.write(bytes(4096))
        with open(path, "r+b") as f:
            self.offsets = mmap.mmap(f.fileno(), 4096)
        # The sanitizer wants to be the first library.
        libraries = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
        first = [line.split()[2] for line in libraries.splitlines() if "libasan" in line]
        self.env = {"LD_PRELOAD": ":".join([*first, library]), "TEST_CLOCKS": path}

    def set(self, wall=0, boot=0):
        self.offsets[:16] = struct.pack("qq", wall, boot)
