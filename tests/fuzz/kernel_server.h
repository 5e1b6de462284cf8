/*
 * kernel_server: the account behind fuzz_kernel, and a server that takes whatever is sent.
 *
 * The world's own server fails a test that changes what it does not know. This one answers any
 * change, in the shape that the API promises.
 *
 * Layer: tests.
 */
#pragma once

#include <stdarg.h>
#include <setjmp.h>

#include "world_tree.h"

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_log.h>

void kernel_server_fill(struct world *w);
/* Of libfuse, that speaks of operations that it does not know. */
void kernel_server_no_log(enum fuse_log_level level, const char *fmt, va_list ap);
