/*
 * sandbox/quota: fixed windows of requests, as the API's headers describe them.
 *
 * The window's edges are multiples of its length in wall time (a quota of 60 seconds refills on
 * the minute). Requests that are refused do not count. Safe to use from several threads.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "systemefs/base/clock.h"
#include "message.h"

struct quota {
    const struct clock *clock;
    pthread_mutex_t lock;
    int64_t limit, seconds; /* limit 0: off */
    int format;             /* enum refill_format */
    int64_t window, used;
};

void quota_init(struct quota *q, const struct clock *clock, int64_t limit, int64_t seconds,
                int format);
void quota_finish(struct quota *q);
/* Changes the quota and starts a window with `remaining` requests left (-1: all). */
void quota_set(struct quota *q, int64_t limit, int64_t seconds, int64_t remaining);
/* Takes one request. False when there is none left; then *ret_wait is the seconds to wait. */
bool quota_take(struct quota *q, struct response *headers, int64_t *ret_wait);
