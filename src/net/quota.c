#include "systemefs/net/quota.h"

#include <string.h>

#include "systemefs/base/macros.h"

#include "moment.h"

/* What rounding down to whole seconds can have taken off a refill moment. */
#define ROUNDING_MS 1000
/* For answers that travel unequally long. */
#define SLACK_MS 500
/* Where more than this is at stake, it is tried whether the refill comes as early as told. */
#define LAG_MAX_MS 250
/* With a smaller quota, keeping one for that would cost too much. */
#define SPARE_FROM 10
/* Two refill moments closer than this are one. */
#define SAME_REFILL_MS (ROUNDING_MS + SLACK_MS)
/* Two that are told as seconds from now, and further apart, are two in any case. */
#define FAR_REFILL_MS 3000
/* A refill moment further back is not one of an old window, but a clock that is wrong. */
#define STALE_MS 10000
/* The window of a server that does not tell when it refills. */
#define GUESSED_WINDOW_MS 60000
/* After a 429 that tells nothing. */
#define PAUSE_MS 1000
/* One second, and a little for requests that travel unequally long. */
#define PACE_WINDOW_MS 1020

void quota_init(struct quota *q, unsigned reserve_percent, unsigned per_second)
{
    *q = (struct quota){
        .limit = -1,
        .remaining = -1,
        .refill_ms = -1,
        .told_ms = -1,
        .lag_ms = ROUNDING_MS,
        .before = -1,
        .blocked_until_ms = INT64_MIN,
        .begin_ms = INT64_MIN,
        .reserve_percent = reserve_percent,
        .per_second = MIN(per_second, QUOTA_PACE_MAX),
    };
    for (unsigned i = 0; i < q->per_second; i++)
        q->pace_ms[i] = INT64_MIN / 2;
}

void quota_refresh(struct quota *q, int64_t now_ms)
{
    if (q->refill_ms < 0 || now_ms < q->refill_ms)
        return;
    q->remaining = q->limit;
    q->refill_ms = -1;
    q->refill_guessed = false;
    q->before = -1;
}

/* How many must stay for others. Never the whole limit, or a listing would wait for ever. */
static int64_t quota_reserve(const struct quota *q, enum net_priority priority)
{
    if (priority == NET_PERSON || q->limit <= 0)
        return 0;
    return MIN(q->limit * q->reserve_percent / 100, q->limit - 1);
}

/* Whether one is kept for the moment at which the refill is told to come: where something is
 * learned from it for the next windows (in each of them it would cost more than the second), and
 * where the quota allows a request a second, so that the second is worth one. */
static bool quota_spare(const struct quota *q, enum net_priority priority, int64_t now_ms)
{
    return priority != NET_PERSON && q->limit >= SPARE_FROM && q->fixed && !q->vague &&
           now_ms < q->told_ms && q->told_ms - now_ms <= q->limit * 1000 &&
           q->refill_ms - q->told_ms > LAG_MAX_MS;
}

int64_t quota_when(const struct quota *q, enum net_priority priority, int64_t now_ms)
{
    int64_t when = MAX(now_ms, q->blocked_until_ms);
    if (q->per_second > 0)
        when = MAX(when, q->pace_ms[q->pace_next] + PACE_WINDOW_MS);

    /* As things stand at that moment, or else it would be put off again when it has come. */
    bool refilled = q->refill_ms >= 0 && when >= q->refill_ms;
    int64_t remaining = refilled ? q->limit : q->remaining;
    int64_t reserve = quota_reserve(q, priority);
    bool spare = quota_spare(q, priority, when);
    if (remaining < 0 || remaining - q->in_flight > reserve + spare)
        return when;
    if (remaining > reserve + spare)
        return QUOTA_ASK_LATER;
    return MAX(when, remaining > reserve ? q->told_ms : q->refill_ms);
}

void quota_sent(struct quota *q, int64_t now_ms)
{
    quota_refresh(q, now_ms);
    if (q->refill_ms >= 0 && now_ms >= q->told_ms && q->in_flight == 0 && q->before < 0)
        q->before = q->remaining;
    q->in_flight++;
    if (q->per_second > 0) {
        q->pace_ms[q->pace_next] = now_ms;
        q->pace_next = (q->pace_next + 1) % q->per_second;
    }
}

void quota_unsent(struct quota *q)
{
    if (q->in_flight > 0)
        q->in_flight--;
}

/* A plain number, or -1. */
static int64_t parse_count(const char *text)
{
    int64_t n = 0;
    size_t len = strlen(text);
    if (len == 0 || len > 15)
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        n = n * 10 + (text[i] - '0');
    }
    return n;
}

/* What one answer told of the refill. */
struct refill {
    int64_t told_ms; /* its mono time; -1: nothing was told */
    bool whole;      /* it may have been rounded down to whole seconds */
    bool relative;   /* as a time from now */
    bool fixed;      /* a moment by the server's clock that ours agrees with */
};

/* How long after the told moment it may come. */
static int64_t quota_lag(const struct quota *q, const struct refill *r)
{
    if (!r->whole)
        return 0;
    return r->fixed && !q->vague ? q->lag_ms : ROUNDING_MS;
}

