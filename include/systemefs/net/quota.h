/*
 * net/quota: how many requests the server allows now. Pure: no I/O, time is an argument.
 *
 * Systeme.io tells in every answer the size of the quota (X-RateLimit-Limit), what is left of it
 * (X-RateLimit-Remaining) and when it is full again (X-RateLimit-Refill; seconds from now, a Unix
 * time in seconds or milliseconds, or a date: all four are met in the wild); with a 429 also
 * Retry-After, which is to be trusted first. The quota is shared by all keys of the account, so
 * the server's numbers rule, and a part (`reserve` percent of the limit) is left for the
 * account's other tools: only a single request that a person waits for may use it up.
 *
 * Within one window
 *   - the least `remaining` told so far counts: answers overtake each other, and an old one knows
 *     of fewer requests;
 *   - requests under way are counted against it, because the answer that told it may not have
 *     known them. An answer tells whether it did: so "wait for an answer" is a possible verdict.
 *     What ended without an answer is counted as used.
 *
 * From one window to the next
 *   - a refill that is told in whole seconds may have been rounded down, so it may come up to a
 *     second later; each answer gives such an upper bound, and the least of them counts;
 *   - so that this second is not lost where the server is exact, the last request of a window
 *     (above the reserve) is kept for the told moment. It cannot be refused: either it is of the
 *     old window, or its answer shows that a new one has begun, and all may go. Not where the
 *     quota is so small, for its time, that a second of it is worth less than a request;
 *   - as long after the told moment as the first answer of a new window came, the next one is
 *     taken to begin, without keeping one. That holds where windows begin at full seconds, at
 *     another fraction of each, or with their first request. It is not learned from seconds from
 *     now, nor where our clock does not agree with the server's: both tell a moment differently
 *     each time. Nor any more where one window was told with two moments, or where a request that
 *     was sent so early was refused;
 *   - when it has come, the quota is full again, less what is under way; answers of the window
 *     before are recognized by their refill and say nothing about the new one; nor does one that
 *     was sent in it bring the refill nearer, where that is told as seconds from now;
 *   - moments are compared with our clock, unless the server's Date shows that the clocks are more
 *     than two seconds apart: then with Date;
 *   - a server that tells numbers, but no refill, is taken to refill after a minute.
 *
 * Without any header the server is taken to have no quota.
 *
 * The gateway has a limit of its own that no header tells (10 a second): `per_second` paces for
 * it, 0 means no such limit. In any second at most so many are sent: with 10, ten may go at once
 * and the next one a second after the first (a bucket that refills would let 19 go in the first
 * second).
 *
 * Layer: net. Calls codec/time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "systemefs/net/transport.h"

/* Who waits for a request; the smaller goes first. */
enum net_priority {
    NET_PERSON,  /* one record or one save that a person waits for; may use the reserve */
    NET_LISTING, /* a page that a person waits for */
    NET_AHEAD,   /* fetched ahead of need */
    NET_PRIORITY_COUNT,
};

#define QUOTA_PACE_MAX 64 /* the largest per_second; more is taken as this */

/* What quota_when() says when only an answer that is under way can tell. */
#define QUOTA_ASK_LATER INT64_MAX

struct quota {
    /* for display; -1: the server has not said */
    int64_t limit;
    int64_t remaining;
    int64_t refill_ms; /* mono time of the next refill, or -1 */

    /* private */
    int64_t blocked_until_ms; /* from a 429; INT64_MIN: not blocked */
    unsigned reserve_percent;
    unsigned per_second;
    unsigned in_flight;
    bool refill_guessed; /* a minute was assumed */
    int64_t told_ms;     /* refill_ms, or the whole second that was told; kept after it */
    int64_t lag_ms;      /* how long after a whole second it may come */
    bool fixed;          /* what is learned of lag_ms in this window holds in the next */
    bool vague;          /* no such thing can be learned of this server */
    int64_t begin_ms;    /* what was sent earlier may be of the window before; INT64_MIN: nothing */
    int64_t before;      /* remaining when one went at told_ms, alone; or -1 */
    unsigned pace_next;  /* the oldest of pace_ms */
    int64_t pace_ms[QUOTA_PACE_MAX]; /* when the last `per_second` requests were sent; a ring */
};

void quota_init(struct quota *q, unsigned reserve_percent, unsigned per_second);

/*
 * When a request of this priority may go: `now_ms` means at once. QUOTA_ASK_LATER: requests
 * under way may or may not be the last ones that are allowed; ask again when one of them has
 * ended, or at refill_ms. It is never said when nothing is under way.
 */
int64_t quota_when(const struct quota *q, enum net_priority priority, int64_t now_ms);
/* One is sent. */
void quota_sent(struct quota *q, int64_t now_ms);
/* One that was sent at `sent_ms` has ended, with (`headers`) or without (NULL) an answer. `status`
 * 429 blocks until Retry-After, or the refill, or one second from now. `wall_ns` turns dates into
 * waits. */
void quota_answered(struct quota *q, int status, const struct http_headers *headers,
                    int64_t sent_ms, int64_t now_ms, int64_t wall_ns);
/* One has ended that never left this machine. */
void quota_unsent(struct quota *q);
/* The numbers as they are at `now_ms`, for display: a refill that is over has happened. */
void quota_refresh(struct quota *q, int64_t now_ms);
