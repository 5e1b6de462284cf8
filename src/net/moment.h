/*
 * moment: when a header says that something may happen.
 *
 * Retry-After and X-RateLimit-Refill come as seconds from now ("12", "0.5"), a Unix time in
 * seconds or milliseconds, an RFC 3339 time, or an HTTP date. The size of a number tells which:
 * below 10^8 (three years) it is a wait, from 10^9 to 10^11 seconds since 1970, from 10^11 to
 * 10^14 milliseconds; anything else is nothing.
 *
 * Layer: net, private. Calls codec/time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "systemefs/net/transport.h"

/* No wait is longer: a header that says more is taken to say this. */
#define MOMENT_WAIT_MAX_MS (31LL * 24 * 3600 * 1000)

struct moment {
    int64_t wait_ms; /* from now; negative: it is past */
    bool whole;      /* told in whole seconds, so it may have been rounded */
    bool relative;   /* told as a wait: from when the answer was made, not from now */
};

/* `now_wall_ns` is the server's time, see moment_server_now(). False for "" and nonsense. */
bool moment_parse(const char *text, int64_t now_wall_ns, struct moment *ret);

/* The server's time now: ours, or its Date where that is more than two seconds off. */
int64_t moment_server_now(const struct http_headers *headers, int64_t wall_ns);
