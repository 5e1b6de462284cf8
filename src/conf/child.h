/*
 * conf/child (private): programs that we start, and wait for with a limit.
 *
 * Used at start and at the end of a mount only, where waiting is all there is to do: never on the
 * loop. Times are milliseconds of the monotonic clock. Errors: -errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "systemefs/base/buf.h"

/* Reads to the end of the file, or with `line` to the first newline, which is not counted. The
 * length; -ETIMEDOUT; -EFBIG when more than `cap` bytes come. */
ssize_t child_read(int fd, char *out, size_t cap, bool line, int limit_ms);
/* Waits for the end of `pid`. 0 with its wait status, or -ETIMEDOUT (it goes on running). */
int child_wait(pid_t pid, int limit_ms, int *ret_status);
/* SIGTERM to it (and with `group` to its process group), a wait of `grace_ms`, then SIGKILL.
 * It is gone afterwards. */
void child_end(pid_t pid, bool group, int grace_ms);
/* "exit code 2", "signal 9 (Killed)". */
void child_describe(int status, struct buf *out);
/* To be called between fork() and exec(): ordinary signals, a process group of its own (so that
 * Ctrl-C on a terminal does not reach it), and /dev/null for standard input. */
void child_prepare(void);
