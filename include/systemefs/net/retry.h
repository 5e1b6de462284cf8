/*
 * net/retry: whether and when to send again. Pure.
 *
 * 429: nothing was done, so any method may go again when the quota lets it. Everything else may
 * be repeated only for methods that mean the same twice (GET, PUT, DELETE, and PATCH, which here
 * is a merge patch); a POST is repeated only when it never left this machine. Statuses 408 (what a
 * load balancer says on a connection that it is about to close), 500, 502, 503, 504 and lost or
 * refused connections are worth another try; a name that does not resolve, TLS trouble, a bad
 * answer, a time-out (it has used its time up) and every other status are not.
 *
 * Back-off doubles from 200 ms to at most 3200 ms with jitter of +-25 %; at most 4 tries, 2 for
 * a refused connection, so that a server that is down is told in well under a second. A
 * Retry-After on a 503 is honoured.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "systemefs/base/rng.h"
#include "systemefs/net/transport.h"

#define RETRY_NO (-1)

/*
 * `tries` is how often it was sent so far (1 after the first). Returns the milliseconds to wait
 * before the next try, or RETRY_NO. For a 429 returns 0: net/quota knows when.
 */
int64_t retry_after(enum http_method method, unsigned tries, const struct http_response *response,
                    int64_t wall_ns, struct rng *rng);
