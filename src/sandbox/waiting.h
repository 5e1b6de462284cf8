/*
 * sandbox/waiting: answers that are not due yet.
 *
 * A delayed answer must not hold a thread, or a test with three hundred requests in flight would
 * measure the thread pool. One thread keeps a heap by due time and calls `wake` for each. A
 * waiter without a due time hangs until its client goes away (its socket is looked at now and
 * then), or until waiting_release().
 *
 * A waiter belongs to its owner and must live until it is woken. wake() is called once, from the
 * waiting thread or from waiting_add() when the module is stopping.
 */
#pragma once

#include <stdint.h>

#include "systemefs/base/clock.h"

#define WAITING_FOREVER INT64_MAX

struct waiter {
    int64_t due_ms; /* mono; WAITING_FOREVER: hang */
    int fd;         /* the client's socket */
};

struct waiting;

struct waiting *waiting_create(const struct clock *clock, void (*wake)(struct waiter *waiter));
/* Wakes everybody and ends the thread. The struct stays usable: what is added later is woken at
 * once. */
void waiting_stop(struct waiting *w);
void waiting_destroy(struct waiting *w);
void waiting_add(struct waiting *w, struct waiter *waiter);
/* Wakes all that hang. */
void waiting_release(struct waiting *w);
