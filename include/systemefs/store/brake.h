/*
 * store/brake: stops a mass delete.
 *
 * At most `limit` deletes in any BRAKE_WINDOW_MS; past it, only as many as were granted ("deletes
 * N" on ctl). A grant ends when it is used up, or BRAKE_GRANT_MS after its last use: what was meant
 * for today's clean-up is not to wait for tomorrow's mistake.
 *
 * Pure: time comes in as an argument (milliseconds, mono).
 * Layer: store. Calls nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define BRAKE_WINDOW_MS 60000
#define BRAKE_GRANT_MS  600000
#define BRAKE_GRANT_MAX 1000000

struct brake {
    unsigned limit; /* 0: no limit */
    int64_t *times; /* of the last `limit` deletes, a ring */
    unsigned next;
    unsigned granted; /* left */
    int64_t granted_until_ms;
};

/* 0 or -ENOMEM. */
int brake_init(struct brake *b, unsigned limit);
void brake_finish(struct brake *b);
/* Whether one more may go now; it is counted when it may. */
bool brake_allow(struct brake *b, int64_t now_ms);
/* Seconds, rounded up, until one more may go; 0: now. */
int64_t brake_wait_s(const struct brake *b, int64_t now_ms);
void brake_grant(struct brake *b, unsigned count, int64_t now_ms);