/* The first answer of a new window: how long after the told moment was the last one over? */
static void quota_next(struct quota *q, const struct refill *r, int64_t now_ms)
{
    q->begin_ms = q->told_ms >= 0 ? MIN(now_ms, q->told_ms + ROUNDING_MS) : INT64_MIN;
    int64_t lag = q->told_ms >= 0 && q->fixed && r->fixed && !q->vague ? now_ms - q->told_ms : -1;
    q->lag_ms = lag >= 0 && lag < ROUNDING_MS ? lag : ROUNDING_MS;
    q->fixed = r->fixed;
    q->before = -1;
}

/* Takes the numbers of one answer. False: they are those of the window before. */
static bool quota_learn(struct quota *q, int64_t limit, int64_t remaining, struct refill r,
                        int64_t sent_ms, int64_t now_ms)
{
    if (limit > 0)
        q->limit = limit;

    bool known = q->refill_ms >= 0 && !q->refill_guessed;
    bool next = false;
    if (r.told_ms >= 0 && known) {
        /* A later refill begins a new window. But seconds from now begin at the answer's arrival,
         * and one that travelled long seems to tell a later refill: only once the one that we
         * knew is about reached, or if no journey can be so long. */
        bool reached = now_ms >= q->told_ms - SLACK_MS;
        next = r.told_ms > q->told_ms + (!r.relative || reached ? SAME_REFILL_MS : FAR_REFILL_MS);
        /* Each request takes one. As many as before there are only in a new window. */
        next = next || (q->before >= 0 && remaining >= q->before);
        /* An earlier one is of the window before if it can be over. */
        bool earlier = !next && r.told_ms < q->told_ms - SAME_REFILL_MS;
        if (earlier && r.told_ms <= now_ms + 2 * ROUNDING_MS + SLACK_MS)
            return false;
        /* What travelled through the refill tells seconds of the window before, from now. */
        bool across = !next && r.relative && sent_ms < q->begin_ms;
        if (earlier || across)
            r.told_ms = MAX(r.told_ms, q->told_ms);
        /* A server that tells two moments of one window adds seconds to its time of day. */
        int64_t apart = r.told_ms - q->told_ms;
        if (r.fixed && q->fixed && !next && remaining >= 0 && remaining < q->remaining &&
            (apart > SLACK_MS || apart < -SLACK_MS))
            q->vague = true;
    }

    /* Without X-RateLimit-Remaining this one is counted here. */
    if (remaining < 0)
        remaining = (next || q->remaining < 0 ? q->limit : q->remaining) - 1;
    remaining = MAX(remaining, 0);
    q->remaining = next || q->remaining < 0 ? remaining : MIN(q->remaining, remaining);

    if (r.told_ms < 0)
        return true;
    if (next || !known)
        quota_next(q, &r, now_ms);
    int64_t refill = r.told_ms + quota_lag(q, &r);
    q->told_ms = next || !known ? r.told_ms : MIN(q->told_ms, r.told_ms);
    q->refill_ms = next || !known ? refill : MIN(q->refill_ms, refill);
    q->refill_guessed = false;
    return true;
}

void quota_answered(struct quota *q, int status, const struct http_headers *headers,
                    int64_t sent_ms, int64_t now_ms, int64_t wall_ns)
{
    quota_unsent(q);
    quota_refresh(q, now_ms);

    bool told = false, stale = false;
    struct moment wait = {.wait_ms = 0};
    if (!headers) {
        if (q->remaining > 0)
            q->remaining--;
    } else {
        int64_t server_now = moment_server_now(headers, wall_ns);
        int64_t limit = parse_count(headers->ratelimit_limit);
        int64_t remaining = parse_count(headers->ratelimit_remaining);
        struct refill r = {.told_ms = -1};
        struct moment m;
        if (moment_parse(headers->ratelimit_refill, server_now, &m)) {
            r.whole = m.whole;
            r.relative = m.relative;
            r.fixed = !m.relative && server_now == wall_ns;
            int64_t left = m.wait_ms + quota_lag(q, &r);
            stale = left <= 0 && left > -STALE_MS;
            if (left > 0)
                r.told_ms = now_ms + m.wait_ms;
        }
        told = !stale && (limit > 0 || remaining >= 0);
        /* A 429 of the window before, whose Retry-After is short, does not end this one. */
        if (told)
            told = quota_learn(q, limit, remaining, r, sent_ms, now_ms);
        if (!moment_parse(headers->retry_after, server_now, &wait))
            wait.wait_ms = 0;
    }
    if (q->remaining >= 0 && q->refill_ms < 0) {
        q->refill_ms = now_ms + GUESSED_WINDOW_MS;
        q->refill_guessed = true;
    }
    if (status != 429)
        return;

    /* A 429 without numbers may come from the gateway, whose limit is another one. */
    if (told)
        q->remaining = 0;
    if ((told || stale) && q->lag_ms < ROUNDING_MS)
        q->vague = true; /* it may have come too early */
    int64_t until = now_ms + PAUSE_MS;
    if (wait.wait_ms > 0) {
        until = now_ms + wait.wait_ms;
        if (told) {
            q->refill_ms = q->told_ms = until;
            q->fixed = false;
        }
    } else if (q->remaining == 0) {
        until = q->refill_ms;
    }
    q->blocked_until_ms = MAX(q->blocked_until_ms, until);
}
